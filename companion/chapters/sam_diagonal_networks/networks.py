"""Networks that are not diagonal, many at once: a two-layer ReLU network and a small convolutional one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.sam_diagonal_networks.data import Images

LR = 0.1


@dataclass(frozen=True)
class Kind:
    """A kind of network: how its weights are drawn, and its logits with the last feature maps, where it has any.

    ``draw`` gives weights of ``seeds`` networks; ``logits`` takes weights of shape ``(P, R, …)`` and images
    ``(P, R, N, 1, 8, 8)``, or ``(P, 1, N, 1, 8, 8)`` where all networks of a pair see the same, and returns logits
    ``(P, R, N)`` and maps ``(P, R, N, 8, 8, 8)``.
    """

    draw: Callable[[int, torch.Generator], list[torch.Tensor]]
    logits: Callable[[list[torch.Tensor], torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]


def train(
    kind: str,
    weights: list[torch.Tensor],
    images: Images,
    rho: float,
    steps: int,
    targets: tuple[float, ...],
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Full-batch training at step size 0.1 of GD and l2-SAM from the same weights, on every pair of digits.

    Parameters
    ----------
    kind : a name in ``KINDS``
    weights : what every pair starts from, each ``(seeds, …)``
    images : of ``P`` pairs
    rho : radius of SAM, in the norm of all weights together
    targets : training losses at which the networks are looked at

    Returns
    -------
    Feature strength, background share and step at the first step with such a loss, each ``(T, P, 2, seeds)``; NaN where
    there is none within ``steps``.
    """
    images = images.to(device)
    pairs, seeds = len(images.x), len(weights[0])
    logits = KINDS[kind].logits
    weights = [torch.cat([part, part]).expand(pairs, 2 * seeds, *part.shape[1:]).clone().to(device) for part in weights]
    radius = torch.tensor([0.0] * seeds + [rho] * seeds, device=device)
    x = images.x[:, None]
    out = np.full((3, len(targets), pairs, 2 * seeds), np.nan)
    for step in range(steps):
        loss, gradients = loss_and_gradients(logits, weights, x, images)
        reached = loss.cpu().numpy()
        for k, target in enumerate(targets):
            new = np.isnan(out[2, k]) & (reached <= target)
            if new.any():
                out[:2, k, new] = explain(logits, weights, images)[:, new]
                out[2, k, new] = step
        if not np.isnan(out[2]).any():
            break
        moves = ascent(gradients, radius)
        _, ahead = loss_and_gradients(logits, [w + move for w, move in zip(weights, moves, strict=True)], x, images)
        weights = [w - LR * gradient for w, gradient in zip(weights, ahead, strict=True)]
    return tuple(part.reshape(len(targets), pairs, 2, seeds) for part in out)


def loss_and_gradients(
    logits: Callable, weights: list[torch.Tensor], x: torch.Tensor, images: Images
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Mean logistic loss of every network, ``(P, R)``, and its gradients."""
    weights = [w.detach().requires_grad_() for w in weights]
    labels = images.labels[:, None]
    each = torch.nn.functional.softplus(-labels * logits(weights, x)[0]) * labels.abs()  # padding has label zero
    loss = each.sum(-1) / images.count
    return loss.detach(), list(torch.autograd.grad(loss.sum(), weights))


def ascent(gradients: list[torch.Tensor], radius: torch.Tensor) -> list[torch.Tensor]:
    """SAM's ascent step ``rho g / ||g||`` of every network, the norm that of all its weights together."""
    square = sum(g.square().flatten(2).sum(2) for g in gradients)
    scale = radius / square.sqrt().clamp_min(1e-12)
    return [g * scale.view(*scale.shape, *[1] * (g.ndim - 2)) for g in gradients]


def explain(logits: Callable, weights: list[torch.Tensor], images: Images) -> np.ndarray:
    """Strength and background share of every network, ``(2, P, R)``."""
    runs = weights[0].shape[1]
    inputs = images.x[:, None].repeat(1, runs, 1, 1, 1, 1).requires_grad_()
    outputs, features = logits([weight.detach() for weight in weights], inputs)
    real = images.labels.abs()[:, None]
    kept = [inputs] if features is None else [inputs, features]
    slopes = torch.autograd.grad((outputs * real).sum(), kept)
    J = (slopes[0].abs().sum(2) / images.count[..., None, None, None]).flatten(2)
    strength = (J * images.strength[:, None]).sum(-1) / J.sum(-1).clamp_min(1e-12)
    background = torch.full_like(strength, float("nan"))
    if features is not None:
        # Grad-CAM: feature maps weighted by their mean gradient, for the class that the network predicts
        weight = slopes[1].mean((-2, -1), keepdim=True) * outputs.sign()[..., None, None, None]
        maps = torch.relu((weight * features).sum(3)).detach() * real[..., None, None]
        background = (maps * images.dark[:, None]).sum((2, 3, 4)) / maps.sum((2, 3, 4)).clamp_min(1e-12)
    return torch.stack([strength, background]).detach().cpu().numpy()


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> torch.Tensor:
    """Torch's default initial weights of linear and convolutional layers: uniform within 1/sqrt(fan_in)."""
    return (2 * torch.rand(shape, generator=generator) - 1) / fan_in**0.5


def _draw_relu(seeds: int, generator: torch.Generator) -> list[torch.Tensor]:
    return [_uniform((seeds, 64, 32), 64, generator), _uniform((seeds, 32, 1), 32, generator)]


def _relu_logits(weights: list[torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, None]:
    return (torch.relu(x.flatten(3) @ weights[0]) @ weights[1])[..., 0], None


def _draw_convolutional(seeds: int, generator: torch.Generator) -> list[torch.Tensor]:
    return [
        _uniform((seeds, 8, 1, 3, 3), 9, generator),
        _uniform((seeds, 8), 9, generator),
        _uniform((seeds, 8, 8, 3, 3), 72, generator),
        _uniform((seeds, 8), 72, generator),
        _uniform((seeds, 512, 1), 512, generator),
        _uniform((seeds, 1), 512, generator),
    ]


def _convolutional_logits(weights: list[torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One group of channels for each network."""
    k1, b1, k2, b2, head, offset = (part.flatten(0, 1) for part in weights)
    pairs, runs, n = *weights[0].shape[:2], x.shape[2]
    groups = pairs * runs
    h = x.expand(pairs, runs, *x.shape[2:]).flatten(0, 1).transpose(0, 1).flatten(1, 2)  # (N, groups, 8, 8)
    h = torch.relu(torch.nn.functional.conv2d(h, k1.flatten(0, 1), b1.flatten(), padding=1, groups=groups))
    h = torch.relu(torch.nn.functional.conv2d(h, k2.flatten(0, 1), b2.flatten(), padding=1, groups=groups))
    features = h.view(n, pairs, runs, 8, 8, 8).permute(1, 2, 0, 3, 4, 5)
    logits = (features.flatten(3) @ head.view(pairs, runs, 512, 1))[..., 0] + offset.view(pairs, runs, 1)
    return logits, features


KINDS = {"ReLU": Kind(_draw_relu, _relu_logits), "convolutional": Kind(_draw_convolutional, _convolutional_logits)}
