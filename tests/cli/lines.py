"""Command lines for the tests."""

from pathlib import Path

from tests.conftest import TinyFiles

# Small enough for a test, and the same answer on every machine.
TRAINING = (
    "--use_cpu --bf16 false --gradient_checkpointing false --max_steps 4 --per_device_train_batch_size 8 "
    "--learning_rate 1e-2 --report_to none --save_strategy no"
).split()


def record_line(tiny_files: TinyFiles, root: Path, *more: str) -> list[str]:
    """`hf-datasel record` of the tiny files into `root`."""
    named = ("--dataset", tiny_files.data, "--model_name_or_path", tiny_files.model)
    places = ("--trace_dir", root / "trace", "--output_dir", root / "proxy", "--num_checkpoints", 2)
    return ["record", *map(str, (*named, *places)), *TRAINING, *more]
