"""Where a published selection is read from, and what is said where it cannot be; and its source, loaded again."""

import json
from functools import partial

import pytest
from datasets import Dataset

from hf_datasel.selectors import RandomSelector
from tests.hub.loopback import ClientError
from tests.hub.published import (
    FILES,
    MANIFEST,
    NUM_ROWS,
    SELECTED,
    VERIFY,
    both_say,
    chosen,
    published,
    verified,
    with_manifest,
)


@pytest.fixture
def verify(hub, client):
    return partial(verified, hub, client)


def test_a_repo_of_somebody_else_is_refused(hub, client):
    for files in ({"data.csv": b"a\n1\n"}, {MANIFEST: b'{"format": "mine"}'}, {MANIFEST: b"[]"}):
        repo = hub.create(hub.new_id("set"))
        repo.commit(files)
        with pytest.raises(ClientError, match=f"{repo.id} was not published by hf_datasel: it") as raised:
            client(VERIFY, repo=repo.id, options={})
        assert raised.value.type == "ValueError"


def test_what_cannot_be_read_is_an_error_and_no_verdict(hub, client):
    repo = hub.create(hub.new_id("set"), private=True)
    repo.commit(FILES)
    assert client(VERIFY, repo=repo.id, options={"revision": "main"})[1]

    def refused(kind, words, login=hub.tokens.write, name=repo.id, **options):
        with pytest.raises(ClientError, match=words) as raised:
            client(VERIFY, login=login, repo=name, options=options)
        assert raised.value.type == kind
        assert "\n" not in raised.value.errors[0]["message"]

    refused("FileNotFoundError", "no dataset 'alice/none' on the Hub", name="alice/none")
    refused("FileNotFoundError", "or the token may not read it", login=hub.tokens.stranger)
    refused("FileNotFoundError", "has no revision 'dev'", revision="dev")
    refused("ValueError", "is no name for a repo", name="a/b/c")
    hub.faults.add("info", status=403)
    refused("PermissionError", "The token may not read")
    hub.faults.add("info", status=503)
    refused("ConnectionError", "the Hub answered 503")
    hub.faults.add("resolve", status=500, times=None)
    refused("ConnectionError", "the Hub answered 500")
    hub.faults.clear()
    hub.stop()  # what was read before is in no cache
    refused("ConnectionError", "the connection failed")


def test_another_revision_is_read(hub, client):
    repo = hub.create(hub.new_id("set"))
    first = repo.commit(FILES)
    repo.commit({**FILES, SELECTED: b"garbage"})
    assert client(VERIFY, repo=repo.id, options={"revision": first.oid})[:2] == [first.oid, True]
    assert not client(VERIFY, repo=repo.id, options={})[1]


class TestSource:
    @pytest.fixture
    def source(self, hub):
        """A dataset on the Hub without ids: rows are numbered as they come."""
        repo = hub.create(hub.new_id("source"))
        self.rows = Dataset.from_dict({"text": [f"row {row}" for row in range(NUM_ROWS)]})
        repo.commit({"data.jsonl": self.lines(self.rows)})
        return repo

    def lines(self, rows):
        return "".join(json.dumps(row) + "\n" for row in rows).encode()

    def files(self, source, revision, **columns):
        named = {"id": source.id, "revision": revision, "config": None, "split": "train", "fingerprint": None}
        rows = self.rows.add_column("example_id", list(range(NUM_ROWS)))
        for name, values in columns.items():
            rows = rows.add_column(name, values)
        return published(rows, chosen(RandomSelector, budget=20), named)

    def test_rows_are_compared_at_the_revision_that_was_selected_from(self, verify, source):
        first = source.head().oid
        source.commit({"data.jsonl": self.lines([{"text": f"changed {row}"} for row in range(NUM_ROWS)])})
        held, message = verify(self.files(source, first), ok=True, check_source=True)["source"]
        assert held
        assert message == f"all 90 rows of {source.id} (train) at {first[:12]} have the content that was hashed"
        held, message = verify(self.files(source, None), ok=False, check_source=True)["source"]
        assert "90 of 90 rows" in message
        assert "its head, as no revision was recorded" in message

    def test_a_row_that_was_changed_is_named(self, verify, source):
        texts = [f"row {row}" for row in range(NUM_ROWS)]
        source.commit({"data.jsonl": self.lines([{"text": text} for text in [*texts[:40], "x", *texts[41:]]])})
        message = verify(self.files(source, source.head().oid), ok=False, check_source=True)["source"][1]
        assert message.startswith("1 of 90 rows")
        assert message.endswith("have other content, example 40 the first")

    def test_another_dataset_is_told_by_its_rows_or_columns(self, verify, source):
        more = self.files(source, source.head().oid, label=[0] * NUM_ROWS)
        assert "has no columns ['label']" in verify(more, ok=False, check_source=True)["source"][1]
        source.commit({"data.jsonl": self.lines([{"text": "one"}])})
        message = verify(self.files(source, source.head().oid), ok=False, check_source=True)["source"][1]
        assert "has 1 rows, and others than the 90" in message

    def test_a_source_that_is_gone_fails_and_one_that_is_not_named_is_not_known(self, verify, source):
        gone = verify(self.files(source, "0" * 40), ok=False, check_source=True)["source"][1]
        assert "the source cannot be loaded" in gone
        held, message = verify(FILES, ok=True, check_source=True)["source"]
        assert held is None
        assert "names no split of a dataset on the Hub" in message


