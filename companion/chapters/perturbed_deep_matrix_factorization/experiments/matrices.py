"""With full matrices: that the recursion is exact, and starts to which no theorem here applies."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.perturbed_deep_matrix_factorization.counts import k_upper, step_limit
from companion.chapters.perturbed_deep_matrix_factorization.noise import goe, nuclear_rank
from companion.chapters.perturbed_deep_matrix_factorization.parameters import Parameters
from companion.chapters.perturbed_deep_matrix_factorization.recursion import descent, follow
from companion.models.linear import gaussian_factors, gradient_flow, product
from companion.results import experiment

ROWS = 300  # kept of a run


def products_along(
    W: torch.Tensor, target: torch.Tensor, eta: float, steps: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and products ``W_N ... W_1`` of gradient descent from factors ``(B, N, n, n)``: ``(K, B, n, n)``."""
    every = max(1, steps // ROWS)
    run = gradient_flow(
        W.to(device), target.to(device), torch.ones_like(target[0]).to(device), tol=0.0, most=steps // every * every,
        step=eta, record=product, every=every,
    )  # fmt: skip
    kept = torch.cat([product(W.to(device))[None], run.recorded])
    return every * np.arange(len(kept)), kept.cpu().numpy()


def _noisy_target(params: Parameters, stream: int, count: int, noise: float | None = None) -> torch.Tensor:
    """Targets in random eigenbases, with noise of the parameters' norm or another, ``(count, matrix_n, matrix_n)``."""
    n, rng = params.matrix_n, params.rng(stream)
    basis = np.linalg.qr(rng.normal(size=(count, n, n)))[0]
    padded = np.append(params.target, np.zeros(n - len(params.target)))
    W = torch.tensor(np.einsum("bik,k,bjk->bij", basis, padded, basis))
    return W + (params.matrix_noise if noise is None else noise) * goe(n, count, rng)


def _top_step(params: Parameters, depth: int) -> float:
    """The step of these runs: for the noisy target, and for the spectral norm of the large Gaussian start."""
    top = max(params.target[0] + params.matrix_noise, LARGE * (np.e * (depth + 1)) ** 0.5)
    return params.step * float(step_limit(top, depth))


@dataclass(frozen=True)
class Reduction:
    """Gradient descent on full factors against the recursion."""

    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: largest entry of ``W(k) - V diag(d^N) V^T`` over the run, by start (equal, Gaussian), ``(2, N)``
    error: np.ndarray
    #: how far the run gets: largest ``|d^N - alpha^N|`` of the recursion, ``(N,)``
    moved: np.ndarray


@experiment
def reduction(params: Parameters) -> Reduction:
    """From equal starts and from Gaussian ones of the same size."""
    target = _noisy_target(params, 3, 1)
    values, basis = torch.linalg.eigh(target[0])
    generator = torch.Generator().manual_seed(int(params.rng(4).integers(2**31)))
    error, moved = np.empty((2, len(params.factors))), np.empty(len(params.factors))
    for row, depth in enumerate(params.factors):
        alpha, eta, n = params.matrix_start ** (1 / depth), _top_step(params, depth), params.matrix_n
        steps = float(k_upper(params.target[0], depth, alpha, eta, 0.9 * params.target[0])) + 200
        steps = int(min(steps, params.matrix_steps))
        equal = (alpha * torch.eye(n, dtype=torch.float64)).expand(1, depth, n, n)
        gaussian = gaussian_factors(1, depth, n, params.matrix_start, generator)
        _, full = products_along(torch.cat([equal, gaussian]), target.expand(2, n, n), eta, steps, params.device)
        every = max(1, steps // ROWS)
        _, p = follow(
            descent, values.numpy(), depth=depth, alpha=alpha, eta=eta, steps=steps // every * every,
            every=every, device=params.device,
        )  # fmt: skip
        V = basis.numpy()
        error[:, row] = np.abs(full - ((V * p[:, None]) @ V.T)[:, None]).max((0, 2, 3))
        moved[row] = np.abs(p - params.matrix_start).max()
    return Reduction(np.array(params.factors), error, moved)


LARGE = 0.3  # start of the product in the control
LEARNED = 0.8  # share of the least eigenvalue of the target that counts as learned
NEAR = 0.1  # of the target's nuclear rank


@dataclass(frozen=True)
class Gaussian:
    """Gradient descent from Gaussian factors, to which no theorem here applies."""

    #: sizes of the product at the start, ``(2,)``
    starts: np.ndarray
    #: numbers of factors, ``(N,)``
    depths: np.ndarray
    #: iterations kept, ``(K,)``
    iterations: np.ndarray
    #: the leading ``r + 2`` singular values of the product, ``(2, N, K, runs, r + 2)``
    singular: np.ndarray
    #: nuclear norm over spectral norm of the product, ``(2, N, K, runs)``
    rank: np.ndarray
    #: ``||W(k) - W||_F`` over the distance of the noisy target itself, ``(2, N, K, runs)``
    error: np.ndarray
    #: the target's eigenvalues that are learned, ``(r,)``
    target: np.ndarray
    #: size of the matrices and norm of the noise
    n: int
    noise: float

    def plateau(self) -> np.ndarray:
        """Last over first iteration of the longest stretch with the target's rank, ``(2, N, runs)``; 1 if none.

        In it the nuclear rank is within a tenth of the target's and the r-th singular value is learned.
        """
        r = len(self.target)
        wanted = float(nuclear_rank(self.target))
        inside = np.abs(self.rank / wanted - 1) <= NEAR
        inside &= self.singular[..., r - 1] >= LEARNED * self.target[-1]
        longest = np.ones(inside.shape[:2] + inside.shape[3:])
        first = np.zeros_like(longest)
        for k, at in enumerate(self.iterations):
            now = inside[:, :, k]
            first = np.where(now & (first == 0), max(at, 1), np.where(now, first, 0))
            longest = np.where(now, np.maximum(longest, at / np.maximum(first, 1)), longest)
        return longest


@experiment
def gaussian(params: Parameters) -> Gaussian:
    """A small and a large start, from the same random numbers; all runs of a depth in one batch."""
    runs, n, r = params.matrix_runs, params.matrix_n, len(params.target)
    noisy = _noisy_target(params, 5, runs)
    clean = _noisy_target(params, 5, runs, noise=0.0)
    away = (noisy - clean).square().sum((-1, -2)).sqrt().numpy()
    starts = np.array([params.matrix_start, LARGE])
    singular, rank, error = ([[], []] for _ in range(3))
    for depth in params.factors:
        generator = torch.Generator().manual_seed(int(params.rng(6).integers(2**31)))
        W = gaussian_factors(runs, depth, n, 1.0, generator)
        both = torch.cat([W * size ** (1 / depth) for size in starts])
        iterations, products = products_along(
            both, noisy.repeat(2, 1, 1), _top_step(params, depth), params.matrix_steps, params.device
        )
        products[~np.isfinite(products).all((2, 3))] = 0  # of a run that diverged; its ranks are then undefined
        values = torch.linalg.svdvals(torch.tensor(products)).numpy()
        distance = np.sqrt(((products - clean.numpy()[np.arange(2 * runs) % runs]) ** 2).sum((-1, -2)))
        for k in range(2):
            own = slice(k * runs, (k + 1) * runs)
            singular[k].append(values[:, own, : r + 2])
            with np.errstate(invalid="ignore"):
                rank[k].append(nuclear_rank(values[:, own]))
            error[k].append(distance[:, own] / away)
    return Gaussian(
        starts, np.array(params.factors), iterations, np.array(singular), np.array(rank), np.array(error),
        params.target, n, params.matrix_noise,
    )  # fmt: skip
