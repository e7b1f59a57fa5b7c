"""Few epochs: tuned gaps of IGD, SGD and random reshuffling on the instances, and the orbits behind them."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.finite_sum import orders, reshuffled
from companion.chapters.incremental_gradient_small_epochs.closed_forms import (
    factor_over_sgd,
    pass_over_halves,
    polygon_radius,
)
from companion.chapters.incremental_gradient_small_epochs.instances import (
    concave_half,
    hardest,
    identical_hessians,
    log_level_concave,
    many_epochs_concave,
    polygon,
)
from companion.chapters.incremental_gradient_small_epochs.parameters import (
    Parameters,
    child_seed,
    igd_order,
    numbers,
)
from companion.chapters.incremental_gradient_small_epochs.tuning import Tuner, reshuffled_gaps
from companion.results import experiment

METHODS = ("IGD", "SGD", "alternating", "RR")

# --- the map of bounds --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoundsMap:
    """Result of :func:`bounds_map`. Rows are the kinds of components (``KINDS``), columns the numbers of epochs."""

    epochs: np.ndarray  # (K,)
    kappa: float  # condition number
    n: int  # components
    mu: float
    G: float
    level: np.ndarray  # the lower bounds without their constants, (3, K); infinite where double precision ends
    log_level: np.ndarray  # logarithm of the half-concave instance's level in units of G^2 / L, (K,)
    gaps: np.ndarray  # tuned final gaps, (METHODS, 3, K); RR: mean over the runs, NaN where not simulated
    best_c: np.ndarray  # IGD's best step on identical Hessians as eta mu n K, (K,)
    interior: np.ndarray  # whether IGD's and SGD's best steps lie inside the grid, (3, K)
    # Variants of the instances and orders, for K <= kappa / 2 and else NaN, (K,) each:
    herded: np.ndarray  # herded IGD on identical Hessians
    averaged: np.ndarray  # IGD on the strongly convex instance with all Hessians replaced by their mean
    averaged_sgd: np.ndarray  # SGD on that
    convex_halves: np.ndarray  # IGD on the half-concave instance with convex halves of the same mean
    inside_blocks: np.ndarray  # RR inside the two halves of the half-concave instance, kappa / 32 <= K <= kappa / 16
    drifting: np.ndarray  # IGD on the drifting instance, partly concave too

    def of(self, method: str) -> np.ndarray:
        """Tuned gaps of a method, ``(3, K)``."""
        return self.gaps[METHODS.index(method)]


@experiment
def bounds_map(params: Parameters) -> BoundsMap:
    """Tuned final gaps of all methods on the instances of all three kinds, for every number of epochs."""
    epochs, tuning = sorted(set(params.epochs)), params.tuning
    own, alternating = igd_order(params, params.n), orders("alternating", params.n)[0]
    level, best_c = np.full((3, len(epochs)), np.inf), np.full(len(epochs), np.nan)
    gaps, interior = np.full((len(METHODS), 3, len(epochs)), np.nan), np.zeros((3, len(epochs)), dtype=bool)
    names = ("herded", "averaged", "averaged_sgd", "convex_halves", "inside_blocks", "drifting")
    variants = {name: np.full(len(epochs), np.nan) for name in names}
    for column, K in enumerate(epochs):
        for row in range(3):
            instance = hardest(row, params.n, params.kappa, K, **params.constants)
            level[row, column] = instance.level
            if not np.isfinite(instance.level):
                continue
            igd, sgd = tuning.igd(instance, own), tuning.sgd(instance)
            interior[row, column] = igd.interior and sgd.interior
            gaps[:3, row, column] = igd.gap, sgd.gap, tuning.igd(instance, alternating).gap
            if row == 0:
                best_c[column] = igd.eta * params.mu * params.n * K
            if min(params.kappa / 2, params.rr_epochs) >= K:
                seed = child_seed(params, 2, K)
                gaps[3, row, column] = reshuffled_gaps(instance, params.rr_seeds, seed)[0].mean(0).min()
        if params.kappa / 2 >= K:
            for name, value in _variants(K, params, own).items():
                variants[name][column] = value
    return BoundsMap(
        epochs=np.array(epochs),
        kappa=params.kappa,
        n=params.n,
        mu=params.mu,
        G=params.G,
        level=level,
        log_level=np.array([log_level_concave(params.n, params.kappa, K) for K in epochs]),
        gaps=gaps,
        best_c=best_c,
        interior=interior,
        **variants,
    )


def _variants(K: int, params: Parameters, own: np.ndarray) -> dict[str, float]:
    arguments, tuning = (params.n, params.kappa, K), params.tuning
    identical = identical_hessians(*arguments, **params.constants)
    averaged = polygon(*arguments, **params.constants, averaged=True)
    half = concave_half(*arguments, **params.constants)
    values = {
        "herded": tuning.igd(identical, orders("herded", params.n, vectors=-identical.problem.b)[0]).gap,
        "averaged": tuning.igd(averaged, own).gap,
        "averaged_sgd": tuning.sgd(averaged).gap,
        "drifting": tuning.igd(many_epochs_concave(*arguments, **params.constants), own).gap,
    }
    if np.isfinite(half.level):
        convex = concave_half(*arguments, **params.constants, convex=True)
        values["convex_halves"] = tuning.igd(convex, own).gap
        # Where the exponential is large, SGD converges, and the simulation can afford it.
        if params.kappa / 32 <= K <= params.kappa / 16 and params.rr_epochs >= K:
            inside, _ = reshuffled_gaps(half, params.rr_seeds, child_seed(params, 3, K), block=params.n // 2)
            values["inside_blocks"] = inside.mean(0).min()
    return values


# --- one instance at a time ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepDilemma:
    """The final gap of every step on identical Hessians."""

    K: int
    n: int
    c: np.ndarray  # steps as eta mu n K, (E,)
    igd: np.ndarray  # gaps over G^2 / (mu K), (E,); the same for SGD and the alternating order
    sgd: np.ndarray
    alternating: np.ndarray
    largest: float  # the step 2 / L as eta mu n K


@experiment
def step_dilemma(params: Parameters) -> StepDilemma:
    """The final gap of every step, on identical Hessians at ``K = kappa / 4``."""
    K = max(1, round(params.kappa / 4))
    instance = identical_hessians(params.n, params.kappa, K, **params.constants)
    etas = np.geomspace(1e-2 / (params.mu * params.n * K), 2.2 / instance.L, 300)
    problem, unit = instance.problem, params.G**2 / (params.mu * K)
    return StepDilemma(
        K=K,
        n=params.n,
        c=etas * params.mu * params.n * K,
        igd=problem.final_gap(instance.x0, K, etas, igd_order(params, params.n)) / unit,
        sgd=problem.with_replacement_gap(instance.x0, params.n * K, etas) / unit,
        alternating=problem.final_gap(instance.x0, K, etas, orders("alternating", params.n)[0]) / unit,
        largest=2 / instance.L * params.mu * params.n * K,
    )


@dataclass(frozen=True)
class Sizes:
    """Tuned gaps on identical Hessians for several numbers of components."""

    K: int
    n: np.ndarray  # (N,)
    igd: np.ndarray  # tuned gaps, (N,); the same for SGD and the alternating order
    sgd: np.ndarray
    alternating: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """IGD's gap over SGD's, to leading order, ``(N,)``."""
        return factor_over_sgd(self.n)


@experiment
def size_comparison(params: Parameters) -> Sizes:
    """IGD against SGD at ``K = kappa / 4`` for every number of components."""
    K, tuning = max(1, round(params.kappa / 4)), params.tuning
    counts = sorted(set(params.sizes))
    instances = [identical_hessians(n, params.kappa, K, **params.constants) for n in counts]
    pairs = list(zip(counts, instances, strict=True))
    return Sizes(
        K=K,
        n=np.array(counts),
        igd=np.array([tuning.igd(instance, igd_order(params, n)).gap for n, instance in pairs]),
        sgd=np.array([tuning.sgd(instance).gap for instance in instances]),
        alternating=np.array([tuning.igd(instance, orders("alternating", n)[0]).gap for n, instance in pairs]),
    )


@dataclass(frozen=True)
class Polygon:
    """Orbits on the strongly convex instance, in units of ``G / mu``, in two orders (``ORBIT_ORDERS``)."""

    K: int
    n: int
    minimizers: np.ndarray  # of the components, (n, 2)
    orbit: np.ndarray  # the points of the periodic orbits, (2, n, 2)
    last: np.ndarray  # the iterates of the last epoch from the instance's start, (2, n, 2)
    radius: float  # of the regular polygon, from the closed form


ORBIT_ORDERS = ("own", "random")


@experiment
def polygon_orbits(params: Parameters) -> Polygon:
    """The periodic orbit at IGD's best step and ``K = sqrt(kappa)``, and what a random order makes of it."""
    K = max(1, round(params.kappa**0.5))
    n, unit = params.n, params.G / params.mu
    instance = polygon(n, params.kappa, K, **params.constants)
    problem, own = instance.problem, np.arange(n)
    eta = params.tuning.igd(instance, own).eta
    visited = (own, numbers(params, 4).permutation(n))

    def plane(x0: np.ndarray, order: np.ndarray) -> np.ndarray:
        return problem.orbit(x0, eta, order)[1:, :2] / unit

    def late(order: np.ndarray) -> np.ndarray:
        before_last = torch.linalg.matrix_power(problem.epoch_map(np.array([eta]), order)[0], K - 1).cpu().numpy()
        return (before_last @ np.append(instance.x0, 1.0))[:-1]

    return Polygon(
        K=K,
        n=n,
        minimizers=problem.b[:, :2] / params.G,
        orbit=np.stack([plane(problem.periodic_point(np.array([eta]), order)[0], order) for order in visited]),
        last=np.stack([plane(late(order), order) for order in visited]),
        radius=polygon_radius(eta, n, params.mu, instance.L, params.G) / unit,
    )


