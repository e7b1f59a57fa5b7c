"""The paper, the chapter's parameters, and its separable datasets with their maximum-margin directions."""

import functools
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pydantic

from companion import parameters
from companion.analysis.max_margin import NotSeparableError, max_margin, normalized_margin
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

# Pairs (beta1, beta2) that are tried besides the chapter's own.
OTHER_BETAS = ((0.5, 0.9), (0.9, 0.99))
# The t0 of runs in which a small step at the end counts, not a long way: steps fall from the start.
EARLY_DECAY = 200.0

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
        "batch sizes, divisors of N; 1 and N are always among them", quick=[1, 2, 5, 10], paper=[1, 2, 5, 10, 20],
        min_length=1, max_length=12,
    )  # fmt: skip
    beta_signum: float = parameter("Signum's momentum β", quick=0.99, ge=0, le=0.9999)
    eta_signum: float = parameter("Signum's first step", quick=0.001, gt=0, le=0.1)
    beta2_grid: list[Rate] = parameter(
        "values of β₂ at which the epoch map is iterated",
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
        return self

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


# --- data ---------------------------------------------------------------------------------------------------------


def gaussian(rng: np.random.Generator, N: int, d: int) -> np.ndarray:
    """Signed examples with independent standard normal entries, ``(N, d)``; separable almost surely for ``d >= N``."""
    return rng.normal(size=(N, d))


def scaled_rademacher(rng: np.random.Generator, N: int, d: int) -> np.ndarray:
    """Signed examples of random signs, each times its own scale from [1/2, 2], ``(N, d)``: ``|x_i[k]| = a_i``."""
    return rng.uniform(0.5, 2, size=(N, 1)) * rng.choice([-1.0, 1.0], size=(N, d))


def shifted_diagonal(a: np.ndarray, delta: float, flipped: bool = False) -> np.ndarray:
    """``x_i = a_i e_i + delta sum of the other e_j``; ``flipped`` gives the small entries of ``x_1`` the other sign."""
    a = np.asarray(a, dtype=float)
    Z = np.full((len(a), len(a)), float(delta))
    np.fill_diagonal(Z, a)
    if flipped:
        Z[0, 1:] *= -1
    return Z


@dataclass(frozen=True)
class Data:
    """Separable datasets and their maximum-margin directions.

    Attributes
    ----------
    Z : signed examples, ``(rows, N, d)``
    l2 : maximum-margin directions in the 2-norm, ``(rows, d)``
    linf : one maximum-margin direction in the infinity-norm, ``(rows, d)``; it need not be unique
    margins : ``gamma_2`` and ``gamma_inf``, ``(2, rows)``
    """

    Z: np.ndarray
    l2: np.ndarray
    linf: np.ndarray
    margins: np.ndarray

    @classmethod
    def of(cls, Z: np.ndarray) -> "Data":
        """Solve the maximum-margin problems of each dataset."""
        two, inf = [max_margin(z, 2) for z in Z], [max_margin(z, np.inf) for z in Z]
        margins = np.array([[s.margin for s in two], [s.margin for s in inf]])
        return cls(np.asarray(Z), np.array([s.w for s in two]), np.array([s.w for s in inf]), margins)

    def r2(self, w: np.ndarray) -> np.ndarray:
        """``min_i <x_i, w> / (||w||_2 gamma_2)``, at most 1, for ``w`` of shape ``(..., rows, d)``."""
        return normalized_margin(w, self.Z, 2) / self.margins[0]

    def rinf(self, w: np.ndarray) -> np.ndarray:
        """``min_i <x_i, w> / (||w||_inf gamma_inf)``, at most 1, for ``w`` of shape ``(..., rows, d)``."""
        return normalized_margin(w, self.Z, np.inf) / self.margins[1]


@functools.lru_cache(maxsize=4)
def _draw(seed: int, datasets: int, N: int, d: int) -> Data:
    rng = np.random.default_rng([seed, 0])
    rows = []
    for make in (gaussian, scaled_rademacher):
        for _ in range(datasets):
            while True:  # few samples in few dimensions may be opposite to each other: draw again
                Z = make(rng, N, d)
                try:
                    max_margin(Z, 2)
                except NotSeparableError:
                    continue
                rows.append(Z)
                break
    return Data.of(np.array(rows))


def draw(params: Parameters) -> Data:
    """The chapter's datasets: first the Gaussian ones, then the scaled Rademacher ones."""
    return _draw(params.seed, params.datasets, params.N, params.d)


def gaussian_data(params: Parameters) -> Data:
    """The Gaussian half of :func:`draw`."""
    both = draw(params)
    D = params.datasets
    return Data(both.Z[:D], both.l2[:D], both.linf[:D], both.margins[:, :D])


def distance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``1 - cos(u, v)`` along the last axis, as half the squared distance of the directions: exact for small angles."""
    u = u / np.linalg.norm(u, axis=-1, keepdims=True)
    v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return ((u - v) ** 2).sum(-1) / 2
