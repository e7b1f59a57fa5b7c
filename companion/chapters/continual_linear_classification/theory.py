"""What theory predicts: step sizes, bounds on forgetting, exact constants, and the sequence of projections."""

import numpy as np
from scipy.optimize import nnls

SMOOTHNESS = 0.25  # beta of the logistic loss


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle in degrees between vectors on the last axis; exact for small angles too, and 90 for a zero vector."""
    a = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-300)
    b = b / np.maximum(np.linalg.norm(b, axis=-1, keepdims=True), 1e-300)
    return np.degrees(2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)))


def log_slope(cycles: np.ndarray, w: np.ndarray, start: float = 0.135) -> np.ndarray:
    """The log-slope vector ``q = (w(J_2) - w(J_1)) / ln(J_2 / J_1)`` between two records at the same phase of a cycle.

    ``J_2`` is the last record of ``w``, ``(R, ..., d)``, and ``J_1`` the last one not beyond ``start`` times that.
    """
    first = max(0, np.searchsorted(cycles, start * cycles[-1], side="right") - 1)
    if first == len(cycles) - 1:
        return np.zeros_like(w[-1])
    return (w[-1] - w[first]) / np.log(cycles[-1] / cycles[first])


def cyclic_step_size(x: np.ndarray, phi: float, M: int, K: int) -> float:
    """The step size below which the paper's theorem covers the cyclic order, for all examples ``(N, d)`` together."""
    sigma = np.linalg.norm(x, ord=2)
    drift = phi**2 / (4 * K * SMOOTHNESS * sigma**3 * (M * phi + sigma))
    return float(min(1 / (2 * M * K * SMOOTHNESS * sigma**2), drift))


def random_step_size(x: np.ndarray, phi: float) -> float:
    """The step size below which the paper's theorem covers the random order."""
    return float(2 * phi**2 / (SMOOTHNESS * np.linalg.norm(x, ord=2) ** 4))


