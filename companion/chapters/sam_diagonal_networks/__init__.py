"""Sharpness-aware minimization on linear diagonal networks: minor coordinates first, major ones last."""

from companion.chapters.sam_diagonal_networks.claims import CLAIMS, verify
from companion.chapters.sam_diagonal_networks.experiments import Results, run
from companion.chapters.sam_diagonal_networks.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
