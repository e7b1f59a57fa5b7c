"""The chapter's experiments: few epochs, many epochs, and what it means in practice."""

from dataclasses import dataclass

from companion.chapters.incremental_gradient_small_epochs.experiments.few_epochs import (
    BoundsMap,
    PhaseMap,
    Polygon,
    Sizes,
    StepDilemma,
    WithinEpoch,
    bounds_map,
    phase_map,
    polygon_orbits,
    size_comparison,
    step_dilemma,
    within_epoch,
)
from companion.chapters.incremental_gradient_small_epochs.experiments.many_epochs import (
    ManyEpochs,
    UpperBounds,
    many_epochs,
    upper_bounds,
)
from companion.chapters.incremental_gradient_small_epochs.experiments.practice import (
    CommonStart,
    Digits,
    Herding,
    common_start,
    digits,
    herding,
)
from companion.chapters.incremental_gradient_small_epochs.parameters import Parameters


@dataclass(frozen=True)
class Results:
    """The results of all experiments."""

    bounds_map: BoundsMap
    step_dilemma: StepDilemma
    sizes: Sizes
    polygon: Polygon
    within_epoch: WithinEpoch
    phase_map: PhaseMap
    common_start: CommonStart
    many_epochs: ManyEpochs
    upper_bounds: UpperBounds
    herding: Herding
    digits: Digits


def run(params: Parameters) -> Results:
    """All experiments of the chapter."""
    return Results(
        bounds_map=bounds_map(params),
        step_dilemma=step_dilemma(params),
        sizes=size_comparison(params),
        polygon=polygon_orbits(params),
        within_epoch=within_epoch(params),
        phase_map=phase_map(params),
        common_start=common_start(params),
        many_epochs=many_epochs(params),
        upper_bounds=upper_bounds(params),
        herding=herding(params),
        digits=digits(params),
    )
