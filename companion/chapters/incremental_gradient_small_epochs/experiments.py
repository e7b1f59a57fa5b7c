"""Few epochs: tuned gaps of IGD, SGD and random reshuffling on the instances, and the orbits behind them."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.finite_sum import orders, reshuffled
from companion.chapters.incremental_gradient_small_epochs.instances import (
    Instance,
    concave_half,
    identical_hessians,
    log_level_concave,
    many_epochs_concave,
    polygon,
)
from companion.chapters.incremental_gradient_small_epochs.large_epochs import (
    ManyEpochs,
    UpperBounds,
    many_epochs,
    upper_bounds,
)
from companion.chapters.incremental_gradient_small_epochs.practice import (
    CommonStart,
    Digits,
    Herding,
    common_start,
    digits,
    herding,
)
from companion.chapters.incremental_gradient_small_epochs.settings import (
    Parameters,
    reshuffled_gaps,
    tuned_igd,
    tuned_sgd,
)

# --- the map of bounds --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoundsMap:
    """Result of :func:`bounds_map`. Rows are the three kinds of components, columns the numbers of epochs.

    Attributes
    ----------
    epochs : ``(K,)``; kappa : the condition number; n : components; mu, G : the constants
    level : the lower bound without its constant; infinite where it leaves double precision
    log_level : logarithm of the half-concave instance's level in units of ``G^2 / L``, ``(K,)``
    igd, sgd, alternating : tuned final gaps, ``(3, K)``
    c_igd, c_sgd : their best steps as ``eta mu n K``, ``(3, K)``
    interior : whether IGD's and SGD's best steps lie inside the grid, ``(3, K)``
    rr_mean, rr_median : random reshuffling over the runs, each at its best step; NaN where not simulated
    averaged : IGD on the strongly convex instance with all Hessians replaced by their mean, over its level, ``(K,)``
    convex_halves : IGD on the half-concave instance with convex halves of the same mean, over its level, ``(K,)``
    inside_blocks : random reshuffling that shuffles inside the two halves only, on the half-concave instance, ``(K,)``
    """

    epochs: np.ndarray
    kappa: float
    n: int
    mu: float
    G: float
    level: np.ndarray
    log_level: np.ndarray
    igd: np.ndarray
    sgd: np.ndarray
    alternating: np.ndarray
    c_igd: np.ndarray
    c_sgd: np.ndarray
    interior: np.ndarray
    rr_mean: np.ndarray
    rr_median: np.ndarray
    averaged: np.ndarray
    convex_halves: np.ndarray
    inside_blocks: np.ndarray


def instance_for(row: int, K: int, params: Parameters) -> Instance:
    """The hardest instance known here for a kind of components and a number of epochs.

    Past ``K = kappa`` identical Hessians are as bad as any convex components, and concave ones need another instance.
    """
    n, kappa = params.n, params.kappa
    if row == 0 or (row == 1 and kappa <= K):
        return identical_hessians(n, kappa, K, **params.constants)
    if row == 1:
        return polygon(n, kappa, K, **params.constants)
    make = concave_half if kappa > K else many_epochs_concave
    return make(n, kappa, K, **params.constants)


def bounds_map(params: Parameters) -> BoundsMap:
    """Tuned final gaps of all methods on the instances of all three kinds, for every number of epochs."""
    epochs = sorted(set(params.epochs))
    alternating = orders("alternating", params.n)[0]
    names = ("level", "igd", "sgd", "alternating", "c_igd", "c_sgd", "interior", "rr_mean", "rr_median")
    table = {name: np.full((3, len(epochs)), np.nan) for name in names}
    controls = np.full((3, len(epochs)), np.nan)
    for column, K in enumerate(epochs):
        scale = params.mu * params.n * K
        for row in range(3):
            instance = instance_for(row, K, params)
            if not np.isfinite(instance.level):
                table["level"][row, column] = np.inf
                continue
            igd, sgd = tuned_igd(instance, params), tuned_sgd(instance, params)
            values = {
                "level": instance.level,
                "igd": igd.gap,
                "sgd": sgd.gap,
                "alternating": tuned_igd(instance, params, alternating).gap,
                "c_igd": igd.eta * scale,
                "c_sgd": sgd.eta * scale,
                "interior": igd.interior and sgd.interior,
            }
            if min(params.kappa / 2, params.rr_epochs) >= K:
                gaps, _ = reshuffled_gaps(instance, params, stream=2)
                values |= {"rr_mean": gaps.mean(0).min(), "rr_median": np.median(gaps, axis=0).min()}
            for name, value in values.items():
                table[name][row, column] = value
        if params.kappa / 2 >= K:
            controls[:, column] = _map_controls(K, params)
    return BoundsMap(
        epochs=np.array(epochs),
        kappa=params.kappa,
        n=params.n,
        mu=params.mu,
        G=params.G,
        log_level=np.array([log_level_concave(params.n, params.kappa, K) for K in epochs]),
        **(table | {"interior": table["interior"] == 1}),
        averaged=controls[0],
        convex_halves=controls[1],
        inside_blocks=controls[2],
    )


def _map_controls(K: int, params: Parameters) -> tuple[float, float, float]:
    arguments = (params.n, params.kappa, K)
    mean_hessians = polygon(*arguments, **params.constants, averaged=True)
    averaged = tuned_igd(mean_hessians, params).gap / mean_hessians.level
    half = concave_half(*arguments, **params.constants)
    if not np.isfinite(half.level):
        return averaged, np.nan, np.nan
    convex = concave_half(*arguments, **params.constants, convex=True)
    inside = np.nan
    if _rescue_regime(K, params.kappa) and params.rr_epochs >= K:
        inside = reshuffled_gaps(half, params, stream=3, block=params.n // 2)[0].mean(0).min()
    return averaged, tuned_igd(convex, params).gap / convex.level, inside


def _rescue_regime(K: int, kappa: float) -> bool:
    """The numbers of epochs at which reshuffling is compared with IGD: the exponential is large, and SGD converges."""
    return kappa / 32 <= K <= kappa / 16


# --- one instance at a time ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepDilemma:
    """Gap against step on identical Hessians: ``c = eta mu n K`` ``(E,)``, gaps over ``G^2 / (mu K)`` ``(E,)``."""

    K: int
    n: int
    c: np.ndarray
    igd: np.ndarray
    sgd: np.ndarray
    alternating: np.ndarray
    largest: float


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
        igd=problem.final_gap(instance.x0, K, etas, params.igd_order(params.n)) / unit,
        sgd=problem.with_replacement_gap(instance.x0, params.n * K, etas) / unit,
        alternating=problem.final_gap(instance.x0, K, etas, orders("alternating", params.n)[0]) / unit,
        largest=2 / instance.L * params.mu * params.n * K,
    )


@dataclass(frozen=True)
class Sizes:
    """Tuned gaps on identical Hessians for several n, ``(N,)`` each."""

    K: int
    n: np.ndarray
    igd: np.ndarray
    sgd: np.ndarray
    alternating: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """``0.0864 * 8 n / (1 + log(4 n))``: the two methods' leading-order constants."""
        return IDENTICAL_CONSTANT * 8 * self.n / (1 + np.log(4 * self.n))


