"""Closed forms of the chapter: SAM flows on one example, their limits, their clocks and their thresholds.

Conventions: one example ``(mu, +1)`` with ``0 < mu_1 < … < mu_d``; all layers start at ``alpha > 0``; ``s`` is rescaled
time, in which the scalar ``-l'`` at the perturbed weights is dropped. Indices of coordinates count from 0.
"""

import functools
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp

# Infinity-norm SAM (rho > 0) and gradient flow (rho = 0)


def linf_weights(s: np.ndarray, alpha: np.ndarray, mu: np.ndarray, rho: float, depth: int) -> np.ndarray:
    """Weights of every layer under the rescaled flow of infinity-norm SAM on one example; ``rho = 0`` is gradient flow.

    The coordinates decouple: ``v = w - rho`` solves ``v' = mu v^(depth - 1)`` while ``w > 0``, and once ``w`` reaches
    zero it stays there.

    Parameters
    ----------
    s : rescaled times, ``(...,)``, before the first blow-up
    alpha, mu : start and example, broadcast to ``(..., d)`` with ``s[..., None]``
    depth : number of layers, at least 2

    Returns
    -------
    Array ``(..., d)``; infinite from a coordinate's blow-up time on
    """
    s, alpha, mu = np.asarray(s, dtype=float)[..., None], np.asarray(alpha, dtype=float), np.asarray(mu, dtype=float)
    start = alpha - rho
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if depth == 2:
            v = start * np.exp(mu * s)
        else:
            power = depth - 2
            # |v|^-(L-2) moves at constant speed: up or down as v^(L-1) carries v toward zero or away from it.
            growing = (start > 0) | (depth % 2 == 0)
            inverse = np.abs(start) ** -float(power) + np.where(growing, -1.0, 1.0) * power * mu * s
            v = np.where(start == 0, 0.0, np.sign(start) * np.maximum(inverse, 0.0) ** (-1.0 / power))
    return np.maximum(rho + v, 0.0)


def blow_up_times(alpha: np.ndarray, mu: np.ndarray, rho: float, depth: int) -> np.ndarray:
    """Rescaled time at which each coordinate blows up, ``(..., d)``; infinite at depth 2 and below the gate."""
    above = np.maximum(np.asarray(alpha, dtype=float) - rho, 0.0)
    if depth == 2:
        return np.full(np.broadcast(above, mu).shape, np.inf)
    with np.errstate(divide="ignore"):
        return 1.0 / ((depth - 2) * np.asarray(mu) * above ** (depth - 2))


def linf_limit(alpha: np.ndarray, mu: np.ndarray, rho: float, depth: int) -> np.ndarray:
    """Index of the axis that the predictor converges to, ``(...)``; -1 if no coordinate starts above the gate."""
    alpha = np.asarray(alpha, dtype=float)
    above = np.where(alpha > rho, alpha - rho, 0.0)
    speed = np.where(alpha > rho, np.asarray(mu) * above ** (depth - 2), -np.inf)
    return np.where((alpha > rho).any(-1), speed.argmax(-1), -1)


# A linear model


def sam_margins(start: float, mu: np.ndarray, shift: float, lr: float, steps: int) -> np.ndarray:
    """Margins ``<w, mu>`` of a linear model along discrete SAM on one example, ``(steps,)``.

    The perturbed margin is ``<w, mu> - shift`` with ``shift = rho ||mu||_q`` (``q`` dual to SAM's norm), so the shifted
    margin obeys the recurrence of gradient descent: ``m <- m + lr ||mu||_2^2 / (1 + exp(m))``.
    """
    margins, m = [], start - shift
    for _ in range(steps):
        m += lr * float(mu @ mu) * float(expit(-m))
        margins.append(m + shift)
    return np.array(margins)


# 2-norm SAM at depth 2


def log_beta(s: np.ndarray, A: np.ndarray, alpha: np.ndarray, mu: np.ndarray, rho: float) -> np.ndarray:
    """``log beta_j = log beta_j(0) + 2 mu_j s - 2 rho mu_j^2 A``: a concave parabola in ``mu_j``; ``(..., d)``."""
    s, A = np.asarray(s)[..., None], np.asarray(A)[..., None]
    return 2 * np.log(alpha) + 2 * mu * s - 2 * rho * mu**2 * A


def vertex(s: np.ndarray, A: np.ndarray, rho: float, start: np.ndarray | float) -> np.ndarray:
    """The parabola's vertex ``s / (2 rho A)``; its limit ``start`` while both accumulators are zero."""
    return np.divide(s, 2 * rho * A, out=np.broadcast_to(np.asarray(start, float), np.shape(s)).copy(), where=A > 0)


