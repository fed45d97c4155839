"""Pictures of what was recorded, chosen and measured; each comes with its numbers as CSV beside it."""

from hf_datasel.report.bars import plot_scores, plot_shares
from hf_datasel.report.thresholds import plot_score_threshold
from hf_datasel.report.trajectories import plot_trajectory_clusters

__all__ = ["plot_score_threshold", "plot_scores", "plot_shares", "plot_trajectory_clusters"]
