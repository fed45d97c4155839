"""The utility v(S) of a coalition: fine-tune on its examples, one by one or several at once, and evaluate."""

from hf_datasel.training.utility.fine_tune import FineTuneUtility
from hf_datasel.training.utility.generation import generate_answers
from hf_datasel.training.utility.given_metrics import EvaluateMetric, FunctionMetric

__all__ = ["EvaluateMetric", "FineTuneUtility", "FunctionMetric", "generate_answers"]
