"""Power-law random features: sampled sketches, and the spectra that stand for them at any width.

Data ``x ~ N(0, diag(j^(-2 alpha)))`` and target ``y = <x, w>``, ``w_j = j^(-beta)``, are seen through ``z = S x`` in M
dimensions. Given the sketch S,

    y = <z, optimum> + noise,    noise ~ N(0, floor) independent of z ~ N(0, K),   K = S diag(j^(-2 alpha)) S^T,

so that nothing else about x matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

HEAD = 12  # modes that the spectra keep one by one; beyond, bins of equal width in log j
BINS = 10  # in a decade


@dataclass(frozen=True)
class Spectrum:
    """What the risk equations need to know of a problem: modes that decay at their rates and receive noise."""

    #: how many modes each entry stands for, ``(J,)``
    weight: np.ndarray
    #: decay rate b_j in intrinsic time, ``(J,)``
    rate: np.ndarray
    #: noise n_j that the mode receives, in units of step size squared, ``(J,)``
    noise: np.ndarray
    #: risk in the mode at the start, ``(J,)``
    start: np.ndarray
    #: the least risk, R
    floor: float

    @property
    def noise_sum(self) -> float:
        """``sum n_j / b_j``, which decides where a constant step size ends."""
        return float((self.weight * self.noise / self.rate).sum())


@dataclass(frozen=True)
class Sketch:
    """A sampled problem in M dimensions."""

    #: covariance K of the features, ``(M, M)``
    covariance: np.ndarray
    #: best parameters, ``(M,)``
    optimum: np.ndarray
    #: their risk R
    floor: float

    @property
    def scale(self) -> np.ndarray:
        """Standard deviations of the features, ``sqrt(K_ii)``, of shape ``(M,)``."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def sign_covariance(self) -> np.ndarray:
        """``E sign(z) sign(z)^T = 2/pi arcsin(correlations)``, with unit diagonal (Sheppard's formula)."""
        scale = self.scale
        correlation = np.clip(self.covariance / np.outer(scale, scale), -1, 1)
        np.fill_diagonal(correlation, 1)
        return 2 / np.pi * np.arcsin(correlation)


def dimension(width: int, alpha: float) -> int:
    """Dimension of the data: ``8 M`` where features decay slowly; else ``30 M``, beyond which little is left."""
    return 8 * width if 2 * alpha < 1 else max(8 * width, min(30 * width, 20_000), 1000)


def sketch(width: int, alpha: float, beta: float, rng: np.random.Generator) -> Sketch:
    """Sample ``S_ij ~ N(0, 1/M)`` and reduce the problem to its M dimensions.

    Parameters
    ----------
    width : M, at least 1
    alpha, beta : decay of features and target, ``alpha + beta > 1/2``
    """
    return sketches(width, alpha, [beta], rng)[0]


def sketches(width: int, alpha: float, betas: Sequence[float], rng: np.random.Generator) -> list[Sketch]:
    """Problems of several targets, seen through one S."""
    j = np.arange(1.0, dimension(width, alpha) + 1)
    root, target = j**-alpha, j ** -np.array(betas)[:, None]
    S = rng.normal(size=(width, len(j))) / np.sqrt(width) * root
    covariance = S @ S.T
    seen = S @ (root * target).T
    optimum = np.linalg.solve(covariance, seen)
    floor = ((root * target) ** 2).sum(1) - (seen * optimum).sum(0)
    return [Sketch(covariance, best, max(float(least), 0.0)) for best, least in zip(optimum.T, floor, strict=True)]


