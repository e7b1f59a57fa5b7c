"""The bounds of the page, as functions of their constants. Large ones are given by their logarithms to base ten."""

import numpy as np


def constants(x: np.ndarray) -> tuple[float, float]:
    """Lipschitz constants of the cross-entropy ``W -> l(W; x, y)`` of a linear classifier, over the examples.

    ``G = sqrt(2) max ||x||`` bounds the gradient ``(p - y) x^T``, ``L = max ||x||^2 / 2`` its own Lipschitz constant,
    since ``diag(p) - p p^T`` has no eigenvalue above 1/2.

    Parameters
    ----------
    x : examples ``(n, d)``
    """
    longest = np.sqrt((x**2).sum(1).max())
    return float(np.sqrt(2) * longest), float(longest**2 / 2)


def kappa_bound(kappa: np.ndarray, eta: float, G: float, L: float, n: int) -> np.ndarray:
    r"""``log10 b_t`` for ``b_t = (1 + eta L / kappa_t) b_{t-1} + 2 eta G / (kappa_t N)``, ``b_0 = 0``.

    With a constant ``kappa`` this is ``2 G / (L N) ((1 + eta L / kappa)^t - 1)``.

    Parameters
    ----------
    kappa : ``kappa_t > 0`` of each step, ``(T,)``
    eta, G, L, n : step size, Lipschitz constants of loss and gradient, number of examples
    """
    found, last = [], -np.inf
    for k in kappa:
        last = np.logaddexp(np.log1p(eta * L / k) + last, np.log(2 * eta * G / (k * n)))
        found.append(last / np.log(10))
    return np.array(found)


def travel_bound(steps: np.ndarray, eta: float, rank: int, batch: int, n: int, length: float) -> np.ndarray:
    """``2 eta s sqrt(r) sum_{t <= T} min(1, b t / N)``: how far two runs can part after they first differ.

    Parameters
    ----------
    steps : the T at which it is wanted, from 1 on
    eta, rank, batch, n : step size, ``r = min(m, n)``, batch size, number of examples
    length : ``s``, the most that a singular value of the update can be
    """
    longest = int(np.max(steps))
    differed = np.minimum(1, batch * np.arange(1, longest + 1) / n)
    return 2 * eta * length * np.sqrt(rank) * np.cumsum(differed)[np.asarray(steps) - 1]


def convergence_bound(
    steps: np.ndarray, eta0: float, start: float, rank: int, smoothness: float, variance: float
) -> np.ndarray:
    """Right-hand side of the theorem on the rate, for ``eta = eta0 T^(-3/4)`` and ``beta = T^(-1/2)``.

    Parameters
    ----------
    steps : T, at least :func:`least_horizon`
    eta0, start : ``eta_0`` and ``F(W_0) - F*``
    rank, smoothness, variance : ``r``, ``L``, ``sigma^2``
    """
    T = np.asarray(steps, dtype=float)
    moved = smoothness**2 * eta0**2 * rank
    first = start / eta0 + 2 * np.sqrt(rank * (2 * variance + moved))
    second = 8 * rank * smoothness**2 * eta0**2 + variance + moved / 2
    return first * T**-0.25 + second * T**-0.5 + smoothness * eta0 * rank / 2 * T**-0.75


def least_horizon(eta0: float, smoothness: float) -> float:
    """The least T for which the theorem holds: ``max{(4 L eta0)^(4/3), (8 L^2 eta0^2)^2}``."""
    return max((4 * smoothness * eta0) ** (4 / 3), (8 * smoothness**2 * eta0**2) ** 2)