def test_what_was_pushed_holds_down_to_its_source(hub, client):
    """`push_selection_to_hub` finds the source, and `verify_selection` reads what it wrote and the source again."""
    source, repo = hub.create(hub.new_id("source")), hub.new_id("set")
    rows = [{"text": f"row {row}", "kind": "rare" if row % 4 == 0 else "common"} for row in range(40)]
    source.commit({"data.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()})
    code = """
        from datasets import load_dataset
        from hf_datasel import add_example_ids, push_selection_to_hub, strata
        from hf_datasel import RandomSelector, S2LSelector
        from tests.hub.pushing import trace
        rows = load_dataset(source, split="train")
        numbered = add_example_ids(rows)
        losses = trace(numbered)
        first = RandomSelector(budget=30).select(losses)
        groups = strata(numbered, "kind")
        chosen = S2LSelector(budget=16, num_clusters=3).select(losses, strata=groups, within=first)
        push_selection_to_hub(repo, rows, chosen, evidence=losses, pictures=(), max_shard_size="1KB")
    """
    client(code, source=source.id, repo=repo)
    assert len([name for name in hub.repo(repo).files() if name.endswith(".parquet")]) > 2
    _, ok, checks = client(VERIFY, repo=repo, options={"check_source": True})
    assert ok
    unknown = {name for name, (held, _) in checks.items() if held is None}
    assert unknown == {"earlier steps"}
    assert checks["source"][1].startswith(f"all 40 rows of {source.id} (train) at {source.head().oid[:12]}")
    manifest = json.loads(hub.repo(repo).files()[MANIFEST])
    manifest["provenance"][-1]["config"]["seed"] = manifest["config"]["seed"] = manifest["seed"] = 7
    hub.repo(repo).commit({MANIFEST: json.dumps(manifest).encode()})
    _, ok, checks = client(VERIFY, repo=repo, options={})
    assert (ok, checks["selection"][0]) == (False, False)


def test_the_command_prints_a_line_for_every_check(hub, client):
    repo = hub.create(hub.new_id("set"))
    repo.commit(FILES)
    code = """
        import contextlib, io
        from hf_datasel.cli import main
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = main(["verify", repo])
        return status, out.getvalue().splitlines(), errors.getvalue()
    """
    status, lines, errors = client(code, repo=repo.id)
    assert (status, lines[0], errors) == (0, f"{repo.id} at {repo.head().oid}", "")
    assert [line.split()[:2] for line in lines[1:4]] == [["ok", "manifest"], ["ok", "configs"], ["ok", "files"]]
    repo.commit(with_manifest(FILES, both_say("seed", 4)))
    status, lines, errors = client(code, repo=repo.id)
    assert status == 1
    assert lines[-1].split()[:2] == ["FAILED", "selection"]
    assert errors == f"hf-datasel verify: error: {repo.id} is not what it says: failed selection\n"
