"""Weight decay at the edge of stability: slower sharpening, calmer oscillation, and a plateau below the edge."""

from companion.chapters.weight_decay_stability.claims import CLAIMS, verify
from companion.chapters.weight_decay_stability.experiments import Results, run
from companion.chapters.weight_decay_stability.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
