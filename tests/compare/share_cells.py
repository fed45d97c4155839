"""A comparison in two processes: each says what it did."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from accelerate import PartialState

from hf_datasel.compare.jobs import Bench
from tests.compare.comparing import compare


def main() -> None:
    """Compare in ``FOLDER/two``."""
    torch.set_num_threads(1)
    gc.freeze()
    state, folder, done, do = PartialState(cpu=True), Path(sys.argv[1]), [], Bench.do

    def watched(bench: Bench, cell: Any) -> None:
        do(bench, cell)
        done.append(cell.name)

    with mock.patch.object(Bench, "do", watched):
        comparison = compare(folder / "two", num_seeds=2)
    told = {"done": done, "verdict": comparison.verdict, "num_processes": state.num_processes}
    (folder / f"rank{state.process_index}.json").write_text(json.dumps(told))
    state.destroy_process_group()


if __name__ == "__main__":
    main()
