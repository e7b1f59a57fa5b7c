"""A deep linear network with one neuron in each layer: ``f(x) = (x . u) v_1 ... v_{D-1}``, trained on squared loss.

    L(u, v) = ||p X u - y||^2 / (2 N),      p = v_1 ... v_{D-1},      S = lambda_max of the Hessian of L.

Runs are batched: data ``X (K, N, n)`` and ``y (K, N)`` for K data sets, parameters ``u (K, R, n)`` and
``v (K, R, D - 1)`` for R runs on each. Networks of different depths share a batch: layers that a network does not have
are entries of ``v`` that are one and stay one, marked by zeros in ``mask``, which has the shape of ``v``.

>>> import torch
>>> X, y = torch.eye(2)[None], torch.tensor([[1.0, 0.0]])
>>> u, v = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[2.0]]])
>>> gradient(X, y, u, v)
(tensor([[[10., 16.]]]), tensor([[[31.]]]))
>>> imbalance(u, v)
tensor([[[21.]]])
"""

import torch


def residual(X: torch.Tensor, y: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """``p X u - y``, one number for each sample: ``(K, R, N)``."""
    return v.prod(-1, keepdim=True) * (u @ X.mT) - y[:, None]


def loss(X: torch.Tensor, y: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """``||p X u - y||^2 / (2 N)``: ``(K, R)``."""
    return residual(X, y, u, v).square().mean(-1) / 2


def pull(
    X: torch.Tensor,
    y: torch.Tensor,
    u: torch.Tensor,
    v: torch.Tensor,
    share: torch.Tensor | None = None,
) -> torch.Tensor:
    """``g = X^T (share * r)``, the gradient with respect to the product ``p u``: ``(K, R, n)``.

    ``share`` says what each sample counts, ``(K, R, N)``: ``1 / B`` on a batch of B samples and zero elsewhere; by
    default ``1 / N`` on all of them.
    """
    r = residual(X, y, u, v)
    return (r / y.shape[-1] if share is None else share * r) @ X


def gradient(
    X: torch.Tensor,
    y: torch.Tensor,
    u: torch.Tensor,
    v: torch.Tensor,
    share: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of u and v: ``p g`` and ``(p / v_i) u . g``, g of :func:`pull`."""
    g = pull(X, y, u, v, share)
    p = v.prod(-1, keepdim=True)
    return p * g, p / v * (u * g).sum(-1, keepdim=True)


def hessian(
    X: torch.Tensor,
    y: torch.Tensor,
    u: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """The exact Hessian of the loss, ``(K, R, n + D - 1, n + D - 1)``; u first, then v.

    ``J^T J / N`` with ``J = [p X | (p / v_i) X u]``, plus what the residual adds:
    ``(p / v_i) g`` in the blocks of u with ``v_i``, and ``p u . g / (v_i v_j)`` for i
    different from j.
    """
    p = v.prod(-1, keepdim=True)
    outer = p / v
    if mask is not None:
        outer = outer * mask
    g = pull(X, y, u, v)
    of_v = (u @ X.mT)[..., None] * outer[..., None, :]
    J = torch.cat([p[..., None] * X[:, None], of_v], dim=-1)
    H = J.mT @ J / y.shape[-1]
    n = u.shape[-1]
    corner = g[..., None] * outer[..., None, :]
    H[..., :n, n:] += corner
    H[..., n:, :n] += corner.mT
    along = (u * g).sum(-1, keepdim=True) / p
    pairs = outer[..., None] * outer[..., None, :] * along[..., None]
    H[..., n:, n:] += pairs - torch.diag_embed(pairs.diagonal(dim1=-2, dim2=-1))
    return H


def sharpness(
    X: torch.Tensor, y: torch.Tensor, u: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The largest eigenvalue of the Hessian, ``(K, R)``; NaN where a run has diverged."""
    H = hessian(X, y, u, v, mask)
    finite = H.isfinite().all(-1).all(-1)
    top = torch.linalg.eigvalsh(torch.where(finite[..., None, None], H, 0))[..., -1]
    return torch.where(finite, top, torch.nan)


def imbalance(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """``C_i = ||u||^2 - v_i^2``, which gradient flow conserves: ``(K, R, D - 1)``."""
    return u.square().sum(-1, keepdim=True) - v**2


def imbalance_step(
    u: torch.Tensor,
    v: torch.Tensor,
    g: torch.Tensor,
    lr: torch.Tensor | float,
) -> torch.Tensor:
    """What one step of size ``lr`` adds to ``C_i``, exactly.

    ``lr^2 p^2 (||g||^2 - (u . g)^2 / v_i^2)`` with the g of the batch, from
    :func:`pull`; not negative where ``C_i <= 0``, by Cauchy and Schwarz.
    """
    p = v.prod(-1, keepdim=True)
    along = (u * g).sum(-1, keepdim=True)
    return lr**2 * p**2 * (g.square().sum(-1, keepdim=True) - along**2 / v**2)


def descent(X: torch.Tensor, y: torch.Tensor, lr: torch.Tensor, mask: torch.Tensor | None = None):
    """One step of (stochastic) gradient descent on all runs, ``(u, v, share) -> (u, v)``.

    ``lr`` has shape ``(K, R, 1)``; without ``share`` it is a step of gradient descent.
    """

    def step(u, v, share=None):
        du, dv = gradient(X, y, u, v, share)
        return u - lr * du, v - lr * (dv if mask is None else mask * dv)

    return step
