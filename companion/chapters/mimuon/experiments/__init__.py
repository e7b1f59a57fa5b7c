"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.mimuon.experiments.language import Language, language
from companion.chapters.mimuon.experiments.linear import (
    Neighbours,
    Sensitivity,
    Slider,
    neighbours,
    sensitivity,
    slider,
)
from companion.chapters.mimuon.experiments.matrices import Amplification, Convergence, convergence, lipschitz
from companion.chapters.mimuon.experiments.networks import Networks, networks
from companion.chapters.mimuon.parameters import Parameters

__all__ = ["Results", "convergence", "language", "lipschitz", "neighbours", "networks", "run", "sensitivity", "slider"]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    lipschitz: Amplification
    neighbours: Neighbours
    sensitivity: Sensitivity
    slider: Slider
    networks: Networks
    convergence: Convergence
    language: Language


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        lipschitz=lipschitz(params),
        neighbours=neighbours(params),
        sensitivity=sensitivity(params),
        slider=slider(params),
        networks=networks(params),
        convergence=convergence(params),
        language=language(params),
    )