# min over c of (tanh(c / 4)^2 + exp(-2 c)) / 2, and of c^2 / 64 + exp(-2 c) / 2: the instances' leading-order gaps.
IDENTICAL_CONSTANT = 0.08640828
MANY_EPOCHS_CONSTANT = 0.06001700


def sizes(params: Parameters) -> Sizes:
    """IGD against SGD at ``K = kappa / 4`` for every number of components."""
    K = max(1, round(params.kappa / 4))
    counts = sorted(set(params.sizes))
    instances = [identical_hessians(n, params.kappa, K, **params.constants) for n in counts]
    return Sizes(
        K=K,
        n=np.array(counts),
        igd=np.array([tuned_igd(instance, params).gap for instance in instances]),
        sgd=np.array([tuned_sgd(instance, params).gap for instance in instances]),
        alternating=np.array([
            tuned_igd(instance, params, orders("alternating", n)[0]).gap
            for n, instance in zip(counts, instances, strict=True)
        ]),
    )  # fmt: skip


@dataclass(frozen=True)
class Polygon:
    """Orbits on the strongly convex instance, in units of ``G / mu``; points ``(n, 2)`` are those of one whole pass.

    Attributes
    ----------
    minimizers : the components' minimizers
    orbit, shuffled : periodic orbits of the polygon's own order and of one random order
    last : the iterates of the last epoch from the instance's start, in the polygon's own order
    radius : of the regular polygon, from the closed form
    """

    K: int
    n: int
    minimizers: np.ndarray
    orbit: np.ndarray
    shuffled: np.ndarray
    last: np.ndarray
    radius: float

    @staticmethod
    def spread(points: np.ndarray) -> float:
        """How far points are from lying on one circle round the optimum: ``max |x| / min |x| - 1``."""
        radii = np.linalg.norm(points, axis=1)
        return float(radii.max() / radii.min() - 1)

    def error(self, points: np.ndarray) -> float:
        """Largest relative deviation of the points' radii from the closed form."""
        return float(np.abs(np.linalg.norm(points, axis=1) / self.radius - 1).max())


def polygon_radius(eta: float, n: int, mu: float, L: float, G: float) -> float:
    """Distance from the optimum of the polygon instance's periodic orbit, exact.

    ``eta G sqrt(eta^2 L^2 + 2 s (1 - eta L)) / (eta^2 mu L + s (2 - eta (L + mu)))`` with ``s = 1 - cos(2 pi / n)``.
    """
    s = 2 * np.sin(np.pi / n) ** 2
    across = np.sqrt((eta * L) ** 2 + 2 * s * (1 - eta * L))
    return eta * G * across / (eta**2 * mu * L + s * (2 - eta * (L + mu)))


