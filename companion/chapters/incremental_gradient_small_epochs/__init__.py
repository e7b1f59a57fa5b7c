"""Few epochs of incremental gradient descent on ill-conditioned problems: how slow a fixed order can be, and why."""

from companion.chapters.incremental_gradient_small_epochs.claims import CLAIMS, verify
from companion.chapters.incremental_gradient_small_epochs.experiments import Results, run
from companion.chapters.incremental_gradient_small_epochs.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
