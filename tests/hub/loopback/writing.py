"""Routes that change repos: create and settle them, name commits, upload large files, commit."""

import base64
import re

from tests.hub.loopback.accounts import require_write
from tests.hub.loopback.answers import Answer, HubError
from tests.hub.loopback.cards import metadata
from tests.hub.loopback.commits import apply, parse
from tests.hub.loopback.repos import Repo, is_large
from tests.hub.loopback.routing import Call, Routes

ROUTES = Routes()


def web_url(call: Call, repo: Repo) -> str:
    return f"{call.hub.url}/{'datasets/' if repo.type == 'dataset' else ''}{repo.id}"


def named_repo(call: Call) -> tuple[str, str]:
    """Type and id of the repo that the body names, in a namespace where the account may write."""
    wanted = call.json()
    account = require_write(call.account, wanted.get("organization") or (call.account.name if call.account else ""))
    name = wanted.get("name", "")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,94}", name) or name.endswith(".git") or "--" in name or ".." in name:
        raise HubError(400, f"Invalid repo name: {name!r}")
    return wanted.get("type") or "model", f"{wanted.get('organization') or account.name}/{name}"


@ROUTES.add("POST", "/api/repos/create", "create")
def create(call: Call) -> Answer:
    repo_type, repo_id = named_repo(call)
    repo = Repo(repo_id, repo_type, private=call.json().get("visibility") == "private")
    if call.hub.repos.setdefault((repo_type, repo_id), repo) is not repo:
        error = f"You already created this {repo_type} repo: {repo_id}"
        return Answer.of({"error": error, "url": web_url(call, repo)}, 409)
    return Answer.of({"url": web_url(call, repo), "name": repo_id, "private": repo.private})


@ROUTES.add("DELETE", "/api/repos/delete", "delete")
def delete(call: Call) -> Answer:
    repo_type, repo_id = named_repo(call)
    call.find(repo_id, repo_type)
    del call.hub.repos[repo_type, repo_id]
    return Answer.of({})


@ROUTES.add("PUT", "{repo}/settings", "settings")
def settings(call: Call) -> Answer:
    repo = call.repo_to_write()
    repo.private = call.json().get("visibility", "private" if repo.private else "public") == "private"
    return Answer.of({"private": repo.private})


@ROUTES.add("POST", "{repo}/branch/{name}", "branch")
def create_branch(call: Call) -> Answer:
    repo = call.repo_to_write()
    with repo.lock:
        start = repo.head(call.json().get("startingPoint", "main"))
        name_ref(repo, f"refs/heads/{call.names['name']}", start.oid)
    return Answer.of({})


@ROUTES.add("DELETE", "{repo}/branch/{name}", "branch")
def delete_branch(call: Call) -> Answer:
    repo = call.repo_to_write()
    ref = f"refs/heads/{call.names['name']}"
    if ref == "refs/heads/main":
        raise HubError(403, "Forbidden: the main branch cannot be deleted")
    if repo.refs.pop(ref, None) is None:
        raise HubError(404, f"Invalid rev id: {call.names['name']}", "RevisionNotFound")
    return Answer.of({})


@ROUTES.add("POST", "{repo}/tag/{revision}", "tag")
def create_tag(call: Call) -> Answer:
    repo = call.repo_to_write()
    with repo.lock:
        name_ref(repo, f"refs/tags/{call.json()['tag']}", repo.head(call.revision).oid)
    return Answer.of({})


def name_ref(repo: Repo, ref: str, oid: str) -> None:
    if ref in repo.refs:
        raise HubError(409, f"Reference already exists: {ref}")
    repo.refs[ref] = repo.commits[oid]


@ROUTES.add("POST", "/api/validate-yaml", "validate_yaml")
def validate_yaml(call: Call) -> Answer:
    """Whether a card's metadata is YAML and a mapping; no metadata at all is only worth a warning."""
    try:
        found = metadata(call.json()["content"])
    except HubError as error:
        return Answer.of({"errors": [{"message": error.message}], "warnings": []}, 400)
    warning = {"message": "empty or missing yaml metadata in repo card"}
    return Answer.of({"errors": [], "warnings": [] if found else [warning]})


@ROUTES.add("POST", "{repo}/preupload/{revision}", "preupload")
def preupload(call: Call) -> Answer:
    """How each file is to be uploaded, and what stands in its place now."""
    commit = call.repo_to_write(as_pull=call.flag("create_pr")).head(call.revision)
    answers = []
    for file in call.json()["files"]:
        large = is_large(file["path"], file["size"], base64.b64decode(file["sample"]))
        answer = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if file["path"] in commit.files:
            answer["oid"] = commit.files[file["path"]].etag
        answers.append(answer)
    return Answer.of({"files": answers, "commitOid": commit.oid})


@ROUTES.add("POST", "{files}[.]git/info/lfs/objects/batch", "lfs_batch")
def lfs_batch(call: Call) -> Answer:
    """Where to put each large file; no action for what is there already."""
    repo = call.repo_to_write(as_pull=True)
    objects = []
    for wanted in call.json()["objects"]:
        found = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in repo.large:
            href = f"{call.hub.url}/lfs-store/{repo.type}/{repo.id}/{wanted['oid']}"
            found["actions"] = {"upload": {"href": href, "header": {}}}
        objects.append(found)
    return Answer.of({"transfer": "basic", "objects": objects})


@ROUTES.add("PUT", "/lfs-store/{type}/(?P<id>[^/]+/[^/]+)/{oid}", "lfs_put")
def lfs_put(call: Call) -> Answer:
    """The upload itself: the address is the permission, as with signed addresses."""
    repo = call.hub.repos.get((call.names["type"], call.names["id"]))
    if repo is None:
        raise HubError(404, "Repository not found", "RepoNotFound")
    repo.store_large(call.body, call.names["oid"])
    return Answer()


@ROUTES.add("POST", "{repo}/commit/{revision}", "commit")
def commit(call: Call) -> Answer:
    """Apply all operations in one commit, on the branch or on a pull request of its own."""
    as_pull = call.flag("create_pr")
    repo = call.repo_to_write(as_pull=as_pull)
    header, operations = parse(call.body)
    with repo.lock:
        head = repo.head(call.revision)
        if header.get("parentCommit") not in (None, head.oid):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        tree = apply(operations, head.files, repo.large)
        if "README.md" in tree:
            metadata(tree["README.md"].content.decode())
        title, message, author = header["summary"], header.get("description", ""), call.account.name
        ref = repo.open_pull(head, title, message, author) if as_pull else call.revision
        made = repo.advance(ref, tree, title, message, author)
    num = ref.rpartition("/")[2]
    return Answer.of(
        {
            "success": True,
            "commitOid": made.oid,
            "commitUrl": f"{web_url(call, repo)}/commit/{made.oid}",
            "hookOutput": "",
            "pullRequestUrl": f"{web_url(call, repo)}/discussions/{num}" if as_pull else None,
        }
    )
