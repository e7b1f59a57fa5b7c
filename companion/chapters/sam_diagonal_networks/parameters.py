"""The paper, the chapter's parameters and its streams of random numbers."""

import itertools
import math
from typing import Annotated

import numpy as np
import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="sam-diagonal-networks",
    title="Minor First, Major Last: A Depth-Induced Implicit Bias of Sharpness-Aware Minimization",
    authors=("Chaewon Moon", "Dongkuk Si", "Chulhee Yun"),
    venue="ICLR",
    year=2026,
    key="moon2026minor",
    arxiv="2603.08290",
)

Positive = Annotated[float, pydantic.Field(gt=0, le=10)]
Fraction = Annotated[float, pydantic.Field(gt=0, le=1)]
Pair = Annotated[list[Annotated[int, pydantic.Field(ge=0, le=9)]], pydantic.Field(min_length=2, max_length=2)]

MOST_NUMBERS = 125_000_000  # a gigabyte in double precision
MOST_SECONDS = 3600.0
SWEEP_RECORDS = 400  # at most, of the runs on other problems


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    mu: list[Positive] = parameter(
        "example μ of the amplification runs, strictly increasing",
        quick=[1.0, 2.0, 3.0, 4.0],
        min_length=2,
        max_length=64,
    )
    rho: float = parameter("radius ρ of the ℓ₂-SAM perturbation", quick=0.1, ge=1e-3, le=1)
    scales: list[Annotated[float, pydantic.Field(ge=0.05, le=4)]] = parameter(
        "initialization scales α/ρ shown one by one, increasing",
        quick=[0.36, 0.41, 0.42, 0.45, 0.5, 0.6, 0.8, 1.0],
        min_length=1,
        max_length=40,
    )
    grid: int = parameter("initialization scales of the phase diagram", quick=60, paper=200, ge=2, le=1000)
    lr: float = parameter("step size η of the amplification runs; ημ_d at most 0.05", quick=4e-3, gt=0, le=0.05)
    steps: int = parameter("steps of the amplification runs", quick=10_000, paper=20_000, ge=100, le=1_000_000)
    record_every: int = parameter("steps between records of the amplification runs", quick=25, ge=1, le=1000)
    random_problems: int = parameter("random problems for the vertex rule", quick=12, paper=100, ge=1, le=1000)
    dimensions: list[Annotated[int, pydantic.Field(ge=2, le=64)]] = parameter(
        "dimensions of the sweep, μ evenly spaced on [1, 4]",
        quick=[2, 16],
        paper=[2, 4, 16, 64],
        min_length=1,
        max_length=8,
    )
    radii: list[Annotated[float, pydantic.Field(ge=1e-3, le=1)]] = parameter(
        "radii ρ of the sweep", quick=[0.1], paper=[0.03, 0.1, 0.3], min_length=1, max_length=8
    )
    datasets: int = parameter("random separable data sets at depth 1 and at depth 2", quick=6, paper=50, ge=1, le=500)
    rho_depth_one: float = parameter("radius ρ at depth 1", quick=0.5, ge=0, le=2)
    steps_depth_one: int = parameter("loss-normalized steps at depth 1", quick=6000, paper=40_000, ge=100, le=1_000_000)
    steps_depth_two: int = parameter(
        "loss-normalized steps at depth 2 on several examples", quick=8000, paper=20_000, ge=100, le=30_000
    )
    mu_gates: list[Positive] = parameter(
        "example μ of the gate runs, increasing", quick=[1.0, 2.0, 3.0], min_length=2, max_length=6
    )
    rho_linf: float = parameter("radius ρ of ℓ∞-SAM in the gate runs", quick=0.5, ge=0.05, le=1)
    digit_pairs: list[Pair] = parameter(
        "pairs of digits to tell apart",
        quick=[[0, 1], [3, 8], [2, 7]],
        paper=[[0, 1], [3, 8], [2, 7], [4, 9], [5, 6], [1, 7], [0, 8], [3, 5], [6, 8], [4, 7]],
        min_length=1,
        max_length=45,
    )
    vertex_fractions: list[Fraction] = parameter(
        "digits: initial vertex as a fraction of the strongest feature, increasing",
        quick=[0.31, 0.34, 0.38, 0.45],
        min_length=2,
        max_length=20,
    )
    rho_digits: float = parameter("radius ρ on digits", quick=0.3, ge=0.01, le=1)
    steps_digits: int = parameter("steps on digits (step size 0.2)", quick=3000, ge=100, le=100_000)
    mlp_seeds: int = parameter("initial weights of the ReLU networks", quick=5, paper=10, ge=2, le=100)
    run_cnn: bool = parameter("whether to train the convolutional networks (minutes on a CPU)", quick=False, paper=True)
    cnn_seeds: int = parameter("initial weights of the convolutional networks", quick=3, paper=10, ge=2, le=100)

    @pydantic.model_validator(mode="after")
    def _lists_fit(self):
        for name in ("mu", "mu_gates", "scales", "vertex_fractions"):
            values = getattr(self, name)
            if any(b <= a for a, b in itertools.pairwise(values)):
                raise ValueError(f"{name}: got {values}, allowed: strictly increasing values")
        if self.lr * self.mu[-1] > 0.05 * (1 + 1e-9):
            raise ValueError(f"lr: got {self.lr}, allowed: at most {0.05 / self.mu[-1]:.3g} for mu up to {self.mu[-1]}")
        if any(a == b for a, b in self.digit_pairs):
            raise ValueError(f"digit_pairs: got {self.digit_pairs}, allowed: pairs of different digits")
        if self.record_every > self.steps:
            raise ValueError(f"record_every: got {self.record_every}, allowed: at most steps = {self.steps}")
        return self

    @pydantic.model_validator(mode="after")
    def _fits_a_machine(self):
        d, scales = len(self.mu), self.grid + len(self.scales)
        kept = 5 * scales * (d + 3)  # numbers in a record of the amplification runs
        if self.steps // self.record_every * kept > MOST_NUMBERS:
            least = math.ceil(self.steps * kept / MOST_NUMBERS)
            raise ValueError(
                f"record_every: got {self.record_every}, allowed: at least {least} for steps = {self.steps}, "
                f"grid = {self.grid} and mu of {d} entries (a gigabyte of records)"
            )
        problems, wide = len(self.dimensions) * len(self.radii), max(self.dimensions)
        if SWEEP_RECORDS * problems * self.grid * (wide + 3) > MOST_NUMBERS:
            most = MOST_NUMBERS // (SWEEP_RECORDS * problems * (wide + 3))
            raise ValueError(
                f"grid: got {self.grid}, allowed: at most {most} for {problems} problems of the sweep in up to "
                f"{wide} dimensions (a gigabyte of records)"
            )
        rows = 10 * scales * d + problems * self.grid * wide + 6 * 7 * self.random_problems
        if self.steps * (1e-4 + 2.5e-8 * rows) > MOST_SECONDS:
            most = int(MOST_SECONDS / (1e-4 + 2.5e-8 * rows))
            raise ValueError(
                f"steps: got {self.steps}, allowed: at most {most} for grid = {self.grid}, mu of {d} entries and this "
                "sweep (an hour on one core)"
            )
        runs = 3 * len(self.vertex_fractions) * len(self.digit_pairs)
        if 2 * self.steps_digits * runs > MOST_NUMBERS:
            raise ValueError(
                f"steps_digits: got {self.steps_digits}, allowed: at most {MOST_NUMBERS // (2 * runs)} for {runs} "
                "runs (a gigabyte of records)"
            )
        return self


# Independent streams of random numbers, by what they draw.
STREAMS = {"depth one": 1, "several examples": 4, "random problems": 5, "plane": 6}


def random_stream(params: Parameters, draws: str) -> np.random.Generator:
    """The generator of one experiment, named in ``STREAMS``."""
    return np.random.default_rng([params.seed, STREAMS[draws]])


def initial_weights(params: Parameters) -> torch.Generator:
    """The generator of the networks' initial weights."""
    return torch.Generator().manual_seed(params.seed)
