"""What goes wrong while a selection is pushed: the repo holds all of it or nothing, and the push goes on if it can."""

import json
from hashlib import sha256

import pytest

from tests.hub.loopback import ClientDied, ClientError, ClientProcess, LoopbackHub
from tests.hub.pushing import OURS

PUSH = "from tests.hub.pushing import push; return push(repo, **options)"
FIRST = {".gitattributes"}


@pytest.fixture
def repo(hub: LoopbackHub) -> str:
    """A repo that was made and has nothing in it."""
    return hub.create(hub.new_id("set")).id


def pushed(client: ClientProcess, repo: str, **options: object) -> dict:
    return client(PUSH, repo=repo, options=options)


def failing(client: ClientProcess, repo: str, **options: object) -> ClientError:
    with pytest.raises(ClientError) as caught:
        pushed(client, repo, **options)
    return caught.value


def assert_published_once(hub: LoopbackHub, repo: str) -> None:
    """One commit of ours is there, whole, and its files are those that its manifest names."""
    files = hub.repo(repo).files()
    assert set(files) - FIRST == OURS
    assert sum(title.startswith("Publish") for title in hub.repo(repo).titles()) == 1
    told = json.loads(files["selection/manifest.json"])["files"]
    assert {name: entry["sha256"] for name, entry in told.items()} == {
        name: sha256(content).hexdigest() for name, content in files.items() if name.endswith(".parquet")
    }


@pytest.mark.parametrize("status", [409, 412, 429, 500, 502, 503, 504])
def test_a_commit_that_is_put_off_is_sent_again(
    hub: LoopbackHub, client: ClientProcess, repo: str, status: int
) -> None:
    fault = hub.faults.add("commit", status=status, times=2)
    answer = pushed(client, repo)
    assert fault.num_befallen == 2
    assert answer["oid"] == hub.repo(repo).head().oid
    assert answer["warnings"] == []
    assert_published_once(hub, repo)


@pytest.mark.parametrize("route", ["whoami", "info", "tree", "create", "branch", "preupload", "lfs_batch", "lfs_put"])
@pytest.mark.parametrize("what", [{"status": 503}, {"cut_after": 0}], ids=["busy", "cut"])
def test_every_request_is_sent_again(
    hub: LoopbackHub, client: ClientProcess, route: str, what: dict[str, int]
) -> None:
    repo = hub.new_id("set")
    fault = hub.faults.add(route, **what)
    pushed(client, repo, revision="try")
    assert fault.num_befallen == 1
    assert set(hub.repo(repo).files()) == FIRST
    assert set(hub.repo(repo).files("try")) == FIRST | OURS


