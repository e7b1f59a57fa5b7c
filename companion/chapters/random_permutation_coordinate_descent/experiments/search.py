"""The search for worst cases of RPCD, in several dimensions."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.random_permutation_coordinate_descent.closed_forms import class_maximum
from companion.chapters.random_permutation_coordinate_descent.operators import rates, rpcd_moments, simplex
from companion.chapters.random_permutation_coordinate_descent.parameters import Parameters
from companion.chapters.random_permutation_coordinate_descent.search import KEPT, climb
from companion.results import experiment


@dataclass(frozen=True)
class Search:
    """Searches over all unit-diagonal matrices with a given least eigenvalue."""

    #: dimensions, ``(N,)``
    n: np.ndarray
    #: least eigenvalues, ``(S,)``
    sigma: np.ndarray
    #: largest rate found after each round, ``(N, S, seeds, rounds + 1)``, round 0 the random starts
    best: np.ndarray
    #: of the class, ``(N, S)``
    maximum: np.ndarray
    #: rate of the other permutation-invariant matrix of the same sigma, ``(N, S)``
    simplex: np.ndarray
    #: ``min |A_ij| / (1 - sigma)`` off the diagonal of the best matrix, one on the class, ``(N, S, seeds)``
    flatness: np.ndarray
    #: the same, median over the random starts, ``(N, S, seeds)``
    start_flatness: np.ndarray
    #: how far the best matrices are from having unit diagonal and the least eigenvalue asked for, ``(N, S, seeds)``
    outside: np.ndarray
    #: matrices whose rate was computed
    evaluated: int


@experiment
def search(params: Parameters) -> Search:
    """For each dimension, all values of sigma and all seeds in one batch."""
    dims, sigma = sorted(set(params.search_dims)), np.array(params.search_sigmas)
    sizes = {
        "starts": params.search_starts,
        "rounds": params.search_rounds,
        "proposals": params.search_proposals,
        "seeds": params.search_seeds,
    }
    found = [climb(n, sigma, params.rng(4, n), **sizes, device=params.device) for n in dims]
    outside = []
    for one in found:
        diagonal = np.abs(np.diagonal(one.matrices, axis1=-2, axis2=-1) - 1).max(-1)
        least = np.abs(np.linalg.eigvalsh(one.matrices)[..., 0] - sigma[:, None])
        outside.append(np.maximum(diagonal, least))
    groups = len(dims) * len(sigma) * params.search_seeds
    return Search(
        n=np.array(dims),
        sigma=sigma,
        best=np.stack([one.best for one in found]),
        maximum=np.stack([class_maximum(n, sigma) for n in dims]),
        simplex=np.stack([rates(torch.stack([simplex(n, float(s)) for s in sigma]), rpcd_moments) for n in dims]),
        flatness=np.stack([one.flatness for one in found]),
        start_flatness=np.stack([one.start_flatness for one in found]),
        outside=np.stack(outside),
        evaluated=groups * (params.search_starts + params.search_rounds * KEPT * params.search_proposals),
    )
