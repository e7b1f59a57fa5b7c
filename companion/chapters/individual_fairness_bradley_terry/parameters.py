"""The paper, the chapter's parameters and its random numbers."""

import itertools
from typing import Annotated, Literal

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.chapters.individual_fairness_bradley_terry.triplets import generator
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="individual-fairness-bradley-terry",
    title="Operationalizing Individual Fairness via Gradient Descent and Bradley-Terry Models",
    authors=("Conlan Olson", "Linjun Zhang", "Zhun Deng", "Pragya Sur"),
    venue="arXiv",
    year=2026,
    key="olson2026operationalizing",
    arxiv="2605.23145",
)

MOST = 48  # largest dimension of the rate in d unless it is given or d is large
PER_HOUR, MOST_HOURS = 1e13, 24  # multiplications that one core makes in an hour, and hours that one may ask for
PER_UNKNOWN = 50  # triplets for each of the d r unknowns, below which the spectral start means little

Count = Annotated[int, pydantic.Field(ge=100, le=1_000_000)]
Dimension = Annotated[int, pydantic.Field(ge=2, le=240)]
Scale = Annotated[float, pydantic.Field(ge=0.05, le=4)]
Flip = Annotated[float, pydantic.Field(ge=0, le=0.45)]
Positive = Annotated[float, pydantic.Field(ge=0.01, le=100)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    d: int = parameter("features d of an individual", quick=10, paper=100, ge=2, le=200)
    rank: int = parameter("rank r of the metric, below d", quick=2, paper=5, ge=1, le=10)
    scale: float = parameter(
        "smallest eigenvalue of the metric M*; the answers are noisier the smaller it is", quick=0.25, ge=0.05, le=4
    )
    cond: float = parameter("largest over smallest non-zero eigenvalue of M*", quick=2.0, ge=1, le=10)
    n_triplets: int | None = parameter(
        "triplets m that the metric is learned from, at least 50 d r; none: 400 d r", quick=None, ge=100, le=1_000_000
    )
    sizes: list[Count] | None = parameter(
        "numbers of triplets m of the rates, increasing, from 50 d r on; none: 50 d r times 1, 2, 4, 8, 16",
        quick=None,
        min_length=2,
        max_length=10,
    )
    dims: list[Dimension] | None = parameter(
        "dimensions d of the rate in d, increasing, above r, 50 d r at most n_triplets; none: 3, 6, 12, 24 times r, or "
        "four up to 48 and 2 d where these are fewer",
        quick=None,
        min_length=2,
        max_length=8,
    )
    label_flip: float = parameter(
        "chance that an answer is turned round, on top of the model", quick=0.0, ge=0, le=0.45
    )
    init: Literal["spectral", "spectral_rescaled", "random", "small_random"] = parameter(
        "start of the runs that learn the metric", quick="spectral_rescaled"
    )
    step_c: float = parameter("constant c in the step size c / ||U₀||²", quick=1 / 12, gt=0, le=2)
    gd_steps: int = parameter("gradient steps of a run that learns a metric", quick=40, paper=150, ge=1, le=5000)
    path_steps: int = parameter("gradient steps of the runs from the four starts", quick=120, paper=250, ge=50, le=5000)
    seeds: int = parameter("metrics and sets of triplets B in each batch", quick=10, paper=20, ge=2, le=100)
    rate_seeds: int = parameter("the same for the rate in m, at least seeds", quick=24, paper=20, ge=2, le=100)
    noise_scales: list[Scale] = parameter(
        "values of scale in the comparison of starts", quick=[0.05, 0.25, 1.0, 4.0], min_length=1, max_length=8
    )
    flips: list[Flip] = parameter(
        "chances of a turned answer in the extension on annotators",
        quick=[0.0, 0.1, 0.2, 0.3],
        min_length=1,
        max_length=8,
    )
    pairs: int = parameter("pairs of individuals on which fairness is measured", quick=20_000, ge=100, le=1_000_000)
    n_train: int = parameter("labelled individuals of the downstream task", quick=1500, paper=20_000, ge=50, le=100_000)
    protected_strength: float = parameter(
        "weight of the protected direction in the logit of the label", quick=1.5, ge=0, le=5
    )
    lipschitz: float = parameter("Lipschitz constant L demanded of fair predictors", quick=0.75, ge=0.01, le=100)
    lipschitz_grid: list[Positive] = parameter(
        "values of L on the curve of accuracy against fairness",
        quick=[0.1, 0.2, 0.4, 0.75, 1.5],
        paper=[0.05, 0.1, 0.2, 0.4, 0.75, 1.5, 3.0],
        min_length=1,
        max_length=20,
    )
    diabetes_replicas: int = parameter(
        "splits and sets of answers on the diabetes data", quick=10, paper=50, ge=2, le=200
    )
    diabetes_triplets: int = parameter(
        "triplets of real patients; at least 50 · 10 · 2 = 1000", quick=10_000, paper=50_000, ge=1000, le=1_000_000
    )
    tuning_replicas: int = parameter("networks in the experiment on model tuning", quick=5, paper=20, ge=2, le=50)
    tuning_triplets: int = parameter(
        "triplets of images; at least 50 · 12 · 5 = 3000", quick=10_000, paper=100_000, ge=3000, le=1_000_000
    )
    spurious: float = parameter(
        "chance that the light agrees with the label when a head is tuned", quick=0.95, ge=0.5, le=1.0
    )

    @property
    def ds(self) -> list[int]:
        """Dimensions of the rate in d."""
        if self.dims:
            return self.dims
        top = max(MOST, 2 * self.d)
        if 24 * self.rank <= top:
            return [k * self.rank for k in (3, 6, 12, 24)]
        return np.geomspace(self.rank + 1, top, 4).round().astype(int).tolist()

    @property
    def ms(self) -> list[int]:
        """Numbers of triplets of the rates."""
        return self.sizes or [k * PER_UNKNOWN * self.d * self.rank for k in (1, 2, 4, 8, 16)]

    @property
    def m(self) -> int:
        """Number of triplets of the other experiments."""
        return self.n_triplets or max(8 * self.d, self.ds[-1]) * PER_UNKNOWN * self.rank

    @pydantic.model_validator(mode="after")
    def _rules(self) -> "Parameters":
        if self.rank >= self.d:
            raise ValueError(f"rank: got {self.rank}, allowed: below d = {self.d}")
        for name in ("sizes", "dims"):
            values = getattr(self, name) or []
            if any(a >= b for a, b in itertools.pairwise(values)):
                raise ValueError(f"{name}: got {values}, allowed: increasing numbers")
        if self.ds[0] <= self.rank:
            raise ValueError(f"dims: got {self.ds[0]} in it, allowed: above rank = {self.rank}")
        if self.rate_seeds < self.seeds:
            raise ValueError(f"rate_seeds: got {self.rate_seeds}, allowed: at least seeds = {self.seeds}")
        wide, least = max(self.d, self.ds[-1]), PER_UNKNOWN * self.rank
        if self.m < least * wide:
            raise ValueError(
                f"n_triplets: got {self.n_triplets}, allowed: at least 50 d r = {least * wide} (d = {wide})"
            )
        if self.ms[0] < least * self.d:
            raise ValueError(f"sizes: got {self.ms[0]} in it, allowed: at least 50 d r = {least * self.d}")
        hours = self._work / PER_HOUR
        if hours > MOST_HOURS:
            raise ValueError(
                f"n_triplets: got {self.m} for dims = {self.ds} and seeds = {self.seeds}, "
                f"which takes one core some {hours:.0f} hours, allowed: at most {MOST_HOURS}"
            )
        return self

    @property
    def _work(self) -> float:
        """Multiplications of the longest experiments, up to a factor: triplets times features times columns."""
        descents = (
            self.seeds * self.m * self.rank * (self.d * (5 * self.path_steps + MOST) + sum(self.ds) * self.gd_steps)
        )
        rates = self.rate_seeds * sum(self.ms) * self.rank * self.d * self.gd_steps
        return 8.0 * (descents + rates)


def random_numbers(params: Parameters, stream: int) -> torch.Generator:
    """Independent random numbers for each experiment, by its number."""
    return generator(params.device, params.seed, stream)
