"""The command line: `hf-datasel quickstart | record | select | train | compare | report | push | verify`.

This file only finds the command and turns errors into one line, so that `hf-datasel --help` answers at once; what a
command needs (torch, transformers, trl) is imported when that command runs. Exit codes: 0 done, 1 the command failed,
2 the command line or the YAML file was wrong.
"""

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import TracebackType

__all__ = ["COMMANDS", "UsageError", "main"]

COMMANDS = {
    "quickstart": "the whole job on a generated corpus: record, select, train, compare, report",
    "record": "record what a method selects by: losses, gradients, embeddings, or values of clusters",
    "select": "choose examples by what was recorded, and write the curated dataset",
    "train": "select and fine-tune in one call, or fine-tune on a selection you have",
    "compare": "which method works on your data: train on what each selects, and measure",
    "report": "show what a selection kept and dropped, and why: one HTML page and its pictures",
    "push": "publish a selection on the Hub: rows, scores, manifest, pictures and a card",
    "verify": "check a published selection: its files, its rows, and the choice, made again",
}

_HELP = """\
usage: hf-datasel COMMAND [--config FILE] [options]

Which examples are worth training on? Record how a proxy model learns each example, select, train on the selection.

commands:
{commands}

  hf-datasel COMMAND --help      the options of a command
  hf-datasel COMMAND --help-all  and every training option of TRL and Transformers
  hf-datasel --version           the version

Every option can stand in a YAML file given with --config; flags win over the file. Add --debug for a traceback.
More than one process: accelerate launch -m hf_datasel COMMAND ...
"""

# What this package and its libraries raise for bad input; any other class is a bug, theirs or ours.
_EXPECTED = (ValueError, TypeError, LookupError, OSError, RuntimeError, ImportError)


class UsageError(ValueError):
    """The command line or its YAML file is wrong; exit code 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The arguments after the program's name; `sys.argv[1:]` when None.

    Returns:
        0 when the command did its work, 1 when it failed, 2 when the command line or the YAML file was wrong.

    Example:
        >>> from hf_datasel.cli import main
        >>> main(["--help"])
        usage: hf-datasel COMMAND [--config FILE] [options]
        ...
        0
    """
    args = list(sys.argv[1:] if argv is None else argv)
    debug, args = _take_debug(args)
    name = args[0] if args else "--help"
    if argv is None:
        _be_a_program(name, debug)
    if name in ("--help", "-h", "help"):
        _print_once(_HELP.format(commands="\n".join(f"  {key:<12}{text}" for key, text in COMMANDS.items())))
        return 0
    if name == "--version":
        from hf_datasel import __version__

        _print_once(f"hf-datasel {__version__}")
        return 0
    try:
        if name not in COMMANDS:
            raise UsageError(f"there is no command {name!r}; the commands are {', '.join(COMMANDS)}")
        command = importlib.import_module(f"hf_datasel.cli.{name}")
        parsed = command.make_parser().parse(args[1:])
        if parsed is not None:
            command.run(*parsed)
        if argv is None:
            _leave_group()
    except UsageError as error:
        return _report(name, error, 2, debug)
    except BrokenPipeError:  # `hf-datasel ... | head`: the reader has had enough, and Python would say so at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _EXPECTED as error:
        return _report(name, error, 1, debug)
    except _damaged_weights() as error:
        return _report(name, OSError(f"a .safetensors file of the model cannot be read: {error}"), 1, debug)
    except KeyboardInterrupt:
        print(f"hf-datasel {name}: interrupted", file=sys.stderr)
        return 130
    return 0


def _leave_group() -> None:
    """Take leave of the other processes, if there are any: torch may abort one that exits without."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _take_debug(args: list[str]) -> tuple[bool, list[str]]:
    """Take the bare flag `--debug` out of `args`; `--debug VALUE` is an option of Transformers and stays."""
    kept = [
        arg
        for arg, following in zip(args, [*args[1:], "--"], strict=False)
        if arg != "--debug" or not (following.startswith("--") or following in COMMANDS)
    ]
    return len(kept) < len(args), kept


def _damaged_weights() -> tuple[type[Exception], ...]:
    """What safetensors raises, which is none of the classes above; nobody else does if it was never imported."""
    safetensors = sys.modules.get("safetensors")
    return () if safetensors is None else (safetensors.SafetensorError,)


def _be_a_program(name: str, debug: bool) -> None:
    """Outside of Python nobody reads tracebacks, nor warnings that are meant for those who wrote the libraries."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        what = f"{kind.__name__}: {error} (a bug, in hf_datasel or beneath it; --debug shows where)"
        _report(name, RuntimeError(what), 1, debug=False)

    if not debug:
        sys.excepthook = hook
        # TRL and PEFT use what Transformers has renamed; as in pyproject.toml.
        renamed = r"`(is_)?gradient_checkpointing(_kwargs)?` is deprecated"
        warnings.filterwarnings("ignore", renamed, FutureWarning)


def _report(name: str, error: BaseException, code: int, debug: bool) -> int:
    rank = int(os.environ.get("RANK", "0"))
    if debug:
        traceback.print_exception(error)
    # A wrong command line is wrong in every process alike; a failure may be one process's own.
    if rank == 0 or code == 1:
        command = f"hf-datasel {name}" if name in COMMANDS else "hf-datasel"
        where = command + (f" [rank {rank}]" if rank else "")
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        print(f"{where}: error: {' '.join(message.split()) or type(error).__name__}", file=sys.stderr)
        if code == 2:
            print(f"{where}: `{command} --help` lists the options", file=sys.stderr)
    return code


def _print_once(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(text)
