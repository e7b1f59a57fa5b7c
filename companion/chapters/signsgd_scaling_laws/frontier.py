"""The compute-optimal frontier: least risk over step sizes and widths at each compute, and its slope."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from companion.chapters.signsgd_scaling_laws.equations import SGD, SIGN, Curves, Method, decayed_risk, risk_curves
from companion.chapters.signsgd_scaling_laws.exponents import programmed_exponents
from companion.chapters.signsgd_scaling_laws.features import Spectrum, equivalent_spectrum

CLOCK = (-3, 17)  # decades of intrinsic time, in units of the fastest mode
SPAN = (-1.0, 4.5)  # decades of step sizes above the one whose noise is the approximation error
STABLE_SPAN = (-2.4, -0.08)  # decades of step sizes below the largest stable one, for the plain residual
MARGIN = 1.5  # decades of widths beyond the predicted ones
DECAYED_SPAN = (-0.4, 1.8)  # decades of step sizes around the best constant one, where they decay
NEAR = 0.8  # decades of widths around the best one


@dataclass(frozen=True)
class Frontier:
    """Least risks at F budgets."""

    #: compute f = M N, ``(F,)``
    compute: np.ndarray
    #: least risk over step sizes and widths, ``(F,)``
    risk: np.ndarray
    #: the width that reaches it, ``(F,)``
    width: np.ndarray
    #: whether best width and step size lie inside their grids at every budget
    interior: bool
    #: least risk over step sizes for each width, ``(W, F)``
    by_width: np.ndarray
    #: the step size that reaches it, ``(W, F)``
    lr_by_width: np.ndarray
    #: ``(W,)``
    widths: np.ndarray

    def slope(self, low: float, high: float) -> float:
        """Exponent eta of ``P* = f^(-eta)`` between two budgets, by least squares."""
        chosen = (self.compute >= low * 0.99) & (self.compute <= high * 1.01)
        return float(-np.polyfit(np.log(self.compute[chosen]), np.log(self.risk[chosen]), 1)[0])


def least(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least value over the first axis, by a parabola through the logarithms around it, and its place.

    The parabola is not used at an end, nor next to a cliff.
    """
    y = np.log(values)
    place = y.argmin(0)
    middle = np.clip(place, 1, len(y) - 2)
    left, centre, right = (np.take_along_axis(y, (middle + k)[None], 0)[0] for k in (-1, 0, 1))
    bend = left - 2 * centre + right
    usable = (place == middle) & (np.maximum(left, right) - centre < 0.5) & (bend > 1e-12)
    value = np.where(usable, centre - (left - right) ** 2 / np.where(usable, 8 * bend, 1), y.min(0))
    return np.exp(value), place


def rate_grid(spectra: list[Spectrum], method: Method, per_decade: int) -> np.ndarray:
    """Step sizes to try for each problem, ``(W, G)``.

    With the plain residual they are shares of the largest stable one, ``c / sum(n_j / b_j)``; with its sign,
    multiples of the one whose noise floor is about the approximation error.
    """
    largest = np.array([method.speed / s.noise_sum for s in spectra])
    if not method.signed_residual:
        count = round((STABLE_SPAN[1] - STABLE_SPAN[0]) * per_decade) + 1
        shares = np.logspace(*STABLE_SPAN, count)
        return largest[:, None] * shares
    matched = np.sqrt([s.floor for s in spectra]) * largest
    count = round((SPAN[1] - SPAN[0]) * per_decade) + 1
    return matched[:, None] * np.logspace(*SPAN, count)


def frontier_of(risk: np.ndarray, widths: np.ndarray, lr: np.ndarray, compute: np.ndarray) -> Frontier:
    """The frontier of risks ``(W, G, F)`` at step sizes ``(W, G)``."""
    by_width, place = least(risk.swapaxes(0, 1))
    best = by_width.argmin(0)
    inside = bool((np.take_along_axis(place, best[None], 0) > 0).all())
    return _frontier(compute, by_width, np.take_along_axis(lr, place, 1), widths, inside)


def _frontier(compute, by_width, lr_by_width, widths, inside: bool) -> Frontier:
    best, where = least(by_width)
    inside = inside and bool((where > 0).all() and (where < len(widths) - 1).all())
    return Frontier(compute, best, widths[where], inside, by_width, lr_by_width, widths)


