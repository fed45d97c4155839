"""hf_datasel: which examples are worth training on?

Watch a training run, turn what it saw into a selection, and get back a curated dataset or a trained model. Every
public name is imported on first use, so `import hf_datasel` is quick and loads neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_datasel.version import __version__

if TYPE_CHECKING:
    from hf_datasel.bm25 import record_bm25
    from hf_datasel.cluster_values import value_clusters
    from hf_datasel.clusters import Clusters, cluster_examples
    from hf_datasel.compare.comparison import Comparison, load_comparison
    from hf_datasel.compare.run import compare_selections
    from hf_datasel.damage import damaged
    from hf_datasel.data import Rows, add_example_ids, annotate, dataset_fingerprint, rows, strata
    from hf_datasel.dsir import record_dsir
    from hf_datasel.embeddings import Embeddings
    from hf_datasel.fingerprint import EXAMPLE_ID, DatasetFingerprint
    from hf_datasel.hub import push_selection_to_hub, verify_selection
    from hf_datasel.lengths import record_lengths
    from hf_datasel.report import make_pictures, write_report
    from hf_datasel.selection import Selection
    from hf_datasel.selectors import (
        BM25Selector,
        CLUESSelector,
        DataInfSelector,
        DatasetQuantizationSelector,
        DSIRSelector,
        FacilityLocationSelector,
        FullSelector,
        HighLearnabilitySelector,
        IFDSelector,
        LeastConfidenceSelector,
        LongestSelector,
        MiddlePerplexitySelector,
        OracleSelector,
        PerplexitySelector,
        RandomSelector,
        S2LSelector,
        Selector,
        SHEDSelector,
        Strata,
    )
    from hf_datasel.selectors.chain import Chain
    from hf_datasel.trace import Trace
    from hf_datasel.training import (
        ConfidenceCurriculumCallback,
        GradientTraceCallback,
        LossTrajectoryCallback,
        SelectingSFTConfig,
        SelectingSFTTrainer,
        record_datainf,
        record_ifd,
    )
    from hf_datasel.training.embedding import (
        BagEmbedder,
        EncoderEmbedder,
        HiddenStateEmbedder,
        SentenceTransformersEmbedder,
        TokenBagEmbedder,
        embed,
    )
    from hf_datasel.training.utility import FineTuneUtility
    from hf_datasel.truth import record_truth
    from hf_datasel.valuation import Valuation

_HOMES = {
    "hf_datasel.bm25": ("record_bm25",),
    "hf_datasel.clusters": ("Clusters", "cluster_examples"),
    "hf_datasel.compare.comparison": ("Comparison", "load_comparison"),
    "hf_datasel.compare.run": ("compare_selections",),
    "hf_datasel.damage": ("damaged",),
    "hf_datasel.data": ("Rows", "add_example_ids", "annotate", "dataset_fingerprint", "rows", "strata"),
    "hf_datasel.dsir": ("record_dsir",),
    "hf_datasel.embeddings": ("Embeddings",),
    "hf_datasel.fingerprint": ("EXAMPLE_ID", "DatasetFingerprint"),
    "hf_datasel.hub": ("push_selection_to_hub", "verify_selection"),
    "hf_datasel.report": ("make_pictures", "write_report"),
    "hf_datasel.lengths": ("record_lengths",),
    "hf_datasel.selection": ("Selection",),
    "hf_datasel.selectors": (
        "BM25Selector",
        "CLUESSelector",
        "DataInfSelector",
        "DatasetQuantizationSelector",
        "DSIRSelector",
        "FacilityLocationSelector",
        "FullSelector",
        "HighLearnabilitySelector",
        "IFDSelector",
        "LeastConfidenceSelector",
        "LongestSelector",
        "MiddlePerplexitySelector",
        "OracleSelector",
        "PerplexitySelector",
        "RandomSelector",
        "S2LSelector",
        "Selector",
        "SHEDSelector",
        "Strata",
    ),
    "hf_datasel.selectors.chain": ("Chain",),
    "hf_datasel.trace": ("Trace",),
    "hf_datasel.training": (
        "ConfidenceCurriculumCallback",
        "GradientTraceCallback",
        "LossTrajectoryCallback",
        "SelectingSFTConfig",
        "SelectingSFTTrainer",
        "record_datainf",
        "record_ifd",
    ),
    "hf_datasel.training.embedding": (
        "BagEmbedder",
        "EncoderEmbedder",
        "HiddenStateEmbedder",
        "SentenceTransformersEmbedder",
        "TokenBagEmbedder",
        "embed",
    ),
    "hf_datasel.training.utility": ("FineTuneUtility",),
    "hf_datasel.truth": ("record_truth",),
    "hf_datasel.valuation": ("Valuation",),
    "hf_datasel.cluster_values": ("value_clusters",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "EXAMPLE_ID",
    "BM25Selector",
    "BagEmbedder",
    "CLUESSelector",
    "Chain",
    "Clusters",
    "ConfidenceCurriculumCallback",
    "Comparison",
    "DSIRSelector",
    "DataInfSelector",
    "DatasetFingerprint",
    "DatasetQuantizationSelector",
    "Embeddings",
    "EncoderEmbedder",
    "FacilityLocationSelector",
    "FineTuneUtility",
    "FullSelector",
    "IFDSelector",
    "GradientTraceCallback",
    "HiddenStateEmbedder",
    "HighLearnabilitySelector",
    "LeastConfidenceSelector",
    "LongestSelector",
    "LossTrajectoryCallback",
    "MiddlePerplexitySelector",
    "OracleSelector",
    "PerplexitySelector",
    "RandomSelector",
    "Rows",
    "S2LSelector",
    "SHEDSelector",
    "SelectingSFTConfig",
    "SelectingSFTTrainer",
    "Selection",
    "Selector",
    "SentenceTransformersEmbedder",
    "Strata",
    "TokenBagEmbedder",
    "Trace",
    "Valuation",
    "__version__",
    "add_example_ids",
    "annotate",
    "cluster_examples",
    "compare_selections",
    "load_comparison",
    "damaged",
    "dataset_fingerprint",
    "embed",
    "make_pictures",
    "push_selection_to_hub",
    "record_bm25",
    "record_datainf",
    "record_dsir",
    "record_ifd",
    "record_lengths",
    "record_truth",
    "rows",
    "strata",
    "value_clusters",
    "verify_selection",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
