"""Without noise: iteration counts, the phase of two eigenvalues, what decides it, and small starts."""

from dataclasses import dataclass

import numpy as np

from companion.chapters.perturbed_deep_matrix_factorization.counts import (
    k_lower,
    k_upper,
    limit_ratio,
    phase_bounds,
    step_limit,
    top_growth,
)
from companion.chapters.perturbed_deep_matrix_factorization.parameters import Parameters
from companion.chapters.perturbed_deep_matrix_factorization.recursion import (
    Step,
    descent,
    first_passage,
    settling,
    spectral,
)
from companion.results import experiment

METHODS: dict[str, Step] = {"GD": descent, "SpecGD": spectral}
SPECTRAL_STEPS = 500  # iterations in which spectral descent would learn the largest eigenvalue from zero

EIGENVALUES = (0.2, 0.5, 1.0, 3.0)
FACTORS = (0.3, 0.1, 0.05)
LEVELS = (0.05, 0.3, 0.95)
STEPS = (0.5, 1.0, 1.9)


@dataclass(frozen=True)
class Counts:
    """First passages of single modes, with their bounds; an entry for each case."""

    #: number of factors
    depth: np.ndarray
    #: step over the largest without overshoot
    step: np.ndarray
    #: first iteration at the level
    k: np.ndarray
    #: lower, upper: the bounds
    lower: np.ndarray
    upper: np.ndarray
    #: the lower bound's formula at the level itself, beyond the peak of the speed
    uncapped: np.ndarray
    #: the upper bound's formula without the factor for the lag
    unlagged: np.ndarray


@experiment
def counts(params: Parameters) -> Counts:
    """Grid of eigenvalues, starts, levels and steps, up to nearly twice the step without overshoot."""
    lam, alpha, level, step = (
        x.ravel() for x in np.meshgrid(EIGENVALUES, FACTORS, LEVELS, STEPS, indexing="ij")
    )  # fmt: skip
    level = level * lam
    columns: list[list[np.ndarray]] = []
    for depth in params.factors:
        eta = step * step_limit(lam, depth)
        found = {"lower": [], "upper": [], "uncapped": [], "unlagged": []}
        for a in FACTORS:
            one = alpha == a
            given = (lam[one], depth, a, eta[one], level[one])
            found["lower"].append(k_lower(*given))
            found["upper"].append(k_upper(*given))
            found["uncapped"].append(k_lower(*given, capped=False))
            lag = (1 + eta[one] * top_growth(lam[one], depth)) ** (depth - 1)
            found["unlagged"].append(1 + (found["upper"][-1] - 1) / lag)
        order = np.argsort(np.concatenate([np.flatnonzero(alpha == a) for a in FACTORS]))
        bounds = {name: np.concatenate(parts)[order] for name, parts in found.items()}
        kept = (alpha**depth < level) & (bounds["upper"] <= params.limit_steps)
        k = first_passage(
            descent, lam, np.where(kept, level, np.inf), depth=depth, alpha=alpha, eta=eta,
            most=bounds["upper"][kept].max(initial=0), device=params.device,
        )  # fmt: skip
        columns.append([np.full(kept.sum(), depth), step[kept], k[kept], *(bounds[name][kept] for name in bounds)])
    return Counts(*(np.concatenate(column) for column in zip(*columns, strict=True)))


@dataclass(frozen=True)
class Phases:
    """Targets with the eigenvalues one and ``second``; rank one is to be learned."""

    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: second eigenvalues, ``(L,)``
    seconds: np.ndarray
    #: starts of the product, ``(A,)``
    starts: np.ndarray
    #: begin, end: what the theorem promises, ``(N, L, A)``
    begin: np.ndarray
    end: np.ndarray
    #: T0, T1: measured, by methods as in METHODS, ``(methods, N, L, A)``
    T0: np.ndarray
    T1: np.ndarray


