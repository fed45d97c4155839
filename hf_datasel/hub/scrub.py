"""Taking secrets out of what is published.

Too much taken is a line missing in a recipe; too little is somebody's account. So a key that looks like the name of a
secret goes with all it holds, unless it is one of a tokenizer's special tokens.
"""

from __future__ import annotations

import re
from typing import Any

_SECRET_WORDS = {
    *("password", "passwd", "passphrase", "pwd", "secret", "secrets", "credential", "credentials"),
    *("apikey", "auth", "authorization", "bearer", "cookie", "cookies"),
}
_BEFORE_KEY = {"api", "access", "account", "private", "secret", "ssh", "signing", "encryption", "deploy"}
_BEFORE_TOKEN = {"api", "access", "auth", "bearer", "hf", "hub", "refresh", "session"}
# `pad_token` and its like are texts that a tokenizer knows.
_BEFORE_SPECIAL_TOKEN = {
    *("pad", "eos", "bos", "unk", "sep", "cls", "mask", "image", "audio", "video", "start", "end", "stop", "special"),
    *("decoder", "assistant", "user", "system", "tool", "eot", "eom", "boi", "eoi", "think", "fim", "per", "by"),
}
_SECRET_VALUE = re.compile(
    r"^hf_(?!datasel|hub:)"  # a token of the Hub
    r"|\bhf_[A-Za-z0-9]{20,}"
    r"|://[^/\s:@]+:[^/\s@]+@"  # user and password in an address
    r"|^Bearer\s"
)
_FLAG = re.compile(r"^--?([A-Za-z][\w-]*)(=.*)?$", re.DOTALL)


def without_secrets(content: Any) -> Any:
    """A copy of plain content (mappings, lists, scalars) without entries that look like secrets, at any depth.

    Example:
        >>> without_secrets({"seed": 1, "hub_token": "x", "steps": [{"api_key": "y"}, "hf_abc"], "pad_token": "<pad>"})
        {'seed': 1, 'steps': [{}], 'pad_token': '<pad>'}
    """
    if isinstance(content, dict):
        kept = {key: value for key, value in content.items() if not _is_secret(key, value)}
        return {key: without_secrets(value) for key, value in kept.items()}
    if isinstance(content, (list, tuple)):
        return [without_secrets(item) for item in _without_secret_arguments(list(content))]
    return content


def names_a_secret(key: str) -> bool:
    """Whether a key looks like the name of a token, a password or another secret.

    Example:
        >>> [names_a_secret(key) for key in ("HF_TOKEN", "wandbApiKey", "db-password", "max_new_tokens", "eos_token")]
        [True, True, True, False, False]
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", key)]
    if _SECRET_WORDS.intersection(words):
        return True
    for place, (before, word) in enumerate(zip(["", *words], words, strict=False), start=1):
        if word in ("key", "keys") and before in _BEFORE_KEY:
            return True
        if word in ("token", "tokens") and before in _BEFORE_TOKEN:
            return True
        if word == "token" and place == len(words) and before not in _BEFORE_SPECIAL_TOKEN:
            return True
    return False


def _is_secret(key: Any, value: Any) -> bool:
    if isinstance(value, str) and _SECRET_VALUE.search(value):
        return True
    # A switch such as `use_auth_token: true` tells nothing, and neither does what is not set.
    return value is not None and not isinstance(value, bool) and names_a_secret(str(key))


def _without_secret_arguments(items: list[Any]) -> list[Any]:
    """A list without secret values, read as a command line's arguments where it is one."""
    kept: list[Any] = []
    value_follows = False
    for item in items:
        flag = _FLAG.match(item) if isinstance(item, str) else None
        if value_follows and flag is None:
            value_follows = False
            continue
        secret = flag is not None and names_a_secret(flag[1])
        value_follows = secret and flag is not None and flag[2] is None
        if not secret and not (isinstance(item, str) and _SECRET_VALUE.search(item)):
            kept.append(item)
    return kept
