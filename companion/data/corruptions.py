"""Ways to spoil a clean dataset on purpose: wrong labels, damaged images, rare classes.

Everything is numpy and draws from the generator it is given. Only training data should be spoiled; test data stay
clean.
"""

import numpy as np

CORRUPTIONS = ("gaussian noise", "occlusion", "low resolution", "fog", "motion blur")


def symmetric_label_noise(
    labels: np.ndarray, share: float, n_classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Replace each label, with probability ``share``, by a uniformly random *other* class.

    Parameters
    ----------
    labels : integers in ``range(n_classes)``, shape ``(N,)``
    share : probability of a wrong label, from 0 to 1
    n_classes : number of classes, at least 2

    Returns
    -------
    noisy, wrong : the labels, and a mask of those that were replaced, both ``(N,)``
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: got {share}, allowed: a number from 0 to 1")
    if n_classes < 2:
        raise ValueError(f"n_classes: got {n_classes}, allowed: an integer of at least 2")
    labels = np.asarray(labels)
    wrong = rng.random(labels.shape) < share
    shift = rng.integers(1, n_classes, labels.shape)
    return np.where(wrong, (labels + shift) % n_classes, labels).astype(labels.dtype), wrong


def corrupt_images(images: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Damage a share of the images, one fifth of them in each of the five ways of :data:`CORRUPTIONS`.

    In order: Gaussian noise of mean 0.2 and standard deviation 1, clipped; a black square of half the side at a random
    place; averaged to a quarter of the side and enlarged again; fog that thins out from the centre; motion along the
    diagonal.

    Parameters
    ----------
    images : square images with values in [0, 1], shape ``(N, side, side)`` or ``(N, channels, side, side)``
    share : share of the images to damage, from 0 to 1; ``round(share * N)`` are

    Returns
    -------
    corrupted, kind : the images, and for each the index into :data:`CORRUPTIONS` or -1 if untouched, shape ``(N,)``
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: got {share}, allowed: a number from 0 to 1")
    if images.ndim not in (3, 4) or images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images: got shape {images.shape}, allowed: (N, side, side) or (N, channels, side, side)")
    corrupted = np.array(images, dtype=np.float32)
    kind = np.full(len(images), -1)
    hit = rng.permutation(len(images))[: round(share * len(images))]
    kind[hit] = np.arange(len(hit)) % len(CORRUPTIONS)
    for index, damage in enumerate((_gaussian, _occlude, _coarsen, _fog, _motion_blur)):
        rows = np.flatnonzero(kind == index)
        if len(rows):
            corrupted[rows] = damage(corrupted[rows], rng)
    return corrupted, kind


def long_tail_indices(labels: np.ndarray, imbalance: float, rng: np.random.Generator) -> np.ndarray:
    """Indices of a subset whose class sizes fall geometrically, ``n_k = n_0 * imbalance**(-k / (c - 1))``.

    Parameters
    ----------
    labels : shape ``(N,)``
    imbalance : largest over smallest class size, at least 1
    rng : decides which samples of a class stay

    Returns
    -------
    Sorted indices. The first class keeps as many samples as the smallest class of ``labels`` has, every class at
    least one.
    """
    if imbalance < 1:
        raise ValueError(f"imbalance: got {imbalance}, allowed: a number of at least 1")
    classes, counts = np.unique(labels, return_counts=True)
    sizes = counts.min() * float(imbalance) ** (-np.arange(len(classes)) / max(len(classes) - 1, 1))
    kept = [
        rng.permutation(np.flatnonzero(labels == label))[: max(1, round(size))]
        for label, size in zip(classes, sizes, strict=True)
    ]
    return np.sort(np.concatenate(kept))


def _gaussian(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(images + rng.normal(0.2, 1.0, images.shape), 0, 1)


def _occlude(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = images.shape[-1]
    size = max(1, side // 2)
    top, left = rng.integers(0, side - size + 1, (2, len(images)))
    steps = np.arange(side)
    rows = (steps >= top[:, None]) & (steps < top[:, None] + size)
    cols = (steps >= left[:, None]) & (steps < left[:, None] + size)
    square = rows[:, :, None] & cols[:, None, :]
    return np.where(square if images.ndim == 3 else square[:, None], 0, images)


def _coarsen(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = images.shape[-1]
    block = np.arange(side) * max(1, side // 4) // side  # which coarse pixel each row belongs to
    average = (block[:, None] == np.arange(block.max() + 1)).astype(np.float32)
    average /= average.sum(0)
    return (average.T @ images @ average)[..., block[:, None], block[None, :]]


def _fog(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = images.shape[-1]
    offset = np.arange(side) - (side - 1) / 2
    distance = np.hypot(offset[:, None], offset[None, :])
    transmission = np.exp(-0.4 * (np.sqrt(side) - 0.04 * distance))
    return images * transmission + 0.5 * (1 - transmission)


def _motion_blur(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = images.shape[-1]
    length = max(1, side // 2)
    blurred = np.zeros_like(images)
    for step in range(length):
        shift = step - (length - 1) // 2
        source, target = slice(max(0, -shift), side - max(0, shift)), slice(max(0, shift), side - max(0, -shift))
        blurred[..., target, target] += images[..., source, source]
    axes = tuple(range(1, images.ndim))
    peak = blurred.max(axis=axes, keepdims=True)
    return blurred / np.where(peak > 0, peak, 1)
