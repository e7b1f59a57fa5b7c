"""The best constant step of each method on an instance."""

from dataclasses import dataclass

import numpy as np

from companion.analysis.finite_sum import TunedStep, reshuffled, step_grid, tune_step
from companion.chapters.incremental_gradient_small_epochs.instances import Instance


@dataclass(frozen=True)
class Tuner:
    """How a method's constant step is tuned: over ``points`` steps spread evenly in the logarithm, and some more."""

    points: int

    def grid(self, instance: Instance) -> np.ndarray:
        """The steps over which a method is tuned on an instance: from ``c = eta mu n K = 0.01`` on."""
        return step_grid(1e-2 / (instance.mu * instance.problem.n * instance.epochs), instance.L, self.points)

    def igd(self, instance: Instance, order: np.ndarray, x0: np.ndarray | None = None) -> TunedStep:
        """IGD's best final gap, in an order ``(n,)`` and from the instance's own start by default."""
        x0 = instance.x0 if x0 is None else x0
        return tune_step(lambda etas: instance.problem.final_gap(x0, instance.epochs, etas, order), self.grid(instance))

    def sgd(self, instance: Instance, x0: np.ndarray | None = None) -> TunedStep:
        """With-replacement SGD's best expected final gap, exact, after as many steps."""
        x0 = instance.x0 if x0 is None else x0
        steps = instance.problem.n * instance.epochs
        return tune_step(lambda etas: instance.problem.with_replacement_gap(x0, steps, etas), self.grid(instance))


def reshuffled_gaps(
    instance: Instance, runs: int, seed: int, x0: np.ndarray | None = None, block: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Final gaps of random reshuffling, ``(runs, E)``, and the steps, ``(E,)``.

    The steps go from ``c = eta mu n K = 0.4`` to 40, cut at ``2 / L``: the best is near ``c = log(4 n) / 2`` or larger.
    ``block`` shuffles inside blocks of that many consecutive components only.
    """
    n, K = instance.problem.n, instance.epochs
    etas = np.minimum(np.geomspace(0.4, 40, 12) / (instance.mu * n * K), 1.999 / instance.L)
    passes = reshuffled(n, runs, K, seed, instance.problem.device.type, block)
    return instance.problem.shuffled_gap(instance.x0 if x0 is None else x0, etas, passes), etas


def theory_step(n: int, epochs: int, mu: float, cap: float) -> float:
    """The step of the upper bounds, ``min(log(K^2) / (mu n K), cap)``."""
    return min(2 * np.log(epochs) / (mu * n * epochs), cap)
