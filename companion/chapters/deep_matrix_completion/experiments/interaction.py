"""Whether blocks act on each other, from which starts, and how that grows with depth."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.spectra import effective_rank
from companion.chapters.deep_matrix_completion.coupling import cross_coupling
from companion.chapters.deep_matrix_completion.parameters import Parameters
from companion.chapters.deep_matrix_completion.starts import diagonal, rotated
from companion.models.linear import gaussian_factors, gradient_flow, product
from companion.results import experiment

STARTS = ("Gaussian", "diagonal", "rotated", "unmatched")
WATCHED = 6  # dimension in which one entry is watched
WATCHED_SCALE = 0.3  # of the start: large enough that it arrives within the steps below
LR, STEPS = 0.02, 400  # one fixed step: a step that follows the loss would couple the blocks by itself


@dataclass(frozen=True)
class Intervention:
    """One entry, trained together with the other diagonal entries and alone, from the same start."""

    #: depths, two first, ``(D,)``
    depths: np.ndarray
    #: largest distance of the two trajectories of the entry, ``(D, STARTS, N)``
    gap: np.ndarray
    #: mean normalized cross kernel at the start and at the end of the run together, ``(D, STARTS, N)``
    at_start: np.ndarray
    coupling: np.ndarray
    #: share of the squared norm of the factors off their diagonals at the start, ``(D, STARTS, N)``
    off_diagonal: np.ndarray
    #: the entry over time, together and alone, from the Gaussian start of the median gap, ``(D, 2, STEPS)``
    path: np.ndarray


def _start(kind: str, params: Parameters, depth: int, part: int) -> torch.Tensor:
    generator = params.generator(1, part)
    if kind == "Gaussian":
        return gaussian_factors(params.n_starts, depth, WATCHED, WATCHED_SCALE, generator)
    W = diagonal(params.n_starts, depth, WATCHED, WATCHED_SCALE, generator)
    return W if kind == "diagonal" else rotated(W, generator, matched=kind == "rotated")


@experiment
def intervention(params: Parameters) -> Intervention:
    """Does it matter to the first diagonal entry whether the others are observed?"""
    count = params.n_starts
    together = torch.eye(WATCHED, dtype=torch.float64)
    alone = torch.zeros_like(together)
    alone[0, 0] = 1.0
    masks = torch.stack([together, alone]).repeat_interleave(len(STARTS) * count, 0).to(params.device)
    target = torch.ones_like(together)
    gaps, early, late, shares, paths = [], [], [], [], []
    for depth in params.all_depths:
        W = torch.cat([_start(kind, params, depth, 10 * depth + k) for k, kind in enumerate(STARTS)]).to(params.device)
        flow = gradient_flow(
            torch.cat([W, W]), target, masks, tol=0.0, most=STEPS, step=LR, record=lambda W: product(W)[:, 0, 0]
        )
        entry = flow.recorded.cpu().numpy().reshape(STEPS, 2, len(STARTS), count)
        gap = np.abs(entry[:, 0] - entry[:, 1]).max(0)
        middle = np.argsort(gap[0])[count // 2]
        squares = W.square().sum((-3, -2, -1))
        on = W.diagonal(dim1=-2, dim2=-1).square().sum((-2, -1))
        gaps.append(gap)
        early.append(cross_coupling(W).cpu().numpy().reshape(len(STARTS), count))
        late.append(cross_coupling(flow.W[: len(W)]).cpu().numpy().reshape(len(STARTS), count))
        shares.append((1 - on / squares).cpu().numpy().reshape(len(STARTS), count))
        paths.append(entry[:, :, 0, middle].T)
    return Intervention(
        depths=np.array(params.all_depths),
        gap=np.stack(gaps),
        at_start=np.stack(early),
        coupling=np.stack(late),
        off_diagonal=np.stack(shares),
        path=np.stack(paths),
    )


@dataclass(frozen=True)
class Depths:
    """Where the flow ends under diagonal observations, by depth."""

    #: depths from two on, ``(D,)``
    depths: np.ndarray
    #: dimension
    d: int
    #: ends from random starts: "Gaussian" and "diagonal", effective rank of the product, ``(D, 2, N)``
    rank: np.ndarray
    #: mean normalized cross kernel at the end, ``(D, 2, N)``
    coupling: np.ndarray
    #: whether the loss fell to the tolerance, ``(D, 2, N)``
    converged: np.ndarray


DEPTH_STARTS = ("Gaussian", "diagonal")
DEPTH_SCALE = 1e-2


@experiment
def depths(params: Parameters) -> Depths:
    """Effective rank and coupling at the end, for depths from two to the largest."""
    d, count = params.d_depth, params.n_depth
    identity = torch.eye(d, dtype=torch.float64)
    ranks, couplings, arrived = [], [], []
    chosen = list(range(2, params.deepest + 1))
    for depth in chosen:
        W = torch.cat(
            [
                gaussian_factors(count, depth, d, DEPTH_SCALE, params.generator(2, depth)),
                diagonal(count, depth, d, DEPTH_SCALE, params.generator(3, depth)),
            ]
        ).to(params.device)
        flow = gradient_flow(
            W, torch.ones_like(identity), identity, tol=1e-6, most=4000, stable=0.5, relative=0.1
        )  # fmt: skip
        values = torch.linalg.svdvals(product(flow.W)).cpu().numpy()
        ranks.append(effective_rank(values).reshape(2, count))
        couplings.append(cross_coupling(flow.W).cpu().numpy().reshape(2, count))
        arrived.append(flow.converged.cpu().numpy().reshape(2, count))
    return Depths(
        depths=np.array(chosen), d=d, rank=np.stack(ranks), coupling=np.stack(couplings), converged=np.stack(arrived)
    )


@dataclass(frozen=True)
class Spectrum:
    """Singular values of the product over the time of the flow, under diagonal observations."""

    #: depths, two and the smallest above, ``(2,)``
    depths: np.ndarray
    #: one array for each depth, times ``(rows,)``
    times: tuple[np.ndarray, ...]
    #: one array for each depth, singular values ``(rows, d)``
    values: tuple[np.ndarray, ...]


@experiment
def spectrum(params: Parameters) -> Spectrum:
    """One Gaussian start at depth two and one at the next depth, followed by small steps."""
    d = params.d_depth
    identity = torch.eye(d, dtype=torch.float64)
    times, values = [], []
    chosen = params.all_depths[:2]
    for depth in chosen:
        W = gaussian_factors(1, depth, d, DEPTH_SCALE, params.generator(4, depth)).to(params.device)
        flow = gradient_flow(
            W, torch.ones_like(identity), identity, tol=1e-6, most=3000, stable=0.2, relative=0.05,
            record=product, every=5,
        )  # fmt: skip
        time, path = flow.times[:, 0].cpu().numpy(), flow.recorded[:, 0]
        moving = np.append(True, np.diff(time) > 0)
        times.append(time[moving])
        values.append(torch.linalg.svdvals(path).cpu().numpy()[moving])
    return Spectrum(depths=np.array(chosen), times=tuple(times), values=tuple(values))
