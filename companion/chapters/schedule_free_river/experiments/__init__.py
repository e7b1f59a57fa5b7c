"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.schedule_free_river.experiments.language import Language, Large, language, large
from companion.chapters.schedule_free_river.experiments.networks import Sharpness, sharpness
from companion.chapters.schedule_free_river.experiments.storage import Storage, storage
from companion.chapters.schedule_free_river.experiments.theory import (
    Bent,
    Identities,
    Oscillation,
    Straight,
    Thresholds,
    Weights,
    bent,
    identities,
    oscillation,
    straight,
    thresholds,
    weights,
)
from companion.chapters.schedule_free_river.parameters import Parameters

__all__ = [
    "Results",
    "bent",
    "identities",
    "language",
    "large",
    "oscillation",
    "run",
    "sharpness",
    "storage",
    "straight",
    "thresholds",
    "weights",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    identities: Identities
    weights: Weights
    storage: Storage
    thresholds: Thresholds
    oscillation: Oscillation
    straight: Straight
    bent: Bent
    sharpness: Sharpness
    language: Language
    large: Large


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        identities=identities(params),
        weights=weights(params),
        storage=storage(params),
        thresholds=thresholds(params),
        oscillation=oscillation(params),
        straight=straight(params),
        bent=bent(params),
        sharpness=sharpness(params),
        language=language(params),
        large=large(params),
    )
