"""Each fault of the Hub on loopback as the client's own exception, and what the repo holds afterwards."""

import http.client

import pytest

from tests.hub.loopback import ClientDied, ClientError, ClientProcess, LoopbackHub

FILES = {"a.parquet": "a" * 300_000, "b.txt": "b" * 300_000}
BOTH = [".gitattributes", *FILES]
RETRIES = 5  # huggingface_hub's, where it retries at all


@pytest.mark.parametrize("status", [401, 403, 409, 412, 429, 500, 503])
def test_a_refused_commit_is_an_error_of_that_status_and_changes_nothing(hub, commit, repo, status):
    fault = hub.faults.add("commit", status=status, message="not today", retry_after=3)
    with pytest.raises(ClientError, match="not today") as error:
        commit(repo, FILES)
    assert (error.value.type, error.value.status) == ("HfHubHTTPError", status)
    assert fault.num_befallen == len(hub.seen("commit")) == 1  # a commit is not tried again by huggingface_hub
    assert list(repo.files()) == BOTH[:1]
    commit(repo, FILES)
    assert list(repo.files()) == BOTH


def test_the_code_of_a_refusal_chooses_the_exception(hub, commit, repo):
    for code, expected in [("RepoNotFound", "RepositoryNotFoundError"), ("RevisionNotFound", "RevisionNotFoundError")]:
        hub.faults.add("commit", status=404, code=code)
        with pytest.raises(ClientError) as error:
            commit(repo, FILES)
        assert error.value.type == expected
        assert "HfHubHTTPError" in error.value.bases


def test_faults_befall_the_requests_they_are_set_for(hub, commit, repo):
    hub.faults.add("commit", first=2, times=2, status=500)
    hub.faults.add("commit", first=2, status=503)  # counts what the first lets pass: the first and the fourth commit
    statuses = []
    for number in range(5):
        try:
            commit(repo, {f"{number}.txt": "x"})
            statuses.append(200)
        except ClientError as error:
            statuses.append(error.status)
    assert statuses == [200, 500, 500, 503, 200]
    assert [request.status for request in hub.seen("commit")] == statuses
    assert {"0.txt", "4.txt"} == repo.files().keys() - {".gitattributes"}


UPLOAD = """
    from huggingface_hub import HfApi
    HfApi().upload_file(path_or_fileobj=b"x" * 200_000, path_in_repo="x.bin", repo_id=repo, repo_type="dataset")
    return waited
"""


def test_the_client_waits_as_it_is_told_and_then_goes_on(hub, client, repo):
    hub.faults.add("preupload", status=429, retry_after=7)
    hub.faults.add("lfs_batch", status=503, times=2)
    hub.faults.add("lfs_put", status=500)
    assert client(UPLOAD, repo=repo.id) == [8, 1, 2, 1]
    assert [request.status for request in hub.seen("lfs_batch")] == [503, 503, 200]
    assert repo.files()["x.bin"] == b"x" * 200_000


def test_the_client_gives_up_on_a_route_that_stays_broken(hub, client, repo):
    fault = hub.faults.add("preupload", status=503, times=None)
    with pytest.raises(ClientError) as error:
        client(UPLOAD, repo=repo.id)
    assert (error.value.type, error.value.status) == ("HfHubHTTPError", 503)
    assert fault.num_befallen == 1 + RETRIES


def test_an_upload_that_is_cut_once_is_sent_again(hub, client, repo):
    hub.faults.add("lfs_put", cut_after=100_000)
    assert client(UPLOAD, repo=repo.id) == [1]
    assert [request.status for request in hub.seen("lfs_put")] == [None, 200]
    assert 100_000 <= hub.seen("lfs_put")[0].num_bytes < 200_000
    assert repo.files()["x.bin"] == b"x" * 200_000


