"""The paper, the chapter's parameters and its random numbers."""

from typing import Annotated

import numpy as np
import pydantic

from companion import parameters
from companion.chapters.perturbed_deep_matrix_factorization.counts import k_upper, step_limit
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="perturbed-deep-matrix-factorization",
    title="Implicit Regularization in Perturbed Deep Matrix Factorization: Spectral Conditions and Stability",
    authors=("Hung-Hsu Chou", "Jingzhe Wang"),
    venue="arXiv preprint",
    year=2026,
    key="chou2026implicit",
    arxiv="2605.28613",
)

MOST_STEPS = 10**6  # iterations of the longest run
MOST_NUMBERS = 10**8  # that one array may hold

Depth = Annotated[int, pydantic.Field(ge=2, le=8)]
Eigenvalue = Annotated[float, pydantic.Field(ge=0.2, le=10)]
Size = Annotated[float, pydantic.Field(ge=0.01, le=5)]
Second = Annotated[float, pydantic.Field(ge=0.05, le=0.99)]
Start = Annotated[float, pydantic.Field(ge=1e-6, le=0.1)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. Starts are starts of the product, ``alpha^N``: depths are compared at equal ones."""

    n: int = parameter("size of the matrices", quick=60, paper=500, ge=4, le=1000)
    spectrum: list[Eigenvalue] = parameter(
        "eigenvalues of the target of low rank, largest first", quick=[1.5, 1.0],
        paper=[3.0, 2.7, 2.4, 2.1, 1.9, 1.7, 1.5, 1.3, 1.15, 1.0], min_length=1, max_length=20,
    )  # fmt: skip
    depths: list[Depth] = parameter(
        "numbers of factors N", quick=[2, 3, 4], paper=[2, 3, 4, 5, 6], min_length=1, max_length=7
    )
    start: float = parameter("start of the product, α^N", quick=1e-3, ge=1e-6, le=0.1)
    step: float = parameter("step, as a fraction of the largest that the theorems allow", quick=0.5, ge=0.02, le=1)
    noise_list: list[Size] = parameter(
        "spectral norms e of the noise", quick=[0.05, 0.1, 0.2, 0.3, 0.6, 1.2], min_length=3, max_length=12
    )
    draws: int = parameter("draws of the noise", quick=10, paper=50, ge=2, le=200)
    eps: float = parameter("an eigenvalue is learned up to this share of itself, ε", quick=0.1, ge=0.01, le=0.5)
    delta: float = parameter("what counts as not yet learned, δ", quick=0.02, ge=1e-3, le=0.2)
    seconds: list[Second] = parameter(
        "second eigenvalues of the targets without noise, the first being one", quick=[0.9, 0.5, 0.2],
        paper=[0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], min_length=2, max_length=16,
    )  # fmt: skip
    starts: list[Start] = parameter(
        "starts α^N of the runs without noise", quick=[1e-2, 1e-3, 1e-4, 1e-5],
        paper=[1.5e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5], min_length=2, max_length=16,
    )  # fmt: skip
    map_points: int = parameter("points on each axis of the phase maps", quick=51, paper=201, ge=21, le=401)
    limit_steps: int = parameter(
        "iterations for which the smallest starts are chosen", quick=12_000, paper=200_000, ge=500, le=10**6
    )
    matrix_n: int = parameter("size of the matrices in runs with full factors", quick=24, paper=64, ge=4, le=200)
    matrix_runs: int = parameter("random starts of such runs", quick=4, paper=20, ge=1, le=50)
    matrix_start: float = parameter("size of the product at random starts", quick=1e-3, ge=1e-6, le=0.5)
    matrix_noise: float = parameter("norm of the noise in such runs", quick=0.15, ge=0.05, le=1)
    matrix_steps: int = parameter("iterations of such runs", quick=2000, paper=20_000, ge=200, le=10**5)

    @pydantic.model_validator(mode="after")
    def _sensible(self) -> "Parameters":
        r, last = len(self.spectrum), min(self.spectrum)
        smallest = min(self.n, self.matrix_n)
        if r > smallest - 2:
            raise ValueError(f"spectrum: got {r} eigenvalues, allowed: at most n - 2 and matrix_n - 2 ({smallest - 2})")
        most = (1 - self.eps) * last / 2  # else what counts as learned need not pass what counts as not learned
        if self.delta >= most:
            raise ValueError(
                f"delta: got {self.delta}, allowed: below (1 - eps) times half the least eigenvalue ({most:g})"
            )
        largest = max(self.start, *self.starts)
        if largest >= self.delta:
            raise ValueError(f"delta: got {self.delta}, allowed: above all starts of the product ({largest:g})")
        numbers = self.n**2 * self.mean_draws + 2400 * self.n * self.draws
        if numbers > 4 * MOST_NUMBERS:
            raise ValueError(f"draws: got {self.draws}, allowed: fewer at n = {self.n} (memory)")
        recorded = self.matrix_n**2 * self.matrix_runs * 1200
        if recorded > 2 * MOST_NUMBERS:
            raise ValueError(
                f"matrix_runs: got {self.matrix_runs}, allowed: fewer at matrix_n = {self.matrix_n} (memory)"
            )
        for depth in self.depths:
            needed = self._longest(depth)
            if needed > MOST_STEPS:
                raise ValueError(
                    f"start: got {self.start:g}, allowed: larger with {depth} factors, or a larger step: the longest "
                    f"run would take {needed:.1e} iterations"
                )
        return self

    def _longest(self, depth: int) -> float:
        """Iterations that the slowest run needs, about."""
        alpha = self.start ** (1 / depth)
        slowest = max(2 * self.delta, min(self.noise_list) / 2)
        noisy = 3 * float(k_upper(slowest, depth, alpha, self.eta(depth), self.delta))
        second = max(min(self.seconds), 1.5 * self.delta)
        eta = self.step * float(step_limit(1.0, depth))
        return max(noisy, float(k_upper(second, depth, min(self.starts) ** (1 / depth), eta, self.delta)))

    @property
    def target(self) -> np.ndarray:
        """The eigenvalues of the target, largest first."""
        return np.array(sorted(self.spectrum, reverse=True))

    @property
    def sizes(self) -> np.ndarray:
        """The norms of the noise, increasing and without repeats."""
        return np.array(sorted(set(self.noise_list)))

    @property
    def factors(self) -> list[int]:
        """The depths, increasing and without repeats."""
        return sorted(set(self.depths))

    @property
    def mean_draws(self) -> int:
        """Draws for mean shifts of eigenvalues, which need no run: more, while memory allows."""
        return max(self.draws, min(20 * self.draws, MOST_NUMBERS // (2 * self.n**2)))

    def alpha(self, depth: int) -> float:
        """Start of every factor."""
        return self.start ** (1 / depth)

    def eta(self, depth: int) -> float:
        """Step of the runs with noise, one for all norms so that it explains no difference between them."""
        return self.step * float(step_limit(max(self.spectrum) + max(self.noise_list), depth))

    def rng(self, stream: int) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng([self.seed, stream])
