"""Simulated runs: trajectories with their exact expectation, and the rate of a typical run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.finite_sum import reshuffled
from companion.chapters.random_permutation_coordinate_descent.closed_forms import (
    bound,
    expected_squares,
    rcd_matrix,
    rcd_rate,
    rpcd_matrix,
    rpcd_rate,
)
from companion.chapters.random_permutation_coordinate_descent.exact import cyclic_rate
from companion.chapters.random_permutation_coordinate_descent.operators import epoch_map, equicorrelation
from companion.chapters.random_permutation_coordinate_descent.settings import Parameters

FIRST = 4  # epochs before a slope is measured: fast directions die out


def uniform(n: int, runs: int, epochs: int, seed: int, device: str) -> Iterator[torch.Tensor]:
    """RCD's coordinates, drawn uniformly and independently: for each epoch ``(runs, n)``."""
    generator = torch.Generator(device).manual_seed(seed)
    for _ in range(epochs):
        yield torch.randint(n, (runs, n), generator=generator, device=device)


def coordinate_descent(A: torch.Tensor, x: torch.Tensor, passes: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Exact coordinate minimization of ``x^T A x / 2``, all runs at once.

    Parameters
    ----------
    A : unit diagonal, ``(..., n, n)``
    x : starts, ``(..., runs, n)``; changed in place
    passes : for each epoch the coordinates of every run, ``(runs, n)``

    Yields
    ------
    The iterates after each epoch; scaling them in place rescales the run.
    """
    for coordinates in passes:
        for i in coordinates.T:
            gradient = (A[..., i, :] * x).sum(-1, keepdim=True)
            x.scatter_add_(-1, i[:, None].expand(*gradient.shape), -gradient)
        yield x


@dataclass(frozen=True)
class Trajectories:
    """``E||x_K||^2`` for K = 0, 1, … from an isotropic random start of expected length one.

    Attributes
    ----------
    n, sigma : of the instance
    names : methods, ``("RCD", "RPCD", "CCD")``
    mean : mean over the runs, ``(methods, K + 1)``
    exact : the expectation, ``(methods, K + 1)``
    low, high : deciles of the runs, ``(methods, K + 1)``
    rates : exact rates for each epoch, ``(methods,)``
    bound : what separates RCD from RPCD
    """

    n: int
    sigma: float
    names: tuple[str, ...]
    mean: np.ndarray
    exact: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rates: np.ndarray
    bound: float

    def slopes(self) -> np.ndarray:
        """Measured rates for each epoch, from least-squares slopes of ``log E||x||^2``: ``(methods,)``."""
        epochs = np.arange(self.mean.shape[1])[FIRST:]
        logs = np.log(np.maximum(self.mean[:, FIRST:], np.finfo(float).tiny))
        return np.exp(np.polyfit(epochs, logs.T, 1)[0])


def trajectories(params: Parameters) -> Trajectories:
    """Runs of RCD, RPCD and the cyclic order on ``A_sigma``."""
    n, sigma, epochs, runs, device = (
        params.mc_n, params.mc_sigma, params.mc_epochs, params.mc_trials, params.device
    )  # fmt: skip
    A = equicorrelation(n, sigma).to(device)
    start = torch.tensor(params.rng(5).normal(size=(runs, n)), device=device) / n**0.5
    cyclic = (torch.arange(n, device=device).expand(runs, n) for _ in range(epochs))
    passes = {
        "RCD": uniform(n, runs, epochs, params.child_seed(6), device),
        "RPCD": reshuffled(n, runs, epochs, params.child_seed(7), device),
        "CCD": cyclic,
    }
    squares = np.empty((len(passes), epochs + 1, runs))
    for row, chosen in enumerate(passes.values()):
        x = start.clone()
        squares[row, 0] = (x**2).sum(-1).cpu().numpy()
        for k, x_k in enumerate(coordinate_descent(A, x, chosen), 1):
            squares[row, k] = (x_k**2).sum(-1).cpu().numpy()
    T, powers = epoch_map(A.cpu(), np.arange(n)).numpy(), [np.eye(n)]
    for _ in range(epochs):
        powers.append(T @ powers[-1])
    rcd_epoch = np.linalg.matrix_power(rcd_matrix(n, sigma), n)
    exact = [
        expected_squares(rcd_epoch, n, epochs),
        expected_squares(rpcd_matrix(n, sigma), n, epochs),
        np.array([(P**2).sum() / n for P in powers]),
    ]
    low, high = np.quantile(squares, [0.1, 0.9], axis=-1)
    return Trajectories(
        n=n,
        sigma=sigma,
        names=tuple(passes),
        mean=squares.mean(-1),
        exact=np.stack(exact),
        low=low,
        high=high,
        rates=np.array([float(rcd_rate(n, sigma)) ** n, float(rpcd_rate(n, sigma)), float(cyclic_rate(A))]),
        bound=float(bound(n, sigma)),
    )


@dataclass(frozen=True)
class Typical:
    """Rates of a typical run, ``exp(2 lim log||x_K|| / K)``, beside the mean-square rates; all for each epoch.

    Attributes
    ----------
    n : dimension; sigma : ``(S,)``
    rcd, rpcd : typical rates, ``(S,)``; rcd_error, rpcd_error : standard errors of their logarithms
    rcd_square, rpcd_square, cyclic : mean-square rates, ``(S,)``; for the fixed order the two kinds coincide
    """

    n: int
    sigma: np.ndarray
    rcd: np.ndarray
    rpcd: np.ndarray
    rcd_error: np.ndarray
    rpcd_error: np.ndarray
    rcd_square: np.ndarray
    rpcd_square: np.ndarray
    cyclic: np.ndarray


def typical(params: Parameters) -> Typical:
    """Long runs on the class, rescaled to length one after each epoch; all sigma see the same coordinates."""
    n, runs, device = params.typical_n, params.typical_trials, params.device
    sigma, skipped = np.array([0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7]), 20
    epochs = skipped + params.typical_epochs
    A = torch.stack([equicorrelation(n, s) for s in sigma]).to(device)
    start = torch.tensor(params.rng(8).normal(size=(runs, n)), device=device)
    found = []
    for passes in (
        uniform(n, runs, epochs, params.child_seed(9), device),
        reshuffled(n, runs, epochs, params.child_seed(10), device),
    ):
        x = start.expand(len(sigma), runs, n).clone()
        total = torch.zeros((len(sigma), runs), dtype=x.dtype, device=device)
        for k, x_k in enumerate(coordinate_descent(A, x, passes)):
            length = x_k.norm(dim=-1).clamp_min(torch.finfo(x.dtype).tiny)
            x_k /= length[..., None]
            if k >= skipped:
                total += length.log()
        logs = (2 * total / params.typical_epochs).cpu().numpy()
        found.append((np.exp(logs.mean(-1)), logs.std(-1) / runs**0.5))
    (rcd, rcd_error), (rpcd, rpcd_error) = found
    return Typical(
        n=n,
        sigma=sigma,
        rcd=rcd,
        rpcd=rpcd,
        rcd_error=rcd_error,
        rpcd_error=rpcd_error,
        rcd_square=rcd_rate(n, sigma) ** n,
        rpcd_square=rpcd_rate(n, sigma),
        cyclic=cyclic_rate(A),
    )
