"""Networks on many examples: Gaussians in the plane, and pairs of digits, diagonal networks and others."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.sam_diagonal_networks.data import digit_images, digit_pair
from companion.chapters.sam_diagonal_networks.networks import KINDS, train
from companion.chapters.sam_diagonal_networks.parameters import Parameters, initial_weights, random_stream
from companion.chapters.sam_diagonal_networks.sam import TINY, Radii, joint_norm, perturbation, sam_gradient
from companion.models.diagonal import diagonal_gradient
from companion.results import experiment

PAIR = ("GD", "l2-SAM")


@dataclass(frozen=True)
class Plane:
    """Gaussian examples around ``(1, 2)``: which coordinate leads, from several scales."""

    scales: np.ndarray  # alpha / rho, (B,)
    steps: np.ndarray  # recorded steps, (K,)
    share: np.ndarray  # of the second, larger coordinate in the predictor, (K, datasets, PAIR, B)


@experiment
def plane(params: Parameters) -> Plane:
    """Synthetic data with many examples."""
    rng = random_stream(params, "plane")
    z = torch.from_numpy(rng.normal([1.0, 2.0], 0.3, size=(params.datasets, 30, 2)))
    rho, scales = 0.1, np.array([0.56, 0.65, 0.75, 0.85])
    w = torch.from_numpy(np.tile(rho * scales, 2))[None, :, None, None].repeat(params.datasets, 1, 2, 2)
    radii = Radii.of(["gd"] * 4 + ["l2"] * 4, [rho] * 8)
    records = np.unique(np.geomspace(5, 8000, 120).astype(int))
    kept = []
    with torch.inference_mode():
        for step in range(1, 8001):
            w -= 8e-3 * sam_gradient(w, z, radii)[0]
            if step in records:
                kept.append(w.prod(-2).numpy())
    beta = np.stack(kept)
    share = beta[..., 1] / beta.sum(-1)
    return Plane(scales, records, share.reshape(len(records), params.datasets, 2, len(scales)))


ON_DIGITS = ("GD", "l2-SAM", "unnormalized SAM")


@dataclass(frozen=True)
class Digits:
    """Depth-2 networks on pairs of digits from several scales; methods are in the order of ``ON_DIGITS``."""

    pairs: np.ndarray  # (P, 2)
    fractions: np.ndarray  # initial vertex over the largest strength, (F,)
    loss: np.ndarray  # training loss, (steps, P, methods, F)
    effective: np.ndarray  # effective strength of the predictor over its initial value, (steps, P, methods, F)
    maps: np.ndarray  # predictor over its sum at equal loss, (P, methods, F, 64)
    strength: np.ndarray  # of the pixels, (P, 64)
    equal: np.ndarray  # effective strength at equal loss, (P, methods, F); NaN where it was not reached
    target: float  # the equal loss


@experiment
def digits(params: Parameters, target: float = 0.1) -> Digits:
    """Diagonal networks on real data, full batch; on the chosen device."""
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
    used = np.stack([pair.varies for pair in data])[:, None, None]
    methods, runs = len(ON_DIGITS), len(fractions)
    w = torch.from_numpy(np.tile(alpha, methods)[..., None, None] * used).to(device).repeat(1, 1, 2, 1)
    radii = Radii.of([norm for norm in ("gd", "l2", "none") for _ in fractions], [rho] * methods * runs, device)
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
    shape = (len(data), methods, runs)
    loss = torch.stack(losses).cpu().numpy().reshape(-1, *shape)
    effective = torch.stack(strengths).cpu().numpy().reshape(-1, *shape)
    effective /= effective[0]
    reached = loss <= target
    at = reached.argmax(0)
    equal = np.where(reached.any(0), np.take_along_axis(effective, at[None], 0)[0], np.nan)
    maps = maps.cpu().numpy().reshape(*shape, 64)
    return Digits(np.array(params.digit_pairs), fractions, loss, effective, maps, strength, equal, target)


# --- networks that are not diagonal -----------------------------------------------------------------------------------

TARGETS = (0.5, 0.1)


@dataclass(frozen=True)
class Networks:
    """Networks on pairs of digits, GD and l2-SAM from the same weights, at equal training loss."""

    targets: np.ndarray  # the losses at which they are compared, (T,)
    strength: (
        np.ndarray
    )  # of the pixels, weighted by mean absolute input gradients, (T, pairs, PAIR, seeds), NaN if never
    background: np.ndarray  # share of Grad-CAM on dark pixels, same shape; NaN for a network without maps
    steps: np.ndarray  # at which the loss was reached, same shape

    @property
    def trained(self) -> bool:
        """Whether there is any network."""
        return self.strength.size > 0

    def ratio(self, target: float) -> np.ndarray:
        """SAM's strength over GD's at a loss, for the runs in which both reached it."""
        strength = self.strength[self.targets.tolist().index(target)]
        ratio = strength[:, 1] / strength[:, 0]
        return ratio[np.isfinite(ratio)]


@experiment
def relu_mlp(params: Parameters) -> Networks:
    """Two-layer ReLU networks without biases."""
    return _networks(params, "ReLU", params.digit_pairs, params.mlp_seeds, steps=3000, most_runs=400)


@experiment
def cnn(params: Parameters) -> Networks:
    """Convolutional networks, of no pair unless ``run_cnn``."""
    pairs = (params.digit_pairs[1:3] or params.digit_pairs) if params.run_cnn else []
    return _networks(params, "convolutional", pairs, params.cnn_seeds, steps=8000, most_runs=100)


def _networks(
    params: Parameters, kind: str, pairs: list[list[int]], seeds: int, steps: int, most_runs: int
) -> Networks:
    """On a GPU all pairs and seeds in one batch, or as few as ``most_runs`` allows; a CPU takes pair after pair.

    A pair is done when all its runs have reached the last loss, and some take twice as many steps as others.
    """
    size = 1 if params.device == "cpu" else max(1, most_runs // (2 * seeds))
    weights = KINDS[kind].draw(seeds, initial_weights(params))
    none = np.empty((len(TARGETS), 0, len(PAIR), seeds))
    parts = [(none, none, none)] + [
        train(kind, weights, digit_images(pairs[k : k + size]), params.rho_digits, steps, TARGETS, params.device)
        for k in range(0, len(pairs), size)
    ]
    return Networks(np.array(TARGETS), *(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))
