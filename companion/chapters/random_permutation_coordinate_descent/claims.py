"""The claims of the chapter, each with the control that must fail it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from companion.chapters.random_permutation_coordinate_descent import exact, runs
from companion.chapters.random_permutation_coordinate_descent.closed_forms import class_maximum, rcd_rate
from companion.chapters.random_permutation_coordinate_descent.exact import (
    Blocks,
    Certificates,
    Curves,
    Grid,
    Limits,
    RandomMatrices,
    RealData,
    Reduction,
    Speedup,
    Torus,
)
from companion.chapters.random_permutation_coordinate_descent.runs import Trajectories, Typical
from companion.chapters.random_permutation_coordinate_descent.search import Search
from companion.chapters.random_permutation_coordinate_descent.search import search as run_search
from companion.chapters.random_permutation_coordinate_descent.settings import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge


@dataclass(frozen=True)
class Results:
    """The results of all experiments."""

    curves: Curves
    grid: Grid
    speedup: Speedup
    limits: Limits
    reduction: Reduction
    certificates: Certificates
    blocks: Blocks
    random_matrices: RandomMatrices
    real_data: RealData
    torus: Torus
    search: Search
    trajectories: Trajectories
    typical: Typical


def run(params: Parameters) -> Results:
    """All experiments of the chapter."""
    return Results(
        curves=exact.curves(params),
        grid=exact.grid(params),
        speedup=exact.speedup(params),
        limits=exact.limits(params),
        reduction=exact.reduction(params),
        certificates=exact.certificates(params),
        blocks=exact.blocks(params),
        random_matrices=exact.random_matrices(params),
        real_data=exact.real_data(params),
        torus=exact.torus(params),
        search=run_search(params),
        trajectories=runs.trajectories(params),
        typical=runs.typical(params),
    )


# --- measurements -------------------------------------------------------------------------------------------------


def _theorem_1(sigma: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r = results.random_matrices
        least = getattr(r, sigma)
        lower = np.maximum(1 - 1 / r.n, (1 - least / r.n) ** 2)
        return {"lower": (r.rcd - lower).min(), "upper": (1 - 2 * least / (r.n * (1 + least)) - r.rcd).min()}

    return measure


def _large_n(rpcd: str, rcd: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r = results.limits
        chosen = r.sigma <= 0.9
        if not chosen.any():
            raise Undecided("needs a sigma of at most 0.9")
        return {
            "rpcd": np.abs(r.rpcd - getattr(r, rpcd))[chosen].max(),
            "rcd": np.abs(r.rcd - getattr(r, rcd))[chosen].max(),
            "ratio": np.abs(r.ratio / (1 + 1 / r.dimensions) - 1).max(),
        }

    return measure


def _reduction(rates: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r = results.reduction
        return {"error": np.abs(r.rpcd - getattr(r, rates)).max()}

    return measure


def _gap(rates: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r = results.grid
        rate = getattr(r, rates)
        known = np.isfinite(rate)
        if not known.any():
            raise Undecided("needs a dimension of at most 100, for the fixed order of the control")
        return {
            "slack": (1 - r.bound / r.rcd).min(),
            "gain": (np.log(rate[known]) / np.log(r.rcd[known])).min() - 1,
        }

    return measure


def _conjecture(results: Results) -> Measured:
    r = results.random_matrices
    largest = np.array([float(class_maximum(n, s)) for n, s in zip(r.n, r.sigma, strict=True)])
    searched = (results.search.best[..., -1] - results.search.maximum[..., None]).max()
    mapped = (results.torus.rate.max((1, 2)) - results.torus.maximum).max()
    return {"searched": searched, "mapped": mapped, "random": (r.rpcd - largest).max()}


def _conjecture_simplex(results: Results) -> Measured:
    searched = (results.search.best[..., -1] - results.search.simplex[..., None]).max()
    mapped = (results.torus.rate.max((1, 2)) - results.torus.simplex).max()
    return _conjecture(results) | {"searched": searched, "mapped": mapped}


def _reached(results: Results) -> Measured:
    r = results.search
    best = r.best[..., -1].argmax(-1)[..., None]
    share = np.take_along_axis(r.best[..., -1], best, axis=-1)[..., 0] / r.maximum
    return {"missed": (1 - share).max(), "flatness": np.take_along_axis(r.flatness, best, axis=-1).min()}


def _pool(rates: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r = results.random_matrices
        rate = getattr(r, rates)
        return {"gain": (1 - rate / r.rcd**r.n).min(), "below": (1 - rate / r.bound).min()}

    return measure


def _real(rates: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r = results.real_data
        rate = r.rpcd if rates == "rpcd" else r.once.max(1)
        return {"gain": 1 - rate / r.rcd, "below": 1 - rate / r.bound}

    return measure


def _slopes(row: int) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r = results.trajectories
        slopes = r.slopes()
        error = abs(float(np.log(slopes[row]) / np.log(r.rates[1])) - 1)
        return {"rpcd": slopes[row], "bound": r.bound, "rcd": slopes[0], "error": error}

    return measure


def _typical(fixed: bool) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r = results.typical
        rate, error = (r.cyclic, 0 * r.rpcd_error) if fixed else (r.rpcd, r.rpcd_error)
        apart = (np.log(r.rcd) - np.log(rate)) / np.sqrt(r.rcd_error**2 + error**2)
        return {"apart": apart, "speedup": np.log(rate) / np.log(r.rcd)}

    return measure


# --- claims -------------------------------------------------------------------------------------------------------

CLAIMS = (
    Claim(
        id="C1",
        says="RCD: for every positive-definite quadratic with unit diagonal, not the identity, the rate lies strictly "
        "above max{1 − 1/n, (1 − σ/n)²} and strictly below 1 − 2σ/(n(1+σ)).",
        criterion="lower > 0 and upper > 0",
        reason="least slack of the two inequalities over random matrices of every rank; proved on the page; rounding "
        "is of order 1e-15",
        measure=_theorem_1("sigma"),
        control=Control(
            says="σ taken before the diagonal is normalized, variables rescaled at random", measure=_theorem_1("raw")
        ),
    ),
    Claim(
        id="C2a",
        says="RPCD: on every instance of the class, blocks included, the rate of an epoch lies "
        "strictly below B = max{(1 − 1/n)ⁿ, (1 − σ/n)²ⁿ}.",
        criterion="slack > 0",
        reason="slack = least 1 − rate/B on the grid, exact and with no tolerance: at σ = 0.001 and n = 1000 the two "
        "agree to five digits, and rounding is of order 1e-13",
        measure=lambda results: {"slack": (1 - results.grid.rpcd / results.grid.bound).min()},
        control=Control(
            says="RCD's rate held against the bound for RPCD",
            measure=lambda results: {"slack": (1 - results.grid.rcd / results.grid.bound).min()},
        ),
    ),
    Claim(
        id="C2b",
        says="On the class with n → ∞ RPCD's rate tends to (1 − σ)/(1 + σ) and RCD's to exp(−2σ/(1 + σ)); with σ → 0 "
        "an epoch of RPCD is worth 1 + 1/n epochs of RCD.",
        criterion="rpcd < 1e-3 and rcd < 1e-3 and ratio < 1e-3",
        reason="largest distances at the large n for σ ≤ 0.9, and of the log-rate ratio at σ = 1e-5; corrections are "
        "of order 1/(n(1 − σ)) and σ",
        measure=_large_n("rpcd_limit", "rcd_limit"),
        control=Control(says="the two limits exchanged", measure=_large_n("rcd_limit", "rpcd_limit")),
    ),
    Claim(
        id="C2c",
        says="On the class all n! orders reduce to a 2×2 matrix: its spectral radius is the rate that enumerating the "
        "orders gives.",
        criterion="error < 1e-12",
        reason="largest distance of closed form and enumeration for n = 2 to 5; rounding",
        measure=_reduction("enumerated"),
        control=Control(
            says="the n cyclic shifts of one order instead of all orders, no longer invariant under relabelling",
            measure=_reduction("shifts"),
        ),
    ),
    Claim(
        id="C2d",
        says="For every σ in (0, 1), not only on a grid, RPCD's rate on the class is below B: proved in exact "
        "arithmetic for each n up to the largest tried.",
        criterion="all(proved)",
        reason="Bernstein coefficients of the characteristic polynomial at B, all positive; integers and fractions "
        "only, no tolerance",
        measure=lambda results: {"proved": results.certificates.proved, "largest_n": results.certificates.n.max()},
        control=Control(
            says="the exponent 2n + 3, whose slope 2 + 3/n at σ = 0 is more than RPCD's 2 + 2/n",
            measure=lambda results: {
                "proved": results.certificates.too_sharp,
                "largest_n": results.certificates.n.max(),
            },
        ),
    ),
    Claim(
        id="C3",
        says="For every individual instance of the class RPCD's upper bound lies strictly below RCD's rate, so that an "
        "epoch of RPCD is always worth more than an epoch of RCD.",
        criterion="slack > 0 and gain > 0",
        reason="slack = least 1 − B/RCD's rate for an epoch, gain = least ratio of log-rates minus one, over the grid; "
        "exact, no tolerance",
        measure=_gap("rpcd"),
        control=Control(says="one fixed order in place of fresh permutations", measure=_gap("cyclic")),
    ),
    Claim(
        id="C4a",
        says="The conjecture is not refuted: no matrix found has a larger RPCD rate than the class's worst with the "
        "same n and σ.",
        criterion="searched <= 1e-9 and mapped <= 1e-9 and random <= 1e-9",
        reason="largest excess over the class maximum in the search, on the map of all 3×3 matrices, and among random "
        "matrices; the tolerance is for rounding",
        measure=_conjecture,
        control=Control(
            says="the other permutation-invariant matrix, the simplex, held to be the worst",
            measure=_conjecture_simplex,
        ),
    ),
    Claim(
        id="C4b",
        says="The search climbs to the class: from random starts the best of its runs ends, for each n and σ, at a "
        "signed permutation-invariant matrix.",
        criterion="missed <= 0.005 and flatness >= 0.9",
        reason="missed = largest share of the class maximum that the best of the searches falls short of; flatness = "
        "its least |A_ij|/(1 − σ), one exactly on the class; a single search may end at a smaller block for n ≥ 5",
        measure=_reached,
        control=Control(
            says="the simplex matrix in place of the search's end",
            measure=lambda results: {
                "missed": (1 - results.search.simplex / results.search.maximum).max(),
                "flatness": (1 / (results.search.n - 1)).min(),
            },
        ),
    ),
    Claim(
        id="C5a",
        says="RPCD beats RCD on all positive-definite quadratics: conditional on the conjecture; tested on random "
        "matrices, where it always does.",
        criterion="gain > 0 and below >= 0",
        reason="gain = least 1 − RPCD's rate over RCD's, below = least 1 − RPCD's rate over B; exact for each matrix",
        measure=_pool("rpcd"),
        control=Control(says="the cyclic order on the same matrices", measure=_pool("cyclic")),
        stance="restated",
    ),
    Claim(
        id="C5b",
        says="RPCD beats RCD on least squares with real features, centred or not, with and without a ridge.",
        criterion="min(gain) > 0 and min(below) >= 0",
        reason="gain = 1 − RPCD's rate over RCD's, below = 1 − RPCD's rate over B, for each Gram matrix; predicted by "
        "the conjecture and proved for none of them",
        measure=_real("rpcd"),
        control=Control(says="one random order, kept for all epochs: the worst of 200", measure=_real("once")),
        stance="restated",
    ),
    Claim(
        id="C6a",
        says="RPCD outperforms RCD in simulated runs: the measured mean-square slopes lie on either side of B, RPCD's "
        "at its exact rate.",
        criterion="rpcd < bound and bound < rcd and error <= 0.12",
        reason="slopes from epoch 4 on; error = relative error of RPCD's log-rate; with few runs a sample mean misses "
        "the slow paths that dominate a second moment, and both slopes come out low",
        measure=_slopes(1),
        control=Control(says="RCD's runs under the name of RPCD", measure=_slopes(0)),
    ),
    Claim(
        id="C6b",
        says="A typical run of RPCD, too, not only the mean square, contracts faster than a typical run of RCD.",
        criterion="min(apart) > 5",
        reason="apart = distance of the logarithms of the almost-sure rates in standard errors, for each σ; no theorem "
        "here says so",
        measure=_typical(fixed=False),
        control=Control(says="one fixed order, whose runs all have one rate", measure=_typical(fixed=True)),
    ),
)


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    reduction, blocks, certificates = results.reduction, results.blocks, results.certificates
    matrices = results.random_matrices
    search, torus, real, trajectories = results.search, results.torus, results.real_data, results.trajectories
    fixed = np.isfinite(results.grid.cyclic)
    return {
        "random_matrices": len(results.random_matrices.n),
        "instances": len(results.grid.n),
        "grid_n": int(results.grid.n.max()),
        "without_square": (1 - matrices.sigma / matrices.n >= matrices.rcd).mean(),
        "cyclic_worst": (np.log(results.grid.rcd) / np.log(results.grid.cyclic))[fixed].max(initial=0),
        "rcd_excess": max(
            float(rate - rcd_rate(n, s))
            for n, s, rate in zip(
                results.random_matrices.n, results.random_matrices.sigma, results.random_matrices.rcd, strict=True
            )
        ),
        "dynamic_error": max(np.abs(reduction.dynamic - reduction.enumerated).max(), reduction.random_gap),
        "rcd_error": np.abs(reduction.rcd - reduction.rcd_operator).max(),
        "averaged": reduction.averaged,
        "averaged_least": reduction.averaged_least,
        "member": reduction.member,
        "certified_n": int(certificates.n[certificates.proved].max(initial=0)),
        "sharper": bool(certificates.sharper.all()),
        "limit_n": int(results.limits.n),
        "limit_near_one": np.abs(results.limits.rpcd - results.limits.rpcd_limit).max(),
        "block_sigma": blocks.sigma,
        "block_worst": blocks.worst,
        "block_n": int(blocks.k.max()),
        "searches": int(np.prod(search.best.shape[:3])),
        "evaluated": search.evaluated,
        "search_dims": search.n,
        "search_reached": (search.best[..., -1] >= 0.995 * search.maximum[..., None]).mean(),
        "start_flatness": search.start_flatness.mean((1, 2)),
        "simplex": search.simplex / search.maximum,
        "torus_simplex": np.abs(torus.rate.min((1, 2)) - torus.simplex).max(),
        "torus_maximum": np.abs(torus.rate.max((1, 2)) - torus.maximum).max(),
        "features": real.n,
        "real": {
            name.replace(", ", "_").replace(" ", "_"): {
                "sigma": real.sigma[k],
                "rpcd": real.rpcd[k],
                "bound": real.bound[k],
                "rcd": real.rcd[k],
                "once": np.median(real.once[k]),
                "once_worst": real.once[k].max(),
                "once_better": (real.once[k] < real.rpcd[k]).mean(),
                "once_worse_than_rcd": (real.once[k] > real.rcd[k]).mean(),
            }
            for k, name in enumerate(real.names)
        },
        "mc_rates": trajectories.rates,
        "mc_n": trajectories.n,
        "mc_sigma": trajectories.sigma,
        "mc_error": np.abs(trajectories.mean[:2] / trajectories.exact[:2] - 1).max(1),
        "mc_cyclic_slope": trajectories.slopes()[2],
        "typical_sigma": results.typical.sigma,
        "typical_gain_rcd": np.log(results.typical.rcd) / np.log(results.typical.rcd_square),
        "typical_gain_rpcd": np.log(results.typical.rpcd) / np.log(results.typical.rpcd_square),
    }
