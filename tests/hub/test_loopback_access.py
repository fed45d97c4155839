"""Who may do what on the Hub on loopback: tokens, private repos, names; as the client's own exceptions."""

import pytest

from tests.hub.loopback import ClientError


def told_of(client, code, **values):
    """Type and status of the exception that a snippet ends with."""
    with pytest.raises(ClientError) as error:
        client(code, **values)
    return error.value.type, error.value.status


INFO = "from huggingface_hub import HfApi; return HfApi().dataset_info(repo).private"
CREATE = "from huggingface_hub import HfApi; return HfApi().create_repo(repo, repo_type='dataset', **options).repo_id"
UPLOAD = """
    from huggingface_hub import HfApi
    HfApi().upload_file(path_or_fileobj=b"1", path_in_repo="x.txt", repo_id=repo, repo_type="dataset")
"""
SETTINGS = """
    from huggingface_hub import HfApi
    HfApi().update_repo_settings(repo, repo_type="dataset", private=private)
"""


def test_whoami_knows_the_account_and_the_role_of_the_token(hub, client):
    code = "from huggingface_hub import whoami; return whoami()"
    for token, name, role in [(hub.tokens.write, "alice", "write"), (hub.tokens.read, "alice", "read")]:
        told = client(code, login=token)
        assert (told["name"], told["auth"]["accessToken"]["role"]) == (name, role)
    assert [organization["name"] for organization in told["orgs"]] == ["lab"]
    assert told_of(client, code, login=hub.tokens.unknown) == ("HfHubHTTPError", 401)
    assert told_of(client, code, login=None) == ("LocalTokenNotFoundError", None)


def test_a_private_repo_is_there_for_its_owner_only(hub, client, commit):
    repo = hub.create(hub.new_id(), private=True)
    for login in (None, hub.tokens.stranger):
        for code in (INFO, UPLOAD):
            assert told_of(client, code, repo=repo.id, login=login) == ("RepositoryNotFoundError", 404)
    assert client(INFO, repo=repo.id, login=hub.tokens.read) is True
    commit(repo, {"x.txt": "1"})
    client(SETTINGS, repo=repo.id, private=False)
    assert client(INFO, repo=repo.id, login=None) is False


def test_private_data_loads_with_a_token_only(hub, client):
    repo = hub.create(hub.new_id(), private=True)
    repo.commit({"train.csv": b"a\n1\n2\n"})
    code = "import datasets; return list(datasets.load_dataset(repo, split='train', streaming=streaming))"
    # without a token first: once loaded, the client serves its cache
    for streaming in (True, False):
        told = told_of(client, code, repo=repo.id, streaming=streaming, login=None)
        assert told[0] == "DatasetNotFoundError"
    for streaming in (True, False):
        assert client(code, repo=repo.id, streaming=streaming) == [{"a": 1}, {"a": 2}]


def test_a_missing_repo_is_not_found(hub, client):
    assert told_of(client, INFO, repo=hub.new_id()) == ("RepositoryNotFoundError", 404)
    assert told_of(client, UPLOAD, repo=hub.new_id()) == ("RepositoryNotFoundError", 404)


@pytest.mark.parametrize(("login", "status"), [("unknown", 401), ("read", 403), ("stranger", 403), (None, 401)])
def test_a_write_needs_a_token_that_may(hub, client, repo, login, status):
    token = getattr(hub.tokens, login) if login else None
    for code, values in [(UPLOAD, {}), (SETTINGS, {"private": True})]:
        assert told_of(client, code, repo=repo.id, login=token, **values) == ("HfHubHTTPError", status)
    assert told_of(client, CREATE, repo=hub.new_id(), options={}, login=token) == ("HfHubHTTPError", status)
    assert repo.titles() == ["initial commit"]
    assert not repo.private
    assert list(hub.repos.values()) == [repo]


def test_a_repo_is_created_once_under_a_name_that_is_allowed(hub, client):
    repo_id = hub.new_id(owner="lab")
    assert client(CREATE, repo=repo_id, options={"private": True}) == repo_id
    assert hub.repo(repo_id).private
    assert told_of(client, CREATE, repo=repo_id, options={}) == ("HfHubHTTPError", 409)
    assert client(CREATE, repo=repo_id, options={"exist_ok": True, "private": False}) == repo_id
    assert hub.repo(repo_id).private  # what is there is not changed
    assert client(CREATE, repo="short", options={}) == "alice/short"
    assert told_of(client, CREATE, repo="alice/-dash", options={})[0] == "HFValidationError"
    assert told_of(client, CREATE, repo="someone/else", options={}) == ("HfHubHTTPError", 403)


def test_a_repo_is_deleted(hub, client, repo):
    code = "from huggingface_hub import HfApi; HfApi().delete_repo(repo, repo_type='dataset')"
    assert told_of(client, code, repo=repo.id, login=hub.tokens.read) == ("HfHubHTTPError", 403)
    client(code, repo=repo.id)
    assert hub.repos == {}
    assert told_of(client, code, repo=repo.id) == ("RepositoryNotFoundError", 404)
