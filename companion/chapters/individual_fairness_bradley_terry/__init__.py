"""Individual fairness from answers: learn who is similar to whom by gradient descent, then train on it."""

from companion.chapters.individual_fairness_bradley_terry.claims import CLAIMS, verify
from companion.chapters.individual_fairness_bradley_terry.experiments import Results, run
from companion.chapters.individual_fairness_bradley_terry.figures import (
    figure_annotators,
    figure_convergence,
    figure_diabetes,
    figure_glance,
    figure_pairs,
    figure_plane,
    figure_rates,
    figure_slack,
    figure_spectrum,
    figure_tradeoff,
    figure_tuning,
)
from companion.chapters.individual_fairness_bradley_terry.metric import (
    annotators,
    convergence,
    model,
    plane,
    rates,
    spectral,
)
from companion.chapters.individual_fairness_bradley_terry.model_tuning import tuning
from companion.chapters.individual_fairness_bradley_terry.predictors import diabetes, downstream, transfer
from companion.chapters.individual_fairness_bradley_terry.setting import PAPER, Parameters

__all__ = [
    "CLAIMS",
    "PAPER",
    "Parameters",
    "Results",
    "annotators",
    "convergence",
    "diabetes",
    "downstream",
    "figure_annotators",
    "figure_convergence",
    "figure_diabetes",
    "figure_glance",
    "figure_pairs",
    "figure_plane",
    "figure_rates",
    "figure_slack",
    "figure_spectrum",
    "figure_tradeoff",
    "figure_tuning",
    "model",
    "plane",
    "rates",
    "run",
    "spectral",
    "transfer",
    "tuning",
    "verify",
]
