"""Small ReLU networks without biases, many at once, and how they move across and along the valley of their loss.

The *dominant subspace* at a point is spanned by the leading eigenvectors of the Hessian of the training loss, in all
weights; the *bulk* is the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F

from companion.analysis import curvature

Weights = Sequence[torch.Tensor]


def initial(sizes: Sequence[int], replicas: int, members: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Weights ``(M, R, out, in)``, ``N(0, 2 / in)``: every member starts from the same R networks."""
    drawn = [(2 / a) ** 0.5 * torch.randn(1, replicas, b, a, generator=generator) for a, b in pairwise(sizes)]
    return [w.repeat(members, 1, 1, 1) for w in drawn]


def scores(weights: Weights, images: torch.Tensor) -> torch.Tensor:
    """``(M, R, n, classes)`` of images ``(R or 1, n, inputs)``."""
    x = images
    for layer, w in enumerate(weights):
        x = x @ w.mT
        if layer < len(weights) - 1:
            x = torch.relu(x)
    return x


def losses(weights: Weights, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy ``(M, R)``; labels ``(R or 1, n)``."""
    found = scores(weights, images)
    each = F.cross_entropy(found.flatten(0, 2), labels.expand(found.shape[:3]).reshape(-1), reduction="none")
    return each.view(found.shape[:3]).mean(2)


def gradients(weights: Weights, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The gradient of each network's own loss."""
    with torch.enable_grad():
        leaves = [w.detach().requires_grad_(True) for w in weights]
        return torch.autograd.grad(losses(leaves, images, labels).sum(), leaves)


def flat(weights: Weights) -> torch.Tensor:
    """All weights of each network in one row, ``(M, R, P)``."""
    return torch.cat([w.detach().flatten(2) for w in weights], dim=2)


def leading(
    weights: Weights, images: torch.Tensor, labels: torch.Tensor, k: int, steps: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Leading eigenvalues ``(M, R, k)`` and eigenvectors ``(M, R, k, P)`` of the Hessians, and gradients ``(M, R, P)``.

    ``steps`` products with the Hessian of the loss on all images.
    """
    members, replicas = weights[0].shape[:2]
    shapes = [w.shape[2:] for w in weights]

    def loss(theta: torch.Tensor) -> torch.Tensor:
        parts = [part.unflatten(0, (members, replicas)) for part in curvature.split(theta, shapes)]
        return losses(parts, images, labels).flatten()

    theta = flat(weights).flatten(0, 1)
    start = torch.randn(1, theta.shape[1], generator=generator).to(theta).expand_as(theta)
    ritz = curvature.lanczos(curvature.hessian_operator(loss, theta), start, steps, k)
    slope = curvature.gradient(loss, theta)
    return (
        ritz.values.unflatten(0, (members, replicas)),
        ritz.vectors.unflatten(0, (members, replicas)),
        slope.unflatten(0, (members, replicas)),
    )


def _along(updates: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Coordinates ``(n, M, R, k)`` of updates ``(n, M, R, P)`` in orthonormal bases ``(M, R, k, P)``, or in one."""
    if basis.ndim == 2:
        return updates @ basis.mT
    return (basis @ updates.permute(1, 2, 3, 0)).permute(3, 0, 1, 2)


def share(updates: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """``|P u|^2 / |u|^2`` of updates ``(n, M, R, P)``, P the projection on a basis ``(M, R, k, P)`` or ``(k, P)``."""
    return (_along(updates, basis) ** 2).sum(-1) / (updates**2).sum(-1)


@dataclass(frozen=True)
class Motion:
    """How networks moved over some updates, ``(M, R)`` each."""

    #: mean length of an update's dominant part
    path: torch.Tensor
    #: length of the sum of these parts over the sum of their lengths: one on a straight line, near zero to and fro
    coherence: torch.Tensor
    #: length of the sum of the updates' bulk parts: the way made along the river
    bulk: torch.Tensor


def motion(points: torch.Tensor, basis: torch.Tensor) -> Motion:
    """The motion through points ``(n + 1, M, R, P)``, with an orthonormal dominant basis ``(M, R, k, P)``."""
    updates = points.diff(dim=0)
    inside = _along(updates, basis)
    path = inside.norm(dim=-1).mean(0)
    net = inside.sum(0)
    bulk = updates.sum(0) - (net[..., None, :] @ basis)[..., 0, :]
    return Motion(path, net.norm(dim=-1) / (len(updates) * path), bulk.norm(dim=-1))


def excess(slope: torch.Tensor, values: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """``sum_i (q_i . gradient)^2 / (2 lambda_i)``: what a Newton step within the dominant subspace would gain."""
    inside = (basis @ slope[..., None])[..., 0]
    return 0.5 * (inside**2 / values).sum(-1)
