"""The problems on which incremental gradient descent is slow, one for each regime, and their variants for controls.

All have ``x* = 0`` and ``F* = 0``. ``level`` is the lower bound's value without its constant: every constant step has a
final gap of at least a constant times ``level`` from the start ``x0``, which is part of the instance.
"""

import math
from dataclasses import dataclass

import numpy as np

from companion.analysis.finite_sum import FiniteSumQuadratic
from companion.chapters.incremental_gradient_small_epochs.diagonal import DiagonalQuadratic

KINDS = ("identical Hessians", "strongly convex components", "half of the components concave")


@dataclass(frozen=True)
class Instance:
    """A problem with its start."""

    problem: FiniteSumQuadratic
    x0: np.ndarray  # start, (d,)
    level: float  # the lower bound without its constant; infinite where it exceeds double precision
    mu: float
    L: float
    epochs: int  # that the instance is made for
    flattest: int = 0  # the coordinate of curvature mu

    def common_start(self, G: float) -> np.ndarray:
        """``G / mu`` along the flattest coordinate, zero elsewhere: a gap of ``G^2 / (2 mu)``."""
        x0 = np.zeros(self.problem.d)
        x0[self.flattest] = G / self.mu
        return x0


def _halves(n: int) -> np.ndarray:
    """+1 for the first half of the components, -1 for the second."""
    return np.where(np.arange(n) < n // 2, 1.0, -1.0)


def identical_hessians(n: int, kappa: float, epochs: int, mu=1.0, G=1.0, device="cpu") -> Instance:
    """I1: one Hessian ``diag(mu, lambda, L)`` for all, with ``lambda = min(mu K, L / 2)``; noise ``±G`` in two blocks.

    A step below ``1 / (mu n K)`` leaves the first coordinate where it was, one above ``2 / L`` blows up the third, and
    in between the blocks push the second ``n / 2`` times one way, then ``n / 2`` times back.
    """
    L = kappa * mu
    curvature = min(mu * epochs, L / 2)
    level = curvature * (G / (mu * epochs)) ** 2
    b = np.zeros((n, 3))
    b[:, 1] = -G * _halves(n)
    curvatures = np.tile([mu, curvature, L], (n, 1))
    x0 = np.array([math.sqrt(level / mu), 0, math.sqrt(level / L)])
    return Instance(DiagonalQuadratic(curvatures, b, device), x0, level, mu, L, epochs)


def polygon(n: int, kappa: float, epochs: int, mu=1.0, G=1.0, device="cpu", averaged=False) -> Instance:
    """I2: strongly convex components whose minimizers are the corners of a regular n-gon of radius ``G / mu``.

    In a plane, component i has curvature ``mu`` along ``e_i``, the direction of its corner, and ``L`` across. Two more
    coordinates of curvatures ``mu`` and ``L`` carry no noise. ``averaged`` replaces the plane Hessians by their mean,
    with the same noise: the control without heterogeneity.
    """
    L = kappa * mu
    angle = 2 * np.pi * np.arange(n) / n
    e = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    across = np.stack([-e[:, 1], e[:, 0]], axis=1)
    plane = mu * e[:, :, None] * e[:, None] + L * across[:, :, None] * across[:, None]
    if averaged:
        plane = np.broadcast_to((L + mu) / 2 * np.eye(2), plane.shape)
    H = np.zeros((n, 4, 4))
    H[:, :2, :2], H[:, 2, 2], H[:, 3, 3] = plane, mu, L
    level = L * (G / mu) ** 2 * min(1.0, kappa**2 / epochs**4)
    x0 = np.array([0, 0, math.sqrt(level / mu), math.sqrt(level / L)])
    return Instance(
        FiniteSumQuadratic(H, np.hstack([G * e, np.zeros((n, 2))]), device), x0, level, mu, L, epochs, flattest=2
    )


def concave_half(n: int, kappa: float, epochs: int, mu=1.0, G=1.0, device="cpu", convex=False) -> Instance:
    """I3: curvature ``L`` in the first half of the components and ``-L / 2`` in the second, noise ``+G`` and ``-G``.

    The first half of a pass contracts, the second expands what the noise has left. A coordinate of curvature ``mu``
    punishes small steps. ``convex`` spreads the same mean curvature ``L / 4`` as ``L / 2`` and 0: the control.
    """
    L = kappa * mu
    first = np.arange(n) < n // 2
    curvatures = np.stack([np.full(n, mu), np.where(first, L / 2 if convex else L, 0.0 if convex else -L / 2)], axis=1)
    b = np.stack([np.zeros(n), G * _halves(n)], axis=1)
    logarithm = log_level_concave(n, kappa, epochs) + math.log(G**2 / L)
    level = math.exp(logarithm) if logarithm < 650 else math.inf  # its square root still has to be multiplied by L
    x0 = np.array([math.sqrt(level / mu) if math.isfinite(level) else 0.0, 0.0])
    return Instance(DiagonalQuadratic(curvatures, b, device), x0, level, mu, L, epochs)


def log_level_concave(n: int, kappa: float, epochs: int) -> float:
    """``log((1 + L / (2 mu n K))^n)``, the logarithm of I3's level in units of ``G^2 / L``."""
    return n * math.log1p(kappa / (2 * n * epochs))


def many_epochs_convex(n: int, kappa: float, epochs: int, mu=1.0, G=1.0, device="cpu", curvature=0.5) -> Instance:
    """I4, for ``K >= kappa``: I1 with the pushed coordinate's curvature held at ``curvature * L``.

    At ``curvature = 1`` and ``n / 2`` even, a step just below ``2 / L`` returns the orbit to its start after every
    half pass and no lower bound holds; any smaller curvature closes that window.
    """
    L = kappa * mu
    level = L * (G / (mu * epochs)) ** 2
    b = np.zeros((n, 3))
    b[:, 1] = -G * _halves(n)
    curvatures = np.tile([mu, curvature * L, L], (n, 1))
    x0 = np.array([math.sqrt(level / mu), 0, math.sqrt(level / L)])
    return Instance(DiagonalQuadratic(curvatures, b, device), x0, level, mu, L, epochs)


# Squared shares of the noise G^2 that I5's three noisy coordinates get. The drift of the first sets the gap at good
# steps; the others only have to make steps far too large bad, so that they need little.
NOISE_SHARES = (0.9, 0.05, 0.05)


def many_epochs_concave(
    n: int, kappa: float, epochs: int, mu=1.0, G=1.0, device="cpu", shares=NOISE_SHARES, halves=False
) -> Instance:
    """I5, for ``K >= kappa`` and ``n >= kappa``: concave parts arranged so that a pass drifts.

    Coordinate 2 has curvature ``+L`` in the middle half of a pass and ``-(L - 2 mu)`` in the first and last quarter
    (mean ``mu``), and noise ``+`` in the first half, ``-`` in the second: the drift of a pass,
    ``eta^2 (L + mu) G n^2 / 8``, is divided by a contraction of only ``eta mu n``. Coordinates 3 and 4 are the noisy
    ones of I3 and I1 and rule out large steps. ``halves`` arranges coordinate 2's curvatures in two halves instead:
    the control, in which the two signs cancel.
    """
    L = kappa * mu
    quarter = np.arange(n) // (n // 4)
    convex_part = quarter < 2 if halves else (quarter == 1) | (quarter == 2)
    drifting = np.where(convex_part, L, -(L - 2 * mu))
    first = np.arange(n) < n // 2
    curvatures = np.stack([np.full(n, mu), drifting, np.where(first, L, -L / 2), np.full(n, L)], axis=1)
    sizes = G * np.sqrt(np.array(shares))
    b = np.hstack([np.zeros((n, 1)), _halves(n)[:, None] * sizes * [1, 1, -1]])
    level = L**2 * G**2 / (mu**3 * epochs**2)
    x0 = np.array([math.sqrt(level / mu), 0, 0, 0])
    return Instance(DiagonalQuadratic(curvatures, b, device), x0, level, mu, L, epochs)


def hardest(row: int, n: int, kappa: float, epochs: int, mu=1.0, G=1.0, device="cpu") -> Instance:
    """The hardest instance known here for a kind of components, by its place in ``KINDS``, and a number of epochs.

    Past ``K = kappa`` identical Hessians are as bad as any convex components, and concave ones need another instance.
    """
    few = kappa > epochs
    make = (
        identical_hessians,
        polygon if few else identical_hessians,
        concave_half if few else many_epochs_concave,
    )[row]
    return make(n, kappa, epochs, mu, G, device)
