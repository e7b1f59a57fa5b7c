"""Tangent kernels of infinitely wide networks on the circle, and the limit equation that they drive."""

import numpy as np
import torch

from companion.chapters.newton_nntk.network import ACTIVATIONS


def erf_kernel(delta: np.ndarray, s: float, s_b: float) -> np.ndarray:
    """The tangent kernel of erf units between points of the circle at the angle ``delta``.

    ``K = (2/pi) arcsin(2G / (1 + 2v)) + (4/pi) (1 + cos delta) / sqrt((1 + 2v)^2 - 4G^2)`` with ``v = s^2 + s_b^2``
    and ``G = s^2 cos delta + s_b^2``; the first term is Williams's (1996) covariance of the hidden layer.

    Parameters
    ----------
    delta : angles in radians, any shape
    s, s_b : standard deviations of input weights and bias
    """
    v, G = s**2 + s_b**2, s**2 * np.cos(delta) + s_b**2
    hidden = 2 / np.pi * np.arcsin(2 * G / (1 + 2 * v))
    slopes = 4 / np.pi / np.sqrt((1 + 2 * v) ** 2 - 4 * G**2)
    return hidden + (1 + np.cos(delta)) * slopes


def quadrature_kernel(delta: np.ndarray, s: float, s_b: float, activation: str, points: int = 401) -> np.ndarray:
    """The same for any activation: ``E[sigma(u) sigma(u') + sigma'(u) sigma'(u') x . x']`` by the trapezoidal rule.

    ``u, u'`` are jointly Gaussian with variance ``v`` and covariance ``G``, as in :func:`erf_kernel`.
    """
    v, G = s**2 + s_b**2, s**2 * np.cos(delta) + s_b**2
    z = np.linspace(-8.5, 8.5, points)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    rho = np.clip(np.asarray(G / v), -1, 1)[..., None]
    chosen = ACTIVATIONS[activation]
    total = np.zeros(np.shape(delta))
    u = np.sqrt(v) * z
    for a, p in zip(u, weight, strict=True):
        b = torch.from_numpy(rho * a + np.sqrt(1 - rho**2) * u)
        a = torch.tensor(a, dtype=torch.float64)
        hidden = (chosen.value(b).numpy() @ weight) * float(chosen.value(a))
        slopes = (chosen.first(b).numpy() @ weight) * float(chosen.first(a))
        total += p * (hidden + (1 + np.cos(delta)) * slopes)
    return total


def tangent_kernel(a: np.ndarray, b: np.ndarray, s: float, s_b: float, activation: str) -> np.ndarray:
    """The limit of ``N^(2b-1) J J^T`` between the angles ``a`` and ``b``: ``(len(a), len(b))``."""
    delta = a[:, None] - b
    if activation == "erf":
        return erf_kernel(delta, s, s_b)
    # The kernel depends on cos(delta) alone, and quadrature is slow: each angle once.
    distinct, where = np.unique(np.round(np.cos(delta), 12), return_inverse=True)
    found = quadrature_kernel(np.arccos(np.clip(distinct, -1, 1)), s, s_b, activation)
    return found[where].reshape(delta.shape)


def spectrum(K: np.ndarray) -> np.ndarray:
    """Eigenvalues ``mu_k`` of a kernel on equally spaced angles, by frequency ``k = 0, ..., M/2``."""
    return np.fft.rfft(K[0]).real


def newton_kernel(K: np.ndarray, M: int, lam: np.ndarray) -> np.ndarray:
    """``K(x, X) (K(X, X) + M lam I)^-1`` for ``K`` with the ``M`` training points first.

    Parameters
    ----------
    K : kernel between all points and the training points, ``(points, M)``
    lam : any shape

    Returns
    -------
    ``(*lam.shape, points, M)``
    """
    lam = np.asarray(lam, dtype=float)[..., None, None]
    system = K[:M] + M * lam * np.eye(M)
    right = np.broadcast_to(K.T, (*lam.shape[:-2], *K.T.shape))
    return np.swapaxes(np.linalg.solve(system, right), -1, -2)


def limit_outputs(kernel: np.ndarray, y: np.ndarray, eta: float, steps: int) -> np.ndarray:
    """``g_{k+1}(x) = g_k(x) - eta kernel(x, X) (g_k(X) - y)`` from ``g_0 = 0``.

    Parameters
    ----------
    kernel : ``(..., points, M)``, the training points first
    y : ``(M,)`` or ``(..., M)``

    Returns
    -------
    ``(..., steps + 1, points)``
    """
    M = kernel.shape[-1]
    g = np.zeros(np.broadcast_shapes(kernel.shape[:-1], (*np.shape(y)[:-1], 1)))
    path = [g]
    for _ in range(steps):
        g = g - eta * np.einsum("...pm,...m->...p", kernel, g[..., :M] - y)
        path.append(g)
    return np.stack(path, axis=-2)


def frequency_amplitudes(residual: np.ndarray) -> np.ndarray:
    """Absolute Fourier coefficients on equally spaced angles: ``(..., M)`` to ``(..., M/2 + 1)``."""
    return np.abs(np.fft.rfft(residual, axis=-1)) / residual.shape[-1]
