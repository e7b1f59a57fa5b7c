"""What the instances' orbits and gaps are in closed form, exactly or to leading order."""

import numpy as np

# Smallest gaps over constant steps, to leading order and in units of the bounds: of min over c of
# (tanh(c / 4)^2 + exp(-2 c)) / 2, c^2 / 64 + exp(-2 c) / 2, and 0.9 c^2 (1 - exp(-c))^2 / 128 + exp(-2 c) / 2.
IDENTICAL_CONSTANT = 0.08640828
MANY_EPOCHS_CONSTANT = 0.06001700
DRIFTING_CONSTANT = 0.02945339

# Largest gap over curvatures that noise in two blocks leaves in one dimension, in units of eta n G^2: max over u of
# tanh(u)^2 / (8 u).
LINE_CONSTANT = 0.07282286


def factor_over_sgd(n: np.ndarray | int) -> np.ndarray:
    """IGD's over SGD's smallest gap with one Hessian for all: ``0.0864 * 8 n / (1 + log(4 n))``."""
    return IDENTICAL_CONSTANT * 8 * n / (1 + np.log(4 * n))


def polygon_radius(eta: float, n: int, mu: float, L: float, G: float) -> float:
    """Distance from the optimum of the polygon instance's periodic orbit, exact.

    ``eta G sqrt(eta^2 L^2 + 2 s (1 - eta L)) / (eta^2 mu L + s (2 - eta (L + mu)))``
    with ``s = 1 - cos(2 pi / n)``.
    """
    s = 2 * np.sin(np.pi / n) ** 2
    across = np.sqrt((eta * L) ** 2 + 2 * s * (1 - eta * L))
    return eta * G * across / (eta**2 * mu * L + s * (2 - eta * (L + mu)))


def polygon_radius_small_steps(c: float, epochs: int, kappa: float) -> float:
    """The same for ``eta L << 1`` and large n, in units of ``G / mu``, with ``c = eta mu n K``."""
    turn = 2 * np.pi * epochs / c
    return np.sqrt(1 + (turn / kappa) ** 2) / (1 + turn**2 / kappa)


def pass_over_halves(step: float, n: int) -> np.ndarray:
    """The noisy coordinate of the half-concave instance along its periodic orbit, in units of ``G / L``.

    Parameters
    ----------
    step : ``eta L``
    n : components

    Returns
    -------
    Array of shape ``(n + 1,)``, the start included
    """
    i, half = np.arange(n + 1), n // 2
    r1, r2 = (1 - step) ** half, (1 + step / 2) ** half
    start = (2 - r2 * (1 + r1)) / (1 - r1 * r2)
    middle = 1 + (start - 1) * r1
    contracted = 1 + (start - 1) * (1 - step) ** np.minimum(i, half)
    expanded = 2 + (middle - 2) * (1 + step / 2) ** np.maximum(i - half, 0)
    return np.where(i <= half, contracted, expanded)


def first_order_gap(H: np.ndarray, b: np.ndarray, order: np.ndarray) -> float:
    """Gap of the periodic orbit of a small constant step, over the square of the step.

    To second order in ``eta`` a pass maps ``x`` to ``x - eta n Hbar x - eta^2 v`` with ``v = sum_i H_i S_{i-1}`` and
    the partial sums ``S_m = b_1 + ... + b_m`` in the order of the pass. Its fixed point is ``-eta Hbar^{-1} v / n``.

    Parameters
    ----------
    H, b : Hessians ``(n, d, d)`` and linear terms ``(n, d)`` of the components, ``sum_i b_i = 0``
    order : indices of the components, first visited first, ``(n,)``
    """
    partial = np.cumsum(b[order], axis=0) - b[order]
    v = np.einsum("nij,nj->i", H[order], partial) / len(order)
    return float(0.5 * v @ np.linalg.solve(H.mean(0), v))