@experiment
def phases(params: Parameters) -> Phases:
    """Promised and measured phases; gradient descent and spectral descent."""
    depths, starts = params.factors, np.array(sorted(set(params.starts)))
    seconds = np.array(sorted(set(params.seconds), reverse=True))
    lam = np.stack([np.ones_like(seconds), seconds])[:, :, None]
    level = np.array([1 - params.eps, params.delta])[:, None, None]
    begin, end, passages = [], [], {name: [] for name in METHODS}
    for depth in depths:
        eta = params.step * float(step_limit(1.0, depth))
        promised = [
            [phase_bounds((1.0, s), 1, 0.0, depth, a ** (1 / depth), eta, params.eps, params.delta) for a in starts]
            for s in seconds
        ]
        begin.append(np.array(promised)[..., 0])
        end.append(np.array(promised)[..., 1])
        most = {"GD": 0.0, "SpecGD": 2.0 * SPECTRAL_STEPS}
        for a in starts:
            upper = k_upper(lam, depth, a ** (1 / depth), eta, level)
            most["GD"] = max(most["GD"], upper[np.isfinite(upper)].max())
        for name, method in METHODS.items():
            passages[name].append(
                first_passage(
                    method, lam, np.where(level < lam, level, np.inf), depth=depth, alpha=starts ** (1 / depth),
                    eta=eta if name == "GD" else 1 / SPECTRAL_STEPS, most=most[name], device=params.device,
                )
            )  # fmt: skip
    measured = np.array([passages[name] for name in METHODS])
    return Phases(
        depths=np.array(depths), seconds=seconds, starts=starts, begin=np.array(begin), end=np.array(end),
        T0=measured[:, :, 0], T1=measured[:, :, 1],
    )  # fmt: skip


LARGEST_STEP = 2.4  # of the map of steps; beyond 2 the first eigenvalue is not stable


@dataclass(frozen=True)
class Maps:
    """Where the phase of the targets ``(1, second)`` exists."""

    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: second eigenvalues, increasing, ``(P,)``
    seconds: np.ndarray
    #: starts of the product, increasing, ``(P,)``
    starts: np.ndarray
    #: steps over the largest without overshoot, increasing, ``(P,)``; two factors
    steps: np.ndarray
    #: start of the product in the map of steps
    step_start: float
    #: whether the first eigenvalue had settled before the second began, by methods, ``(methods, N, starts, seconds)``
    by_start: np.ndarray
    #: the same over steps, ``(methods, steps, seconds)``
    by_step: np.ndarray
    #: largest second eigenvalue for which the theorem promises a phase; by starts ``(N, P)`` and by steps ``(P,)``
    promised_by_start: np.ndarray
    promised_by_step: np.ndarray

    def thresholds(self, method: str) -> tuple[np.ndarray, np.ndarray]:
        """Largest second eigenvalue up to which the phase exists: by starts ``(N, P)``, by steps ``(P,)``."""
        row = list(METHODS).index(method)
        return _threshold(self.by_start[row], self.seconds), _threshold(self.by_step[row], self.seconds)


