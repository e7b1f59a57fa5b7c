"""Progressive sharpening in a deep linear network with one neuron in each layer, in closed form and on real images."""

from companion.chapters.progressive_sharpening.claims import CLAIMS, verify
from companion.chapters.progressive_sharpening.experiments import Results, run
from companion.chapters.progressive_sharpening.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
