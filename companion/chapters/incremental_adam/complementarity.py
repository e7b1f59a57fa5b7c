"""Linear complementarity problems ``x >= 0``, ``K x >= 1``, ``x_i = 0`` or ``(K x)_i = 1`` for every ``i``."""

import numpy as np

RESIDUAL = 1e-8  # of a solution, relative to its size


class UnsolvedError(ValueError):
    """No solution was found."""


def complementary(K: np.ndarray) -> np.ndarray:
    """Solve the problem with matrix ``K``, ``(N, N)``; what is returned has been checked.

    Block pivoting first: all wrong signs are exchanged at once, which takes a handful of rounds where it works. Else
    Lemke's method, which ends after finitely many pivots whatever the matrix: with a solution if all principal minors
    are positive, or if the matrix is strictly copositive, as a matrix of positive entries is.

    Raises
    ------
    UnsolvedError
        If neither finds a solution. There may be none.
    """
    K = np.asarray(K, dtype=float)
    for method in (_block_pivoting, _lemke):
        active = method(K)
        if active is not None:
            x = np.maximum(_equal_margins(K, active), 0)
            if residual(K, x) <= RESIDUAL:
                return x
    raise UnsolvedError(f"complementarity problem of {len(K)} samples: no solution found")


def residual(K: np.ndarray, x: np.ndarray) -> float:
    """Largest violation of ``x >= 0``, ``K x >= 1`` and complementarity, relative to the terms of ``K x``."""
    scale = np.maximum(np.abs(K) @ np.abs(x), 1.0)
    slack = (K @ x - 1) / scale
    share = np.abs(x) / max(np.abs(x).max(), np.finfo(float).tiny)
    return float(max(-slack.min(), -x.min(), np.minimum(share, np.abs(slack)).max()))


def _equal_margins(K: np.ndarray, active: np.ndarray) -> np.ndarray:
    x = np.zeros(len(K))
    if active.any():
        x[active] = np.linalg.lstsq(K[np.ix_(active, active)], np.ones(int(active.sum())), rcond=None)[0]
    return x


def _block_pivoting(K: np.ndarray, patience: int = 10) -> np.ndarray | None:
    """The samples with ``(K x)_i = 1``, or ``None`` once exchanges make no progress."""
    active = np.ones(len(K), dtype=bool)
    fewest, left = len(K) + 1, patience
    while left >= 0:
        x = _equal_margins(K, active)
        slack = K @ x - 1
        scale = 1e-12 * max(1.0, float(np.abs(K).max() * np.abs(x).max()))
        wrong = np.where(active, x < -1e-13 * np.abs(x).max(), slack < -scale)
        if not wrong.any():
            return active
        if wrong.sum() < fewest:
            fewest, left = int(wrong.sum()), patience
        else:
            left -= 1
        active = active ^ wrong
    return None


def _lemke(K: np.ndarray) -> np.ndarray | None:
    """The samples with positive ``x_i``, or ``None`` where the path of pivots ends in a ray.

    The path solves ``s = K x - 1 + z cover``, ``s_i x_i = 0`` for falling ``z``, one exchange of variables at a time. A
    cover of unequal entries breaks the ties that equal right-hand sides make.
    """
    N = len(K)
    K = K / max(np.abs(K).max(), np.finfo(float).tiny)
    cover = 1 + np.modf(np.arange(1, N + 1) * 0.6180339887498949)[0]
    # Columns: s, x, z, right-hand side; the rows say s - K x - cover z = -1.
    table = np.hstack([np.eye(N), -K, -cover[:, None], -np.ones((N, 1))])
    basis = np.arange(N)
    row, entering = int(np.argmin(table[:, -1] / cover)), 2 * N
    for _ in range(50 * N + 100):
        leaving = basis[row]
        table[row] /= table[row, entering]
        others = np.arange(N) != row
        table[others] -= np.outer(table[others, entering], table[row])
        basis[row] = entering
        if leaving == 2 * N:
            return np.isin(np.arange(N, 2 * N), basis)
        entering = (leaving + N) % (2 * N)  # the partner of the variable that left
        column = table[:, entering]
        allowed = column > 1e-11
        if not allowed.any():
            return None
        ratio = np.where(allowed, np.maximum(table[:, -1], 0) / np.where(allowed, column, 1), np.inf)
        least = np.flatnonzero(ratio <= ratio.min() * (1 + 1e-12) + 1e-300)
        row = int(next((r for r in least if basis[r] == 2 * N), least[0]))
    return None
