"""Diagonal networks on many examples: Gaussians in the plane, and pairs of digits."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits

from companion.chapters.sam_diagonal_networks.setting import (
    TINY,
    Parameters,
    Radii,
    joint_norm,
    perturbation,
    sam_gradient,
)
from companion.models.diagonal import diagonal_gradient


@dataclass(frozen=True)
class Plane:
    """Gaussian examples around ``(1, 2)``: which coordinate leads, for GD and l2-SAM from several scales.

    Attributes
    ----------
    scales : ``alpha / rho``, ``(B,)``
    steps : ``(K,)``
    share : of the second, larger coordinate in the predictor, ``(K, datasets, 2 methods, B)``; GD, then l2-SAM
    """

    scales: np.ndarray
    steps: np.ndarray
    share: np.ndarray


def plane(params: Parameters) -> Plane:
    """C8, synthetic data with many examples."""
    rng = np.random.default_rng([params.seed, 6])
    z = torch.from_numpy(rng.normal([1.0, 2.0], 0.3, size=(params.datasets, 30, 2)))
    rho, scales = 0.1, np.array([0.56, 0.65, 0.75, 0.85])
    w = torch.from_numpy(np.tile(rho * scales, 2))[None, :, None, None].repeat(params.datasets, 1, 2, 2)
    radii = Radii.of(["gd"] * 4 + ["l2"] * 4, [rho] * 8)
    records = np.unique(np.geomspace(5, 5000, 120).astype(int))
    kept = []
    with torch.inference_mode():
        for step in range(1, 5001):
            w -= 8e-3 * sam_gradient(w, z, radii)[0]
            if step in records:
                kept.append(w.prod(-2).numpy())
    beta = np.stack(kept)
    share = beta[..., 1] / beta.sum(-1)
    return Plane(scales, records, share.reshape(len(records), params.datasets, 2, len(scales)))


@dataclass(frozen=True)
class PixelPair:
    """Two digits as signed examples.

    Attributes
    ----------
    z : ``y_i x_i`` with every pixel's sign such that its mean is positive, ``(N, 64)``; constant pixels are zero
    strength : the mean, a pixel's strength as a feature, ``(64,)``
    """

    z: np.ndarray
    strength: np.ndarray


def digit_pair(first: int, second: int) -> PixelPair:
    """Scikit-learn's 8x8 digits ``first`` (label -1) and ``second`` (+1), pixels in [0, 1]."""
    digits = load_digits()
    chosen = (digits.target == first) | (digits.target == second)
    y = np.where(digits.target[chosen] == second, 1.0, -1.0)
    z = y[:, None] * digits.data[chosen] / 16 * (digits.data[chosen].std(0) > 0)
    mean = z.mean(0)
    return PixelPair(z * np.sign(mean), np.abs(mean))


@dataclass(frozen=True)
class Digits:
    """Depth-2 networks on pairs of digits: GD and l2-SAM from several scales.

    Attributes
    ----------
    pairs : ``(P, 2)``
    fractions : initial vertex over the largest strength, ``(F,)``
    loss, effective : training loss, and effective strength of the predictor over its initial value,
        ``(steps, P, 2 methods, F)``; methods are GD and l2-SAM
    maps : predictor over its sum at equal loss, ``(P, 2, F, 64)``
    strength : ``(P, 64)``
    equal : effective strength at equal loss, ``(P, 2, F)``; NaN where the loss was not reached
    target : the equal loss
    """

    pairs: np.ndarray
    fractions: np.ndarray
    loss: np.ndarray
    effective: np.ndarray
    maps: np.ndarray
    strength: np.ndarray
    equal: np.ndarray
    target: float


def digits(params: Parameters, target: float = 0.1) -> Digits:
    """C8 on real data, full batch; on the chosen device."""
    device, rho = params.device, params.rho_digits
    data = [digit_pair(*pair) for pair in params.digit_pairs]
    longest = max(len(pair.z) for pair in data)
    z = np.stack([np.pad(pair.z, ((0, longest - len(pair.z)), (0, 0))) for pair in data])
    strength = np.stack([pair.strength for pair in data])
    fractions = np.array(params.vertex_fractions)
    alpha = (
        np.sqrt(2)
        * rho
        * fractions
        * strength.max(-1, keepdims=True)
        / np.linalg.norm(strength, axis=-1, keepdims=True)
    )
    used = (strength > 0)[:, None, None]
    w = torch.from_numpy(np.tile(alpha, 2)[..., None, None] * used).to(device).repeat(1, 1, 2, 1)
    radii = Radii.of(["gd"] * len(fractions) + ["l2"] * len(fractions), [rho] * 2 * len(fractions), device)
    examples, m = torch.from_numpy(z).to(device), torch.from_numpy(strength).to(device)[:, None]
    count = torch.tensor([[[float(len(pair.z))]] for pair in data], dtype=torch.float64, device=device)
    losses, strengths = [], []
    maps = torch.zeros(*w.shape[:2], 64, dtype=w.dtype, device=device)
    waiting = torch.ones(w.shape[:2], dtype=torch.bool, device=device)
    padding = longest - count[..., 0]
    with torch.inference_mode():
        for _ in range(params.steps_digits):
            gradient, slope = diagonal_gradient(w, examples, count)
            beta = w[..., 0, :] * w[..., 1, :]
            # log(1 + exp(-m)) = -log(1 - slope); a row of padding adds log 2
            loss = (-torch.log1p(-slope).sum(-1) - padding * np.log(2)) / count[..., 0]
            total = beta.sum(-1).clamp_min(TINY)
            losses.append(loss)
            strengths.append((beta * m).sum(-1) / total)
            now = waiting & (loss <= target)
            maps = torch.where(now[..., None], beta / total[..., None], maps)
            waiting &= ~now
            ahead, _ = diagonal_gradient(w + perturbation(gradient, joint_norm(gradient), radii), examples, count)
            w -= 0.2 * ahead
    shape = (len(data), 2, len(fractions))
    loss = torch.stack(losses).cpu().numpy().reshape(-1, *shape)
    effective = torch.stack(strengths).cpu().numpy().reshape(-1, *shape)
    effective /= effective[0]
    reached = loss <= target
    at = reached.argmax(0)
    equal = np.where(reached.any(0), np.take_along_axis(effective, at[None], 0)[0], np.nan)
    maps = maps.cpu().numpy().reshape(*shape, 64)
    return Digits(np.array(params.digit_pairs), fractions, loss, effective, maps, strength, equal, target)
