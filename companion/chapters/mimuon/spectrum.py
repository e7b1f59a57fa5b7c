"""Singular values and orthogonalization of wide matrices by their small Gram matrices.

With ``M = U S V^T`` of shape ``(m, n)``, ``m <= n``, everything that MiMuon asks of ``M`` can be had from
``G = M M^T = U S^2 U^T``, which is ``(m, m)``:

    singular values        square roots of the eigenvalues of G
    Newton-Schulz          polynomials in G, times M
    clipped spectrum       U min(1 / tau, 1 / S) U^T M

Squares cost half the digits: in float64 a singular value is known to about ``1e-8`` of the largest one. A tall matrix
is transposed first. All functions work on the last two axes and carry leading axes along.

>>> import torch
>>> M = torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
>>> singular_values(M).tolist()
[3.0, 1.0]
>>> smallest_gap(singular_values(M)).item()
2.0
>>> clipped(M, tau=2.0).tolist()
[[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
"""

import numpy as np
import torch

from companion.optim.orthogonalize import MUON

RTOL = 1e-6
"""Singular values up to this share of the largest count as zero."""


def singular_values(matrix: torch.Tensor) -> torch.Tensor:
    """Singular values ``(..., min(m, n))``, decreasing."""
    return torch.linalg.eigvalsh(_gram(matrix.double())).clamp(min=0).sqrt().flip(-1).to(matrix.dtype)


def smallest_gap(values: torch.Tensor, rtol: float = RTOL) -> torch.Tensor:
    """Least difference ``min |s_i - s_j|`` of the nonzero singular values; infinite where fewer than two are nonzero.

    Parameters
    ----------
    values : singular values ``(..., k)``, decreasing
    rtol : those up to ``rtol`` times the largest count as zero

    Returns
    -------
    Tensor ``(...)``
    """
    nonzero = values > rtol * values[..., :1]
    gaps = torch.where(nonzero[..., 1:], values[..., :-1] - values[..., 1:], torch.inf)
    return gaps.amin(-1)


def smallest_value(values: torch.Tensor, rtol: float = RTOL) -> torch.Tensor:
    """The least nonzero singular value ``(...)`` of ``values`` ``(..., k)``; infinite where all are zero."""
    return torch.where(values > rtol * values[..., :1], values, torch.inf).amin(-1)


def newton_schulz(
    matrix: torch.Tensor, steps: int = 5, eps: float = 1e-7
) -> torch.Tensor:  # fmt: skip
    """Muon's approximation of ``U V^T``, as the library's ``newton_schulz`` gives it.

    From ``X = M / ||M||_F`` each step is ``X <- P X`` with ``P = a + b G + c G^2`` and
    ``G = X X^T``. All the factors commute, so that ``G <- P^2 G``, and the product of
    the factors suffices: ``M`` is multiplied once, at the end.

    Parameters
    ----------
    matrix : ``M``, ``(..., m, n)``
    steps : at least 1
    eps : Frobenius norms below it are not divided by
    """
    a, b, c = MUON
    scale = torch.linalg.matrix_norm(matrix, keepdim=True).clamp(min=eps)
    gram = _gram(matrix) / scale**2
    one = a * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    product = None
    for k in range(steps):
        factor = one + b * gram + c * gram @ gram
        product = factor if product is None else factor @ product
        if k + 1 < steps:
            gram = factor @ factor @ gram
    product = product / scale
    wide = matrix.shape[-2] <= matrix.shape[-1]
    return product @ matrix if wide else matrix @ product


def newton_schulz_values(values: np.ndarray, steps: int = 5) -> np.ndarray:
    """Where singular values in [0, 1], of a matrix of Frobenius norm one, are sent by :func:`newton_schulz`."""
    a, b, c = MUON
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    return values


def clipped(matrix: torch.Tensor, tau: float) -> torch.Tensor:
    """``U min(S / tau, 1) V^T``: the projection on the matrices of spectral norm at most ``tau``, over ``tau``.

    ``1 / tau``-Lipschitz in the Frobenius norm; equal to ``M / tau`` where all singular values are below ``tau``, and
    to ``U V^T`` where all are above.
    """
    squares, vectors = torch.linalg.eigh(_gram(matrix))
    scales = 1 / squares.clamp(min=0).sqrt().clamp(min=tau)
    root = (vectors * scales[..., None, :]) @ vectors.mT
    return root @ matrix if matrix.shape[-2] <= matrix.shape[-1] else matrix @ root


def _gram(matrix: torch.Tensor) -> torch.Tensor:
    return matrix @ matrix.mT if matrix.shape[-2] <= matrix.shape[-1] else matrix.mT @ matrix
