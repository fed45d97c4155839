"""Which dataset a piece of evidence belongs to.

Example ids are row numbers of a *source* dataset, so ids of two datasets look alike. A fingerprint tells them
apart: it is computed once, when the ids are given, and travels as one line in `dataset.info.description`, which
survives `map`, `filter`, `shuffle`, `select` and `save_to_disk`. It is lost in `to_parquet` and in streaming; what
is unknown is not compared.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

EXAMPLE_ID = "example_id"

_STAMP = re.compile(r"^hf_datasel source: (\{.*\})$", re.MULTILINE)


@dataclass(frozen=True)
class DatasetFingerprint:
    """Identity of a source dataset, whatever order its rows are in.

    Args:
        digest: hexadecimal digest of the ids and of the content of every other column, in the order of the ids.
        num_rows: rows of the source dataset.
        columns: names of the columns that went into the digest, sorted.

    Example:
        >>> fingerprint = DatasetFingerprint(digest="0f3a", num_rows=3, columns=("prompt",))
        >>> DatasetFingerprint.from_stamp("Some text.\\n" + fingerprint.stamp()) == fingerprint
        True
    """

    digest: str
    num_rows: int
    columns: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return {"digest": self.digest, "num_rows": self.num_rows, "columns": list(self.columns)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> DatasetFingerprint:
        """The inverse of `to_dict`; raises KeyError where a key is missing."""
        return cls(str(content["digest"]), int(content["num_rows"]), tuple(content["columns"]))

    def stamp(self) -> str:
        """One line for `dataset.info.description`."""
        return f"hf_datasel source: {json.dumps(self.to_dict(), sort_keys=True)}"

    @classmethod
    def from_stamp(cls, description: str | None) -> DatasetFingerprint | None:
        """The fingerprint in a description; None where there is none, or several, as in concatenated datasets."""
        found = {cls.from_dict(json.loads(match)) for match in _STAMP.findall(description or "")}
        return found.pop() if len(found) == 1 else None

    def stamp_into(self, description: str | None) -> str:
        """The description with this stamp in place of any other."""
        rest = _STAMP.sub("", description or "").strip()
        return f"{rest}\n\n{self.stamp()}" if rest else self.stamp()

    def require_same(self, other: DatasetFingerprint, what: str) -> None:
        """Refuse evidence of another dataset.

        Raises:
            ValueError: the digests differ; the message describes both datasets.
        """
        if self != other:
            raise ValueError(
                f"{what} belongs to another dataset: it was made from {_describe(other)}, but this is "
                f"{_describe(self)}. Use the dataset that it was made from, or make it again from this one."
            )


def _describe(fingerprint: DatasetFingerprint) -> str:
    return f"{fingerprint.num_rows:,} rows with columns {list(fingerprint.columns)} (digest {fingerprint.digest[:12]})"
