"""The permutation-invariant class ``A_sigma = sigma I + (1 - sigma) 1 1^T``: exact rates, bounds, limits."""

import numpy as np


def rcd_rate(n: int, sigma: np.ndarray) -> np.ndarray:
    """Rate of RCD on ``A_sigma`` for each update: ``1 - theta / n``, with theta the smaller root of
    ``theta^2 - S theta + 2 sigma lambda = 0``, ``lambda = n - (n - 1) sigma``, ``S = sigma + (1 + sigma) lambda``.
    """
    sigma = np.asarray(sigma, dtype=float)
    largest = n - (n - 1) * sigma
    S = sigma + (1 + sigma) * largest
    theta = 4 * sigma * largest / (S + np.sqrt(S**2 - 8 * sigma * largest))  # the root without cancellation
    return 1 - theta / n


def rcd_block_rate(n: int, k: int, sigma: np.ndarray) -> np.ndarray:
    """Rate of RCD for an *epoch* on ``A_{k, sigma} + I_{n-k}``: ``(1 - theta_k / n)^n``.

    The block's own coordinates are drawn k times in n, and ``theta_k = k (1 - rho)`` is that of the block alone.
    """
    theta = k * (1 - rcd_rate(k, sigma))
    return (1 - theta / n) ** n


def rpcd_matrix(n: int, sigma: np.ndarray) -> np.ndarray:
    """RPCD's second-moment map for ``A_sigma`` on ``span{I, J}``: its matrix.

    ``J = 1 1^T``; the shape is ``(..., 2, 2)``. Column 1 holds the image
    ``alpha I + beta J`` of ``I``, column 2 that of ``J``. An epoch in natural order
    from x keeps a running sum: ``S_i = sigma (S_{i-1} - x_i)``, and
    ``x_i <- -(1 - sigma) (S_{i-1} - x_i)``.
    """
    s = np.asarray(sigma, dtype=float)[..., None]
    i = np.arange(1, n + 1)
    p = s ** (i - 1)  # sigma^(i-1)
    geometric = np.cumsum(p, axis=-1)  # 1 + sigma + ... + sigma^(i-1)
    squares = np.cumsum(p**2, axis=-1)
    q2 = (1 - s[..., 0]) ** 2
    # E||x||^2 and E(1^T x)^2 after the epoch, from second moment I and from J
    # sum over m < i of (sigma^(i-1) - sigma^m)^2
    own = i * p**2 - 2 * p * geometric + squares
    v1_I = q2 * ((n - i) * p**2 + own).sum(-1)
    v2_I = ((s**n - s**i) ** 2).sum(-1)
    before = n * p - s * (geometric - p)  # S_{i-1} from the all-ones vector
    v1_J = q2 * ((before - 1) ** 2).sum(-1)
    v2_J = (s[..., 0] * (before[..., -1] - 1)) ** 2
    columns = []
    for v1, v2 in ((v1_I, v2_I), (v1_J, v2_J)):
        beta = (v2 - v1) / (n * (n - 1))
        columns.append(np.stack([v1 / n - beta, beta], axis=-1))
    return np.stack(columns, axis=-1)


def rpcd_rate(n: int, sigma: np.ndarray) -> np.ndarray:
    """Rate of RPCD on ``A_sigma`` for each epoch; ``O(n)``."""
    M = rpcd_matrix(n, sigma)
    half = (M[..., 0, 0] + M[..., 1, 1]) / 2
    # The map keeps the positive semidefinite cone, so its larger eigenvalue is real and non-negative.
    return half + np.sqrt(np.maximum(((M[..., 0, 0] - M[..., 1, 1]) / 2) ** 2 + M[..., 0, 1] * M[..., 1, 0], 0))


def worth(n: int, sigma: np.ndarray) -> np.ndarray:
    """How many epochs of RCD one epoch of RPCD is worth on ``A_sigma``: the ratio of the logarithms of their rates."""
    return np.log(rpcd_rate(n, sigma)) / (n * np.log(rcd_rate(n, sigma)))


def bound(n: int, sigma: np.ndarray) -> np.ndarray:
    """``B = max{(1 - 1/n)^n, (1 - sigma/n)^(2n)}``, what separates the two methods, for each epoch."""
    sigma = np.asarray(sigma, dtype=float)
    return np.maximum((1 - 1 / n) ** n, (1 - sigma / n) ** (2 * n))


def class_maximum(n: int, sigma: np.ndarray) -> np.ndarray:
    """RPCD's largest rate over the class in dimension n: over the blocks of size ``2..n``."""
    return np.max([rpcd_rate(k, sigma) for k in range(2, n + 1)], axis=0)


def rpcd_limit(sigma: np.ndarray) -> np.ndarray:
    """``(1 - sigma) / (1 + sigma)``, RPCD's rate on ``A_sigma`` for n to infinity."""
    return (1 - np.asarray(sigma)) / (1 + np.asarray(sigma))


def rcd_limit(sigma: np.ndarray) -> np.ndarray:
    """``exp(-2 sigma / (1 + sigma))``, RCD's rate for each epoch on ``A_sigma`` for n to infinity."""
    return np.exp(-2 * np.asarray(sigma) / (1 + np.asarray(sigma)))


def expected_squares(M: np.ndarray, n: int, epochs: int) -> np.ndarray:
    """``E||x_K||^2`` for K = 0..epochs from ``E[x_0 x_0^T] = I / n``, if ``M`` acts on the coefficients of I and J."""
    coefficients = np.array([1 / n, 0.0])
    squares = [1.0]
    for _ in range(epochs):
        coefficients = M @ coefficients
        squares.append(n * coefficients.sum())
    return np.array(squares)


def rcd_matrix(n: int, sigma: float) -> np.ndarray:
    """RCD's second-moment map on ``span{I, J}`` for one update, ``(2, 2)``, columns as in :func:`rpcd_matrix`."""
    q, largest = 1 - sigma, n - (n - 1) * sigma
    # A = sigma I + q J; A J = largest J; the diagonals of A A and A J A are constant
    image_I = np.array([1 - (2 * sigma - (sigma**2 + 2 * sigma * q + n * q**2)) / n, -2 * q / n])
    image_J = np.array([largest**2 / n, 1 - 2 * largest / n])
    return np.stack([image_I, image_J], axis=-1)
