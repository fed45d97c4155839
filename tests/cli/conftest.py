"""A recorded trace, and a way to run what must fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hf_datasel.cli import main
from tests.cli.lines import record_line
from tests.conftest import WORDS, TinyFiles


class TrustedFiles(NamedTuple):
    """Rows that are none of the tiny dataset's, which is of shorter ones."""

    validation: Path
    anchors: Path


@pytest.fixture(scope="session")
def trusted_files(tmp_path_factory: pytest.TempPathFactory) -> TrustedFiles:
    """Six rows to hold gradients against, and fifty anchors."""
    root = tmp_path_factory.mktemp("trusted")
    rng = np.random.default_rng(1)
    files = TrustedFiles(root / "validation.jsonl", root / "anchors.jsonl")
    for path, num_rows in zip(files, (6, 50), strict=True):
        rows = [
            {
                "prompt": " ".join(rng.choice(WORDS, size=7)),
                "completion": " " + " ".join(rng.choice(WORDS, size=4)),
                "source": "common" if row % 3 else "rare",
            }
            for row in range(num_rows)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


@pytest.fixture(scope="session")
def recorded(tiny_files: TinyFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace that `hf-datasel record` wrote."""
    root = tmp_path_factory.mktemp("recorded")
    assert main(record_line(tiny_files, root)) == 0
    return root / "trace"


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line that must fail with `code` and one line of error; returns that line."""

    def run(code: int, *args: str) -> str:
        assert main([str(arg) for arg in args]) == code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        errors = [line for line in captured.err.splitlines() if ": error: " in line]
        assert len(errors) == 1
        return errors[0].split(": error: ", 1)[1]

    return run
