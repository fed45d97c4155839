"""What the two-process test runs in every process: one embedding of everything, in small blocks.

Launched as ``accelerate launch two_processes.py FOLDER``, with an encoder in FOLDER/encoder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from accelerate import PartialState

from hf_datasel import BagEmbedder, HiddenStateEmbedder, embed
from hf_datasel.training.embedding import run
from tests.training.embedding.encoders import rows_of, texts
from tests.training.embedding.recorder import RecordingEmbedder
from tests.training.tiny import make_dataset, tiny_model, word_tokenizer

NUM_ROWS, BLOCK_ROWS = 23, 4  # six blocks, the last of three rows


def record(folder: Path, rank: int) -> None:
    """Embed with a text embedder, hidden states, a bag, and twice with a cache."""
    run.BLOCK_ROWS = BLOCK_ROWS
    own = folder / f"rank{rank}"
    written, rows = texts(NUM_ROWS, high=40), make_dataset(num_rows=NUM_ROWS)
    embed(rows_of(written), str(folder / "encoder"), batch_size=3).save(own / "encoder")
    embed(rows, HiddenStateEmbedder(tiny_model("llama"), word_tokenizer()), batch_size=3).save(own / "hidden_states")
    embed(rows_of(written[:2]), BagEmbedder(dimension=4, num_buckets=64)).save(own / "one_block")
    for time in ("first", "second"):
        embedder = RecordingEmbedder(log=own / f"{time}.log")
        embed(rows_of(written), embedder, cache_dir=folder / "cache").save(own / time)


def main() -> None:
    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    record(Path(sys.argv[1]), state.process_index)
    state.destroy_process_group()


if __name__ == "__main__":
    main()
