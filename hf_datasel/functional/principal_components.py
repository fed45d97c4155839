"""Principal components: the directions in which rows differ most, for maps of them.

Legend: n rows, d dimensions, k components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """What `principal_components` found.

    Args:
        mean: float64 [d].
        directions: float64 [d, k], orthonormal, the largest entry of each positive; 0 beyond the rank of the rows.
        shares: float64 [k], of the rows' variance, descending; 0 where the rows do not differ.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    shares: NDArray[np.float64]

    def project(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Coordinates of rows [n, d] along the directions, float64 [n, k]."""
        return (np.asarray(rows, np.float64) - self.mean) @ self.directions


def principal_components(rows: ArrayLike, num_components: int = 2) -> PrincipalComponents:
    """The first principal components, by a singular value decomposition of the centred rows.

    Args:
        rows: finite numbers [n, d], n >= 1.
        num_components: k; where min(n, d) is less, the others are 0.

    Example:
        >>> found = principal_components([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])
        >>> found.shares.tolist(), found.project([[4.0, 5.0]])[0].round(6).tolist()
        ([1.0, 0.0], [1.0, 0.0])
    """
    table = np.asarray(rows, np.float64)
    mean = table.mean(axis=0)
    _, singular, basis = np.linalg.svd(table - mean, full_matrices=False)
    variances = singular**2
    total = variances.sum()
    directions, shares = np.zeros((table.shape[1], num_components)), np.zeros(num_components)
    noise = singular.max() * max(table.shape) * np.finfo(np.float64).eps  # as numpy's matrix_rank has it
    found = min(num_components, int(np.count_nonzero(singular > noise)))
    if total > 0:
        signs = np.sign(basis[np.arange(found), np.abs(basis[:found]).argmax(axis=1)])
        directions[:, :found] = (basis[:found] * signs[:, None]).T
        shares[:found] = variances[:found] / total
    return PrincipalComponents(mean, directions, shares)
