"""The list of a report's pictures, kept beside them, so that they can be published with their words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hf_datasel.report.picture import Picture
from hf_datasel.storage import read_format, write_json

PICTURES, LIST = "pictures", "pictures.json"
_FORMAT, _VERSION = "hf_datasel.pictures", 1


def save_list(pictures: Sequence[Picture], folder: Path) -> None:
    """Write `pictures.json` into the folder that the pictures lie in; raises OSError where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [{"name": one.path.stem, "title": one.title, "alt": one.alt} for one in pictures]
    write_json(folder / LIST, {"format": _FORMAT, "version": _VERSION, "pictures": listed})


def load_pictures(report_dir: str | os.PathLike[str]) -> list[Picture]:
    """The pictures of a report that `write_report` wrote, in their order.

    Raises:
        FileNotFoundError: no report at `report_dir`, or one of its pictures is gone (named).
        ValueError: the list of pictures is damaged, or of another format version.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from hf_datasel import Selection, write_report
        >>> selection = Selection(candidate_ids=np.arange(3), kept=np.arange(3) > 0, scores=np.float32([0, 1, 2]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = write_report(selection, f"{folder}/report")
        ...     [picture.title for picture in load_pictures(f"{folder}/report")]
        ['Scores: 2 of 3 candidates kept']
    """
    folder = Path(report_dir) / PICTURES
    content = read_format(folder / LIST, "report's pictures", _FORMAT, _VERSION)
    try:
        found = [(str(one["name"]), str(one["title"]), str(one["alt"])) for one in content["pictures"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / LIST} is damaged ({error!r}). Write the report again.") from error
    pictures = []
    for name, title, alt in found:
        if Path(name).name != name:
            raise ValueError(f"{folder / LIST} is damaged: {name!r} is no name of a picture. Write the report again.")
        picture = Picture(folder / f"{name}.png", folder / f"{name}.csv", title, alt)
        for path in (picture.path, picture.data):
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing: write the report again with hf_datasel.write_report.")
        pictures.append(picture)
    return pictures
