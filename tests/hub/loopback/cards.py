"""The metadata of a card: the YAML block at the head of a README."""

import re

import yaml

from tests.hub.loopback.answers import HubError


def metadata(readme: str) -> dict | None:
    """The block's mapping, None where there is no block or nothing in it; HubError 400 where it is no YAML mapping."""
    block = re.match(r"---[ \t]*\r?\n(.*?)^---[ \t]*$", readme, re.DOTALL | re.MULTILINE)
    if block is None:
        return None
    try:
        found = yaml.safe_load(block[1])
    except yaml.YAMLError as error:
        raise HubError(400, f"The metadata is not YAML: {error}") from error
    if not isinstance(found, dict | None):
        raise HubError(400, "The metadata is not a mapping")
    return found
