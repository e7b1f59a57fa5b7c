"""Gradient descent on linear classification tasks, one after the other: the joint max margin, and what is forgotten."""

from companion.chapters.continual_linear_classification.claims import CLAIMS, verify
from companion.chapters.continual_linear_classification.figures import (
    figure_angle,
    figure_clashing,
    figure_constants,
    figure_digits,
    figure_forgetting,
    figure_glance,
    figure_orders,
    figure_residual,
    figure_slopes,
    figure_steps,
)
from companion.chapters.continual_linear_classification.nonseparable import Results, clashing, digits, run
from companion.chapters.continual_linear_classification.separable import (
    constants,
    direction,
    forgetting,
    orders,
    plane,
    step_sizes,
    two_tasks,
)
from companion.chapters.continual_linear_classification.setting import PAPER, Parameters

__all__ = [
    "CLAIMS",
    "PAPER",
    "Parameters",
    "Results",
    "clashing",
    "constants",
    "digits",
    "direction",
    "figure_angle",
    "figure_clashing",
    "figure_constants",
    "figure_digits",
    "figure_forgetting",
    "figure_glance",
    "figure_orders",
    "figure_residual",
    "figure_slopes",
    "figure_steps",
    "forgetting",
    "orders",
    "plane",
    "run",
    "step_sizes",
    "two_tasks",
    "verify",
]
