"""The paper, the chapter's parameters and its random numbers."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pydantic

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="continual-linear-classification",
    title="Convergence and Implicit Bias of Gradient Descent on Continual Linear Classification",
    authors=("Hyunji Jung", "Hanseul Cho", "Chulhee Yun"),
    venue="ICLR",
    year=2025,
    key="jung2025convergence",
    arxiv="2504.12712",
)

MOST_NUMBERS = 10**8  # that one array of an experiment may hold

Digit = Annotated[int, pydantic.Field(ge=0, le=9)]
Pair = Annotated[list[Digit], pydantic.Field(min_length=2, max_length=2)]
Budget = Annotated[int, pydantic.Field(ge=1, le=200)]
Step = Annotated[float, pydantic.Field(gt=0, le=0.5)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    datasets: int = parameter("random data sets per experiment", quick=16, paper=1000, ge=2, le=5000)
    M: int = parameter("tasks M of a planted data set", quick=3, ge=2, le=10)
    n_per_task: int = parameter("examples per task", quick=6, ge=1, le=100)
    d: int = parameter("dimension d, at least M", quick=8, ge=2, le=64)
    K: int = parameter("budget K: gradient steps per stage", quick=10, ge=1, le=200)
    eta: float = parameter("step size η", quick=0.1, gt=0, le=0.5)
    n_cycles: int = parameter("cycles J of the runs on planted data", quick=3000, paper=50_000, ge=100, le=1_000_000)
    between: float = parameter(
        "variance of the tasks' support vectors across the joint classifier; tasks contradict above 1",
        quick=2.0,
        ge=0.2,
        le=10,
    )
    bias: float = parameter("norm of the offset common to the other examples", quick=2.0, ge=0, le=10)
    gap: float = parameter("least margin of the other examples (the support vectors have 1)", quick=2.0, ge=1.05, le=10)
    tasks_list: list[Annotated[int, pydantic.Field(ge=2, le=10)]] = parameter(
        "numbers of tasks M of the data sets that check the constants",
        quick=[2, 3, 4],
        paper=[2, 3, 5, 10],
        min_length=1,
        max_length=8,
    )
    budgets: list[Budget] = parameter(
        "budgets K of the data sets that check the constants",
        quick=[3, 5, 10],
        paper=[1, 10, 50],
        min_length=1,
        max_length=8,
    )
    spreads: list[Annotated[float, pydantic.Field(ge=0.2, le=10)]] = parameter(
        "least and largest variance between the tasks there", quick=[0.5, 3.0], min_length=2, max_length=2
    )
    cycles_constants: int = parameter("cycles there and with two tasks", quick=3000, paper=10_000, ge=100, le=1_000_000)
    angles: list[Annotated[float, pydantic.Field(ge=55, le=165)]] = parameter(
        "angles between two tasks' shares of the joint classifier, degrees",
        quick=[70.0, 80.0, 100.0, 110.0, 120.0, 140.0],
        paper=[60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 95.0, 100.0, 105.0, 110.0, 120.0, 130.0, 140.0, 150.0],
        min_length=2,
        max_length=40,
    )
    clashing_sets: int = parameter("data sets without a joint classifier", quick=12, paper=200, ge=2, le=1000)
    eta_const: list[Step] = parameter(
        "constant step sizes there, falling", quick=[0.02, 0.01, 0.005], min_length=2, max_length=8
    )
    horizons: list[Annotated[int, pydantic.Field(ge=20, le=100_000)]] = parameter(
        "horizons J of the horizon-dependent step size, rising",
        quick=[100, 200, 400, 800, 1600],
        paper=[100, 200, 400, 800, 1600, 3200, 6400],
        min_length=3,
        max_length=12,
    )
    digit_pairs: list[Pair] = parameter(
        "pairs of digits, a task each: the first three as separable tasks, all of them, coarsely, as clashing ones",
        quick=[[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]],
        min_length=3,
        max_length=10,
    )
    digits_per_task: int = parameter("images per pair of digits", quick=170, ge=10, le=340, multiple_of=2)
    cycles_digits: int = parameter("cycles on digits", quick=1500, paper=20_000, ge=100, le=200_000)

    @pydantic.model_validator(mode="after")
    def _fit(self):
        if self.d < self.M:
            raise ValueError(f"M: got {self.M}, allowed: at most d = {self.d}")
        for name in ("spreads", "horizons"):
            values = getattr(self, name)
            if any(b <= a for a, b in itertools.pairwise(values)):
                raise ValueError(f"{name}: got {values}, allowed: strictly increasing values")
        if any(b >= a for a, b in itertools.pairwise(self.eta_const)):
            raise ValueError(f"eta_const: got {self.eta_const}, allowed: strictly decreasing values")
        if any(a == b for a, b in self.digit_pairs):
            raise ValueError(f"digit_pairs: got {self.digit_pairs}, allowed: pairs of different digits")
        for name, numbers in (
            ("datasets", 4 * self.datasets * self.M * self.n_per_task * self.d),
            ("clashing_sets", 24 * self.clashing_sets * (1 + len(self.eta_const) + 2 * len(self.horizons)) * 6),
        ):
            if numbers > MOST_NUMBERS:
                most = getattr(self, name) * MOST_NUMBERS // numbers
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at most {most} at these sizes (memory)")
        return self


def random_numbers(params: Parameters, *stream: int) -> np.random.Generator:
    """Independent random numbers for each experiment, by its number."""
    return np.random.default_rng(random_seed(params, *stream))


def random_seed(params: Parameters, *stream: int) -> Sequence[int]:
    """The seed of such a generator."""
    return [params.seed, *stream]
