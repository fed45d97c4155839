"""The rows of a dataset as plain text, for methods that read text without a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

TextOf = str | Callable[[dict[str, Any]], str] | None
Columns = tuple[str, ...]
# as TRL has them; the first that fits
FORMATS: tuple[Columns, ...] = (("messages",), ("prompt", "completion"), ("text",))


class Texts:
    """Reads rows as strings, one a row: its columns' texts, or its messages' contents, joined by line breaks.

    Args:
        dataset: a `datasets.Dataset`.
        text: a column of strings or of messages, or a function from a row, a dictionary, to its text. Without it
            `messages`, `prompt` and `completion`, or `text`, whichever the dataset has.
        what: how messages call the dataset.

    Raises:
        ValueError: no such column; lists those there are. TypeError: `text` is neither a name nor a function.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"prompt": ["2+2=", "sky?"], "completion": ["4", "blue"]})
        >>> Texts(rows).read(slice(0, 2))
        ['2+2=\\n4', 'sky?\\nblue']
    """

    formats: ClassVar[tuple[Columns, ...]] = FORMATS
    option: ClassVar[str] = "text"  # what messages call the argument

    def __init__(self, dataset: Any, text: TextOf = None, what: str = "the dataset") -> None:
        names = list(dataset.column_names)
        self.columns: Columns | None = None  # None where a function says what the text is
        self._function: Callable[[dict[str, Any]], str] | None = None
        if isinstance(text, str):
            self.columns = (text,)
        elif text is None:
            self.columns = next((columns for columns in self.formats if set(columns) <= set(names)), ("text",))
        elif callable(text):
            self._function = text
        else:
            raise TypeError(
                f"{self.option}={text!r} must be a column's name, a function from a row to its text, or None."
            )
        missing = sorted(set(self.columns or ()) - set(names))
        if missing:
            raise ValueError(
                f"{what} has no column {missing[0]!r}, only {names}: name the column that holds the text, as in "
                f"{self.option}='instruction', or pass a function from a row to its text."
            )
        self.description = " + ".join(self.columns) if self.columns else getattr(text, "__qualname__", repr(text))
        self._what = what
        self._rows = dataset if self.columns is None else dataset.select_columns(list(self.columns))

    def read(self, where: slice | NDArray[np.int64]) -> list[str]:
        """Texts of the rows at a slice or at row numbers.

        Raises:
            ValueError: a row has no text; names the row and the column.
        """
        table = self._rows.with_format(None)[where]
        numbers = range(*where.indices(len(self._rows))) if isinstance(where, slice) else where.tolist()
        columns = list(table)
        texts = []
        for number, *values in zip(numbers, *table.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            if self._function is None:
                parts = (self._plain(value, number, column) for column, value in row.items())
                texts.append("\n".join(parts))
            else:
                texts.append(self._plain(self._function(row), number, f"{self.option}()"))
        return texts

    def _counts(self, message: dict[str, Any]) -> bool:
        """Whether what the message says belongs to the text."""
        return True

    def _plain(self, value: Any, number: int, column: str) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, list) and all(isinstance(message, dict) for message in value):
            contents = [message.get("content") for message in value if self._counts(message)]
            if all(isinstance(content, str | None) for content in contents):
                return "\n".join(content for content in contents if content)  # a tool call has no content
        raise ValueError(
            f"Row {number} of {self._what} has no text in {column!r} but {type(value).__name__}: fill it, drop the "
            f"row, or pass {self.option}=, a function from a row to its text."
        )


class Answers(Texts):
    """Reads what rows answer: the assistant's messages, the completion, or the text where that is all there is.

    Args:
        dataset, what: as of `Texts`.
        text: a column, as "output", or a function from a row to its answer. Without it `messages`, `completion` or
            `text`, whichever the dataset has; of messages, in a named column too, only the assistant's count.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"prompt": ["2+2=", "sky?"], "completion": ["4", "blue"]})
        >>> Answers(rows).read(slice(0, 2))
        ['4', 'blue']
    """

    formats: ClassVar[tuple[Columns, ...]] = (("messages",), ("completion",), ("text",))
    option: ClassVar[str] = "answer"

    def _counts(self, message: dict[str, Any]) -> bool:
        return message.get("role") == "assistant"
