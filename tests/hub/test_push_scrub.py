"""Secrets do not reach what is published, and what is none does."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.hub.recipe import recipe_text
from hf_datasel.hub.scrub import names_a_secret, without_secrets
from tests.hub.pushing import clustered_selection, source

SECRETS = (
    *(
        "token",
        "hub_token",
        "push_to_hub_token",
        "HF_TOKEN",
        "hfToken",
        "use_auth_token",
        "api-key",
        "apiKey",
        "apikey",
    ),
    *("WANDB_API_KEY", "openai_api_key", "aws_secret_access_key", "private_key", "password", "db.password", "passwd"),
    *("passphrase", "client_secret", "secrets", "credentials", "authorization", "hf_tokens", "sessionToken", "cookie"),
)
INNOCENT = (
    *(
        "tokenizer",
        "tokenizer_name_or_path",
        "max_new_tokens",
        "tokens_per_batch",
        "pad_token",
        "eos_token",
        "bos_token",
    ),
    *(
        "pad_token_id",
        "num_tokens",
        "special_tokens",
        "token_weight",
        "key",
        "keys",
        "group_key",
        "author",
        "seed",
        "model",
    ),
    *(
        "hub_model_id",
        "hub_strategy",
        "dataset",
        "access",
        "secretary",
        "average_tokens_across_devices",
        "text_column",
    ),
)


@pytest.mark.parametrize("key", SECRETS)
def test_a_secret_is_known_by_its_name(key: str) -> None:
    assert names_a_secret(key)


@pytest.mark.parametrize("key", INNOCENT)
def test_an_option_is_no_secret(key: str) -> None:
    assert not names_a_secret(key)


VALUES = st.none() | st.booleans() | st.integers() | st.text("xyz ", max_size=5)
PLAIN = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNOCENT), inner, max_size=3)
)


@given(PLAIN)
def test_what_holds_no_secret_is_left_as_it_is(content: Any) -> None:
    assert without_secrets(content) == content


@given(st.lists(st.sampled_from(INNOCENT) | st.integers(0, 2), max_size=4), st.sampled_from(SECRETS), PLAIN)
def test_a_secret_at_any_depth_is_gone_and_nothing_else(path: list[str | int], key: str, beside: Any) -> None:
    content: Any = {key: "t0psecret", "beside": beside}
    expected: Any = {"beside": beside}
    for step in path:
        wrap = (
            (lambda one, n=step: [*["x"] * n, one]) if isinstance(step, int) else (lambda one, name=step: {name: one})
        )
        content, expected = wrap(content), wrap(expected)
    assert without_secrets(content) == expected


@pytest.mark.parametrize(
    "value",
    ["hf_abc", "hf_" + "aB3" * 12, f"see hf_{'x' * 34} there", "https://me:pw@example.com/x.git", "Bearer abc"],
)
def test_a_secret_is_known_by_its_looks(value: str) -> None:
    assert without_secrets({"a": value, "b": [1, value], "c": 2}) == {"b": [1], "c": 2}


@pytest.mark.parametrize("value", ["hf_datasel", "hf_hub:timm/x", "https://example.com/hf_x", "shelf_life", "a:b@c"])
def test_a_value_that_only_begins_like_one_stays(value: str) -> None:
    assert without_secrets({"a": value}) == {"a": value}


def test_command_lines_lose_the_secret_with_its_flag() -> None:
    line = ["train", "--hub_token", "abc", "--seed", "3", "--api-key=xyz", "--password", "--lr", "-1"]
    assert without_secrets({"command": line}) == {"command": ["train", "--seed", "3", "--lr", "-1"]}


def test_switches_and_what_is_not_set_tell_nothing() -> None:
    assert without_secrets({"use_auth_token": True, "hub_token": None}) == {"use_auth_token": True, "hub_token": None}


def test_a_recipe_from_a_file_loses_secrets_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("# hub_token: hf_abc\nmethod: s2l  # password: x\nhub_token: hf_abc\nname: ü\nbudget: 0.1\n")
    assert recipe_text(path, clustered_selection(source())) == "method: s2l\nname: ü\nbudget: 0.1\n"


def test_without_a_recipe_the_selection_tells_its_steps() -> None:
    told = yaml.safe_load(recipe_text(None, clustered_selection(source())))
    assert [step["selector"] for step in told["steps"]] == ["s2l"]
    assert told["steps"][0]["config"]["num_clusters"] == 3
