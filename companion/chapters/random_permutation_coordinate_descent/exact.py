"""Experiments in closed form or by exact operators: the class, its bounds and limits, random and real matrices."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch

from companion.analysis.finite_sum import orders
from companion.chapters.random_permutation_coordinate_descent.certificate import certified
from companion.chapters.random_permutation_coordinate_descent.closed_forms import (
    bound,
    class_maximum,
    rcd_limit,
    rcd_rate,
    rpcd_limit,
    rpcd_rate,
)
from companion.chapters.random_permutation_coordinate_descent.operators import (
    epoch_map,
    equicorrelation,
    map_radius,
    operator,
    perron_radius,
    rates,
    rcd_moments,
    rpcd_moments,
    rpcd_moments_by_enumeration,
    simplex,
    unit_diagonal,
    with_least_eigenvalue,
)
from companion.chapters.random_permutation_coordinate_descent.settings import Parameters
from companion.data import load_dataset


def cyclic_rate(A: torch.Tensor) -> np.ndarray:
    """Mean-square rates for each epoch of the fixed order 1, …, n on matrices ``(..., n, n)``: ``rho(T)^2``."""
    return map_radius(epoch_map(A, np.arange(A.shape[-1]))) ** 2


# --- the class ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curves:
    """Rates on the class over sigma, one row for each dimension.

    Attributes
    ----------
    dimensions : ``(N,)``
    sigma : ``(S,)``
    rpcd, rcd, bound, cyclic : rates for each epoch, ``(N, S)``
    points : values of sigma at which the operators were computed, ``(P,)``
    rpcd_points, rcd_points : rates from the operators, ``(N, P)``, NaN where the dimension is too large
    """

    dimensions: np.ndarray
    sigma: np.ndarray
    rpcd: np.ndarray
    rcd: np.ndarray
    bound: np.ndarray
    cyclic: np.ndarray
    points: np.ndarray
    rpcd_points: np.ndarray
    rcd_points: np.ndarray


# For curves over sigma: logarithmic, and dense where they turn up.
_SIGMA = np.union1d(np.geomspace(1e-3, 0.5, 60), np.linspace(0.5, 0.98, 49))


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
    """Exact rates on the class, blocks included: one entry for each ``A_{k, sigma} + I_{n-k}``.

    Attributes
    ----------
    n, k, sigma : dimension, block size and least eigenvalue of each instance, ``(m,)``
    rpcd, rcd, bound : rates for each epoch, ``(m,)``
    cyclic : of the fixed order on the instances of at most 100 dimensions, NaN elsewhere, ``(m,)``
    """

    n: np.ndarray
    k: np.ndarray
    sigma: np.ndarray
    rpcd: np.ndarray
    rcd: np.ndarray
    bound: np.ndarray
    cyclic: np.ndarray


def grid(params: Parameters) -> Grid:
    """All pairs ``k <= n`` of the listed dimensions with all listed sigma."""
    sigma = params.sigmas
    rows = []
    for k in params.dimensions:
        per_epoch, theta = rpcd_rate(k, sigma), k * (1 - rcd_rate(k, sigma))
        fixed = np.full(len(sigma), np.nan)
        if k <= 100:  # an eigenvalue problem of size k, the only one here that is not in closed form
            fixed = cyclic_rate(torch.stack([equicorrelation(k, s) for s in sigma]))
        for n in params.dimensions:
            if n >= k:
                # the block's own coordinates are drawn k times in n: theta does not depend on n
                one = [np.full(len(sigma), n), np.full(len(sigma), k), sigma, per_epoch, (1 - theta / n) ** n]
                rows.append(np.stack([*one, bound(n, sigma), fixed]))
    n, k, sigma, rpcd, rcd, limit, fixed = np.concatenate(rows, axis=1)
    return Grid(n.astype(int), k.astype(int), sigma, rpcd, rcd, limit, fixed)


@dataclass(frozen=True)
class Speedup:
    """How many epochs of RCD one epoch of RPCD is worth on the class: ``log rpcd / log rcd``, ``(n, sigma)``."""

    n: np.ndarray
    sigma: np.ndarray
    ratio: np.ndarray


def speedup(params: Parameters) -> Speedup:
    """The ratio of log-rates over dimension and sigma."""
    n = np.unique(np.geomspace(2, 1000, 60).round().astype(int))
    sigma = _SIGMA
    ratio = np.stack([np.log(rpcd_rate(k, sigma)) / (k * np.log(rcd_rate(k, sigma))) for k in n])
    return Speedup(n, sigma, ratio)


@dataclass(frozen=True)
class Limits:
    """The class at a large dimension, and at a small sigma, beside the limits.

    Attributes
    ----------
    n : the large dimension
    sigma : ``(S,)``
    rpcd, rcd : rates for each epoch at that dimension, ``(S,)``
    rpcd_limit, rcd_limit : for n to infinity, ``(S,)``
    dimensions : ``(N,)``; ratio : ratio of log-rates there at ``sigma = 1e-5``
    """

    n: int
    sigma: np.ndarray
    rpcd: np.ndarray
    rcd: np.ndarray
    rpcd_limit: np.ndarray
    rcd_limit: np.ndarray
    dimensions: np.ndarray
    ratio: np.ndarray


def limits(params: Parameters) -> Limits:
    """Rates at ``limit_n`` and the ratio of log-rates for sigma near zero."""
    sigma, n, small = params.sigmas, params.limit_n, 1e-5
    ratio = [float(np.log(rpcd_rate(k, small)) / (k * np.log(rcd_rate(k, small)))) for k in params.dimensions]
    return Limits(
        n=n,
        sigma=sigma,
        rpcd=rpcd_rate(n, sigma),
        rcd=rcd_rate(n, sigma) ** n,
        rpcd_limit=rpcd_limit(sigma),
        rcd_limit=rcd_limit(sigma),
        dimensions=np.array(params.dimensions),
        ratio=np.array(ratio),
    )


@dataclass(frozen=True)
class Reduction:
    """The closed forms against all n! orders one by one.

    Attributes
    ----------
    n, sigma : of each instance, ``(m,)``
    rpcd, rcd : rates from the closed forms
    enumerated, shifts : RPCD's rate from all orders, and from the n cyclic shifts of one order alone
    dynamic : RPCD's rate from the dynamic program; rcd_operator : RCD's from its operator
    random_gap : largest distance between dynamic program and enumeration on random matrices
    averaged, member : rates of the average of two relabelled members of the class with n = 3, and of one of them
    averaged_least : least eigenvalue of that average
    """

    n: np.ndarray
    sigma: np.ndarray
    rpcd: np.ndarray
    rcd: np.ndarray
    enumerated: np.ndarray
    shifts: np.ndarray
    dynamic: np.ndarray
    rcd_operator: np.ndarray
    random_gap: float
    averaged: float
    member: float
    averaged_least: float


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
    """Dimensions in which the bound is proved for every sigma, and the same with too large an exponent.

    Attributes
    ----------
    n : ``(N,)``
    proved : exponent ``2 n``; sharper : ``2 n + 1``; too_sharp : ``2 n + 3``, which is false near sigma = 0
    """

    n: np.ndarray
    proved: np.ndarray
    sharper: np.ndarray
    too_sharp: np.ndarray


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


def blocks(params: Parameters) -> Blocks:
    """Rates of all block sizes up to ``block_n``."""
    sigma, k = np.array([0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99]), np.arange(2, params.block_n + 1)
    return Blocks(sigma, k, np.stack([rpcd_rate(int(size), sigma) for size in k], axis=1))


# --- other matrices -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandomMatrices:
    """Random unit-diagonal matrices of all ranks of ``(A - sigma I) / (1 - sigma)``, and their exact rates.

    Attributes
    ----------
    n, rank, sigma : of each matrix, ``(m,)``
    raw : least eigenvalue of the same quadratic after its variables were rescaled at random, ``(m,)``
    rcd : for each update; rpcd, cyclic, bound : for each epoch
    """

    n: np.ndarray
    rank: np.ndarray
    sigma: np.ndarray
    raw: np.ndarray
    rcd: np.ndarray
    rpcd: np.ndarray
    cyclic: np.ndarray
    bound: np.ndarray


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
    """Gram matrices of real features, scaled to unit diagonal.

    Attributes
    ----------
    names : ``(m,)``; n : features
    sigma : least eigenvalue, ``(m,)``
    rcd, rpcd, bound : rates for each epoch, ``(m,)``
    once : rate of each of many random orders, kept for all epochs, ``(m, orders)``
    natural : rate of the order of the columns, ``(m,)``
    """

    names: tuple[str, ...]
    n: int
    sigma: np.ndarray
    rcd: np.ndarray
    rpcd: np.ndarray
    bound: np.ndarray
    once: np.ndarray
    natural: np.ndarray


RIDGE = 0.1
DATA = ("diabetes", "wine", "breast_cancer")


def gram_matrices(features: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Unit-diagonal Gram matrices of three data sets, centred or not, without and with a ridge: names, matrices."""
    names, matrices = [], []
    for name in DATA:
        data = load_dataset(name, normalize="none", dtype="float64")
        X = np.vstack([data.x_train, data.x_test])[:, :features]
        for centred in (True, False):
            Z = X - X.mean(0) if centred else X
            correlation = unit_diagonal(Z.T @ Z)
            for ridge in (0.0, RIDGE):
                matrices.append(unit_diagonal(correlation + ridge * np.eye(features)))
                label = name.replace("_", " ") + (", centred" if centred else ", not centred")
                names.append(label + (", ridge" if ridge else ""))
    return tuple(names), np.stack(matrices)


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
        once=map_radius(epoch_map(A[:, None], kept)) ** 2,
        natural=cyclic_rate(A),
    )


# --- n = 3: all matrices on one map -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Torus:
    """RPCD's rate on all 3 x 3 matrices of a given sigma.

    Attributes
    ----------
    angle : of the second and third unit vector against the first, radians, ``(P,)``
    sigma : ``(S,)``
    rate : ``(S, P, P)``
    maximum : of the class, ``(S,)``
    simplex : rate of the other permutation-invariant matrix, ``(S,)``
    """

    angle: np.ndarray
    sigma: np.ndarray
    rate: np.ndarray
    maximum: np.ndarray
    simplex: np.ndarray


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


def perron_rates(A: torch.Tensor, at_once: int = 2**14) -> np.ndarray:
    """RPCD's rates of very many small matrices ``(m, n, n)``: ``(m,)``."""
    return np.concatenate([perron_radius(operator(some, rpcd_moments)).cpu().numpy() for some in A.split(at_once)])