def sketched_spectrum(problem: Sketch, signed_features: bool) -> Spectrum:
    """Rates and noise of a sketch.

    Plain features: eigenvalues ``rate = lam_j`` of K, ``noise = lam_j^2``. Signed features: eigenvalues of
    ``B = K^(1/2) diag(K)^(-1/2) K^(1/2)``, and ``noise = v_j^T K^(1/2) C K^(1/2) v_j`` with C the sign covariance.
    """
    values, vectors = np.linalg.eigh(problem.covariance)
    values = np.maximum(values, 1e-14 * values[-1])
    root = (vectors * np.sqrt(values)) @ vectors.T
    if signed_features:
        rate, basis = np.linalg.eigh(root @ (root / problem.scale[:, None]))
        rate = np.maximum(rate, 1e-14 * rate[-1])
        half = root @ basis
        noise = (half * (problem.sign_covariance @ half)).sum(0)
    else:
        rate, noise, half = values, values**2, root @ vectors
    start = (half.T @ problem.optimum) ** 2
    order = np.argsort(-rate)
    return Spectrum(np.ones(len(rate)), rate[order], noise[order], start[order], problem.floor)


def log_bins(largest: float, per_decade: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """The integers from 1 to ``largest`` as points and weights: the first few singly, the others in bins."""
    head = np.arange(1.0, min(largest, HEAD) + 1)
    if largest <= HEAD:
        return head, np.ones_like(head)
    count = int(np.ceil(per_decade * np.log10(largest / HEAD))) + 1
    edges = np.geomspace(HEAD + 0.5, largest + 0.5, count + 1)
    return np.r_[head, np.sqrt(edges[1:] * edges[:-1])], np.r_[np.ones(HEAD), np.diff(edges)]


def approximation_error(width: float, alpha: float, beta: float) -> float:
    """Least risk of M random features, by its deterministic equivalent.

    ``R = sum_j lam_j w_j^2 nu / (lam_j + nu)`` with ``lam_j = j^(-2 alpha)`` and nu from
    ``sum_j lam_j / (lam_j + nu) = M``, sums over the dimensions of the data.
    """
    j, weight = _data_bins(width, alpha)
    lam = j ** (-2 * alpha)
    nu = np.exp(brentq(lambda x: (weight * lam / (lam + np.exp(x))).sum() - width, -200, 100))
    return float((weight * lam * j ** (-2 * beta) * nu / (lam + nu)).sum())


def kept_error(width: float, alpha: float, beta: float) -> float:
    """Least risk where the M largest coordinates are seen, and nothing of the others: ``sum_(j>M) lam_j w_j^2``."""
    j, weight = _data_bins(width, alpha)
    return float((weight * j ** (-2 * alpha - 2 * beta))[j > width].sum())


def _data_bins(width: float, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    # For fast decay the sums converge, and any dimension far above M gives the same.
    return log_bins(8 * width if 2 * alpha < 1 else 1e6 * width)


def equivalent_spectrum(width: float, alpha: float, beta: float, signed_features: bool) -> Spectrum:
    """The spectrum of a sketch, without sampling one: M may be a million, modes are binned.

    Modes ``j <= M`` with ``lam_j = j^(-2 alpha)`` start at ``lam_j (w_j^2 + c / M)``: aligned with the target, and
    distorted by the sketch, ``c = sum w_j^2`` where that converges, else neglected. Signed features have
    ``rate = lam_j / sqrt(tr / M)`` and ``noise = lam_j k_j``, with k_j the sign covariance's diagonal in the
    eigenbasis: ``2/pi M lam_j / tr + 1 - 2/pi``, scaled to the trace M.
    """
    j, weight = log_bins(width)
    lam = j ** (-2 * alpha)
    all_j, all_weight = _data_bins(width, alpha)
    trace = (all_weight * all_j ** (-2 * alpha)).sum()
    distorted = (all_weight * all_j ** (-2 * beta)).sum() / width if 2 * beta > 1 else 0.0
    start = lam * (j ** (-2 * beta) + distorted)
    if signed_features:
        k = 2 / np.pi * width * lam / trace + 1 - 2 / np.pi
        rate, noise = lam / np.sqrt(trace / width), lam * k * width / (weight * k).sum()
    else:
        rate, noise = lam, lam**2
    return Spectrum(weight, rate, noise, start, approximation_error(width, alpha, beta))
