"""Publishing a selection on the Hub in one commit: kept rows, what is said of every row, and how it came about."""

from hf_datasel.hub.push import push_selection_to_hub
from hf_datasel.hub.retry import Retry
from hf_datasel.hub.source import SourceDataset, find_source
from hf_datasel.hub.verify import Check, Verification, verify_selection

__all__ = [
    "Check",
    "Retry",
    "SourceDataset",
    "Verification",
    "find_source",
    "push_selection_to_hub",
    "verify_selection",
]
