"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.inductive_matrix_completion.experiments.errors import (
    Coherent,
    Cold,
    Inexact,
    Mixture,
    Noise,
    coherent,
    cold,
    inexact,
    mixture,
    noise,
)
from companion.chapters.inductive_matrix_completion.experiments.recommendation import METHODS, Films, films
from companion.chapters.inductive_matrix_completion.experiments.sampling import (
    Convergence,
    Spectrum,
    Thresholds,
    Unstructured,
    convergence,
    spectrum,
    thresholds,
    unstructured,
)
from companion.chapters.inductive_matrix_completion.parameters import Parameters

__all__ = [
    "METHODS",
    "Results",
    "coherent",
    "cold",
    "convergence",
    "films",
    "inexact",
    "mixture",
    "noise",
    "run",
    "spectrum",
    "thresholds",
    "unstructured",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    thresholds: Thresholds
    unstructured: Unstructured
    spectrum: Spectrum
    convergence: Convergence
    noise: Noise
    inexact: Inexact
    mixture: Mixture
    cold: Cold
    coherent: Coherent
    films: Films


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        thresholds=thresholds(params),
        unstructured=unstructured(params),
        spectrum=spectrum(params),
        convergence=convergence(params),
        noise=noise(params),
        inexact=inexact(params),
        mixture=mixture(params),
        cold=cold(params),
        coherent=coherent(params),
        films=films(params),
    )
