"""Routes that only read: accounts, infos, trees, refs, commits, and the files themselves."""

import re
from datetime import datetime
from urllib.parse import parse_qs

from tests.hub.loopback.answers import Answer, HubError
from tests.hub.loopback.cards import metadata
from tests.hub.loopback.repos import Commit, File, Repo
from tests.hub.loopback.routing import Call, Routes

ROUTES = Routes()


def timestamp(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{date.microsecond // 1000:03d}Z"


@ROUTES.add("GET", "/api/whoami-v2", "whoami")
def whoami(call: Call) -> Answer:
    if call.account is None:
        raise HubError(401, "Invalid username or password.")
    return Answer.of(call.account.whoami())


def describe(repo: Repo, commit: Commit, *, with_blobs: bool) -> dict:
    readme = commit.files.get("README.md", File(b"", False)).content.decode()
    card = metadata(readme) or {}
    siblings = []
    for path, file in sorted(commit.files.items()):
        sibling: dict = {"rfilename": path}
        if with_blobs:
            sibling |= {"size": file.size, "blobId": file.git_oid}
            if file.is_large:
                sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        siblings.append(sibling)
    return {
        "_id": f"id-of-{repo.id}",
        "id": repo.id,
        "author": repo.owner,
        "sha": commit.oid,
        "createdAt": timestamp(list(commit.ancestry())[-1].date),
        "lastModified": timestamp(commit.date),
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": list(card.get("tags") or []),
        "cardData": card,
        "siblings": siblings,
    }


@ROUTES.add("GET", "{repo}", "info")
def info(call: Call) -> Answer:
    repo = call.repo()
    return Answer.of(describe(repo, repo.head(), with_blobs=call.flag("blobs")))


@ROUTES.add("GET", "{repo}/revision/{revision}", "info")
def info_at_revision(call: Call) -> Answer:
    repo = call.repo()
    return Answer.of(describe(repo, repo.head(call.revision), with_blobs=call.flag("blobs")))


@ROUTES.add("GET", "{repo}/refs", "refs")
def refs(call: Call) -> Answer:
    found: dict[str, list] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    kinds = {"heads": "branches", "tags": "tags", "pr": "pullRequests"}
    for ref, commit in call.repo().refs.items():
        kind, name = ref.split("/", 2)[1:]
        found[kinds[kind]].append({"name": name, "ref": ref, "targetCommit": commit.oid})
    if not call.flag("include_prs"):
        del found["pullRequests"]
    return Answer.of(found)


@ROUTES.add("GET", "{repo}/commits/{revision}", "commits")
def commits(call: Call) -> Answer:
    return Answer.of(
        [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "authors": [{"user": commit.author}],
                "date": timestamp(commit.date),
            }
            for commit in call.repo().head(call.revision).ancestry()
        ]
    )


def last_change(commit: Commit, path: str) -> dict:
    """The newest commit that changed a file, or anything in a folder."""

    def content(of: Commit) -> dict[str, str]:
        return {name: file.git_oid for name, file in of.files.items() if name == path or name.startswith(path + "/")}

    changed = next(one for one in commit.ancestry() if one.parent is None or content(one) != content(one.parent))
    return {"id": changed.oid, "title": changed.title, "date": timestamp(changed.date)}


def entry(commit: Commit, path: str, *, expand: bool) -> dict | None:
    """A file or a folder of a tree as listings show it; None where the tree has neither."""
    file = commit.files.get(path)
    if file is not None:
        found = {"type": "file", "path": path, "size": file.size, "oid": file.git_oid}
        if file.is_large:
            found["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    elif any(name.startswith(path + "/") for name in commit.files):
        found = {"type": "directory", "path": path, "size": 0, "oid": File(path.encode(), False).git_oid}
    else:
        return None
    if expand:
        found["lastCommit"] = last_change(commit, path)
    return found


@ROUTES.add("GET", "{repo}/tree/{revision}(?:/(?P<path>.*))?", "tree")
def tree(call: Call) -> Answer:
    commit = call.repo().head(call.revision)
    folder = call.names["path"].strip("/")
    prefix = folder + "/" if folder else ""
    inside = [path.removeprefix(prefix).split("/") for path in commit.files if path.startswith(prefix)]
    if folder and not inside:
        raise HubError(404, f'{folder} does not exist on "{call.revision}"', "EntryNotFound")
    depths = max(map(len, inside), default=0) if call.flag("recursive") else 1
    paths = {prefix + "/".join(parts[: depth + 1]) for parts in inside for depth in range(depths)}
    return Answer.of([entry(commit, path, expand=call.flag("expand")) for path in sorted(paths)])


@ROUTES.add("POST", "{repo}/paths-info/{revision}", "paths_info")
def paths_info(call: Call) -> Answer:
    commit = call.repo().head(call.revision)
    form = parse_qs(call.body.decode())
    expand = form.get("expand", ["false"])[0].lower() == "true"
    found = [entry(commit, path.strip("/"), expand=expand) for path in form.get("paths", [])]
    return Answer.of([one for one in found if one])


@ROUTES.add("HEAD", "{files}/resolve/{revision}/(?P<path>.+)", "resolve")
@ROUTES.add("GET", "{files}/resolve/{revision}/(?P<path>.+)", "resolve")
def resolve(call: Call) -> Answer:
    """A file's content, or the part of it that a Range header asks for."""
    commit = call.repo().head(call.revision)
    file = commit.files.get(call.names["path"])
    if file is None:
        raise HubError(404, "Entry not found", "EntryNotFound")
    headers = {
        "ETag": f'"{file.etag}"',
        "X-Repo-Commit": commit.oid,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    if file.is_large:
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("range", ""))
    if wanted is None or wanted[0] == "bytes=-":
        return Answer(200, file.content, headers)
    start = int(wanted[1]) if wanted[1] else max(0, file.size - int(wanted[2]))
    stop = min(file.size, int(wanted[2]) + 1) if wanted[1] and wanted[2] else file.size
    if start >= stop:
        raise HubError(416, "Range Not Satisfiable", **{"Content-Range": f"bytes */{file.size}"})
    return Answer(206, file.content[start:stop], headers | {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}"})