def alignment(tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the positive and of the negative products ``<x_i, x_j>`` over examples of different tasks.

    Parameters
    ----------
    tasks : ``(..., M, n, d)``

    Returns
    -------
    ``sum_{p<q} N_pq`` and ``sum_{p<q} Nbar_pq``, the second negative or zero, each ``(...)``
    """
    M = tasks.shape[-3]
    products = np.einsum("...pid,...qjd->...pqij", tasks, tasks)
    pairs = np.triu(np.ones((M, M)), 1)
    positive, negative = np.maximum(products, 0).sum((-2, -1)), np.minimum(products, 0).sum((-2, -1))
    return (positive * pairs).sum((-2, -1)), (negative * pairs).sum((-2, -1))


def forgetting_bounds(
    highest: np.ndarray, tasks: np.ndarray, eta: float | np.ndarray, K: int
) -> tuple[np.ndarray, np.ndarray]:
    """A-posteriori bounds on cycle-averaged forgetting from the highest loss of each cycle, ``(R, ...)``."""
    positive, negative = alignment(tasks)
    scale = eta * K / tasks.shape[-3] * highest**2
    return -scale * positive, -scale * negative


def loss_constant(duals: np.ndarray, eta: float | np.ndarray, budget: np.ndarray) -> np.ndarray:
    """``lim J L = sum_m Lambda_m / (eta K_m)`` with ``Lambda_m`` the task's sum of multipliers.

    Parameters
    ----------
    duals : multipliers, ``(..., M, n)``
    eta : step size, ``(...)`` or one
    budget : steps per task, broadcast against ``(..., M)``
    """
    return (duals.sum(-1) / np.asarray(budget)).sum(-1) / eta


def task_constants(
    shares: np.ndarray,
    eta: float | np.ndarray,
    budget: np.ndarray,
) -> np.ndarray:
    """``lim J^2 F_p = -<v_p, sum_{q later} v_q> / (eta K_p)`` for each stage's task.

    Parameters
    ----------
    shares : ``v_m = sum_i lambda_i x_i`` over the task, in the order of the visits,
        ``(..., M, d)``
    eta : step size, ``(...)`` or one
    budget : steps per task in the same order, broadcast against ``(..., M)``
    """
    later = np.cumsum(shares[..., ::-1, :], -2)[..., ::-1, :] - shares
    return -(shares * later).sum(-1) / np.asarray(budget) / np.asarray(eta)[..., None]


def forgetting_constant(shares: np.ndarray, eta: float | np.ndarray, budget: np.ndarray) -> np.ndarray:
    """``lim J^2 CF``, the mean of :func:`task_constants`; for equal budgets the order of the tasks does not matter."""
    return task_constants(shares, eta, budget).mean(-1)


def residual_exponent(x: np.ndarray, w: np.ndarray, duals: np.ndarray) -> float:
    """``min(1, theta, h)``: the residual ``w(J) - ln(J) w_hat`` comes to rest like that power of 1/J.

    ``1 + theta`` is the least margin among the examples ``(N, d)`` that are no support vectors, and ``h`` the least
    eigenvalue of ``sum_i lambda_i x_i x_i^T`` on the span of the support vectors. ``w`` is the joint classifier.
    """
    support = duals > 1e-9 * duals.max()
    rest = (x[~support] @ w - 1).min() if (~support).any() else np.inf
    roots = np.sqrt(duals[support])[:, None] * x[support]
    return float(min(1.0, rest, np.linalg.eigvalsh(roots @ roots.T)[0]))


def outside(forgetting: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Which records are outside the bounds, rounding errors of losses allowed for."""
    slack = 1e-9 * (np.abs(lower) + np.abs(upper)) + 1e-13
    return (forgetting < lower - slack) | (forgetting > upper + slack)


# --- tasks that are not jointly separable -----------------------------------------------------------------------------


def task_derivatives(tasks: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients ``(D, M, d)`` and Hessians ``(D, M, d, d)`` of the tasks' losses at ``w``, ``(D, d)``."""
    slope = 1 / (1 + np.exp(np.clip(np.einsum("bmnd,bd->bmn", tasks, w), -500, 500)))
    gradient = -np.einsum("bmn,bmnd->bmd", slope, tasks)
    return gradient, np.einsum("bmn,bmnd,bmne->bmde", slope * (1 - slope), tasks, tasks)


def stalling_point(
    gradient: np.ndarray,
    hessian: np.ndarray,
    K: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Where cyclic GD with a constant step rests, to first order in ``h = eta K``.

    With ``g_m`` and ``H_m`` at the joint minimizer, ``H = sum_m H_m`` and
    ``a = sum_{p<q} H_q g_p + (1 - 1/K)/2 sum_m H_m g_m``, the end-of-cycle iterate
    tends to ``w* + h H^{-1} a + O(h^2)``.

    Returns
    -------
    ``H^{-1} a``, ``(D, d)``, and the excess loss over ``h^2``, ``<a, H^{-1} a> / 2``,
    ``(D,)``
    """
    later = np.cumsum(hessian[:, ::-1], 1)[:, ::-1] - hessian
    a = np.einsum("bmde,bme->bd", later, gradient)
    a = a + 0.5 * (1 - 1 / K) * np.einsum("bmde,bme->bd", hessian, gradient)
    shift = np.linalg.solve(hessian.sum(1), a[..., None])[..., 0]
    return shift, 0.5 * (a * shift).sum(-1)


def forgetting_floor(gradient: np.ndarray) -> np.ndarray:
    """Forgetting at rest with a constant step, over ``eta K``: ``sum_m ||g_m||^2 / (2 M)``, ``(D,)``."""
    return (gradient**2).sum((-2, -1)) / (2 * gradient.shape[-2])


def joint_loss(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Sum of the logistic losses of examples ``(D, N, d)`` at ``(D, d)``."""
    return np.logaddexp(0, -np.einsum("bnd,bd->bn", x, w)).sum(-1)


def horizon_step(curvature: np.ndarray, horizons: np.ndarray, K: int, largest: float) -> np.ndarray:
    """``min{largest, ln J / (mu K J)}`` for curvatures ``(D,)`` and horizons ``(H,)``: ``(D, H)``."""
    return np.minimum(largest, np.log(horizons) / (curvature[:, None] * K * horizons))


# --- training to convergence on every task ----------------------------------------------------------------------------


def project(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The nearest point ``u`` to ``w`` with ``<x_i, u> >= 1`` for all examples of a separable task ``(n, d)``.

    With ``u = w + z`` this is ``min ||z||`` subject to ``x z >= 1 - x w``: a least-distance program, solved by
    non-negative least squares [Lawson and Hanson, Solving Least Squares Problems, chapter 23].
    """
    missing = 1 - x @ w
    if missing.max() <= 0:
        return w
    target = np.append(np.zeros(x.shape[1]), 1.0)
    u, _ = nnls(np.vstack([x.T, missing]), target)
    residual = np.vstack([x.T, missing]) @ u - target
    return w - residual[:-1] / residual[-1]


def projections(tasks: np.ndarray, cycles: int = 200, tolerance: float = 1e-10) -> np.ndarray:
    """Limit of cyclic projections from ``w = 0``: each stage trains to convergence with vanishing regularization.

    Parameters
    ----------
    tasks : jointly separable tasks, ``(M, n, d)``
    cycles : at most so many
    tolerance : stop when a cycle moves ``w`` by less
    """
    w = np.zeros(tasks.shape[-1])
    for _ in range(cycles):
        before = w
        for x in tasks:
            w = project(w, x)
        if np.linalg.norm(w - before) < tolerance:
            break
    return w
