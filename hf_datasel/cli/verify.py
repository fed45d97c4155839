"""`hf-datasel verify`: is a published selection what it says?"""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_datasel.cli import UsageError
from hf_datasel.cli.console import is_main_process, print_once, quiet_unless_terminal
from hf_datasel.cli.parser import CommandParser

SUMMARY = (
    "Check a selection that `hf-datasel push` published: that its files are those that were published, its rows those "
    "that were selected, and that its method, run again on the recorded scores with the same configuration and seed, "
    "keeps the same rows. Exit code 0 where no check fails, 1 where one does."
)
NEEDS = "REPO"
EXAMPLES = (
    "hf-datasel verify me/my-set",
    "hf-datasel verify me/my-set --revision refs/pr/1",
    "hf-datasel verify me/my-set --check_source",
)
MARKS = {True: "ok", False: "FAILED", None: "unknown"}


@dataclass
class VerifyArguments:
    """Options of `hf-datasel verify`."""

    repo_id: str | None = field(default=None, metadata={"help": "The dataset repo, also as the first argument."})
    revision: str | None = field(
        default=None,
        metadata={"help": "A branch, a tag, a commit or the ref of a pull request; the main branch if not given."},
    )
    check_source: bool = field(
        default=False,
        metadata={"help": "Also load the source dataset at its revision, and compare the content of every row."},
    )


def make_parser() -> CommandParser:
    """The parser of `hf-datasel verify`."""
    own = list(VerifyArguments.__dataclass_fields__)
    return CommandParser("verify", SUMMARY, [VerifyArguments], own, NEEDS, EXAMPLES, positional="repo_id")


def run(options: VerifyArguments) -> None:
    """Print a line for every check; one process of several does it.

    Raises:
        ValueError: a check failed.
    """
    if not is_main_process():
        return
    if options.repo_id is None:
        raise UsageError("which repo? Name it first, as in `hf-datasel verify me/my-set`")
    quiet_unless_terminal()
    from hf_datasel.hub.verify import verify_selection

    found = verify_selection(options.repo_id, revision=options.revision, check_source=options.check_source)
    print_once(f"{found.repo_id} at {found.commit}")
    for check in found.checks:
        print_once(f"  {MARKS[check.ok]:<8} {check.name:<14} {check.message}")
    failed = [check.name for check in found.checks if check.ok is False]
    if failed:
        raise ValueError(f"{found.repo_id} is not what it says: failed {', '.join(failed)}")
