"""Rates in closed form: of the strongly convex quadratic, of the textbook, of single paths, and of heavy ball.

All are factors per step of the squared distance to the minimizers, or of ``f - f*``, which behaves like it. Noise is
*multiplicative*, ``E |xi|^2 <= sigma (f - f*)``; gradient descent is ``sigma = 0``. Arguments broadcast.
"""

import numpy as np
from scipy.special import roots_gegenbauer


def mode_rate(lr: np.ndarray, eigenvalue: np.ndarray, sigma: np.ndarray = 0.0) -> np.ndarray:
    """``(1 - lr lambda)^2 + lr^2 sigma lambda / 2``: all noise in one eigendirection."""
    lr, eigenvalue, sigma = (np.asarray(v, dtype=float) for v in (lr, eigenvalue, sigma))
    return (1 - lr * eigenvalue) ** 2 + lr**2 * sigma * eigenvalue / 2


def rate(lr: np.ndarray, mu: np.ndarray, L: np.ndarray, sigma: np.ndarray = 0.0) -> np.ndarray:
    """The largest of :func:`mode_rate` over ``[mu, L]``; it is convex in the eigenvalue, so at an end.

    Below one if and only if ``lr < 2 / (L + sigma / 2)``, see :func:`largest_step`.
    """
    return np.maximum(mode_rate(lr, mu, sigma), mode_rate(lr, L, sigma))


def largest_step(L: np.ndarray, sigma: np.ndarray = 0.0) -> np.ndarray:
    """Step sizes below ``2 / (L + sigma / 2)`` contract."""
    return 2 / (np.asarray(L, dtype=float) + np.asarray(sigma) / 2)


def critical_noise(mu: float, L: float) -> float:
    """The noise ``2 (L - mu)`` from which on the best rate does not depend on ``L``."""
    return 2 * (L - mu)


def optimal_step(mu: np.ndarray, L: np.ndarray, sigma: np.ndarray = 0.0) -> np.ndarray:
    """The constant step with the smallest :func:`rate`.

    ``2 / (mu + L + sigma / 2)``, where both ends are equally slow, up to the critical
    noise; ``2 / (2 mu + sigma)``, the best for the mode mu alone, beyond it.
    """
    mu, L, sigma = (np.asarray(v, dtype=float) for v in (mu, L, sigma))
    return np.minimum(2 / (mu + L + sigma / 2), 2 / (2 * mu + sigma))


def optimal_rate(mu: np.ndarray, L: np.ndarray, sigma: np.ndarray = 0.0) -> np.ndarray:
    """The rate at :func:`optimal_step`.

    ``1 - 4 mu L / (mu + L + sigma / 2)^2`` up to the critical noise,
    ``sigma / (2 mu + sigma)`` beyond it.
    """
    mu, L, sigma = (np.asarray(v, dtype=float) for v in (mu, L, sigma))
    balanced = 1 - 4 * mu * L / (mu + L + sigma / 2) ** 2
    return np.where(sigma <= critical_noise(mu, L), balanced, sigma / (2 * mu + sigma))


def textbook_rate(lr: np.ndarray, mu: float, L: float, sigma: float = 0.0) -> np.ndarray:
    """What the descent lemma and the PL inequality give, for ``lr <= 2 / L``.

    ``1 - 2 lr mu (1 - lr L / 2) + lr^2 L sigma / 2``; without noise at best ``1 - mu / L``.
    """
    lr = np.asarray(lr, dtype=float)
    return 1 - 2 * lr * mu * (1 - lr * L / 2) + lr**2 * L * sigma / 2


def textbook_optimum(mu: float, L: float, sigma: np.ndarray = 0.0) -> np.ndarray:
    """The least :func:`textbook_rate`, at the step ``mu / (L (mu + sigma / 2))``.

    ``1 - mu^2 / (L (mu + sigma / 2))``.
    """
    return 1 - mu**2 / (L * (mu + np.asarray(sigma) / 2))


def moment_matrix(lr: float, eigenvalues: np.ndarray, shares: np.ndarray, sigma: float) -> np.ndarray:
    """The map of the second moments ``E x_i^2`` of a quadratic by one step.

    ``diag((1 - lr lambda_i)^2) + lr^2 sigma / 2  q lambda^T`` for noise whose covariance
    given the past is ``sigma f diag(q)``.

    Parameters
    ----------
    lr, sigma : scalars, or of the leading shape ``(...)``
    eigenvalues, shares : ``(..., d)``; the shares q are nonnegative, of sum one

    Returns
    -------
    Array of shape ``(..., d, d)``
    """
    lr, sigma = np.asarray(lr, dtype=float)[..., None], np.asarray(sigma, dtype=float)[..., None]
    decay = (1 - lr * eigenvalues) ** 2
    noise = (lr**2 * sigma / 2 * shares)[..., :, None] * np.asarray(eigenvalues)[..., None, :]
    return decay[..., None] * np.eye(decay.shape[-1]) + noise


def moment_rate(lr: float, eigenvalues: np.ndarray, shares: np.ndarray, sigma: float) -> np.ndarray:
    """The spectral radius of :func:`moment_matrix`, ``(...)``: the exact mean-square rate of a quadratic."""
    return np.abs(np.linalg.eigvals(moment_matrix(lr, eigenvalues, shares, sigma))).max(-1)


def path_rate(lr: float, eigenvalue: float, sigma: float, dimension: int, nodes: int = 400) -> float:
    """The factor of ``|w|^2`` along almost every path, all noise in one eigenspace.

    A step multiplies ``|w|^2`` by ``rho + 2 a b c`` with ``a = 1 - lr lambda``,
    ``b^2 = lr^2 sigma lambda / 2``, ``rho = a^2 + b^2``, and c one coordinate of a
    uniform point of the sphere in ``dimension`` dimensions (of density proportional to
    ``(1 - c^2)^((dimension - 3) / 2)``; a fair sign in one). The rate is the exponential
    of the mean logarithm, less than rho by Jensen's inequality.
    """
    a, b = 1 - lr * eigenvalue, lr * np.sqrt(sigma * eigenvalue / 2)
    if dimension == 1:
        return float(np.abs((a + b) * (a - b)))
    c, weight = roots_gegenbauer(nodes, (dimension - 2) / 2)
    factor = np.log(a**2 + b**2 + 2 * a * b * c)
    return float(np.exp((weight * factor).sum() / weight.sum()))


def momentum_rate(lr: np.ndarray, momentum: np.ndarray, mu: float, L: float) -> np.ndarray:
    """The factor of ``f`` under heavy ball on a quadratic with spectrum ``[mu, L]``.

    The squared spectral radius of ``[[1 + beta - lr lambda, -beta], [1, 0]]``, the larger
    one at the two ends; ``beta`` itself wherever the roots are complex.
    """
    radii = []
    for eigenvalue in (mu, L):
        trace = 1 + momentum - lr * eigenvalue
        root = np.sqrt(np.asarray(trace**2 - 4 * np.asarray(momentum), dtype=complex))
        radii.append(np.maximum(np.abs(trace + root), np.abs(trace - root)) / 2)
    return np.maximum(*radii) ** 2


def momentum_optimum(mu: float, L: float) -> tuple[float, float]:
    """Step and momentum of the best :func:`momentum_rate`.

    ``4 / (sqrt L + sqrt mu)^2`` and ``((sqrt kappa - 1) / (sqrt kappa + 1))^2``,
    ``kappa = L / mu``; the latter is also the rate.
    """
    low, high = np.sqrt(mu), np.sqrt(L)
    return float(4 / (high + low) ** 2), float(((high - low) / (high + low)) ** 2)
