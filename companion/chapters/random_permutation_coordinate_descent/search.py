"""The search for worst cases of RPCD: random starts, then local moves, many searches at once."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.random_permutation_coordinate_descent.operators import perron_rates, with_least_eigenvalue

KEPT = 4
FIRST_MOVE, LAST_MOVE = 0.4, 0.0025  # lengths of the local moves, in between geometrically


@dataclass(frozen=True)
class Climb:
    """What searches in one dimension found."""

    #: largest rate after each round, ``(S, seeds, rounds + 1)``, round 0 the random starts
    best: np.ndarray
    #: ``min |A_ij| / (1 - sigma)`` off the diagonal of the best matrix, one on the class, ``(S, seeds)``
    flatness: np.ndarray
    #: the same, median over the random starts, ``(S, seeds)``
    start_flatness: np.ndarray
    #: the best matrices, ``(S, seeds, n, n)``
    matrices: np.ndarray


def climb(
    n: int,
    sigma: np.ndarray,
    rng: np.random.Generator,
    *,
    starts: int,
    rounds: int,
    proposals: int,
    seeds: int,
    device: str = "cpu",
) -> Climb:
    """Searches for the matrix of the largest rate, ``seeds`` independent ones for each sigma, in one batch.

    Each search draws ``starts`` random matrices and keeps the four best. In every round each of these is replaced by
    the best of itself and ``proposals`` neighbours, whose distance shrinks geometrically.
    """
    shape = (len(sigma), seeds)
    level = torch.tensor(sigma, device=device)[:, None, None]

    def draw(*size: int) -> torch.Tensor:
        return torch.tensor(rng.normal(size=(*shape, *size, n, n - 1)), device=device)

    def evaluate(V: torch.Tensor) -> torch.Tensor:
        A = with_least_eigenvalue(V, level.reshape(-1, *[1] * (V.ndim - 3)))
        found = torch.tensor(perron_rates(A.reshape(-1, n, n)), device=device)
        return found.reshape(V.shape[:-2])

    def best_of(V: torch.Tensor, values: torch.Tensor, kept: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The best ``kept`` along the last axis of ``values``."""
        values, chosen = values.sort(dim=-1, descending=True, stable=True)
        chosen = chosen[..., :kept, None, None]
        V = V.gather(values.ndim - 1, chosen.expand(*chosen.shape[:-2], n, n - 1))
        return V / V.norm(dim=-1, keepdim=True), values[..., :kept]

    V = draw(starts)
    start_flatness = _flatness(V, level).median(-1).values
    V, values = best_of(V, evaluate(V), KEPT)
    best = [values.amax(-1)]
    for length in np.geomspace(FIRST_MOVE, LAST_MOVE, rounds):
        # every kept matrix climbs by itself: the best of it and its neighbours, which come ever closer
        V, values = V[:, :, :, None], values[..., None]
        moved = V + length * draw(KEPT, proposals)
        V, values = best_of(torch.cat([V, moved], dim=3), torch.cat([values, evaluate(moved)], dim=3), 1)
        V, values = V[:, :, :, 0], values[..., 0]
        best.append(values.amax(-1))
    V, _ = best_of(V, values, 1)
    matrices = with_least_eigenvalue(V, level)[:, :, 0]
    found = torch.stack(best, dim=-1), _flatness(V, level)[..., 0], start_flatness, matrices
    return Climb(*(t.cpu().numpy() for t in found))


def _flatness(V: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    A = with_least_eigenvalue(V, level).abs()
    n = A.shape[-1]
    off = A + 2 * torch.eye(n, dtype=A.dtype, device=A.device)
    return off.amin((-1, -2)) / (1 - level)
