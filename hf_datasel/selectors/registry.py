"""Selectors by name: the built-in ones, and those that other installed packages declare (see `entry_points`).

Names are listed without importing anything of these packages; a class is imported, and judged, when it is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import fields
from importlib.metadata import EntryPoint

from hf_datasel.selectors import SELECTORS, ScoreSelector, Selector
from hf_datasel.selectors.entry_points import declared, describe_package

# What importing a module may raise, if anything in it is wrong.
_FAILURES = (
    ImportError,
    AttributeError,
    SyntaxError,
    NameError,
    TypeError,
    ValueError,
    LookupError,
    OSError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
)


def selector_names() -> list[str]:
    """Every name that `get_selector` may be asked for, sorted.

    Example:
        >>> {"s2l", "clues", "shed", "random"} <= set(selector_names())
        True
    """
    return sorted({*SELECTORS, *(entry.name for entry in declared())})


def get_selector(name: str, option: str = "name") -> type[Selector]:
    """The selector class of that name; a built-in one where another package declares the same name, with a warning.

    Args:
        name: as `Selector.name`.
        option: how messages call it.

    Raises:
        ValueError: no selector of that name (lists those there are), two packages that declare it, or a class that
            calls itself otherwise.
        ImportError: what the package declares cannot be imported; names the package and the cause.
        TypeError: it is no selector.

    Example:
        >>> get_selector("s2l").__name__
        'S2LSelector'
    """
    entries = [entry for entry in declared() if entry.name == name]
    if name in SELECTORS:
        for entry in entries:
            warnings.warn(
                f"{name!r} is hf_datasel's own {SELECTORS[name].__name__}; the selector that the package "
                f"{describe_package(entry)} declares by the same name ({entry.value}) is left aside.",
                UserWarning,
                stacklevel=1,  # this line: said once a run, whoever asks
            )
        return SELECTORS[name]
    if not entries:
        raise ValueError(
            f"{option}={name!r} is not known; choose one of {selector_names()}, or install the package that has it."
        )
    if len(entries) > 1:
        packages = " and ".join(describe_package(entry) for entry in entries)
        raise ValueError(f"{option}={name!r} is declared by the packages {packages}: uninstall all but one of them.")
    return _imported(entries[0])


def option_names(selector: type[Selector]) -> list[str]:
    """The hyperparameters that options of the same name set: all of a built-in selector.

    Of another package's only those that every selector has; its own may mean something else by such a name, so they
    are given by name (`selection_options`, `--selector_options`).
    """
    base = ScoreSelector if issubclass(selector, ScoreSelector) else Selector
    return [item.name for item in fields(selector if selector in SELECTORS.values() else base)]


def require_hyperparameters(selector: type[Selector], names: Iterable[str], option: str) -> None:
    """Raise ValueError for a name that is no hyperparameter of the selector; lists those there are."""
    known = sorted(item.name for item in fields(selector))
    for name in names:
        if name not in known:
            raise ValueError(f"{option}: {name} is no hyperparameter of {selector.__name__} ({known}).")


def _imported(entry: EntryPoint) -> type[Selector]:
    what = f"The selector {entry.name!r} of the package {describe_package(entry)} ({entry.value})"
    try:
        selector = entry.load()
    except _FAILURES as error:
        raise ImportError(
            f"{what} cannot be imported: {type(error).__name__}: {error}. Mend or uninstall the package."
        ) from error
    if not (isinstance(selector, type) and issubclass(selector, Selector)):
        raise TypeError(f"{what} is no subclass of hf_datasel.Selector.")
    if "__dataclass_fields__" not in vars(selector):  # a dataclass below Selector is frozen, or Python refuses it
        raise TypeError(f"{what} is no dataclass: decorate it with @dataclass(frozen=True, kw_only=True).")
    if getattr(selector, "name", None) != entry.name:
        raise ValueError(
            f"{what} calls itself {getattr(selector, 'name', None)!r}: its class attribute `name` must be the entry "
            "point's."
        )
    if selector.reads_values and not (isinstance(selector.metrics, tuple) and selector.metrics):
        raise TypeError(f'{what} has metrics={selector.metrics!r}: write a tuple such as ("loss",).')
    return selector
