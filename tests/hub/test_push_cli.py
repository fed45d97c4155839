"""`hf-datasel push` from files on the disk to a Hub on loopback."""

import json
from pathlib import Path

import pytest
import yaml

from hf_datasel import Trace
from tests.hub.loopback import ClientProcess, LoopbackHub
from tests.hub.pushing import OURS, clustered_selection, source, trace

RUN = """
import contextlib, io
from hf_datasel.cli import main
out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    code = main(line)
return [code, out.getvalue(), err.getvalue()]
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, what was recorded on it, and what was selected."""
    root, rows = tmp_path_factory.mktemp("files"), source()
    rows.save_to_disk(root / "rows")
    clustered_selection(rows).save(root / "selection")
    recorded = trace(rows)
    kept = Trace.create(root / "trace", recorded.ids, fingerprint=recorded.fingerprint, info={"model": "tiny/llama"})
    for number in range(recorded.num_checkpoints):
        kept.write_column(recorded.column(number), step=number + 1, learning_rate=0.1)
    kept.finish()
    (root / "recipe.yaml").write_text("method: s2l\nhub_token: t0psecret\n")
    return root


def run(client: ClientProcess, *line: object) -> tuple[int, str, str]:
    code, out, err = client(RUN, line=["push", *map(str, line)])
    return code, out, err


def test_everything_that_the_options_name_is_published(hub: LoopbackHub, client: ClientProcess, files: Path) -> None:
    repo = hub.new_id("set")
    line = (
        *("--repo_id", repo, "--dataset", files / "rows", "--selection_path", files / "selection"),
        *("--trace_dir", files / "trace", "--group_columns", "kind", "--recipe", files / "recipe.yaml"),
        *("--private", "--license", "mit", "--commit_message", "First", "--max_shard_size", "200"),
    )
    code, out, err = run(client, *line)
    assert (code, err) == (0, "")
    assert out == f"published 10 of 40 examples:\n{hub.url}/datasets/{repo}\n"
    found = hub.repo(repo)
    content = found.files()
    assert found.private
    assert found.titles() == ["First", "initial commit"]
    assert yaml.safe_load(content["selection/recipe.yaml"]) == {"method": "s2l"}
    assert yaml.safe_load(content["README.md"].split(b"---")[1])["license"] == "mit"
    assert {"assets/trajectory_clusters.png", "assets/groups_kind.csv"} <= set(content)
    assert sum(name.startswith("data/") for name in content) > 1
    manifest = json.loads(content["selection/manifest.json"])
    assert manifest["models"] == [{"model": "tiny/llama"}]
    assert manifest["source"]["id"] is None
    code, out, err = run(client, *line)
    assert (code, out) == (0, f"nothing to push, 10 of 40 examples are there already:\n{hub.url}/datasets/{repo}\n")


def test_a_config_file_a_branch_and_a_pull_request(
    hub: LoopbackHub, client: ClientProcess, files: Path, tmp_path: Path
) -> None:
    repo = hub.create(hub.new_id("set"))
    config = tmp_path / "push.yaml"
    options = {"repo_id": repo.id, "dataset": str(files / "rows"), "selection_path": str(files / "selection")}
    config.write_text(yaml.safe_dump({**options, "group_columns": ["kind"], "private": False}))
    code, out, _ = run(client, "--config", config, "--create_pr")
    assert (code, out) == (0, f"published 10 of 40 examples:\n{hub.url}/datasets/{repo.id}/discussions/1\n")
    assert run(client, "--config", config, "--revision", "try")[0] == 0
    assert set(repo.files()) == {".gitattributes"}
    assert set(repo.files("try")) >= OURS


def test_a_dataset_of_the_hub_is_named_with_its_commit(
    hub: LoopbackHub, client: ClientProcess, tmp_path: Path
) -> None:
    origin, repo = hub.new_id("origin"), hub.new_id("set")
    client(
        """
        from datasets import load_dataset
        from hf_datasel import RandomSelector, add_example_ids
        from tests.hub.pushing import source
        source().remove_columns("example_id").push_to_hub(origin, "odd", split="test")
        rows = add_example_ids(load_dataset(origin, "odd", split="test"))
        RandomSelector(budget=3).select(rows).save(path)
        """,
        origin=origin,
        path=str(tmp_path / "selection"),
    )
    named = ("--dataset", origin, "--dataset_config", "odd", "--dataset_split", "test")
    code, _, err = run(client, "--repo_id", repo, *named, "--selection_path", tmp_path / "selection")
    assert (code, err) == (0, "")
    told = json.loads(hub.repo(repo).files()["selection/manifest.json"])["source"]
    told.pop("fingerprint")
    assert told == {"id": origin, "revision": hub.repo(origin).head().oid, "config": "odd", "split": "test"}


def test_what_a_report_drew_is_published(hub: LoopbackHub, client: ClientProcess, files: Path, tmp_path: Path) -> None:
    repo = hub.new_id("set")
    both = ("--dataset", files / "rows", "--selection_path", files / "selection")
    code, _, err = client(
        RUN, line=["report", *map(str, both), "--group_columns", "kind", "--output_dir", str(tmp_path / "report")]
    )
    assert (code, err) == (0, "")
    assert run(client, "--repo_id", repo, *both, "--report_dir", tmp_path / "report")[0] == 0
    content = hub.repo(repo).files()
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "report" / "pictures").glob("*.[pc][ns][gv]")}
    assert {"groups_kind.png", "groups_kind.csv"} <= set(drawn)
    assert {name: content[f"assets/{name}"] for name in drawn} == drawn
    assert b"Rows by kind, before and after" in content["README.md"]


@pytest.mark.parametrize(
    ("options", "login", "why"),
    [
        ({}, "hf_read", "may only read"),
        ({}, None, "needs a token"),
        ({"--repo_id": "a/b/c"}, "hf_write", "is no name for a repo"),
        ({"--create_pr": "true"}, "hf_write", "could go to"),
        ({"--group_columns": "sauce"}, "hf_write", "no column 'sauce'"),
        ({"--max_shard_size": "big"}, "hf_write", "max_shard_size='big' is no size"),
    ],
)
def test_a_refusal_is_one_line(
    hub: LoopbackHub, client: ClientProcess, files: Path, options: dict[str, str], login: str | None, why: str
) -> None:
    defaults = {
        "--repo_id": hub.new_id("set"),
        "--dataset": str(files / "rows"),
        "--selection_path": str(files / "selection"),
    }
    line = [part for pair in {**defaults, **options}.items() for part in pair]
    code, out, err = client(RUN, line=["push", *line], login=login)
    assert (code, out) == (1, "")
    assert err.startswith("hf-datasel push: error: ")
    assert why in err
    assert err.count("\n") == 1
    assert hub.repos == {}
