"""The model: Mahalanobis metrics, triplets of individuals, and noisy answers under the Bradley-Terry law."""

from dataclasses import dataclass

import numpy as np
import torch


def triplet_design(x_i: torch.Tensor, x_j: torch.Tensor, x_k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrast ``u = x_j - x_k`` and centre ``v = 2 x_i - x_j - x_k`` of triplets, each of shape ``(..., m, d)``.

    With them ``d_M^2(x_i, x_k) - d_M^2(x_i, x_j) = u' M v`` for every symmetric ``M``.
    """
    return x_j - x_k, 2 * x_i - x_j - x_k


def squared_distance(factor: torch.Tensor, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``d_M^2(x, other)`` for ``M = U U'``: ``factor`` of shape ``(..., d, r)``, individuals ``(..., m, d)``."""
    return ((x - other) @ factor).square().sum(-1)


def logits(factor: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """``u' U U' v`` of every triplet, ``(..., m)``."""
    return ((u @ factor) * (v @ factor)).sum(-1)


@dataclass(frozen=True)
class Triplets:
    """Questions "is i more similar to j or to k?" and their answers."""

    #: u, v: the design, ``(B, m, d)``
    u: torch.Tensor
    v: torch.Tensor
    #: 1 where the answer is j, else 0, ``(B, m)``
    y: torch.Tensor

    def part(self, batch: slice) -> "Triplets":
        """Some batch entries."""
        return Triplets(self.u[batch], self.v[batch], self.y[batch])

    def first(self, m: int) -> "Triplets":
        """The first ``m`` questions of each batch entry."""
        return Triplets(self.u[:, :m], self.v[:, :m], self.y[:, :m])


def generator(device: str, *key: int) -> torch.Generator:
    """A generator on the device whose stream is named by integers."""
    state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator(device).manual_seed(state)


def answers(z: torch.Tensor, flip: float, source: torch.Generator) -> torch.Tensor:
    """Answers to questions of logit ``z`` by the Bradley-Terry law; each is then turned round with chance ``flip``."""
    y = torch.rand(z.shape, generator=source, dtype=z.dtype, device=z.device) < torch.sigmoid(z)
    wrong = torch.rand(z.shape, generator=source, dtype=z.dtype, device=z.device) < flip
    return (y ^ wrong).to(z.dtype)


def gaussian_triplets(
    factor: torch.Tensor, m: int, flip: float, source: torch.Generator, spread: torch.Tensor | None = None
) -> Triplets:
    """Triplets of independent Gaussian individuals, for each metric of the batch ``(B, d, r)``.

    Their features are independent of variance one, or of standard deviations ``spread``, ``(d,)``.
    """
    batch, d, _ = factor.shape
    # features before triplets in memory: the long rows make the products with thin factors twice as fast
    x = torch.randn(3, batch, d, m, generator=source, dtype=factor.dtype, device=factor.device).mT
    if spread is not None:
        x = x * spread
    u, v = triplet_design(*x)
    return Triplets(u, v, answers(logits(factor, u, v), flip, source))


def spread(d: int, like: torch.Tensor) -> torch.Tensor:
    """Unequal standard deviations of ``d`` features, from a half to three halves; their squares have mean about one."""
    return torch.linspace(0.5, 1.5, d, dtype=like.dtype, device=like.device)


def individuals(population: str, shape: tuple[int, ...], source: torch.Generator) -> torch.Tensor:
    """Individuals with independent features of mean zero and variance one, ``"Gaussian"`` or ``"Laplace"``."""
    if population == "Gaussian":
        return torch.randn(shape, generator=source, dtype=torch.float64, device=source.device)
    one, other = torch.empty(2, *shape, dtype=torch.float64, device=source.device).exponential_(generator=source)
    return (one - other) / 2**0.5


def dependence(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Largest correlation of an entry of ``u`` with one of ``v``, or of their squares, in units of ``1/sqrt(m)``.

    For independent ``u`` and ``v`` each is about standard normal. Centre and contrast of a triplet are uncorrelated
    whatever the individuals; their squares are so only for Gaussian ones.

    Parameters
    ----------
    u, v : ``(m, d)``
    """
    largest = []
    for one, other in ((u, v), (u.square(), v.square())):
        one, other = ((t - t.mean(0)) / t.std(0) for t in (one, other))
        largest.append((one.mT @ other).abs().max() / len(u) ** 0.5)
    return torch.stack(largest).max()


def drawn_triplets(factor: torch.Tensor, x: torch.Tensor, m: int, flip: float, source: torch.Generator) -> Triplets:
    """Triplets of three different rows of ``x``, ``(B, n, d)`` or ``(n, d)``, answered by the metrics ``(B, d, r)``."""
    batch = len(factor)
    x = x.expand(batch, *x.shape[-2:])
    rows = distinct_rows(batch, m, x.shape[1], source)
    chosen = torch.take_along_dim(x, rows.reshape(batch, -1, 1), dim=1).reshape(batch, m, 3, -1)
    u, v = triplet_design(*chosen.unbind(2))
    return Triplets(u, v, answers(logits(factor, u, v), flip, source))


def distinct_rows(batch: int, m: int, n: int, source: torch.Generator) -> torch.Tensor:
    """``m`` ordered triples of different numbers below ``n``, uniform, ``(batch, m, 3)``."""

    def draw(top: int) -> torch.Tensor:
        return torch.randint(top, (batch, m), generator=source, device=source.device)

    i, j, k = draw(n), draw(n - 1), draw(n - 2)
    j = j + (j >= i)
    low, high = torch.minimum(i, j), torch.maximum(i, j)
    k = k + (k >= low)
    k = k + (k >= high)
    return torch.stack([i, j, k], -1)


def ground_truth(seeds: int, d: int, rank: int, scale: float, cond: float, source: torch.Generator) -> torch.Tensor:
    """Random factors ``U* = Q diag(sqrt(lambda))``, eigenvalues from ``scale cond`` to ``scale``, ``(B, d, r)``."""
    frame = torch.linalg.qr(torch.randn(seeds, d, rank, generator=source, dtype=torch.float64, device=source.device)).Q
    return frame * eigenvalues(rank, scale, cond).to(frame.device).sqrt()


def eigenvalues(rank: int, scale: float, cond: float) -> torch.Tensor:
    """``scale`` times a geometric sequence from ``cond`` down to 1, ``(r,)``; ``scale cond`` alone at rank 1."""
    return scale * torch.from_numpy(np.geomspace(cond, 1.0, rank))


# --- what the moment matrix knows -------------------------------------------------------------------------------------


def shrinkage(eigenvalues: np.ndarray) -> np.ndarray:
    """Eigenvalues ``s_l`` of the expected moment matrix, for Gaussian individuals and a metric's ``eigenvalues``.

    ``s_l = E[tanh(w/2) g_l h_l]`` with ``w = sum_k lambda_k g_k h_k``, ``g_k ~ N(0, 2)``, ``h_k ~ N(0, 6)``. Stein's
    identity in ``h`` and the characteristic function ``pi omega / sinh(pi omega)`` of the logistic law leave one
    integral, whatever the rank:

        s_l = (12 lambda_l / pi) int pi omega / sinh(pi omega) (1 + 12 omega^2 lambda_l^2)^(-1)
              prod_k (1 + 12 omega^2 lambda_k^2)^(-1/2) d omega.

    With ``omega = b sinh(t)`` and the ``b`` below the integrand is analytic in ``|Im t| < pi/2``, so the trapezoid rule
    is exact to rounding.

    Parameters
    ----------
    eigenvalues : not negative, ``(..., r)``
    """
    lam = np.asarray(eigenvalues, dtype=float)
    b = 1 / np.maximum(np.sqrt(12) * lam.max(-1, keepdims=True), 1.0)
    t = np.linspace(-1, 1, 1001) * np.arcsinh(14 / b)
    omega = b * np.sinh(t)
    angle = np.pi * np.where(omega == 0, 1.0, omega)
    law = np.where(omega == 0, 1.0, angle / np.sinh(angle))
    damped = 1 + 12 * omega[..., None] ** 2 * lam[..., None, :] ** 2
    weight = law * b * np.cosh(t) * np.prod(damped, axis=-1) ** -0.5
    return 12 * lam / np.pi * (weight[..., None] / damped).sum(-2) * (t[..., 1] - t[..., 0])[..., None]
