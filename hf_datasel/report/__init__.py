"""Pictures of what was recorded, chosen and measured, with their numbers as CSV beside them, and the page of them."""

from hf_datasel.report.bars import plot_scores, plot_shares
from hf_datasel.report.budgets import plot_budgets
from hf_datasel.report.groups import count_groups, plot_groups
from hf_datasel.report.lengths import plot_lengths
from hf_datasel.report.page import Report, write_report
from hf_datasel.report.picture import Picture
from hf_datasel.report.pictures import make_pictures
from hf_datasel.report.projection import plot_map
from hf_datasel.report.saved import load_pictures
from hf_datasel.report.scores import plot_kept_scores
from hf_datasel.report.thresholds import plot_score_threshold
from hf_datasel.report.trajectories import plot_trajectory_clusters
from hf_datasel.report.values import plot_values

__all__ = [
    "Picture",
    "Report",
    "count_groups",
    "load_pictures",
    "make_pictures",
    "plot_budgets",
    "plot_groups",
    "plot_kept_scores",
    "plot_lengths",
    "plot_map",
    "plot_score_threshold",
    "plot_scores",
    "plot_shares",
    "plot_trajectory_clusters",
    "plot_values",
    "write_report",
]
