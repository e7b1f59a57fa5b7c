"""Maximum-margin directions of homogeneous linear classifiers, with the dual solutions that certify them.

For signed examples ``z_i = y_i x_i``, the rows of ``Z``, and a norm ``p`` with dual norm ``p*`` (1/p + 1/p* = 1):

    margin(p) = max over ||w||_p <= 1 of min_i <z_i, w>  =  min over q in the simplex of ||Z^T q||_{p*}.

The second form is the distance of the origin from the convex hull of the examples. Any ``w`` bounds the margin from
below and any ``q`` from above, so a solution that comes with its ``q`` proves itself: :attr:`MaxMargin.gap` is zero.

>>> import numpy as np
>>> Z = np.array([[2.0, 0.0], [0.0, 1.0]])
>>> solution = max_margin(Z, p=1)
>>> solution.w.round(6), round(solution.margin, 6), solution.q.round(6)
(array([0.33..., 0.66...]), 0.66..., array([0.33..., 0.66...]))
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog, nnls

# A margin below SEPARABLE times the largest ||z_i||_{p*} drowns in the solvers' tolerances. Where the dual bounds it
# from above to within PROVEN of its value, it is known all the same, down to the roundings of the products.
SEPARABLE = 1e-9
PROVEN = 1e-6
ROUNDING = 1e-13


class NotSeparableError(ValueError):
    """No ``w`` has ``<z_i, w> > 0`` for all examples."""


@dataclass(frozen=True)
class MaxMargin:
    """Solution of a max-margin problem.

    Attributes
    ----------
    w : direction of unit p-norm, ``(d,)``; not unique for p = 1 and p = inf if several attain the margin
    margin : ``min_i <z_i, w>``, positive
    q : dual solution, a probability vector over the examples, ``(N,)``; positive only on support vectors
    p : the norm, 1, 2 or inf
    gap : ``||Z^T q||_{p*} - margin``, zero up to rounding
    """

    w: np.ndarray
    margin: float
    q: np.ndarray
    p: float
    gap: float

    @property
    def separator(self) -> np.ndarray:
        """The smallest ``w`` in p-norm with ``<z_i, w> >= 1`` for all examples: ``w / margin``."""
        return self.w / self.margin

    @property
    def multipliers(self) -> np.ndarray:
        """Multipliers of ``<z_i, w> >= 1`` in ``min ||w||_2^2 / 2``: for p = 2, ``separator = Z^T multipliers``."""
        return self.q / self.margin / self.margin  # the square itself may underflow


def max_margin(Z: np.ndarray, p: float = 2) -> MaxMargin:
    """The max-margin direction of signed examples in the 1-, 2- or infinity-norm, with its dual.

    Parameters
    ----------
    Z : signed examples ``y_i x_i``, shape ``(N, d)``
    p : norm that is bounded: 1, 2 or ``numpy.inf``

    Notes
    -----
    p = 2 is the point of the examples' convex hull nearest to the origin, found by non-negative least squares
    ``min ||Z^T u||^2 + (sum(u) - 1)^2``, whose solution is proportional to the nearest point's weights
    [Lawson and Hanson, Solving Least Squares Problems, chapter 23]. p = 1 and p = inf are linear programs.

    The examples are scaled by a power of two first, so that a common factor of theirs changes nothing but the margin.

    Raises
    ------
    NotSeparableError
        If no direction classifies every example correctly.
    ValueError
        For another norm, examples that are not a finite matrix, or separable examples of so different lengths that
        double precision cannot tell their margin from zero.
    """
    given = _checked(Z)
    Z, exponent = _scaled(given)
    if p == 2:
        q = _nearest_point_weights(Z)
        w = Z.T @ q
        w = w / max(np.linalg.norm(w), np.finfo(float).tiny)
    elif p in (1, np.inf):
        w, q = _linear_program(Z, p)
    else:
        raise ValueError(f"p: got {p!r}, allowed: 1, 2 or numpy.inf")
    margin = float((Z @ w).min())
    dual_order = {1: np.inf, 2: 2, np.inf: 1}[p]
    gap = float(np.linalg.norm(Z.T @ q, ord=dual_order) - margin)
    largest = np.linalg.norm(Z, ord=dual_order, axis=1).max()
    proven = margin > ROUNDING * largest and abs(gap) <= PROVEN * margin
    if margin <= SEPARABLE * largest and not proven:
        if _separable(given):
            raise ValueError("Z: got examples whose lengths differ too much to tell their margin from zero; scale them")
        found = np.ldexp(max(margin, 0.0), exponent)
        raise NotSeparableError(f"data not separable: the largest margin in the {p}-norm is {found:.3g}")
    return MaxMargin(w, float(np.ldexp(margin, exponent)), q, p, float(np.ldexp(gap, exponent)))


def weighted_svm(Z: np.ndarray, metric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hard-margin classifier in another metric: ``min w^T M w / 2`` subject to ``<z_i, w> >= 1``.

    Parameters
    ----------
    Z : signed examples, ``(N, d)``
    metric : the positive definite matrix ``M``, ``(d, d)``, or its diagonal, ``(d,)``

    Returns
    -------
    w, multipliers : ``(d,)`` and ``(N,)``, with ``M w = Z^T multipliers``

    Raises
    ------
    NotSeparableError
        If the examples are not separable.
    ValueError
        If the metric has another shape or is not positive definite.
    """
    Z, metric = _checked(Z), np.asarray(metric, dtype=float)
    d = Z.shape[1]
    if metric.shape not in ((d,), (d, d)):
        raise ValueError(f"metric: got shape {metric.shape}, allowed: ({d},) or ({d}, {d})")
    try:
        root = np.linalg.cholesky(np.diag(metric) if metric.ndim == 1 else metric)  # M = R R^T, v = R^T w
    except np.linalg.LinAlgError:
        raise ValueError("metric: not positive definite") from None
    solution = max_margin(np.linalg.solve(root, Z.T).T, p=2)
    return np.linalg.solve(root.T, solution.separator), solution.multipliers