def test_a_push_cut_in_the_middle_of_an_upload_goes_on(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    fault = hub.faults.add("lfs_put", cut_after=700)
    pushed(client, repo)
    assert fault.num_befallen == 1
    assert_published_once(hub, repo)


def test_uploads_that_never_get_through_leave_the_repo_as_it_was(
    hub: LoopbackHub, client: ClientProcess, repo: str
) -> None:
    pushed(client, repo)
    before = hub.repo(repo).head()
    hub.faults.add("lfs_put", cut_after=700, first=2, times=None)
    error = failing(client, repo, seed=1, budget=20)
    assert error.type == "ConnectionError"
    assert "was tried 4 times" in error.message
    assert hub.repo(repo).head() is before
    hub.faults.clear()
    hub.requests.clear()
    pushed(client, repo, seed=1, budget=20)
    assert len(hub.seen("lfs_put")) == 1  # the other file had arrived
    assert len(hub.repo(repo).titles()) == 3


def test_an_answer_that_is_lost_makes_no_second_commit(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    fault = hub.faults.add("commit", lose_answer=True)
    answer = pushed(client, repo)
    assert fault.num_befallen == 1
    assert answer["oid"] == hub.repo(repo).head().oid
    assert answer["warnings"] == []  # the commit was its own
    assert_published_once(hub, repo)


def test_a_commit_cut_on_its_way_is_sent_again(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    hub.faults.add("commit", cut_after=200)
    pushed(client, repo)
    assert_published_once(hub, repo)


def test_a_commit_of_somebody_else_is_built_upon(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    pushed(client, repo)
    card = hub.repo(repo).files()["README.md"].replace(b"---\n", b"---\nlicense: mit\n", 1)
    hub.faults.add("commit", before=lambda: hub.repo(repo).commit({"README.md": card, "more.txt": b"more"}, "Theirs"))
    pushed(client, repo, seed=1)
    assert [request.status for request in hub.seen("commit")] == [200, 412, 200]
    files = hub.repo(repo).files()
    assert hub.repo(repo).titles()[1] == "Theirs"
    assert files["README.md"].startswith(b"---\n")
    assert b"license: mit\n" in files["README.md"]
    assert files["more.txt"] == b"more"


def test_the_same_shards_taken_away_in_between_are_committed_again(
    hub: LoopbackHub, client: ClientProcess, repo: str
) -> None:
    pushed(client, repo)
    shard = "data/selected-00000-of-00001.parquet"
    before = hub.repo(repo).files()
    hub.faults.add("commit", before=lambda: hub.repo(repo).commit({shard: None, "scores/x": b"x"}, "Theirs"))
    pushed(client, repo, license="mit")  # only the card is new, until the shard is gone
    assert hub.repo(repo).files()[shard] == before[shard]


def test_other_content_that_comes_in_between_is_left_alone(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    hub.faults.add("commit", before=lambda: hub.repo(repo).commit({"data/train.csv": b"a\n1\n"}, "Theirs"))
    error = failing(client, repo)
    assert error.type == "FileExistsError"
    assert set(hub.repo(repo).files()) == FIRST | {"data/train.csv"}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("route", ["commit", "preupload", "lfs_put"])
def test_a_refusal_is_told_and_not_repeated(
    hub: LoopbackHub, client: ClientProcess, repo: str, status: int, route: str
) -> None:
    fault = hub.faults.add(route, status=status, times=None, message="no way")
    error = failing(client, repo)
    assert error.type == "PermissionError"
    assert ("hf auth login" if status == 401 else f"may not write to {repo}") in error.message
    assert "\n" not in error.message
    assert fault.num_befallen <= 2  # two files are put at once
    assert set(hub.repo(repo).files()) == FIRST


def test_the_hub_is_not_asked_for_ever(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    fault = hub.faults.add("commit", status=503, times=None)
    error = failing(client, repo)
    assert error.type == "ConnectionError"
    assert f"Pushing to {repo} was tried 4 times, and the Hub answered 503" in error.message
    assert fault.num_befallen == 4
    assert set(hub.repo(repo).files()) == FIRST


def test_a_pause_longer_than_anyone_waits_ends_the_push(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    fault = hub.faults.add("commit", status=429, times=None, retry_after=3600)
    error = failing(client, repo)
    assert "was tried once, and the Hub answered 429, and asks to wait 3600 s" in error.message
    assert fault.num_befallen == 1


def test_a_hub_that_dies_holds_nothing_and_the_next_push_is_whole(
    hub: LoopbackHub, client: ClientProcess, repo: str
) -> None:
    hub.faults.add("commit", die=True)
    error = failing(client, repo)
    assert error.type == "ConnectionError"
    assert "the connection failed" in error.message
    hub.start()
    assert set(hub.repo(repo).files()) == FIRST
    hub.requests.clear()
    pushed(client, repo)
    assert hub.seen("lfs_put") == []  # what had arrived before is there
    assert_published_once(hub, repo)


def test_a_hub_that_dies_with_the_answer_has_what_the_next_push_finds(
    hub: LoopbackHub, client: ClientProcess, repo: str
) -> None:
    hub.faults.add("commit", die=True, lose_answer=True)
    failing(client, repo)
    hub.start()
    answer = pushed(client, repo)
    assert len(answer["warnings"]) == 1
    assert_published_once(hub, repo)


def test_a_pull_request_is_never_opened_twice(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    hub.faults.add("commit", lose_answer=True)
    error = failing(client, repo, create_pr=True)
    assert error.type == "ConnectionError"
    assert "look on the Hub whether it was opened" in error.message
    assert len(hub.repo(repo).pulls) == 1
    hub.faults.add("commit", status=503)
    pushed(client, repo, create_pr=True)
    assert len(hub.repo(repo).pulls) == 2


def test_pushes_at_the_same_time_come_one_after_the_other(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    answers = client(
        """
        from concurrent.futures import ThreadPoolExecutor
        from datasets import load_dataset
        from hf_datasel.hub import Retry
        from tests.hub.pushing import push
        patient = Retry(max_attempts=20, first_wait=0.001)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda seed: push(repo, seed=seed, retry=patient), range(4)))
        return [answers, load_dataset(repo, split="train")["example_id"][:]]
        """,
        repo=repo,
    )
    made, loaded = answers
    commits = [commit.oid for commit in hub.repo(repo).head().ancestry()]
    assert sorted(commits.index(answer["oid"]) for answer in made) == [0, 1, 2, 3]
    assert loaded == next(answer["ids"] for answer in made if answer["oid"] == commits[0])


def test_a_push_that_is_killed_leaves_the_repo_as_it_was(hub: LoopbackHub, client: ClientProcess, repo: str) -> None:
    pushed(client, repo)
    before = hub.repo(repo).head()
    with ClientProcess(hub) as mine:
        fault = hub.faults.add("commit", before=mine.kill, status=503)
        with pytest.raises(ClientDied):
            pushed(mine, repo, seed=1)
    assert fault.num_befallen == 1
    assert hub.repo(repo).head() is before
