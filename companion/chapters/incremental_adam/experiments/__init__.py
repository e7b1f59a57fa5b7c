"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.incremental_adam.experiments.datasets import draw, draw_gaussian
from companion.chapters.incremental_adam.experiments.examples import Images, Reductions, images, reductions
from companion.chapters.incremental_adam.experiments.limits import (
    EpochMap,
    FixedPoints,
    Scaling,
    Sweep,
    epoch_map,
    fixed_points,
    scaling,
    sweep,
)
from companion.chapters.incremental_adam.experiments.training import (
    Attained,
    Epsilon,
    Memory,
    Runs,
    attained,
    epsilon,
    memory,
    runs,
)
from companion.chapters.incremental_adam.parameters import Parameters

__all__ = [
    "Results",
    "attained",
    "draw",
    "draw_gaussian",
    "epoch_map",
    "epsilon",
    "fixed_points",
    "images",
    "memory",
    "reductions",
    "run",
    "runs",
    "scaling",
    "sweep",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    runs: Runs
    epsilon: Epsilon
    epoch_map: EpochMap
    fixed_points: FixedPoints
    sweep: Sweep
    scaling: Scaling
    reductions: Reductions
    memory: Memory
    attained: Attained
    images: Images


def run(params: Parameters) -> Results:
    """All experiments of the chapter."""
    return Results(
        runs=runs(params),
        epsilon=epsilon(params),
        epoch_map=epoch_map(params),
        fixed_points=fixed_points(params),
        sweep=sweep(params),
        scaling=scaling(params),
        reductions=reductions(params),
        memory=memory(params),
        attained=attained(params),
        images=images(params),
    )
