"""A commit as clients send it, one JSON object a line, and what it makes of a tree."""

import base64
import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from tests.hub.loopback.answers import HubError
from tests.hub.loopback.repos import LARGE_SIZE, File

KINDS = {"file", "lfsFile", "deletedFile", "deletedFolder"}


def parse(body: bytes) -> tuple[dict, list[tuple[str, dict]]]:
    """The header and the operations (kind, value); HubError 400 where a line is not what it should be."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        items = [(line["key"], dict(line["value"])) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise HubError(400, f"The commit is not lines of JSON with a key and a value: {error}") from error
    if not items or items[0][0] != "header" or not items[0][1].get("summary"):
        raise HubError(400, "The first line of a commit is its header with a summary")
    for kind, value in items[1:]:
        if kind not in KINDS:
            raise HubError(400, f"Unknown operation {kind!r}")
        check_path(value.get("path", ""))
    return items[0][1], items[1:]


def check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or {"..", ".git"} & set(parts):
        raise HubError(400, f"Invalid path in a commit: {path!r}")


def apply(
    operations: list[tuple[str, dict]], before: Mapping[str, File], large: Mapping[str, bytes]
) -> dict[str, File]:
    """The tree that the operations make of `before`, which stays as it is; HubError where one cannot be applied.

    `large`: the uploaded large files; a commit that names another is refused.
    """
    tree = dict(before)
    for kind, value in operations:
        path = value["path"].rstrip("/")
        if kind == "file":
            tree[path] = File(regular_content(path, value), is_large=False)
        elif kind == "lfsFile":
            tree[path] = File(large_content(path, value, large), is_large=True)
        else:
            gone = [path] if kind == "deletedFile" else [name for name in tree if name.startswith(path + "/")]
            if not gone or not set(gone) <= tree.keys():
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for name in gone:
                del tree[name]
    for path in tree:
        if any(str(folder) in tree for folder in PurePosixPath(path).parents):
            raise HubError(400, f"{path} lies in a folder that is a file")
    return tree


def regular_content(path: str, value: dict) -> bytes:
    content = value.get("content", "")
    if value.get("encoding") == "base64":
        try:
            data = base64.b64decode(content, validate=True)
        except ValueError as error:
            raise HubError(400, f"The content of {path} is not base64: {error}") from error
    else:
        data = content.encode()
    if len(data) > LARGE_SIZE:
        raise HubError(413, f"{path} is too large for a regular file")
    return data


def large_content(path: str, value: dict, large: Mapping[str, bytes]) -> bytes:
    content = large.get(value.get("oid", ""))
    if value.get("algo") != "sha256" or content is None:
        raise HubError(400, f"An LFS pointer pointed to a file that does not exist. Offending file: {path}")
    if value.get("size", len(content)) != len(content):
        raise HubError(400, f"The size in the LFS pointer of {path} is not its file's")
    return content
