"""Embedders, and the sweep that gives every example a vector: the evidence of SHED and of Dataset Quantization."""

from hf_datasel.training.embedding.bag import BagEmbedder, TokenBagEmbedder
from hf_datasel.training.embedding.base import Embedder, Passage
from hf_datasel.training.embedding.encoder import EncoderEmbedder
from hf_datasel.training.embedding.hidden_states import HiddenStateEmbedder
from hf_datasel.training.embedding.run import embed
from hf_datasel.training.embedding.sentence_transformer import SentenceTransformersEmbedder

__all__ = [
    "BagEmbedder",
    "Embedder",
    "EncoderEmbedder",
    "HiddenStateEmbedder",
    "Passage",
    "SentenceTransformersEmbedder",
    "TokenBagEmbedder",
    "embed",
]
