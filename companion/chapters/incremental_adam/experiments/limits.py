"""Where incremental Adam goes: its epoch map, the dual fixed points, and how fast they become AdamProxy's."""

from dataclasses import dataclass

import numpy as np

from companion.chapters.incremental_adam import theory
from companion.chapters.incremental_adam.data import TWO_SAMPLES, TWO_STARTS, Data, distance, gaussian
from companion.chapters.incremental_adam.experiments.datasets import draw_gaussian
from companion.chapters.incremental_adam.incremental import incremental, slopes
from companion.chapters.incremental_adam.parameters import Parameters
from companion.results import experiment

# Pairs (beta1, beta2) besides the chapter's own: near beta2 = 1, and far from it, where AdamProxy says little.
NEAR_BETAS = (0.9, 0.99)
FAR_BETAS = ((0.5, 0.7), (0.0, 0.5))
# The t0 of runs in which a small step at the end counts, not a long way: steps fall from the start.
EARLY_DECAY = 200.0
STARTS = 5  # random weights from which the dual map is iterated


# --- one epoch ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EpochMap:
    """Incremental Adam's displacement over an epoch against the epoch map."""

    #: ``(K,)``
    epochs: np.ndarray
    #: step size at the start of the epoch, ``(K,)``
    eta: np.ndarray
    #: relative error of the epoch map, ``(K, datasets)``
    error: np.ndarray
    #: that of the sign of the full gradient, with the best factor for each, ``(K, datasets)``
    error_sign: np.ndarray


