"""Inductive matrix completion: with side information the number of features, not the size, sets the sample size."""

from companion.chapters.inductive_matrix_completion.claims import CLAIMS, verify
from companion.chapters.inductive_matrix_completion.experiments import Results, run
from companion.chapters.inductive_matrix_completion.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
