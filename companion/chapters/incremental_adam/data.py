"""Separable datasets and their maximum-margin directions."""

from dataclasses import dataclass

import numpy as np

from companion.analysis.max_margin import NotSeparableError, max_margin, normalized_margin

# The smallest sample of the shifted diagonal has the entry 1.
DIAGONAL = (1.0, 2.0, 4.0, 8.0)

# Two samples whose dual map has three fixed points, and weights from which it leads to two of them.
TWO_SAMPLES = np.array([[2.0, 4.0, 2.0, 6.0], [6.0, 3.0, 2.0, 2.0]])
TWO_STARTS = np.array([[0.5, 0.5], [0.9, 0.1]])


def gaussian(rng: np.random.Generator, N: int, d: int) -> np.ndarray:
    """Signed examples with independent standard normal entries, ``(N, d)``; separable almost surely for ``d >= N``."""
    return rng.normal(size=(N, d))


def scaled_rademacher(rng: np.random.Generator, N: int, d: int) -> np.ndarray:
    """Signed examples of random signs, each times its own scale from [1/2, 2], ``(N, d)``: ``|x_i[k]| = a_i``."""
    return rng.uniform(0.5, 2, size=(N, 1)) * rng.choice([-1.0, 1.0], size=(N, d))


def shifted_diagonal(a: np.ndarray, delta: float, flipped: bool = False) -> np.ndarray:
    """``x_i = a_i e_i + delta sum of the other e_j``; ``flipped`` gives the small entries of ``x_1`` the other sign."""
    a = np.asarray(a, dtype=float)
    Z = np.full((len(a), len(a)), float(delta))
    np.fill_diagonal(Z, a)
    if flipped:
        Z[0, 1:] *= -1
    return Z


def cancelling_pair(beta: float) -> np.ndarray:
    """Two samples ``(a, 1, -v)`` and ``(a, -v, 1)`` with ``v`` a little above ``beta`` and a small ``a``, ``(2, 3)``.

    Each step of Signum with momentum ``beta`` sees its own sample's large entry with the right sign, the other's with
    the wrong one. Over an epoch the last two coordinates stay where they are, though each is worth ``1 - v``.
    """
    v = 1 - 0.95 * (1 - beta)
    return np.array([[0.05, 1, -v], [0.05, -v, 1]])


@dataclass(frozen=True)
class Data:
    """Separable datasets and their maximum-margin directions."""

    #: signed examples, ``(rows, N, d)``
    Z: np.ndarray
    #: maximum-margin directions in the 2-norm, ``(rows, d)``
    l2: np.ndarray
    #: one maximum-margin direction in the infinity-norm, ``(rows, d)``; it need not be unique
    linf: np.ndarray
    #: ``gamma_2`` and ``gamma_inf``, ``(2, rows)``
    margins: np.ndarray

    @classmethod
    def of(cls, Z: np.ndarray) -> "Data":
        """Solve the maximum-margin problems of each dataset."""
        two, inf = [max_margin(z, 2) for z in Z], [max_margin(z, np.inf) for z in Z]
        margins = np.array([[s.margin for s in two], [s.margin for s in inf]])
        return cls(np.asarray(Z), np.array([s.w for s in two]), np.array([s.w for s in inf]), margins)

    def rows(self, which: slice) -> "Data":
        """Some of the datasets."""
        return Data(self.Z[which], self.l2[which], self.linf[which], self.margins[:, which])

    def r2(self, w: np.ndarray) -> np.ndarray:
        """``min_i <x_i, w> / (||w||_2 gamma_2)``, at most 1, for ``w`` of shape ``(..., rows, d)``."""
        return normalized_margin(w, self.Z, 2) / self.margins[0]

    def rinf(self, w: np.ndarray) -> np.ndarray:
        """``min_i <x_i, w> / (||w||_inf gamma_inf)``, at most 1, for ``w`` of shape ``(..., rows, d)``."""
        return normalized_margin(w, self.Z, np.inf) / self.margins[1]


def random_datasets(rng: np.random.Generator, count: int, N: int, d: int) -> np.ndarray:
    """``count`` Gaussian datasets, then as many scaled Rademacher ones, all separable, ``(2 count, N, d)``."""
    rows = []
    for make in (gaussian, scaled_rademacher):
        for _ in range(count):
            while True:  # few samples in few dimensions may be opposite to each other: draw again
                Z = make(rng, N, d)
                try:
                    max_margin(Z, 2)
                except NotSeparableError:
                    continue
                rows.append(Z)
                break
    return np.array(rows)


def distance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``1 - cos(u, v)`` along the last axis, as half the squared distance of the directions: exact for small angles."""
    u = u / np.linalg.norm(u, axis=-1, keepdims=True)
    v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return ((u - v) ** 2).sum(-1) / 2


def apart(ends: np.ndarray) -> float:
    """Least distance between two of several runs' iterates, over their length, in the mean over datasets.

    ``ends`` is ``(runs, datasets, d)``. Zero means that two of the runs are the same run.
    """
    size = np.linalg.norm(ends, axis=-1)
    gaps = [
        (np.linalg.norm(ends[i] - ends[j], axis=-1) / np.maximum(size[i], np.finfo(float).tiny)).mean()
        for i in range(len(ends))
        for j in range(i)
    ]
    return float(min(gaps, default=np.nan))