def normalized_margin(w: np.ndarray, Z: np.ndarray, p: float = 2) -> np.ndarray:
    """``min_i <z_i, w> / ||w||_p`` of one or many directions; never more than ``max_margin(Z, p).margin``.

    Parameters
    ----------
    w : directions, ``(..., d)``; a zero vector has margin zero
    Z : signed examples, ``(..., N, d)``, broadcast against ``w``
    p : any norm's order

    Returns
    -------
    Array of shape ``(...)``
    """
    w, (Z, exponent) = np.asarray(w, dtype=float), _scaled(np.asarray(Z, dtype=float))
    largest = np.abs(w).max(-1, keepdims=True)
    w = np.divide(w, largest, out=np.zeros_like(w), where=largest > 0)  # its length does not count, its squares might
    size = np.linalg.norm(w, ord=p, axis=-1)
    margins = np.einsum("...nd,...d->...n", Z, w).min(-1)
    return np.ldexp(np.divide(margins, size, out=np.zeros_like(margins), where=size > 0), exponent)


def _checked(Z: np.ndarray) -> np.ndarray:
    Z = np.asarray(Z, dtype=float)
    if Z.ndim != 2 or 0 in Z.shape:
        raise ValueError(f"Z: got shape {Z.shape}, allowed: (N, d) with N, d of at least 1")
    if not np.isfinite(Z).all():
        raise ValueError("Z: got entries that are not finite")
    return Z


def _scaled(Z: np.ndarray) -> tuple[np.ndarray, int]:
    """``Z / 2**e`` with its largest entry between 1/2 and 1, and ``e``: exact, however small or large the entries."""
    exponent = int(np.frexp(np.abs(Z).max(initial=0.0))[1])
    return np.ldexp(Z, -exponent), exponent


def _separable(Z: np.ndarray) -> bool:
    """Whether some direction has a positive product with every example, however long or short each is."""
    rows = np.array([_scaled(row)[0] for row in Z])
    w = rows.T @ _nearest_point_weights(rows)
    return bool((rows @ w).min() > SEPARABLE)


def _nearest_point_weights(Z: np.ndarray) -> np.ndarray:
    """Weights of the convex hull's point of least 2-norm, ``(N,)``."""
    scale = np.linalg.norm(Z, axis=1).max() or 1.0
    rows = np.vstack([Z.T / scale, np.ones(len(Z))])
    target = np.append(np.zeros(Z.shape[1]), 1.0)
    weights, _ = nnls(rows, target, maxiter=max(100, 30 * len(Z)))
    return weights / weights.sum()


def _linear_program(Z: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Maximize ``t`` subject to ``<z_i, w> >= t`` in the unit ball of the 1- or infinity-norm."""
    N, d = Z.shape
    scale = np.abs(Z).max() or 1.0
    Z = Z / scale
    ones = np.ones((N, 1))
    if p == 1:  # w = a - b with a, b >= 0 and sum(a + b) <= 1
        objective = np.append(np.zeros(2 * d), -1.0)
        above = np.hstack([-Z, Z, ones])
        rows = np.vstack([above, np.append(np.ones(2 * d), 0.0)])
        limits = np.append(np.zeros(N), 1.0)
        bounds = [(0, None)] * (2 * d) + [(None, None)]
    else:
        objective = np.append(np.zeros(d), -1.0)
        rows, limits = np.hstack([-Z, ones]), np.zeros(N)
        bounds = [(-1, 1)] * d + [(None, None)]
    solved = linprog(objective, A_ub=rows, b_ub=limits, bounds=bounds, method="highs")
    if not solved.success:
        raise ValueError(f"linear program not solved: {solved.message}")
    w = solved.x[:d] - solved.x[d : 2 * d] if p == 1 else solved.x[:d]
    q = np.maximum(-solved.ineqlin.marginals[:N], 0)
    return w, q / q.sum()
