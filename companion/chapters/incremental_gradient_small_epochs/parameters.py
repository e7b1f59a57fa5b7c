"""The paper, the chapter's parameters and its random numbers."""

from typing import Annotated, Literal

import numpy as np
import pydantic

from companion import parameters
from companion.analysis.finite_sum import orders
from companion.chapters.incremental_gradient_small_epochs.tuning import Tuner
from companion.paper import Paper
from companion.parameters import parameter

PAPER = Paper(
    slug="incremental-gradient-small-epochs",
    title="Incremental Gradient Descent with Small Epoch Counts is Surprisingly Slow on Ill-Conditioned Problems",
    authors=("Yujun Kim", "Jaeyoung Cha", "Chulhee Yun"),
    venue="ICML",
    year=2025,
    key="kim2025incremental",
    arxiv="2506.04126",
)

Epochs = Annotated[int, pydantic.Field(ge=1, le=65536)]
Multiple = Annotated[int, pydantic.Field(ge=8, le=16384, multiple_of=4)]
Condition = Annotated[float, pydantic.Field(ge=8, le=65536)]


PRODUCTS_PER_HOUR = 2e10  # products of small matrices that one processor core computes
MOST_HOURS = 4


class Parameters(parameters.Parameters):
    """Parameters of the chapter. The gaps scale with ``G^2 / mu``, so that ``mu = G = 1`` loses nothing."""

    n: int = parameter("number of components n", quick=256, paper=4096, ge=8, le=16384, multiple_of=4)
    kappa: float = parameter("condition number κ = L/μ", quick=256.0, paper=4096.0, ge=8, le=65536)
    mu: float = parameter("strong convexity μ of the sum", quick=1.0, ge=1e-3, le=1e3)
    G: float = parameter("bound G on the components' gradients at the optimum", quick=1.0, ge=1e-3, le=1e3)
    epochs: list[Epochs] = parameter(
        "numbers of epochs K; at most κ/2 is the small-epoch regime",
        quick=[4, 8, 16, 32, 64, 128, 256, 512, 1024],
        paper=[2**k for k in range(14)],
        min_length=1,
        max_length=24,
    )
    order: Literal["blocked", "alternating", "random"] = parameter("order of IGD's passes", quick="blocked")
    step_points: int = parameter("step sizes on the grid over which every method is tuned", quick=200, ge=20, le=2000)
    sizes: list[Multiple] = parameter(
        "numbers of components of the comparison with SGD over n",
        quick=[32, 128, 512, 2048],
        paper=[32, 128, 512, 2048, 8192],
        min_length=2,
        max_length=12,
    )
    rr_seeds: int = parameter("runs of random reshuffling", quick=8, paper=64, ge=1, le=1024)
    rr_epochs: int = parameter(
        "largest K at which random reshuffling is simulated", quick=128, paper=512, ge=1, le=8192
    )
    large_kappas: list[Condition] = parameter(
        "condition numbers of the many-epochs instances", quick=[16.0, 64.0], paper=[16.0, 64.0, 256.0],
        min_length=2, max_length=8,
    )  # fmt: skip
    large_n: int = parameter(
        "components of the many-epochs instances, best several times the largest κ",
        quick=1024, paper=4096, ge=8, le=16384, multiple_of=4,
    )  # fmt: skip
    problems: int = parameter(
        "random problems for the upper bounds; a quarter of them for herding", quick=64, paper=256, ge=1, le=4096
    )
    images: int = parameter("handwritten digits in the logistic regression", quick=400, paper=1297, ge=50, le=1297)
    image_epochs: int = parameter("epochs of the logistic regression", quick=20, ge=1, le=200)

    @property
    def constants(self) -> dict[str, float | str]:
        """The arguments that all instances share."""
        return {"mu": self.mu, "G": self.G, "device": self.device}

    @property
    def tuning(self) -> Tuner:
        """How steps are tuned."""
        return Tuner(self.step_points)

    @pydantic.model_validator(mode="after")
    def _ensure_affordable(self) -> "Parameters":
        for name, products in self._work.items():
            hours = products / PRODUCTS_PER_HOUR
            if hours > MOST_HOURS:
                raise ValueError(
                    f"{name}: got {getattr(self, name)}, which is some {hours:.0f} hours of one processor core at "
                    f"n = {self.n}, allowed: at most {MOST_HOURS} hours"
                )
        return self

    @property
    def _work(self) -> dict[str, float]:
        """Products of small matrices, or as much work, that the longest experiments take, by the parameter at fault."""
        simulated = sum(K for K in self.epochs if min(self.rr_epochs, self.kappa / 2) >= K)
        tuned = self.step_points * (self.n * 15 * len(self.epochs) + 3 * sum(self.sizes))
        many = self.step_points * self.large_n * 24 * len(self.large_kappas)
        return {
            "rr_seeds": 6.0 * 12 * self.rr_seeds * self.n * simulated,
            "step_points": float(tuned + many),
            "problems": self.problems / 4 * (self.n**2 / 4 + 300 * 9 * self.n),
        }


def child_seed(params: Parameters, stream: int, K: int = 0) -> int:
    """An independent seed for one use of randomness."""
    return int(np.random.SeedSequence([params.seed, stream, K]).generate_state(1)[0])


def numbers(params: Parameters, stream: int) -> np.random.Generator:
    """Independent random numbers for one use of randomness."""
    return np.random.default_rng(child_seed(params, stream))


def igd_order(params: Parameters, n: int) -> np.ndarray:
    """The order in which IGD passes over ``n`` components."""
    return orders(params.order, n, rng=np.random.default_rng(child_seed(params, 1, n)))[0]
