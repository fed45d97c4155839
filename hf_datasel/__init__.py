"""hf_datasel: which examples are worth training on?

Watch a training run, turn what it saw into a selection, and get back a curated dataset or a trained model. Every
public name is imported on first use, so `import hf_datasel` is quick and loads neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_datasel.version import __version__

if TYPE_CHECKING:
    from hf_datasel.cluster_values import value_clusters
    from hf_datasel.clusters import Clusters, cluster_examples
    from hf_datasel.damage import damaged
    from hf_datasel.data import Rows, add_example_ids, annotate, dataset_fingerprint, rows, strata
    from hf_datasel.dsir import record_dsir
    from hf_datasel.embeddings import Embeddings
    from hf_datasel.fingerprint import EXAMPLE_ID, DatasetFingerprint
    from hf_datasel.selection import Selection
    from hf_datasel.selectors import (
        CLUESSelector,
        DataInfSelector,
        DatasetQuantizationSelector,
        DSIRSelector,
        FullSelector,
        IFDSelector,
        OracleSelector,
        PerplexitySelector,
        RandomSelector,
        S2LSelector,
        Selector,
        SHEDSelector,
        Strata,
    )
    from hf_datasel.trace import Trace
    from hf_datasel.training import (
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
    from hf_datasel.valuation import Valuation

_HOMES = {
    "hf_datasel.clusters": ("Clusters", "cluster_examples"),
    "hf_datasel.damage": ("damaged",),
    "hf_datasel.data": ("Rows", "add_example_ids", "annotate", "dataset_fingerprint", "rows", "strata"),
    "hf_datasel.dsir": ("record_dsir",),
    "hf_datasel.embeddings": ("Embeddings",),
    "hf_datasel.fingerprint": ("EXAMPLE_ID", "DatasetFingerprint"),
    "hf_datasel.selection": ("Selection",),
    "hf_datasel.selectors": (
        "CLUESSelector",
        "DataInfSelector",
        "DatasetQuantizationSelector",
        "DSIRSelector",
        "FullSelector",
        "IFDSelector",
        "OracleSelector",
        "PerplexitySelector",
        "RandomSelector",
        "S2LSelector",
        "Selector",
        "SHEDSelector",
        "Strata",
    ),
    "hf_datasel.trace": ("Trace",),
    "hf_datasel.training": (
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
    "hf_datasel.valuation": ("Valuation",),
    "hf_datasel.cluster_values": ("value_clusters",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "EXAMPLE_ID",
    "BagEmbedder",
    "CLUESSelector",
    "Clusters",
    "DSIRSelector",
    "DataInfSelector",
    "DatasetFingerprint",
    "DatasetQuantizationSelector",
    "Embeddings",
    "EncoderEmbedder",
    "FineTuneUtility",
    "FullSelector",
    "IFDSelector",
    "GradientTraceCallback",
    "HiddenStateEmbedder",
    "LossTrajectoryCallback",
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
    "damaged",
    "dataset_fingerprint",
    "embed",
    "record_datainf",
    "record_dsir",
    "record_ifd",
    "rows",
    "strata",
    "value_clusters",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
