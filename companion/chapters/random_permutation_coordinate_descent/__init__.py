"""Coordinate descent in random orders: permutations against uniform sampling, by exact contraction rates."""

from companion.chapters.random_permutation_coordinate_descent.claims import CLAIMS, Results, run, verify
from companion.chapters.random_permutation_coordinate_descent.exact import (
    blocks,
    certificates,
    curves,
    grid,
    limits,
    random_matrices,
    real_data,
    reduction,
    speedup,
    torus,
)
from companion.chapters.random_permutation_coordinate_descent.figures import (
    figure_blocks,
    figure_glance,
    figure_matrices,
    figure_once,
    figure_search,
    figure_speedup,
    figure_torus,
    figure_trajectories,
    figure_typical,
)
from companion.chapters.random_permutation_coordinate_descent.runs import trajectories, typical
from companion.chapters.random_permutation_coordinate_descent.search import search
from companion.chapters.random_permutation_coordinate_descent.settings import PAPER, Parameters

__all__ = [
    "CLAIMS",
    "PAPER",
    "Parameters",
    "Results",
    "blocks",
    "certificates",
    "curves",
    "figure_blocks",
    "figure_glance",
    "figure_matrices",
    "figure_once",
    "figure_search",
    "figure_speedup",
    "figure_torus",
    "figure_trajectories",
    "figure_typical",
    "grid",
    "limits",
    "random_matrices",
    "real_data",
    "reduction",
    "run",
    "search",
    "speedup",
    "torus",
    "trajectories",
    "typical",
    "verify",
]
