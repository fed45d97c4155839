"""What every selector is: frozen hyperparameters, and `select(evidence) -> Selection`.

`Selector.select` is the template: it checks the hyperparameters and the evidence, works out the candidates, calls the
method's own `_choose`, and writes the provenance. A selector's file holds its paper and nothing else.

`_choose` finds scores or clusters and leaves what is counted and drawn by them to `_choose_again`, which
`choose_again` calls too, with what was published of a Selection in place of the evidence.

Legend: M candidates, B budget.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selection import Selection
from hf_datasel.selectors.entry_points import package_note
from hf_datasel.selectors.pool import Evidence, Pool, Strata, gather_pool
from hf_datasel.selectors.published import NotRederivable, Published
from hf_datasel.trace import Trace
from hf_datasel.version import __version__

LARGEST_SEED = 2**31 - 2  # faiss holds a seed in an int and trains with seed + 1


def is_number(value: Any) -> bool:
    """Whether it is a finite number, of Python's or numpy's kinds, and no bool."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and math.isfinite(value)


@dataclass(frozen=True)
class Choice:
    """What a method decided: `kept` bool [M], and where it has them `scores` float32 [M], `clusters` int32 [M].

    `details` goes into the provenance (anything JSON can hold); each of `notices` is also issued as a UserWarning.
    """

    kept: NDArray[np.bool_]
    scores: NDArray[np.float32] | None = None
    clusters: NDArray[np.int32] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Selector(ABC):
    """Hyperparameters of a selection method; nothing is checked before `select`.

    Args:
        budget: how many examples to keep: an int, 1 .. M, or a float, a share of the candidates in (0, 1]. Only a
            method that can cut at a threshold (`ScoreSelector`) does without.
        seed: of every random choice; global generators are neither read nor moved.
    """

    budget: int | float | None
    seed: int = 42

    name: ClassVar[str]
    reads_values: ClassVar[bool] = True
    reads: ClassVar[type[Evidence]] = Trace  # the kind of evidence its values come from
    metrics: ClassVar[tuple[str, ...]] = ("loss",)  # that evidence may be of; training records the first
    is_random: ClassVar[bool] = True  # False where the seed only breaks ties

    def select(self, evidence: Any, *, strata: Strata | None = None, within: Selection | None = None) -> Selection:
        """Choose examples.

        Args:
            evidence: what the method reads: a `Trace`, for some `Embeddings` or a `Valuation`. A method that reads no
                values also takes a dataset with example ids, or anything with `ids` and `fingerprint`.
            strata: a label for every candidate, where each label is to have its share.
            within: choose among the rows that this Selection kept; its provenance comes first in the new one.

        Returns:
            A Selection, of exactly the budget where there is one; the same whatever order the rows came in.

        Raises:
            TypeError: evidence of the wrong kind.
            ValueError: a hyperparameter out of range, no candidates, an unmeasured value (example id and step named),
                a candidate without a label, or evidence and `within` from different datasets.
        """
        self._check()
        asker = type(self).__name__
        pool = gather_pool(evidence, strata, within, reads_values=self.reads_values, asker=asker, kind=self.reads)
        choice = self._decide(pool)
        for notice in choice.notices:
            warnings.warn(notice, UserWarning, stacklevel=2)
        step = {
            "selector": self.name,
            **package_note(type(self)),
            "config": self._config(),
            "num_candidates": len(pool.ids),
            "num_kept": int(np.count_nonzero(choice.kept)),
            "evidence": pool.evidence,
            "details": choice.details,
            "warnings": list(choice.notices),
            "versions": {"hf_datasel": __version__, "numpy": np.__version__},
        }
        if pool.codes is not None:
            step["stratum_names"] = list(pool.stratum_names)
        return Selection(
            candidate_ids=pool.ids,
            kept=choice.kept,
            scores=choice.scores,
            clusters=choice.clusters,
            fingerprint=pool.fingerprint,
            provenance=(*(within.provenance if within is not None else ()), step),
            strata=pool.codes,
        )

    def choose_again(self, published: Published) -> NDArray[np.bool_]:
        """Which candidates `select` kept, bool [M], by what was published of them and these hyperparameters.

        Raises:
            NotRederivable: the method cannot choose by what is published.
            ValueError: hyperparameters, scores, clusters or strata that `select` cannot have left; or none where the
                method has some.
        """
        self._check()
        return self._decide_again(published)

    def check(self, num_candidates: int) -> None:
        """Raise now the ValueError that `select` would raise for these hyperparameters and so many candidates."""
        self._check()
        self.resolve_budget(num_candidates)

    def resolve_budget(self, num_candidates: int) -> int:
        """The budget as a number of examples; a share is rounded to the nearest, halves up, and is at least 1.

        Raises:
            ValueError: it is no number, 0, negative, or more than there is.

        Example:
            >>> from hf_datasel.selectors import RandomSelector
            >>> RandomSelector(budget=0.11).resolve_budget(1000), RandomSelector(budget=7).resolve_budget(1000)
            (110, 7)
        """
        budget: Any = self.budget  # numpy's numbers are welcome too
        if isinstance(budget, (int, np.integer)) and not isinstance(budget, bool):
            if not 1 <= budget <= num_candidates:
                raise ValueError(
                    f"budget={budget} examples is out of range: there are {num_candidates} candidates, so pass an int "
                    f"from 1 to {num_candidates}, or a share as a float."
                )
            return int(budget)
        if isinstance(budget, (float, np.floating)) and 0 < budget <= 1:
            return min(num_candidates, max(1, math.floor(float(budget) * num_candidates + 0.5)))
        raise ValueError(
            f"budget={budget!r} is no budget: pass an int, the number of examples to keep, or a float in (0, 1], "
            "their share of the candidates."
        )

    def _check(self) -> None:
        """Raise ValueError for a hyperparameter that is out of range; methods extend it with their own."""
        self._require_int("seed", self.seed, 0, LARGEST_SEED)

    def _config(self) -> dict[str, Any]:
        """The hyperparameters, as JSON can hold them, that give the same answer again."""
        config = asdict(self).items()
        return {key: value.item() if isinstance(value, np.generic) else value for key, value in config}

    def _require_int(self, option: str, value: Any, least: int, most: int | None = None) -> None:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            span = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise ValueError(f"{option}={value!r} of {type(self).__name__} must be an int {span}.")

    def _require_one_of(self, option: str, value: Any, choices: tuple[str, ...]) -> None:
        if value not in choices:
            raise ValueError(f"{option}={value!r} of {type(self).__name__} must be one of {choices}.")

    def _require_bool(self, option: str, value: Any) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{option}={value!r} of {type(self).__name__} must be True or False.")

    def _require_share(self, option: str, value: Any, *, ends: bool = False) -> None:
        if not is_number(value) or not 0 <= value <= 1 or (value in (0, 1) and not ends):
            span = "from 0 to 1" if ends else "between 0 and 1"
            raise ValueError(f"{option}={value!r} of {type(self).__name__} must be a share {span}.")

    def _decide(self, pool: Pool) -> Choice:
        budget = self.resolve_budget(len(pool.ids))
        choice = self._choose(pool, budget)
        num_kept = int(np.count_nonzero(choice.kept))
        if num_kept != budget:
            raise RuntimeError(f"{type(self).__name__} kept {num_kept} examples of a budget of {budget}.")
        return choice

    def _decide_again(self, published: Published) -> NDArray[np.bool_]:
        return self._choose_again(published, self.resolve_budget(len(published.ids)))

    @abstractmethod
    def _choose(self, pool: Pool, budget: int) -> Choice:
        """The method itself: keep exactly `budget` of the pool's candidates."""

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        """What `_choose` keeps once scores and clusters are known, bool [M]; methods give their own, and call it."""
        raise NotRederivable(f"{type(self).__name__} does not say how it chooses by what is published.")
