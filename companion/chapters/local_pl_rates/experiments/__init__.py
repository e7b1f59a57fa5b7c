"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.local_pl_rates.experiments.networks import Networks, networks
from companion.chapters.local_pl_rates.experiments.noise import (
    Covariances,
    Limits,
    Noisy,
    Optimum,
    Paths,
    covariances,
    limits,
    noisy,
    optimum,
    paths,
)
from companion.chapters.local_pl_rates.experiments.valleys import (
    Descent,
    Geometry,
    Momentum,
    Ring,
    descent,
    geometry,
    momentum,
    ring,
)
from companion.chapters.local_pl_rates.parameters import Parameters

__all__ = [
    "Results",
    "covariances",
    "descent",
    "geometry",
    "limits",
    "momentum",
    "networks",
    "noisy",
    "optimum",
    "paths",
    "ring",
    "run",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    ring: Ring
    geometry: Geometry
    descent: Descent
    limits: Limits
    noisy: Noisy
    optimum: Optimum
    covariances: Covariances
    paths: Paths
    networks: Networks
    momentum: Momentum


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    plain = descent(params)
    return Results(
        ring=ring(params),
        geometry=geometry(params),
        descent=plain,
        limits=limits(params),
        noisy=noisy(params),
        optimum=optimum(params),
        covariances=covariances(params),
        paths=paths(params),
        networks=networks(params),
        momentum=momentum(params, plain),
    )
