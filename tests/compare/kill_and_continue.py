"""A comparison that kills itself with SIGKILL again and again, and one that is never killed.

``python kill_and_continue.py FOLDER`` imports everything once and forks a process for each run.
"""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path

import torch
from transformers import Trainer

from hf_datasel import Selection
from hf_datasel.compare import jobs
from hf_datasel.compare.meter import Cost
from hf_datasel.training.probe import Probe
from tests.compare.comparing import STEPS, compare
from tests.training.scripts.kill_and_resume import kill_at, must_end

KILLS = {
    "in the proxy's training": kill_at(Trainer, "training_step", 3),
    "in a sweep": kill_at(Probe, "_score", 2),
    "when evidence is there, and its cost is not": kill_at(Cost, "write", 1),
    "before its costs are summed up": kill_at(Cost, "write", 2),
    "after a selection": kill_at(Selection, "save", 1, after=True),
    "in the second training": kill_at(Trainer, "training_step", STEPS + 2),
    "before its outcome is written": kill_at(jobs, "write_json", 1),
    "after the last outcome": kill_at(jobs, "write_json", 2, after=True),
}


def main() -> None:
    """Run, be killed, continue."""
    torch.set_num_threads(1)
    gc.freeze()
    folder = Path(sys.argv[1])
    must_end(lambda: compare(folder / "whole"), 0, "whole")
    for name, arm in KILLS.items():
        must_end(lambda arm=arm: (arm(), compare(folder / "killed")), -signal.SIGKILL, name)
    must_end(lambda: compare(folder / "killed"), 0, "continued")


if __name__ == "__main__":
    main()
