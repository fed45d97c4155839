"""Coalitions waiting for their values: looked up in the ledger, or dealt to the processes and measured once.

The processes work in rounds. In each, every process measures a share of the coalitions by itself, writes the values
into its own segment of the ledger, and then tells all others, also of a failure. The largest come first, so that those
of one round cost about the same and no process waits for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from accelerate import PartialState
from numpy.typing import NDArray
from transformers.utils import logging

from hf_datasel.ledger import Ledger
from hf_datasel.training.progress import OneBar
from hf_datasel.training.utility.coalition_rows import Ids
from hf_datasel.training.utility.evaluation import Record
from hf_datasel.training.utility.exchange import work_together

logger = logging.get_logger(__name__)

Measure = Callable[[Sequence[Ids]], Iterable[Record]]


class CoalitionQueue:
    """Values of coalitions, each measured once by one process.

    Args:
        ledger: of the experiment.
        measure: the records of some coalitions, in their order; ``value`` is a finite number. It works on this
            process alone, and raises what goes wrong.
        shown: whether a terminal sees a bar.
    """

    def __init__(self, ledger: Ledger, measure: Measure, *, shown: bool = True) -> None:
        self._ledger, self._measure, self._shown = ledger, measure, shown

    def values(self, coalitions: Sequence[Ids], at_once: int = 1) -> NDArray[np.float64]:
        """Values of the coalitions ``[m]``; every process asks for the same ones and gets the same.

        Args:
            coalitions: the ids of each.
            at_once: how many a call of ``measure`` is given.

        Raises:
            RuntimeError: one could not be measured on another process; says which, and why. On the process where it
                happened, the error itself.
        """
        names = [self._ledger.coalition_key(ids) for ids in coalitions]
        values = _union(work_together(lambda: self._known(names)))
        missing = {name: ids for name, ids in zip(names, coalitions, strict=True) if name not in values}
        order = sorted(missing, key=lambda name: (-len(missing[name]), name))
        state = PartialState()
        step = at_once * state.num_processes
        with OneBar(len(order), "coalitions", "coalition", self._shown and state.is_main_process) as bar:
            for start in range(0, len(order), step):
                # What is left of a round is shared out evenly, too.
                shares = np.array_split(np.array(order[start : start + step]), state.num_processes)
                share = [(name, missing[name]) for name in shares[state.process_index].tolist()]
                values |= _union(work_together(partial(self._record, share)))
                bar.advance("training", min(step, len(order) - start))
        return np.array([values[name] for name in names], dtype=np.float64)

    def _known(self, names: Sequence[str]) -> dict[str, float]:
        """What any process finds in its ledger, the same on all of them."""
        self._ledger.refresh()
        return {name: record["value"] for name in names if (record := self._ledger.get(name)) is not None}

    def _record(self, share: Sequence[tuple[str, Ids]]) -> dict[str, float]:
        """Measure this process's share, and write it down."""
        found: dict[str, float] = {}
        begun = time.monotonic()
        records = self._measure([ids for _, ids in share]) if share else ()
        for (name, ids), record in zip(share, records, strict=True):
            seconds = time.monotonic() - begun
            self._ledger.put(name, {**record, "num_examples": len(ids), "seconds": round(seconds, 3)})
            found[name] = float(record["value"])
            logger.info(f"v of {len(ids)} examples is {found[name]:.6g} ({seconds:.1f} s).")
            begun = time.monotonic()
        return found


def _union(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of what the processes know; the first one's word counts."""
    return {name: value for part in reversed(parts) for name, value in part.items()}
