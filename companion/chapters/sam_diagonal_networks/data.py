"""Examples: random separable data, Gaussians in the plane, and pairs of digits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog
from sklearn.datasets import load_digits

from companion.analysis.max_margin import NotSeparableError, max_margin


def signed_gaussians(rng: np.random.Generator, datasets: int, n: int = 20, d: int = 12) -> np.ndarray:
    """Gaussian examples on the right side of a random unit vector, moved half a unit along it, ``(datasets, n, d)``."""
    direction = rng.normal(size=(datasets, 1, d))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    z = rng.normal(size=(datasets, n, d))
    return z * np.sign((z * direction).sum(-1, keepdims=True)) + 0.5 * direction


def within_and_out_of_reach(rng: np.random.Generator, within: int, out: int, n: int = 20, d: int = 6) -> np.ndarray:
    """Separable Gaussian examples, ``(within + out, n, d)``.

    The 1-norm max-margin direction of the first is non-negative; that of the others has a negative entry, without which
    30 to 80% of the margin can be had.
    """
    mean = np.linspace(0.5, 1.5, d)
    mixed = np.where(np.arange(d) < d - 1, mean, -mean)

    def is_within(data: np.ndarray) -> bool:
        return bool(max_margin(data, 1).w.min() > -1e-9)

    def is_out(data: np.ndarray) -> bool:
        return 0.3 < nonnegative_margin(data) / max_margin(data, 1).margin < 0.8

    return np.stack(
        [_separable(lambda: rng.normal(mean, 0.8, size=(n, d)), is_within) for _ in range(within)]
        + [_separable(lambda: rng.normal(mixed, 0.8, size=(n, d)), is_out) for _ in range(out)]
    )


def nonnegative_margin(data: np.ndarray) -> float:
    """``max min_i <z_i, w>`` over non-negative ``w`` with entries of sum one; negative if none separates.

    It is the 1-norm max margin among the predictors that two equal layers can have, ``beta = w * w``.
    """
    n, d = data.shape
    rows = np.hstack([-data, np.ones((n, 1))])
    simplex = np.append(np.ones(d), 0.0)[None]
    solved = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=rows,
        b_ub=np.zeros(n),
        A_eq=simplex,
        b_eq=[1.0],
        bounds=[(0, None)] * d + [(None, None)],
        method="highs",
    )
    return float(-solved.fun)


def l1_margin(data: np.ndarray) -> float:
    """The largest 1-norm margin, NaN for data that are not separable."""
    try:
        return max_margin(data, 1).margin
    except NotSeparableError:
        return float("nan")


def _separable(draw: Callable[[], np.ndarray], suits: Callable[[np.ndarray], bool]) -> np.ndarray:
    """The first of up to 1000 draws that is separable and suits."""
    for _ in range(1000):
        data = draw()
        if np.isfinite(l1_margin(data)) and suits(data):
            return data
    raise NotSeparableError("no suitable separable data set in 1000 draws")


# --- digits -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PixelPair:
    """Two digits as signed examples."""

    z: (
        np.ndarray
    )  # y_i x_i with every pixel's sign such that its mean is not negative, (N, 64); constant pixels are zero
    strength: np.ndarray  # the mean, a pixel's strength as a feature, (64,)
    varies: np.ndarray  # whether a pixel is not constant, (64,)


def digit_pair(first: int, second: int) -> PixelPair:
    """Scikit-learn's 8x8 digits ``first`` (label -1) and ``second`` (+1), pixels in [0, 1]."""
    digits = load_digits()
    chosen = (digits.target == first) | (digits.target == second)
    y = np.where(digits.target[chosen] == second, 1.0, -1.0)
    varies = digits.data[chosen].std(0) > 0
    z = y[:, None] * digits.data[chosen] / 16 * varies
    mean = z.mean(0)
    return PixelPair(z * np.where(mean < 0, -1.0, 1.0), np.abs(mean), varies)


@dataclass(frozen=True)
class Images:
    """Pairs of digits as images in [0, 1], padded to one number of images."""

    x: torch.Tensor  # (P, N, 1, 8, 8), zero in the padding
    labels: torch.Tensor  # signs, (P, N), zero in the padding
    count: torch.Tensor  # images without the padding, (P, 1)
    strength: torch.Tensor  # |mean(y x)|, (P, 64)
    dark: torch.Tensor  # pixels below 0.1 of real images, (P, N, 8, 8)

    def to(self, device: str) -> "Images":
        """A copy on a device."""
        return Images(*(part.to(device) for part in (self.x, self.labels, self.count, self.strength, self.dark)))


def digit_images(pairs: list[list[int]]) -> Images:
    """Images and labels of pairs of scikit-learn's digits; the first of a pair has label -1."""
    data = load_digits()
    chosen = [np.flatnonzero((data.target == first) | (data.target == second)) for first, second in pairs]
    longest = max(map(len, chosen))
    x, y = np.zeros((len(pairs), longest, 64)), np.zeros((len(pairs), longest))
    for row, (rows, (_, second)) in enumerate(zip(chosen, pairs, strict=True)):
        x[row, : len(rows)] = data.data[rows] / 16
        y[row, : len(rows)] = np.where(data.target[rows] == second, 1.0, -1.0)
    count = np.array([[float(len(rows))] for rows in chosen])
    strength = np.abs((y[..., None] * x).sum(1) / count)
    dark = (x < 0.1) & (y[..., None] != 0)
    images, labels, counts, strengths = (torch.from_numpy(part).float() for part in (x, y, count, strength))
    shape = (len(pairs), longest, 8, 8)
    return Images(images.view(shape).unsqueeze(2), labels, counts, strengths, torch.from_numpy(dark).view(shape))
