"""Where the flow ends under block-diagonal observations: of rank one, or not."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.deep_matrix_completion.coupling import cross_coupling, gram_limit
from companion.chapters.deep_matrix_completion.family import limit, ratio_kept
from companion.chapters.deep_matrix_completion.observations import blocks
from companion.chapters.deep_matrix_completion.parameters import Parameters
from companion.chapters.deep_matrix_completion.starts import family as family_start
from companion.models.linear import gaussian_factors, gradient_flow, product
from companion.results import experiment


@dataclass(frozen=True)
class Family:
    """Ends of the flow from the family of starts; ``M = 2`` values of ``m``: the coupled start's and infinity."""

    #: depths, two first, ``(D,)``
    depths: np.ndarray
    #: sizes of the blocks, ``(S,)``
    sizes: np.ndarray
    #: number of blocks
    n: int
    #: scales of the start, decreasing, ``(E,)``
    eps: np.ndarray
    #: ``(2,)``, infinity last
    m: np.ndarray
    #: the ``n`` largest singular values, ``(D, S, M, E, n)``
    measured: np.ndarray
    #: the two singular values of the implicit equation, ``(D, S, M, E, 2)``
    implicit: np.ndarray
    #: the same, were the ratio of the two kept at every depth, ``(D, S, M, E, 2)``
    ratio: np.ndarray
    #: ``K_12 / K_11`` at the end, for blocks of size one, ``(D, M, E)``
    coupling: np.ndarray
    #: whether the loss fell to the tolerance, ``(D, S, M, E)``
    converged: np.ndarray


@experiment
def family(params: Parameters) -> Family:
    """Full matrices from the family's start, against the scalar equation."""
    n, eps, m = params.n_blocks, np.array(params.scales), np.array([params.m, np.inf])
    sizes = np.array([1, params.block_size])
    shape = (len(params.all_depths), len(sizes), len(m), len(eps))
    measured, implicit, ratio = np.empty((*shape, n)), np.empty((*shape, 2)), np.empty((*shape, 2))
    coupling, converged = np.empty((shape[0], *shape[2:])), np.empty(shape, dtype=bool)
    for i, depth in enumerate(params.all_depths):
        for j, s in enumerate(sizes):
            d = n * int(s)
            W = torch.stack([family_start(depth, d, e, one) for one in m for e in eps]).to(params.device)
            mask = torch.tensor(blocks(n, int(s)))
            # Within a block the flow forgets its start only like a power of time: a tolerance that it can reach.
            accuracy = {"tol": 1e-8, "most": 6000} if s == 1 else {"tol": 1e-4, "most": 3000}
            flow = gradient_flow(W, torch.ones(d, d), mask, stable=0.5, relative=0.02, **accuracy)
            values = torch.linalg.svdvals(product(flow.W)).cpu().numpy().reshape(*shape[2:], d)
            measured[i, j] = values[..., :n]
            implicit[i, j] = np.stack(limit(depth, n, int(s), eps, m[:, None]), -1)
            ratio[i, j] = np.stack(ratio_kept(depth, n, int(s), eps, m[:, None]), -1)
            converged[i, j] = flow.converged.cpu().numpy().reshape(shape[2:])
            if s == 1:
                coupling[i] = cross_coupling(flow.W, of_diagonal=True)[:, 0, 1].cpu().numpy().reshape(shape[2:])
    return Family(
        depths=np.array(params.all_depths),
        sizes=sizes,
        n=n,
        eps=eps,
        m=m,
        measured=measured,
        implicit=implicit,
        ratio=ratio,
        coupling=coupling,
        converged=converged,
    )


@dataclass(frozen=True)
class Menon:
    """The 2×2 problem with a diagonal of ones, from Gaussian starts; of rank one where ``a b = 1``."""

    #: depths, two first, ``(D,)``
    depths: np.ndarray
    #: the entries off the diagonal at the end, ``(D, 2 scales, N, 2)``
    entries: np.ndarray
    #: whether the loss fell to the tolerance, ``(D, 2, N)``
    converged: np.ndarray


MENON_SCALES = (1e-1, 1e-3)


@experiment
def menon(params: Parameters) -> Menon:
    """Where Gaussian starts of two scales end on the surface of exact fits."""
    count, identity = params.n_menon, torch.eye(2, dtype=torch.float64)
    entries, converged = [], []
    for depth in params.all_depths:
        W = torch.cat(
            [gaussian_factors(count, depth, 2, e, params.generator(5, depth)) for e in MENON_SCALES]
        )  # fmt: skip
        flow = gradient_flow(
            W.to(params.device), torch.ones(2, 2), identity, tol=1e-8, most=3000, stable=0.5, relative=0.1
        )
        whole = product(flow.W).cpu().numpy().reshape(len(MENON_SCALES), count, 2, 2)
        entries.append(np.stack([whole[..., 0, 1], whole[..., 1, 0]], -1))
        converged.append(flow.converged.cpu().numpy().reshape(len(MENON_SCALES), count))
    return Menon(depths=np.array(params.all_depths), entries=np.stack(entries), converged=np.stack(converged))


@dataclass(frozen=True)
class Gram:
    """Distance of the limit from a Gram matrix of directions of the start, under diagonal observations."""

    #: depth two and the smallest above, ``(2,)``
    depths: np.ndarray
    #: largest entry of the difference, over the scales, ``(2, 2 scales, N)``
    error: np.ndarray


GRAM_SCALES = (1e-3, 1e-6)
GRAM_STARTS = 16


@experiment
def gram(params: Parameters) -> Gram:
    """Unequal targets of both signs, two scales of the same Gaussian starts."""
    d, rng = params.d_depth, params.rng(6)
    targets = torch.tensor(rng.uniform(0.5, 2.0, size=d) * rng.choice([-1.0, 1.0], size=d))
    errors = []
    chosen = params.all_depths[:2]
    for depth in chosen:
        W = torch.cat([gaussian_factors(GRAM_STARTS, depth, d, e, params.generator(7, depth)) for e in GRAM_SCALES])
        flow = gradient_flow(
            W.to(params.device), torch.diag(targets), torch.eye(d), tol=1e-13, most=4000, stable=0.5, relative=0.1
        )
        found = (product(flow.W).cpu() - gram_limit(W, targets)).abs().amax((-2, -1))
        errors.append(found.numpy().reshape(len(GRAM_SCALES), GRAM_STARTS))
    return Gram(depths=np.array(chosen), error=np.stack(errors))


@dataclass(frozen=True)
class Map:
    """Stable rank of the limit from the closed form, for blocks of size one."""

    #: depths two and the smallest above, ``(2,)``
    depths: np.ndarray
    #: scales of the start, ``(E,)``
    eps: np.ndarray
    #: ``(M,)``
    m: np.ndarray
    #: ``(2, M, E)``
    stable_rank: np.ndarray


@experiment
def chart(params: Parameters) -> Map:
    """No training: the implicit equation on a grid."""
    eps, m = np.geomspace(1e-6, 0.3, 60), np.geomspace(1.5, 300, 60)
    chosen, n = params.all_depths[:2], params.n_blocks
    rows = []
    for depth in chosen:
        largest, second = limit(depth, n, 1, eps, m[:, None])
        rows.append(1 + (n - 1) * (second / largest) ** 2)
    return Map(depths=np.array(chosen), eps=eps, m=m, stable_rank=np.stack(rows))
