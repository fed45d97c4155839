"""A recorded trace, and a way to run what must fail."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_datasel.cli import main
from tests.cli.lines import record_line
from tests.conftest import TinyFiles


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
