"""What each player of a game is worth: estimators of Shapley and Banzhaf values from few evaluations."""

from hf_datasel.functional.valuation.estimate import Estimate, Estimator, Game
from hf_datasel.functional.valuation.exact import ExactEstimator
from hf_datasel.functional.valuation.regression import RegressionEstimator
from hf_datasel.functional.valuation.removal import OfficialEstimator, PaperEstimator
from hf_datasel.functional.valuation.stopping import StopWhenStable

ESTIMATORS: dict[str, type[Estimator]] = {
    "exact": ExactEstimator,
    "official": OfficialEstimator,
    "paper": PaperEstimator,
    "regression": RegressionEstimator,
}

__all__ = [
    "ESTIMATORS",
    "Estimate",
    "Estimator",
    "ExactEstimator",
    "Game",
    "OfficialEstimator",
    "PaperEstimator",
    "RegressionEstimator",
    "StopWhenStable",
]
