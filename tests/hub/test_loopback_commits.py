"""Commits to the Hub on loopback: whole or not at all, on the parent they name, on branches and pull requests."""

import pytest

from tests.hub.loopback import ClientError

GOOD = ["file", {"path": "good.txt", "content": "eA==", "encoding": "base64"}]


def test_a_stale_parent_is_refused_and_changes_nothing(commit, repo):
    stale = repo.head().oid
    repo.commit({"theirs.txt": b"1"}, title="theirs")
    with pytest.raises(ClientError) as error:
        commit(repo, {"ours.txt": "2"}, parent_commit=stale)
    assert (error.value.type, error.value.status) == ("HfHubHTTPError", 412)
    assert repo.titles() == ["theirs", "initial commit"]
    assert commit(repo, {"ours.txt": "2"}, parent_commit=repo.head().oid) == repo.head().oid


def test_of_concurrent_commits_on_one_parent_one_is_taken(client, repo):
    statuses = client(
        """
        from concurrent.futures import ThreadPoolExecutor
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        def attempt(number):
            try:
                HfApi().upload_file(path_or_fileobj=b"1", path_in_repo=f"{number}.txt", repo_id=repo,
                                    repo_type="dataset", parent_commit=parent)
            except HfHubHTTPError as error:
                return error.response.status_code
            return 200

        with ThreadPoolExecutor(6) as pool:
            return sorted(pool.map(attempt, range(6)))
        """,
        repo=repo.id,
        parent=repo.head().oid,
    )
    assert statuses == [200] + [412] * 5
    assert len(repo.titles()) == 2


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (["lfsFile", {"path": "x.bin", "algo": "sha256", "oid": "0" * 64, "size": 1}], "BadRequestError"),
        (["deletedFile", {"path": "missing.txt"}], "RemoteEntryNotFoundError"),
        (["deletedFolder", {"path": "missing/"}], "RemoteEntryNotFoundError"),
        (["file", {"path": "../up.txt", "content": "eA==", "encoding": "base64"}], "BadRequestError"),
        (["file", {"path": "good.txt/below", "content": "eA==", "encoding": "base64"}], "BadRequestError"),
        (["file", {"path": "x.txt", "content": "?", "encoding": "base64"}], "BadRequestError"),
        (["file", {"path": "README.md", "content": "---\n[\n---\n"}], "BadRequestError"),
        (["rename", {"path": "good.txt"}], "BadRequestError"),
    ],
)
def test_a_commit_with_one_bad_operation_is_refused_as_a_whole(client, repo, bad, expected):
    code = """
        import json
        from huggingface_hub import constants
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status
        items = [["header", {"summary": "raw"}], *operations]
        lines = [json.dumps({"key": key, "value": value}) for key, value in items]
        url = f"{constants.ENDPOINT}/api/datasets/{repo}/commit/main"
        hf_raise_for_status(get_session().post(url, headers=build_hf_headers(), content="\\n".join(lines)))
    """
    with pytest.raises(ClientError) as error:
        client(code, repo=repo.id, operations=[GOOD, bad])
    assert error.value.type == expected
    assert repo.titles() == ["initial commit"]
    client(code, repo=repo.id, operations=[GOOD])
    assert repo.files()["good.txt"] == b"x"


def test_content_that_is_not_what_its_name_says_is_not_stored(hub, client, repo):
    with pytest.raises(ClientError) as error:
        client(
            """
            from huggingface_hub import CommitOperationAdd, HfApi
            add = CommitOperationAdd("x.bin", b"promised")
            add.path_or_fileobj = b"sent other"
            HfApi().create_commit(repo, [add], commit_message="x", repo_type="dataset")
            """,
            repo=repo.id,
        )
    assert [request.status for request in hub.seen("lfs_put")] == [error.value.status] == [400]
    assert repo.large == {}
    assert hub.seen("commit") == []


def test_what_is_there_already_is_neither_uploaded_nor_committed_again(hub, commit, repo):
    files = {"README.md": "---\nlicense: mit\n---\n", "a.parquet": "data"}
    first = commit(repo, files)
    assert commit(repo, files) == first
    assert len(hub.seen("commit")) == len(hub.seen("lfs_put")) == 1
    commit(repo, {"b.parquet": "data"})  # another name for the same content
    assert len(hub.seen("lfs_put")) == 1
    assert repo.files()["b.parquet"] == b"data"


def test_metadata_that_is_not_yaml_is_refused_before_anything_is_uploaded(hub, commit, repo):
    with pytest.raises(ClientError, match="not YAML") as error:
        commit(repo, {"README.md": "---\na: [\n---\n", "x.bin": "1"})
    assert error.value.type == "ValueError"
    assert hub.seen("preupload") == []


