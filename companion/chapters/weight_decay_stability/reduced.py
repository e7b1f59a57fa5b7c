"""Self-stabilization with weight decay: the edge of stability as a map of the plane.

``x`` is the displacement along the top eigenvector, ``y`` the sharpness above ``2 / lr``. With sharpening ``alpha``,
homogeneity ``c = 2 (D - 1)`` and ``beta = |grad S|^2`` across the eigenvector,

    x <- -(1 + lr * (y + lam)) * x,
    y <- y + lr * (alpha - lam * c * (2 / lr + y) - beta * x^2 / 2).

Without decay it is the model of Damian, Nichani and Lee (ICLR 2023, section 4).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ReducedModel:
    """Constants of the map.

    Attributes
    ----------
    lr, alpha, beta, c : positive; ``c = 0`` switches the alignment off
    """

    lr: float = 0.1
    alpha: float = 0.05
    beta: float = 4.0
    c: float = 4.0

    @property
    def critical(self) -> float:
        """``lambda_c``: root of ``alpha = lam * c * (2 / lr - lam)``, beyond which the edge cannot be held."""
        if self.c == 0:
            return float("inf")
        half = 1 / self.lr
        # The smaller root; the discriminant is positive unless sharpening is as fast as a step.
        return half - np.sqrt(half**2 - self.alpha / self.c)

    def energy(self, lam: np.ndarray) -> np.ndarray:
        """``x*^2`` of the fixed point at the edge, and zero where there is none."""
        drive = self.alpha - lam * self.c * (2 / self.lr - lam)
        return np.maximum(2 * drive / self.beta, 0)

    def plateau(self, lam: np.ndarray) -> np.ndarray:
        """Where the sharpness settles: ``2 / lr - lam`` up to ``lambda_c``, ``alpha / (lam c)`` beyond."""
        with np.errstate(divide="ignore"):
            balance = self.alpha / (lam * self.c)
        return np.minimum(2 / self.lr - lam, balance)

    def jacobian(self, lam: float) -> np.ndarray:
        """Derivative ``(2, 2)`` of the map of ``(|x|, y)`` at the fixed point."""
        x = np.sqrt(self.energy(np.asarray(lam)))
        return np.array([[1, self.lr * x], [-self.lr * self.beta * x, 1 - self.lr * lam * self.c]])

    def step(self, x: np.ndarray, y: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step of the map, elementwise."""
        push = self.alpha - lam * self.c * (2 / self.lr + y) - self.beta * x**2 / 2
        return -(1 + self.lr * (y + lam)) * x, y + self.lr * push

    def iterate(self, lam: np.ndarray, steps: int, x: float = 0.15, y: float = -0.2) -> tuple[np.ndarray, np.ndarray]:
        """Paths ``(steps + 1, len(lam))`` of x and y from one start, for every decay."""
        xs, ys = np.empty((steps + 1, len(lam))), np.empty((steps + 1, len(lam)))
        xs[0], ys[0] = x, y
        for t in range(steps):
            xs[t + 1], ys[t + 1] = self.step(xs[t], ys[t], lam)
        return xs, ys
