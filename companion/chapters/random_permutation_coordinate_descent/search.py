"""The search for worst cases of RPCD: random starts, then local moves, many searches at once."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.random_permutation_coordinate_descent.closed_forms import class_maximum
from companion.chapters.random_permutation_coordinate_descent.exact import perron_rates
from companion.chapters.random_permutation_coordinate_descent.operators import (
    rates,
    rpcd_moments,
    simplex,
    with_least_eigenvalue,
)
from companion.chapters.random_permutation_coordinate_descent.settings import Parameters

KEPT = 4
FIRST_MOVE, LAST_MOVE = 0.4, 0.0025  # lengths of the local moves, in between geometrically


@dataclass(frozen=True)
class Search:
    """Searches over all unit-diagonal matrices with a given least eigenvalue.

    Attributes
    ----------
    n : dimensions, ``(N,)``; sigma : ``(S,)``
    best : largest rate found after each round, ``(N, S, seeds, rounds + 1)``, round 0 the random starts
    maximum : of the class, ``(N, S)``
    simplex : rate of the other permutation-invariant matrix of the same sigma, ``(N, S)``
    flatness : ``min |A_ij| / (1 - sigma)`` off the diagonal of the best matrix, one on the class, ``(N, S, seeds)``
    start_flatness : the same, median over the random starts, ``(N, S, seeds)``
    evaluated : matrices whose rate was computed
    """

    n: np.ndarray
    sigma: np.ndarray
    best: np.ndarray
    maximum: np.ndarray
    simplex: np.ndarray
    flatness: np.ndarray
    start_flatness: np.ndarray
    evaluated: int


def search(params: Parameters) -> Search:
    """For each dimension, all values of sigma and all seeds in one batch."""
    dims, sigma = sorted(set(params.search_dims)), np.array(params.search_sigmas)
    found = [_climb(params, n, sigma) for n in dims]
    groups = len(dims) * len(sigma) * params.search_seeds
    return Search(
        n=np.array(dims),
        sigma=sigma,
        best=np.stack([one[0] for one in found]),
        maximum=np.stack([class_maximum(n, sigma) for n in dims]),
        simplex=np.stack([rates(torch.stack([simplex(n, float(s)) for s in sigma]), rpcd_moments) for n in dims]),
        flatness=np.stack([one[1] for one in found]),
        start_flatness=np.stack([one[2] for one in found]),
        evaluated=groups * (params.search_starts + params.search_rounds * KEPT * params.search_proposals),
    )


def _climb(params: Parameters, n: int, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best rates ``(S, seeds, rounds + 1)`` and flatness of the best and of the starts ``(S, seeds)``."""
    rng, shape, proposals = params.rng(4, n), (len(sigma), params.search_seeds), params.search_proposals
    level = torch.tensor(sigma, device=params.device)[:, None, None]

    def draw(*size: int) -> torch.Tensor:
        return torch.tensor(rng.normal(size=(*shape, *size, n, n - 1)), device=params.device)

    def evaluate(V: torch.Tensor) -> torch.Tensor:
        A = with_least_eigenvalue(V, level.reshape(-1, *[1] * (V.ndim - 3)))
        found = torch.tensor(perron_rates(A.reshape(-1, n, n)), device=params.device)
        return found.reshape(V.shape[:-2])

    def best_of(V: torch.Tensor, values: torch.Tensor, kept: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The best ``kept`` along the last axis of ``values``."""
        values, chosen = values.sort(dim=-1, descending=True, stable=True)
        chosen = chosen[..., :kept, None, None]
        V = V.gather(values.ndim - 1, chosen.expand(*chosen.shape[:-2], n, n - 1))
        return V / V.norm(dim=-1, keepdim=True), values[..., :kept]

    V = draw(params.search_starts)
    start_flatness = _flatness(V, level).median(-1).values
    V, values = best_of(V, evaluate(V), KEPT)
    best = [values.amax(-1)]
    for length in np.geomspace(FIRST_MOVE, LAST_MOVE, params.search_rounds):
        # every kept matrix climbs by itself: the best of it and its neighbours, which come ever closer
        V, values = V[:, :, :, None], values[..., None]
        moved = V + length * draw(KEPT, proposals)
        V, values = best_of(torch.cat([V, moved], dim=3), torch.cat([values, evaluate(moved)], dim=3), 1)
        V, values = V[:, :, :, 0], values[..., 0]
        best.append(values.amax(-1))
    V, _ = best_of(V, values, 1)
    flatness = _flatness(V, level)[..., 0]
    return tuple(t.cpu().numpy() for t in (torch.stack(best, dim=-1), flatness, start_flatness))


def _flatness(V: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    A = with_least_eigenvalue(V, level).abs()
    n = A.shape[-1]
    off = A + 2 * torch.eye(n, dtype=A.dtype, device=A.device)
    return off.amin((-1, -2)) / (1 - level)
