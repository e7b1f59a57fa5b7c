"""What incremental Adam does over an epoch, and where that leads: the epoch map, AdamProxy, the dual fixed points."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from companion.analysis.max_margin import weighted_svm
from companion.chapters.incremental_adam.complementarity import UnsolvedError, complementary
from companion.chapters.incremental_adam.devices import arrays, march
from companion.chapters.incremental_adam.incremental import Path, check_rates, slopes


def memory_weights(beta: np.ndarray, N: int) -> np.ndarray:
    """``beta^((i - j) mod N)``: what sample ``j`` weighs in the average at step ``i``, ``(..., N, N)``."""
    lag = (np.arange(N)[:, None] - np.arange(N)) % N
    return np.asarray(beta, dtype=float)[..., None, None] ** lag


def epoch_map(xp: ModuleType, X: Any, p: Any, A1: Any, A2: Any) -> Any:
    """Incremental Adam's displacement over an epoch with frozen weights.

    Parameters
    ----------
    X : signed examples, ``(runs, N, d)``
    p : sizes of the loss's derivatives, ``(runs, N)``, up to one factor for each run
    A1, A2 : :func:`memory_weights` of the two moments, ``(runs, N, N)``

    Returns
    -------
    ``sum_i (sum_j A1_ij p_j x_j) / sqrt(sum_j A2_ij p_j^2 x_j^2)``, ``(runs, d)``, per
    step size and without ``C_inc``. The sum of squares, not the square of a sum, is
    what the batch size changes.
    """
    g = p[:, :, None] * X
    return (xp.matmul(A1, g) / xp.sqrt(xp.matmul(A2, g * g))).sum(1)


def adam_proxy(xp: ModuleType, X: Any, p: Any) -> Any:
    """AdamProxy's direction, ``sum_j p_j x_j / sqrt(sum_j p_j^2 x_j^2)``: the epoch map as ``beta2`` tends to one."""
    g = p[:, :, None] * X
    return g.sum(1) / xp.sqrt((g * g).sum(1))


def full_batch(xp: ModuleType, X: Any, p: Any) -> Any:
    """The square of the sum in place of the sum of squares: full-batch Adam's direction, the sign of the gradient."""
    return xp.sign((p[:, :, None] * X).sum(1))


def epoch_constant(beta1: np.ndarray, beta2: np.ndarray, N: int) -> np.ndarray:
    """``C_inc``, the factor of the epoch map: ``(1 - beta1)/(1 - beta1^N) sqrt((1 - beta2^N)/(1 - beta2))``."""
    return (1 - beta1) / (1 - beta1**N) * np.sqrt((1 - beta2**N) / (1 - beta2))


