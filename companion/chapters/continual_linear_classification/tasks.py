"""Tasks: sets of signed examples with a known joint max-margin classifier, without any joint classifier, and digits."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from companion.analysis.max_margin import max_margin
from companion.data import load_dataset


@dataclass(frozen=True)
class Planted:
    """Tasks whose joint max-margin classifier is known."""

    #: signed examples, ``(D, M, n, d)``
    x: np.ndarray
    #: the joint classifier ``argmin ||w|| subject to <x_i, w> >= 1``, ``(D, d)``
    w: np.ndarray
    #: its multipliers ``lambda``, ``w = sum_i lambda_i x_i``, ``(D, M, n)``
    duals: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Shares ``v_m = sum_{i in task m} lambda_i x_i`` of the tasks in the joint classifier, ``(D, M, d)``."""
        return np.einsum("bmn,bmnd->bmd", self.duals, self.x)


def planted(
    rng: np.random.Generator,
    datasets: int,
    M: int,
    n: int,
    d: int,
    *,
    between: float | np.ndarray = 2.0,
    within: float = 2.0,
    supports: int | None = None,
    bias: float = 2.0,
    gap: float = 2.0,
    equal: bool = False,
) -> Planted:
    """Random tasks around a planted joint classifier, of norm and margin 1.

    In random coordinates, the first of them along the classifier, the S support vectors are ``(1, V_k)`` with random
    multipliers ``lambda_k > 0`` of sum 1. Each task gets one, and the rest are dealt out at random. The ``V_k`` have
    the weighted mean ``sum_k lambda_k V_k = 0`` and the weighted covariance ``sum_k lambda_k V_k V_k^T`` with the
    eigenvalue ``between`` in the M - 1 directions in which the tasks' means differ and ``within`` in the S - M others:

        sum_m ||v_m||^2 = sum_m Lambda_m^2 + between (1 - sum_m Lambda_m^2),   Lambda_m = sum of lambda_k in task m.

    The other examples of task m are ``(u, s V + b + noise)``: a margin ``u`` from ``gap`` to twice that, the ``V`` of
    the task's first support vector, ``0.3 <= s <= 1``, and an offset ``b`` common to all tasks, which pulls the mean
    of the examples away from the planted direction.

    Parameters
    ----------
    datasets : how many data sets D
    M, n, d : tasks, examples per task, dimension
    between, within : eigenvalues of the support vectors' covariance; ``between`` may differ by data set, ``(D,)``
    supports : number of support vectors S, M to d, and less than M + n; M by default
    bias : norm of the offset
    gap : least margin of the other examples, above 1
    equal : give all support vectors the same multiplier

    Raises
    ------
    ValueError
        If so many support vectors do not fit.
    """
    S = M if supports is None else supports
    if not (2 <= M <= S <= min(d, M + n - 1)):
        raise ValueError(f"supports: got {S}, allowed: {M} to {min(d, M + n - 1)}")
    rotation = np.linalg.qr(rng.normal(size=(datasets, d, d)))[0]
    share = rng.uniform(0.7, 1.3, size=(datasets, S))
    share = np.full_like(share, 1 / S) if equal else share / share.sum(1, keepdims=True)
    owner = np.concatenate([np.tile(np.arange(M), (datasets, 1)), rng.integers(0, M, size=(datasets, S - M))], 1)
    # Orthonormal columns: sqrt(lambda), the tasks' indicators times sqrt(lambda), whatever is left.
    root = np.sqrt(share)[..., None]
    indicators = root * (owner[..., None] == np.arange(M - 1))
    basis = np.linalg.qr(np.concatenate([root, indicators, rng.normal(size=(datasets, S, S - M))], -1))[0]
    size = np.full((datasets, S - 1), np.sqrt(within))
    size[:, : M - 1] = np.sqrt(np.broadcast_to(between, (datasets,)))[:, None]
    V = np.zeros((datasets, S, d - 1))
    V[..., : S - 1] = basis[..., 1:] * size[:, None] / root
    offset = rng.normal(size=(datasets, 1, 1, d - 1))
    offset *= bias / np.linalg.norm(offset, axis=-1, keepdims=True)
    along = rng.uniform(0.3, 1.0, size=(datasets, M, n, 1))
    x = np.empty((datasets, M, n, d))
    x[..., 0] = rng.uniform(gap, 2 * gap, size=(datasets, M, n))
    x[..., 1:] = along * V[:, :M, None] + offset + 0.3 * rng.normal(size=(datasets, M, n, d - 1))
    duals = np.zeros((datasets, M, n))
    each = np.arange(datasets)
    for k in range(S):
        m = owner[:, k]
        place = (owner[:, :k] == m[:, None]).sum(1)
        x[each, m, place, 0], x[each, m, place, 1:] = 1.0, V[:, k]
        duals[each, m, place] = share[:, k]
    return Planted(x @ rotation.mT[:, None], rotation[:, :, 0], duals)


