"""The selection methods, one paper a file, under one contract."""

from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.pool import Pool, Strata
from hf_datasel.selectors.random import RandomSelector
from hf_datasel.selectors.s2l import S2LSelector

SELECTORS: dict[str, type[Selector]] = {selector.name: selector for selector in (S2LSelector, RandomSelector)}

__all__ = ["SELECTORS", "Choice", "Pool", "RandomSelector", "S2LSelector", "Selector", "Strata"]