def weights_for(Z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The shortest ``w`` at which the sizes of the loss's derivatives are ``c / 2``: margins ``log(2 / c - 1)``.

    ``Z`` is ``(runs, N, d)`` with ``d >= N``, ``c`` is ``(runs, N)``; very small weights count as ``1e-6``.
    """
    margins = np.log(2 / np.maximum(c, 1e-6) - 1)
    return (np.linalg.pinv(Z) @ margins[..., None])[..., 0]


def iterate_map(
    Z: np.ndarray,
    beta1: np.ndarray | None,
    beta2: np.ndarray | None,
    *,
    steps: int,
    eta: float,
    keep: list[int] | None = None,
    device: str = "cpu",
) -> Path:
    """The epoch map as an algorithm of its own, from zero; with ``beta2=None`` AdamProxy.

    ``Z`` is ``(runs, N, d)``. Steps are constant, ``eta`` times the map and ``C_inc / sqrt(N)``, with which the map
    tends to AdamProxy's as ``beta2`` tends to one. They are stable for ``eta`` of order one over the dimension.
    """
    xp, put, get = arrays(device)
    X, (runs, N, d) = put(Z), Z.shape
    if beta2 is not None:
        beta1, beta2 = np.broadcast_to(beta1, runs), np.broadcast_to(beta2, runs)
        check_rates(beta1, beta2)
        A1, A2 = put(memory_weights(beta1, N)), put(memory_weights(beta2, N))
        factor = put(epoch_constant(beta1, beta2, N)[:, None] / np.sqrt(N))
    keep = sorted({steps} if keep is None else {k for k in keep if 0 <= k <= steps})

    def step(w):
        z = xp.matmul(X, w[:, :, None])[:, :, 0]
        p = -slopes(xp, z, xp.amin(z, 1)[:, None])
        return (w + eta * (adam_proxy(xp, X, p) if beta2 is None else factor * epoch_map(xp, X, p, A1, A2)),)

    states = march(step, (put(np.zeros((runs, d))),), keep)
    return Path(np.array(keep), np.stack([get(w) for (w,) in states]))


# --- the limit direction ------------------------------------------------------------------------------------------


SETTLED = 1e-6  # residual from which on a point is taken for a fixed point
UNDAMPED = 250  # applications after which each is averaged with the last


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of the dual map and the direction that belongs to it; NaN where none was found."""

    #: weights of the samples, on the simplex, ``(N,)``; positive only on support vectors
    c: np.ndarray
    #: the limit direction, scaled to a least margin of one, ``(d,)``
    w: np.ndarray
    #: applications of the map
    iterations: int
    #: ``||T(c) - c||_inf`` at the end; infinite if the map could not be applied
    residual: float


def proxy_metric(X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The diagonal of ``M(c) = diag(sqrt(sum_i c_i^2 x_i^2))``, ``(d,)``."""
    return np.sqrt((c**2) @ (X**2))


def dual_map(X: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``T(c)``, dual solution of the max margin in the metric ``M(c)``; ``w(c)``."""
    w, multipliers = weighted_svm(X, proxy_metric(X, c))
    return multipliers / multipliers.sum(), w


def dual_map_at(
    X: np.ndarray, c: np.ndarray, A1: np.ndarray, A2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The dual map of cyclic Adam with its own rates, and batches of ``N / n`` samples.

    ``A1``, ``A2`` are :func:`memory_weights` over the ``n`` batches; batch ``B`` has
    the gradient ``g_B = sum_(j in B) c_j x_j``. The epoch map is ``sum_j c_j S_B(j)
    x_j`` with the diagonal ``S_B = sum_A A1_AB / sqrt(sum_C A2_AC g_C^2)``. With
    ``K_ij = <x_i, S_B(j) x_j>`` a limit direction solves ``multipliers >= 0``,
    ``K multipliers >= 1``, one of the two an equality for every sample: a linear
    complementarity problem.
    """
    size = len(X) // len(A1)
    g = (c[:, None] * X).reshape(len(A1), size, -1).sum(1)
    root = np.sqrt(np.maximum(A2 @ (g * g), np.finfo(float).tiny))
    S = np.repeat(A1.T @ (1 / root), size, axis=0)
    multipliers = complementary(X @ (S * X).T)
    return multipliers / multipliers.sum(), (S * X).T @ multipliers


def fixed_point(
    X: np.ndarray,
    betas: tuple[float, float] | None = None,
    batch_size: int = 1,
    start: np.ndarray | None = None,
    tol: float = 1e-12,
    most: int = 2000,
) -> FixedPoint:
    """Iterate ``c <- T(c)`` from equal weights, or from ``start``, until it moves by less than ``tol``.

    ``betas=None`` is the map of AdamProxy, the limit of ``beta2`` to one; else that of cyclic Adam at
    ``(beta1, beta2)``. If the iterates have not settled after ``UNDAMPED`` of them, each is averaged with the last.
    Where they do not settle at all, or the map has no value, the answer is NaN.
    """
    N = len(X)
    c = np.full(N, 1 / N) if start is None else np.asarray(start, dtype=float)
    if betas is not None:
        check_rates(np.array(betas[0]), np.array(betas[1]))
        A1, A2 = (memory_weights(np.array(beta), N // batch_size) for beta in betas)
    for iteration in range(1, most + 1):
        try:
            image, w = dual_map(X, c) if betas is None else dual_map_at(X, c, A1, A2)
        except UnsolvedError:
            residual = np.inf
            break
        residual = float(np.abs(image - c).max())
        c = image if iteration <= UNDAMPED else (image + c) / 2
        if residual < tol:
            break
    if not residual < SETTLED:
        return FixedPoint(np.full(N, np.nan), np.full(X.shape[1], np.nan), iteration, residual)
    return FixedPoint(c, w / (X @ w).min(), iteration, residual)


def signum_bound(Z: np.ndarray, beta: float, batch_size: int = 1) -> tuple[float, float]:
    """``epsilon(beta)`` and ``R = max_i ||x_i||_1``: Signum keeps a margin of ``gamma_inf - epsilon(beta) R``."""
    n = Z.shape[-2] // batch_size
    weights = n * (1 - beta) * beta ** np.arange(n) / (1 - beta**n)
    return float(np.abs(weights - 1).mean()), float(np.abs(Z).sum(-1).max())
