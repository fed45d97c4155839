"""Who asks: three people's tokens, and what each may read and write."""

from dataclasses import dataclass
from typing import NamedTuple

from tests.hub.loopback.answers import HubError
from tests.hub.loopback.repos import Repo


class Tokens(NamedTuple):
    """Tokens for `HF_TOKEN` or `token=`: the user's own, the user's that may only read, another user's, nobody's."""

    write: str = "hf_write"
    read: str = "hf_read"
    stranger: str = "hf_stranger"
    unknown: str = "hf_unknown"


@dataclass(frozen=True)
class Account:
    """A person as one token presents them; `role` is "write" or "read"."""

    name: str
    role: str
    organizations: tuple[str, ...] = ()

    def owns(self, namespace: str) -> bool:
        return namespace in (self.name, *self.organizations)

    def whoami(self) -> dict[str, object]:
        return {
            "type": "user",
            "id": f"id-of-{self.name}",
            "name": self.name,
            "fullname": self.name.title(),
            "isPro": False,
            "orgs": [{"type": "org", "name": name, "roleInOrg": "write"} for name in self.organizations],
            "auth": {"type": "access_token", "accessToken": {"displayName": self.role, "role": self.role}},
        }


ACCOUNTS = {
    Tokens().write: Account("alice", "write", ("lab",)),
    Tokens().read: Account("alice", "read", ("lab",)),
    Tokens().stranger: Account("mallory", "write"),
}


def account_of(authorization: str | None) -> Account | None:
    """The account that an `Authorization` header names, None without one; HubError 401 where nobody has the token."""
    if authorization is None:
        return None
    account = ACCOUNTS.get(authorization.removeprefix("Bearer "))
    if account is None:
        raise HubError(401, "Invalid credentials in Authorization header")
    return account


def may_read(account: Account | None, repo: Repo) -> bool:
    return not repo.private or (account is not None and account.owns(repo.owner))


def require_write(account: Account | None, namespace: str, *, as_pull: bool = False) -> Account:
    """The account, if it may write there; a pull request may come from anybody whose token writes."""
    if account is None:
        raise HubError(401, "Invalid username or password.")
    if account.role != "write":
        raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
    if not as_pull and not account.owns(namespace):
        raise HubError(403, f"Forbidden: you don't have the rights to write under the namespace {namespace!r}.")
    return account
