"""The confidence curriculum as a method of a comparison: train on all rows, the easiest first.

What it does in training, `training/curriculum.py` says. Here the rows are ordered by the losses that the comparison
has recorded for everybody (of the proxy, where there is one), which it is charged with.

It has no budget. S2L's paper (arXiv 2403.07384) holds it against selections of a given size, but the released code
leaves open how a size is put on it, and the curriculum's own paper (arXiv 2205.09898) orders all rows. A budget of the
easiest rows would be another method, which is there: "perplexity". So the target is trained on all rows, for as many
steps as "full" is, and held against that. Of its cells `num_kept` says that no row was left out, `num_seen` how many
were visited: early passes are over easy rows, and a training of few epochs does not come to all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trl import SFTTrainer

from hf_datasel.compare.plan import CURRICULUM
from hf_datasel.selectors import FullSelector
from hf_datasel.trace import Trace
from hf_datasel.training.curriculum import ConfidenceCurriculumCallback


@dataclass(frozen=True, kw_only=True)
class ConfidenceCurriculum(FullSelector):
    """Keep every row, and let a training visit them easiest first.

    Args:
        start_share, full_at: of `ConfidenceCurriculumCallback`.

    Example:
        >>> from hf_datasel.compare.plan import Method
        >>> Method("confidence_curriculum", options={"full_at": 0.8}).is_on_all
        True
    """

    start_share: float = 0.2
    full_at: float = 0.5

    name: ClassVar[str] = CURRICULUM
    reads_values: ClassVar[bool] = True

    def _check(self) -> None:
        super()._check()
        for option in ("start_share", "full_at"):
            self._require_share(option, getattr(self, option), ends=True)

    def attach(self, trainer: SFTTrainer, difficulty: Trace | None = None) -> None:
        """Let a trainer visit its rows so.

        Args:
            difficulty: losses of all its rows.

        Raises:
            ValueError: an option out of range, or a way of training that cannot follow an order.
        """
        callback = ConfidenceCurriculumCallback(
            trainer, difficulty, start_share=self.start_share, full_at=self.full_at
        )
        trainer.add_callback(callback)


def num_seen(trainer: SFTTrainer) -> dict[str, int]:
    """For a cell: how many rows a training has visited in a curriculum's order; nothing of another training."""
    callbacks = trainer.callback_handler.callbacks
    found = [one for one in callbacks if isinstance(one, ConfidenceCurriculumCallback)]
    return {"num_seen": found[0].num_visited()} if found else {}
