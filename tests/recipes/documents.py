"""What the documents tell a reader to type: every command of every `sh` block, and what it is marked to need."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not {".venv", ".git"} & set(path.parts))
MARK = re.compile(r"<!-- needs: (gpu|network) -->")


class Command(NamedTuple):
    """A command line without its continuations and comments; `needs` is None, "gpu" or "network"."""

    line: str
    needs: str | None


def commands(text: str) -> Iterator[Command]:
    """The commands of a text's shell blocks, in their order; a mark counts for the block that it stands above."""
    for block in re.finditer(r"^```(?:sh|bash|shell)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        above = text[: block.start()].rstrip().rsplit("\n", 1)[-1]
        mark = MARK.fullmatch(above)
        for line in block[1].replace("\\\n", " ").splitlines():
            said = re.sub(r"(^|\s)#.*", "", line).strip()
            if said:
                yield Command(said, mark[1] if mark else None)
