"""Random quadratic finite sums, for statements about every order rather than about the worst instance."""

import numpy as np

from companion.analysis.finite_sum import FiniteSumQuadratic


def random_problem(
    rng: np.random.Generator, n: int, d: int, mu: float, L: float, G: float, concave: bool, device: str = "cpu"
) -> FiniteSumQuadratic:
    """A quadratic finite sum with random Hessians, ``x* = 0`` and noise of length at most G.

    Convex: eigenvalues log-uniform in ``[mu, L]`` in random directions. Concave: their mean has eigenvalues from ``mu``
    to ``L / 2``, and the components deviate from it by up to ``L / 2`` either way.
    """
    Q = np.linalg.qr(rng.normal(size=(n, d, d)))[0]
    if concave:
        deviation = np.einsum("nij,nj,nkj->nik", Q, rng.uniform(-L / 2, L / 2, size=(n, d)), Q)
        deviation -= deviation.mean(0)
        deviation *= min(1, L / 2 / np.linalg.norm(deviation, 2, axis=(1, 2)).max())
        axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
        H = axes * np.geomspace(mu, L / 2, d) @ axes.T + deviation
    else:
        H = np.einsum("nij,nj,nkj->nik", Q, mu * (L / mu) ** rng.random((n, d)), Q)
    return FiniteSumQuadratic(H, random_noise(rng, n, d, G), device)


def heterogeneous_problem(
    rng: np.random.Generator, n: int, d: int, mu: float, L: float, G: float, device: str = "cpu"
) -> FiniteSumQuadratic:
    """Strongly convex components ``R (I + D_i) R^T`` with ``R R^T`` of eigenvalues ``mu`` to ``L / 2`` and random
    symmetric ``D_i`` of norm a half or so: no order can average the Hessians away.
    """
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
    R = axes * np.sqrt(np.geomspace(mu, L / 2, d))
    D = rng.normal(size=(n, d, d))
    D = D + D.transpose(0, 2, 1)
    D /= 2 * np.linalg.norm(D, 2, axis=(1, 2))[:, None, None]
    D -= D.mean(0)
    return FiniteSumQuadratic(R @ (np.eye(d) + D) @ R.T, random_noise(rng, n, d, G), device)


def line_problem(
    rng: np.random.Generator, n: int, curvature: float, G: float, device: str = "cpu"
) -> FiniteSumQuadratic:
    """One dimension, one curvature for all, random noise of size at most G."""
    return FiniteSumQuadratic(np.full((n, 1, 1), curvature), random_noise(rng, n, 1, G), device)


def random_noise(rng: np.random.Generator, n: int, d: int, G: float) -> np.ndarray:
    """Gaussian linear terms of zero sum, the longest of length G, ``(n, d)``."""
    b = rng.normal(size=(n, d))
    b -= b.mean(0)
    return G * b / np.linalg.norm(b, axis=1).max()


def random_start(rng: np.random.Generator, problem: FiniteSumQuadratic, gap: float) -> np.ndarray:
    """A point of the given gap in a random direction from the optimum of a problem with ``x* = 0``, ``(d,)``."""
    direction = rng.normal(size=problem.d)
    return direction * np.sqrt(2 * gap / (direction @ problem.mean_hessian @ direction))


def sorted_order(rng: np.random.Generator, problem: FiniteSumQuadratic) -> np.ndarray:
    """Components in the order of their noise along a random direction, ``(n,)``: the partial sums become long."""
    return np.argsort(problem.b @ rng.normal(size=problem.d))


def heterogeneity(problem: FiniteSumQuadratic) -> float:
    """How much Hessians differ: the largest ``||Hbar^{-1/2} (H_i - Hbar) Hbar^{-1/2}||``."""
    root = np.linalg.inv(np.linalg.cholesky(problem.mean_hessian))
    return float(np.linalg.norm(root @ (problem.H - problem.mean_hessian) @ root.T, 2, axis=(1, 2)).max())
