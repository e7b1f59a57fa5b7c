"""The experiments: each a function of the parameters that returns a dataclass of arrays."""

from dataclasses import dataclass

from companion.chapters.sam_diagonal_networks.experiments.long_run import (
    DepthOne,
    Gates,
    Limits,
    depth_one,
    gates,
    limits,
)
from companion.chapters.sam_diagonal_networks.experiments.many_examples import (
    Digits,
    Networks,
    Plane,
    cnn,
    digits,
    plane,
    relu_mlp,
)
from companion.chapters.sam_diagonal_networks.experiments.on_the_way import (
    Amplification,
    Boundary,
    Sweep,
    amplification,
    boundary,
    sweep,
)
from companion.chapters.sam_diagonal_networks.parameters import Parameters

__all__ = [
    "Amplification",
    "Boundary",
    "DepthOne",
    "Digits",
    "Gates",
    "Limits",
    "Networks",
    "Plane",
    "Results",
    "Sweep",
    "amplification",
    "boundary",
    "cnn",
    "depth_one",
    "digits",
    "gates",
    "limits",
    "plane",
    "relu_mlp",
    "run",
    "sweep",
]


@dataclass(frozen=True)
class Results:
    """The results of all experiments."""

    depth_one: DepthOne
    gates: Gates
    limits: Limits
    amplification: Amplification
    sweep: Sweep
    boundary: Boundary
    plane: Plane
    digits: Digits
    relu_mlp: Networks
    cnn: Networks  # without pairs unless it was asked for


def run(params: Parameters) -> Results:
    """All experiments of the chapter."""
    return Results(
        depth_one=depth_one(params),
        gates=gates(params),
        limits=limits(params),
        amplification=amplification(params),
        sweep=sweep(params),
        boundary=boundary(params),
        plane=plane(params),
        digits=digits(params),
        relu_mlp=relu_mlp(params),
        cnn=cnn(params),
    )
