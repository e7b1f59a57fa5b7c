"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.perturbed_deep_matrix_factorization.experiments.matrices import (
    Gaussian,
    Reduction,
    gaussian,
    reduction,
)
from companion.chapters.perturbed_deep_matrix_factorization.experiments.noiseless import (
    Counts,
    Limits,
    Maps,
    Phases,
    counts,
    limits,
    maps,
    phases,
)
from companion.chapters.perturbed_deep_matrix_factorization.experiments.noisy import (
    Limit,
    Passages,
    Paths,
    Recovery,
    Spectra,
    Threshold,
    limit,
    passages,
    paths,
    recovery,
    spectra,
    threshold,
)
from companion.chapters.perturbed_deep_matrix_factorization.parameters import Parameters

__all__ = [
    "Results",
    "counts",
    "gaussian",
    "limit",
    "limits",
    "maps",
    "passages",
    "paths",
    "phases",
    "recovery",
    "reduction",
    "run",
    "spectra",
    "threshold",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    reduction: Reduction
    counts: Counts
    phases: Phases
    maps: Maps
    limits: Limits
    spectra: Spectra
    passages: Passages
    limit: Limit
    recovery: Recovery
    paths: Paths
    threshold: Threshold
    gaussian: Gaussian


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    noisy = spectra(params)
    learned = passages(params, noisy)
    return Results(
        reduction=reduction(params),
        counts=counts(params),
        phases=phases(params),
        maps=maps(params),
        limits=limits(params),
        spectra=noisy,
        passages=learned,
        limit=limit(params, noisy),
        recovery=recovery(params, noisy),
        paths=paths(params, noisy, learned),
        threshold=threshold(params),
        gaussian=gaussian(params),
    )
