"""Schedule-Free steps, original and refined, on many runs at once.

From ``z_0 = x_0 = y_0``, with a direction ``d_k`` computed at ``y_{k-1}``,

    z_k = z_{k-1} - lr_k d_k,      x_k = (1 - c_k) x_{k-1} + c_k z_k,      y_k = (1 - beta) z_k + beta x_k.

``d`` is the gradient, or ``g / (sqrt(v_hat) + eps)``, Adam's direction without its first moment. x is returned.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

Gradient = Callable[[torch.Tensor, int], torch.Tensor]

EPS = 1e-8


def advance(
    x: torch.Tensor,
    z: torch.Tensor,
    direction: torch.Tensor,
    lr: torch.Tensor | float,
    c: torch.Tensor,
    beta: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One step: the new x and z, and the point y where the next gradient is taken."""
    z = z - lr * direction
    x = torch.lerp(x, z, c)
    return x, z, torch.lerp(z, x, beta)


def adam_direction(
    gradient: torch.Tensor, v: torch.Tensor, beta2: float, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """``g / (sqrt(v_hat) + eps)`` and the new v, the running mean of squared gradients; ``step`` counts from one."""
    v = torch.lerp(v, gradient**2, 1 - beta2)
    return gradient / ((v / (1 - beta2**step)).sqrt() + EPS), v


@dataclass(frozen=True)
class Paths:
    """Where the three sequences went, ``(steps + 1, ...)`` each, from the start on."""

    x: torch.Tensor
    y: torch.Tensor
    z: torch.Tensor


def trajectory(
    gradient: Gradient,
    start: torch.Tensor,
    lr: torch.Tensor | float,
    c: torch.Tensor,
    beta: torch.Tensor,
    beta2: float | None = None,
) -> Paths:
    """Schedule-Free at a constant step size, every step kept.

    Parameters
    ----------
    gradient : of the points ``(R, d)`` and the number of the step, from 0
    start : ``(R, d)``
    lr, beta : broadcast against it
    c : averaging coefficients ``(T, R, 1)``
    beta2 : of Adam's second moment; by default steps are along the gradient itself
    """
    x = y = z = start
    v = torch.zeros_like(start)
    kept = [(x, y, z)]
    for k, c_k in enumerate(c):
        direction = gradient(y, k)
        if beta2 is not None:
            direction, v = adam_direction(direction, v, beta2, k + 1)
        x, z, y = advance(x, z, direction, lr, c_k, beta)
        kept.append((x, y, z))
    return Paths(*map(torch.stack, zip(*kept, strict=True)))


def momentum_trajectory(
    gradient: Gradient, start: torch.Tensor, lr: torch.Tensor | float, c: torch.Tensor, beta: torch.Tensor
) -> Paths:
    """The same along the gradient, written with a momentum ``m_k = (1 - c_{k-1}) m_{k-1} + d_k`` and without z:

    ``x_k = x_{k-1} - lr c_k m_k`` and ``y_k = y_{k-1} - lr ((1 - beta) d_k + beta c_k m_k)``.
    """
    x = y = start
    m, before = torch.zeros_like(start), torch.zeros_like(c[0])
    kept = [(x, y, start)]
    for k, c_k in enumerate(c):
        d = gradient(y, k)
        m = (1 - before) * m + d
        z = x - lr * m
        x, y = x - lr * c_k * m, y - lr * ((1 - beta) * d + beta * c_k * m)
        before = c_k
        kept.append((x, y, z))
    return Paths(*map(torch.stack, zip(*kept, strict=True)))
