"""A reader's session in one process: Python snippets and command lines, in order, with what a tiny model needs beside.

Reads a JSON list of steps from standard input, `{"python": code}`, `{"command": [...]}` of `hf-datasel` or
`{"pytest": folder}`, and stops at the first that fails. Snippets share their names.
"""

import functools
import json
import sys
from typing import Any

import pytest

import hf_datasel
from hf_datasel.cli import main
from tests.cli.lines import TRAINING

TINY = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 4,
    "report_to": "none",
}


def run(step: dict[str, Any], names: dict[str, Any]) -> int:
    """The exit code of a step."""
    if "python" in step:
        exec(step["python"], names)
        return 0
    if "pytest" in step:
        return int(pytest.main(["-q", "-p", "no:cacheprovider", step["pytest"]]))
    line = step["command"]
    return main([*line, *(["--num_checkpoints", "4", *TRAINING] if line[0] == "record" else [])])


if __name__ == "__main__":
    hf_datasel.SelectingSFTConfig = functools.partial(hf_datasel.SelectingSFTConfig, **TINY)  # as a reader's GPU would
    shared: dict[str, Any] = {}
    for number, given in enumerate(json.load(sys.stdin)):
        code = run(given, shared)
        if code:
            sys.exit(f"step {number}, {given}: exit code {code}")
