"""Random problems: low-rank matrices whose singular vectors lie in, or near, the span of known features."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.inductive_matrix_completion.completion import Sample


@dataclass(frozen=True)
class Problem:
    """A batch of matrices ``L* = A B^T`` of mean-square entry one, with features of their rows and columns."""

    #: X, Y: features with orthonormal columns, ``(n, a)``, the same for the whole batch
    X: torch.Tensor
    Y: torch.Tensor
    #: A, B: balanced factors, ``(n, runs, r)``
    A: torch.Tensor
    B: torch.Tensor

    def to(self, device: str) -> "Problem":
        """The same on another device."""
        return Problem(*(part.to(device) for part in (self.X, self.Y, self.A, self.B)))


def orthonormal(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    """Uniformly random orthonormal columns of the given shape, from a Gaussian matrix's QR."""
    return torch.linalg.qr(torch.from_numpy(rng.normal(size=shape)))[0]


def singular_values(n: int, r: int, kappa: float) -> torch.Tensor:
    """``r`` singular values from ``kappa`` down to one in equal steps, scaled to ``|L*|_F = n``."""
    values = torch.linspace(kappa, 1, r, dtype=torch.float64)
    return values * n / values.norm()


def features(rng: np.random.Generator, n: int, a: int, private: int = 0) -> torch.Tensor:
    """``a`` orthonormal features of ``n`` rows; the first ``private`` of them belong to a single row each."""
    raw = torch.from_numpy(rng.normal(size=(n, a)))
    raw[:, :private] = torch.eye(n, private, dtype=raw.dtype)
    return torch.linalg.qr(raw)[0]


def draw(
    rng: np.random.Generator,
    runs: int,
    n: int,
    a: int,
    r: int,
    kappa: float,
    tilt: float | np.ndarray = 0.0,
    private: int = 0,
) -> Problem:
    """Random features, and matrices whose singular vectors are tilted out of their span.

    ``u = sqrt(1 - tilt^2) u0 + tilt z`` with ``u0`` in the span of the features and ``z`` orthogonal to it.

    Parameters
    ----------
    runs, n, a, r, kappa : matrices, size, features, rank and condition number, ``r <= a`` and ``a + r <= n``
    tilt : in [0, 1), one for all or one for each matrix; zero for exact side information
    private : features that belong to a single row or column each
    """
    values = singular_values(n, r, kappa).sqrt()
    tau = torch.as_tensor(tilt, dtype=torch.float64).expand(runs)[:, None, None]

    def side() -> tuple[torch.Tensor, torch.Tensor]:
        X = features(rng, n, a, private)
        inside = X @ orthonormal(rng, runs, a, r)
        if not tau.any():
            return X, (inside * values).transpose(0, 1)
        raw = torch.from_numpy(rng.normal(size=(runs, n, r)))
        outside = torch.linalg.qr(raw - X @ (X.T @ raw))[0]
        return X, (((1 - tau**2).sqrt() * inside + tau * outside) * values).transpose(0, 1)

    (X, A), (Y, B) = side(), side()
    return Problem(X, Y, A.contiguous(), B.contiguous())


def repeat(problem: Problem, times: int) -> Problem:
    """The same batch several times over, one after the other."""
    return Problem(problem.X, problem.Y, problem.A.repeat(1, times, 1), problem.B.repeat(1, times, 1))


def observe(rng: np.random.Generator, problem: Problem, m: np.ndarray, sigma: float | np.ndarray = 0.0) -> Sample:
    """Every entry is seen with probability ``p = m / n^2``, independently, with Gaussian noise.

    Parameters
    ----------
    m : entries seen on average, ``(runs,)``
    sigma : deviation of the noise, one for all or ``(runs,)``; entries have mean square one
    """
    n, runs, _ = problem.A.shape
    share = np.minimum(np.broadcast_to(m, (runs,)) / n**2, 1.0)
    cells = [np.sort(rng.choice(n**2, rng.binomial(n**2, p), replace=False, shuffle=False)) for p in share]
    run = torch.from_numpy(np.repeat(np.arange(runs), [len(c) for c in cells]))
    row, col = (torch.from_numpy(part) for part in np.divmod(np.concatenate(cells), n))
    noise = torch.from_numpy(rng.normal(size=len(run)))
    scale = torch.as_tensor(sigma, dtype=torch.float64).expand(runs)
    value = (problem.A[row, run] * problem.B[col, run]).sum(-1) + scale[run] * noise
    return Sample(run, row, col, value, torch.from_numpy(share.copy()))
