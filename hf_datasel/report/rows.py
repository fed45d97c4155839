"""What a row of a dataset says: which columns are text, which are images or sound, and a row as plain text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.texts import FORMATS


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of a dataset by what they hold.

    Args:
        dataset: that they are of.
        text: what a model reads: `messages`, `prompt` and `completion`, or `text`; else every column of strings or
            messages.
        other: the rest, without the example ids.
        media: of images, sound and the like, by name what kind; never read.
    """

    dataset: Any
    text: tuple[str, ...]
    other: tuple[str, ...]
    media: dict[str, str]

    def read(self, positions: NDArray[np.int64]) -> list[dict[str, Any]]:
        """The rows at positions, without media, in that order."""
        names = [*self.text, *self.other]
        if not names:
            return [{} for _ in positions]
        table = self.dataset.select_columns(names).with_format(None)[positions]
        return [dict(zip(names, values, strict=True)) for values in zip(*(table[name] for name in names), strict=True)]

    def lengths(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Characters of the text columns of the rows at positions, int64 [m]."""
        only_text = Rows(self.dataset, self.text, (), {})
        return np.array([sum(map(num_characters, row.values())) for row in only_text.read(positions)], np.int64)


def describe_columns(dataset: Any) -> Rows:
    """Sort the columns of a `datasets.Dataset` by what they hold.

    Example:
        >>> from datasets import Dataset
        >>> describe_columns(Dataset.from_dict({"prompt": ["a"], "completion": ["b"], "source": ["web"]})).text
        ('prompt', 'completion')
    """
    names = [name for name in dataset.column_names if name != EXAMPLE_ID]
    media = {name: kind for name in names if (kind := _media_kind(dataset.features[name]))}
    plain = [name for name in names if name not in media]
    text = next((columns for columns in FORMATS if set(columns) <= set(plain)), None)
    text = text or tuple(name for name in plain if _is_text(dataset.features[name]))
    return Rows(dataset, text, tuple(name for name in plain if name not in text), media)


def num_characters(value: Any) -> int:
    """Characters of a string, of the contents of messages, or of the text in a message's parts.

    Example:
        >>> num_characters([{"role": "user", "content": "2+2="}, {"role": "assistant", "content": "4"}])
        5
    """
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(num_characters(value.get(key)) for key in ("content", "text", "value"))
    if isinstance(value, list):
        return sum(map(num_characters, value))
    return 0


def _media_kind(feature: Any) -> str | None:
    """`image`, `audio` and the like, of the feature or of what it holds; decoding one is what tells it."""
    kind = type(feature).__name__
    if hasattr(feature, "decode_example") and kind not in ("Json", "Features"):
        return kind.lower()
    inner = feature.values() if isinstance(feature, dict) else [getattr(feature, "feature", None)]
    return next((found for one in inner if one is not None and (found := _media_kind(one))), None)


def _is_text(feature: Any) -> bool:
    if getattr(feature, "dtype", None) in ("string", "large_string"):
        return True
    inner = getattr(feature, "feature", None)
    return isinstance(inner, dict) and bool({"content", "value"} & set(inner))
