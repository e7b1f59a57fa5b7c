"""Experiments on the limit direction: fixed points, where algorithms end, and what it depends on."""

from dataclasses import dataclass

import numpy as np

from companion.chapters.incremental_adam import theory
from companion.chapters.incremental_adam.incremental import incremental
from companion.chapters.incremental_adam.setting import (
    EARLY_DECAY,
    OTHER_BETAS,
    Data,
    Parameters,
    distance,
    gaussian,
    gaussian_data,
)

# Pairs of rates far from beta2 = 1, where AdamProxy says little.
FAR_BETAS = ((0.5, 0.7), (0.0, 0.5))

# Two samples whose dual map has three fixed points, and weights from which it leads to two of them.
TWO_SAMPLES = np.array([[2.0, 4.0, 2.0, 6.0], [6.0, 3.0, 2.0, 2.0]])
TWO_STARTS = np.array([[0.5, 0.5], [0.9, 0.1]])


@dataclass(frozen=True)
class FixedPoints:
    """Dual fixed points of Gaussian data, and where algorithms end.

    Attributes
    ----------
    data : the Gaussian datasets
    c, w : AdamProxy's fixed points and their directions, ``(datasets, N)`` and ``(datasets, d)``
    iterations : applications of the map until it settled, ``(datasets,)``
    spread : largest difference between the fixed points reached from random starts and from equal weights,
        ``(datasets,)``
    two_c : AdamProxy's fixed points on ``TWO_SAMPLES``, reached from ``TWO_STARTS``, ``(2, 2)``
    proxy : ``1 - cos`` of AdamProxy and the fixed point, ``(datasets,)``
    proxy_once : ``1 - cos`` of AdamProxy and the classifier in the metric of equal weights, ``(datasets,)``
    betas : pairs of rates
    own : ``1 - cos`` of incremental Adam and its own fixed point for each pair, ``(pairs, datasets)``
    limit, l2 : the same to AdamProxy's fixed point and to the 2-norm's direction
    starts_own : ``1 - cos`` of incremental Adam on ``TWO_SAMPLES``, with the first pair and from weights ``w`` that
        belong to ``TWO_STARTS``, and its own fixed point from the same start, ``(2,)``
    starts_apart : ``1 - cos`` of its two ends
    again_own, again_apart : the same on Gaussian data, ``(2, datasets)`` and ``(datasets,)``: from zero, and from
        weights that belong to a random start
    batches : batch sizes above 1 and below N
    batch_w : directions of the fixed points for these, with the first pair, ``(batches, datasets, d)``
    """

    data: Data
    c: np.ndarray
    w: np.ndarray
    iterations: np.ndarray
    spread: np.ndarray
    two_c: np.ndarray
    proxy: np.ndarray
    proxy_once: np.ndarray
    betas: tuple[tuple[float, float], ...]
    own: np.ndarray
    limit: np.ndarray
    l2: np.ndarray
    starts_own: np.ndarray
    starts_apart: float
    again_own: np.ndarray
    again_apart: np.ndarray
    batches: list[int]
    batch_w: np.ndarray


STARTS = 5


def weights_for(Z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The shortest ``w`` at which the sizes of the loss's derivatives are ``c / 2``: margins ``log(2 / c - 1)``.

    ``Z`` is ``(runs, N, d)`` with ``d >= N``, ``c`` is ``(runs, N)``; very small weights count as ``1e-6``.
    """
    margins = np.log(2 / np.maximum(c, 1e-6) - 1)
    return (np.linalg.pinv(Z) @ margins[..., None])[..., 0]


def fixed_points(params: Parameters) -> FixedPoints:
    """Solve the dual fixed points, and run AdamProxy and incremental Adam to see where they go."""
    data, rng = gaussian_data(params), params.rng(2)
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

    betas = ((params.beta1, params.beta2), OTHER_BETAS[1], *FAR_BETAS)
    steps = {"eta0": params.eta0, "t0": EARLY_DECAY, "decay": params.decay, "device": params.device}
    pairs = [*betas, betas[0]]  # the last group starts elsewhere
    start = np.zeros((len(pairs), D, params.d))
    start[-1] = weights_for(data.Z, again)
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
        start=weights_for(two, TWO_STARTS), **steps,
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
    """The epoch map without momentum, iterated as an algorithm, over ``beta2``.

    Attributes
    ----------
    beta2 : ``(B,)``
    to_proxy, to_l2 : ``1 - cos`` of its end and AdamProxy's fixed point, or the 2-norm's direction, ``(B, datasets)``
    predicted : ``1 - cos`` of its own fixed point and AdamProxy's, on ``grid``, ``(G, datasets)``
    grid : values of ``beta2``
    """

    beta2: np.ndarray
    to_proxy: np.ndarray
    to_l2: np.ndarray
    grid: np.ndarray
    predicted: np.ndarray


def sweep(params: Parameters) -> Sweep:
    """How fast the limit direction tends to AdamProxy's as ``beta2`` tends to one."""
    data = gaussian_data(params)
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
    """Distance of the limit direction from AdamProxy's over ``N`` and ``beta2``, without momentum, in ``d = 5 N``.

    Attributes
    ----------
    N : ``(A,)``
    gap : ``1 - beta2``, ``(G,)``
    distance : mean ``1 - cos`` over a few Gaussian datasets, ``(A, G)``
    """

    N: np.ndarray
    gap: np.ndarray
    distance: np.ndarray


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