def known(x: np.ndarray) -> Planted:
    """Given tasks ``(M, n, d)`` with the joint classifier that the solver finds, as a batch of one."""
    solution = max_margin(x.reshape(-1, x.shape[-1]))
    duals = solution.multipliers.reshape(x.shape[:2])
    return Planted(x[None], solution.separator[None], duals[None])


def polar(degrees: float, length: float = 1.0) -> np.ndarray:
    """A point of the plane."""
    return length * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def plane() -> np.ndarray:
    """Six points of the plane in three tasks, ``(3, 2, 2)``; the joint max-margin direction is at 10 degrees."""
    return np.array(
        [
            [polar(70), polar(60, 2)],
            [polar(-50), polar(-20, 2)],
            [polar(30, 3), polar(0, 2.5)],
        ]
    )


def four_points() -> np.ndarray:
    """Four points in dimension 4 in two splits, ``(2 splits, 2 tasks, 2, 4)``: contradicting tasks, aligned tasks."""
    V = 2 * np.array([[1, 0.3, 0], [1, -0.3, 0], [-1, 0, 0.3], [-1, 0, -0.3]])
    points = np.column_stack([np.ones(4), V])
    return points[np.array([[[0, 1], [2, 3]], [[0, 2], [1, 3]]])]


def is_separable(x: np.ndarray) -> bool:
    """Whether some ``w`` has ``<x_i, w> > 0`` for all signed examples ``(N, d)``; a linear program."""
    x = x / np.abs(x).max()
    solved = linprog(np.zeros(x.shape[1]), A_ub=-x, b_ub=-np.ones(len(x)), bounds=(None, None), method="highs")
    return solved.status == 0


def joint_minimizer(x: np.ndarray, steps: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Minimizer of the joint logistic loss of ``(N, d)`` non-separable examples by damped Newton, and its Hessian."""
    w = np.zeros(x.shape[1])

    def loss(w):
        return np.logaddexp(0, -x @ w).sum()

    for _ in range(steps):
        slope = 1 / (1 + np.exp(np.clip(x @ w, -500, 500)))
        hessian = (x * (slope * (1 - slope))[:, None]).T @ x
        direction = np.linalg.solve(hessian + 1e-14 * np.trace(hessian) * np.eye(len(w)), x.T @ slope)
        decrease, t = x.T @ slope @ direction, 1.0
        while loss(w + t * direction) > loss(w) - 1e-4 * t * decrease and t > 1e-10:
            t /= 2
        w = w + t * direction
        if decrease < 1e-26:
            break
    slope = 1 / (1 + np.exp(np.clip(x @ w, -500, 500)))
    return w, (x * (slope * (1 - slope))[:, None]).T @ x


def clashing(
    rng: np.random.Generator, datasets: int, M: int, n: int, d: int, shift: float, least_curvature: float
) -> tuple[np.ndarray, int, list[np.ndarray]]:
    """Gaussian tasks that are separable one by one and not together.

    Returns
    -------
    Tasks ``(datasets, M, n, d)`` whose joint Hessian at the minimizer has least eigenvalue ``least_curvature`` or more;
    how many draws that took; and the non-separable draws below that curvature on the way, nearly separable ones
    """
    kept, rejected, drawn = [], [], 0
    while len(kept) < datasets:
        drawn += 1
        if drawn > 200 * datasets:
            raise ValueError("no such tasks found")
        x = rng.normal(size=(M, n, d)) + shift
        if not all(is_separable(task) for task in x) or is_separable(x.reshape(-1, d)):
            continue
        curvature = np.linalg.eigvalsh(joint_minimizer(x.reshape(-1, d))[1])[0]
        (kept if curvature >= least_curvature else rejected).append(x)
    return np.stack(kept), drawn, rejected


def digit_tasks(
    pairs: list[list[int]], per_task: int, seed: int, *, coarse: bool = False, attempt: int = 0
) -> np.ndarray:
    """Pairs of digits from scikit-learn as tasks: in each, the second digit of the pair has the label +1.

    Parameters
    ----------
    pairs : the digits of each task
    per_task : images per task, half of each digit (fewer if there are not so many: 174 of a digit at least)
    seed, attempt : which images
    coarse : average blocks of 2 x 2 pixels, 16 features in place of 64

    Returns
    -------
    Signed examples with pixels in [0, 1] and no constant feature, ``(M, per_task, 64)`` or ``(M, per_task, 16)``
    """
    data = load_dataset("digits", normalize="unit", flatten=True, dtype="float64")
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    if coarse:
        x = x.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16)
    rng = np.random.default_rng([seed, 9, attempt])
    chosen = [rng.permutation(np.flatnonzero(y == digit))[: per_task // 2] for pair in pairs for digit in pair]
    signed = [(-1) ** (k + 1) * x[images] for k, images in enumerate(chosen)]
    return np.stack([np.concatenate(signed[k : k + 2]) for k in range(0, len(signed), 2)])
