"""The selection methods, one paper a file, under one contract."""

from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.bm25 import BM25Selector
from hf_datasel.selectors.clues import CLUESSelector
from hf_datasel.selectors.datainf import DataInfSelector
from hf_datasel.selectors.dataset_quantization import DatasetQuantizationSelector
from hf_datasel.selectors.dsir import DSIRSelector
from hf_datasel.selectors.facility_location import FacilityLocationSelector
from hf_datasel.selectors.full import FullSelector
from hf_datasel.selectors.high_learnability import HighLearnabilitySelector
from hf_datasel.selectors.ifd import IFDSelector
from hf_datasel.selectors.least_confidence import LeastConfidenceSelector
from hf_datasel.selectors.longest import LongestSelector
from hf_datasel.selectors.middle_perplexity import MiddlePerplexitySelector
from hf_datasel.selectors.oracle import OracleSelector
from hf_datasel.selectors.perplexity import PerplexitySelector
from hf_datasel.selectors.pool import Pool, Strata
from hf_datasel.selectors.random import RandomSelector
from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.s2l import S2LSelector
from hf_datasel.selectors.score import RowScoreSelector, Scores, ScoreSelector
from hf_datasel.selectors.shed import SHEDSelector

SELECTORS: dict[str, type[Selector]] = {
    selector.name: selector
    for selector in (
        S2LSelector,
        CLUESSelector,
        SHEDSelector,
        PerplexitySelector,
        LeastConfidenceSelector,
        MiddlePerplexitySelector,
        HighLearnabilitySelector,
        IFDSelector,
        DataInfSelector,
        OracleSelector,
        DSIRSelector,
        BM25Selector,
        LongestSelector,
        DatasetQuantizationSelector,
        FacilityLocationSelector,
        RandomSelector,
        FullSelector,
    )
}

__all__ = [
    "SELECTORS",
    "BM25Selector",
    "CLUESSelector",
    "Choice",
    "DSIRSelector",
    "DataInfSelector",
    "DatasetQuantizationSelector",
    "FacilityLocationSelector",
    "FullSelector",
    "HighLearnabilitySelector",
    "IFDSelector",
    "LeastConfidenceSelector",
    "LongestSelector",
    "MiddlePerplexitySelector",
    "OracleSelector",
    "PerplexitySelector",
    "Pool",
    "RandomSelector",
    "Recorded",
    "RowScoreSelector",
    "S2LSelector",
    "SHEDSelector",
    "ScoreSelector",
    "Scores",
    "Selector",
    "Strata",
]
