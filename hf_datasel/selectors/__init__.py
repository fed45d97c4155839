"""The selection methods, one paper a file, under one contract."""

from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.clues import CLUESSelector
from hf_datasel.selectors.datainf import DataInfSelector
from hf_datasel.selectors.dataset_quantization import DatasetQuantizationSelector
from hf_datasel.selectors.dsir import DSIRSelector
from hf_datasel.selectors.full import FullSelector
from hf_datasel.selectors.ifd import IFDSelector
from hf_datasel.selectors.oracle import OracleSelector
from hf_datasel.selectors.perplexity import PerplexitySelector
from hf_datasel.selectors.pool import Pool, Strata
from hf_datasel.selectors.random import RandomSelector
from hf_datasel.selectors.s2l import S2LSelector
from hf_datasel.selectors.score import Scores, ScoreSelector
from hf_datasel.selectors.shed import SHEDSelector

SELECTORS: dict[str, type[Selector]] = {
    selector.name: selector
    for selector in (
        S2LSelector,
        CLUESSelector,
        SHEDSelector,
        PerplexitySelector,
        IFDSelector,
        DataInfSelector,
        OracleSelector,
        DSIRSelector,
        DatasetQuantizationSelector,
        RandomSelector,
        FullSelector,
    )
}

__all__ = [
    "SELECTORS",
    "CLUESSelector",
    "Choice",
    "DSIRSelector",
    "DataInfSelector",
    "DatasetQuantizationSelector",
    "FullSelector",
    "IFDSelector",
    "OracleSelector",
    "PerplexitySelector",
    "Pool",
    "RandomSelector",
    "S2LSelector",
    "SHEDSelector",
    "ScoreSelector",
    "Scores",
    "Selector",
    "Strata",
]
