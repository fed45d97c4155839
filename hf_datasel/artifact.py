"""Directories of arrays with a manifest, written whole or not at all: how Embeddings and Valuations are kept.

manifest.json   format, version, dtype, shape and checksum of every array, and what else the artifact says
<name>.npy      one file an array
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.storage import atomic_directory, crc32, read_array, read_format, read_json, write_array, write_json

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ArtifactFormat:
    """One kind of artifact.

    Args:
        what: how messages call it.
        name, version: of the format; another version is refused.
        dtypes: of its arrays, by name.
    """

    what: str
    name: str
    version: int
    dtypes: Mapping[str, type[np.generic]]

    def save(
        self,
        path: str | Path,
        arrays: Mapping[str, NDArray[Any]],
        content: dict[str, Any],
        fingerprint: DatasetFingerprint | None,
        *,
        overwrite: bool,
    ) -> None:
        """Write the directory `path`, whole or not at all.

        Args:
            path: where to.
            arrays: by name.
            content: what else the manifest says, as JSON can hold it.
            fingerprint: the dataset whose rows the ids number, where known.
            overwrite: replace an artifact of this kind that is there.

        Raises:
            FileExistsError: something is at `path`, and it may not be replaced.
            OSError: it cannot be written (a full disk); nothing is left behind.
        """
        path = Path(path)
        if overwrite and (path / MANIFEST).is_file():
            found = read_json(path / MANIFEST, self.what).get("format")
            if found != self.name:
                raise FileExistsError(f"{path} holds a {found!r}, no {self.what}: it is left alone.")
        manifest = {
            **content,
            "format": self.name,
            "version": self.version,
            "fingerprint": None if fingerprint is None else fingerprint.to_dict(),
            "arrays": {name: {"shape": list(array.shape), "crc32": crc32(array)} for name, array in arrays.items()},
        }
        with atomic_directory(path, what=self.what, marker=MANIFEST, overwrite=overwrite) as building:
            for name, array in arrays.items():
                write_array(building / f"{name}.npy", array)
            write_json(building / MANIFEST, manifest)

    def load(
        self, path: str | Path, content: str
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any], DatasetFingerprint | None]:
        """The arrays, read-only memory maps, what the manifest says under `content`, and the fingerprint.

        Raises:
            FileNotFoundError: nothing of the kind at `path`.
            ValueError: a file is missing, cut off or damaged (named), or the format version differs.
        """
        path = Path(path)
        manifest = read_format(path / MANIFEST, self.what, self.name, self.version)
        arrays = {}
        try:
            source = manifest["fingerprint"]
            fingerprint = None if source is None else DatasetFingerprint.from_dict(source)
            said = dict(manifest[content])
            for name, entry in manifest["arrays"].items():
                dtype, shape = np.dtype(self.dtypes[name]).name, tuple(entry["shape"])
                arrays[name] = read_array(path / f"{name}.npy", self.what, dtype, shape)
                if crc32(arrays[name]) != entry["crc32"]:
                    raise ValueError(f"{path / name}.npy is damaged: it is not what was written. {self._again}")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path / MANIFEST} is damaged ({error!r}). {self._again}") from error
        return arrays, said, fingerprint

    @property
    def _again(self) -> str:
        return f"Make the {self.what} again."
