"""Writing that either happens whole or not at all.

A file is written under a temporary name in the directory where it will live, flushed to the disk, and renamed. A
rename inside a directory is atomic, so a reader, or a run that was killed, sees the old content or the new and
never a part.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

TEMPORARY_PREFIX = ".partial-"


def write_atomic(path: Path, write: Callable[[BinaryIO], object], num_bytes: int) -> None:
    """Write one file whole or not at all.

    Args:
        path: the file to create or replace; its directory must exist.
        write: called with a binary file open for writing.
        num_bytes: how many bytes are about to be written, for the message should the disk be full.

    Raises:
        OSError: the file could not be written. The message names the path and the bytes that were needed; the
            temporary file is gone and whatever stood at `path` is untouched.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _explain(error, path, num_bytes) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `.npy`, whole or not at all; raises as `write_atomic`."""
    header = io.BytesIO()
    array = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))

    def write(file: BinaryIO) -> None:
        file.write(header.getvalue())
        file.write(array.data)  # numpy's own tofile reports a full disk without its errno

    write_atomic(path, write, array.nbytes + len(header.getvalue()))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with sorted keys, so that equal content is equal bytes; raises as `write_atomic`."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    write_atomic(path, lambda file: file.write(text), len(text))


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FileNotFoundError: nothing is at `path`.
        ValueError: the file is not a JSON object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No {what} at {path.parent}: {path.name} is missing.")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not JSON ({error}). Write the {what} again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: a JSON object was expected. Write the {what} again.")
    return content


def read_format(path: Path, what: str, name: str, version: int) -> dict[str, Any]:
    """Read a manifest and check that it is of the format `name` and of a version this code reads."""
    manifest = read_json(path, what)
    if manifest.get("format") != name:
        raise ValueError(
            f"{path} is not the manifest of a {what}: its format is {manifest.get('format')!r}, not {name!r}."
        )
    if manifest.get("version") != version:
        raise ValueError(
            f"{path} has format version {manifest.get('version')!r}; this hf_datasel reads version {version}. "
            f"Install the hf_datasel that wrote it, or write the {what} again."
        )
    return manifest


def read_array(path: Path, what: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map a `.npy` file into memory, read-only, after checking its dtype, shape and size.

    Raises:
        ValueError: the file is missing, cut off, or holds something else; names `what` and the file.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{what}: {path} is missing.") from None
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{what}: {path} is cut off or damaged ({error}).") from error
    if array.dtype != np.dtype(dtype) or array.shape != shape:
        raise ValueError(
            f"{what}: {path} holds {array.dtype}{list(array.shape)}, but {dtype}{list(shape)} was expected."
        )
    return array


def crc32(array: NDArray[Any]) -> int:
    """CRC-32 of the array's bytes, read a few MiB at a time so that a memory map stays small."""
    flat, crc = array.reshape(-1), 0
    for start in range(0, flat.size, 1 << 20):
        crc = zlib.crc32(np.ascontiguousarray(flat[start : start + (1 << 20)]).data, crc)
    return crc


def sync_directory(directory: Path) -> None:
    """Make the renames inside a directory durable, where the platform can."""
    if os.name == "nt":  # Windows cannot open a directory
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_directory(path: Path, *, what: str, marker: str, overwrite: bool) -> Iterator[Path]:
    """Build a directory beside `path` and rename it into place when the block ends without an error.

    Args:
        path: where the directory will stand.
        what: what it holds, for messages.
        marker: a file that every such directory holds; only a directory with it is ever replaced.
        overwrite: replace one that is there.

    A run killed while it replaces a directory can leave the old one and the new one beside `path` under temporary
    names, each of them whole, because two directories cannot change places in one step.

    Raises:
        FileExistsError: something is at `path`, and it may not be replaced.
        OSError: the parent directory cannot be written.
    """
    path = Path(path).absolute()
    occupied = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if occupied and not (path / marker).is_file():
        raise FileExistsError(f"{path} exists and holds no {what}: it is left alone. Choose another path.")
    if occupied and not overwrite:
        raise FileExistsError(
            f"{path} already holds a {what}. Pass overwrite=True to replace it, or choose another path."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    building = _beside(path)
    building.mkdir()
    try:
        yield building
        sync_directory(building)
        aside = _beside(path)
        if occupied:
            os.replace(path, aside)
        try:
            os.replace(building, path)
        except OSError:
            if occupied:
                os.replace(aside, path)
            raise
        sync_directory(path.parent)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def sweep_temporary(directory: Path) -> None:
    """Delete the temporary files of runs that were killed; nobody else may be writing there."""
    for path in directory.glob(f"{TEMPORARY_PREFIX}*"):
        if path.is_file():
            path.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{os.getpid()}-{secrets.token_hex(4)}")


def _explain(error: OSError, path: Path, num_bytes: int) -> OSError:
    reason = error.strerror or str(error)
    message = (
        f"{reason}: could not write {path} ({num_bytes:,} bytes were needed). "
        "Nothing was left half-written; free some space or choose another directory, then run again"
    )
    return OSError(error.errno, message, str(path)) if error.errno else OSError(message)