@pytest.mark.parametrize("num_bytes", [0, 100_000])
def test_an_upload_that_is_cut_every_time_leaves_nothing(hub, client, repo, num_bytes):
    fault = hub.faults.add("lfs_put", cut_after=num_bytes, times=None)
    with pytest.raises(ClientError) as error:
        client(UPLOAD, repo=repo.id)
    assert error.value.type == "RuntimeError"
    assert "TransportError" in error.value.errors[1]["bases"]
    assert fault.num_befallen == 1 + RETRIES
    assert repo.large == {}
    assert repo.titles() == ["initial commit"]


@pytest.mark.parametrize("num_bytes", [0, 100_000])
def test_a_commit_that_is_cut_is_not_applied(hub, commit, repo, num_bytes):
    hub.faults.add("commit", cut_after=num_bytes)
    with pytest.raises(ClientError) as error:
        commit(repo, FILES)
    assert "TransportError" in error.value.bases
    assert list(repo.files()) == BOTH[:1]
    commit(repo, FILES)
    assert list(repo.files()) == BOTH


def test_a_commit_whose_answer_is_lost_is_applied(hub, commit, repo):
    hub.faults.add("commit", lose_answer=True)
    with pytest.raises(ClientError) as error:
        commit(repo, FILES, title="unheard")
    assert "TransportError" in error.value.bases
    assert repo.titles() == ["unheard", "initial commit"]
    assert [request.status for request in hub.seen("commit")] == [None]


@pytest.mark.parametrize(
    ("route", "fault", "held"),
    [
        ("lfs_put", {"cut_after": 100_000}, BOTH[:1]),
        ("commit", {}, BOTH[:1]),
        ("commit", {"lose_answer": True}, BOTH),
    ],
)
def test_a_server_that_dies_comes_back_with_what_it_had(hub, client, commit, repo, route, fault, held):
    hub.faults.add(route, die=True, **fault)
    with pytest.raises(ClientError) as error:
        commit(repo, FILES)
    assert any("TransportError" in one["bases"] for one in error.value.errors)
    with pytest.raises(ClientError) as error:
        client("from huggingface_hub import whoami; whoami()")
    assert error.value.type == "ConnectError"
    assert list(repo.files()) == held
    hub.start()
    assert client("from huggingface_hub import HfApi; return HfApi().dataset_info(repo).sha", repo=repo.id) == (
        repo.head().oid
    )
    commit(repo, FILES)
    assert list(repo.files()) == BOTH


def test_a_commit_of_another_person_in_between_makes_the_parent_stale(hub, commit, repo):
    hub.faults.add("lfs_put", before=lambda: repo.commit({"theirs.txt": b"1"}, title="theirs"))
    with pytest.raises(ClientError) as error:
        commit(repo, FILES, parent_commit=repo.head().oid)
    assert error.value.status == 412
    assert repo.titles() == ["theirs", "initial commit"]


@pytest.mark.parametrize("fault", [{"route": "lfs_put", "cut_after": 100_000}, {"route": "commit", "cut_after": 10}])
def test_a_client_that_is_killed_in_the_middle_leaves_the_repo_as_it_was(hub, repo, fault):
    with ClientProcess(hub) as mortal:
        hub.faults.add(before=mortal.kill, **fault)
        with pytest.raises(ClientDied):
            mortal(UPLOAD, repo=repo.id)
    assert repo.titles() == ["initial commit"]


@pytest.mark.parametrize("what", [{}, {"status": 500, "cut_after": 1}, {"status": 500, "die": True}])
def test_a_fault_says_one_thing(hub, what):
    with pytest.raises(ValueError, match="`status`, `cut_after`"):
        hub.faults.add("commit", **what)


def test_a_snippet_that_asks_too_much_of_json_is_an_error_not_an_end(client):
    with pytest.raises(ClientError, match="not JSON serializable"):
        client("return {1, 2}")
    assert client("print('noise'); return value", value=[1, None]) == [1, None]


def test_a_request_that_the_hub_cannot_read_is_told_to_the_test():
    with LoopbackHub() as hub:
        connection = http.client.HTTPConnection("127.0.0.1", hub.port)
        connection.request("POST", "/api/repos/create", "no JSON", {"Authorization": f"Bearer {hub.tokens.write}"})
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        connection.close()
        assert "JSONDecodeError" in hub.crashes[0]
