"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.weight_decay_stability.experiments.mechanism import (
    Filtered,
    Identity,
    Map,
    filtered,
    identity,
    reduced,
)
from companion.chapters.weight_decay_stability.experiments.training import (
    Edge,
    Plateaus,
    Sharpening,
    edge,
    plateaus,
    sharpening,
    smooth,
)
from companion.chapters.weight_decay_stability.parameters import Parameters

__all__ = [
    "Results",
    "edge",
    "filtered",
    "identity",
    "plateaus",
    "reduced",
    "run",
    "sharpening",
    "smooth",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    sharpening: Sharpening
    mlp: Edge
    cnn: Edge
    plateaus: Plateaus
    identity: Identity
    filtered: Filtered
    reduced: Map
    smooth: Edge

    @property
    def lam(self) -> float:
        """The decay at which architectures and filters are compared."""
        return self.mlp.common


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    mlp = edge(params, "MLP")
    return Results(
        sharpening=sharpening(params),
        mlp=mlp,
        cnn=edge(params, "CNN"),
        plateaus=plateaus(params),
        identity=identity(params),
        filtered=filtered(params, mlp),
        reduced=reduced(params),
        smooth=smooth(params),
    )
