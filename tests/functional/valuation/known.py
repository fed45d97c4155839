"""Games whose values are known, and slow oracles that compute values as they are defined."""

import itertools
import math

import numpy as np


def additive(weights):
    """v(S) is the sum of the members' weights; both values are the weights. Rows are summed one by one."""
    weights = np.asarray(weights, float)
    return lambda coalitions: np.where(coalitions, weights, 0.0).sum(axis=1)


def unanimity(carrier):
    """1 where all of the carrier are there."""
    return lambda coalitions: coalitions[:, list(carrier)].all(axis=1).astype(float)


def airport(costs):
    """The cost of the longest runway that a member needs."""
    costs = np.asarray(costs, float)
    return lambda coalitions: np.where(coalitions, costs, 0.0).max(axis=1)


def glove(num_left):
    """Pairs of a left and a right glove; the first players hold the left ones."""
    return lambda coalitions: np.minimum(
        coalitions[:, :num_left].sum(axis=1), coalitions[:, num_left:].sum(axis=1)
    ).astype(float)


def majority(quota):
    """1 from so many members on."""
    return lambda coalitions: (coalitions.sum(axis=1) >= quota).astype(float)


def from_table(table):
    """v(S) = table[number of S], where player i is bit i of the number."""
    table = np.asarray(table, float)
    return lambda coalitions: table[coalitions @ (1 << np.arange(coalitions.shape[1]))]


def as_row(members, num_players):
    return np.isin(np.arange(num_players), list(members))[None]


def shapley_by_permutations(game, num_players):
    """Obviously correct, but slow: what i adds to those before it, over all orders."""
    totals = np.zeros(num_players)
    for order in itertools.permutations(range(num_players)):
        for place, player in enumerate(order):
            totals[player] += adds(game, player, order[:place], num_players)
    return totals / math.factorial(num_players)


def banzhaf_by_subsets(game, num_players):
    """Obviously correct, but slow: what i adds to each coalition of the others."""
    return np.array([np.mean([adds(game, i, s, num_players) for s in subsets_without(i, num_players)])
                     for i in range(num_players)])  # fmt: skip


def truncated_shapley(game, num_players, largest):
    """What i adds at places 1 .. M of a random order, each place counted alike."""
    return np.array(
        [
            np.mean(
                [
                    np.mean([adds(game, i, s, num_players) for s in subsets_without(i, num_players) if len(s) == size])
                    for size in range(largest)
                ]
            )
            for i in range(num_players)
        ]
    )


def subsets_without(player, num_players):
    others = [other for other in range(num_players) if other != player]
    return [s for size in range(num_players) for s in itertools.combinations(others, size)]


def adds(game, player, members, num_players):
    return float((game(as_row([*members, player], num_players)) - game(as_row(members, num_players)))[0])


class Watched:
    """A game that keeps what it was asked."""

    def __init__(self, game):
        self._game, self.batches = game, []

    def __call__(self, coalitions):
        self.batches.append(coalitions.copy())
        return self._game(coalitions)

    @property
    def asked(self):
        return np.concatenate(self.batches)


def noisy(game, scale, seed):
    """Every evaluation with a draw of its own."""
    generator = np.random.default_rng(seed)
    return lambda coalitions: game(coalitions) + scale * generator.normal(size=len(coalitions))
