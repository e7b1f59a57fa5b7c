"""Many epochs: the lower-bound instances at and past ``K = kappa``, and the upper bounds on random problems."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from companion.analysis.finite_sum import FiniteSumQuadratic, orders
from companion.chapters.incremental_gradient_small_epochs.instances import (
    Instance,
    many_epochs_concave,
    many_epochs_convex,
    polygon,
)
from companion.chapters.incremental_gradient_small_epochs.settings import Parameters, tuned_igd, tuned_sgd


@dataclass(frozen=True)
class ManyEpochs:
    """Tuned gaps for ``K >= kappa`` over their levels, ``(kappas, 3)`` with ``K = kappa * multiples``.

    Attributes
    ----------
    convex, concave : IGD on I4 and I5 over their levels; *_alternating the same in the alternating order
    convex_sgd : exact SGD on I4 over its level
    ratio : gap on I5 over gap on I4; ratio_halves the same for I5 with its curvatures in two halves
    window : IGD on I4 over its level if the noisy coordinate's curvature is L itself: steps just below ``2 / L`` escape
    """

    kappas: np.ndarray
    multiples: np.ndarray
    n: int
    convex: np.ndarray
    convex_alternating: np.ndarray
    convex_sgd: np.ndarray
    concave: np.ndarray
    concave_alternating: np.ndarray
    concave_sgd: np.ndarray
    ratio: np.ndarray
    ratio_halves: np.ndarray
    window: np.ndarray


def many_epochs(params: Parameters) -> ManyEpochs:
    """The lower-bound instances at and beyond ``K = kappa``."""
    kappas, multiples, n = sorted(set(params.large_kappas)), (1, 4, 16), params.large_n
    visited, alternating = params.igd_order(n), orders("alternating", n)[0]
    shape = (len(kappas), len(multiples))
    table = {name: np.empty(shape) for name in ManyEpochs.__annotations__ if name not in ("kappas", "multiples", "n")}
    for row, kappa in enumerate(kappas):
        for column, multiple in enumerate(multiples):
            K = max(1, round(kappa * multiple))
            convex, stiff = (
                many_epochs_convex(n, kappa, K, **params.constants, curvature=curvature) for curvature in (0.5, 1.0)
            )
            concave, halves = (
                many_epochs_concave(n, kappa, K, **params.constants, halves=split) for split in (False, True)
            )
            gaps = [tuned_igd(instance, params, visited).gap for instance in (convex, concave, halves)]
            values = {
                "convex": gaps[0] / convex.level,
                "convex_alternating": tuned_igd(convex, params, alternating).gap / convex.level,
                "convex_sgd": tuned_sgd(convex, params).gap / convex.level,
                "concave": gaps[1] / concave.level,
                "concave_alternating": tuned_igd(concave, params, alternating).gap / concave.level,
                "concave_sgd": tuned_sgd(concave, params).gap / concave.level,
                "ratio": gaps[1] / gaps[0],
                "ratio_halves": gaps[2] / gaps[0],
                "window": tuned_igd(stiff, params, visited).gap / stiff.level,
            }
            for name, value in values.items():
                table[name][row, column] = value
    return ManyEpochs(np.array(kappas), np.array(multiples), n, **table)


@dataclass(frozen=True)
class UpperBounds:
    """Gaps at the theory's step over the upper bounds without constants, ``log K`` counted as part of the bound.

    Attributes
    ----------
    convex, concave : random problems of each kind, in a random and a sorted order, over ``L G^2 log^2 K / (mu K)^2``
        and ``L^2 G^2 log^2 K / (mu^3 K^2)``, ``(problems, 2)``
    one_dimensional : one-dimensional problems of identical curvature at small K, over ``G^2 log^2 K / (mu K)``
    few : random convex problems at small K, over ``L^2 G^2 log^2 K / (mu^3 K^2)``, ``(problems, 2)``
    hard_convex, hard_concave, hard_few : the instances I4, I5 and (largest over K) I2, over the bounds of their kinds
    drifting : I5, whose components are not convex, over the convex bound, for each of ``drifting_kappas``
    """

    convex: np.ndarray
    concave: np.ndarray
    one_dimensional: np.ndarray
    few: np.ndarray
    hard_convex: float
    hard_concave: float
    hard_few: float
    drifting_kappas: np.ndarray
    drifting: np.ndarray


def theory_step(n: int, K: int, mu: float, L: float, cap: float) -> float:
    """``min(log(K^2) / (mu n K), cap)``."""
    return min(2 * np.log(K) / (mu * n * K), cap)


def random_problem(
    rng: np.random.Generator, n: int, d: int, mu: float, L: float, G: float, concave: bool, device: str = "cpu"
) -> FiniteSumQuadratic:
    """A quadratic finite sum with random Hessians, ``x* = 0`` and noise of length at most G.

    Convex: eigenvalues log-uniform in ``[mu, L]`` in random directions. Concave: their mean has eigenvalues from ``mu``
    to ``L / 2``, and the components deviate from it by up to ``L / 2`` either way.
    """
    Q = np.linalg.qr(rng.normal(size=(n, d, d)))[0]
    if concave:
        deviation = np.einsum("nij,nj,nkj->nik", Q, rng.uniform(-L / 2, L / 2, size=(n, d)), Q)
        deviation -= deviation.mean(0)
        deviation *= min(1, L / 2 / np.linalg.norm(deviation, 2, axis=(1, 2)).max())
        axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
        H = axes * np.geomspace(mu, L / 2, d) @ axes.T + deviation
    else:
        H = np.einsum("nij,nj,nkj->nik", Q, mu * (L / mu) ** rng.random((n, d)), Q)
    b = rng.normal(size=(n, d))
    b -= b.mean(0)
    return FiniteSumQuadratic(H, G * b / np.linalg.norm(b, axis=1).max(), device)


def upper_bounds(params: Parameters) -> UpperBounds:
    """Random problems of 32 components, in 4 dimensions or one, and the lower-bound instances, at the theory's step."""
    rng = np.random.default_rng(params.child_seed(8))
    mu, G, n = params.mu, params.G, 32

    def bound(kappa: float, K: int, power: int) -> float:
        """``kappa^power L G^2 log^2 K / (mu K)^2``."""
        return kappa ** (power + 1) * mu * (G * np.log(K) / (mu * K)) ** 2

    def over(problem: FiniteSumQuadratic, kappa: float, K: int, cap: float, bound: float) -> list[float]:
        """Final gaps over the bound in a random and in a sorted order, from a start of gap ``G^2 / (2 mu)``."""
        direction = rng.normal(size=problem.d)
        x0 = direction * G / np.sqrt(mu * direction @ problem.mean_hessian @ direction)
        eta = np.array([theory_step(n, K, mu, kappa * mu, cap)])
        tried = (rng.permutation(n), np.argsort(problem.b @ rng.normal(size=problem.d)))
        return [problem.final_gap(x0, K, eta, visited)[0] / bound for visited in tried]

    def many(concave: bool) -> list[float]:
        kappa = float(rng.choice([4, 16, 64]))
        K = round(16 * kappa)
        problem = random_problem(rng, n, 4, mu, kappa * mu, G, concave, params.device)
        return over(problem, kappa, K, 1 / (n * kappa * mu), bound(kappa, K, int(concave)))

    def line() -> list[float]:
        kappa, K = 64.0, int(rng.choice([4, 8, 16, 32]))
        b = rng.normal(size=(n, 1))
        b -= b.mean(0)
        h = np.full((n, 1, 1), mu * kappa ** rng.random())
        problem = FiniteSumQuadratic(h, G * b / np.abs(b).max(), params.device)
        return over(problem, kappa, K, 1 / (kappa * mu), (G * np.log(K)) ** 2 / (mu * K))

    def few() -> list[float]:
        kappa, K = 64.0, int(rng.choice([4, 8, 16, 32]))
        problem = random_problem(rng, n, 4, mu, kappa * mu, G, False, params.device)
        return over(problem, kappa, K, 1 / (kappa * mu), bound(kappa, K, 1))

    def hard(make: Callable[..., Instance], kappa: float, K: int, power: int, components: int, slow: bool) -> float:
        """An instance at the theory's step over the bound; ``slow`` caps the step at ``1 / (n L)``, not ``1 / L``."""
        instance = make(components, kappa, K, **params.constants)
        cap = 1 / (components * instance.L) if slow else 1 / instance.L
        eta = np.array([theory_step(components, K, mu, instance.L, cap)])
        gap = instance.problem.final_gap(instance.x0, K, eta, np.arange(components))[0]
        return float(gap / bound(kappa, K, power))

    drifting = np.array([16.0, 64.0, 256.0, 1024.0])
    return UpperBounds(
        convex=np.array([many(False) for _ in range(params.problems)]),
        concave=np.array([many(True) for _ in range(params.problems)]),
        one_dimensional=np.array([line() for _ in range(params.problems)]),
        few=np.array([few() for _ in range(params.problems)]),
        hard_convex=hard(many_epochs_convex, 64.0, 1024, 0, 1024, True),
        hard_concave=hard(many_epochs_concave, 64.0, 1024, 1, 1024, True),
        hard_few=max(hard(polygon, 256.0, K, 1, 256, False) for K in (4, 8, 16, 32, 64)),
        drifting_kappas=drifting,
        drifting=np.array([hard(many_epochs_concave, k, round(16 * k), 0, 4096, True) for k in drifting]),
    )
