"""The parser of one command: TRL's `TrlParser` (dataclasses, YAML plus flags) with a short help and exact errors."""

import argparse
import difflib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, NoReturn

import yaml
from trl.scripts.utils import TrlParser

from hf_datasel.cli import UsageError
from hf_datasel.cli.console import print_once
from hf_datasel.cli.help import Formatter, short_help


class CommandParser(TrlParser):
    """`TrlParser` for one command of `hf-datasel`.

    Beside TRL's behaviour: `--config=FILE` works as `--config FILE` does, an unknown key or option is refused with the
    close matches, a YAML value is checked as a flag's value is (TRL takes it as it stands), a YAML key may be an
    option's other name as a flag may, a bare flag means true also where an option may be left open, and `--help` shows
    the command's own options and the usual training options before `--help-all` shows everything.

    Args:
        command: The command's name, e.g. `"record"`.
        summary: One or two sentences on what the command does.
        dataclass_types: The dataclasses to fill, in the order in which `parse` returns them.
        own: The names of the options that the short help explains, beyond which only `COMMON_OPTIONS` are shown.
        needs: What the usage line shows as needed, e.g. `"--dataset DATA"`.
        examples: Command lines printed at the end of the help.
        defaults: Defaults that differ from the dataclasses' own, by field.
        positional: The option whose value may also come first, without its name.
    """

    def __init__(
        self,
        command: str,
        summary: str,
        dataclass_types: Sequence[type],
        own: Sequence[str],
        needs: str = "",
        examples: Sequence[str] = (),
        defaults: dict[str, Any] | None = None,
        positional: str | None = None,
    ) -> None:
        super().__init__(
            dataclass_types,
            prog=f"hf-datasel {command}",
            usage=" ".join(("hf-datasel", command, *needs.split(), "[--config FILE] [options]")),
            description=summary,
            formatter_class=Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.own, self.examples, self.positional = tuple(own), tuple(examples), positional
        self.config_path: str | None = None
        self._other_names = {
            alias.removeprefix("--"): item.name
            for kind in dataclass_types
            for item in fields(kind)
            for alias in item.metadata.get("aliases", ())
        }
        self.all_actions = list(self._actions)
        for action in self.all_actions:
            if getattr(action.type, "__name__", "") == "string_to_bool" and action.nargs is None:
                action.nargs, action.const = "?", True
        known = {action.dest for action in self.all_actions}
        self.set_defaults(**{key: value for key, value in (defaults or {}).items() if key in known})

    def parse(self, args: Sequence[str]) -> tuple[Any, ...] | None:
        """The filled dataclasses, in the order of `dataclass_types`; None when help was asked for and printed.

        Raises:
            UsageError: An unknown option or key, a value of the wrong type, a missing option, a YAML file that is not
                there or is no mapping; or the value was refused by the dataclass itself.
        """
        args = [part for arg in args for part in (arg.split("=", 1) if arg.startswith("--config=") else (arg,))]
        if self.positional and args and not args[0].startswith("-"):
            args = [f"--{self.positional}", *args]
            if any(arg.split("=")[0] == args[0] for arg in args[1:]):
                raise UsageError(f"{args[0]} is given twice, as the first argument too")
        if "-h" in args or "--help" in args:
            print_once(short_help(self))
            return None
        if "--help-all" in args:
            print_once(self.format_help())
            return None
        self.config_path = self._config_path(args)
        self._refuse_unknown_options(args)
        try:
            *parsed, remaining = self.parse_args_and_config(args, return_remaining_strings=True)
        except UsageError:
            raise
        except (ValueError, TypeError, OSError, yaml.YAMLError) as error:
            raise UsageError(_one_line(error)) from error
        if remaining:
            raise UsageError(f"unexpected argument {remaining[0]!r}: options start with --")
        return tuple(parsed)

    def set_defaults_with_config(self, **config: Any) -> list[str]:
        """TRL's hook for the YAML file's values: check keys and values as flags are checked, then hand them over."""
        actions = {action.dest: action for action in self.all_actions}
        checked: dict[str, Any] = {}
        for key, value in config.items():
            name = self._other_names.get(key, key)
            if name not in actions:
                raise UsageError(f"{self.config_path}: unknown key {key!r}{_did_you_mean(key, actions)}")
            if name in checked:
                raise UsageError(f"{self.config_path}: {key} says again what another key says: leave one of them out")
            checked[name] = self._checked(actions[name], key, value)
        return list(super().set_defaults_with_config(**checked))

    def error(self, message: str) -> NoReturn:
        """argparse's errors as one line: `--a/--b` spelled once."""
        raise UsageError(re.sub(r"(--[a-z0-9_]+)(/--?[A-Za-z0-9-]+)+", r"\1", message))

    def _config_path(self, args: list[str]) -> str | None:
        places = [i for i, arg in enumerate(args) if arg == "--config"]
        if not places:
            return None
        if len(places) > 1:
            raise UsageError("--config is given twice; put the options into one file, or give the others as flags")
        if places[0] + 1 >= len(args) or args[places[0] + 1].startswith("--"):
            raise UsageError("--config needs the path of a YAML file")
        path = args[places[0] + 1]
        if not os.path.isfile(path):
            raise UsageError(f"--config {path}: there is no such file (looked in {os.getcwd()})")
        return path

    def _refuse_unknown_options(self, args: list[str]) -> None:
        known = {*self._option_string_actions, "--config"}
        for arg in args:
            name = arg.split("=", 1)[0]
            if name.startswith("--") and name not in known:
                raise UsageError(f"unknown option {name}{_did_you_mean(name, known)}")

    def _checked(self, action: argparse.Action, key: str, value: Any, *, wrap: bool = True) -> Any:
        """The YAML `value` after the conversion and the choices that the flag `--key` goes through."""
        if value is None or isinstance(value, dict):
            return value
        if isinstance(value, list):
            return [self._checked(action, key, item, wrap=False) for item in value] if action.nargs == "+" else value
        convert = action.type if callable(action.type) else str
        try:
            checked = convert(str(value))
        except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
            kind = getattr(convert, "__name__", "value").replace("string_to_bool", "true/false")
            raise UsageError(f"{self.config_path}: {key}: {value!r} is not a valid {kind}") from error
        if action.choices is not None and checked not in action.choices:
            choices = ", ".join(map(str, action.choices))
            raise UsageError(f"{self.config_path}: {key}: {value!r} is not one of {choices}")
        return [checked] if action.nargs == "+" and wrap else checked


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(matches)}?" if matches else "; --help-all lists every option"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
