"""Pre-training on few entries, then training on more: warm starts against cold ones."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.spectra import effective_rank, stable_rank
from companion.chapters.deep_matrix_completion.coupling import log_determinant_path
from companion.chapters.deep_matrix_completion.observations import blocks, low_rank, random_mask, rank_one
from companion.chapters.deep_matrix_completion.parameters import BLOCKS, Parameters
from companion.chapters.deep_matrix_completion.starts import family
from companion.models.linear import gaussian_factors, gradient_flow, losses, product
from companion.results import experiment

# --- three by three -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clean:
    """The 3×3 matrix of ones from the family: how the resumed runs end."""

    #: ``(K,)``: depth, and which start and pre-training
    depths: np.ndarray
    #: ``(K,)``
    setups: tuple[str, ...]
    #: scales of the start, ``(2,)``
    eps: np.ndarray
    #: mean squared error on the entries that were never observed, ``(K, 2)``
    error: np.ndarray
    #: stable rank, ``(K, 2)``
    rank: np.ndarray
    #: loss on the observed entries at the end, ``(K, 2)``
    loss: np.ndarray


CLEAN_SCALES = (1e-2, 1e-5)
SETUPS = ("warm", "cold", "connected", "from diagonal")


def _with(mask: np.ndarray, *entries: tuple[int, int]) -> torch.Tensor:
    mask = torch.tensor(mask)
    for row, column in entries:
        mask[row, column] = 1.0
    return mask


@experiment
def clean(params: Parameters) -> Clean:
    """Pre-train on the diagonal, on a connected set, or not at all; then on six connected entries of nine."""
    before = _with(np.eye(3))
    linked = _with(np.eye(3), (0, 1), (1, 2))
    after = _with(np.eye(3), (0, 1), (1, 2), (2, 0))
    hidden = 1 - after.numpy()
    target = torch.ones(3, 3, dtype=torch.float64)
    nothing = torch.zeros(3, 3, dtype=torch.float64)
    accuracy = {"tol": 1e-8, "most": 1200, "stable": 0.5, "relative": 0.02}
    keys, error, rank, loss = [], [], [], []
    for depth in params.all_depths:
        starts = {
            setup: [family(depth, 3, e, np.inf if setup == "from diagonal" else params.m) for e in CLEAN_SCALES]
            for setup in SETUPS
        }
        masks = {"warm": before, "cold": nothing, "connected": linked, "from diagonal": before}
        W = torch.stack([one for setup in SETUPS for one in starts[setup]]).to(params.device)
        first = torch.stack([masks[setup] for setup in SETUPS for _ in CLEAN_SCALES])
        W = gradient_flow(W, target, first, **accuracy).W
        flow = gradient_flow(W, target, after, **accuracy)
        whole = product(flow.W).cpu()
        found = (((whole - target).numpy() * hidden) ** 2).sum((-2, -1)) / hidden.sum()
        error.append(found.reshape(len(SETUPS), -1))
        rank.append(stable_rank(torch.linalg.svdvals(whole).numpy()).reshape(len(SETUPS), -1))
        loss.append(flow.loss.cpu().numpy().reshape(len(SETUPS), -1))
        keys += [(depth, setup) for setup in SETUPS]
    return Clean(
        depths=np.array([depth for depth, _ in keys]),
        setups=tuple(setup for _, setup in keys),
        eps=np.array(CLEAN_SCALES),
        error=np.concatenate(error),
        rank=np.concatenate(rank),
        loss=np.concatenate(loss),
    )


# --- random matrices of rank one ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resumed:
    """Random rank-one matrices: pre-training inside blocks, stopped early or not, then all observed entries."""

    #: depths, two first, ``(D,)``
    depths: np.ndarray
    #: share of the loss of pre-training that was fitted before the other entries came, increasing from 0, ``(P,)``
    fitted: np.ndarray
    #: mean squared error on the entries that were never observed, ``(D, P, N)``
    error: np.ndarray
    #: effective rank at the end, ``(D, P, N)``
    rank: np.ndarray
    #: loss at the end of pre-training and of training, ``(D, P, N)``
    pre_loss: np.ndarray
    loss: np.ndarray
    #: share of all entries that was observed before and after, ``(2,)``
    observed: np.ndarray


FITTED = (0.0, 0.1, 0.5, 0.9, 1.0)
TOLERANCE = 1e-3


@experiment
def resumed(params: Parameters) -> Resumed:
    """Cold and warm starts on the same data, and what lies between them."""
    d, count, rng = params.d_lop, params.n_lop, params.rng(8)
    target = np.stack([rank_one(d, rng) for _ in range(count)])
    after = np.stack([random_mask(d, params.p_obs, rng) for _ in range(count)])
    before = after * blocks(BLOCKS, d // BLOCKS)
    hidden = 1 - after
    data, pre, post = (torch.tensor(part).to(params.device) for part in (target, before, after))
    steps = {"most": params.lop_steps, "stable": 0.5, "relative": 0.1}
    error, rank, pre_loss, loss = [], [], [], []
    for depth in params.all_depths:
        W = gaussian_factors(count, depth, d, params.eps_lop, params.generator(9, depth)).to(params.device)
        first = losses(W, data, pre)
        kept = [W]
        for share in FITTED[1:]:
            W = gradient_flow(W, data, pre, tol=(first * (1 - share)).clamp_min(TOLERANCE), **steps).W
            kept.append(W)
        stops = len(FITTED)
        W = torch.cat(kept)
        pre_loss.append(losses(W, data.repeat(stops, 1, 1), pre.repeat(stops, 1, 1)).cpu().numpy())
        flow = gradient_flow(W, data.repeat(stops, 1, 1), post.repeat(stops, 1, 1), tol=TOLERANCE, **steps)
        whole = product(flow.W).cpu().numpy().reshape(stops, count, d, d)
        error.append((((whole - target) * hidden) ** 2).sum((-2, -1)) / hidden.sum((-2, -1)))
        rank.append(effective_rank(np.linalg.svd(whole, compute_uv=False)))
        loss.append(flow.loss.cpu().numpy())
    shape = (len(params.all_depths), len(FITTED), count)
    return Resumed(
        depths=np.array(params.all_depths),
        fitted=np.array(FITTED),
        error=np.stack(error),
        rank=np.stack(rank),
        pre_loss=np.stack(pre_loss).reshape(shape),
        loss=np.stack(loss).reshape(shape),
        observed=np.array([before.mean(), after.mean()]),
    )


# --- the mechanism at depth two -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Determinant:
    """The 2×2 problem at depth two with one entry added to the diagonal: three runs, ``(rows, 3)`` each."""

    #: time since the entry was added
    time: np.ndarray
    loss: np.ndarray
    #: logarithm of the absolute determinant of the product
    logdet: np.ndarray
    #: the integral that its change equals where factors are balanced
    integral: np.ndarray
    #: the integral that bounds its change
    bound: np.ndarray
    #: the entry that is never observed
    unseen: np.ndarray
    #: singular values, ``(rows, 3, 2)``
    values: np.ndarray


DETERMINANT_RUNS = ("warm", "cold", "unbalanced")
DETERMINANT_SCALE = 1e-4


@experiment
def determinant(params: Parameters) -> Determinant:
    """Resume from a fit of the diagonal, start anew on all three entries, and resume from unbalanced factors."""
    # Two by two and a few thousand steps: a GPU would only wait for its launches.
    identity = torch.eye(2, dtype=torch.float64)
    target, after = torch.ones_like(identity), _with(np.eye(2), (0, 1))
    start = family(2, 2, DETERMINANT_SCALE, params.m)[None]
    warm = gradient_flow(start, target, identity, tol=1e-10, most=4000, stable=0.1, relative=0.01).W
    uneven = torch.cat([2 * warm[:, :1], warm[:, 1:] / 2], 1)
    W = torch.cat([warm, start, uneven])
    path = log_determinant_path(W, target, after, steps=1500, stable=0.1, relative=0.01)
    return Determinant(
        time=path["time"],
        loss=path["loss"],
        logdet=path["logdet"],
        integral=path["integral"],
        bound=path["bound"],
        unseen=path["product"][:, :, 1, 0],
        values=np.linalg.svd(path["product"], compute_uv=False),
    )


# --- a completion problem of the paper's kind ---------------------------------------------------------------------


@dataclass(frozen=True)
class Completion:
    """Random entries of a random matrix of low rank, from Gaussian starts, by depth."""

    #: depths, two first, ``(D,)``
    depths: np.ndarray
    #: effective rank of the products, ``(D, N)``
    rank: np.ndarray
    #: effective rank of the targets, ``(N,)``
    target_rank: np.ndarray
    #: mean squared error on the entries that were not observed, in units of the targets' mean square, ``(D, N)``
    error: np.ndarray
    #: mean squared residual on the observed entries, ``(D, N)``
    residual: np.ndarray
    #: scale of the start
    scale: float
    #: share of the entries that was observed
    observed: float


@experiment
def completion(params: Parameters) -> Completion:
    """One factor matrix is drawn for each problem and all layers start there, as in the paper's code."""
    d, count, rng = params.d_data, params.n_data, params.rng(10)
    target = np.stack([low_rank(d, params.r_data, rng) for _ in range(count)])
    mask = np.stack([random_mask(d, params.p_data, rng) for _ in range(count)])
    hidden, seen = 1 - mask, mask.sum((-2, -1))
    rank, error, residual = [], [], []
    for depth in params.all_depths:
        W = gaussian_factors(count, depth, d, params.eps_data, params.generator(11, depth), equal=True)
        flow = gradient_flow(
            W.to(params.device), torch.tensor(target), torch.tensor(mask), tol=torch.tensor(1e-5 / 2 * seen),
            most=params.data_steps, stable=0.5, relative=0.1,
        )  # fmt: skip
        whole = product(flow.W).cpu().numpy()
        rank.append(effective_rank(np.linalg.svd(whole, compute_uv=False)))
        error.append((((whole - target) * hidden) ** 2).sum((-2, -1)) / hidden.sum((-2, -1)))
        residual.append(2 * flow.loss.cpu().numpy() / seen)
    return Completion(
        depths=np.array(params.all_depths),
        rank=np.stack(rank),
        target_rank=effective_rank(np.linalg.svd(target, compute_uv=False)),
        error=np.stack(error),
        residual=np.stack(residual),
        scale=params.eps_data,
        observed=float(mask.mean()),
    )
