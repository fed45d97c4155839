"""A Hub on 127.0.0.1 for tests, and client processes that know no other. It proves what our code says to a Hub that
keeps the documented contract; it proves nothing about the real Hub's quotas, permissions or validation.

    with LoopbackHub() as hub, ClientProcess(hub) as client:
        hub.faults.add("commit", status=503)
        client("...", repo_id=hub.new_id())
"""

from tests.hub.loopback.client import ClientDied, ClientError, ClientProcess, run_client
from tests.hub.loopback.faults import Fault
from tests.hub.loopback.hub import LoopbackHub
from tests.hub.loopback.repos import Repo

__all__ = ["ClientDied", "ClientError", "ClientProcess", "Fault", "LoopbackHub", "Repo", "run_client"]
