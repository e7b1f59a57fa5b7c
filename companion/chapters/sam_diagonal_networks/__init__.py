"""Sharpness-aware minimization on linear diagonal networks: minor coordinates first, major ones last."""

from companion.chapters.sam_diagonal_networks.claims import CLAIMS, verify
from companion.chapters.sam_diagonal_networks.examples import digits, plane
from companion.chapters.sam_diagonal_networks.experiments import Results, depth_one, gates, limits, run
from companion.chapters.sam_diagonal_networks.figures import (
    figure_ablation,
    figure_boundary,
    figure_depth_one,
    figure_digits,
    figure_heat,
    figure_limits,
    figure_parabola,
    figure_paths,
    figure_phase,
    figure_pixels,
    figure_plane_data,
    figure_winners,
)
from companion.chapters.sam_diagonal_networks.networks import cnn, relu_mlp
from companion.chapters.sam_diagonal_networks.setting import PAPER, Parameters
from companion.chapters.sam_diagonal_networks.trajectories import amplification, boundary, sweep

__all__ = [
    "CLAIMS",
    "PAPER",
    "Parameters",
    "Results",
    "amplification",
    "boundary",
    "cnn",
    "depth_one",
    "digits",
    "figure_ablation",
    "figure_boundary",
    "figure_depth_one",
    "figure_digits",
    "figure_heat",
    "figure_limits",
    "figure_parabola",
    "figure_paths",
    "figure_phase",
    "figure_pixels",
    "figure_plane_data",
    "figure_winners",
    "gates",
    "limits",
    "plane",
    "relu_mlp",
    "run",
    "sweep",
    "verify",
]
