"""A metric of the evaluate library that needs no network."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = '''
import datasets
import evaluate


class Overlap(evaluate.Metric):
    """Share of answers that are the reference, and of those that are not."""

    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        right = sum(a == b for a, b in zip(predictions, references)) / len(references)
        return {"right": right, "wrong": 1 - right}
'''


@contextmanager
def modules_apart(folder: Path) -> Iterator[None]:
    """A folder for evaluate's modules; those of an earlier test of the same process would stand in the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [place for place in sys.path if not Path(place, "evaluate_modules").is_dir()])
        patch.setattr("evaluate.config.HF_MODULES_CACHE", folder)
        for name in [name for name in sys.modules if name.split(".")[0] == "evaluate_modules"]:
            patch.delitem(sys.modules, name)  # packages within remember their folder, too
        yield
