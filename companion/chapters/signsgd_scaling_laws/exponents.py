"""Exponents: of the terms of the risk, and of the compute-optimal frontier, in closed form and by a linear program."""

import numpy as np
from scipy.optimize import linprog

from companion.chapters.signsgd_scaling_laws.equations import SGD, SIGN, Method


def aligned(alpha: float, beta: float) -> float:
    """Exponent p of the drift ``tau^(-p)`` in intrinsic time: ``(2 alpha + 2 beta - 1) / (2 alpha)``."""
    return (2 * alpha + 2 * beta - 1) / (2 * alpha)


def drift_exponent(alpha: float, beta: float, normalized: bool) -> float:
    """Exponent in N of the noiseless risk: p, and ``2p / (2 - p)`` where the drift is divided by the root of the risk.

    Infinite for a normalized drift with ``p >= 2``: it ends in finite time (at p = 2, exponentially).
    """
    p = aligned(alpha, beta)
    if not normalized:
        return p
    return 2 * p / (2 - p) if p < 2 else np.inf


def approximation_exponent(alpha: float, beta: float) -> float:
    """Exponent in M of the least risk of M random features: ``2 alpha - max(0, 1 - 2 beta)``."""
    return 2 * alpha - max(0.0, 1 - 2 * beta)


def noise_exponent(alpha: float) -> float:
    """Exponent in M of ``(sum_i sqrt(K_ii))^2``: ``2 - min(1, 2 alpha)``."""
    return 2 - min(1.0, 2 * alpha)


def phase(alpha: float, beta: float) -> str:
    """Name of the phase in the plane: Ia, Ib, II, III, III+ (``beta > alpha + 1/2``) or IV."""
    if 2 * beta <= 1:
        return "Ia" if 2 * alpha > 1 else "Ib"
    if 2 * alpha <= 1:
        return "IV"
    if beta <= alpha:
        return "II"
    return "III" if beta <= alpha + 0.5 else "III+"


def frontier_exponents(alpha: float, beta: float, method: Method) -> tuple[float, float]:
    """Exponents of the frontier, ``P* = f^(-eta)`` and ``M* = f^xi``, for SGD and signSGD; NaN in phase IV.

    Those of SGD are Paquette et al.'s (2024), for ``2 alpha > 1`` or ``2 beta < 1``.
    """
    where = phase(alpha, beta)
    if where == "Ia":
        return (2 * alpha + 2 * beta - 1) / (2 * alpha + 1), 1 / (2 * alpha + 1)
    if where == "Ib":
        return alpha + beta - 0.5, 0.5
    if where == "IV":
        return np.nan, np.nan
    if where == "II" or (where == "III" and method.signed_residual):
        return 1 - 1 / (2 * (alpha + beta)), beta / (alpha + beta)
    if method.signed_residual:
        return 4 * alpha / (4 * alpha + 1), (2 * alpha + 1) / (4 * alpha + 1)
    return 1 - 1 / (4 * alpha), 0.5


def programmed_exponents(alpha: float, beta: float, method: Method) -> tuple[float, float]:
    """The same as the solution of a linear program over powers of the compute; in phase IV, too.

    With ``M = f^x``, ``N = f^(1-x)``, ``gamma = f^(-g)`` every term of the risk is a power of f, and the frontier
    has the largest eta that no term exceeds. For SGD ``alpha > 1/4`` is assumed.
    """
    if method not in (SGD, SIGN):
        raise ValueError(f"got {method.name!r}, allowed: SGD, signSGD")
    p, q = aligned(alpha, beta), (2 * alpha - 1) / (2 * alpha)
    fast, distorted = 2 * alpha > 1, 2 * beta > 1
    rows, bounds = [], []

    def at_most(m: float, n: float, gamma: float, eta: float = 1.0) -> None:
        """The term ``M^m N^n gamma^gamma`` is at most ``f^(-eta)``, or one for ``eta = 0``."""
        rows.append([m - n, -gamma, eta])
        bounds.append(-n)

    at_most(-approximation_exponent(alpha, beta), 0, 0)
    if method is SIGN:
        least = min(alpha, 0.5)
        at_most(noise_exponent(alpha), 0, 2)
        if p < 2:
            power = drift_exponent(alpha, beta, True)
            at_most(-power * least, -power, -power)
        else:
            at_most(-least, -1, -1, 0.0)
        if fast:
            at_most(0, -p, 0)
        if fast and distorted:
            power = 2 * (2 * alpha - 1) / (2 * alpha + 1)
            at_most(-1 - power, -power, -power)
            at_most(-1, -q, 0)
    else:
        at_most(max(0.0, 1 - 2 * alpha), 0, 1, 0.0)
        at_most(0, -p, -p)
        if distorted:
            memory = 2 - 1 / (2 * alpha)
            at_most(0, -memory, 1 - memory)
            if fast:
                at_most(-1, -q, -q)
    found = linprog([0, 0, -1], A_ub=rows, b_ub=bounds, bounds=[(0, 1), (None, None), (0, None)])
    return float(found.x[2]), float(found.x[0])
