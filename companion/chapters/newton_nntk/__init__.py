"""Newton's method for wide networks: the Newton neural tangent kernel, uniform speed, and how little to regularize."""

from companion.chapters.newton_nntk.claims import CLAIMS, verify
from companion.chapters.newton_nntk.experiments import Results, run
from companion.chapters.newton_nntk.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
