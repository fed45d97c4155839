"""`hf-datasel verify`: the repo comes first, and every check has a line; tests/hub verifies repos by it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_datasel.cli import main
from hf_datasel.hub import verify
from hf_datasel.hub.verify import Check, Verification

CHECKS = (Check("files", True, "all 2 are as published"), Check("selection", None, "cannot be chosen again"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What a Hub whose repos hold what they say was asked; "me/bad" is of other content."""
    found: dict[str, object] = {}

    def answer(repo_id: str, **options: object) -> Verification:
        found.update(options, repo_id=repo_id)
        failures = (Check("content", False, "example 3 differs"), Check("ids", False, "example 3 is gone"))
        return Verification(repo_id, "0" * 40, CHECKS + (failures if repo_id == "me/bad" else ()))

    monkeypatch.setattr(verify, "verify_selection", answer)
    return found


def test_every_check_has_a_line(asked: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "me/set", "--revision", "refs/pr/1", "--check_source"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"me/set at {'0' * 40}",
        "  ok       files          all 2 are as published",
        "  unknown  selection      cannot be chosen again",
    ]
    assert asked == {"repo_id": "me/set", "revision": "refs/pr/1", "check_source": True}


def test_a_failed_check_is_an_exit_code_and_an_error(asked: dict[str, object], failing: Callable[..., str]) -> None:
    assert failing(1, "verify", "me/bad") == "me/bad is not what it says: failed content, ids"


def test_the_repo_may_be_named_as_any_option(asked: dict[str, object], tmp_path: Path) -> None:
    config = tmp_path / "verify.yaml"
    config.write_text("repo_id: me/set\n")
    for line in (["--repo_id", "me/set"], ["--config", str(config)], ["me/set", "--config", str(config)]):
        asked.clear()
        assert main(["verify", *line]) == 0
        assert asked == {"repo_id": "me/set", "revision": None, "check_source": False}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ([], "which repo? Name it first"),
        (["me/set", "--repo_id", "me/other"], "--repo_id is given twice"),
        (["me/set", "--repo_id=me/other"], "--repo_id is given twice"),
        (["me/set", "me/other"], "unexpected argument 'me/other'"),
        (["me/set", "--check_sources"], "did you mean --check_source"),
    ],
)
def test_a_wrong_line_is_told(line: list[str], words: str, failing: Callable[..., str]) -> None:
    assert words in failing(2, "verify", *line)


def test_other_commands_have_no_first_argument(failing: Callable[..., str]) -> None:
    assert "unexpected argument 'surplus'" in failing(2, "select", "surplus")
