"""The two-factor product map of gradient descent, its invariant ellipse, and exponents in closed form.

The functions take numpy arrays or tensors, of shapes that broadcast.
"""

import math
from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor, float)


def product_step(u: Array, v: Array, mu: Array) -> tuple[Array, Array]:
    """One step of gradient descent on ``(u v - 1)^2 / 2`` in both factors.

    ``u+ = u - mu v (u v - 1)``, ``v+ = v - mu u (u v - 1)``.
    """
    pull = mu * (u * v - 1)
    return u - pull * v, v - pull * u


def rotated_step(total: Array, gap: Array, mu: Array) -> tuple[Array, Array]:
    """The same in ``total = u + v`` and ``gap = u - v``: ``total (1 - mu e)``, ``gap (1 + mu e)``, ``e = u v - 1``.

    A tiny gap keeps all its digits here; as the difference of ``u`` and ``v`` it would drown in rounding.
    """
    pull = mu * ((total * total - gap * gap) / 4 - 1)
    return total * (1 - pull), gap * (1 + pull)


def tangent_step(u: Array, v: Array, du: Array, dv: Array, mu: Array) -> tuple[Array, Array]:
    """The derivative of :func:`product_step` at ``(u, v)`` applied to ``(du, dv)``."""
    error, change = u * v - 1, u * dv + v * du
    return du - mu * (dv * error + v * change), dv - mu * (du * error + u * change)


def level(u: Array, v: Array, mu: Array) -> Array:
    """``Q = mu/4 ((u + v)^2 / (2 + mu) + (u - v)^2 / (2 - mu))``, for ``0 < mu < 2``; one on the invariant ellipse."""
    return mu / 4 * ((u + v) ** 2 / (2 + mu) + (u - v) ** 2 / (2 - mu))


def separation(u: Array, v: Array, mu: Array) -> Array:
    """``1 + mu^2 P (P - 1)``, ``P = u v``: by what a step multiplies ``1 - Q``; at least ``1 - mu^2 / 4``."""
    return 1 + mu**2 * (u * v) * (u * v - 1)


def ellipse(angle: Array, mu: Array) -> tuple[Array, Array]:
    """Points of the ellipse: ``u + v = 2 sqrt((2 + mu)/mu) cos``, ``u - v = 2 sqrt((2 - mu)/mu) sin`` of the angle."""
    lib = torch if isinstance(angle, torch.Tensor) else np
    long, short = ((2 + mu) / mu) ** 0.5 * lib.cos(angle), ((2 - mu) / mu) ** 0.5 * lib.sin(angle)
    return long + short, long - short


def angle_step(angle: Array) -> Array:
    """What a step does to the angle on the ellipse: ``pi - 3 angle``."""
    return math.pi - 3 * angle


def ellipse_exponent(mu: Array) -> Array:
    """The exponent across the ellipse, ``2 arccosh((sqrt(5 + 2 mu) + sqrt(5 - 2 mu)) / 4)``, for ``0 < mu <= 2``."""
    mu = np.asarray(mu, dtype=float)
    return 2 * np.arccosh(np.maximum((np.sqrt(5 + 2 * mu) + np.sqrt(5 - 2 * mu)) / 4, 1))
