"""Small labelled sets of images, one for each seed, with a share of wrong labels."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from companion.data import load_dataset
from companion.data.corruptions import symmetric_label_noise

SIDES = {"digits": 8, "fashion-mini": 16}  # of the images as networks see them
CLASSES = 10
LENGTH = 2.6  # of an image, root mean square


@dataclass(frozen=True)
class Samples:
    """Training sets and probes of S seeds."""

    inputs: torch.Tensor
    """``(S, side * side, n)``."""
    targets: torch.Tensor
    """One-hot, some of them wrong, ``(S, classes, n)``."""
    probes: torch.Tensor
    """Inputs of the test part, ``(S, side * side, probes)``."""


def draw(
    name: str, n: int, noise: float, probes: int, seeds: Sequence[int], device: str, dtype: torch.dtype = torch.float32
) -> Samples:
    """Draw a training set for each seed.

    Each pixel is standardized over the training set, those that never change are zero, and images are scaled to the
    root mean square length ``LENGTH``. Images of Fashion-MNIST at half resolution, 14 x 14, get a margin of one pixel.

    Parameters
    ----------
    name : ``"digits"`` or ``"fashion-mini"``
    n : training samples, as many of each class as can be
    noise : probability with which a label is replaced by another one
    probes : test inputs
    seeds : one for each set
    device, dtype : of the tensors
    """
    sets = zip(*(_drawn(name, n, noise, probes, seed) for seed in seeds), strict=True)
    return Samples(*(torch.tensor(np.stack(each), dtype=dtype, device=device) for each in sets))


@functools.lru_cache(maxsize=64)  # every experiment trains on the same sets
def _drawn(name: str, n: int, noise: float, probes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and probes of one seed, as :class:`Samples` has them."""
    found = load_dataset(name, n_train=n, n_test=probes, seed=seed, normalize="unit")
    labels, _ = symmetric_label_noise(found.y_train, noise, CLASSES, np.random.default_rng([seed, 1]))
    middle, deviation = found.x_train.mean(0), found.x_train.std(0)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6)
    scale *= LENGTH / math.sqrt(np.count_nonzero(scale))
    inputs, others = ((x - middle) * scale for x in (found.x_train, found.x_test))
    return _columns(inputs, SIDES[name]), np.eye(CLASSES)[labels].T, _columns(others, SIDES[name])


def _columns(images: np.ndarray, side: int) -> np.ndarray:
    """``(side * side, n)`` from ``(n, height, width)``, or from ``(n, 1, height, width)``."""
    images = images.reshape(len(images), *images.shape[-2:])
    margin = (side - images.shape[-1]) // 2
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))
    return padded.reshape(len(images), -1).T
