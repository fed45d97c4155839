"""How the help of a command reads: its own options first, then the training options most runs set."""

from __future__ import annotations

import argparse
import copy
import re
import shutil
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_datasel.cli.parser import CommandParser

# The options of SFTConfig and ModelConfig most runs set; `--help-all` lists the others.
COMMON_OPTIONS = (
    "model_name_or_path",
    "output_dir",
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_length",
    "packing",
    "assistant_only_loss",
    "use_peft",
    "lora_r",
    "bf16",
    "seed",
    "resume_from_checkpoint",
)

# Options of our own that few runs set, with or without the prefix `selection_`: `--help-all` lists them.
FINER_OPTIONS = {
    *("alpha", "clustering", "coalitions_at_once", "estimator_options", "group_weights", "low_rank", "precondition"),
    *("proxy_model_init_kwargs", "score_every", "sharpness", "tokens_per_batch", "transform", "utility_objective"),
    *("best_share", "curriculum", "hub_dataset_id", "in_run_score", "push_dataset", "utility_metric", "variant"),
}

WIDEST = 119  # columns
# What stands for an option's value in the help, by the name of its type.
_PLACEHOLDERS = {"int": "N", "float": "X", "str": "TEXT"}


class Formatter(argparse.HelpFormatter):
    """One spelling per option, short placeholders, defaults only where they say something."""

    def __init__(self, prog: str) -> None:
        columns = shutil.get_terminal_size(fallback=(WIDEST, 24)).columns
        super().__init__(prog, max_help_position=34, width=min(WIDEST, columns))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        if action.dest.endswith(("_dir", "_path")) and not action.dest.endswith("name_or_path"):
            return "DIR"
        return _PLACEHOLDERS.get(getattr(action.type, "__name__", "str"), "VALUE")

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return ", ".join(action.option_strings)
        if action.nargs == "?":  # TrlParser's booleans: a bare flag means true
            return action.option_strings[0]
        placeholder = self._get_default_metavar_for_optional(action)
        return f"{action.option_strings[0]} {self._format_args(action, placeholder)}"

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if isinstance(action.default, list):
            return f"{text} (default: {' '.join(map(str, action.default))})" if action.default else text
        # by identity: 0 is a default worth showing, although it equals False
        shown = not any(action.default is nothing for nothing in (None, False, argparse.SUPPRESS))
        return f"{text} (default: %(default)s)" if shown and "(default" not in text else text


def short_help(parser: CommandParser) -> str:
    """The command's own options, the usual training options, and where the rest is."""
    actions = {action.dest: action for action in reversed(parser.all_actions)}
    common = [name for name in COMMON_OPTIONS if name in actions and name not in parser.own]
    own = [name for name in parser.own if not common or name.removeprefix("selection_") not in FINER_OPTIONS]
    rest = "every option, with all of TRL's and Transformers'" if common else "the same list"
    formatter = Formatter(parser.prog)
    formatter.add_usage(parser.usage, parser.all_actions, [])
    formatter.add_text(parser.description)
    formatter.start_section("options")
    formatter.add_arguments([actions[name] for name in own])
    formatter.end_section()
    if common:
        formatter.start_section("training, the usual options")
        formatter.add_arguments([_first_sentence(actions[name]) for name in common])
        formatter.end_section()
    formatter.start_section("also")
    formatter.add_text(f"--config FILE: a YAML file of options; flags win. --help-all: {rest}. --debug: a traceback.")
    formatter.end_section()
    examples = "".join(f"  {line}\n" for line in parser.examples)
    return formatter.format_help() + (f"\nexamples:\n{examples}" if examples else "")


def _first_sentence(action: argparse.Action) -> argparse.Action:
    short = copy.copy(action)
    short.help = re.split(r"(?<=[a-z`)])\.\s+(?=[A-Z])", short.help or "")[0].removesuffix(".") + "."
    return short
