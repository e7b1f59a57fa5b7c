"""The paper, the chapter's parameters, and how a method's step is tuned on an instance."""

from typing import Annotated, Literal

import numpy as np
import pydantic

from companion import parameters
from companion.analysis.finite_sum import TunedStep, orders, reshuffled, step_grid, tune_step
from companion.chapters.incremental_gradient_small_epochs.instances import Instance
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

INSTANCES = ("identical Hessians", "strongly convex components", "half of the components concave")

Epochs = Annotated[int, pydantic.Field(ge=1, le=65536)]
Multiple = Annotated[int, pydantic.Field(ge=8, le=16384, multiple_of=4)]
Condition = Annotated[float, pydantic.Field(ge=8, le=65536)]


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
        "random problems for the upper bounds and for herding", quick=64, paper=256, ge=1, le=4096
    )
    images: int = parameter("handwritten digits in the logistic regression", quick=400, paper=1297, ge=50, le=1297)
    image_epochs: int = parameter("epochs of the logistic regression", quick=20, ge=1, le=200)

    @property
    def small_epochs(self) -> list[int]:
        """The numbers of epochs in the small-epoch regime, ``K <= kappa / 2``, increasing and without repeats."""
        return sorted({K for K in self.epochs if self.kappa / 2 >= K})

    @property
    def constants(self) -> dict[str, float | str]:
        """The arguments that all instances share."""
        return {"mu": self.mu, "G": self.G, "device": self.device}

    def child_seed(self, stream: int, K: int = 0) -> int:
        """An independent seed for one use of randomness."""
        return int(np.random.SeedSequence([self.seed, stream, K]).generate_state(1)[0])

    def igd_order(self, n: int) -> np.ndarray:
        """The order in which IGD passes over ``n`` components."""
        return orders(self.order, n, rng=np.random.default_rng(self.child_seed(1, n)))[0]


# --- tuning -------------------------------------------------------------------------------------------------------


def grid(instance: Instance, params: Parameters) -> np.ndarray:
    """The steps over which a method is tuned on an instance."""
    return step_grid(1e-2 / (instance.mu * instance.problem.n * instance.epochs), instance.L, params.step_points)


def tuned_igd(instance: Instance, params: Parameters, visited: np.ndarray | None = None, x0=None) -> TunedStep:
    """IGD's best final gap over constant steps; ``visited`` is its order, the parameters' own by default."""
    visited = params.igd_order(instance.problem.n) if visited is None else visited
    x0 = instance.x0 if x0 is None else x0
    return tune_step(
        lambda etas: instance.problem.final_gap(x0, instance.epochs, etas, visited), grid(instance, params)
    )


def tuned_sgd(instance: Instance, params: Parameters, x0=None) -> TunedStep:
    """With-replacement SGD's best expected final gap over constant steps, exact."""
    x0 = instance.x0 if x0 is None else x0
    steps = instance.problem.n * instance.epochs
    return tune_step(lambda etas: instance.problem.with_replacement_gap(x0, steps, etas), grid(instance, params))


def reshuffled_gaps(
    instance: Instance, params: Parameters, stream: int, x0=None, block: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Final gaps of random reshuffling, ``(runs, E)``, and the steps, ``(E,)``.

    The steps go from ``c = eta mu n K = 0.4`` to 40, cut at ``2 / L``: the best is near ``c = log(4 n) / 2`` or larger.
    """
    n, K = instance.problem.n, instance.epochs
    etas = np.minimum(np.geomspace(0.4, 40, 12) / (instance.mu * n * K), 1.999 / instance.L)
    passes = reshuffled(n, params.rr_seeds, K, params.child_seed(stream, K), params.device, block)
    return instance.problem.shuffled_gap(instance.x0 if x0 is None else x0, etas, passes), etas
