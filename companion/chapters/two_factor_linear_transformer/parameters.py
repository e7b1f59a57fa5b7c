"""The paper, the chapter's parameters and its random numbers."""

from typing import Annotated

import numpy as np
import pydantic

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="two-factor-linear-transformer",
    title="Large-Step Training Dynamics of a Two-Factor Linear Transformer Model",
    authors=("Krishnakumar Balasubramanian",),
    venue="arXiv preprint",
    year=2026,
    key="balasubramanian2026large",
    arxiv="2605.21292",
)

MOST_NUMBERS = 5 * 10**7  # that one array may hold

Step = Annotated[float, pydantic.Field(ge=0.05, le=1.99)]
Mean = Annotated[float, pydantic.Field(ge=0.05, le=1.9)]
HalfWidth = Annotated[float, pydantic.Field(ge=0, le=1)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. The effective step size is ``mu = lr |h| |x| |y|``."""

    mu_min: float = parameter("least effective step size μ of the diagram", quick=0.4, ge=0.01, le=1.9)
    mu_max: float = parameter("largest μ of the diagram", quick=2.2, ge=0.1, le=2.5)
    n_mu: int = parameter("values of μ in the diagram", quick=900, paper=4000, ge=50, le=10_000)
    n_transient: int = parameter("steps before orbits are looked at", quick=1000, paper=10_000, ge=100, le=50_000)
    n_keep: int = parameter("steps for which they are then followed", quick=300, paper=1000, ge=64, le=5000)
    n_starts: int = parameter("balanced starts for each μ of the diagram", quick=48, paper=256, ge=4, le=1024)
    mu_list: list[Step] = parameter(
        "values of μ at which the whole plane is explored", quick=[0.5, 0.95, 1.1, 1.3, 1.5, 1.9],
        min_length=2, max_length=8,
    )  # fmt: skip
    n_grid: int = parameter("points on a side of the maps of the plane", quick=320, paper=1500, ge=20, le=3000)
    n_steps_basin: int = parameter("steps of each point of these maps", quick=200, paper=2000, ge=50, le=5000)
    n_points: int = parameter("random starts for each μ", quick=4000, paper=40_000, ge=100, le=100_000)
    n_steps: int = parameter("steps of random starts", quick=2000, paper=20_000, ge=200, le=50_000)
    n_exponents: int = parameter("values of μ at which exponents are measured", quick=40, paper=400, ge=4, le=1000)
    n_prompts: int = parameter("prompts on which the transformer is trained", quick=3, paper=8, ge=2, le=64)
    dim: int = parameter("dimension d of the regression", quick=8, ge=2, le=64)
    context: int = parameter("examples in a prompt, N", quick=20, ge=2, le=1000)
    mb_mean: list[Mean] = parameter(
        "means m of the steps m ± r of mini-batches: a law that should stabilize, one that should destabilize",
        quick=[1.1, 0.9], min_length=2, max_length=2,
    )  # fmt: skip
    mb_half_width: list[HalfWidth] = parameter(
        "half widths r of these laws", quick=[0.4, 0.85], min_length=2, max_length=2
    )
    mb_bound: float = parameter("bound M of the steps of mini-batches", quick=1.9, ge=0.2, le=1.98)
    mb_grid: int = parameter("points on a side of the map of laws", quick=61, paper=201, ge=5, le=300)
    label_noise: float = parameter("standard deviation of a batch's best product, ς", quick=0.05, ge=0.01, le=0.2)

    @pydantic.model_validator(mode="after")
    def _sensible(self) -> "Parameters":
        if self.mu_max <= self.mu_min:
            raise ValueError(f"mu_max: got {self.mu_max}, allowed: more than mu_min ({self.mu_min})")
        if self.context < self.dim:
            raise ValueError(f"context: got {self.context}, allowed: at least dim ({self.dim}), to be whitened")
        for m, r in zip(self.mb_mean, self.mb_half_width, strict=True):
            if r > m or m + r >= 2:
                raise ValueError(f"mb_half_width: got {r}, allowed: at most the mean {m}, and their sum below 2")
        for name, numbers in (
            ("n_starts", self.n_mu * self.n_starts),
            ("n_points", self.n_points * len(self.mu_list)),
            ("n_grid", self.n_grid**2 * len(self.mu_list)),
        ):
            if numbers > MOST_NUMBERS:
                raise ValueError(
                    f"{name}: got {getattr(self, name)}, allowed: less at these sizes, which ask for arrays of "
                    f"{numbers} numbers"
                )
        return self

    def rng(self, stream: int) -> np.random.Generator:
        """Independent random numbers for each experiment, by its number."""
        return np.random.default_rng([self.seed, stream])
