"""Random step sizes: what mini-batches make of the product map."""

from collections.abc import Iterator

import numpy as np
import torch

from companion.chapters.two_factor_linear_transformer.product_map import Array, level, product_step


def two_point_exponent(mean: np.ndarray, half_width: np.ndarray) -> np.ndarray:
    """``E ln |1 - 2 mu|`` for ``mu = mean ± half_width`` with equal chances: ``ln |(1 - 2 m)^2 - 4 r^2| / 2``."""
    product = np.abs((1 - 2 * np.asarray(mean)) ** 2 - 4 * np.asarray(half_width) ** 2)
    return np.log(np.maximum(product, np.finfo(float).tiny)) / 2


def label_noise_floor(mu: np.ndarray, noise: float) -> np.ndarray:
    """Stationary variance of ``u v - 1`` at balanced factors with noise in the labels, to first order, ``mu < 1``."""
    return mu * noise**2 / (1 - mu)


def balancing_rate(mu: np.ndarray, noise: float) -> np.ndarray:
    """By how much label noise lowers ``ln |u^2 - v^2|`` in a step near balance, to first order, for ``mu < 1``."""
    return mu**2 * noise**2 / (1 - mu)


def noisy_step(u: Array, v: Array, mu: Array, target: Array) -> tuple[Array, Array]:
    """A step on a batch that wants the product to be ``target``.

    ``u+ = u - mu v (u v - target)``, ``v+ = v - mu u (u v - target)``.
    """
    pull = mu * (u * v - target)
    return u - pull * v, v - pull * u


def greedy(u: torch.Tensor, v: torch.Tensor, bound: float, steps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """An adversary's orbits: of eleven step sizes from 0 to ``bound`` the one that goes furthest out in ``level``."""
    choices = torch.linspace(0, bound, 11, dtype=u.dtype, device=u.device)[:, None]
    for _ in range(steps):
        after = product_step(u, v, choices)
        best = level(*after, bound).argmax(0, keepdim=True)
        u, v = (x.gather(0, best)[0] for x in after)
        yield u, v
