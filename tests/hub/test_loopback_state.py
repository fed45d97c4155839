"""What the Hub on loopback remembers, against what git and plain dictionaries say; no process, no connection."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tests.hub.loopback.answers import HubError
from tests.hub.loopback.commits import apply, parse
from tests.hub.loopback.reading import resolve
from tests.hub.loopback.repos import File, Repo
from tests.hub.loopback.routing import Call

PATHS = st.sampled_from(["a", "b", "c/d", "c/e", "c/f/g"])
CONTENTS = st.sampled_from([b"one", b"two", b"three"])
UPLOADED = {File(content, True).sha256: content for content in (b"one", b"two")}


@st.composite
def operations(draw):
    kind, path, content = draw(st.sampled_from(["file", "lfsFile", "deletedFile", "deletedFolder"])), draw(PATHS), b""
    value = {"path": path}
    if kind == "file":
        value |= {"content": draw(CONTENTS).decode(), "encoding": "utf-8"}
    elif kind == "lfsFile":
        content = draw(CONTENTS)
        value |= {"algo": "sha256", "oid": File(content, True).sha256, "size": len(content)}
    elif kind == "deletedFolder":
        value = {"path": draw(st.sampled_from(["c", "c/f/", "a"]))}
    return kind, value


def slowly(operations, before):
    """The oracle: contents by path, None where an operation cannot be."""
    tree = dict(before)
    for kind, value in operations:
        path = value["path"].strip("/")
        below = [name for name in tree if name.split("/")[: len(path.split("/"))] == path.split("/") and name != path]
        if kind == "file":
            tree[path] = value["content"].encode()
        elif kind == "lfsFile" and value["oid"] in UPLOADED:
            tree[path] = UPLOADED[value["oid"]]
        elif kind == "deletedFile" and path in tree:
            tree.pop(path)
        elif kind == "deletedFolder" and below:
            tree = {name: content for name, content in tree.items() if name not in below}
        else:
            return None
    return tree


@given(st.lists(operations(), max_size=8), st.dictionaries(PATHS, CONTENTS))
def test_a_commit_applies_as_a_whole_or_not_at_all(todo, contents):
    before = {path: File(content, False) for path, content in contents.items()}
    kept, expected = dict(before), slowly(todo, contents)
    if expected is None:
        with pytest.raises(HubError):
            apply(todo, before, UPLOADED)
    else:
        assert {path: file.content for path, file in apply(todo, before, UPLOADED).items()} == expected
    assert before == kept


@given(st.lists(operations(), max_size=4), st.data())
def test_a_commit_that_ends_early_is_refused_or_a_shorter_one(todo, data):
    lines = [{"key": "header", "value": {"summary": "x"}}, *({"key": kind, "value": value} for kind, value in todo)]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    assert parse(body) == (lines[0]["value"], todo)
    cut = body[: data.draw(st.integers(0, len(body) - 2))]
    if cut and (cut.endswith(b"\n") or cut + b"\n" in body):
        found = parse(cut)[1]
        assert found == todo[: len(found)]
    else:
        with pytest.raises(HubError, match="commit"):
            parse(cut)


@given(st.binary(max_size=20), st.integers(0, 25), st.integers(0, 25))
def test_a_range_is_a_slice(content, start, length):
    repo = Repo("alice/set", "dataset")
    repo.commit({"x": content})

    def answer(wanted):
        names = {"type": "datasets/", "id": repo.id, "revision": "main", "path": "x"}
        hub = type("Hub", (), {"repos": {("dataset", repo.id): repo}, "url": ""})
        return resolve(Call(hub, None, names, {}, {"range": wanted} if wanted else {}, b""))

    assert answer(None).body == content
    for wanted, expected in [
        (f"bytes={start}-{start + length}", content[start : start + length + 1]),
        (f"bytes={start}-", content[start:]),
        (f"bytes=-{length}", content[-length:] if length else b""),
    ]:
        if expected:
            assert (answer(wanted).status, answer(wanted).body) == (206, expected)
        else:
            with pytest.raises(HubError) as error:
                answer(wanted)
            assert error.value.status == 416


def test_object_names_are_gits():
    assert File(b"", False).git_oid == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert File(b"hello\n", False).git_oid == "ce013625030ba8dba906f756967f9e9ca394464a"
    large = File(b"hello\n", True)
    assert large.sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert large.git_oid == File(large.pointer, False).git_oid


def test_a_commit_is_found_by_its_oid_a_branch_a_tag_or_a_pull_request():
    repo = Repo("alice/set", "dataset")
    first = repo.head()
    second = repo.commit({"x": b"1"})
    repo.refs["refs/tags/v1"] = first
    ref = repo.open_pull(first, "title", "", "alice")
    third = repo.commit({"y": b"2"}, revision=ref)
    assert [repo.head(name) for name in (first.oid, "v1", "main", "refs/heads/main", ref)] == [
        first, first, second, second, third
    ]  # fmt: skip
    assert len({first.oid, second.oid, third.oid}) == 3
    with pytest.raises(HubError, match="Invalid rev id: z"):
        repo.head("z")
    with pytest.raises(HubError, match="Invalid rev id: v1"):
        repo.commit({"z": b"3"}, revision="v1")  # a tag does not move
