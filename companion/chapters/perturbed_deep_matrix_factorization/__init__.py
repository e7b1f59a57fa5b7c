"""The low-rank phase of gradient descent on deep factorizations: when it exists, and what noise does to it."""

from companion.chapters.perturbed_deep_matrix_factorization.claims import CLAIMS, verify
from companion.chapters.perturbed_deep_matrix_factorization.experiments import Results, run
from companion.chapters.perturbed_deep_matrix_factorization.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
