"""The paper, the chapter's parameters and its random numbers."""

from typing import Annotated, Literal

import numpy as np
import pydantic

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="newton-nntk",
    title="Convergence Analysis of Newton's Method for Neural Networks in the Overparameterized Limit",
    authors=("Konstantin Riedl", "Konstantinos Spiliopoulos", "Justin Sirignano"),
    venue="arXiv",
    year=2026,
    key="riedl2026newton",
    arxiv="2605.08352",
)

MOST_NUMBERS = 5 * 10**8  # weights of all runs of one width, which are held at once

Width = Annotated[int, pydantic.Field(ge=20, le=10**6, multiple_of=2)]
Decay = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    widths: list[Width] = parameter(
        "widths N of the comparison with the limit, increasing; the largest is trained to the end",
        quick=[100, 400, 1600, 6400], paper=[100, 1000, 10_000, 100_000, 1_000_000], min_length=3, max_length=8,
    )  # fmt: skip
    n_seeds: int = parameter("networks of each width", quick=4, paper=20, ge=2, le=64)
    M: int = parameter("training points on the circle, M", quick=12, ge=6, le=64, multiple_of=2)
    s: float = parameter("standard deviation of the input weights at the start", quick=3.0, ge=0.5, le=10.0)
    s_b: float = parameter("standard deviation of the biases at the start", quick=3.0, ge=0.1, le=10.0)
    activation: Literal["erf", "tanh"] = parameter("activation of the units", quick="erf")
    lam0: float = parameter("constant λ₀ of the vanishing regularization λ₀ N^-δ", quick=0.6, ge=0.01, le=100.0)
    lam_decay: float = parameter("its decay δ; below 1/2 in the theorem", quick=0.4, ge=0.05, le=0.49)
    lam_fixed: float = parameter("the regularization λ that is the same at all widths", quick=0.3, ge=0.01, le=100.0)
    eta: float = parameter("step size η of Newton's method", quick=0.25, ge=0.05, le=1.0)
    steps: int = parameter("steps of the comparison with the limit", quick=24, ge=8, le=200)
    long_steps: int = parameter("steps of the training to the end", quick=60, paper=120, ge=20, le=1000)
    target_freqs: list[Annotated[int, pydantic.Field(ge=1, le=32)]] = parameter(
        "frequencies of the target, increasing", quick=[1, 3, 6], min_length=2, max_length=6
    )
    map_widths: list[Width] = parameter(
        "widths N of the map of regularizations, increasing", quick=[100, 400, 1600],
        paper=[100, 1000, 10_000, 100_000], min_length=2, max_length=6,
    )  # fmt: skip
    map_decays: list[Decay] = parameter(
        "decays δ of the map, increasing; some below and some above 1/2", quick=[0.0, 0.2, 0.4, 0.6, 0.8],
        paper=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], min_length=2, max_length=16,
    )  # fmt: skip
    map_seeds: int = parameter("networks at each point of the map", quick=2, paper=10, ge=1, le=64)
    dense_width: int = parameter("width N at which the whole Hessian is diagonalized", quick=100, ge=40, le=400,
                                 multiple_of=2)  # fmt: skip
    exponents: list[Annotated[float, pydantic.Field(ge=0.5, le=0.8)]] = parameter(
        "exponents b of the output's scale N^-b, increasing", quick=[0.5, 0.6, 0.75], min_length=1, max_length=4
    )
    noise: float = parameter("standard deviation of the noise on the labels", quick=0.5, ge=0.05, le=5.0)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Parameters":
        for name in ("widths", "map_widths", "map_decays", "target_freqs", "exponents"):
            values = getattr(self, name)
            if sorted(set(values)) != values:
                raise ValueError(f"{name}: got {values}, allowed: increasing values")
        if max(self.target_freqs) > self.M // 2:
            raise ValueError(f"target_freqs: got {self.target_freqs}, allowed: at most M/2 = {self.M // 2}")
        if self.dense_width <= 2 * self.M:
            raise ValueError(f"dense_width: got {self.dense_width}, allowed: more than 2 M = {2 * self.M}")
        for name, runs, widths in (
            ("n_seeds", 8 * self.n_seeds, self.widths),
            ("map_seeds", 8 * self.map_seeds * len(self.map_decays), self.map_widths),
        ):
            numbers = runs * widths[-1]
            if numbers > MOST_NUMBERS:
                most = getattr(self, name) * MOST_NUMBERS // numbers
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: at most {most} at these sizes (memory)")
        return self

    @property
    def angles(self) -> np.ndarray:
        """The training inputs, equally spaced: ``(M,)``."""
        return 2 * np.pi * np.arange(self.M) / self.M

    @property
    def between(self) -> np.ndarray:
        """Angles half-way between the training inputs: ``(M,)``."""
        return self.angles + np.pi / self.M

    def target(self, angles: np.ndarray) -> np.ndarray:
        """Cosines of the wanted frequencies; half of one at M/2, whose mean square would be twice the others'."""
        weights = [0.5 if 2 * k == self.M else 1.0 for k in self.target_freqs]
        return sum(a * np.cos(k * angles) for a, k in zip(weights, self.target_freqs, strict=True))

    def rng(self, stream: int, part: int = 0) -> np.random.Generator:
        """An independent generator for one use of randomness."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, stream, part]))
