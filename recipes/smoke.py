"""What the smoke recipes run on: generated rows, trusted ones, and a tiny model with its tokenizer, in one folder."""

import argparse
import json
from pathlib import Path

from datasets import Dataset

from hf_datasel.cli.console import quiet_unless_terminal
from hf_datasel.quickstart.corpus import make_corpus
from hf_datasel.quickstart.models import make_model, train_tokenizer
from hf_datasel.quickstart.plan import ModelSize

NUM_ROWS, NUM_TRUSTED, NUM_ANCHORS = 200, 16, 56
SIZE = ModelSize(hidden_size=16, num_layers=1, num_heads=2)


def write_smoke(folder: Path) -> None:
    """Write `data.jsonl`, `trusted.jsonl`, `anchors.jsonl` and `model/`; the same bytes each time."""
    corpus = make_corpus(NUM_ROWS, num_pretraining_rows=10, num_trusted_rows=NUM_TRUSTED + NUM_ANCHORS)
    trusted = corpus.trusted.shuffle(seed=0)  # they come skill by skill
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "data": corpus.train,
        "trusted": trusted.select(range(NUM_TRUSTED)),
        "anchors": trusted.select(range(NUM_TRUSTED, NUM_TRUSTED + NUM_ANCHORS)),
    }
    for name, rows in parts.items():
        _write_rows(folder / f"{name}.jsonl", rows)
    texts = [text for part in (corpus.train, trusted) for column in ("prompt", "completion") for text in part[column]]
    tokenizer = train_tokenizer(texts)
    make_model(SIZE, tokenizer, seed=0).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")


def _write_rows(path: Path, rows: Dataset) -> None:
    lines = ({name: row[name] for name in ("prompt", "completion", "skill")} for row in rows)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def main() -> None:
    """Write them into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    quiet_unless_terminal()
    write_smoke(folder)
    print(f"{NUM_ROWS} rows, {NUM_TRUSTED} trusted ones, {NUM_ANCHORS} anchors and a model: {folder}")


if __name__ == "__main__":
    main()
