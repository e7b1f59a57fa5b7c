"""The algorithm: a spectral start with a one-dimensional rescaling, then gradient descent on the factor."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import softplus

from companion.chapters.individual_fairness_bradley_terry.triplets import Triplets, logits

STEP = 1 / 12  # c in the step size c / ||U_0||^2
STARTS = ("spectral", "spectral_rescaled", "random", "small_random")
SMALL = 0.1  # size of the small random start, as a multiple of the spectral one
NEWTON_STEPS = 15
DIVERGED = 1e30  # a run that has come this far stays where it is, for its powers still have to be numbers


def moment_matrix(data: Triplets) -> torch.Tensor:
    """``S = sym(mean_t (2 y_t - 1) u_t v_t')``, ``(B, d, d)``."""
    sign = (2 * data.y - 1)[..., None]
    mean = data.u.mT @ (sign * data.v) / data.y.shape[-1]
    return (mean + mean.mT) / 2


def top_eigenpairs(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``rank`` largest eigenvalues, decreasing, and their eigenvectors, ``(..., r)`` and ``(..., d, r)``."""
    values, vectors = torch.linalg.eigh(matrix)
    return values[..., -rank:].flip(-1), vectors[..., -rank:].flip(-1)


def spectral_init(data: Triplets, rank: int, rescale: bool = True) -> torch.Tensor:
    """``U_0 = V_r diag(s_r / 6)^(1/2)``, then the best multiple of it.

    From the top eigenpairs of the moment matrix; negative eigenvalues count as zero.
    The factor 6 undoes the moment matrix where answers are nearly coin flips.
    """
    values, vectors = top_eigenpairs(moment_matrix(data), rank)
    factor = vectors * (values.clamp_min(0) / 6).sqrt()[..., None, :]
    return rescaled(factor, data) if rescale else factor


def rescaled(factor: torch.Tensor, data: Triplets) -> torch.Tensor:
    """``sqrt(a) U`` with the ``a >= 0`` that minimizes the loss: Newton in ``a``.

    The problem is convex. A step is halved at most towards zero and doubled at most
    upwards, which keeps Newton in its basin.
    """
    z = logits(factor, data.u, data.v)
    a = torch.ones_like(z[..., 0])
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(a[..., None] * z)
        slope = ((p - data.y) * z).mean(-1)
        curvature = (p * (1 - p) * z * z).mean(-1)
        step = slope / curvature.clamp_min(1e-12)
        a = torch.minimum(torch.maximum(a - step, a / 2), 2 * a)
    return a.sqrt()[..., None, None] * factor


def start_factor(init: str, data: Triplets, spectral: torch.Tensor, source: torch.Generator) -> torch.Tensor:
    """The start called ``init``, of the shape ``(B, d, r)`` of the rescaled ``spectral`` one.

    Random ones have its Frobenius norm, small random ones a tenth of it.
    """
    if init == "spectral_rescaled":
        return spectral
    if init == "spectral":
        return spectral_init(data, spectral.shape[-1], rescale=False)
    draw = torch.randn(spectral.shape, generator=source, dtype=spectral.dtype, device=spectral.device)
    size = torch.linalg.matrix_norm(spectral, keepdim=True) / torch.linalg.matrix_norm(draw, keepdim=True)
    return draw * size * (SMALL if init == "small_random" else 1.0)


def loss(factor: torch.Tensor, data: Triplets) -> torch.Tensor:
    """``mean_t softplus(z_t) - y_t z_t``, for each batch entry."""
    z = logits(factor, data.u, data.v)
    return (softplus(z) - data.y * z).mean(-1)


def gradient(factor: torch.Tensor, data: Triplets) -> torch.Tensor:
    """``mean_t (sigma(z_t) - y_t) (u_t v_t' + v_t u_t') U``, several factors at once.

    Parameters
    ----------
    factor : ``(S, B, d, r)``: S factors of each batch entry, side by side, see the same
        triplets in one product
    """
    starts, batch, d, rank = factor.shape
    tall = factor.permute(1, 0, 3, 2).reshape(batch, starts * rank, d)
    uU, vU = tall @ data.u.mT, tall @ data.v.mT
    z = (uU * vU).unflatten(1, (starts, rank)).sum(2)
    residual = ((torch.sigmoid(z) - data.y[:, None]) / data.y.shape[-1])[:, :, None]
    tall = _times(residual, vU) @ data.u + _times(residual, uU) @ data.v
    return tall.reshape(batch, starts, rank, d).permute(1, 0, 3, 2)


def _times(residual: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Residuals ``(B, S, 1, m)`` times the rows ``(B, S r, m)`` of their own start."""
    return (residual * rows.unflatten(1, (residual.shape[1], -1))).flatten(1, 2)


def convex_logistic(data: Triplets, steps: int) -> torch.Tensor:
    """Logistic regression for a whole symmetric matrix, without factor, rank or sign constraint, ``(B, d, d)``.

    Gradient descent on ``mean_t softplus(u' M v) - y u' M v``, whose curvature for Gaussian individuals is at most
    ``12/4``: the step size is a third.
    """
    batch, m, d = data.u.shape
    metric = torch.zeros(batch, d, d, dtype=data.u.dtype, device=data.u.device)
    for _ in range(steps):
        residual = (torch.sigmoid(((metric @ data.u.mT) * data.v.mT).sum(1)) - data.y) / m
        slope = (data.u.mT * residual[:, None]) @ data.v
        metric = metric - (slope + slope.mT) / 6
    return metric


def squared_norm(factor: torch.Tensor) -> torch.Tensor:
    """``||U||_op^2``, the largest eigenvalue of the metric; it sets the step size."""
    return torch.linalg.matrix_norm(factor, 2) ** 2


@dataclass(frozen=True)
class Descent:
    """A run of gradient descent: ``last`` ``(S, B, d, r)``, and the ``path`` ``(steps + 1, S, B, d, r)`` if kept."""

    last: torch.Tensor
    path: torch.Tensor | None


def factored_gd(
    start: torch.Tensor,
    data: Triplets,
    steps: int,
    c: float = STEP,
    size: torch.Tensor | None = None,
    keep: bool = False,
) -> Descent:
    """``U <- U - eta grad L(U)`` with each start's constant ``eta = c / ||U_0||_op^2``.

    Parameters
    ----------
    start : ``(S, B, d, r)``
    size : ``||.||_op^2`` that sets the step, ``(S, B)`` or ``(B,)``; of the start
        itself unless given
    keep : whether to return every iterate
    """
    if size is None:
        size = squared_norm(start)
    eta = (c / size.clamp_min(1e-12)).expand(start.shape[:2])[..., None, None]
    factor, path = start, [start] if keep else None
    for _ in range(steps):
        ahead = factor - eta * gradient(factor, data)
        within = ahead.abs().amax((-2, -1), keepdim=True) < DIVERGED
        factor = torch.where(within, ahead, factor)
        if keep:
            path.append(factor)
    return Descent(factor, torch.stack(path) if keep else None)


def aligned(factor: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``U R - U*`` with the orthogonal ``R`` that brings ``U`` nearest to ``U*`` in the Frobenius norm."""
    left, _, right = torch.linalg.svd(factor.mT @ target)
    return factor @ (left @ right) - target


def degrees_of_freedom(d: int, rank: int) -> int:
    """Unknowns of a symmetric matrix of size ``d`` and this rank: ``d r - r (r - 1) / 2``."""
    return d * rank - rank * (rank - 1) // 2


def procrustes_distance(factor: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``min_R ||U R - U*||_F`` over orthogonal ``R``: the distance of factors that mean the same metric is zero."""
    return torch.linalg.matrix_norm(aligned(factor, target))


def metric_error(factor: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``||U U' - M*||_F / ||M*||_F``."""
    return matrix_error(factor @ factor.mT, target)


def matrix_error(metric: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``||M - M*||_F / ||M*||_F``, with the truth as a factor."""
    truth = target @ target.mT
    return torch.linalg.matrix_norm(metric - truth) / torch.linalg.matrix_norm(truth)


def learn(data: Triplets, rank: int, steps: int, c: float = STEP, rescale: bool = True) -> torch.Tensor:
    """The whole algorithm: spectral start, then gradient descent; ``(B, d, r)``."""
    return factored_gd(spectral_init(data, rank, rescale)[None], data, steps, c).last[0]


def numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor of any device as an array."""
    return tensor.detach().cpu().numpy()
