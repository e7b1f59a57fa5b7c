"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.two_factor_linear_transformer.experiments.balanced import (
    Cycles,
    Diagram,
    Phases,
    cycles,
    diagram,
    phases,
)
from companion.chapters.two_factor_linear_transformer.experiments.noise import (
    LabelNoise,
    Laws,
    Robust,
    label_noise,
    laws,
    robust,
)
from companion.chapters.two_factor_linear_transformer.experiments.plane import (
    Escapes,
    Exponents,
    Regions,
    basins,
    escapes,
    exponents,
    regions,
    sweep,
)
from companion.chapters.two_factor_linear_transformer.experiments.reduction import Transformer, transformer
from companion.chapters.two_factor_linear_transformer.parameters import Parameters

__all__ = [
    "Results",
    "basins",
    "cycles",
    "diagram",
    "escapes",
    "exponents",
    "label_noise",
    "laws",
    "phases",
    "regions",
    "robust",
    "run",
    "sweep",
    "transformer",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment that a claim or the page reads."""

    transformer: Transformer
    diagram: Diagram
    phases: Phases
    cycles: Cycles
    regions: Regions
    exponents: Exponents
    escapes: Escapes
    robust: Robust
    laws: Laws
    label_noise: LabelNoise


def run(params: Parameters) -> Results:
    """Every experiment that is judged or quoted; the maps of the plane and the sweep over mu are only looked at."""
    return Results(
        transformer=transformer(params),
        diagram=diagram(params),
        phases=phases(params),
        cycles=cycles(params),
        regions=regions(params),
        exponents=exponents(params),
        escapes=escapes(params),
        robust=robust(params),
        laws=laws(params),
        label_noise=label_noise(params),
    )
