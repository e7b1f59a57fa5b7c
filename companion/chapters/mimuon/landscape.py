"""A rippled bowl, smooth and not convex, on which the rates of convergence are measured."""

from collections.abc import Sequence

import numpy as np
import torch

from companion.chapters.mimuon.rule import Rule, direction
from companion.chapters.mimuon.spectrum import singular_values
from companion.optim.orthogonalize import polar


def gradient(W: torch.Tensor, height: float, frequency: float) -> torch.Tensor:
    """Gradient ``W + a w sin(w W)`` of ``F(W) = ||W||^2 / 2 + a sum_ij (1 - cos(w W_ij))``, entry by entry.

    ``F >= 0``, with the minimum 0 at 0; it is ``(1 + a w^2)``-smooth, and not convex if ``a w^2 > 1``.

    Parameters
    ----------
    W : ``(..., m, n)``
    height, frequency : ``a`` and ``w``
    """
    return W + height * frequency * torch.sin(frequency * W)


def value(W: torch.Tensor, height: float, frequency: float) -> torch.Tensor:
    """``F(W)``, ``(...)``."""
    return (W.square() / 2 + height * (1 - torch.cos(frequency * W))).sum((-2, -1))


@torch.no_grad()
def descend(
    start: torch.Tensor,
    rules: Sequence[Rule],
    steps: int,
    eta: float,
    beta: float,
    height: float,
    frequency: float,
    sigma: float,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run every rule with the exact polar factor on noisy gradients, from momentum ``M_0 = g_0``.

    Parameters
    ----------
    start : ``(R, m, n)``, the same for all rules, as is the noise
    rules : K of them
    steps, eta, beta : number of steps T, step size, weight of the new gradient
    height, frequency : of :func:`gradient`
    sigma : root of the mean squared Frobenius norm of the noise
    generator : of the noise, on the CPU

    Returns
    -------
    Means over the replicas and over the steps before t, for ``t = 1, ..., T``, ``(K, T)`` each:

    frobenius : ``||grad F(W)||_F``
    stationarity : ``||grad F||_*`` where a step was orthogonalized and ``||grad F||_F^2 / 2`` where it was not: the
        left-hand side of the theorem
    share : of orthogonalized steps
    """
    replicas, m, n = start.shape
    W = start.expand(len(rules), -1, -1, -1).clone()
    scale = sigma / (m * n) ** 0.5
    momentum, rows = None, []
    for _ in range(steps):
        slope = gradient(W, height, frequency)
        noise = scale * torch.randn(replicas, m, n, generator=generator, dtype=W.dtype).to(W.device)
        noisy = slope + noise
        momentum = noisy if momentum is None else (1 - beta) * momentum + beta * noisy
        update, chosen = direction(momentum, rules, polar)
        norm = torch.linalg.matrix_norm(slope)
        nuclear = singular_values(slope).sum(-1)
        rows.append(torch.stack([norm, torch.where(chosen, nuclear, norm.square() / 2), chosen.to(W.dtype)]).mean(-1))
        W = W - eta * update
    kept = torch.stack(rows, -1).cumsum(-1) / torch.arange(1, steps + 1, device=W.device)
    return tuple(kept.cpu().numpy())
