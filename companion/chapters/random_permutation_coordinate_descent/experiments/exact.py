"""In closed form or by exact operators: the class, its bounds and limits, random and real matrices."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch

from companion.analysis.finite_sum import orders
from companion.chapters.random_permutation_coordinate_descent.certificate import certified
from companion.chapters.random_permutation_coordinate_descent.closed_forms import (
    bound,
    class_maximum,
    rcd_block_rate,
    rcd_limit,
    rcd_rate,
    rpcd_limit,
    rpcd_rate,
    worth,
)
from companion.chapters.random_permutation_coordinate_descent.gram import gram_matrices
from companion.chapters.random_permutation_coordinate_descent.operators import (
    cyclic_rate,
    equicorrelation,
    map_radius,
    operator,
    order_rate,
    perron_rates,
    rates,
    rcd_moments,
    rpcd_moments,
    rpcd_moments_by_enumeration,
    simplex,
    with_least_eigenvalue,
)
from companion.chapters.random_permutation_coordinate_descent.parameters import Parameters
from companion.results import experiment

# --- the class ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curves:
    """Rates on the class over sigma, one row for each dimension."""

    #: ``(N,)``
    dimensions: np.ndarray
    #: ``(S,)``
    sigma: np.ndarray
    #: rpcd, rcd, bound, cyclic: rates for each epoch, ``(N, S)``
    rpcd: np.ndarray
    rcd: np.ndarray
    bound: np.ndarray
    cyclic: np.ndarray
    #: values of sigma at which the operators were computed, ``(P,)``
    points: np.ndarray
    #: rpcd_points, rcd_points: rates from the operators, ``(N, P)``, NaN where the dimension is too large
    rpcd_points: np.ndarray
    rcd_points: np.ndarray


# For curves over sigma: logarithmic, and dense where they turn up.
_SIGMA = np.union1d(np.geomspace(1e-3, 0.5, 60), np.linspace(0.5, 0.98, 49))


@experiment
def curves(params: Parameters) -> Curves:
    """The three rates and the fixed order's for a small, a middle and a large dimension."""
    dimensions, sigma = np.array([3, 6, 100]), _SIGMA[_SIGMA <= 0.95]
    points = np.array([0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
    rpcd_points, rcd_points = np.full((2, len(dimensions), len(points)), np.nan)
    for row, n in enumerate(dimensions[:2]):
        A = torch.stack([equicorrelation(n, s) for s in points])
        rpcd_points[row], rcd_points[row] = rates(A, rpcd_moments), rates(A, rcd_moments) ** n
    return Curves(
        dimensions=dimensions,
        sigma=sigma,
        rpcd=np.stack([rpcd_rate(n, sigma) for n in dimensions]),
        rcd=np.stack([rcd_rate(n, sigma) ** n for n in dimensions]),
        bound=np.stack([bound(n, sigma) for n in dimensions]),
        cyclic=np.stack([cyclic_rate(torch.stack([equicorrelation(n, s) for s in sigma])) for n in dimensions]),
        points=points,
        rpcd_points=rpcd_points,
        rcd_points=rcd_points,
    )


@dataclass(frozen=True)
class Grid:
    """Exact rates on the class, blocks included: one entry for each ``A_{k, sigma} + I_{n-k}``."""

    #: n, k, sigma: dimension, block size and least eigenvalue of each instance, ``(m,)``
    n: np.ndarray
    k: np.ndarray
    sigma: np.ndarray
    #: rpcd, rcd, bound: rates for each epoch, ``(m,)``
    rpcd: np.ndarray
    rcd: np.ndarray
    bound: np.ndarray
    #: of the fixed order on the instances of at most 100 dimensions, NaN elsewhere, ``(m,)``
    cyclic: np.ndarray


@experiment
def grid(params: Parameters) -> Grid:
    """All pairs ``k <= n`` of the listed dimensions with all listed sigma."""
    sigma = params.sigmas
    rows = []
    for k in params.dimensions:
        per_epoch = rpcd_rate(k, sigma)
        fixed = np.full(len(sigma), np.nan)
        if k <= 100:  # an eigenvalue problem of size k, the only one here that is not in closed form
            fixed = cyclic_rate(torch.stack([equicorrelation(k, s) for s in sigma]))
        for n in params.dimensions:
            if n >= k:
                uniform = rcd_block_rate(n, k, sigma)
                one = [np.full(len(sigma), n), np.full(len(sigma), k), sigma, per_epoch, uniform]
                rows.append(np.stack([*one, bound(n, sigma), fixed]))
    n, k, sigma, rpcd, rcd, limit, fixed = np.concatenate(rows, axis=1)
    return Grid(n.astype(int), k.astype(int), sigma, rpcd, rcd, limit, fixed)


@dataclass(frozen=True)
class Speedup:
    """How many epochs of RCD one epoch of RPCD is worth on the class: ``log rpcd / log rcd``, ``(n, sigma)``."""

    n: np.ndarray
    sigma: np.ndarray
    ratio: np.ndarray


@experiment
def speedup(params: Parameters) -> Speedup:
    """The ratio of log-rates over dimension and sigma."""
    n = np.unique(np.geomspace(2, 1000, 60).round().astype(int))
    sigma = _SIGMA
    ratio = np.stack([worth(int(k), sigma) for k in n])
    return Speedup(n, sigma, ratio)


INSTANCES = ("whole", "block")
BLOCK = 20  # coordinates of the block whose rates stay what they are however many others there are


@dataclass(frozen=True)
class Limits:
    """The class at a large dimension, and at a small sigma, beside the limits; and a block of fixed size there."""

    #: the large dimension
    n: int
    #: ``(S,)``
    sigma: np.ndarray
    #: rpcd, rcd: rates for each epoch at that dimension, for INSTANCES, ``(2, S)``
    rpcd: np.ndarray
    rcd: np.ndarray
    #: rpcd_limit, rcd_limit: for n to infinity, ``(S,)``
    rpcd_limit: np.ndarray
    rcd_limit: np.ndarray
    #: ``(N,)``
    dimensions: np.ndarray
    #: ratio of log-rates there at ``sigma = 1e-5``, for INSTANCES, ``(2, N)``; the block there has two coordinates
    ratio: np.ndarray


@experiment
def limits(params: Parameters) -> Limits:
    """Rates at ``limit_n`` and the ratio of log-rates for sigma near zero."""
    sigma, n, small, dimensions = params.sigmas, params.limit_n, 1e-5, params.dimensions
    block = np.log(rpcd_rate(2, small))
    return Limits(
        n=n,
        sigma=sigma,
        rpcd=np.stack([rpcd_rate(n, sigma), rpcd_rate(BLOCK, sigma)]),
        rcd=np.stack([rcd_rate(n, sigma) ** n, rcd_block_rate(n, BLOCK, sigma)]),
        rpcd_limit=rpcd_limit(sigma),
        rcd_limit=rcd_limit(sigma),
        dimensions=np.array(dimensions),
        ratio=np.array(
            [
                [float(worth(k, small)) for k in dimensions],
                [float(block / np.log(rcd_block_rate(k, 2, small))) for k in dimensions],
            ]
        ),
    )


@dataclass(frozen=True)
class Reduction:
    """The closed forms against all n! orders one by one."""

    #: n, sigma: of each instance, ``(m,)``
    n: np.ndarray
    sigma: np.ndarray
    #: rpcd, rcd: rates from the closed forms
    rpcd: np.ndarray
    rcd: np.ndarray
    #: enumerated, shifts: RPCD's rate from all orders, and from the n cyclic shifts of one order alone
    enumerated: np.ndarray
    shifts: np.ndarray
    #: RPCD's rate from the dynamic program
    dynamic: np.ndarray
    #: RCD's from its operator
    rcd_operator: np.ndarray
    #: largest distance between dynamic program and enumeration on random matrices
    random_gap: float
    #: averaged, member: rates of the average of two relabelled members of the class with n = 3, and of one of them
    averaged: float
    member: float
    #: least eigenvalue of that average
    averaged_least: float


@experiment
def reduction(params: Parameters) -> Reduction:
    """Enumeration, dynamic programming and closed forms on the class for n up to 5, and on random matrices."""
    rng, rows, gaps = params.rng(1), [], []
    sigma = np.array([0.01, 0.1, 0.4, 0.8])
    for n in (2, 3, 4, 5):
        A = torch.stack([equicorrelation(n, s) for s in sigma])
        everything = np.array(list(permutations(range(n))))
        shifts = (np.arange(n)[:, None] + np.arange(n)) % n

        def from_orders(A: torch.Tensor, chosen: np.ndarray) -> torch.Tensor:
            return operator(A, lambda M, X: rpcd_moments_by_enumeration(M, X, chosen))

        dynamic = [rates(A, moments) for moments in (rpcd_moments, rcd_moments)]
        enumerated = [map_radius(from_orders(A, chosen)) for chosen in (everything, shifts)]
        closed = [rpcd_rate(n, sigma), rcd_rate(n, sigma)]
        rows.append(np.stack([np.full(len(sigma), n), sigma, *closed, *enumerated, *dynamic]))
        random = with_least_eigenvalue(torch.tensor(rng.normal(size=(5, n, n - 1))), 0.2)
        gaps.append(float((operator(random, rpcd_moments) - from_orders(random, everything)).abs().max()))
    n, sigma, rpcd, rcd, enumerated, shifts, dynamic, rcd_operator = np.concatenate(rows, axis=1)
    signs = torch.tensor([[1.0, -1, -1], [-1, 1, -1]], dtype=torch.float64)
    members = signs[:, :, None] * equicorrelation(3, 0.4) * signs[:, None, :]
    average = members.mean(0)
    averaged, member = rates(torch.stack([average, members[0]]), rpcd_moments)
    return Reduction(
        n.astype(int), sigma, rpcd, rcd, enumerated, shifts, dynamic, rcd_operator, max(gaps), float(averaged),
        float(member), float(np.linalg.eigvalsh(average.numpy())[0]),
    )  # fmt: skip


@dataclass(frozen=True)
class Certificates:
    """Dimensions in which the bound is proved for every sigma, and the same with too large an exponent."""

    #: dimensions, ``(N,)``
    n: np.ndarray
    #: whether it is proved with the exponent ``2 n``, ``(N,)``
    proved: np.ndarray
    #: with ``2 n + 1``
    sharper: np.ndarray
    #: with ``2 n + 3``, which is false near sigma = 0
    too_sharp: np.ndarray


@experiment
def certificates(params: Parameters) -> Certificates:
    """Exact arithmetic for every dimension up to ``certified_n``."""
    n = np.arange(2, params.certified_n + 1)
    proved, sharper, too_sharp = (
        np.array([certified(int(k), 2 * int(k) + more) for k in n]) for more in (0, 1, 3)
    )  # fmt: skip
    return Certificates(n, proved, sharper, too_sharp)


@dataclass(frozen=True)
class Blocks:
    """RPCD's rate over the block size: ``rate`` is ``(S, K)`` for ``sigma`` ``(S,)`` and ``k`` ``(K,)``."""

    sigma: np.ndarray
    k: np.ndarray
    rate: np.ndarray

    @property
    def worst(self) -> np.ndarray:
        """The block size of the largest rate for each sigma."""
        return self.k[self.rate.argmax(1)]


@experiment
def blocks(params: Parameters) -> Blocks:
    """Rates of all block sizes up to ``block_n``."""
    sigma, k = np.array([0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99]), np.arange(2, params.block_n + 1)
    return Blocks(sigma, k, np.stack([rpcd_rate(int(size), sigma) for size in k], axis=1))


# --- other matrices -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandomMatrices:
    """Random unit-diagonal matrices of all ranks of ``(A - sigma I) / (1 - sigma)``, and their exact rates."""

    #: n, rank, sigma: of each matrix, ``(m,)``
    n: np.ndarray
    rank: np.ndarray
    sigma: np.ndarray
    #: least eigenvalue of the same quadratic after its variables were rescaled at random, ``(m,)``
    raw: np.ndarray
    #: RCD's rate for each update, ``(m,)``
    rcd: np.ndarray
    #: rpcd, cyclic, bound: for each epoch, ``(m,)``
    rpcd: np.ndarray
    cyclic: np.ndarray
    bound: np.ndarray


@experiment
def random_matrices(params: Parameters) -> RandomMatrices:
    """``random_count`` matrices for each dimension; rank one is the class itself, up to signs."""
    rng, rows = params.rng(2), []
    for n in range(2, params.random_n + 1):
        m = params.random_count
        rank = 1 + np.arange(m) % (n - 1)
        V = rng.normal(size=(m, n, n - 1)) * (np.arange(n - 1) < rank[:, None])[:, None, :]
        sigma = np.exp(rng.uniform(np.log(0.01), np.log(0.95), size=m))
        A = with_least_eigenvalue(torch.tensor(V, device=params.device), torch.tensor(sigma, device=params.device))
        scale = np.exp(rng.normal(size=(m, n)) / 2)
        raw = np.linalg.eigvalsh(scale[:, :, None] * A.cpu().numpy() * scale[:, None, :])[:, 0]
        measured = [rates(A, rcd_moments), rates(A, rpcd_moments), cyclic_rate(A), bound(n, sigma)]
        rows.append(np.stack([np.full(m, n), rank, sigma, raw, *measured]))
    n, rank, sigma, raw, rcd, rpcd, fixed, limit = np.concatenate(rows, axis=1)
    return RandomMatrices(n.astype(int), rank.astype(int), sigma, raw, rcd, rpcd, fixed, limit)


@dataclass(frozen=True)
class RealData:
    """Gram matrices of real features, scaled to unit diagonal."""

    #: ``(m,)``
    names: tuple[str, ...]
    #: features
    n: int
    #: least eigenvalue, ``(m,)``
    sigma: np.ndarray
    #: rcd, rpcd, bound: rates for each epoch, ``(m,)``
    rcd: np.ndarray
    rpcd: np.ndarray
    bound: np.ndarray
    #: rate of each of many random orders, kept for all epochs, ``(m, orders)``
    once: np.ndarray


@experiment
def real_data(params: Parameters) -> RealData:
    """RCD, RPCD and 200 fixed random orders on least squares with real features."""
    names, matrices = gram_matrices(params.features)
    A, n = torch.tensor(matrices, device=params.device), matrices.shape[-1]
    sigma = np.linalg.eigvalsh(matrices)[:, 0]
    kept = orders("reshuffled", n, 200, params.rng(3))
    return RealData(
        names=names,
        n=n,
        sigma=sigma,
        rcd=rates(A, rcd_moments) ** n,
        rpcd=rates(A, rpcd_moments),
        bound=bound(n, sigma),
        once=order_rate(A[:, None], kept),
    )


# --- n = 3: all matrices on one map -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Torus:
    """RPCD's rate on all 3 x 3 matrices of a given sigma."""

    #: of the second and third unit vector against the first, radians, ``(P,)``
    angle: np.ndarray
    #: ``(S,)``
    sigma: np.ndarray
    #: ``(S, P, P)``
    rate: np.ndarray
    #: of the class, ``(S,)``
    maximum: np.ndarray
    #: rate of the other permutation-invariant matrix, ``(S,)``
    simplex: np.ndarray


@experiment
def torus(params: Parameters) -> Torus:
    """Unit-diagonal 3 x 3 matrices are ``sigma I + (1 - sigma) V V^T`` with three unit vectors in the plane."""
    angle, sigma = np.linspace(0, 2 * np.pi, params.torus_points), np.array(params.search_sigmas)
    a, b = np.meshgrid(angle, angle, indexing="ij")
    V = np.stack([np.stack([np.cos(t), np.sin(t)], axis=-1) for t in (0 * a, a, b)], axis=-2)
    rate = np.empty((len(sigma), *a.shape))
    for k, s in enumerate(sigma):
        A = with_least_eigenvalue(torch.tensor(V.reshape(-1, 3, 2), device=params.device), float(s))
        rate[k] = perron_rates(A).reshape(a.shape)
    ends = torch.stack([simplex(3, float(s)) for s in sigma])
    return Torus(angle, sigma, rate, class_maximum(3, sigma), rates(ends, rpcd_moments))
