"""The cubic map of balanced factors ``u = v = z``: its phases, its cycles and their periods."""

import math

import numpy as np
import torch
from scipy.optimize import brentq

from companion.chapters.two_factor_linear_transformer.product_map import Array

MONOTONE = 2 * math.sqrt(2) - 2  # up to here the loss never rises
CONVERGENT = 1.0  # up to here the solution attracts
TWO_CYCLE = math.sqrt(5) - 1  # up to here a cycle of two attracts
BANDS = 1.5 * math.sqrt(3) - 1  # from here on the sign of z changes
BOUNDED = 2.0  # up to here orbits stay bounded
FEIGENBAUM = 4.669201609


def cubic_step(z: Array, mu: Array) -> Array:
    """``z+ = (1 + mu) z - mu z^3``: the product map on ``u = v = z``."""
    return z * (1 + mu - mu * z * z)


def slope(z: Array, mu: Array) -> Array:
    """The derivative of :func:`cubic_step`: ``1 + mu - 3 mu z^2``."""
    return 1 + mu - 3 * mu * z * z


def reach(mu: Array) -> Array:
    """``sqrt(1 + 2 / mu)``: further out ``|z|`` only grows."""
    return (1 + 2 / mu) ** 0.5


def two_cycle(mu: np.ndarray) -> np.ndarray:
    """The cycle of two within ``z > 0``, for ``mu >= 1``: ``(2, ...)``.

    ``x = sqrt(mu) z`` obeys ``x1 x2 = 1`` and ``x1^2 + x2^2 = 1 + mu``.
    """
    root = np.sqrt((1 + mu) ** 2 - 4)
    return np.sqrt(np.stack([1 + mu + root, 1 + mu - root]) / (2 * mu))


def superstable(count: int) -> np.ndarray:
    """Values of mu, increasing, at which the critical point lies on a cycle of period 1, 2, 4, …: ``(count,)``.

    The first three are good guesses of the next by Feigenbaum's ratio, as are all later ones.
    """

    def returned(mu: float, period: int) -> float:
        start = z = math.sqrt((1 + mu) / (3 * mu))
        for _ in range(period):
            z = cubic_step(z, mu)
        return z - start

    found = [0.5, 3 / math.sqrt(2) - 1]
    while len(found) < count:
        ahead = (found[-1] - found[-2]) / FEIGENBAUM
        # the bracket leaves out the last value, whose cycle also returns after twice its period
        found.append(brentq(returned, found[-1] + 0.7 * ahead, found[-1] + 1.3 * ahead, (2 ** len(found),), 1e-15))
    return np.array(found[:count])


def accumulation(values: np.ndarray) -> float:
    """The limit of a sequence whose differences shrink by Feigenbaum's ratio, from its last two terms."""
    return float(values[-1] + (values[-1] - values[-2]) / (FEIGENBAUM - 1))


def detect_period(orbit: torch.Tensor, longest: int, tolerance: float) -> torch.Tensor:
    """The least period at most ``longest`` with which orbits ``(T, ...)`` repeat themselves, 0 if there is none."""
    period = torch.zeros(orbit.shape[1:], dtype=torch.int64, device=orbit.device)
    for p in range(longest, 0, -1):
        repeats = (orbit[p:] - orbit[:-p]).abs().amax(0) < tolerance
        period = torch.where(repeats, torch.full_like(period, p), period)
    return period
