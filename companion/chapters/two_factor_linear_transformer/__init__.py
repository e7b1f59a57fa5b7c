"""Large constant steps on a two-factor linear transformer: phases, an invariant ellipse, and what attracts."""

from companion.chapters.two_factor_linear_transformer.claims import CLAIMS, verify
from companion.chapters.two_factor_linear_transformer.experiments import Results, run
from companion.chapters.two_factor_linear_transformer.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
