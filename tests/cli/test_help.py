"""What `--help` says, and who says it."""

import subprocess
import sys

import pytest

from hf_datasel.cli import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_own_options_first_and_all_on_request(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "119")
    assert main([command, "--help"]) == 0
    short = capsys.readouterr().out
    assert main([command, "--help-all"]) == 0
    full = capsys.readouterr().out
    assert short.startswith(f"usage: hf-datasel {command} ")
    assert max(map(len, short.splitlines())) <= 119
    assert len(short.splitlines()) < 100
    assert "--help-all" in short
    if command in ("record", "train"):
        assert "--adam_beta2" in full
        assert "--adam_beta2" not in short
        assert short.index("--dataset ") < short.index("--learning_rate")


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command}" in text for command in COMMANDS)


def test_module_entry_point_and_only_rank_0_prints() -> None:
    def output(rank: str) -> str:
        line = [sys.executable, "-m", "hf_datasel", "--help"]
        return subprocess.run(line, env={"RANK": rank}, capture_output=True, text=True, check=True).stdout

    assert output("0").startswith("usage: hf-datasel")
    assert output("1") == ""
