"""Data pruning from the early epochs: difficulty times uncertainty, and sampling that adapts to the pruning ratio."""

from companion.chapters.dual_pruning.claims import CLAIMS, verify
from companion.chapters.dual_pruning.experiments import (
    PAPER,
    Coresets,
    Parameters,
    Proxies,
    Results,
    crossing,
    heat_map,
    overlap_curve,
    prune,
    retrain,
    run,
    score,
    transfer,
)
from companion.chapters.dual_pruning.figures import (
    figure_accuracy,
    figure_beta,
    figure_crossing,
    figure_heat,
    figure_images,
    figure_noise,
    figure_overlap,
    figure_plane,
)

__all__ = [
    "CLAIMS",
    "PAPER",
    "Coresets",
    "Parameters",
    "Proxies",
    "Results",
    "crossing",
    "figure_accuracy",
    "figure_beta",
    "figure_crossing",
    "figure_heat",
    "figure_images",
    "figure_noise",
    "figure_overlap",
    "figure_plane",
    "heat_map",
    "overlap_curve",
    "prune",
    "retrain",
    "run",
    "score",
    "transfer",
    "verify",
]
