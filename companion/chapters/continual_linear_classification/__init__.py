"""Gradient descent on linear classification tasks in turn: the joint limit, and what is forgotten on the way."""

from companion.chapters.continual_linear_classification.claims import CLAIMS, verify
from companion.chapters.continual_linear_classification.experiments import Results, run
from companion.chapters.continual_linear_classification.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
