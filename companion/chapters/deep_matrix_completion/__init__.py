"""Deep matrix completion: coupled dynamics and rank by depth, and the loss of plasticity at depth two."""

from companion.chapters.deep_matrix_completion.claims import CLAIMS, verify
from companion.chapters.deep_matrix_completion.experiments import Results, run
from companion.chapters.deep_matrix_completion.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
