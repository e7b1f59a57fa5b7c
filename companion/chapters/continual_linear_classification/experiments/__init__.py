"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.continual_linear_classification.experiments.clashing import Clashing, Digits, clashing, digits
from companion.chapters.continual_linear_classification.experiments.separable import (
    Constants,
    Direction,
    Forgetting,
    Orders,
    Plane,
    StepSizes,
    TwoTasks,
    constants,
    direction,
    forgetting,
    orders,
    plane,
    step_sizes,
    two_tasks,
)
from companion.chapters.continual_linear_classification.parameters import Parameters

__all__ = [
    "Results",
    "clashing",
    "constants",
    "digits",
    "direction",
    "forgetting",
    "orders",
    "plane",
    "run",
    "step_sizes",
    "two_tasks",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    direction: Direction
    plane: Plane
    step_sizes: StepSizes
    forgetting: Forgetting
    constants: Constants
    orders: Orders
    two_tasks: TwoTasks
    clashing: Clashing
    digits: Digits


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        direction=direction(params),
        plane=plane(params),
        step_sizes=step_sizes(params),
        forgetting=forgetting(params),
        constants=constants(params),
        orders=orders(params),
        two_tasks=two_tasks(params),
        clashing=clashing(params),
        digits=digits(params),
    )