def polygon_orbits(params: Parameters) -> Polygon:
    """The periodic orbit at IGD's best step and ``K = sqrt(kappa)``, and what a random order makes of it."""
    K = max(1, round(params.kappa**0.5))
    n, unit = params.n, params.G / params.mu
    instance = polygon(n, params.kappa, K, **params.constants)
    problem, own = instance.problem, np.arange(n)
    eta = tuned_igd(instance, params, own).eta
    shuffle = np.random.default_rng(params.child_seed(4)).permutation(n)

    def plane(x0: np.ndarray, visited: np.ndarray) -> np.ndarray:
        return problem.orbit(x0, eta, visited)[1:, :2] / unit

    periodic = [plane(problem.periodic_point(np.array([eta]), visited)[0], visited) for visited in (own, shuffle)]
    before_last = torch.linalg.matrix_power(problem.epoch_map(np.array([eta]), own)[0], K - 1).cpu().numpy()
    late = (before_last @ np.append(instance.x0, 1.0))[:-1]
    return Polygon(
        K=K,
        n=n,
        minimizers=problem.b[:, :2] / params.G,
        orbit=periodic[0],
        shuffled=periodic[1],
        last=plane(late, own),
        radius=polygon_radius(eta, n, params.mu, instance.L, params.G) / unit,
    )


@dataclass(frozen=True)
class WithinEpoch:
    """The noisy coordinate of the half-concave instance through one pass, in units of ``G / L``.

    Attributes
    ----------
    igd : along IGD's periodic orbit at its best step, ``(n + 1,)``
    predicted : the same from the closed form, ``(n + 1,)``
    rr : along the last pass of random reshuffling at its best step, ``(runs, n + 1)``
    """

    K: int
    n: int
    igd: np.ndarray
    predicted: np.ndarray
    rr: np.ndarray


def within_epoch(params: Parameters) -> WithinEpoch:
    """One pass over the half-concave instance at ``K = kappa / 16``, by IGD and by random reshuffling."""
    n, K = params.n, max(1, round(params.kappa / 16))
    instance = concave_half(n, params.kappa, K, **params.constants)
    problem, visited = instance.problem, params.igd_order(n)
    unit = params.G / instance.L
    eta = tuned_igd(instance, params).eta
    igd = problem.orbit(problem.periodic_point(np.array([eta]), visited)[0], eta, visited)[:, 1] / unit

    t, i, half = eta * instance.L, np.arange(n + 1), n // 2
    r1, r2 = (1 - t) ** half, (1 + t / 2) ** half
    start = (2 - r2 * (1 + r1)) / (1 - r1 * r2)
    middle = 1 + (start - 1) * r1
    predicted = np.where(
        i <= half, 1 + (start - 1) * (1 - t) ** np.minimum(i, half), 2 + (middle - 2) * (1 + t / 2) ** (i - half)
    )
    gaps, etas = reshuffled_gaps(instance, params, stream=5)
    eta = etas[gaps.mean(0).argmin()]
    passes = [drawn.cpu().numpy() for drawn in reshuffled(n, 3, min(K, 8), params.child_seed(6), params.device)]
    rr = []
    for run in range(3):
        x = np.zeros(problem.d)  # the noisy coordinate forgets its start within an epoch
        for one in passes:
            path = problem.orbit(x, eta, one[run])
            x = path[-1]
        rr.append(path[:, 1] / unit)
    return WithinEpoch(K=K, n=n, igd=igd, predicted=predicted, rr=np.array(rr))


@dataclass(frozen=True)
class PhaseMap:
    """``log10`` of IGD's over SGD's tuned gap on identical Hessians, ``(kappas, epochs)``."""

    n: int
    kappas: np.ndarray
    epochs: np.ndarray
    log_ratio: np.ndarray


def phase_map(params: Parameters) -> PhaseMap:
    """IGD against SGD over condition numbers and epochs, both in powers of two, with 256 components."""
    n, kappas, epochs = 256, 2.0 ** np.arange(3, 13), 2 ** np.arange(13)
    coarse = params.model_copy(update={"step_points": 40})
    ratio = np.empty((len(kappas), len(epochs)))
    for row, kappa in enumerate(kappas):
        for column, K in enumerate(epochs):
            instance = identical_hessians(n, kappa, int(K), **params.constants)
            ratio[row, column] = tuned_igd(instance, coarse).gap / tuned_sgd(instance, coarse).gap
    return PhaseMap(n, kappas, epochs, np.log10(np.maximum(ratio, 1e-300)))


# --- all of it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The results of all experiments."""

    bounds_map: BoundsMap
    step_dilemma: StepDilemma
    sizes: Sizes
    polygon: Polygon
    within_epoch: WithinEpoch
    phase_map: PhaseMap
    common_start: CommonStart
    many_epochs: ManyEpochs
    upper_bounds: UpperBounds
    herding: Herding
    digits: Digits


def run(params: Parameters) -> Results:
    """All experiments of the chapter."""
    return Results(
        bounds_map=bounds_map(params),
        step_dilemma=step_dilemma(params),
        sizes=sizes(params),
        polygon=polygon_orbits(params),
        within_epoch=within_epoch(params),
        phase_map=phase_map(params),
        common_start=common_start(params),
        many_epochs=many_epochs(params),
        upper_bounds=upper_bounds(params),
        herding=herding(params),
        digits=digits(params),
    )
