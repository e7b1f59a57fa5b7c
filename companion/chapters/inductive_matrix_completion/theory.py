"""What the chapter's statements predict: degrees of freedom, the tangent space, the Hessian at the truth, the floor."""

import numpy as np
import torch

Features = torch.Tensor | None


def degrees_of_freedom(d: int, r: int) -> int:
    """Dimension ``(2 d - r) r`` of the ``d x d`` matrices of rank ``r``: ``d = a`` for IMC, ``n`` for MC."""
    return (2 * d - r) * r


def predicted_error(sigma: float, d: int, r: int, m: float) -> float:
    """``sigma sqrt(df / (m - df))``, the relative error for entries of mean square one; needs ``m > df``."""
    df = degrees_of_freedom(d, r)
    return sigma * np.sqrt(df / (m - df))


def floor(tilt: float) -> float:
    """``sqrt(1 - (1 - tilt^2)^2)``: the least relative error of ``X M Y^T`` where both sides are tilted."""
    return np.sqrt(1 - (1 - np.asarray(tilt) ** 2) ** 2)


def bases(A: torch.Tensor, B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal singular vectors ``(n, r)`` of one matrix from its balanced factors."""
    return A / A.norm(dim=0), B / B.norm(dim=0)


def tangent_rows(
    X: Features, Y: Features, A: torch.Tensor, B: torch.Tensor, row: torch.Tensor, col: torch.Tensor
) -> torch.Tensor:
    """Coordinates of ``e_i e_j^T``, projected onto the tangent space, in an orthonormal basis of it.

    The tangent space is ``{X (G V0^T + U0 H^T) Y^T}``. The sum of squares of a row is ``|P_T(e_i e_j^T)|_F^2``.

    Parameters
    ----------
    X, Y : features ``(n, a)``, or ``None`` for the whole space
    A, B : balanced factors of one matrix, ``(n, r)``
    row, col : the entries, ``(M,)``

    Returns
    -------
    ``(M, (2 a - r) r)``
    """
    X, Y = (torch.eye(len(F), dtype=F.dtype, device=F.device) if P is None else P for P, F in ((X, A), (Y, B)))
    left, right = bases(A, B)
    rest = torch.linalg.qr(Y.T @ right, mode="complete")[0][:, right.shape[1] :]
    free = (X[row][:, :, None] * right[col][:, None, :]).flatten(1)
    other = (left[row][:, :, None] * (Y @ rest)[col][:, None, :]).flatten(1)
    return torch.cat([free, other], 1)


def coherence(X: Features, Y: Features, A: torch.Tensor, B: torch.Tensor) -> float:
    """``n^2 max_ij |P_T(e_i e_j^T)|_F^2``, which the number of samples must exceed by a logarithm."""
    x, y = (torch.ones(len(F), dtype=F.dtype) if P is None else (P**2).sum(1) for P, F in ((X, A), (Y, B)))
    u, v = ((F**2).sum(1) for F in bases(A, B))
    share = u[:, None] * y + x[:, None] * v - u[:, None] * v
    return float(share.max() * len(A) * len(B))


def hessian(
    X: Features, Y: Features, A: torch.Tensor, B: torch.Tensor, row: torch.Tensor, col: torch.Tensor, p: float
) -> torch.Tensor:
    """Hessian of the loss at the truth in ``(U, V)``, ``(2 a r, 2 a r)``, without noise.

    Rotations of both factors leave the loss as it is: ``r (r - 1) / 2`` of the eigenvalues are zero.
    """
    X, Y = (torch.eye(len(F), dtype=F.dtype, device=F.device) if P is None else P for P, F in ((X, A), (Y, B)))
    left = (X[row][:, :, None] * B[col][:, None, :]).flatten(1)
    right = (Y[col][:, :, None] * A[row][:, None, :]).flatten(1)
    seen = torch.cat([left, right], 1)
    U, V = X.T @ A, Y.T @ B
    r = A.shape[1]
    identity = torch.eye(r, dtype=A.dtype, device=A.device)
    # U^T G + G^T U - V^T H - H^T V as a matrix that acts on (G, H)
    half = [torch.einsum("ak,ls->klas", F, identity).reshape(r, r, -1) for F in (U, V)]
    change = torch.cat([half[0] + half[0].transpose(0, 1), -half[1] - half[1].transpose(0, 1)], -1).flatten(0, 1)
    return seen.T @ seen / p + change.T @ change / 4


def contraction(eigenvalues: torch.Tensor, length: float, rank: int) -> float:
    """``max |1 - length * lambda|`` over the eigenvalues of :func:`hessian`, those of rotations left out."""
    rest = eigenvalues[rank * (rank - 1) // 2 :]
    return float((1 - length * rest).abs().max())


def population_contraction(length: float, values: torch.Tensor) -> float:
    """The same with every entry seen: eigenvalues from ``sigma_r`` to ``2 sigma_1``."""
    return float(max(abs(1 - length * values.min()), abs(1 - length * 2 * values.max())))


def from_nearest(points: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """``F - F* Q`` with the rotation ``Q`` that makes it shortest, for ``F (points, size, r)``, ``F* (size, r)``."""
    left, _, right = torch.linalg.svd(truth.T @ points)
    return points - truth @ (left @ right)


def regularity(
    gradient: torch.Tensor, away: torch.Tensor, least: torch.Tensor, largest: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both constants of the regularity condition that a point allows.

    With ``D`` the way from the nearest rotation of the truth: ``<grad f, D> / (sigma_r |D|^2)`` and
    ``sigma_1 <grad f, D> / |grad f|^2``; the condition holds with half of each.

    Parameters
    ----------
    gradient, away : ``(points, size)``
    least, largest : sigma_r and sigma_1
    """
    inner = (gradient * away).sum(1)
    return inner / (least * (away**2).sum(1)), largest * inner / (gradient**2).sum(1)
