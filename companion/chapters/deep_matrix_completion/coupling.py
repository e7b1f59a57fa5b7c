"""How strongly observed entries of different blocks act on each other, and what happens where they do not."""

import numpy as np
import torch

from companion.models.linear import gradient, prefixes, step_size, tangent_kernel


def cross_coupling(W: torch.Tensor, *, of_diagonal: bool = False) -> torch.Tensor:
    """Mean over ``i != j`` of ``|K_ij| / sqrt(K_ii K_jj)``, the tangent kernel of the diagonal entries.

    Parameters
    ----------
    W : factors, ``(..., L, d, d)``
    of_diagonal : instead of the mean, all ``K_ij / sqrt(K_ii K_jj)``, shape ``(..., d, d)``

    Returns
    -------
    Shape ``(...)``: zero where the diagonal entries do not feel each other at this moment.
    """
    d = W.shape[-1]
    kernel = tangent_kernel(W, range(d), range(d))
    size = kernel.diagonal(dim1=-2, dim2=-1).sqrt()
    cosines = kernel / (size[..., :, None] * size[..., None, :])
    if of_diagonal:
        return cosines
    off = cosines.abs() * (1 - torch.eye(d, dtype=W.dtype, device=W.device))
    return off.sum((-2, -1)) / (d * (d - 1))


def gram_limit(W: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The limit at depth two under diagonal observations, as the start shrinks.

    ``sign(w_j) sqrt(|w_i w_j|) <u_i, u_j>``, with ``u_i`` the direction of ``a_i + sign(w_i) b_i`` for row ``a_i`` of
    the last factor and column ``b_i`` of the first.

    Parameters
    ----------
    W : factors at the start, ``(B, L, d, d)``; the first and the last count
    targets : the observed diagonal ``w``, none zero, ``(d,)`` or ``(B, d)``

    Returns
    -------
    Shape ``(B, d, d)``.
    """
    targets = targets.expand(W.shape[0], -1)
    sign, root = targets.sign(), targets.abs().sqrt()
    u = W[:, -1] + sign[..., None] * W[:, 0].mT
    u = u / u.norm(dim=-1, keepdim=True)
    return root[:, :, None] * (u @ u.mT) * (sign * root)[:, None, :]


def polar_factor(W: torch.Tensor) -> torch.Tensor:
    """``U V^T`` of the singular value decomposition of invertible matrices ``(..., d, d)``."""
    left, _, right = torch.linalg.svd(W)
    return left @ right


@torch.no_grad()
def log_determinant_path(
    W: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, *, steps: int, stable: float, relative: float
) -> dict[str, np.ndarray]:
    """Follow the flow at depth two, and beside it the two integrals that govern ``ln |det W|``.

    For balanced factors the change of ``ln |det|`` equals ``-2 int <U V^T, R> dt`` and is at most
    ``2 sqrt(d) int ||R||_F dt`` in absolute value.

    Parameters
    ----------
    W : factors, ``(B, 2, d, d)``
    target, mask : ``(d, d)``
    steps, stable, relative : Euler steps and what bounds them

    Returns
    -------
    ``time``, ``loss``, ``logdet``, ``integral``, ``bound`` (rows ``(steps + 1, B)``) and ``product``
    (``(steps + 1, B, d, d)``).
    """
    dim = W.shape[-1]
    time, integral, bound = (W.new_zeros(len(W)) for _ in range(3))
    rows: dict[str, list[torch.Tensor]] = {}
    for step in range(steps + 1):
        before = prefixes(W)
        whole = before[-1]
        residual = mask * (whole - target)
        now = {"time": time, "loss": residual.square().sum((-2, -1)) / 2, "logdet": torch.linalg.slogdet(whole)[1]}
        for name, value in (now | {"integral": integral, "bound": bound, "product": whole}).items():
            rows.setdefault(name, []).append(value)
        if step == steps:
            break
        size = step_size(W, residual, stable, relative)
        slope = -2 * (polar_factor(whole) * residual).sum((-2, -1))
        integral = integral + size * slope
        bound = bound + size * 2 * dim**0.5 * residual.square().sum((-2, -1)).sqrt()
        W, time = W - size[:, None, None, None] * gradient(W, residual, before), time + size
    return {name: torch.stack(values).cpu().numpy() for name, values in rows.items()}
