"""Run in a process of its own, with the real client libraries: reads snippets, one JSON object a line, and answers so.

A snippet is the body of a function: it returns what JSON can say. Its `values` are there as local names, and `waited`,
the list of seconds that huggingface_hub would have waited before it tried again; it does not wait here.
"""

import ast
import json
import os
import sys
import textwrap
import time
import traceback
import types

import huggingface_hub.file_download
import huggingface_hub.utils._http

waited: list[float] = []


class Attempt:
    """What became of a snippet, in JSON: its answer, or the exception that ended it with those that caused it."""

    def __init__(self) -> None:
        self.outcome = ""

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> bool:
        if not isinstance(error, Exception):
            return False
        chain: list[BaseException] = [error]
        while cause := chain[-1].__cause__ or chain[-1].__context__:
            chain.append(cause)
        trace = "".join(traceback.format_exception(error))
        self.outcome = json.dumps({"errors": [told(one) for one in chain], "trace": trace})
        return True


def told(error: BaseException) -> dict[str, object]:
    """What the test learns of an exception."""
    return {
        "type": type(error).__name__,
        "bases": [base.__name__ for base in type(error).__mro__],
        "message": str(error),
        "status": getattr(getattr(error, "response", None), "status_code", None),
    }


def evaluate(code: str, values: dict[str, object]) -> object:
    """Run the snippet as a function of its values."""
    module = ast.parse(f"def snippet({', '.join(values)}): pass")
    module.body[0].body = ast.parse(textwrap.dedent(code)).body
    names: dict = {"waited": waited}
    exec(compile(module, "<snippet>", "exec"), names)
    return names["snippet"](**values)


def main() -> None:
    quick = types.SimpleNamespace(**{**vars(time), "sleep": waited.append})
    huggingface_hub.utils._http.time = huggingface_hub.file_download.time = quick
    # what snippets and libraries print must not come between the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        os.environ.pop("HF_TOKEN", None)
        if asked["login"]:
            os.environ["HF_TOKEN"] = asked["login"]
        waited.clear()
        with Attempt() as attempt:
            attempt.outcome = json.dumps({"answer": evaluate(asked["code"], asked["values"])})
        print(attempt.outcome, file=answers, flush=True)


if __name__ == "__main__":
    main()
