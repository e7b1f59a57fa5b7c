"""River valleys: a quadratic of matrices steep in a few of their columns, and one number between two walls."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.amuse.schedule import coefficients

ROWS, COLUMNS, STEEP_COLUMNS = 16, 32, 4
STEEP, FLAT = 10.0, 0.05
SAMPLES = 16  # in a batch
NOISE = 0.5  # standard deviation of the labels' noise


@dataclass(frozen=True)
class River:
    """``L(W) = tr((W - W*) S (W - W*)^T) / 2`` with S diagonal: 10 on four columns, 0.05 on 28.

    The Hessian is ``I (x) S``. The four steep columns are its dominant subspace, the others, seven eighths of all
    directions, the bulk: the bottom of the valley.
    """

    #: minimizers, ``(R, 16, 32)``
    target: torch.Tensor

    @classmethod
    def draw(cls, replicas: int, generator: torch.Generator) -> "River":
        """A start ``W = 0`` near the bottom, far from the end: steep columns of W* are N(0, 0.01), others N(0, 4)."""
        target = 2 * torch.randn(replicas, ROWS, COLUMNS, generator=generator)
        target[..., :STEEP_COLUMNS] *= 0.05
        return cls(target)

    def curvatures(self) -> torch.Tensor:
        """The diagonal of S, ``(32,)``."""
        values = torch.full((COLUMNS,), FLAT)
        values[:STEEP_COLUMNS] = STEEP
        return values.to(self.target)

    def batch(self, generator: torch.Generator, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs ``(R, 32, 16)`` of covariance S, and noise of labels ``(R, 16, 16)`` times ``volume (R, 1, 1)``."""
        replicas = len(self.target)
        inputs = torch.randn(replicas, COLUMNS, SAMPLES, generator=generator)
        noise = NOISE * volume * torch.randn(replicas, ROWS, SAMPLES, generator=generator)
        return self.curvatures().sqrt()[:, None] * inputs.to(self.target), noise.to(self.target)

    def gradient(self, W: torch.Tensor, inputs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Least squares on the batch: ``((W - W*) X - E) X^T / B`` at ``(M, R, 16, 32)``."""
        return ((W - self.target) @ inputs - noise) @ inputs.mT / SAMPLES

    def losses(self, W: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss in the steep columns and in the flat ones, ``(M, R)`` each."""
        each = 0.5 * self.curvatures() * (W - self.target) ** 2
        return each[..., :STEEP_COLUMNS].sum((-1, -2)), each[..., STEEP_COLUMNS:].sum((-1, -2))


def steep_share(update: torch.Tensor) -> torch.Tensor:
    """Share of the squared norm that lies in the steep columns, ``(..., 16, 32)`` to ``(...)``."""
    squares = update**2
    return squares[..., :STEEP_COLUMNS].sum((-1, -2)) / squares.sum((-1, -2))


def between_walls(
    steps: int, warmup: int, lr: float, beta1: np.ndarray, rho: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points ``Y_t`` of sign steps on ``y^2 / 2`` from 1, and ``X_t - Z_t``, ``(T, runs)`` each.

    A 1 x 1 matrix is orthogonalized to its sign; the rate is constant. Momentum is left
    out: it would round the zigzag.
    """
    pairs = zip(beta1, rho, strict=True)
    columns = [coefficients(np.ones(steps), warmup, *pair)[1] for pair in pairs]
    beta = np.stack(columns, axis=1)
    x = y = z = np.ones(len(rho))
    points, apart = np.empty((2, steps, len(rho)))
    for k in range(steps):
        z = z - lr * np.sign(y)
        x = x + (z - x) / (k + 1)
        y = (1 - beta[k]) * z + beta[k] * x
        points[k], apart[k] = y, x - z
    return points, apart
