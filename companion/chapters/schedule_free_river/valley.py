"""Two landscapes with a river: one that can be solved, and one whose river bends.

The straight one is ``f(r, h) = -slope r + lambda h^2 / 2`` with Gaussian noise on the derivative along h: r runs along
the river, h across the valley. The bent one is ``(w_1 w_2 - 1)^2 / 2 + log(1 + exp(-w_2))``, with the river
``w_1 w_2 = 1``.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike


def lag(steps: ArrayLike, C: ArrayLike) -> np.ndarray:
    """``T / (1 + C)``: how many steps x is behind y on a straight river."""
    return np.asarray(steps, float) / (1 + np.asarray(C, float))


def river_speed(lr: ArrayLike, slope: float, beta: ArrayLike, C: ArrayLike) -> np.ndarray:
    """How far y goes along the river in a step, ``lr slope (1 - beta) (1 + C) / (1 + (1 - beta) C)``."""
    lr, beta, C = (np.asarray(a, float) for a in (lr, beta, C))
    return lr * slope * (1 - beta) * (1 + C) / (1 + (1 - beta) * C)


def gradient_variance(lr: ArrayLike, beta: ArrayLike, curvature: float, noise: float) -> np.ndarray:
    """Stationary variance of y across the valley, ``e s^2 / (l (2 - e l))`` with ``e = (1 - beta) lr``."""
    rate = (1 - np.asarray(beta, float)) * np.asarray(lr, float)
    return rate * noise**2 / (curvature * (2 - rate * curvature))


def average_variance(steps: ArrayLike, C: ArrayLike, curvature: float, noise: float) -> np.ndarray:
    """Variance of x across the valley for large T, ``C^2 / (2 C - 1) s^2 / (l^2 T)``; C above one half."""
    C = np.asarray(C, float)
    return C**2 / (2 * C - 1) * noise**2 / (curvature**2 * np.asarray(steps, float))


def excess(
    steps: ArrayLike, C: ArrayLike, lr: ArrayLike, slope: float, beta: ArrayLike, curvature: float, noise: ArrayLike
) -> np.ndarray:
    """What x loses against the floor of the valley at y's place: river not yet seen, and noise not yet averaged."""
    behind = slope * river_speed(lr, slope, beta, C) * lag(steps, C)
    return behind + curvature / 2 * average_variance(steps, C, curvature, np.asarray(noise, float))


def straight(
    slope: float, curvature: float, noise: torch.Tensor | float, generator: torch.Generator
) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """Stochastic gradient of the straight river at points ``(R, 1 + replicas)``: r first, replicas of h behind it.

    All runs see the same noise, scaled by ``noise``, ``(R, 1)`` or a number.
    """

    def gradient(w: torch.Tensor, step: int) -> torch.Tensor:
        drawn = torch.randn(w.shape[1] - 1, generator=generator, dtype=w.dtype).to(w.device)
        across = curvature * w[:, 1:] + noise * drawn
        return torch.cat([torch.full_like(w[:, :1], -slope), across], dim=1)

    return gradient


def bent(w: torch.Tensor, step: int) -> torch.Tensor:
    """Gradient of the bent river at points ``(R, 2)``."""
    residual = w[:, 0] * w[:, 1] - 1
    return torch.stack([residual * w[:, 1], residual * w[:, 0] - torch.sigmoid(-w[:, 1])], dim=1)


def bent_loss(w1: np.ndarray, w2: np.ndarray) -> np.ndarray:
    """The bent river's loss."""
    return (w1 * w2 - 1) ** 2 / 2 + np.logaddexp(0, -w2)


def distance(w: torch.Tensor) -> torch.Tensor:
    """``|w_1 w_2 - 1|``, zero on the bent river."""
    return (w[..., 0] * w[..., 1] - 1).abs()