def _threshold(nonempty: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """The largest entry of ``seconds`` up to which all is true, along the last axis; zero where none is."""
    reached = np.logical_and.accumulate(nonempty, axis=-1).sum(-1)
    return np.where(reached > 0, seconds[np.maximum(reached, 1) - 1], 0.0)


@experiment
def maps(params: Parameters) -> Maps:
    """Phase maps over second eigenvalue and start for each depth, and over second eigenvalue and step for N = 2."""
    points, delta, kept = params.map_points, params.delta, 1 - params.eps
    seconds = np.linspace(1.2 * delta, 0.99, points)
    starts = np.geomspace(min(params.starts) / 10, 0.9 * delta, points)
    steps = np.geomspace(0.05, LARGEST_STEP, points)
    step_start = float(np.sqrt(starts[0] * starts[-1]))

    def nonempty(method: str, depth: int, alpha: np.ndarray, eta: np.ndarray, most: float) -> np.ndarray:
        given = {"depth": depth, "alpha": alpha[:, None], "eta": eta[:, None], "device": params.device}
        learned = settling(METHODS[method], 1.0, params.eps, **given, steps=int(2 * most) + 200)
        return learned < first_passage(METHODS[method], seconds, delta, **given, most=most)

    def promised(depth: int, alpha: np.ndarray, eta: np.ndarray) -> np.ndarray:
        fine = np.linspace(seconds[0], seconds[-1], 20 * points)
        ends = []
        for a, step in zip(alpha, eta, strict=True):
            begin = k_upper(1.0, depth, a, step, kept)
            ends.append(_threshold(begin < k_lower(fine, depth, a, step, delta), fine))
        return np.array(ends)

    by_start: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    lines = []
    for depth in params.factors:
        alpha, eta = starts ** (1 / depth), np.full(points, params.step * float(step_limit(1.0, depth)))
        # enough for the first eigenvalue: a second that has not arrived by then comes later
        most = max(float(k_upper(1.0, depth, a, eta[0], kept)) for a in alpha)
        by_start["GD"].append(nonempty("GD", depth, alpha, eta, most))
        by_start["SpecGD"].append(nonempty("SpecGD", depth, alpha, 0 * eta + 1 / SPECTRAL_STEPS, 2 * SPECTRAL_STEPS))
        lines.append(promised(depth, alpha, eta))
    alpha, eta = np.full(points, step_start**0.5), steps * float(step_limit(1.0, 2))
    most = max(float(k_upper(1.0, 2, alpha[0], step, kept)) for step in eta)
    by_step = [nonempty("GD", 2, alpha, eta, most)]
    by_step.append(nonempty("SpecGD", 2, alpha, steps / 100, 200 / steps[0]))
    return Maps(
        depths=np.array(params.factors), seconds=seconds, starts=starts, steps=steps, step_start=step_start,
        by_start=np.array([by_start[name] for name in METHODS]), by_step=np.array(by_step),
        promised_by_start=np.array(lines), promised_by_step=promised(2, alpha, eta),
    )  # fmt: skip


SECOND = 0.5  # of the targets whose starts shrink
SHRINKING = 9
SMALLEST = 1e-100  # start of a factor for two factors, whose counts grow with its logarithm


@dataclass(frozen=True)
class Limits:
    """``T1 / T0`` of the target ``(1, 1/2)`` as the start shrinks, at the largest step of the theorems."""

    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: starts of a factor, decreasing, ``(N, A)``
    alphas: np.ndarray
    #: by methods, ``(methods, N, A)``
    ratio: np.ndarray
    #: its limit, ``(N,)``
    limit: np.ndarray
    #: relative order of what the smallest start is still away from it, ``(N,)``; zero for two factors
    remainder: np.ndarray


@experiment
def limits(params: Parameters) -> Limits:
    """Ever smaller starts."""
    alphas, ratios, wanted, remainder = [], {name: [] for name in METHODS}, [], []
    lam, level = np.array([[1.0], [SECOND]]), np.array([[1 - params.eps], [params.delta]])
    for depth in params.factors:
        eta = float(step_limit(1.0, depth))
        smallest = SMALLEST if depth == 2 else ((depth - 2) * eta * SECOND * params.limit_steps) ** (-1 / (depth - 2))
        largest = min(params.delta ** (1 / depth) / 2, 0.5)
        alpha = np.geomspace(largest, min(smallest, largest / 2), SHRINKING)
        most = max(2.0 * SPECTRAL_STEPS, *(float(k_upper(SECOND, depth, a, eta, params.delta)) for a in alpha))
        for name, method in METHODS.items():
            step = eta if name == "GD" else 1 / SPECTRAL_STEPS
            T0, T1 = first_passage(method, lam, level, depth=depth, alpha=alpha, eta=step, most=most,
                                   device=params.device)  # fmt: skip
            ratios[name].append(T1 / T0)
        alphas.append(alpha)
        wanted.append(float(limit_ratio(1.0, SECOND, depth, eta)))
        remainder.append((alpha[-1] / params.delta ** (1 / depth)) ** (depth - 2) if depth > 2 else 0.0)
    return Limits(
        np.array(params.factors), np.array(alphas), np.array([ratios[name] for name in METHODS]), np.array(wanted),
        np.array(remainder),
    )  # fmt: skip
