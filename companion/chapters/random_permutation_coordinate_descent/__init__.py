"""Coordinate descent in random orders: permutations against uniform sampling, by exact contraction rates."""

from companion.chapters.random_permutation_coordinate_descent.claims import CLAIMS, verify
from companion.chapters.random_permutation_coordinate_descent.experiments import Results, run
from companion.chapters.random_permutation_coordinate_descent.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
