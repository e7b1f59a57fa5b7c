"""Regularized online learning from pairwise preferences: second-order dual gaps, logarithmic regret, low rank."""

from companion.chapters.generalized_bilinear_preference_rlhf.claims import CLAIMS, verify
from companion.chapters.generalized_bilinear_preference_rlhf.experiments import (
    Results,
    commit,
    cycle,
    gap_law,
    ranks,
    run,
)
from companion.chapters.generalized_bilinear_preference_rlhf.figures import (
    figure_bounds,
    figure_commit,
    figure_cycle,
    figure_eta,
    figure_glance,
    figure_greedy,
    figure_ranks,
    figure_simplex,
    figure_symmetric,
)
from companion.chapters.generalized_bilinear_preference_rlhf.greedy import learning, simplex
from companion.chapters.generalized_bilinear_preference_rlhf.setting import PAPER, Parameters

__all__ = [
    "CLAIMS",
    "PAPER",
    "Parameters",
    "Results",
    "commit",
    "cycle",
    "figure_bounds",
    "figure_commit",
    "figure_cycle",
    "figure_eta",
    "figure_glance",
    "figure_greedy",
    "figure_ranks",
    "figure_simplex",
    "figure_symmetric",
    "gap_law",
    "learning",
    "ranks",
    "run",
    "simplex",
    "verify",
]
