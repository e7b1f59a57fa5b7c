"""Scaling laws of signSGD on power-law random features: risk equations, frontiers, schedules."""

from companion.chapters.signsgd_scaling_laws.claims import CLAIMS, verify
from companion.chapters.signsgd_scaling_laws.experiments import Results, run
from companion.chapters.signsgd_scaling_laws.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
