"""`hf-datasel quickstart`: the whole job on a generated corpus."""

from __future__ import annotations

from hf_datasel.cli.parser import CommandParser
from hf_datasel.quickstart.plan import QuickstartArguments

SUMMARY = (
    "Do the whole job on a generated corpus of eight uneven skills: train a proxy with recording, select with S2L, "
    "train a larger model on S2L's subset, on SHED's, on a random one and on everything for the same number of steps, "
    "and compare. Writes the trace, the selection, the curated dataset, pictures and a report; downloads nothing."
)
EXAMPLES = (
    "hf-datasel quickstart",
    "hf-datasel quickstart --corrupted 0.3 --transform log --output_dir quickstart-corrupted",
    "hf-datasel quickstart --smoke --output_dir quickstart-smoke",
)


def make_parser() -> CommandParser:
    """The parser of `hf-datasel quickstart`."""
    own = list(QuickstartArguments.__dataclass_fields__)
    return CommandParser("quickstart", SUMMARY, (QuickstartArguments,), own, examples=EXAMPLES)


def run(options: QuickstartArguments) -> None:
    """Run it; it prints its own outcome."""
    from hf_datasel.quickstart.run import main

    main(options)
