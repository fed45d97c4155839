"""A push and what becomes of it, between the real clients and a Hub on loopback."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from hf_datasel.content import content_digest
from tests.hub.loopback import ClientProcess, LoopbackHub
from tests.hub.pushing import OURS, scored_selection, source

PUSH = "from tests.hub.pushing import push; return push(repo, **options)"


def pushed(client: ClientProcess, repo: str, login: str | None = "hf_write", **options: object) -> dict:
    return client(PUSH, repo=repo, options=options, login=login)


@pytest.fixture
def repo(hub: LoopbackHub) -> str:
    return hub.new_id("set")


def ids_in(hub: LoopbackHub, repo: str, revision: str = "main") -> list[int]:
    """Example ids of the kept rows, out of the files that stand there."""
    files = hub.repo(repo).files(revision)
    shards = sorted(name for name in files if name.startswith("data/"))
    return [one for name in shards for one in pq.read_table(io.BytesIO(files[name]))["example_id"].to_pylist()]


def test_one_commit_holds_everything_and_loads(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    answer = client(
        """
        from datasets import load_dataset
        from hf_datasel import push_selection_to_hub
        from tests.hub.pushing import scored_selection, source, trace
        rows = source()
        selection = scored_selection(rows)
        commit = push_selection_to_hub(repo, rows, selection, evidence=trace(rows), group_columns=["kind"])
        selected, scores = load_dataset(repo, split="train"), load_dataset(repo, "scores", split="train")
        stream = load_dataset(repo, split="train", streaming=True)
        return {
            "url": str(commit), "pr_url": commit.pr_url, "selected": selected.to_dict(), "scores": scores.to_dict(),
            "streamed": list(stream), "labels": selected.features["kind"].names,
            "types": {name: value.dtype for name, value in scores.features.items()},
        }
        """,
        repo=repo,
    )
    files, rows = hub.repo(repo).files(), source()
    selection = scored_selection(rows)
    assert hub.repo(repo).titles() == ["Publish 10 of 40 rows, selected by perplexity", "initial commit"]
    assert answer["url"].endswith(f"/datasets/{repo}/commit/{hub.repo(repo).head().oid}")
    assert answer["pr_url"] is None
    assert set(files) >= OURS
    kept = selection.apply(rows)
    assert answer["selected"] == kept.to_dict()
    assert answer["streamed"] == kept.to_list()
    assert answer["labels"] == ["common", "rare"]
    scores = answer["scores"]
    assert scores["example_id"] == list(range(40))
    assert scores["kept"] == [row in selection.ids for row in range(40)]
    assert scores["candidate"] == [row >= 3 for row in range(40)]
    assert scores["score"] == [None] * 3 + [float(score) for score in selection.scores]
    names = ["rare" if row % 3 == 0 else "common" for row in range(40)]
    assert scores["stratum"] == [None] * 3 + names[3:]
    alone = [content_digest(rows.select([row]), np.zeros(1, np.int64), ("kind", "text")) for row in range(40)]
    assert scores["content_hash"] == alone
    assert answer["types"] == {
        **{"example_id": "int64", "content_hash": "string", "candidate": "bool", "kept": "bool"},
        **{"score": "float32", "stratum": "string"},
    }
    manifest = json.loads(files["selection/manifest.json"])
    assert manifest["counts"] == {"source": 40, "candidates": 37, "kept": 10}
    assert [step["selector"] for step in manifest["provenance"]] == ["perplexity"]
    assert sorted(name for name in files if name.startswith("assets/")) == manifest["assets"] != []
    card = files["README.md"].decode()
    assert all(f"({name})" in card for name in manifest["assets"])
    assert "| `rare` | 14 |" in card


def test_the_same_again_is_no_commit_and_says_so(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    first = pushed(client, repo)
    hub.requests.clear()
    second = pushed(client, repo)
    assert second["oid"] == first["oid"] == hub.repo(repo).head().oid
    assert second["warnings"] == [f"{first['url']} holds this selection already: nothing was pushed."]
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}


def test_files_that_were_changed_in_between_are_put_right(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    pushed(client, repo)
    before = hub.repo(repo).files()
    names = ["data/selected-00000-of-00001.parquet", "selection/manifest.json"]
    hub.repo(repo).commit({name: before[name][::-1] for name in names})  # of the same size
    pushed(client, repo, overwrite=True)
    assert hub.repo(repo).files() == before


def test_another_selection_takes_the_place_of_the_first(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    pushed(client, repo, budget=30, max_shard_size=300, pictures=None, group_columns=["kind"])
    before = hub.repo(repo).files()
    assert sum(name.startswith("data/selected-") for name in before) > 2
    assert "assets/groups_kind.png" in before
    hub.repo(repo).commit({"assets/mine.png": b"\0mine", "notebook.ipynb": b"{}"})
    answer = pushed(client, repo, budget=5, seed=1)
    assert set(hub.repo(repo).files()) == OURS | {".gitattributes", "assets/mine.png", "notebook.ipynb"}
    assert ids_in(hub, repo) == answer["ids"]
    assert len(hub.repo(repo).titles()) == 4


def test_a_card_edited_in_between_keeps_what_was_written(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    pushed(client, repo)
    card = hub.repo(repo).files()["README.md"].decode()
    note = "These rows are about rows."
    edited = card.replace("---\n", "---\nlicense: cc-by-4.0\nlanguage: en\n", 1)
    edited = re.sub(
        r"(<!-- hf_datasel:notes:start -->\n).*?\n(<!--)", rf"\1{note}\n\2", edited, count=1, flags=re.DOTALL
    )
    assert note in edited
    hub.repo(repo).commit({"README.md": edited.encode()})
    pushed(client, repo, seed=1)
    now = hub.repo(repo).files()["README.md"].decode()
    metadata = yaml.safe_load(now.split("---")[1])
    assert (metadata["license"], metadata["language"]) == ("cc-by-4.0", "en")
    assert [config["config_name"] for config in metadata["configs"]] == ["selected", "scores"]
    assert note in now


def test_a_pull_request_leaves_the_branch_alone(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    first = pushed(client, repo)
    before = hub.repo(repo).files()
    answers = [
        pushed(client, repo, login=login, seed=seed, create_pr=True, commit_message=f"Seed {seed}")
        for seed, login in ((1, hub.tokens.write), (2, hub.tokens.stranger))
    ]
    assert hub.repo(repo).files() == before
    assert [pull.title for pull in hub.repo(repo).pulls] == ["Seed 1", "Seed 2"]
    for number, answer in enumerate(answers, start=1):
        assert answer["pr_url"].endswith(f"/datasets/{repo}/discussions/{number}")
        assert ids_in(hub, repo, f"refs/pr/{number}") == answer["ids"] != first["ids"]
    loaded = client(
        """
        from datasets import load_dataset
        return load_dataset(repo, revision="refs/pr/1", split="train")["example_id"][:]
        """,
        repo=repo,
    )
    assert loaded == answers[0]["ids"]
    more = pushed(client, repo, seed=3, revision="refs/pr/1")
    assert ids_in(hub, repo, "refs/pr/1") == more["ids"]
    assert len(hub.repo(repo).pulls) == 2


def test_a_branch_is_made_where_it_is_missing(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    pushed(client, repo, revision="try")
    assert set(hub.repo(repo).files()) == {".gitattributes"}
    assert set(hub.repo(repo).files("try")) == OURS | {".gitattributes"}
    answer = pushed(client, repo, revision="try", seed=1)
    assert ids_in(hub, repo, "try") == answer["ids"]
    assert len(hub.repo(repo).titles("try")) == 3


def test_a_new_repo_is_as_private_as_was_asked_for(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    answer = pushed(client, repo.removeprefix("alice/"), private=True)
    assert hub.repo(repo).private
    assert f"/datasets/{repo}/commit/" in answer["url"]
    assert pushed(client, repo, private=True)["warnings"]


def test_other_content_stays_where_overwriting_is_asked_for(
    hub: LoopbackHub, client: ClientProcess, repo: str
) -> None:
    loaded = client(
        """
        from datasets import Dataset, load_dataset
        from tests.hub.pushing import push
        Dataset.from_dict({"a": [1, 2]}).push_to_hub(repo)
        Dataset.from_dict({"b": [1, 2]}).push_to_hub(repo, "selected", data_dir="elsewhere")
        ids = push(repo, overwrite=True, license="mit")["ids"]
        default, other = load_dataset(repo, split="train"), load_dataset(repo, "other", split="train")
        return [ids, default["example_id"][:], default.column_names, other["a"][:]]
        """,
        repo=repo,
    )
    ids, default, columns, other = loaded
    assert default == ids
    assert columns == ["text", "kind", "example_id"]
    assert other == [1, 2]
    assert {"data/train-00000-of-00001.parquet", "elsewhere/train-00000-of-00001.parquet"} <= set(
        hub.repo(repo).files()
    )
    assert pushed(client, repo, seed=1)["warnings"] == []  # it is ours now


def test_no_secret_reaches_the_hub(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    recipe = {"method": "random", "hub_token": "t0psecret", "login": {"password": "t0psecret", "seeds": [1]}}
    pushed(client, repo, recipe=recipe)
    files = hub.repo(repo).files()
    assert yaml.safe_load(files["selection/recipe.yaml"]) == {"method": "random", "login": {"seeds": [1]}}
    for secret in (b"t0psecret", hub.tokens.write.encode()):
        assert not [name for name, content in files.items() if secret in content]


def test_a_dataset_of_the_hub_is_named_as_the_source(
    hub: LoopbackHub, client: ClientProcess, repo: str, tmp_path: Path
) -> None:
    origin, path = hub.new_id("CamelCase"), tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    found = client(
        """
        from datasets import Dataset, load_dataset
        from hf_datasel import RandomSelector, add_example_ids, push_selection_to_hub
        from hf_datasel.hub import find_source
        Dataset.from_dict({"a": list(range(20))}).push_to_hub(origin, "odd", split="test")
        rows = load_dataset(origin, "odd", split="test")
        numbered = add_example_ids(rows)
        push_selection_to_hub(repo, numbered, RandomSelector(budget=3).select(numbered), pictures=())
        others = {
            "mapped": rows.map(lambda row: {"a": row["a"] + 1}),
            "cut": rows.select(range(5)),
            "filtered": rows.filter(lambda row: row["a"] > 3),
            "part": load_dataset(origin, "odd", split="test[:10]"),
            "in memory": Dataset.from_dict({"a": [1]}),
            "from a file": load_dataset("json", data_files=path, split="train"),
        }
        return [name for name, one in others.items() if find_source(one) is not None]
        """,
        repo=repo,
        origin=origin,
        path=str(path),
    )
    assert found == []
    told = json.loads(hub.repo(repo).files()["selection/manifest.json"])["source"]
    assert told.pop("fingerprint")["num_rows"] == 20
    assert told == {"id": origin, "revision": hub.repo(origin).head().oid, "config": "odd", "split": "test"}