@dataclass(frozen=True)
class WithinEpoch:
    """The noisy coordinate of the half-concave instance through one pass, in units of ``G / L``."""

    K: int
    n: int
    igd: np.ndarray  # along IGD's periodic orbit at its best step, (n + 1,)
    predicted: np.ndarray  # the same from the closed form, (n + 1,)
    rr: np.ndarray  # along the last pass of random reshuffling at its best step, (runs, n + 1)


@experiment
def within_epoch(params: Parameters) -> WithinEpoch:
    """One pass over the half-concave instance at ``K = kappa / 16``, by IGD and by random reshuffling."""
    n, K = params.n, max(1, round(params.kappa / 16))
    instance = concave_half(n, params.kappa, K, **params.constants)
    problem, visited = instance.problem, igd_order(params, n)
    unit = params.G / instance.L
    eta = params.tuning.igd(instance, visited).eta
    igd = problem.orbit(problem.periodic_point(np.array([eta]), visited)[0], eta, visited)[:, 1] / unit
    gaps, etas = reshuffled_gaps(instance, params.rr_seeds, child_seed(params, 5, K))
    best = etas[gaps.mean(0).argmin()]
    passes = [drawn.cpu().numpy() for drawn in reshuffled(n, 3, min(K, 8), child_seed(params, 6), params.device)]
    rr = []
    for one in range(3):
        x = np.zeros(problem.d)  # the noisy coordinate forgets its start within an epoch
        for drawn in passes:
            path = problem.orbit(x, best, drawn[one])
            x = path[-1]
        rr.append(path[:, 1] / unit)
    return WithinEpoch(K=K, n=n, igd=igd, predicted=pass_over_halves(eta * instance.L, n), rr=np.array(rr))


@dataclass(frozen=True)
class PhaseMap:
    """IGD against SGD on identical Hessians over condition numbers and epochs."""

    n: int
    kappas: np.ndarray  # (kappas,)
    epochs: np.ndarray  # (epochs,)
    log_ratio: np.ndarray  # log10 of IGD's over SGD's tuned gap, (kappas, epochs)


@experiment
def phase_map(params: Parameters) -> PhaseMap:
    """IGD against SGD over condition numbers and epochs, both in powers of two, with 256 components."""
    n, kappas, epochs = 256, 2.0 ** np.arange(3, 13), 2 ** np.arange(13)
    coarse, visited = Tuner(40), igd_order(params, n)
    ratio = np.empty((len(kappas), len(epochs)))
    for row, kappa in enumerate(kappas):
        for column, K in enumerate(epochs):
            instance = identical_hessians(n, kappa, int(K), **params.constants)
            ratio[row, column] = coarse.igd(instance, visited).gap / coarse.sgd(instance).gap
    return PhaseMap(n, kappas, epochs, np.log10(np.maximum(ratio, 1e-300)))
