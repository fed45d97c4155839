"""Dataset Quantization: spread the budget over bins of embeddings, each typical of what is left and yet diverse.

Zhou, Wang, Gu, Peng, Lian, Zhang, You, Feng, "Dataset Quantization", ICCV 2023, arXiv 2308.10524:

    for i = 1 .. k:    fill bin i with floor(N / k) of the rows left, one after another that of largest GraphCut gain
                       sum_{v left} <v, x> - 2 sum_{s in bin i} <s, x>
    draw B / k rows from each bin, uniformly without replacement

The formula stands in `functional/graph_cut.py`. There are no scores, so neither high nor low is good. All bins must be
full before any row can be drawn, so the cost does not depend on the budget: N^2 d / 2 multiplications at worst. What
`functional/graph_cut.py` spares of them grows with N: with text features of 384 dimensions it took a third of the time
for 10,000 rows and a sixth for 20,000, for the same bins. With `chunk_size` it is N chunk_size d / 2 at worst, which
more than some 100,000 rows need. Memory: the embeddings twice.

The products are of the embeddings as they are, which are cosines where they have unit length. (The released code takes
(1 + cosine) / 2 for pictures, which chooses the same rows.)

Where we differ: the draws are seeded; the released code gives floor(B / k) rows of each bin, here bins that are drawn
give one more until there are B; the N mod k rows that fit into no bin are drawn from when the bins are used up; strata
are binned apart, each for its share of the budget; `chunk_size`, off by default, is not in the paper.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_datasel.embeddings import Embeddings
from hf_datasel.functional.allocation import allocate, group_members
from hf_datasel.functional.graph_cut import draw_from_bins, fill_bins
from hf_datasel.functional.kmeans import UnusableValueError
from hf_datasel.selectors.base import Choice, Selector
from hf_datasel.selectors.pool import Evidence, Pool
from hf_datasel.selectors.published import Published


class _Stratum(NamedTuple):
    """Positions of the candidates that are binned together, how many are kept, and their bins."""

    members: NDArray[np.int64]
    quota: int
    first_bin: int
    num_bins: int


@dataclass(frozen=True, kw_only=True)
class DatasetQuantizationSelector(Selector):
    """Keep an equal share of every GraphCut bin of `Embeddings`.

    Args:
        budget: see `Selector`.
        num_bins: k, for each stratum where there are strata; 10 in the released code, lowered to the rows there are.
        chunk_size: None, as published; or fill bins in random parts of at most so many candidates, at least 2 k, and
            put the first bins of all parts together, their second, and so on. A bin is then diverse within each part
            only: two near duplicates in two parts can both be in it.
        seed: of the draws, and of the parts.

    The Selection's clusters are the bins over all strata, -1 for rows in none and where nothing had to be chosen.

    Example:
        >>> from hf_datasel import Embeddings
        >>> vectors = np.repeat(np.eye(2, dtype=np.float32), [60, 40], axis=0)
        >>> embeddings = Embeddings.from_arrays(range(100), vectors, embedder={"name": "mine"})
        >>> len(DatasetQuantizationSelector(budget=20, num_bins=4).select(embeddings))
        20
    """

    budget: int | float
    num_bins: int = 10
    chunk_size: int | None = None

    name: ClassVar[str] = "dataset_quantization"
    reads: ClassVar[type[Evidence]] = Embeddings
    metrics: ClassVar[tuple[str, ...]] = ("embeddings",)

    def _check(self) -> None:
        super()._check()
        self._require_int("num_bins", self.num_bins, 1)
        if self.chunk_size is not None:
            self._require_int("chunk_size", self.chunk_size, 2 * self.num_bins)

    def _choose(self, pool: Pool, budget: int) -> Choice:
        from tqdm.auto import tqdm

        names: tuple[str | None, ...] = pool.stratum_names or (None,)
        generator = np.random.default_rng(self.seed).spawn(1)[0]  # of the parts; the draws have their own
        bins = np.full(len(pool.ids), -1, np.int32)
        used: list[dict[str, Any]] = []
        strata = list(self._walk(Published.of_pool(pool), budget))
        total = sum(len(stratum.members) for stratum in strata if stratum.num_bins)
        hidden = not sys.stderr.isatty()
        with tqdm(total=total, desc="Dataset Quantization", unit="row", leave=False, disable=hidden) as bar:
            for name, (group, quota, first_bin, num_bins) in zip(names, strata, strict=True):
                if num_bins:
                    labels = self._fill(pool, group, num_bins, generator, bar.update)
                    bins[group] = np.where(labels < 0, -1, labels + first_bin)
                used.append({"stratum": name, "num_candidates": len(group), "num_kept": quota, "num_bins": num_bins})
        kept = self._choose_again(Published.of_pool(pool, clusters=bins), budget)
        return Choice(kept, clusters=bins, details={"strata": used})

    def _choose_again(self, published: Published, budget: int) -> NDArray[np.bool_]:
        generator = np.random.default_rng(self.seed)
        kept = np.zeros(len(published.ids), bool)
        for group, quota, first_bin, num_bins in self._walk(published, budget):
            if num_bins:
                labels = published.clusters_from(group, first_bin, num_bins, type(self).__name__, all_in_one=False)
                kept[group] = draw_from_bins(labels, num_bins, quota, generator)
            else:
                kept[group] = quota > 0
        return kept

    def _walk(self, candidates: Published, budget: int) -> Iterator[_Stratum]:
        """The strata, with bins where neither all nor nothing is taken."""
        members = group_members(*candidates.strata())
        quotas = allocate(np.array([len(group) for group in members], np.int64), budget).tolist()
        first_bin = 0
        for group, quota in zip(members, quotas, strict=True):
            num_bins = min(self.num_bins, len(group)) if 0 < quota < len(group) else 0
            yield _Stratum(group, quota, first_bin, num_bins)
            first_bin += num_bins

    def _fill(
        self,
        pool: Pool,
        group: NDArray[np.int64],
        num_bins: int,
        generator: np.random.Generator,
        advance: Callable[[int], Any],
    ) -> NDArray[np.int32]:
        """Bin of each candidate at the positions `group`, int32."""
        embeddings: Embeddings = pool.source
        rows = group if pool.positions is None else pool.positions[group]
        vectors = embeddings.vectors if len(rows) == len(embeddings) else embeddings.vectors[rows]
        try:
            return fill_bins(vectors, num_bins, chunk_size=self.chunk_size, generator=generator, advance=advance)
        except UnusableValueError as error:
            raise ValueError(
                f"DatasetQuantizationSelector cannot use the vector of example {pool.ids[group[error.row]]}: its "
                f"{vectors[error.row, error.column]:g} is too large for sums of products in float32. Scale the "
                "embeddings to unit length, or leave the example out with within=."
            ) from error
