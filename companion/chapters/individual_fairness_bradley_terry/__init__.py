"""Individual fairness from answers: learn who is similar to whom by gradient descent, then train on it."""

from companion.chapters.individual_fairness_bradley_terry.claims import CLAIMS, verify
from companion.chapters.individual_fairness_bradley_terry.experiments import Results, run
from companion.chapters.individual_fairness_bradley_terry.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
