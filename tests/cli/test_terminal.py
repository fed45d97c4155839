"""What a command writes to stderr: bars with the time left in a terminal, nothing in a file; a bug is one line."""

import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_datasel import cli
from hf_datasel.cli import main
from tests.cli.lines import TRAINING, record_line
from tests.conftest import TinyFiles


class Terminal(io.StringIO):
    """What somebody looks at."""

    def isatty(self) -> bool:
        return True


def train_line(tiny_files: TinyFiles, root: Path) -> list[str]:
    named = ["--dataset", tiny_files.data, "--model_name_or_path", tiny_files.model, "--output_dir", root / "out"]
    chosen = ["--selection_budget", "10", "--selection_num_clusters", "4", "--selection_num_checkpoints", "2"]
    return ["train", *map(str, [*named, *chosen]), *TRAINING]


@pytest.mark.parametrize(
    ("line", "bars"),
    [(record_line, ["Probing losses (1/2)", "Probing losses (2/2)"]), (train_line, ["Probing losses (2/2)"])],
    ids=["record", "train"],
)
def test_a_terminal_sees_bars_and_a_file_does_not(
    tiny_files: TinyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: Callable[..., list[str]],
    bars: list[str],
) -> None:  # fmt: skip
    for name, screen in (("file", io.StringIO()), ("terminal", Terminal())):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", screen)
            assert main(line(tiny_files, tmp_path / name)) == 0
        shown = screen.getvalue()
        if name == "terminal":
            assert all(bar in shown for bar in bars)
            assert "4/4 [" in shown  # the Trainer's own, of four steps
        else:
            assert "%|" not in shown
            assert "\r" not in shown


def test_an_error_of_several_lines_is_told_in_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError("We could not\n  connect.\nTry again.")

    monkeypatch.setattr("hf_datasel.cli.select.run", fail)
    assert main(["select", "--budget", "3"]) == 1
    assert capsys.readouterr().err == "hf-datasel select: error: We could not connect. Try again.\n"


def test_a_bug_is_one_line_in_a_program_and_itself_in_python(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("hf_datasel.cli.select.run", fail)
    for debug, expected in ((["--debug"], ["ZeroDivisionError: division"]), ([], [])):
        monkeypatch.setattr(sys, "argv", ["hf-datasel", "select", "--budget", "3", *debug])
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        with warnings.catch_warnings(), pytest.raises(ZeroDivisionError) as raised:
            main()
        sys.excepthook(raised.type, raised.value, raised.tb)
        lines = capsys.readouterr().err.splitlines()
        if debug:
            assert lines[0] == "Traceback (most recent call last):"
            assert expected[0] in lines
        else:
            assert lines == [
                "hf-datasel select: error: ZeroDivisionError: division by zero (a bug, in hf_datasel or beneath it; "
                "--debug shows where)"
            ]
        with pytest.raises(ZeroDivisionError):
            main(["select", "--budget", "3"])


def test_warnings_for_those_who_wrote_the_libraries_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["hf-datasel", "--version"])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cli.main() == 0
        warnings.warn("`gradient_checkpointing` is deprecated and will be removed in v6.", FutureWarning, stacklevel=1)
        with pytest.raises(FutureWarning):
            warnings.warn("`learning_rate` is deprecated", FutureWarning, stacklevel=1)
