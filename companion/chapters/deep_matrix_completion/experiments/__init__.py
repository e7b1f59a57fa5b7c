"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.deep_matrix_completion.experiments.interaction import (
    Depths,
    Intervention,
    Spectrum,
    depths,
    intervention,
    spectrum,
)
from companion.chapters.deep_matrix_completion.experiments.limits import (
    Family,
    Gram,
    Map,
    Menon,
    chart,
    family,
    gram,
    menon,
)
from companion.chapters.deep_matrix_completion.experiments.plasticity import (
    Clean,
    Completion,
    Determinant,
    Resumed,
    clean,
    completion,
    determinant,
    resumed,
)
from companion.chapters.deep_matrix_completion.parameters import Parameters

__all__ = [
    "Results",
    "chart",
    "clean",
    "completion",
    "depths",
    "determinant",
    "family",
    "gram",
    "intervention",
    "menon",
    "resumed",
    "run",
    "spectrum",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    intervention: Intervention
    depths: Depths
    spectrum: Spectrum
    family: Family
    menon: Menon
    gram: Gram
    chart: Map
    clean: Clean
    resumed: Resumed
    determinant: Determinant
    completion: Completion


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        intervention=intervention(params),
        depths=depths(params),
        spectrum=spectrum(params),
        family=family(params),
        menon=menon(params),
        gram=gram(params),
        chart=chart(params),
        clean=clean(params),
        resumed=resumed(params),
        determinant=determinant(params),
        completion=completion(params),
    )
