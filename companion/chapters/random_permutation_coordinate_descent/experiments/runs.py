"""Simulated runs: trajectories with their exact expectation, and the rate of a typical run."""

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
from companion.chapters.random_permutation_coordinate_descent.descent import coordinate_descent, uniform
from companion.chapters.random_permutation_coordinate_descent.operators import cyclic_rate, epoch_map, equicorrelation
from companion.chapters.random_permutation_coordinate_descent.parameters import Parameters
from companion.results import experiment

FIRST = 4  # epochs before a slope is measured: fast directions die out


@dataclass(frozen=True)
class Trajectories:
    """``E||x_K||^2`` for K = 0, 1, … from an isotropic random start of expected length one."""

    #: n, sigma: of the instance
    n: int
    sigma: float
    #: methods, ``("RCD", "RPCD", "CCD")``
    names: tuple[str, ...]
    #: mean over the runs, ``(methods, K + 1)``
    mean: np.ndarray
    #: the expectation, ``(methods, K + 1)``
    exact: np.ndarray
    #: low, high: deciles of the runs, ``(methods, K + 1)``
    low: np.ndarray
    high: np.ndarray
    #: exact rates for each epoch, ``(methods,)``
    rates: np.ndarray
    #: what separates RCD from RPCD
    bound: float

    def slopes(self) -> np.ndarray:
        """Measured rates for each epoch, from least-squares slopes of ``log E||x||^2``: ``(methods,)``."""
        epochs = np.arange(self.mean.shape[1])[FIRST:]
        logs = np.log(np.maximum(self.mean[:, FIRST:], np.finfo(float).tiny))
        return np.exp(np.polyfit(epochs, logs.T, 1)[0])


@experiment
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
    """Rates of a typical run, ``exp(2 lim log||x_K|| / K)``, beside the mean-square rates; all for each epoch."""

    #: dimension
    n: int
    #: least eigenvalues, ``(S,)``
    sigma: np.ndarray
    #: rcd, rpcd: typical rates, ``(S,)``
    rcd: np.ndarray
    rpcd: np.ndarray
    #: rcd_error, rpcd_error: standard errors of their logarithms, ``(S,)``
    rcd_error: np.ndarray
    rpcd_error: np.ndarray
    #: rcd_square, rpcd_square, cyclic: mean-square rates, ``(S,)``; for the fixed order the two kinds coincide
    rcd_square: np.ndarray
    rpcd_square: np.ndarray
    cyclic: np.ndarray


@experiment
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
