"""With noise: the phase and its dependence on the noise, the limit, the error, and how much noise is too much."""

from dataclasses import dataclass

import numpy as np

from companion.chapters.perturbed_deep_matrix_factorization.counts import (
    decay_bound,
    flow_time,
    k_upper,
    phase_bounds,
    step_limit,
)
from companion.chapters.perturbed_deep_matrix_factorization.experiments.noiseless import METHODS, SPECTRAL_STEPS
from companion.chapters.perturbed_deep_matrix_factorization.noise import (
    goe,
    outlier_shift,
    perturbed_spectrum,
    squared_error,
    worst_spectrum,
)
from companion.chapters.perturbed_deep_matrix_factorization.parameters import Parameters
from companion.chapters.perturbed_deep_matrix_factorization.recursion import (
    descent,
    first_passage,
    follow,
    increase,
)
from companion.results import experiment


def levels(values: np.ndarray, rank: int, eps: float, delta: float) -> np.ndarray:
    """What each eigenvalue has to reach: ``(1 - eps)`` of itself up to ``rank``, then ``delta``; infinite if never."""
    level = np.full(values.shape, delta)
    level[..., :rank] = (1 - eps) * values[..., :rank]
    return np.where(level < values, level, np.inf)


def longest(values: np.ndarray, level: np.ndarray, rank: int, depth: int, alpha: float, eta: float) -> float:
    """Iterations in which all of the first ``rank + 1`` eigenvalues reach their levels, where they ever do."""
    upper = k_upper(values[..., : rank + 1], depth, alpha, eta, level[..., : rank + 1])
    return float(upper[np.isfinite(upper)].max(initial=0.0))


@dataclass(frozen=True)
class Spectra:
    """Targets with noise. The last of the ``S + 1`` noises of each norm is the worst one for the gap."""

    #: norms of the noise, ``(E,)``
    sizes: np.ndarray
    #: eigenvalues, largest first, ``(E, S + 1, n)``
    values: np.ndarray
    #: what their eigenvectors see of the target, ``v_i^T W v_i``, ``(E, S, n)``
    seen: np.ndarray


@experiment
def spectra(params: Parameters) -> Spectra:
    """Eigenvalues of the noisy targets: the same draws at each norm."""
    draws = goe(params.n, params.draws, params.rng(1), params.device)
    values, seen = perturbed_spectrum(params.target, draws, params.sizes)
    worst = worst_spectrum(params.target, params.n, params.sizes)
    return Spectra(params.sizes, np.concatenate([values, worst[:, None]], axis=1), seen)


TAIL = 0.3  # next eigenvalue of the target that is not of low rank


@dataclass(frozen=True)
class Passages:
    """When the eigenvalues of the noisy targets are learned."""

    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: norms of the noise, ``(E,)``
    sizes: np.ndarray
    #: whether the norm is well above delta, so that its inverse gives the end of the phase, ``(E,)``
    clear: np.ndarray
    #: begin, end: what the theorem promises, ``(N, E)``
    begin: np.ndarray
    end: np.ndarray
    #: first passages of the eigenvalues to be learned, ``(N, E, S + 1, r)``; gradient descent
    learned: np.ndarray
    #: the same without noise, ``(N, r)``
    clean: np.ndarray
    #: the flow's time with noise over its time without, ``(N, E, S + 1, r)``; infinite where never
    flow_ratio: np.ndarray
    #: T0, T1: the phase, by methods as in METHODS, ``(methods, N, E, S + 1)``
    T0: np.ndarray
    T1: np.ndarray
    #: the end of gradient descent's phase for a target with one more eigenvalue, TAIL, ``(N, E, S)``
    tail_end: np.ndarray
    #: first passages under spectral descent, with noise ``(N, E, S + 1, r)`` and without ``(N, r)``
    spectral_learned: np.ndarray
    spectral_clean: np.ndarray


