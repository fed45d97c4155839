"""Pieces of work shared by processes that know of each other by the disk alone.

A process claims a piece by a lock that the system takes back when the process ends, however it ends; who waits for a
piece whose process died does it. So it makes no difference whether processes were launched together, or whether one of
them is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

SECONDS_BETWEEN_LOOKS = 0.5
Piece = TypeVar("Piece")


def do_all(
    pieces: Sequence[Piece],
    place: Callable[[Piece], Path],
    do: Callable[[Piece], None],
    seen: Callable[[int], None],
) -> None:
    """Return when all pieces are done, by whichever process.

    Args:
        pieces: in the order in which they are begun.
        place: the file that a piece leaves, in one rename, as the last that is done of it; its claim lies in the
            folder ``.claims`` beside it.
        do: one piece; what it raises ends this process's part.
        seen: told how many pieces are done, each time this process looks.
    """
    waiting = list(pieces)
    while waiting:
        before = len(waiting)
        for piece in list(waiting):
            if place(piece).is_file() or _do_if_free(place(piece), piece, do):
                waiting.remove(piece)
                seen(len(pieces) - len(waiting))
        if len(waiting) == before:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _do_if_free(path: Path, piece: Piece, do: Callable[[Piece], None]) -> bool:
    """Whether it is done now; False where another process is at it."""
    claims = path.parent / ".claims"
    claims.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(claims / f"{path.stem}.lock", timeout=0):
            if not path.is_file():  # done since we looked
                do(piece)
    except Timeout:
        return False
    return True
