"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.amuse.experiments.averaging import Averages, Walls, averages, walls
from companion.chapters.amuse.experiments.races import Images, Language, images, language
from companion.chapters.amuse.experiments.valleys import Networks, Rivers, network, river
from companion.chapters.amuse.parameters import Parameters

__all__ = ["Results", "averages", "images", "language", "network", "river", "run", "walls"]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    averages: Averages
    walls: Walls
    river: Rivers
    network: Networks
    language: Language
    images: Images


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        averages=averages(params),
        walls=walls(params),
        river=river(params),
        network=network(params),
        language=language(params),
        images=images(params),
    )