@experiment
def passages(params: Parameters, spectra: Spectra) -> Passages:
    """First passages of all eigenvalues, for both methods."""
    target, r, delta = params.target, len(params.target), params.delta
    values, level = spectra.values, levels(spectra.values, r, params.eps, delta)
    tailed, _ = perturbed_spectrum(
        np.append(target, TAIL * target[-1]), goe(params.n, params.draws, params.rng(1), params.device), params.sizes
    )
    reachable = max(r + 1, int(np.isfinite(level).any((0, 1)).sum()))  # those below have no level to reach
    kept: dict[str, list[np.ndarray]] = {name: [] for name in (
        "begin", "end", "clean", "flow_ratio", "tail_end", "spectral_clean"
    )}  # fmt: skip
    found: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    for depth in params.factors:
        alpha, eta = params.alpha(depth), params.eta(depth)
        promised = np.array(
            [phase_bounds(target, r, e, depth, alpha, eta, params.eps, delta) for e in spectra.sizes]
        )  # fmt: skip
        kept["begin"].append(promised[:, 0])
        kept["end"].append(promised[:, 1])
        speed = target[0] ** (1 / depth) / SPECTRAL_STEPS
        for name, method in METHODS.items():
            given = {"depth": depth, "alpha": alpha, "eta": eta if name == "GD" else speed, "device": params.device}
            most = 4.0 * SPECTRAL_STEPS if name == "SpecGD" else longest(values, level, r, depth, alpha, eta)
            found[name].append(
                first_passage(method, values[..., :reachable], level[..., :reachable], **given, most=most)
            )
            clean = first_passage(method, target, (1 - params.eps) * target, **given, most=max(most, 10**4))
            kept["clean" if name == "GD" else "spectral_clean"].append(clean)
        positive = values[..., :r] > alpha**depth / (1 - params.eps)
        own = np.where(positive, values[..., :r], target)
        times = (flow_time(lam, depth, alpha, (1 - params.eps) * lam) for lam in (own, target))
        kept["flow_ratio"].append(np.where(positive, np.divide(*times), np.inf))
        above = levels(tailed, r, params.eps, delta)
        kept["tail_end"].append(
            first_passage(
                descent, tailed[..., r:], above[..., r:], depth=depth, alpha=alpha, eta=eta,
                most=longest(tailed, above, r, depth, alpha, eta), device=params.device,
            ).min(-1)
        )  # fmt: skip
    arrays = {name: np.array(rows) for name, rows in kept.items()}
    both = np.array([found[name] for name in METHODS])
    return Passages(
        depths=np.array(params.factors), sizes=spectra.sizes, clear=spectra.sizes >= 2.5 * delta,
        learned=both[0, ..., :r], spectral_learned=both[1, ..., :r], T0=both[..., :r].max(-1),
        T1=both[..., r:].min(-1), **arrays,
    )  # fmt: skip


NEGATIVE = -0.75
ABOVE = 1.95  # step in the control, over the largest without overshoot for the target without noise


