"""Test functions whose minimizers form a manifold: valleys along a torus, and the quadratic bowl beside them.

A point is ``x = (x_1, ..., x_m)`` with all ``x_i`` in the plane, a tensor ``(..., m, 2)``, and

    f(x) = g(phi) sum_i lambda_i h_i^2 / 2,    h_i = (|x_i|^2 - 1) / 2,    g(phi) = 1 + turn sin(phi),

phi the angle of ``x_1``. The minimizers are ``|x_i| = 1`` for all i, a torus of m dimensions in a space of 2 m; there
the Hessian has the eigenvalues ``g(phi) lambda_i``, with the radii as eigenvectors, and m zeros. Away from the torus f
is not convex: inside a circle, where ``h_i < 0``, the Hessian has the curvature ``g lambda_i h_i`` along it, up to
``O(h^2)`` for the first circle if the valley turns.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Valley:
    """The valley along a torus.

    Attributes
    ----------
    eigenvalues : ``lambda``, ``(..., m)``, positive
    turn : how much the normal Hessian changes along the torus, from 0 to below 1
    power : 2, or 4 for ``f = g(phi) sum_i lambda_i h_i^4``: the same minimizers, no PL inequality
    """

    eigenvalues: torch.Tensor
    turn: float = 0.0
    power: int = 2

    def value_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``f``, shape ``(...)``, and its gradient, shape ``(..., m, 2)``.

        ``grad_i f = g lambda_i h_i x_i``; along circle 1 also ``(g' / g) f / |x_1|``.
        """
        h = (x.square().sum(-1) - 1) / 2
        if self.power == 2:
            value, slope = self.eigenvalues * h**2 / 2, self.eigenvalues * h
        else:
            value, slope = self.eigenvalues * h**4, 4 * self.eigenvalues * h**3
        value, gradient = value.sum(-1), slope[..., None] * x
        if not self.turn:
            return value, gradient
        level, first = self.level(x), x[..., :1, :]
        radius = first.norm(dim=-1, keepdim=True)
        # d/dphi of sin(phi) is cos(phi), the gradient of phi the tangent over |x_1|
        turned = torch.stack([-first[..., 1], first[..., 0]], dim=-1) / radius**2
        along = self.turn * first[..., :1] / radius * value[..., None, None] * turned
        gradient = level[..., None, None] * gradient
        head, others = gradient[..., :1, :] + along, gradient[..., 1:, :]
        return level * value, torch.cat([head, others], dim=-2)

    def level(self, x: torch.Tensor) -> torch.Tensor:
        """``g(phi)``, the factor of the normal Hessian at the nearest minimizer, shape ``(...)``."""
        first = x[..., 0, :]
        return 1 + self.turn * first[..., 1] / first.norm(dim=-1)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """``f``, shape ``(...)``."""
        return self.value_and_gradient(x)[0]

    def normals(self, x: torch.Tensor) -> torch.Tensor:
        """The unit normal of each circle at the nearest minimizer, shape of ``x``."""
        return x / x.norm(dim=-1, keepdim=True)

    def tangents(self, x: torch.Tensor) -> torch.Tensor:
        """The unit tangent of each circle there: the normals turned by a right angle."""
        n = self.normals(x)
        return torch.stack([-n[..., 1], n[..., 0]], dim=-1)


@dataclass(frozen=True)
class Bowl:
    """``f(y) = sum_i lambda_i y_i^2 / 2`` with ``y`` of shape ``(..., m, 1)``: the strongly convex quadratic."""

    eigenvalues: torch.Tensor

    def value_and_gradient(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``f``, shape ``(...)``, and its gradient, shape of ``y``."""
        gradient = self.eigenvalues[..., None] * y
        return (gradient * y).sum((-1, -2)) / 2, gradient

    def normals(self, y: torch.Tensor) -> torch.Tensor:
        """The unit vectors of the axes."""
        return torch.ones_like(y)


def near_torus(heights: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Points with these ``h_i`` and angles, both ``(..., m)``: shape ``(..., m, 2)``."""
    radius = (1 + 2 * heights).sqrt()
    return radius[..., None] * torch.stack([angles.cos(), angles.sin()], dim=-1)
