"""One Hub and one client process for all tests here: a test finds the Hub empty, and takes repo ids of its own."""

from collections.abc import Callable, Iterator

import pytest

from tests.hub.loopback import ClientProcess, LoopbackHub, Repo


@pytest.fixture(scope="session")
def loopback() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture(scope="session")
def client(loopback: LoopbackHub) -> Iterator[ClientProcess]:
    """Shared, for its imports cost seconds: a test that kills a client makes one of its own."""
    with ClientProcess(loopback) as process:
        yield process


@pytest.fixture
def hub(loopback: LoopbackHub) -> Iterator[LoopbackHub]:
    """Empty, serving, and free of faults."""
    loopback.forget()
    loopback.start()
    yield loopback
    assert loopback.crashes == []


@pytest.fixture
def repo(hub: LoopbackHub) -> Repo:
    """A public dataset repo of the user's, which holds the first commit only."""
    return hub.create(hub.new_id())


@pytest.fixture
def commit(client: ClientProcess) -> Callable[..., str]:
    """Make the client commit `{path: text}` to a dataset repo; the commit's oid. Options are `create_commit`'s."""

    def make(
        repo: Repo, files: dict[str, str], *, title: str = "more", login: str | None = "hf_write", **options: object
    ) -> str:
        code = """
            from huggingface_hub import CommitOperationAdd, HfApi
            adds = [CommitOperationAdd(path, content.encode()) for path, content in files.items()]
            return HfApi().create_commit(repo, adds, commit_message=title, repo_type="dataset", **options).oid
        """
        return client(code, repo=repo.id, files=files, title=title, options=options, login=login)

    return make
