"""What is refused: the message says what is wrong and the way out, and the repo stays as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features

from hf_datasel import Embeddings, Selection, add_example_ids, push_selection_to_hub
from hf_datasel.hub import Retry
from hf_datasel.hub.head import Head
from hf_datasel.report import Picture
from tests.hub.loopback import ClientError, ClientProcess, LoopbackHub
from tests.hub.pushing import random_selection, source

PUSH = "from tests.hub.pushing import push; return push(repo, **options)"


def refused(kind: type[Exception], match: str, dataset: Any = None, selection: Any = None, **options: Any) -> None:
    """Refused without a look at the Hub, which cannot be reached from here."""
    rows = source() if dataset is None else dataset
    chosen = random_selection(source()) if selection is None else selection
    repo_id = options.pop("repo_id", "me/set")
    with pytest.raises(kind, match=match):
        push_selection_to_hub(repo_id, rows, chosen, **{"pictures": (), "token": "hf_x", **options})


@pytest.mark.parametrize("repo_id", ["me/a/b", "me/-set", "me/set.git", "me/a--b", "me/" + 97 * "a", "me/a b", ""])
def test_a_name_that_the_hub_refuses(repo_id: str) -> None:
    refused(ValueError, "is no name for a repo", repo_id=repo_id)


def test_a_commit_cannot_be_pushed_to() -> None:
    refused(ValueError, "is a commit.*name a branch", revision="0" * 40)


@pytest.mark.parametrize("token", [False, ""])
def test_without_a_token(token: bool | str) -> None:
    refused(PermissionError, "needs a token.*hf auth login", token=token)


def test_nothing_was_kept() -> None:
    selection = Selection(candidate_ids=np.arange(40), kept=np.zeros(40, bool))
    refused(ValueError, "keeps no row.*Select again", selection=selection)


def test_what_is_no_table() -> None:
    refused(TypeError, "dictionary of splits", dataset=DatasetDict({"train": source()}))
    refused(TypeError, "rows of a stream", dataset=source().to_iterable_dataset())


def test_rows_of_another_dataset() -> None:
    other = add_example_ids(Dataset.from_dict({"text": ["other"] * 40}))
    refused(ValueError, "belongs to another dataset", dataset=other)


def test_only_the_kept_rows() -> None:
    selection = random_selection(source())
    refused(ValueError, "not what was kept of it", dataset=selection.apply(source()), selection=selection)


def test_ids_of_another_type() -> None:
    rows = Dataset.from_dict({"text": ["a"] * 40, "example_id": ["x"] * 40})
    refused(ValueError, "'example_id' is of string, not of int64", dataset=rows)


@pytest.mark.parametrize(
    ("feature", "value"),
    [({}, {}), (Features({"inner": {}}), {"inner": {}})],
    ids=["empty struct", "nested"],
)
def test_a_column_that_parquet_cannot_hold_is_named(feature: Any, value: Any) -> None:
    rows = Dataset.from_dict({"text": ["a"] * 40, "odd": [value] * 40})
    assert rows.features["odd"] == feature
    refused(ValueError, r"Column 'odd' is of struct.*remove_columns\('odd'\)", dataset=rows)


def test_no_such_group_column() -> None:
    refused(ValueError, "no column 'sauce' to group by", group_columns=["sauce"])


def test_evidence_of_another_kind() -> None:
    refused(TypeError, "evidence of a report must be of Trace", evidence=[1.0])
    other = Embeddings.from_arrays([1, 2], [[0.0], [1.0]], embedder={"name": "mine"})
    refused(ValueError, "does not have example", evidence=other)


@pytest.mark.parametrize("size", ["large", "12 parsecs", 0, -1, None])
def test_a_size_that_is_none(size: Any) -> None:
    refused(ValueError, "max_shard_size=", max_shard_size=size)


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    refused(FileNotFoundError, "no recipe at", recipe=path)
    path.write_text("a: [1")
    refused(ValueError, "is no YAML", recipe=path)
    path.write_text("- a\n- b\n")
    refused(ValueError, "no mapping of options", recipe=str(path))
    refused(ValueError, "holds what YAML cannot", recipe={"a": object()})


def test_pictures_that_are_not_there_or_have_one_name(tmp_path: Path) -> None:
    png, csv = tmp_path / "a.png", tmp_path / "a.csv"
    picture = Picture(png, csv, "A", "An a.")
    refused(FileNotFoundError, "no picture, or table of its numbers, at", pictures=[picture])
    png.touch()
    csv.touch()
    refused(ValueError, "2 files of the pictures are called a.png", pictures=[picture, picture])


@pytest.mark.parametrize("retry", [Retry(max_attempts=0), Retry(first_wait=-1.0)])
def test_a_retry_that_makes_no_sense(retry: Retry) -> None:
    refused(ValueError, "makes no sense", retry=retry)


def test_without_a_network() -> None:
    refused(ConnectionError, "offline mode is enabled.*HF_HUB_OFFLINE")


def told(client: ClientProcess, repo: str, login: str | None = "hf_write", **options: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        client(PUSH, repo=repo, options=options, login=login)
    assert "\n" not in caught.value.message
    return caught.value.type, caught.value.message


def test_a_token_that_does_not_do(hub: LoopbackHub, client: ClientProcess) -> None:
    repo = hub.new_id("set")
    for login, why in (
        (None, "there is none"),
        (hub.tokens.unknown, "does not accept the token"),
        (hub.tokens.read, "The token of alice may only read"),
    ):
        kind, message = told(client, repo, login)
        assert kind == "PermissionError"
        assert why in message
        assert "HF_TOKEN" in message
    kind, message = told(client, repo, hub.tokens.stranger)
    assert (kind, f"may not write to {repo}" in message, "create_pr=True" in message) == (
        "PermissionError",
        True,
        True,
    )
    assert ("dataset", repo) not in hub.repos


@pytest.mark.parametrize("private", [True, False])
def test_a_repo_of_the_other_visibility(hub: LoopbackHub, client: ClientProcess, private: bool) -> None:
    repo = hub.create(hub.new_id("set"), private=not private).id
    kind, message = told(client, repo, private=private)
    assert kind == "ValueError"
    assert f"exists and is {'public' if private else 'private'}. Change it in the repo's settings" in message
    assert hub.repo(repo).private is not private
    assert len(hub.repo(repo).titles()) == 1


def test_a_private_repo_of_somebody_else(hub: LoopbackHub, client: ClientProcess) -> None:
    repo = hub.create(hub.new_id("set"), private=True).id
    assert told(client, repo, hub.tokens.stranger)[0] == "PermissionError"


@pytest.mark.parametrize(
    "content",
    [
        {"data/train-00000-of-00001.parquet": b"x"},
        {"README.md": b"---\nlicense: mit\n---\n# Mine\n"},
        {"selection/manifest.json": b'{"format": "mine"}'},
        {"selection/manifest.json": b"\xff no JSON"},
    ],
    ids=["data", "card", "manifest", "no manifest"],
)
def test_a_repo_with_other_content(hub: LoopbackHub, client: ClientProcess, content: dict[str, bytes]) -> None:
    repo = hub.create(hub.new_id("set"))
    head = repo.commit(content)
    kind, message = told(client, repo.id)
    assert kind == "FileExistsError"
    assert f"holds other content ({next(iter(content))})" in message
    assert "overwrite=True (--overwrite)" in message
    assert repo.head() is head
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}


def test_what_the_hub_puts_into_a_new_repo_is_no_content(hub: LoopbackHub, client: ClientProcess) -> None:
    repo = hub.create(hub.new_id("set"))
    repo.commit({"README.md": b"---\nlicense: mit\n---\n", "LICENSE": b"MIT", ".gitignore": b"*.parquet\n"})
    ignored = client(
        """
        import huggingface_hub._commit_api as commits
        from unittest import mock
        from tests.hub.pushing import push
        with mock.patch.object(commits, "http_backoff", wraps=commits.http_backoff) as sent:
            push(repo)
        return [call.kwargs["json"].get("gitIgnore") for call in sent.mock_calls if "/preupload/" in str(call.args)]
        """,
        repo=repo.id,
    )
    assert b"license: mit" in repo.files()["README.md"]
    assert ignored == [""]  # the user's rules do not hold for what is published


def test_a_card_that_cannot_be_read() -> None:
    head = Head("0" * 40, private=False, files={}, card="---\na: [1\n---\n", manifest={})
    with pytest.raises(ValueError, match=r"README.md.*cannot be read.*Mend it on the Hub.*--overwrite"):
        head.previous_card(overwrite=False)
    assert head.previous_card(overwrite=True) is None


def test_revisions_that_cannot_be_made(hub: LoopbackHub, client: ClientProcess) -> None:
    repo = hub.new_id("set")
    assert told(client, repo, create_pr=True)[0] == "FileNotFoundError"
    assert told(client, repo, revision="refs/pr/1")[0] == "FileNotFoundError"
    hub.create(repo)
    for options in ({"revision": "refs/pr/9"}, {"revision": "nowhere", "create_pr": True}):
        kind, message = told(client, repo, **options)
        assert (kind, "has no revision" in message) == ("ValueError", True)
    assert list(hub.repo(repo).refs) == ["refs/heads/main"]


def test_an_image_whose_file_is_gone(hub: LoopbackHub, client: ClientProcess, tmp_path: Path) -> None:
    repo = hub.new_id("set")
    with pytest.raises(ClientError) as caught:
        client(
            """
            from datasets import Dataset, Image
            from hf_datasel import push_selection_to_hub
            from tests.hub.pushing import random_selection
            from hf_datasel import add_example_ids
            rows = Dataset.from_dict({"text": ["a"] * 20, "image": [path] * 20}).cast_column("image", Image())
            rows = add_example_ids(rows)
            push_selection_to_hub(repo, rows, random_selection(rows), pictures=())
            """,
            repo=repo,
            path=str(tmp_path / "gone.png"),
        )
    assert caught.value.type == "ValueError"
    assert "columns ['image'] cannot be read" in caught.value.message
    assert ("dataset", repo) not in hub.repos
