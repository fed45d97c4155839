"""Cards of what is published: rendered from data, never typed."""

from hf_datasel.cards.dataset_card import dataset_card
from hf_datasel.cards.papers import PAPERS

__all__ = ["PAPERS", "dataset_card"]
