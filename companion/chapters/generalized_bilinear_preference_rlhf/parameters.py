"""The paper, the chapter's parameters, and its random numbers."""

import itertools
import math
from typing import Annotated, Literal

import pydantic
import torch

from companion import parameters
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="generalized-bilinear-preference-rlhf",
    title="Regularized Online RLHF with Generalized Bilinear Preferences",
    authors=("Junghyun Lee", "Minju Hong", "Kwang-Sung Jun", "Chulhee Yun", "Se-Young Yun"),
    venue="ICML",
    year=2026,
    key="lee2026regularized",
    arxiv="2602.23116",
)

Eta = Annotated[float, pydantic.Field(ge=0.01, le=1e4)]
FLOAT = torch.float64
MOST_NUMBERS = 400_000_000  # in one array, 3.2 GB
LONGEST = 2  # processor hours that a run may be expected to take


class Parameters(parameters.Parameters):
    """Parameters of the chapter."""

    games: int = parameter(
        "random games of the dual-gap law, for each regularizer", quick=100, paper=1000, ge=1, le=10_000
    )
    d: int = parameter("feature dimension d of greedy sampling", quick=5, ge=3, le=32)
    actions: int = parameter("actions K of greedy sampling, at least d", quick=12, paper=20, ge=3, le=128)
    contexts: int = parameter("contexts of every environment, equally likely", quick=2, ge=1, le=16)
    strength: float = parameter("nuclear norm S of Θ⋆ in greedy sampling", quick=20.0, gt=0, le=200)
    regularizer: Literal["kl", "tsallis", "chi2", "mixed"] = parameter(
        "regularizer ψ of greedy sampling, explore-then-commit and the rank study", quick="kl"
    )
    eta_list: list[Eta] = parameter(
        "inverse regularization strengths η of greedy sampling, increasing",
        quick=[0.3, 1.0, 3.0, 10.0, 100.0],
        paper=[0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0],
        min_length=2,
        max_length=24,
    )
    eta_huge: float = parameter("the η at which the regularizer hardly counts", quick=1e4, ge=100, le=1e4)
    rounds: int = parameter("rounds T of greedy sampling", quick=8000, paper=20_000, ge=500, le=1_000_000)
    rounds_huge: int = parameter(
        "rounds of greedy sampling at eta_huge", quick=3000, paper=10_000, ge=500, le=1_000_000
    )
    environments: int = parameter(
        "environments averaged over: greedy sampling and explore-then-commit", quick=40, paper=60, ge=1, le=1000
    )
    environments_huge: int = parameter("environments at eta_huge, greedy sampling", quick=10, paper=20, ge=1, le=1000)
    update_growth: float = parameter(
        "greedy sampling refits when t has grown by this factor; 1 is every round", quick=1.1, paper=1.01, ge=1, le=2
    )
    ridge: float = parameter("ridge of the maximum-likelihood fits, in place of a norm ball", quick=0.1, gt=0, le=10)
    commit_d: int = parameter("feature dimension of explore-then-commit, which has 16 actions", quick=6, ge=3, le=16)
    commit_eta: float = parameter("η of explore-then-commit", quick=3.0, ge=0.01, le=100)
    shift: float = parameter(
        "share α of the common direction in the features of explore-then-commit", quick=0.5, ge=0, lt=1
    )
    horizons: list[Annotated[int, pydantic.Field(ge=256, le=100_000_000)]] = parameter(
        "horizons T of explore-then-commit, increasing",
        quick=[4096, 16384, 65536, 262144],
        paper=[4096, 16384, 65536, 262144, 1048576, 4194304],
        min_length=2,
        max_length=10,
    )
    exploration: float = parameter("c in T₀ = c √T", quick=10.0, gt=0, le=15)
    nuclear: float = parameter("c in the nuclear-norm weight λ = c √(log d / (d T₀))", quick=0.1, gt=0, le=10)
    d_list: list[Annotated[int, pydantic.Field(ge=4, le=64, multiple_of=2)]] = parameter(
        "dimensions of the rank study, increasing",
        quick=[6, 12, 24],
        paper=[6, 12, 24, 48],
        min_length=2,
        max_length=8,
    )
    rank_rounds: int = parameter(
        "exploration rounds T₀ of the rank study", quick=4000, paper=20_000, ge=100, le=10_000_000
    )
    rank_environments: int = parameter("environments of each cell of the rank study", quick=5, paper=6, ge=1, le=100)

    @pydantic.model_validator(mode="after")
    def _increasing(self):
        for name in ("eta_list", "horizons", "d_list"):
            values = getattr(self, name)
            if any(b <= a for a, b in itertools.pairwise(values)):
                raise ValueError(f"{name}: got {values}, allowed: an increasing list")
        return self

    @pydantic.model_validator(mode="after")
    def _diverse(self):
        if self.actions < self.d:
            raise ValueError(
                f"actions: got {self.actions}, allowed: at least d = {self.d}, else no exploration sees every direction"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _fits_in_memory(self):
        d = self.d_list[-1]
        for name, each, among in (
            (
                "environments",
                (len(self.eta_list) + 4) * self.contexts * _pairs(self.actions) * _pairs(self.d),
                "d, actions, contexts and eta_list",
            ),
            ("rank_environments", 2 * self.contexts * _pairs(2 * d) * _pairs(d), "d_list and contexts"),
        ):
            most = MOST_NUMBERS // each
            if getattr(self, name) > most:
                given = getattr(self, name)
                raise ValueError(f"{name}: got {given}, allowed: at most {most} with these {among}")
        return self

    @pydantic.model_validator(mode="after")
    def _ends(self):
        rows = (len(self.eta_list) + 4) * self.environments
        hours = {
            "rounds": rows * self.contexts * _refits(self.rounds, self.update_growth) * 5e-5 / 3600,
            "rounds_huge": self.environments_huge
            * self.contexts
            * _refits(self.rounds_huge, 2 * self.update_growth - 1 if self.update_growth > 1 else 1.02)
            * 5e-3
            / 3600,
            "horizons": self.environments * self.exploration * self.horizons[-1] ** (2 / 3) * 2e-7 / 3600,
            "rank_rounds": self.rank_environments * self.rank_rounds * len(self.d_list) * 5e-7 / 3600,
        }
        for name, long in hours.items():
            if long > LONGEST:
                raise ValueError(
                    f"{name}: got {getattr(self, name)}, which with these environments and update_growth takes some "
                    f"{long:.0f} processor hours, allowed: less than {LONGEST}"
                )
        return self


def _refits(rounds: int, growth: float) -> float:
    """How often greedy sampling refits within so many rounds, about."""
    if growth <= 1:
        return rounds
    single = min(rounds, 1 / (growth - 1))
    return single + math.log(rounds / single) / math.log(growth)


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def generator(params: Parameters, stream: int) -> torch.Generator:
    """Random numbers of an experiment, drawn on the CPU, so that what is random does not depend on the device."""
    return torch.Generator().manual_seed(16 * params.seed + stream)
