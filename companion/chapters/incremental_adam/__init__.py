"""Where Adam goes on separable data with one sample a step: engine, dual fixed points, experiments, claims, figures."""

from companion.chapters.incremental_adam.claims import CLAIMS, verify
from companion.chapters.incremental_adam.experiments import (
    Results,
    epoch_map,
    epsilon,
    fixed_points,
    images,
    memory,
    reductions,
    run,
    runs,
    scaling,
    sweep,
)
from companion.chapters.incremental_adam.figures import (
    figure_batches,
    figure_epoch_map,
    figure_epsilon,
    figure_fixed_point,
    figure_glance,
    figure_images,
    figure_margins,
    figure_memory,
    figure_reductions,
    figure_scaling,
    figure_sweep,
)
from companion.chapters.incremental_adam.setting import PAPER, Parameters

__all__ = [
    "CLAIMS",
    "PAPER",
    "Parameters",
    "Results",
    "epoch_map",
    "epsilon",
    "figure_batches",
    "figure_epoch_map",
    "figure_epsilon",
    "figure_fixed_point",
    "figure_glance",
    "figure_images",
    "figure_margins",
    "figure_memory",
    "figure_reductions",
    "figure_scaling",
    "figure_sweep",
    "fixed_points",
    "images",
    "memory",
    "reductions",
    "run",
    "runs",
    "scaling",
    "sweep",
    "verify",
]