def predicted_widths(alpha: float, beta: float, low: float, high: float, per_decade: int) -> np.ndarray:
    """A grid around the widths that the exponents of both methods predict between two budgets."""
    xi = [programmed_exponents(alpha, beta, method)[1] for method in (SGD, SIGN)]
    first = max(min(xi) * np.log10(low) - MARGIN, 0.7)
    last = max(xi) * np.log10(high) + MARGIN
    return np.logspace(first, last, int(np.ceil((last - first) * per_decade)) + 1)


def constant_frontier(
    alpha: float, beta: float, method: Method, compute: np.ndarray, per_decade: tuple[int, int]
) -> tuple[Frontier, list[Spectrum]]:
    """The frontier of the deterministic equivalent with the best constant step size, and the spectra behind it.

    Parameters
    ----------
    compute : budgets f, increasing
    per_decade : how many widths and step sizes
    """
    widths = predicted_widths(alpha, beta, compute[0], compute[-1], per_decade[0])
    spectra = [equivalent_spectrum(width, alpha, beta, method.signed_features) for width in widths]
    return best_constant(spectra, widths, method, compute, per_decade[1]), spectra


def best_constant(
    spectra: list[Spectrum], widths: np.ndarray, method: Method, compute: np.ndarray, per_decade: int
) -> Frontier:
    """The frontier over given problems, one for each width."""
    lr = rate_grid(spectra, method, per_decade)
    curves = risk_curves(spectra, method, lr, CLOCK)
    return frontier_of(curves.at(compute / widths[:, None]), widths, lr, compute)


def decayed_frontier(
    constant: Frontier, spectra: Sequence[Spectrum], method: Method, fraction: float, per_decade: int
) -> Frontier:
    """The same where the step size falls to zero over the last part of each run.

    Widths around the best ones with a constant step size are tried, with step sizes around and above the best one.

    Parameters
    ----------
    constant : the frontier with constant step sizes, over the widths of ``spectra``
    per_decade : how many step sizes
    """
    factors = np.logspace(*DECAYED_SPAN, int(np.ceil((DECAYED_SPAN[1] - DECAYED_SPAN[0]) * per_decade)) + 1)
    by_width = np.full(constant.by_width.shape, np.inf)
    rates = np.zeros(constant.by_width.shape)
    inside = np.ones(len(constant.compute), dtype=bool)
    for k, (compute, width) in enumerate(zip(constant.compute, constant.width, strict=True)):
        near = np.flatnonzero(np.abs(np.log10(constant.widths / width)) <= NEAR)
        lr = constant.lr_by_width[near, k, None] * factors
        risk = decayed_risk([spectra[w] for w in near], method, lr, compute / constant.widths[near], fraction, CLOCK)
        by_width[near, k], place = least(risk.T)
        rates[near, k] = lr[np.arange(len(near)), place]
        inside[k] = bool(0 < place[by_width[near, k].argmin()] < len(factors) - 1)
    return _frontier(constant.compute, by_width, rates, constant.widths, bool(inside.all()))


def local_exponent(curves: Curves, high: float, low: float) -> np.ndarray:
    """Exponent in N of each curve while its risk falls from ``high`` to ``low``, ``(W, G)``; NaN if it never does."""
    found = np.full(curves.time.shape[:2], np.nan)
    for place in np.ndindex(found.shape):
        found[place] = window_exponent(curves.time[place][1:], curves.risk[place][1:], high, low)
    return found


def window_exponent(steps: np.ndarray, risk: np.ndarray, high: float, low: float) -> float:
    """Exponent of ``risk = steps^(-a)`` by least squares where ``low < risk < high``; NaN with under three points.

    Both arrays of shape ``(T,)``; what comes after the risk has fallen below ``low`` is left out.
    """
    below = np.flatnonzero(risk <= low)
    end = below[0] if len(below) else len(risk)
    chosen = np.flatnonzero((risk[:end] < high) & (steps[:end] > 0))
    if len(chosen) < 3 or not len(below):
        return np.nan
    return float(-np.polyfit(np.log(steps[chosen]), np.log(risk[chosen]), 1)[0])
