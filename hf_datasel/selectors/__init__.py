"""The selection methods, one paper a file, under one contract."""

from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.clues import CLUESSelector
from hf_datasel.selectors.datainf import DataInfSelector
from hf_datasel.selectors.ifd import IFDSelector
from hf_datasel.selectors.oracle import OracleSelector
from hf_datasel.selectors.perplexity import PerplexitySelector
from hf_datasel.selectors.pool import Pool, Strata
from hf_datasel.selectors.random import RandomSelector
from hf_datasel.selectors.s2l import S2LSelector
from hf_datasel.selectors.score import Scores, ScoreSelector

SELECTORS: dict[str, type[Selector]] = {
    selector.name: selector
    for selector in (
        S2LSelector,
        CLUESSelector,
        PerplexitySelector,
        IFDSelector,
        DataInfSelector,
        OracleSelector,
        RandomSelector,
    )
}

__all__ = [
    "SELECTORS",
    "CLUESSelector",
    "Choice",
    "DataInfSelector",
    "IFDSelector",
    "OracleSelector",
    "PerplexitySelector",
    "Pool",
    "RandomSelector",
    "S2LSelector",
    "ScoreSelector",
    "Scores",
    "Selector",
    "Strata",
]
