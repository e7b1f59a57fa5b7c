"""Gradient descent and SGD under a local PL condition: rates of strongly convex quadratics, along curved valleys."""

from companion.chapters.local_pl_rates.claims import CLAIMS, verify
from companion.chapters.local_pl_rates.experiments import Results, run
from companion.chapters.local_pl_rates.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
