"""A finished comparison on the disk: its numbers, its report, its verdict.

output_dir/
  result.json                        everything that was measured and computed
  report/report.md                   verdict, tables
  report/<metric>_by_budget.png      and its numbers as .csv
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_datasel.compare.result import FORMAT, VERSION
from hf_datasel.compare.tables import as_markdown, draw_pictures
from hf_datasel.storage import read_format, write_atomic, write_json

RESULT, REPORT = "result.json", "report"


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Args:
        result: of `hf_datasel.compare.result.summarise`.
        directory: where it lies.
    """

    result: Mapping[str, Any]
    directory: Path

    @property
    def verdict(self) -> str:
        """One paragraph, on the first metric, that claims no difference inside the noise."""
        return str(self.result["verdict"])

    def markdown(self) -> str:
        """The report as it stands in `report/report.md`."""
        return (self.directory / REPORT / "report.md").read_text(encoding="utf-8")


def write_comparison(result: Mapping[str, Any], output_dir: str | Path) -> Comparison:
    """Write result, pictures and report, each whole or not at all; the result last, so that it stands for all.

    Raises:
        OSError: a file cannot be written.
    """
    directory = Path(output_dir)
    folder = directory / REPORT
    folder.mkdir(parents=True, exist_ok=True)
    text = as_markdown(result, draw_pictures(result, folder)).encode()
    write_atomic(folder / "report.md", lambda file: file.write(text), len(text))
    write_json(directory / RESULT, dict(result))
    return load_comparison(directory)


def load_comparison(output_dir: str | Path) -> Comparison:
    """Read a finished comparison.

    Raises:
        FileNotFoundError: there is none, or it is not finished.
        ValueError: its result is damaged or of another version.
    """
    directory = Path(output_dir)
    return Comparison(read_format(directory / RESULT, "finished comparison", FORMAT, VERSION), directory)
