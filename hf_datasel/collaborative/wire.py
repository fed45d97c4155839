"""Typed messages as bytes: a safetensors file whose header also holds the message's plain values. No pickle.

A message is a frozen dataclass that is registered here. Its fields hold numbers, strings, JSON objects, numpy arrays,
bytes, other registered dataclasses, or None; whatever else is in one is refused on both sides of the wire.
"""

from __future__ import annotations

import json
import struct
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

FORMAT = "hf_datasel message 1"
_KINDS: dict[str, type] = {}
Class = TypeVar("Class", bound=type)


def register(kind: Class) -> Class:
    """Let a frozen dataclass travel."""
    _KINDS[kind.__name__] = kind
    return kind


def encode(message: Any) -> bytes:
    """A registered message as bytes, the same bytes for the same content.

    Raises:
        TypeError: a field holds what cannot travel; names the field.
        ValueError: a number that JSON cannot hold (NaN, an infinity).
    """
    arrays: dict[str, np.ndarray] = {}
    values = _take_apart(message, type(message).__name__, arrays)
    header = json.dumps([FORMAT, values], sort_keys=True, allow_nan=False)
    return safetensors.numpy.save(arrays, metadata={"message": header})


def decode(payload: bytes) -> Any:
    """The inverse of :func:`encode`.

    Raises:
        ValueError: bytes that are cut off, damaged or no message, or a field missing, unknown or of another type.
    """
    try:
        (length,) = struct.unpack_from("<Q", payload)
        header = json.loads(payload[8 : 8 + length])["__metadata__"]["message"]
        layout, values = json.loads(header)
        arrays = safetensors.numpy.load(payload)
    except (struct.error, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"These {len(payload)} bytes are no message: cut off, or damaged ({error!r}).") from error
    if layout != FORMAT:
        raise ValueError(f"The message is of format {layout!r}; this hf_datasel reads {FORMAT!r}.")
    return _put_together(values, "message", arrays)


def describe(message: Any) -> dict[str, str]:
    """Every value in a message, by its path, as what it is: an array's dtype and shape, or the value's type.

    Example:
        >>> from hf_datasel.collaborative.messages import FilterReply
        >>> describe(FilterReply(has_rows=True))
        {'FilterReply.has_rows': 'bool', 'FilterReply.num_kept': 'NoneType'}
    """
    found: dict[str, str] = {}
    _walk(message, type(message).__name__, found)
    return found


def _walk(value: Any, path: str, found: dict[str, str]) -> None:
    if is_dataclass(value):
        for field in fields(value):
            _walk(getattr(value, field.name), f"{path}.{field.name}", found)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            _walk(value[key], f"{path}[{key}]", found)
    elif isinstance(value, np.ndarray):
        found[path] = f"{value.dtype}{list(value.shape)}"
    elif isinstance(value, bytes):
        found[path] = f"bytes[{len(value)}]"
    else:
        found[path] = type(value).__name__


def _take_apart(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if is_dataclass(value) and type(value).__name__ in _KINDS:
        hints = get_type_hints(type(value))
        content = {}
        for field in fields(value):
            held = getattr(value, field.name)
            _require_kind(held, hints[field.name], f"{path}.{field.name}", TypeError)
            content[field.name] = _take_apart(held, f"{path}.{field.name}", arrays)
        return {"kind": type(value).__name__, "content": content}
    if isinstance(value, np.ndarray):
        arrays[path] = np.ascontiguousarray(value)
        return {"kind": "array", "content": path}
    if isinstance(value, bytes):
        arrays[path] = np.frombuffer(value, np.uint8)
        return {"kind": "bytes", "content": path}
    if isinstance(value, Mapping):
        return {"kind": "mapping", "content": {k: _take_apart(v, f"{path}[{k}]", arrays) for k, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"kind": "list", "content": [_take_apart(v, f"{path}[{i}]", arrays) for i, v in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{path} holds {type(value).__name__}, which cannot travel: send numbers, text or arrays.")


def _put_together(value: Any, path: str, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    if value.keys() != {"kind", "content"}:
        raise ValueError(f"{path}: damaged, as {sorted(value)} says neither kind nor content.")
    kind, content = value["kind"], value["content"]
    if kind in ("array", "bytes"):
        if content not in arrays:
            raise ValueError(f"{path}: the array {content!r} is missing.")
        return arrays[content] if kind == "array" else arrays[content].tobytes()
    if kind == "mapping" and isinstance(content, dict):
        return {key: _put_together(item, f"{path}[{key}]", arrays) for key, item in content.items()}
    if kind == "list" and isinstance(content, list):
        return [_put_together(item, f"{path}[{index}]", arrays) for index, item in enumerate(content)]
    if kind not in _KINDS or not isinstance(content, dict):
        raise ValueError(f"{path}: {kind!r} is no message of this hf_datasel; it knows {sorted(_KINDS)}.")
    hints = get_type_hints(_KINDS[kind])
    if content.keys() != {field.name for field in fields(_KINDS[kind])}:
        raise ValueError(f"{kind}: fields {sorted(content)} do not fit {[f.name for f in fields(_KINDS[kind])]}.")
    values = {name: _put_together(item, f"{kind}.{name}", arrays) for name, item in content.items()}
    for name, item in values.items():
        _require_kind(item, hints[name], f"{kind}.{name}", ValueError)
    return _KINDS[kind](**values)


def _require_kind(value: Any, hint: Any, path: str, error: type[Exception]) -> None:
    """Refuse a field of another type than is annotated; of a generic only the container is looked at."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    allowed = tuple(get_origin(option) or option for option in options)
    is_bool = isinstance(value, bool)  # a bool is an int for Python, not for a message
    if not isinstance(value, allowed) or (is_bool and bool not in allowed):
        raise error(f"{path} must be {' or '.join(kind.__name__ for kind in allowed)}, not {type(value).__name__}.")
