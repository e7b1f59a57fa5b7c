"""The paper and the chapter's parameters."""

from typing import Annotated

import numpy as np
import pydantic

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="random-permutation-coordinate-descent",
    title="Provable Benefit of Random Permutations over Uniform Sampling in Stochastic Coordinate Descent",
    authors=("Donghwa Kim", "Jaewook Lee", "Chulhee Yun"),
    venue="ICML",
    year=2025,
    key="kim2025provable",
    arxiv="2505.23152",
)

MOST_NUMBERS = 10**8  # that one array of an experiment may hold

Dimension = Annotated[int, pydantic.Field(ge=2, le=10_000)]
Eigenvalue = Annotated[float, pydantic.Field(ge=1e-4, le=0.999)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. All matrices have unit diagonal, and sigma is their least eigenvalue."""

    n_list: list[Dimension] = parameter(
        "dimensions n of the grid of exact rates", quick=[2, 3, 4, 6, 10, 20, 50, 100, 300, 1000],
        paper=[2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 50, 100, 200, 300, 500, 1000, 3000, 10_000],
        min_length=2, max_length=32,
    )  # fmt: skip
    sigma_list: list[Eigenvalue] = parameter(
        "least eigenvalues σ of the grid", quick=[1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99],
        paper=[1e-3, 0.003, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99],
        min_length=2, max_length=32,
    )  # fmt: skip
    limit_n: int = parameter("dimension at which the limits n → ∞ are compared", quick=4000, ge=100, le=100_000)
    certified_n: int = parameter("largest dimension of the proof by exact arithmetic", quick=12, paper=40, ge=2, le=60)
    block_n: int = parameter("largest block size whose rate is computed", quick=200, paper=1000, ge=2, le=2000)
    torus_points: int = parameter("grid points on each angle of the map for n = 3", quick=73, paper=241, ge=5, le=481)
    search_dims: list[Annotated[int, pydantic.Field(ge=3, le=6)]] = parameter(
        "dimensions of the search for worst cases", quick=[3, 4], paper=[3, 4, 5, 6], min_length=1, max_length=4
    )
    search_sigmas: list[Eigenvalue] = parameter(
        "least eigenvalues of the search", quick=[0.05, 0.2, 0.4, 0.7], min_length=1, max_length=8
    )
    search_starts: int = parameter("random starts of a search", quick=300, paper=10_000, ge=4, le=100_000)
    search_rounds: int = parameter("rounds of local moves of a search", quick=60, paper=150, ge=0, le=1000)
    search_proposals: int = parameter(
        "moves proposed in a round for each matrix kept", quick=10, paper=40, ge=1, le=1000
    )
    search_seeds: int = parameter("independent searches for each n and σ", quick=5, ge=1, le=64)
    random_n: int = parameter("largest dimension of the random matrices", quick=6, paper=8, ge=2, le=8)
    random_count: int = parameter("random matrices for each dimension", quick=100, paper=1000, ge=1, le=20_000)
    features: int = parameter("features taken from each real data set", quick=10, ge=2, le=10)
    mc_n: int = parameter("dimension of the simulated runs", quick=25, paper=200, ge=2, le=1000)
    mc_sigma: float = parameter("least eigenvalue of the simulated runs", quick=0.2, ge=1e-3, le=0.9)
    mc_epochs: int = parameter("epochs of the simulated runs; slopes from epoch 4 on", quick=16, ge=8, le=100)
    mc_trials: int = parameter("simulated runs of each method", quick=4000, paper=10_000, ge=10, le=10**6)
    typical_n: int = parameter("dimension at which typical runs are followed", quick=10, paper=25, ge=5, le=200)
    typical_epochs: int = parameter("epochs that typical runs are averaged over", quick=100, paper=400, ge=10, le=10**4)
    typical_trials: int = parameter("runs followed for each σ", quick=400, paper=2000, ge=10, le=10**5)

    @pydantic.model_validator(mode="after")
    def _affordable(self) -> "Parameters":
        for name, numbers in (
            ("mc_trials", self.mc_trials * self.mc_n),
            ("typical_trials", 7 * self.typical_trials * self.typical_n),
            ("search_starts", self.search_starts * self.search_seeds * len(self.search_sigmas) * 36),
        ):
            if numbers > MOST_NUMBERS:
                most = getattr(self, name) * MOST_NUMBERS // numbers
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at most {most} at these sizes (memory)")
        return self

    @property
    def dimensions(self) -> list[int]:
        """The dimensions of the grid, increasing and without repeats."""
        return sorted(set(self.n_list))

    @property
    def sigmas(self) -> np.ndarray:
        """The least eigenvalues of the grid, increasing and without repeats."""
        return np.array(sorted(set(self.sigma_list)))

    def rng(self, stream: int, part: int = 0) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream, part]))

    def child_seed(self, stream: int) -> int:
        """An independent seed for one use of torch's generators."""
        return int(np.random.SeedSequence([self.seed, stream]).generate_state(1)[0])
