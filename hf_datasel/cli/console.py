"""What reaches the terminal: one process prints, and bars only move where someone watches."""

import os
import sys


def is_main_process() -> bool:
    """Whether this process is rank 0, or the only one there is."""
    return os.environ.get("RANK", "0") == "0"


def print_once(*lines: str) -> None:
    """Print on the main process only."""
    if is_main_process():
        print(*lines, sep="\n", flush=True)


def quiet_unless_terminal() -> bool:
    """Turn the libraries' progress bars off where nobody watches them; returns whether they are off."""
    if sys.stderr.isatty():
        return False
    import datasets
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    datasets.disable_progress_bars()
    disable_progress_bars()
    logging.disable_progress_bar()
    return True