def test_a_path_may_hold_any_letters(hub, client, commit, repo):
    odd = "häufig/50% #1 &?+.txt"
    commit(repo, {odd: "x"})
    code = """
        from huggingface_hub import HfApi, hf_hub_download
        names = HfApi().list_repo_files(repo, repo_type="dataset")
        return [names, open(hf_hub_download(repo, names[-1], repo_type="dataset")).read()]
    """
    assert client(code, repo=repo.id) == [[".gitattributes", odd], "x"]
    hub.faults.add("commit", status=403, message="nicht für dich\n€")
    with pytest.raises(ClientError, match="nicht für dich"):
        commit(repo, {"x": "y"})


def test_files_are_copied_and_deleted(client, repo):
    repo.commit({"a/b/c.txt": b"1", "a/d.parquet": b"22", "e.txt": b"3"})
    client(
        """
        from huggingface_hub import CommitOperationCopy, CommitOperationDelete, HfApi
        api, known = HfApi(), {"repo_id": repo, "repo_type": "dataset"}
        copies = [CommitOperationCopy("a/d.parquet", "f.parquet"), CommitOperationCopy("e.txt", "g.txt")]
        api.create_commit(operations=copies, commit_message="copy", **known)
        deletions = [CommitOperationDelete("a/"), CommitOperationDelete("e.txt")]
        api.create_commit(operations=deletions, commit_message="delete", **known)
        """,
        repo=repo.id,
    )
    assert repo.files() == {".gitattributes": repo.files()[".gitattributes"], "f.parquet": b"22", "g.txt": b"3"}
    assert repo.head().parent.files.keys() > repo.head().files.keys()


def test_branches_and_tags(client, repo):
    told = client(
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
        api, known = HfApi(), {"repo_id": repo, "repo_type": "dataset"}
        api.create_branch(branch="draft/one", **known)
        api.create_branch(branch="draft/one", exist_ok=True, **known)
        try:
            api.create_branch(branch="draft/one", **known)
        except HfHubHTTPError as error:
            again = error.response.status_code
        api.upload_file(path_or_fileobj=b"1", path_in_repo="x.txt", revision="draft/one", **known)
        api.create_tag(tag="v1", revision="draft/one", **known)
        api.create_branch(branch="gone", **known)
        api.delete_branch(branch="gone", **known)
        refs = api.list_repo_refs(**known)
        return {
            "again": again,
            "branches": sorted(one.name for one in refs.branches),
            "tags": [one.ref for one in refs.tags],
            "files": api.list_repo_files(revision="v1", **known),
        }
        """,
        repo=repo.id,
    )
    assert told == {
        "again": 409,
        "branches": ["draft/one", "main"],
        "tags": ["refs/tags/v1"],
        "files": [".gitattributes", "x.txt"],
    }
    assert "x.txt" not in repo.files()


def test_a_commit_needs_a_branch_that_is_there(commit, repo):
    with pytest.raises(ClientError) as error:
        commit(repo, {"x.txt": "1"}, revision="nowhere")
    assert (error.value.type, error.value.status) == ("RevisionNotFoundError", 404)


def test_every_pull_request_is_its_own_and_can_be_read_and_added_to(hub, client, commit, repo):
    for login in (hub.tokens.write, hub.tokens.stranger):
        commit(repo, {"x.txt": login}, login=login, create_pr=True)
    commit(repo, {"y.bin": "more"}, revision="refs/pr/2")
    told = client(
        """
        from huggingface_hub import HfApi, hf_hub_download
        api, known = HfApi(), {"repo_id": repo, "repo_type": "dataset"}
        paths = [hf_hub_download(filename="x.txt", revision=f"refs/pr/{num}", **known) for num in (1, 2)]
        third = api.upload_file(path_or_fileobj=b"z", path_in_repo="z.txt", create_pr=True, **known)
        return {
            "refs": [one.ref for one in api.list_repo_refs(include_pull_requests=True, **known).pull_requests],
            "files": [open(path).read() for path in paths],
            "third": third.pr_url,
        }
        """,
        repo=repo.id,
    )
    assert told == {
        "refs": ["refs/pr/1", "refs/pr/2", "refs/pr/3"],
        "files": [hub.tokens.write, hub.tokens.stranger],
        "third": f"{hub.url}/datasets/{repo.id}/discussions/3",
    }
    assert [pull.author for pull in repo.pulls] == ["alice", "mallory", "alice"]
    assert repo.files("refs/pr/2")["y.bin"] == b"more"
    assert repo.titles() == ["initial commit"]
