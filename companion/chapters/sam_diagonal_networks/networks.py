"""Networks that are not diagonal, on pairs of digits: a ReLU network and a small convolutional one."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits

from companion.chapters.sam_diagonal_networks.setting import Parameters


@dataclass(frozen=True)
class Networks:
    """ReLU networks on pairs of digits, GD against l2-SAM at equal training loss.

    Attributes
    ----------
    targets : the losses at which they are compared, ``(T,)``
    strength : input-gradient weighted feature strength ``sum_j J_j m_j / sum_j J_j`` with ``J`` the mean absolute input
        gradient, ``(T, pairs, 2 methods, seeds)``; methods are GD and l2-SAM; NaN where the loss was not reached
    background : share of the class-activation map (Grad-CAM) on dark pixels, same shape; NaN for a network without maps
    steps : at which the loss was reached, same shape
    """

    targets: np.ndarray
    strength: np.ndarray
    background: np.ndarray
    steps: np.ndarray

    def comparison(self) -> list[tuple[float, float]]:
        """For each target, the median of SAM's strength over GD's, and the share of runs in which SAM's is lower.

        NaN where no pair of runs reached the loss.
        """
        found = []
        for strength in self.strength:
            ratio = strength[:, 1] / strength[:, 0]
            ratio = ratio[np.isfinite(ratio)]
            found.append((float(np.median(ratio)), float(np.mean(ratio < 1))) if len(ratio) else (np.nan, np.nan))
        return found


def relu_mlp(params: Parameters) -> Networks:
    """A bias-free two-layer ReLU network: the effect does not appear."""
    return _train_networks(params, "mlp", params.mlp_seeds, params.digit_pairs, steps=3000)


def cnn(params: Parameters) -> Networks | None:
    """C8, a convolutional network; ``None`` unless ``run_cnn``."""
    if not params.run_cnn:
        return None
    return _train_networks(params, "cnn", params.cnn_seeds, params.digit_pairs[1:3] or params.digit_pairs, steps=8000)


def _train_networks(params: Parameters, kind: str, seeds: int, pairs: list[list[int]], steps: int) -> Networks:
    """Full-batch training at step size 0.1, GD and SAM from the same weights; one pair after the other."""
    targets = (0.5, 0.1)
    found = [_train_on_pair(params, kind, seeds, pair, steps, targets) for pair in pairs]
    strength, background, taken = (np.stack(parts, axis=1) for parts in zip(*found, strict=True))
    return Networks(np.array(targets), strength, background, taken)


def _train_on_pair(
    params: Parameters, kind: str, seeds: int, pair: list[int], steps: int, targets: tuple[float, ...]
) -> tuple[np.ndarray, ...]:
    """Strength, background share and step at each target, each ``(T, 2, seeds)``; runs are GD's seeds, then SAM's."""
    device = params.device
    generator = torch.Generator().manual_seed(params.seed)
    images = digit_images(*pair).to(device)
    y, m = images.labels, images.strength
    build = _mlp if kind == "mlp" else _cnn
    weights = [torch.cat([part, part]).to(device).requires_grad_() for part in build(seeds, generator)]
    runs = 2 * seeds
    radius = torch.tensor([0.0] * seeds + [params.rho_digits] * seeds, device=device)
    x = images.x.expand(runs, *images.x.shape)
    forward = _mlp_logits if kind == "mlp" else _cnn_logits

    def losses() -> torch.Tensor:
        return torch.nn.functional.softplus(-y * forward(weights, x)[0]).mean(-1)

    out = np.full((3, len(targets), runs), np.nan)
    for step in range(steps):
        loss = losses()
        gradients = torch.autograd.grad(loss.sum(), weights)
        reached = loss.detach().cpu().numpy()
        for k, target in enumerate(targets):
            new = np.isnan(out[2, k]) & (reached <= target)
            if new.any():
                out[:2, k, new] = _explain(forward, weights, x, m, images.dark)[:, new]
                out[2, k, new] = step
        if not np.isnan(out[2]).any():
            break
        with torch.no_grad():
            square = sum(g.square().flatten(1).sum(1) for g in gradients)
            scale = radius / square.sqrt().clamp_min(1e-12)
            moves = [g * scale.view(-1, *[1] * (g.ndim - 1)) for g in gradients]
            for weight, move in zip(weights, moves, strict=True):
                weight.add_(move)
        ahead = torch.autograd.grad(losses().sum(), weights)
        with torch.no_grad():
            for weight, move, gradient in zip(weights, moves, ahead, strict=True):
                weight.sub_(move + 0.1 * gradient)
    return tuple(out.reshape(3, len(targets), 2, seeds))


@dataclass(frozen=True)
class Images:
    """A pair of digits as images in [0, 1].

    Attributes
    ----------
    x, labels : ``(N, 1, 8, 8)`` and signs ``(N,)``
    strength : ``|mean(y x)|``, ``(64,)``
    dark : pixels below 0.1, ``(N, 8, 8)``
    """

    x: torch.Tensor
    labels: torch.Tensor
    strength: torch.Tensor
    dark: torch.Tensor

    def to(self, device: str) -> "Images":
        """A copy on a device."""
        return Images(*(part.to(device) for part in (self.x, self.labels, self.strength, self.dark)))


def digit_images(first: int, second: int) -> Images:
    """Images and labels of two of scikit-learn's digits."""
    data = load_digits()
    chosen = (data.target == first) | (data.target == second)
    x = torch.from_numpy(data.data[chosen] / 16).float()
    y = torch.from_numpy(np.where(data.target[chosen] == second, 1.0, -1.0)).float()
    return Images(x.view(-1, 1, 8, 8), y, (y[:, None] * x).mean(0).abs(), x.view(-1, 8, 8) < 0.1)


