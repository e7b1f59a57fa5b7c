"""Regularized online learning from pairwise preferences: second-order dual gaps, logarithmic regret, low rank."""

from companion.chapters.generalized_bilinear_preference_rlhf.claims import CLAIMS, verify
from companion.chapters.generalized_bilinear_preference_rlhf.experiments import Results, run
from companion.chapters.generalized_bilinear_preference_rlhf.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
