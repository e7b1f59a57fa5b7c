"""Regularized Newton steps with the full Hessian, at a cost linear in the width, and training by them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from companion.chapters.newton_nntk.network import UNIT, Network, jacobian, second_order_blocks

LOST = 1e6  # an output beyond this has diverged; the run is held there
MOST_NUMBERS = 2**28  # in a Jacobian: runs beyond are trained after one another


def solve_blocks(A: Tensor, J: Tensor) -> Tensor:
    """``A_i^-1 J_i`` for symmetric 4 x 4 blocks, by elimination with all units side by side.

    Parameters
    ----------
    A : ``(runs, N, 4, 4)``, each block with leading minors other than zero
    J : ``(4, runs, N, M)``

    Returns
    -------
    ``(4, runs, N, M)``
    """
    A, S = A.clone(), J.clone()
    for k in range(UNIT):
        for row in range(k + 1, UNIT):
            factor = A[..., row, k] / A[..., k, k]
            A[..., row, k:] -= factor[..., None] * A[..., k, k:]
            S[row].addcmul_(factor[..., None], S[k], value=-1)
    for k in reversed(range(UNIT)):
        for row in range(k + 1, UNIT):
            S[k].addcmul_(A[..., k, row, None], S[row], value=-1)
        S[k] /= A[..., k, k, None]
    return S


def newton_direction(
    J: Tensor,
    B: Tensor,
    residual: Tensor,
    lam: Tensor,
) -> tuple[Tensor, Tensor]:
    """``(H + lam I)^-1 grad L`` through a system of the size of the data.

    With ``A = blockdiag(B_i) + lam I`` the Hessian is ``A + J^T J / M - lam I``, and
    ``(A + J^T J / M)^-1 J^T r / M = A^-1 J^T (M I + J A^-1 J^T)^-1 r``.

    Parameters
    ----------
    J : ``(4, runs, N, M)``
    B : ``(runs, N, 4, 4)``
    residual : ``(runs, M)``
    lam : ``(runs,)``

    Returns
    -------
    The direction ``(runs, N, 4)``, and ``Q = J A^-1 J^T`` of shape ``(runs, M, M)``
    """
    M = J.shape[-1]
    eye = torch.eye(UNIT, dtype=J.dtype, device=J.device)
    S = solve_blocks(B + lam[:, None, None, None] * eye, J)
    Q = sum(J[k].mT @ S[k] for k in range(UNIT))
    system = Q + M * torch.eye(M, dtype=J.dtype, device=J.device)
    z, _ = torch.linalg.solve_ex(system, residual)
    return torch.stack([(S[k] @ z[..., None])[..., 0] for k in range(UNIT)], dim=-1), Q


def least_eigenvalue(B: Tensor) -> Tensor:
    """The least eigenvalue over all blocks of a run, exactly, of ``(runs, N, 4, 4)``: ``(runs,)``.

    Few blocks need their eigenvalues: with ``a`` the mixed entries and ``d`` a lower bound on the spectrum of the
    inner 3 x 3 part (mean minus sqrt(2) standard deviations of its eigenvalues, after Wolkowicz and Styan), no
    eigenvalue of a block is below ``(d - sqrt(d^2 + 4 |a|^2)) / 2``.
    """
    inner = B[..., 1:, 1:]
    mean = inner.diagonal(dim1=-2, dim2=-1).sum(-1) / 3
    spread = (inner.square().sum((-2, -1)) / 3 - mean**2).clamp(min=0).sqrt()
    d = mean - np.sqrt(2) * spread
    bound = (d - (d**2 + 4 * B[..., 0, 1:].square().sum(-1)).sqrt()) / 2
    order = bound.argsort(dim=-1)
    count = 16
    while True:
        some = order[:, :count]
        blocks = B.gather(1, some[..., None, None].expand(-1, -1, UNIT, UNIT))
        found = torch.linalg.eigvalsh(blocks)[..., 0].amin(-1)
        if count >= B.shape[1] or bool((found <= bound.gather(1, order[:, count : count + 1])[:, 0]).all()):
            return found
        count *= 8


@dataclass(frozen=True)
class Training:
    """What several runs did. NaN where a quantity has no meaning for the method."""

    #: outputs at the training inputs, then at the other points, ``(runs, steps + 1, points)``
    outputs: np.ndarray
    #: least eigenvalue of the blocks B_i at each step, ``(runs, steps)``
    least: np.ndarray
    #: eigenvalues of the Newton kernel ``Q (M I + Q)^-1`` at each step, increasing, ``(runs, steps, M)``
    kernel: np.ndarray
    #: largest change of a unit's weights in a step, ``(runs, steps)``
    update: np.ndarray
    #: largest change of a unit's weights since the start, ``(runs, steps)``
    displacement: np.ndarray
    #: largest distance at the end between the network and its linearization at the start, ``(runs,)``
    nonlinearity: np.ndarray


def train(
    network: Network, x: Tensor, y: Tensor, others: Tensor, steps: int, eta: Tensor, lam: Tensor | None,
    curved: Tensor | None = None,
) -> Training:  # fmt: skip
    """Train by regularized Newton steps, or by gradient descent.

    Parameters
    ----------
    network : the start of every run
    x, y : training inputs ``(M, 3)`` and labels ``(runs, M)``
    others : further inputs at which outputs are recorded, ``(points, 3)``
    steps : number of steps
    eta : step size of each run, ``(runs,)``
    lam : regularization of each run, ``(runs,)``; None for gradient descent
    curved : whether a run uses the full Hessian or, without the blocks ``B_i``, Gauss and Newton's matrix; ``(runs,)``
    """
    runs, width = network.c.shape
    chunk = max(1, MOST_NUMBERS // (UNIT * width * len(x)))
    parts = []
    for first in range(0, runs, chunk):
        some = slice(first, first + chunk)
        chosen = [None if value is None else value[some] for value in (y, eta, lam, curved)]
        parts.append(_train(network.chosen(some), x, others, steps, *chosen))
    return Training(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _train(network, x, others, steps, y, eta, lam, curved):
    M, start = len(x), network
    points = torch.cat([x, others])
    outputs, least, kernel, update, displacement = [], [], [], [], []
    held = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    for k in range(steps + 1):
        u = network.w @ points.T
        hidden = network.activation.value(u)
        g = network.scale[:, None] * torch.einsum("rn,rnm->rm", network.c, hidden)
        held |= ~(g.abs() < LOST).all(-1)
        g = torch.where(held[:, None], LOST, g)
        outputs.append(g)
        if k == steps:
            break
        u, residual = u[..., :M], g[:, :M] - y
        J = jacobian(network, u, x)
        if lam is None:
            direction = torch.stack([(J[p] @ residual[..., None])[..., 0] for p in range(UNIT)], dim=-1) / M
        else:
            B = second_order_blocks(network, u, x, residual)
            if curved is not None:
                B = B * curved[:, None, None, None]
            B = torch.where(held[:, None, None, None], 0.0, B)
            direction, Q = newton_direction(J, B, residual, lam)
            least.append(least_eigenvalue(B))
            q = torch.linalg.eigvalsh(torch.where(held[:, None, None], 0.0, (Q + Q.mT) / 2))
            kernel.append(q / (M + q))
        step = torch.where(held[:, None, None], 0.0, -eta[:, None, None] * direction)
        held |= ~step.isfinite().all(-1).all(-1)
        step = torch.where(held[:, None, None], 0.0, step)
        network = network.moved(step)
        update.append(step.norm(dim=-1).amax(-1))
        change = torch.cat([(network.c - start.c)[..., None], network.w - start.w], dim=-1)
        displacement.append(change.norm(dim=-1).amax(-1))
    u = start.w @ points.T
    slope = start.c[..., None] * start.activation.first(u) * (change[..., 1:] @ points.T)
    linear = start.outputs(points) + start.scale[:, None] * (
        (change[..., :1] * start.activation.value(u) + slope).sum(1)
    )
    nothing = torch.full_like(torch.stack(update), torch.nan)
    kernel = torch.stack(kernel) if kernel else nothing[..., None].expand(-1, -1, M)
    least = torch.stack(least) if least else nothing
    recorded = (torch.stack(outputs), least, kernel, torch.stack(update), torch.stack(displacement))
    nonlinearity = (g - linear).abs().amax(-1)
    return (*(value.transpose(0, 1).cpu().numpy() for value in recorded), nonlinearity.cpu().numpy())