def _explain(forward, weights, x: torch.Tensor, m: torch.Tensor, dark: torch.Tensor) -> np.ndarray:
    """Strength and background share of every run, ``(2, R)``."""
    inputs = x.detach().clone().requires_grad_()
    logits, features = forward([weight.detach() for weight in weights], inputs)
    kept = [inputs] if features is None else [inputs, features]
    slopes = torch.autograd.grad(logits.sum(), kept)
    J = slopes[0].abs().mean(1).flatten(1)
    strength = (J * m).sum(-1) / J.sum(-1).clamp_min(1e-12)
    background = torch.full_like(strength, float("nan"))
    if features is not None:
        # Grad-CAM: feature maps weighted by their mean gradient, for the class that the network predicts
        weight = slopes[1].mean((-2, -1), keepdim=True) * logits.sign()[..., None, None, None]
        maps = torch.relu((weight * features).sum(2)).detach()
        background = (maps * dark).sum((1, 2, 3)) / maps.sum((1, 2, 3)).clamp_min(1e-12)
    return torch.stack([strength, background]).detach().cpu().numpy()


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> torch.Tensor:
    """Torch's default initial weights of linear and convolutional layers: uniform within 1/sqrt(fan_in)."""
    return (2 * torch.rand(shape, generator=generator) - 1) / fan_in**0.5


def _mlp(seeds: int, generator: torch.Generator) -> list[torch.Tensor]:
    return [_uniform((seeds, 64, 32), 64, generator), _uniform((seeds, 32, 1), 32, generator)]


def _mlp_logits(weights: list[torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Logits ``(R, N)`` of inputs ``(R, N, 1, 8, 8)``."""
    return (torch.relu(x.flatten(2) @ weights[0]) @ weights[1])[..., 0], None


def _cnn(seeds: int, generator: torch.Generator) -> list[torch.Tensor]:
    return [
        _uniform((seeds, 8, 1, 3, 3), 9, generator),
        _uniform((seeds, 8), 9, generator),
        _uniform((seeds, 8, 8, 3, 3), 72, generator),
        _uniform((seeds, 8), 72, generator),
        _uniform((seeds, 512, 1), 512, generator),
        _uniform((seeds, 1), 512, generator),
    ]


def _cnn_logits(weights: list[torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(R, N)`` and the last feature maps ``(R, N, 8, 8, 8)``: one group of channels for each run."""
    k1, b1, k2, b2, head, offset = weights
    runs, n = x.shape[:2]
    h = x.transpose(0, 1).flatten(1, 2)  # (N, R, 8, 8)
    h = torch.relu(torch.nn.functional.conv2d(h, k1.flatten(0, 1), b1.flatten(), padding=1, groups=runs))
    h = torch.relu(torch.nn.functional.conv2d(h, k2.flatten(0, 1), b2.flatten(), padding=1, groups=runs))
    features = h.view(n, runs, 8, 8, 8).transpose(0, 1)
    return (features.flatten(2) @ head)[..., 0] + offset, features
