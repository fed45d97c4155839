"""Real client libraries, each in a process of its own that knows no other Hub than the one on loopback."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.hub.loopback.hub import LoopbackHub

ROOT = Path(__file__).parents[3]
PATIENCE = 300.0  # seconds after which a snippet is taken to hang


class ClientError(Exception):
    """What a snippet raised: `type` (the class's name), `bases` (with its ancestors'), `status` (of the HTTP answer).

    `errors` lists it and those that caused it, outermost first; `status` is the first that any of them carries.
    """

    def __init__(self, errors: list[dict], trace: str) -> None:
        super().__init__(f"{errors[0]['type']}: {errors[0]['message']}\n{trace}")
        self.errors = errors
        self.type: str = errors[0]["type"]
        self.bases: list[str] = errors[0]["bases"]
        self.message: str = errors[0]["message"]
        self.status: int | None = next((error["status"] for error in errors if error["status"]), None)


class ClientDied(Exception):
    """The client's process ended before it answered."""


def client_environment(hub: LoopbackHub, home: str) -> dict[str, str]:
    """This process's variables, but nothing of which Hub, which token, and whether there is a network."""
    settings = ("HF_", "HUGGING_FACE_", "TRANSFORMERS_")
    return {key: value for key, value in os.environ.items() if not key.startswith(settings)} | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": home,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        # a busy machine must not look like a broken line
        "HF_HUB_DOWNLOAD_TIMEOUT": "120",
        "HF_HUB_ETAG_TIMEOUT": "120",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


class ClientProcess:
    """A process that evaluates snippets one after the other; imports are paid for once. A context manager.

    `environment`: further variables. `HF_HOME` is fresh; its cache lives as long as the process.
    `client("from huggingface_hub import whoami; return whoami()['name']")` is "alice".
    """

    def __init__(self, hub: LoopbackHub, **environment: str) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="loopback-hub-")
        self._log = Path(self._home.name, "stderr.txt")
        with open(self._log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.hub.loopback.worker"],
                cwd=ROOT,
                env=client_environment(hub, self._home.name) | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __call__(self, code: str, *, login: str | None = LoopbackHub.tokens.write, **values: object) -> object:
        """Run `code`, the body of a function of `values`, and return what it returns (both as JSON can say them).

        `login` is the token that the process finds in `HF_TOKEN`, None for none. Raises ClientError where the
        snippet raised, ClientDied where the process ended.
        """
        line = self._exchange(json.dumps({"code": code, "values": values, "login": login}))
        if not line:
            raise ClientDied(f"exit status {self.process.wait()}\n{self.stderr()[-4000:]}")
        outcome = json.loads(line)
        if "errors" in outcome:
            raise ClientError(outcome["errors"], outcome["trace"])
        return outcome["answer"]

    def _exchange(self, request: str) -> str:
        """The line that answers a request, "" where the process ends first."""
        too_long = threading.Timer(PATIENCE, self.kill)
        too_long.start()
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
            return self.process.stdout.readline()
        except BrokenPipeError:
            return ""
        finally:
            too_long.cancel()

    def stderr(self) -> str:
        """All that the process printed."""
        return self._log.read_text()

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        self.process.kill()

    def close(self) -> None:
        """End the process and remove its `HF_HOME`."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a snippet that the process never read
                pipe.close()
        self._home.cleanup()

    def __enter__(self) -> "ClientProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def run_client(hub: LoopbackHub, code: str, **environment: str) -> object:
    """The answer of one snippet in a process of its own, with these further variables."""
    with ClientProcess(hub, **environment) as client:
        return client(code, login=environment.get("HF_TOKEN", hub.tokens.write))
