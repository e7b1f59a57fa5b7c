"""Data pruning from the early epochs: difficulty times uncertainty, and sampling that adapts to the pruning ratio."""

from companion.chapters.dual_pruning.claims import CLAIMS, verify
from companion.chapters.dual_pruning.experiments import Results, run
from companion.chapters.dual_pruning.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
