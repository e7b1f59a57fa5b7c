"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.individual_fairness_bradley_terry.experiments.metric import (
    Annotators,
    Convergence,
    Model,
    Plane,
    Rates,
    Spectral,
    annotators,
    convergence,
    model,
    plane,
    rates,
    spectral,
)
from companion.chapters.individual_fairness_bradley_terry.experiments.predictors import (
    Diabetes,
    Downstream,
    Transfer,
    diabetes,
    downstream,
    transfer,
)
from companion.chapters.individual_fairness_bradley_terry.experiments.tuning import Tuning, tuning
from companion.chapters.individual_fairness_bradley_terry.parameters import Parameters

__all__ = [
    "Results",
    "annotators",
    "convergence",
    "diabetes",
    "downstream",
    "model",
    "plane",
    "rates",
    "run",
    "spectral",
    "transfer",
    "tuning",
]


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    plane: Plane
    model: Model
    spectral: Spectral
    convergence: Convergence
    rates: Rates
    annotators: Annotators
    transfer: Transfer
    downstream: Downstream
    diabetes: Diabetes
    tuning: Tuning


def run(params: Parameters) -> Results:
    """Every experiment; the predictors use the metrics that the experiment on rates has learned."""
    learned = rates(params)
    return Results(
        plane=plane(params),
        model=model(params),
        spectral=spectral(params),
        convergence=convergence(params),
        rates=learned,
        annotators=annotators(params),
        transfer=transfer(params, learned),
        downstream=downstream(params, learned),
        diabetes=diabetes(params),
        tuning=tuning(params),
    )