@experiment
def epoch_map(params: Parameters) -> EpochMap:
    """The error of the epoch map while the step size falls."""
    Z, N = draw_gaussian(params).Z, params.N
    last = max(12, params.epochs * 3 // 2)
    epochs = np.array(sorted({round(k) for k in np.geomspace(max(2, last // 100), last, 9)}))
    path = incremental(
        Z, "adam", epochs=last, beta1=params.beta1, beta2=params.beta2, eta0=params.eta0, t0=EARLY_DECAY,
        decay=params.decay, keep=sorted({*epochs.tolist(), *(epochs - 1).tolist()}), device=params.device,
    )  # fmt: skip
    before, after = (path.w[np.searchsorted(path.epochs, which)] for which in (epochs - 1, epochs))
    eta = params.eta0 * (1 + (epochs - 1) * N / EARLY_DECAY) ** -params.decay
    A1, A2 = (theory.memory_weights(np.array([beta]), N) for beta in (params.beta1, params.beta2))
    factor = theory.epoch_constant(params.beta1, params.beta2, N)
    error, error_sign = [], []
    for w, moved, step in zip(before, after - before, eta, strict=True):
        z = np.einsum("rnd,rd->rn", Z, w)
        p = -slopes(np, z, z.min(1, keepdims=True))
        predicted = step * factor * theory.epoch_map(np, Z, p, A1, A2)
        sign = theory.full_batch(np, Z, p)
        sign = sign * ((moved * sign).sum(-1) / (sign * sign).sum(-1))[:, None]
        size = np.linalg.norm(moved, axis=-1)
        error.append(np.linalg.norm(moved - predicted, axis=-1) / size)
        error_sign.append(np.linalg.norm(moved - sign, axis=-1) / size)
    return EpochMap(epochs, eta, np.array(error), np.array(error_sign))


# --- fixed points -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FixedPoints:
    """Dual fixed points of Gaussian data, and where algorithms end."""

    #: the Gaussian datasets
    data: Data
    #: AdamProxy's fixed points, ``(datasets, N)``
    c: np.ndarray
    #: and their directions, ``(datasets, d)``
    w: np.ndarray
    #: applications of the map until it settled, ``(datasets,)``
    iterations: np.ndarray
    #: largest difference between the fixed points reached from random starts and from equal weights, ``(datasets,)``
    spread: np.ndarray
    #: AdamProxy's fixed points on ``TWO_SAMPLES``, reached from ``TWO_STARTS``, ``(2, 2)``
    two_c: np.ndarray
    #: ``1 - cos`` of AdamProxy and the fixed point, ``(datasets,)``
    proxy: np.ndarray
    #: ``1 - cos`` of AdamProxy and the classifier in the metric of equal weights, ``(datasets,)``
    proxy_once: np.ndarray
    #: pairs of rates
    betas: tuple[tuple[float, float], ...]
    #: ``1 - cos`` of incremental Adam and its own fixed point for each pair, ``(pairs, datasets)``
    own: np.ndarray
    #: the same to AdamProxy's fixed point
    limit: np.ndarray
    #: and to the 2-norm's direction
    l2: np.ndarray
    #: ``1 - cos`` of incremental Adam on ``TWO_SAMPLES``, with the first pair and from weights ``w`` that belong to
    #: ``TWO_STARTS``, and its own fixed point from the same start, ``(2,)``
    starts_own: np.ndarray
    #: ``1 - cos`` of its two ends
    starts_apart: float
    #: the first of these on Gaussian data, from zero and from weights of a random start, ``(2, datasets)``
    again_own: np.ndarray
    #: and the second, ``(datasets,)``
    again_apart: np.ndarray
    #: batch sizes above 1 and below N
    batches: list[int]
    #: directions of the fixed points for these, with the first pair, ``(batches, datasets, d)``
    batch_w: np.ndarray


@experiment
def fixed_points(params: Parameters) -> FixedPoints:
    """Solve the dual fixed points, and run AdamProxy and incremental Adam to see where they go."""
    data, rng = draw_gaussian(params), params.rng(2)
    D = len(data.Z)
    solved = [theory.fixed_point(Z) for Z in data.Z]
    w = np.array([point.w for point in solved])
    spread, again = [], []
    for Z, point in zip(data.Z, solved, strict=True):
        starts = rng.dirichlet(np.ones(params.N), size=STARTS)
        ends = np.array([theory.fixed_point(Z, start=c).c for c in starts])
        spread.append(np.abs(ends - point.c).max())
        again.append(starts[-1])
    again = np.array(again)
    proxy = theory.iterate_map(data.Z, None, None, steps=2 * params.epochs, eta=2 / params.d, device=params.device).last
    equal = np.array([theory.dual_map(Z, np.full(params.N, 1 / params.N))[1] for Z in data.Z])

    betas = ((params.beta1, params.beta2), NEAR_BETAS, *FAR_BETAS)
    steps = {"eta0": params.eta0, "t0": EARLY_DECAY, "decay": params.decay, "device": params.device}
    pairs = [*betas, betas[0]]  # the last group starts elsewhere
    start = np.zeros((len(pairs), D, params.d))
    start[-1] = theory.weights_for(data.Z, again)
    path = incremental(
        np.tile(data.Z, (len(pairs), 1, 1)), "adam", epochs=params.epochs * 3 // 2, start=start.reshape(-1, params.d),
        beta1=np.repeat([b1 for b1, _ in pairs], D), beta2=np.repeat([b2 for _, b2 in pairs], D), **steps,
    )  # fmt: skip
    *ends, elsewhere = path.last.reshape(len(pairs), D, -1)
    ends = np.array(ends)
    own = np.array([[theory.fixed_point(Z, pair).w for Z in data.Z] for pair in betas])
    own_again = np.array([theory.fixed_point(Z, betas[0], start=c).w for Z, c in zip(data.Z, again, strict=True)])

    two = np.tile(TWO_SAMPLES, (2, 1, 1))
    two_ends = incremental(
        two, "adam", epochs=params.epochs * 3, beta1=params.beta1, beta2=params.beta2,
        start=theory.weights_for(two, TWO_STARTS), **steps,
    ).last  # fmt: skip
    two_own = np.array([theory.fixed_point(TWO_SAMPLES, betas[0], start=c).w for c in TWO_STARTS])
    between = [b for b in params.batches if 1 < b < params.N]
    batch_w = [[theory.fixed_point(Z, betas[0], batch_size=b).w for Z in data.Z] for b in between]
    return FixedPoints(
        data=data,
        c=np.array([point.c for point in solved]),
        w=w,
        iterations=np.array([point.iterations for point in solved]),
        spread=np.array(spread),
        two_c=np.array([theory.fixed_point(TWO_SAMPLES, start=c).c for c in TWO_STARTS]),
        proxy=distance(proxy, w),
        proxy_once=distance(proxy, equal),
        betas=betas,
        own=distance(ends, own),
        limit=distance(ends, w),
        l2=distance(ends, data.l2),
        starts_own=distance(two_ends, two_own),
        starts_apart=float(distance(*two_ends)),
        again_own=distance(np.array([ends[0], elsewhere]), np.array([own[0], own_again])),
        again_apart=distance(ends[0], elsewhere),
        batches=between,
        batch_w=np.array(batch_w).reshape(len(between), D, params.d),
    )


@dataclass(frozen=True)
class Sweep:
    """The epoch map without momentum, iterated as an algorithm, over ``beta2``."""

    #: ``(B,)``
    beta2: np.ndarray
    #: ``1 - cos`` of its end and AdamProxy's fixed point, ``(B, datasets)``
    to_proxy: np.ndarray
    #: and the 2-norm's direction
    to_l2: np.ndarray
    #: values of ``beta2``
    grid: np.ndarray
    #: ``1 - cos`` of its own fixed point and AdamProxy's, on ``grid``, ``(G, datasets)``
    predicted: np.ndarray


@experiment
def sweep(params: Parameters) -> Sweep:
    """How fast the limit direction tends to AdamProxy's as ``beta2`` tends to one."""
    data = draw_gaussian(params)
    D = len(data.Z)
    beta2 = np.array(sorted(set(params.beta2_grid)))
    path = theory.iterate_map(
        np.tile(data.Z, (len(beta2), 1, 1)), np.zeros(len(beta2) * D), np.repeat(beta2, D),
        steps=params.epochs * 5 // 4, eta=2 / params.d, device=params.device,
    )  # fmt: skip
    ends = path.last.reshape(len(beta2), D, -1)
    limit = [theory.fixed_point(Z) for Z in data.Z]
    w = np.array([point.w for point in limit])
    grid = 1 - np.geomspace(1 - beta2[0], 1 - beta2[-1], 9)
    pairs = list(zip(data.Z, limit, strict=True))
    own = np.array([[theory.fixed_point(Z, (0.0, b), start=point.c).w for Z, point in pairs] for b in grid])
    return Sweep(beta2, distance(ends, w), distance(ends, data.l2), grid, distance(own, w))


@dataclass(frozen=True)
class Scaling:
    """Distance of the limit direction from AdamProxy's over ``N`` and ``beta2``, without momentum, in ``d = 5 N``."""

    #: ``(A,)``
    N: np.ndarray
    #: ``1 - beta2``, ``(G,)``
    gap: np.ndarray
    #: mean ``1 - cos`` over a few Gaussian datasets, ``(A, G)``
    distance: np.ndarray


@experiment
def scaling(params: Parameters) -> Scaling:
    """The map over ``(N, 1 - beta2)``, from fixed points alone."""
    rng, sizes, gap = params.rng(3), sorted(set(params.map_sizes)), np.geomspace(1e-4, 0.3, 8)
    means = []
    for N in sizes:
        found = []
        for _ in range(3):
            Z = gaussian(rng, N, 5 * N)
            limit = theory.fixed_point(Z)
            near, rows = limit.c, []
            for g in gap:
                point = theory.fixed_point(Z, (0.0, 1 - g), start=near, tol=1e-10)
                near = point.c
                rows.append(distance(point.w, limit.w))
            found.append(rows)
        means.append(np.mean(found, axis=0))
    return Scaling(np.array(sizes), gap, np.array(means))
