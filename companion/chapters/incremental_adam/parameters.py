"""The paper, the chapter's parameters and its random streams."""

from typing import Annotated

import numpy as np
import pydantic

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="incremental-adam",
    title="Implicit Bias of Per-sample Adam on Separable Data: Departure from the Full-batch Regime",
    authors=("Beomhan Baek", "Minhak Song", "Chulhee Yun"),
    venue="ICLR",
    year=2026,
    key="baek2026implicit",
    arxiv="2510.26303",
)

MOST_HOURS = 24  # of one processor, estimated: beyond, parameters are refused
MOST_BYTES = 4 * 2**30  # of the examples of all runs of an experiment

Rate = Annotated[float, pydantic.Field(ge=0.1, le=0.9999)]
Small = Annotated[float, pydantic.Field(gt=0, le=0.1)]
Offset = Annotated[float, pydantic.Field(gt=0, lt=1)]
Size = Annotated[int, pydantic.Field(ge=1, le=80)]
Samples = Annotated[int, pydantic.Field(ge=2, le=160)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. The step size is ``eta0 (1 + t / t0)^-decay``; an epoch is a pass over the data."""

    datasets: int = parameter("datasets of each kind, all run at once", quick=6, paper=100, ge=1, le=1000)
    N: int = parameter("samples N", quick=10, paper=20, ge=2, le=80)
    d: int = parameter("dimensions d, at least N", quick=50, paper=100, ge=2, le=400)
    beta1: float = parameter("Adam's rate β₁ of the first moment, at most β₂", quick=0.9, ge=0, le=0.999)
    beta2: float = parameter("Adam's rate β₂ of the second moment", quick=0.95, ge=0.1, le=0.9999)
    eta0: float = parameter("first step η₀ of Adam and SGD", quick=0.01, gt=0, le=0.1)
    t0: float = parameter("steps t₀ before the step size falls", quick=1000.0, ge=1, le=1e6)
    decay: float = parameter("exponent of the step size's decay", quick=0.5, ge=0, le=1)
    epochs: int = parameter("epochs of the runs with one sample a step", quick=2000, paper=5000, ge=10, le=100_000)
    steps: int = parameter("steps of the runs with larger batches", quick=20_000, paper=100_000, ge=10, le=10_000_000)
    batch_sizes: list[Size] = parameter(
        "batch sizes, divisors of N; 1 and N are added", quick=[1, 2, 5, 10], paper=[1, 2, 5, 10, 20],
        min_length=1, max_length=12,
    )  # fmt: skip
    beta_signum: float = parameter("Signum's momentum β", quick=0.99, ge=0, le=0.9999)
    eta_signum: float = parameter("Signum's first step", quick=0.001, gt=0, le=0.1)
    beta2_grid: list[Rate] = parameter(
        "values of β₂ in the epoch map's runs",
        quick=[0.5, 0.7, 0.9, 0.97, 0.99],
        min_length=2,
        max_length=20,
    )
    epsilons: list[Small] = parameter(
        "Adam's stability constants ε", quick=[1e-12, 1e-8, 1e-4], min_length=1, max_length=8
    )
    deltas: list[Offset] = parameter("offsets δ of the shifted diagonal", quick=[0.1, 0.3], min_length=1, max_length=8)
    map_sizes: list[Samples] = parameter(
        "sample counts of the map over N and β₂", quick=[5, 10, 20, 40], paper=[5, 10, 20, 40, 80],
        min_length=1, max_length=8,
    )  # fmt: skip
    images: int = parameter("digits of each of two classes", quick=10, paper=20, ge=1, le=40)

    @pydantic.model_validator(mode="after")
    def _fit_together(self):
        if self.d < self.N:
            raise ValueError(f"d: got {self.d}, allowed: at least N = {self.N}")
        if self.beta1 > self.beta2:
            raise ValueError(f"beta1: got {self.beta1}, allowed: at most beta2 = {self.beta2}")
        for size in self.batch_sizes:
            if self.N % size:
                raise ValueError(f"batch_sizes: got {size} in it, allowed: divisors of N = {self.N}")
        if self._bytes > MOST_BYTES:
            raise ValueError(
                f"datasets: got {self.datasets} for N = {self.N} and d = {self.d}, whose runs need "
                f"{self._bytes / 2**30:.0f} GiB, allowed: up to {MOST_BYTES // 2**30}"
            )
        if self._hours > MOST_HOURS:
            raise ValueError(
                f"steps: got {self.steps} with {self.epochs} epochs of {self.datasets} datasets, which take some "
                f"{self._hours:.0f} processor hours, allowed: less than {MOST_HOURS}"
            )
        return self

    @property
    def _bytes(self) -> int:
        """Memory of the largest experiment: 24 copies of the examples, 10 rows of 40 iterates each."""
        return 8 * self.datasets * self.d * (24 * self.N + 400)

    @property
    def _hours(self) -> float:
        """Time of all experiments on one processor, within a factor of three or so."""
        single = self.epochs * self.N * (8 + 50 * self.datasets * self.d * 2e-5)
        larger = self.steps * sum(2.5 + 5 * self.datasets * self.d * (size + 10) * 1e-5 for size in self.batches[1:])
        images = (self.epochs * self.images + self.steps) * 1.5
        directions = self.datasets * self.N * self.d * 1.5 + 3 * sum(self.map_sizes) ** 2 * 5
        return (single + larger + images + directions) * 1e-4 / 3600

    @property
    def batches(self) -> list[int]:
        """The batch sizes in increasing order, with 1 and N."""
        return sorted({1, self.N, *self.batch_sizes})

    @property
    def step(self) -> dict[str, float]:
        """Adam's and SGD's step size, as arguments."""
        return {"eta0": self.eta0, "t0": self.t0, "decay": self.decay}

    def rng(self, stream: int) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng([self.seed, stream])
