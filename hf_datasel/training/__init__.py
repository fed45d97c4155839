"""Hooks into Transformers and TRL: recording in training, and training on what was selected."""

from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.curriculum import ConfidenceCurriculumCallback
from hf_datasel.training.gradient_trace import GradientTraceCallback
from hf_datasel.training.influence.baselines import record_datainf, record_ifd
from hf_datasel.training.loss_trajectory import LossTrajectoryCallback
from hf_datasel.training.selecting_trainer import SelectingSFTTrainer

__all__ = [
    "ConfidenceCurriculumCallback",
    "GradientTraceCallback",
    "LossTrajectoryCallback",
    "SelectingSFTConfig",
    "SelectingSFTTrainer",
    "record_datainf",
    "record_ifd",
]
