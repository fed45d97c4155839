"""Values of coalitions, each measured once and kept: an append-only file for every process that measures.

    <folder>/<time>-<pid>-<token>.jsonl     a segment: one process writes it, everybody reads it
        line 1      {"format": ..., "version": ..., "key": {...}}: the experiment
        line 2...   {"coalition": "<digest>", "value": 0.25, ...}: a record

A line is on the disk before ``put`` returns, so a process that is killed loses at most what it was measuring. Only the
last line of a segment can be torn: it has no newline and is not read, and nobody writes behind it again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_datasel.storage import TEMPORARY_PREFIX, write_atomic

FORMAT, VERSION = "hf_datasel.ledger", 1
SUFFIX = ".jsonl"
SHOWN = 5  # differences between two experiments that a message lists
_LONGEST = 60  # characters of a value in a message


class Ledger:
    """The union of all segments in a folder; make one with :meth:`open`.

    Args:
        path: the folder; made with the first record.
        key: what decides the values, as JSON: two experiments with equal keys give a coalition the same value.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> ledger = Ledger.open(folder.name, {"model": "m", "seed": 0})
        >>> coalition = ledger.coalition_key([7, 2])
        >>> ledger.put(coalition, {"value": 0.25})
        >>> Ledger.open(folder.name, {"model": "m", "seed": 0}).get(coalition)["value"]
        0.25
        >>> Ledger.open(folder.name, {"model": "m", "seed": 1})
        Traceback (most recent call last):
        ValueError: ...holds values of another experiment: seed (0 there, 1 here). Choose another folder...
        >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], key: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.key: dict[str, Any] = json.loads(json.dumps(key, allow_nan=False))
        self._records: dict[str, dict[str, Any]] = {}
        self._read: dict[Path, tuple[int, int]] = {}  # bytes and lines of each segment that were read
        self._segment: tuple[int, Path] | None = None  # of this process, and the process's number

    @classmethod
    def open(cls, path: str | os.PathLike[str], key: Mapping[str, Any]) -> Ledger:
        """The ledger in a folder, read to its end; a folder that is missing or empty is a ledger without records.

        Raises:
            ValueError: a segment of another experiment (what differs is named), no segment at all, or a damaged line.
        """
        ledger = cls(path, key)
        ledger.refresh()
        return ledger

    @property
    def digest(self) -> str:
        """A name of the experiment: a digest of its key."""
        return hashlib.blake2b(json.dumps(self.key, sort_keys=True).encode(), digest_size=16).hexdigest()

    def coalition_key(self, ids: ArrayLike) -> str:
        """A name of the coalition of these example ids, in any order, in this experiment."""
        members = np.sort(np.asarray(ids, dtype=np.int64)).astype("<i8")
        return hashlib.blake2b(self.digest.encode() + members.tobytes(), digest_size=16).hexdigest()

    def get(self, coalition: str) -> dict[str, Any] | None:
        """The record of a coalition as far as read, or None; ``value`` is a finite float."""
        return self._records.get(coalition)

    def put(self, coalition: str, record: Mapping[str, Any]) -> None:
        """Append a record and make it durable; one that is there already stays.

        Args:
            coalition: its name, from :meth:`coalition_key`.
            record: JSON values; ``value`` is the coalition's, a finite number.

        Raises:
            ValueError: ``value`` is missing or not finite: what could not be measured has no place here.
            OSError: the line could not be written; names the segment.
        """
        value = record.get("value")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(
                f"The value of coalition {coalition} is {value!r}, not a finite number: it is not recorded."
            )
        if coalition in self._records:
            return
        line = {"coalition": coalition, **record}
        self._append(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._records[coalition] = line

    def refresh(self) -> None:
        """Read what other processes have appended since; raises as :meth:`open`."""
        for segment in sorted(self.path.glob(f"*{SUFFIX}")):
            if segment.name.startswith(TEMPORARY_PREFIX):
                continue
            start, number = self._read.get(segment, (0, 0))
            with open(segment, "rb") as file:
                file.seek(start)
                new = file.read()
            end = new.rfind(b"\n") + 1
            for line in new[:end].split(b"\n")[:-1]:
                number += 1
                content = _parse(line, segment, number)
                if number == 1:
                    self._require_same(content, segment)
                else:
                    self._records.setdefault(content["coalition"], content)
            self._read[segment] = (start + end, number)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, coalition: str) -> bool:
        return coalition in self._records

    def _append(self, line: bytes) -> None:
        if self._segment is None or self._segment[0] != os.getpid():  # a fork writes a segment of its own
            self._segment = (os.getpid(), self._begin())
        segment = self._segment[1]
        try:
            with open(segment, "ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._segment = None  # what was torn stays the last line of its segment
            raise _explain(error, segment) from error

    def _begin(self) -> Path:
        self.path.mkdir(parents=True, exist_ok=True)
        # Names in the order of time: where two processes measured a coalition, every reader takes the same record.
        segment = self.path / f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        header = json.dumps({"format": FORMAT, "version": VERSION, "key": self.key}).encode() + b"\n"
        write_atomic(segment, lambda file: file.write(header), len(header))
        return segment

    def _require_same(self, header: dict[str, Any], segment: Path) -> None:
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            raise ValueError(
                f"{segment} is no segment of a ledger that this hf_datasel reads (format {header.get('format')!r}, "
                f"version {header.get('version')!r}): choose another folder, or remove the file."
            )
        found = list(differences(header.get("key"), self.key))
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            raise ValueError(
                f"{self.path} holds values of another experiment: {', '.join(found[:SHOWN])}{more}. Choose "
                "another folder, or the model, the data and the arguments it was made with."
            )


def _parse(line: bytes, segment: Path, number: int) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        content = None
    if not isinstance(content, dict) or (number > 1 and not {"coalition", "value"} <= content.keys()):
        raise ValueError(f"{segment}, line {number}: damaged. Remove the file; what it holds is then measured again.")
    return content


def differences(there: Any, here: Any, name: str = "") -> Iterator[str]:
    """Fields that differ between two JSON values, by their path."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted(there.keys() | here.keys()):
            yield from differences(there.get(key), here.get(key), f"{name}.{key}" if name else key)
    elif there != here:
        yield f"{name} ({_short(there)} there, {_short(here)} here)"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _explain(error: OSError, segment: Path) -> OSError:
    reason = error.strerror or str(error)
    message = (
        f"{reason}: could not append to {segment}. What was recorded before is safe; free some space or choose "
        "another folder, then run again"
    )
    return OSError(error.errno, message, str(segment)) if error.errno else OSError(message)
