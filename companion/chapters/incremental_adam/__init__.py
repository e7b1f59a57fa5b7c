"""Where Adam goes on separable data with one sample a step: engine, dual fixed points, experiments, claims, figures."""

from companion.chapters.incremental_adam.claims import CLAIMS, verify
from companion.chapters.incremental_adam.experiments import Results, run
from companion.chapters.incremental_adam.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
