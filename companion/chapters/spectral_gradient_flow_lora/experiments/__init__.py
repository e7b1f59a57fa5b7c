"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.spectral_gradient_flow_lora.experiments.adaptation import Digits, Language, digits, language
from companion.chapters.spectral_gradient_flow_lora.experiments.factorization import (
    Band,
    Convergence,
    Growth,
    Narrow,
    Portrait,
    Sweep,
    band,
    convergence,
    growth,
    narrow,
    portrait,
    sweep,
)
from companion.chapters.spectral_gradient_flow_lora.parameters import Parameters

__all__ = ["Results", "band", "convergence", "digits", "growth", "language", "narrow", "portrait", "run", "sweep"]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    growth: Growth
    narrow: Narrow
    band: Band
    sweep: Sweep
    portrait: Portrait
    convergence: Convergence
    digits: Digits
    language: Language


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        growth=growth(params),
        narrow=narrow(params),
        band=band(params),
        sweep=sweep(params),
        portrait=portrait(params),
        convergence=convergence(params),
        digits=digits(params),
        language=language(params),
    )