@dataclass(frozen=True)
class Limit:
    """Where gradient descent ends, at a step for the noisy target and at one for the target alone."""

    #: names of the steps
    steps: tuple[str, str]
    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: norms of the noise, ``(E',)``: at most half of the least eigenvalue to be learned
    sizes: np.ndarray
    #: largest ``|d^N - lam|`` among the eigenvalues to be learned at the end, ``(steps, N, E', S + 1)``; the last
    #: noise lifts the largest eigenvalue by all of its norm
    error: np.ndarray
    #: the same without noise, ``(steps, N)``
    clean: np.ndarray
    #: largest increase of ``|d^N - max(lam, 0)|`` in an iteration, all eigenvalues, ``(steps, N, E', S + 1)``
    increase: np.ndarray
    #: products of all eigenvalues at the end, first step, ``(N, E', S + 1, n)``
    final: np.ndarray
    #: the eigenvalues that the target has there, the largest first, ``(n,)``
    target: np.ndarray
    #: largest ``|d^N - lam_i|`` over the norm of the noise at the end for a target with one eigenvalue below zero,
    #: NEGATIVE times the least of the others, ``(N, E', S)``
    indefinite: np.ndarray
    #: largest ``d / bound`` among the eigenvalues below zero at the end, ``(steps, N)``
    decay: np.ndarray
    #: iterations shown, ``(K,)``, and products of the largest eigenvalue with two factors, without and with the
    #: largest of these noises, ``(steps, 2, K)``
    iterations: np.ndarray
    products: np.ndarray


@experiment
def limit(params: Parameters, spectra: Spectra) -> Limit:
    """Long runs; the noise that lifts the largest eigenvalue is the one that decides about the step."""
    target, r = params.target, len(params.target)
    chosen = spectra.sizes <= target[-1] / 2
    sizes, values = spectra.sizes[chosen], spectra.values[chosen].copy()
    values[:, -1] = 0
    values[:, -1, :r] = target
    values[:, -1, 0] += sizes
    padded = np.append(target, np.zeros(params.n - r))
    negative = np.append(padded[:-1], NEGATIVE * target[-1])
    draws = goe(params.n, params.draws, params.rng(1), params.device)
    negative_values, _ = perturbed_spectrum(negative, draws, sizes)
    shape = (2, len(params.factors))
    error, rise = np.empty((*shape, *values.shape[:-1])), np.empty((*shape, *values.shape[:-1]))
    clean, decay, final, indefinite = np.empty(shape), np.zeros(shape), [], []
    for row, depth in enumerate(params.factors):
        alpha, slowest = params.alpha(depth), target[-1] / 2
        own = step_limit(target[0] + sizes, depth)
        least = own.min(initial=float(step_limit(target[0], depth)))
        closing = -np.log(1e-12) / (least * depth * slowest ** (2 - 2 / depth))
        most = int(k_upper(slowest, depth, alpha, least, 0.9 * slowest) + closing) + 600
        for k, steps in enumerate((own, 0 * sizes + ABOVE * step_limit(target[0], depth))):
            eta = steps[:, None, None]
            given = {"depth": depth, "alpha": alpha, "steps": most, "device": params.device}
            products, rise[k, row] = increase(values, eta=eta, **given)
            error[k, row] = np.abs(products[..., :r] - values[..., :r]).max(-1)
            bound = decay_bound(np.minimum(values, 0), depth, alpha, eta, most)
            decay[k, row] = np.where(values < 0, np.abs(products) ** (1 / depth) / bound, 0).max(initial=0)
            alone, _ = increase(padded, eta=steps.min(initial=ABOVE * float(step_limit(target[0], depth))), **given)
            clean[k, row] = np.abs(alone[:r] - target).max()
            if k == 0:
                final.append(products)
                below, _ = increase(negative_values, eta=eta, **given)
                indefinite.append(np.abs(below - negative).max(-1) / sizes[:, None])
    shown, lines = 60, []
    noisy = np.array([target[0], target[0] + sizes.max(initial=0)])
    for step in (step_limit(noisy[1], 2), ABOVE * step_limit(noisy[0], 2)):
        iterations, products = follow(descent, noisy, depth=2, alpha=params.alpha(2), eta=step, steps=shown)
        lines.append(products.T)
    return Limit(
        ("step for the noisy target", "step for the target alone"), np.array(params.factors), sizes, error, clean,
        rise, np.array(final), padded, np.array(indefinite), decay, iterations, np.array(lines),
    )  # fmt: skip


@dataclass(frozen=True)
class Recovery:
    """How far Gaussian noise moves the eigenvalues that are learned."""

    #: norms of the noise, ``(E,)``
    sizes: np.ndarray
    #: the target's eigenvalues that are learned, ``(r,)``
    target: np.ndarray
    #: mean over many draws of ``lam_i(noisy) - lam_i`` for ``i <= r``, and its standard error, ``(E, r)``
    mean: np.ndarray
    error: np.ndarray
    #: what is predicted for large matrices, ``(E, r)``; not a number where the eigenvalue drowns
    predicted: np.ndarray
    #: the shift by the worst noise for the gap, ``(E, r)``
    worst: np.ndarray


@experiment
def recovery(params: Parameters, spectra: Spectra) -> Recovery:
    """Mean shifts, over draws that no other experiment uses."""
    target, sizes = params.target, spectra.sizes
    many = goe(params.n, params.mean_draws, params.rng(2), params.device)
    values, _ = perturbed_spectrum(target, many, sizes)
    shift = values[..., : len(target)] - target
    e = sizes[:, None]
    return Recovery(
        sizes=sizes, target=target, mean=shift.mean(1), error=shift.std(1) / np.sqrt(shift.shape[1]),
        predicted=np.where(target > e / 2, outlier_shift(target, e), np.nan),
        worst=spectra.values[:, -1, : len(target)] - target,
    )  # fmt: skip


@dataclass(frozen=True)
class Paths:
    """Runs at three norms of the noise: eigenvalues of one draw, and the error of all of them."""

    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: which of the sizes, ``(3,)``, and these norms, ``(3,)``
    chosen: np.ndarray
    sizes: np.ndarray
    #: iterations at which something is kept, by methods, ``(methods, N, K)``
    iterations: np.ndarray
    #: eigenvalues of the product, first draw, gradient descent, ``(N, K, 3, n)``
    products: np.ndarray
    #: ``||W(k) - W||_F`` by methods, ``(methods, N, K, 3, S)``
    error: np.ndarray
    #: the same in the limit, and of the best approximation of rank r of the noisy target, ``(3, S)``
    final: np.ndarray
    truncated: np.ndarray


KEPT = 800  # iterations kept of a run


@experiment
def paths(params: Parameters, spectra: Spectra, passages: Passages) -> Paths:
    """Both methods, from the start to well after the phase."""
    target, r = params.target, len(params.target)
    last = len(spectra.sizes) - 1
    chosen = np.minimum([0, 1, last // 2 + 1], last)
    values, seen = spectra.values[chosen, :-1], spectra.seen[chosen]
    iterations, products, error = {name: [] for name in METHODS}, [], {name: [] for name in METHODS}
    for row, depth in enumerate(params.factors):
        ends = passages.T1[0, row][chosen, :-1]
        learned = passages.T0[0, row][chosen, :-1]
        known = np.concatenate([ends[np.isfinite(ends)], learned[np.isfinite(learned)]])
        for name, method in METHODS.items():
            most = 4.0 * SPECTRAL_STEPS if name == "SpecGD" else 4 * known.max(initial=100.0)
            every = max(1, round(most / KEPT))
            eta = params.eta(depth) if name == "GD" else target[0] ** (1 / depth) / SPECTRAL_STEPS
            at, run = follow(
                method, values, depth=depth, alpha=params.alpha(depth), eta=eta, steps=every * KEPT, every=every,
                device=params.device,
            )  # fmt: skip
            iterations[name].append(at)
            error[name].append(np.sqrt(np.maximum(squared_error(run, seen, target), 0)))
            if name == "GD":
                products.append(run[:, :, 0])
    cut = np.where(np.arange(params.n) < r, values, 0)
    return Paths(
        np.array(params.factors), chosen, spectra.sizes[chosen],
        np.array([iterations[name] for name in METHODS]), np.array(products),
        np.array([error[name] for name in METHODS]),
        np.sqrt(squared_error(np.maximum(values, 0), seen, target)), np.sqrt(squared_error(cut, seen, target)),
    )  # fmt: skip


FRACTIONS = np.linspace(0.1, 1.6, 31)  # norms of the noise over the least eigenvalue to be learned


@dataclass(frozen=True)
class Threshold:
    """How much noise the phase bears at a very small start."""

    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: norm of the noise over the least eigenvalue to be learned, ``(F,)``
    fractions: np.ndarray
    #: ``T1 / T0`` for Gaussian draws ``(N, F, S)`` and for the worst noise ``(N, F)``
    gaussian: np.ndarray
    worst: np.ndarray
    #: predicted limits of the ratio as the start shrinks, for large matrices, ``(N, F)``, and for the worst noise
    predicted: np.ndarray
    predicted_worst: np.ndarray
    #: relative order of what the start is still away from the limit, ``(N,)``
    remainder: np.ndarray

    def last(self, noise: str) -> np.ndarray:
        """Largest fraction up to which the phase exists, in every draw: ``(N,)``."""
        ratio = self.gaussian.min(-1) if noise == "Gaussian" else self.worst
        reached = np.logical_and.accumulate(ratio > 1, axis=-1).sum(-1)
        return np.where(reached > 0, self.fractions[np.maximum(reached, 1) - 1], 0.0)


@experiment
def threshold(params: Parameters) -> Threshold:
    """Only the eigenvalues up to the one after the gap are run: the others are slower than that one."""
    target, r = params.target, len(params.target)
    sizes = FRACTIONS * target[-1]
    values, _ = perturbed_spectrum(target, goe(params.n, params.draws, params.rng(1), params.device), sizes)
    worst = worst_spectrum(target, params.n, sizes)
    values = np.concatenate([values, worst[:, None]], axis=1)[..., : r + 1]
    level = levels(values, r, params.eps, params.delta)
    ratios, predicted, predicted_worst, remainder = [], [], [], []
    for depth in params.factors:
        eta = params.step * float(step_limit(target[0] + sizes[-1], depth))
        slowest = sizes[0]
        smallest = max(1e-50, np.exp(-params.limit_steps * np.log1p(eta * slowest)))
        if depth > 2:
            smallest = ((depth - 2) * eta * slowest * params.limit_steps) ** (-1 / (depth - 2))
        alpha = float(min(params.alpha(depth), smallest))
        found = first_passage(
            descent, values, level, depth=depth, alpha=alpha, eta=eta, device=params.device,
            most=longest(values, level, r, depth, alpha, eta),
        )  # fmt: skip
        ratios.append(found[..., r] / found[..., :r].max(-1))
        level_of_factor = params.delta ** (1 / depth)
        remainder.append(
            (alpha / level_of_factor) ** (depth - 2) if depth > 2 else np.log(level_of_factor) / np.log(alpha)
        )
        lifted = target[-1] + outlier_shift(target[-1], sizes)
        predicted.append(_speed(lifted, depth, eta) / _speed(sizes, depth, eta))
        predicted_worst.append(_speed(worst[:, r - 1], depth, eta) / _speed(worst[:, r], depth, eta))
    ratio = np.array(ratios)
    return Threshold(
        np.array(params.factors), FRACTIONS, ratio[..., :-1], ratio[..., -1], np.array(predicted),
        np.array(predicted_worst), np.array(remainder),
    )  # fmt: skip


def _speed(lam: np.ndarray, depth: int, eta: float) -> np.ndarray:
    """What the iterations of a mode are inversely proportional to as the start shrinks."""
    return np.log1p(eta * lam) if depth == 2 else lam
