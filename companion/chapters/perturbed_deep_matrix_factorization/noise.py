"""Symmetric noise of a given spectral norm, and what it does to a target's eigenvalues."""

import numpy as np
import torch


def goe(n: int, draws: int, rng: np.random.Generator, device: str = "cpu") -> torch.Tensor:
    """Gaussian orthogonal ensemble scaled to spectral norm one: ``(draws, n, n)``, symmetric.

    Its distribution does not change under rotations, so that a target may be taken diagonal.
    """
    g = torch.tensor(rng.normal(size=(draws, n, n)), device=device)
    g = (g + g.mT) / 2
    values = torch.linalg.eigvalsh(g)
    return g / values.abs().amax(-1)[:, None, None]


def worst_spectrum(spectrum: np.ndarray, n: int, sizes: np.ndarray) -> np.ndarray:
    """Eigenvalues under the noise that is worst for the gap after ``r``, the number of eigenvalues given.

    ``E = -c v_r v_r^T + c v_(r+1) v_(r+1)^T - e v_n v_n^T`` with ``c = min(e, lam_r / 2)`` has norm ``e`` and closes
    the gap as far as a noise of that norm can.

    Parameters
    ----------
    spectrum : eigenvalues of ``W``, largest first, ``(r,)``, ``r <= n - 2``; the others are zero
    sizes : the norms ``e``, ``(S,)``

    Returns
    -------
    Eigenvalues, largest first, ``(S, n)``
    """
    sizes, r = np.asarray(sizes, dtype=float), len(spectrum)
    values = np.zeros((len(sizes), n))
    values[:, :r] = spectrum
    closing = np.minimum(sizes, spectrum[-1] / 2)
    values[:, r - 1] -= closing
    values[:, r] += closing
    values[:, -1] -= sizes
    return values


def perturbed_spectrum(spectrum: np.ndarray, noise: torch.Tensor, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of ``W + e E`` and what its eigenvectors see of ``W``.

    Parameters
    ----------
    spectrum : eigenvalues of ``W``, which is diagonal, ``(m,)``; the others are zero
    noise : ``E`` of spectral norm one, ``(draws, n, n)``
    sizes : the norms ``e``, ``(S,)``

    Returns
    -------
    values, seen
        eigenvalues, largest first, and ``v_i^T W v_i``, both ``(S, draws, n)``
    """
    n = noise.shape[-1]
    diagonal = torch.zeros(n, dtype=noise.dtype, device=noise.device)
    diagonal[: len(spectrum)] = torch.tensor(np.asarray(spectrum, dtype=float), device=noise.device)
    values, seen = np.empty((len(sizes), *noise.shape[:-1])), np.empty((len(sizes), *noise.shape[:-1]))
    for k, e in enumerate(sizes):
        lam, V = torch.linalg.eigh(torch.diag(diagonal) + float(e) * noise)
        values[k] = lam.flip(-1).cpu().numpy()
        seen[k] = (V.square() * diagonal[:, None]).sum(-2).flip(-1).cpu().numpy()
    return values, seen


def outlier_shift(lam: np.ndarray | float, e: np.ndarray | float) -> np.ndarray:
    """``e^2 / (4 lam)``: how far Gaussian noise of norm ``e`` lifts an eigenvalue ``lam > e/2``, for large matrices.

    Below ``e/2`` the eigenvalue drowns in the noise, whose own largest is ``e``. Source: the transition of Baik,
    Ben Arous and Péché, for additive noise.
    """
    return np.asarray(e) ** 2 / (4 * np.asarray(lam))


def denoising(n: int, rank: int) -> float:
    """``||P_r(W + E) - W||_F / ||(W + E)_+ - W||_F`` to first order in Gaussian noise of n x n.

    Rows and columns of the r learned eigenvectors keep their noise, ``n^2 - (n-r)^2`` of the ``n^2`` parts of the
    energy; the positive part keeps half of the rest besides.  About ``2 sqrt(r / n)`` for ``n >> r``.
    """
    rest = (n - rank) ** 2
    kept = n**2 - rest
    return float(np.sqrt(kept / (kept + rest / 2)))


def squared_error(products: np.ndarray, seen: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """``||W(k) - W||_F^2 = sum p_i^2 - 2 p_i (v_i^T W v_i) + sum lam^2`` for products ``(..., n)``: ``(...)``."""
    return (products**2 - 2 * products * seen).sum(-1) + (np.asarray(spectrum) ** 2).sum()


def nuclear_rank(values: np.ndarray) -> np.ndarray:
    """``||X||_* / ||X||_2``, the sum of the singular values ``(..., k)`` over the largest: between 1 and k."""
    values = np.abs(values)
    return values.sum(-1) / values.max(-1)
