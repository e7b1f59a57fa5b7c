"""AMUSE: Muon with Schedule-Free averaging, the gradient taken ever nearer to the average."""

from companion.chapters.amuse.claims import CLAIMS, verify
from companion.chapters.amuse.experiments import Results, run
from companion.chapters.amuse.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
