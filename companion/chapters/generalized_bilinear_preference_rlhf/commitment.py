"""Explore-then-commit: how long to explore, and what it costs."""

import numpy as np

SCHEDULES = ("square root", "two thirds", "constant")


def exploration_lengths(horizons: np.ndarray, scale: float) -> np.ndarray:
    """``T_0`` of the three schedules: ``c sqrt(T)``, ``c T^(2/3)``, and half of the first at the shortest horizon.

    ``(n,)`` to ``(3, n)``; a schedule explores for one round at least and never beyond the horizon.
    """
    wanted = (
        scale * horizons**0.5,
        scale * horizons ** (2 / 3),
        np.full(len(horizons), scale * horizons[0] ** 0.5 / 2),
    )
    return np.clip(np.stack(wanted).astype(int), 1, horizons)


def regret(horizon: np.ndarray, t0: np.ndarray, explore: np.ndarray, committed: np.ndarray) -> np.ndarray:
    """Dual gap of the exploration policy for ``t0`` rounds, then that of the committed policy for the rest."""
    return t0 * explore + (horizon - t0) * committed