def initial_vertex(alpha: np.ndarray, mu: np.ndarray, rho: float) -> np.ndarray:
    """``|| alpha * mu ||_2 / (sqrt(2) rho)``, half the initial ``n / rho``; ``alpha`` of shape ``(..., d)``."""
    return np.linalg.norm(alpha * mu, axis=-1) / (np.sqrt(2) * rho)


def nearest(values: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Index of the entry of ``mu`` nearest to each value."""
    return np.abs(np.asarray(values)[..., None] - mu).argmin(-1)


def minor_lead(mu: np.ndarray, rho: float, A: np.ndarray) -> np.ndarray:
    """How much larger ``log(beta_1 / beta_d)`` is than under gradient flow at the same rescaled time; ``(...)``."""
    return 2 * rho * (mu[-1] ** 2 - mu[0] ** 2) * np.asarray(A)


def gd_like_scale(mu: np.ndarray) -> float:
    """``alpha / rho`` from which the largest coordinate leads from the start."""
    return float((mu[-2] + mu[-1]) / (np.sqrt(2) * np.linalg.norm(mu)))


def critical_bounds(mu: np.ndarray) -> tuple[float, float]:
    """The interval of ``alpha / rho`` that must hold the critical scale."""
    return float(mu[0] / (np.sqrt(2) * np.linalg.norm(mu))), float(np.sqrt(0.5))


@dataclass(frozen=True)
class Flow:
    """The flow of 2-norm SAM at depth 2 on one example, on a grid of ``K`` points, for ``B`` starts.

    Attributes
    ----------
    s : rescaled time, ``(K, B)``
    A : ``integral of ds / n``, ``(K, B)``
    t : physical time, ``(K, B)``; infinite once it is beyond double precision
    log_n : logarithm of ``n = ||grad L|| / |l'|``, ``(K, B)``
    log_beta : ``(K, B, d)``
    collapsed, grown : whether the run was seen to fall below ``n = rho mu_1`` or to pass the requested ``n``, ``(B,)``
    """

    s: np.ndarray
    A: np.ndarray
    t: np.ndarray
    log_n: np.ndarray
    log_beta: np.ndarray
    collapsed: np.ndarray
    grown: np.ndarray


class _Reduced:
    """The scalar equation ``A' = 1/n(s, A)`` for many starts, stepped in the clock ``d tau = (1 + rho mu_d / n) ds``.

    In this clock every rate stays below ``2 mu_d``, both when ``n`` grows without bound and when it falls to zero, so
    fixed fourth-order Runge-Kutta steps are uniformly accurate.
    """

    def __init__(self, alpha: np.ndarray, mu: np.ndarray, rho: float, step: float):
        self.mu, self.rho, self.h = mu, rho, step / (2 * mu[-1])
        self.log_start = 2 * np.log(alpha)
        self.linear, self.quadratic = 2 * mu, 2 * rho * mu**2

    def log_beta(self, s: np.ndarray, A: np.ndarray) -> np.ndarray:
        return self.log_start + self.linear * s[..., None] - self.quadratic * A[..., None]

    def moment(self, beta: np.ndarray, power: int) -> np.ndarray:
        return beta @ self.mu**power

    def rates(self, state: np.ndarray) -> np.ndarray:
        """Derivatives of ``s``, ``A`` and, if the state has three rows, physical time ``t``."""
        beta = np.exp(self.log_beta(state[0], state[1]))
        n = np.sqrt(2 * self.moment(beta, 2))
        rates = np.empty_like(state)
        np.divide(1, n + self.rho * self.mu[-1], out=rates[1])
        np.multiply(n, rates[1], out=rates[0])
        if len(state) == 3:  # dt/ds = 1 + exp(<perturbed beta, mu>), capped where double precision ends
            margin = self.moment(beta * (1 - self.rho * self.mu / n[:, None]) ** 2, 1)
            rates[2] = rates[0] * (1 + np.exp(np.minimum(margin, 600.0)))
        return rates

    def advance(self, state: np.ndarray) -> np.ndarray:
        h = self.h
        k1 = self.rates(state)
        k2 = self.rates(state + h / 2 * k1)
        k3 = self.rates(state + h / 2 * k2)
        k4 = self.rates(state + h * k3)
        return state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def l2_flow(
    alpha: np.ndarray, mu: np.ndarray, rho: float, until: float = 1e12, max_steps: int = 30_000, keep: int = 5
) -> Flow:
    """Integrate the scalar equation that the flow reduces to, for many starts at once.

    Parameters
    ----------
    alpha : starts, ``(B, d)``
    mu : the example, ``(d,)``
    until : a run stops once ``n`` passes this value, or has fallen a hundred times below ``rho mu_1``
    max_steps, keep : at most so many steps, of which every ``keep``-th is returned
    """
    alpha, mu = np.asarray(alpha, dtype=float), np.asarray(mu, dtype=float)
    system = _Reduced(alpha, mu, rho, step=0.05)
    low, high = np.log(rho * mu[0]), np.log(until)

    def log_n(s, A):
        return 0.5 * logsumexp(system.log_beta(s, A), axis=-1, b=2 * mu**2)

    state = np.zeros((3, len(alpha)))
    kept, running = [state], np.ones(len(alpha), dtype=bool)
    for step in range(1, max_steps + 1):
        state = np.where(running, system.advance(state), state)
        if step % keep == 0:
            kept.append(state)
            now = log_n(state[0], state[1])
            running &= (now < high) & (now > low - np.log(100))
            if not running.any():
                break
    s, A, t = np.stack(kept, axis=1)
    size = log_n(s, A)
    return Flow(s, A, t, size, system.log_beta(s, A), (size < low).any(0), (size > high).any(0))


def critical_scale(mu: np.ndarray, tolerance: float = 1e-6) -> float:
    """The scale ``alpha_c / rho`` below which a uniform start collapses and above which it grows without bound.

    Bisection, 200 starts at a time, on what decides for good: ``n`` falls below ``rho mu_1``, or it rises above it.
    """
    return _critical_scale(tuple(np.asarray(mu, dtype=float).tolist()), tolerance)


@functools.lru_cache(maxsize=256)
def _critical_scale(example: tuple[float, ...], tolerance: float) -> float:
    mu = np.array(example)
    low, high = critical_bounds(mu)
    while high - low > tolerance * high:
        scales = np.linspace(low, high, 200)
        below = np.flatnonzero(_collapses(scales, mu))
        last = int(below.max(initial=0))
        low, high = scales[last], scales[min(last + 1, len(scales) - 1)]
    return float((low + high) / 2)


def _collapses(scales: np.ndarray, mu: np.ndarray, max_steps: int = 8000) -> np.ndarray:
    """Whether each uniform start ``scales`` collapses, at radius 1."""
    system = _Reduced(np.outer(scales, np.ones(len(mu))), mu, 1.0, step=0.2)
    state = np.zeros((2, len(scales)))
    decided, collapsed = np.zeros(len(scales), dtype=bool), np.zeros(len(scales), dtype=bool)
    for step in range(max_steps):
        state = np.where(decided, state, system.advance(state))
        if step % 5 == 0:
            beta = np.exp(system.log_beta(*state))
            n = np.sqrt(2 * system.moment(beta, 2))
            collapsed |= n < mu[0]
            decided |= collapsed | (system.moment(beta, 3) * n > system.moment(beta, 4))
            if decided.all():
                break
    return collapsed


@dataclass(frozen=True)
class Swap:
    """The dominant coordinate passes from index ``before`` to ``after`` at physical time ``t``."""

    before: int
    after: int
    t: float


def swap_times(flow: Flow, run: int, mu: np.ndarray, rho: float) -> list[Swap]:
    """When the vertex of one run crosses the midpoints between neighbours, in the order of time."""
    s, A, t = flow.s[1:, run], flow.A[1:, run], flow.t[1:, run]
    m = s / (2 * rho * A)
    swaps = []
    for i, middle in enumerate((mu[:-1] + mu[1:]) / 2):
        above = m > middle
        for k in np.flatnonzero(above[1:] != above[:-1]):
            share = (middle - m[k]) / (m[k + 1] - m[k])
            at = float(np.exp((1 - share) * np.log(t[k]) + share * np.log(t[k + 1])))
            swaps.append(Swap(i, i + 1, at) if above[k + 1] else Swap(i + 1, i, at))
    return sorted(swaps, key=lambda swap: swap.t)


def growth_rate(mu: np.ndarray, perturbation: np.ndarray | float) -> np.ndarray:
    """``g(mu) = mu - perturbation mu^2``, half the rate of ``log beta``.

    The perturbation is ``rho / n`` for 2-norm SAM, ``rho |l'|`` for the un-normalized variant, zero for gradient flow.
    """
    return mu - perturbation * mu**2


def visits(indices: np.ndarray) -> tuple[int, ...]:
    """A sequence of indices without its repetitions."""
    indices = np.asarray(indices)
    return tuple(int(i) for i in indices[np.append(True, indices[1:] != indices[:-1])]) if len(indices) else ()
