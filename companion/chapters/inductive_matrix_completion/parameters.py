"""The paper, the chapter's parameters and its random numbers."""

from typing import Annotated, Literal

import numpy as np
import pydantic

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="inductive-matrix-completion",
    title="Sample efficient inductive matrix completion with noise and inexact side information",
    authors=("Yuepeng Yang", "Cong Ma"),
    venue="arXiv",
    year=2026,
    key="yang2026sample",
    arxiv="2605.17189",
)

MOST_NUMBERS = 10**8  # that one array of an experiment may hold

Size = Annotated[int, pydantic.Field(ge=12, le=10_000)]
Multiple = Annotated[float, pydantic.Field(ge=0.5, le=100)]


class Parameters(parameters.Parameters):
    """Parameters of the chapter. Matrices are n × n of rank r, features have a columns on either side."""

    r: int = parameter("rank of the matrices", quick=3, ge=1, le=10)
    kappa: float = parameter("condition number κ of the matrices, largest over least singular value", quick=2.0,
                             ge=1, le=20)  # fmt: skip
    eta: float = parameter("step length η of the descent, in units of 1/σ₁", quick=0.5, ge=0.05, le=0.8)
    iters: int = parameter("steps within which a run must arrive", quick=300, ge=20, le=5000)
    a_list: list[Annotated[int, pydantic.Field(ge=1, le=1000)]] = parameter(
        "features a of the thresholds", quick=[15, 30, 60], paper=[20, 50, 100, 200], min_length=1, max_length=8
    )
    n_list: list[Size] = parameter(
        "sizes n of the thresholds and of the rates", quick=[100, 400], paper=[500, 1500, 5000], min_length=2,
        max_length=6,
    )  # fmt: skip
    n_mc: list[Size] = parameter(
        "sizes n at which the threshold of completion without features is found", quick=[50, 200],
        paper=[100, 300, 1000], min_length=2, max_length=6,
    )  # fmt: skip
    m_over_ar: list[Multiple] = parameter(
        "entries seen at the thresholds, in units of a·r", quick=[2.5, 3.5, 4.5, 5.5],
        paper=[2, 2.5, 3, 3.5, 4, 4.5, 5, 6], min_length=2, max_length=16,
    )  # fmt: skip
    m_over_nr: list[Multiple] = parameter(
        "the same without features, in units of n·r", quick=[3, 5, 7, 9], paper=[3, 4, 5, 6, 7, 8, 9], min_length=2,
        max_length=16,
    )  # fmt: skip
    trials: int = parameter("matrices for each number of entries", quick=6, paper=50, ge=2, le=1000)
    a: int = parameter("features a of the other experiments", quick=20, paper=40, ge=1, le=200)
    m: list[Annotated[int, pydantic.Field(ge=10, le=20_000)]] = parameter(
        "entries seen in the experiments on the spectrum, fewest first", quick=[600, 1200], paper=[1200, 2400, 4800],
        min_length=1, max_length=6,
    )  # fmt: skip
    sigma: float = parameter("noise σ; entries have mean square one", quick=0.5, ge=1e-3, le=2)
    repeats: int = parameter("matrices in each cell of the experiment on noise", quick=8, paper=50, ge=2, le=1000)
    tilts: list[Annotated[float, pydantic.Field(ge=0.01, le=0.9)]] = parameter(
        "tilts τ of the matrices out of the features' span", quick=[0.05, 0.1, 0.2, 0.4],
        paper=[0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6], min_length=2, max_length=12,
    )  # fmt: skip
    lams: list[Annotated[float, pydantic.Field(ge=0.01, le=1e5)]] = parameter(
        "weights λ between matrix completion (0) and its inductive form (∞)", quick=[3, 10, 30, 100],
        paper=[1, 3, 10, 30, 100, 300, 1000], min_length=1, max_length=12,
    )  # fmt: skip
    tilt: float = parameter("tilt τ in the experiment on these weights", quick=0.3, ge=0, le=0.9)
    private: int = parameter("features that belong to one row alone, in the coherent case", quick=2, ge=1, le=20)
    ratings: Literal["stand-in", "movielens-small", "auto"] = parameter(
        "the ratings; auto takes MovieLens if it is there and synthetic ratings if not", quick="stand-in", paper="auto"
    )
    users: int = parameter("users, and films, of the ratings", quick=200, paper=300, ge=40, le=600)
    fractions: list[Annotated[float, pydantic.Field(ge=0.02, le=0.8)]] = parameter(
        "shares of the ratings to be completed that are seen", quick=[0.1, 0.2, 0.8],
        paper=[0.05, 0.1, 0.2, 0.4, 0.8], min_length=2, max_length=8,
    )  # fmt: skip
    splits: int = parameter("random splits of the ratings", quick=1, paper=5, ge=1, le=20)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Parameters":
        for name, value, least in (
            ("a_list", min(self.a_list), self.r),
            ("a", self.a, self.r),
            ("n_list", min(self.n_list), max(*self.a_list, 2 * self.a, self.private) + self.r),
            ("n_mc", min(self.n_mc), 2 * self.r),
        ):
            if value < least:
                raise ValueError(f"{name}: got {value}, allowed: at least {least} with this rank and these features")
        size = 2 * max(self.n_list) * self.trials * len(self.m_over_ar) * (self.r + 4)
        if size > MOST_NUMBERS:
            most = self.trials * MOST_NUMBERS // size
            raise ValueError(f"trials: got {self.trials}, allowed: at most {most} at these sizes (memory)")
        return self

    @property
    def condition(self) -> float:
        """Condition number of the matrices: one where there is a single singular value."""
        return self.kappa if self.r > 1 else 1.0

    def rng(self, stream: int, *part: int) -> np.random.Generator:
        """Independent random numbers for each use."""
        return np.random.default_rng([self.seed, stream, *part])
