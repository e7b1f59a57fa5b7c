"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.chapters.random_permutation_coordinate_descent.closed_forms import class_maximum, rcd_rate
from companion.chapters.random_permutation_coordinate_descent.experiments import Results
from companion.chapters.random_permutation_coordinate_descent.experiments.exact import INSTANCES
from companion.chapters.random_permutation_coordinate_descent.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "random-permutation-coordinate-descent"  # ends the labels of the page's statements


def rcd_bounds(results: Results, sigma: str) -> Measured:
    """Least slack of both inequalities over random matrices, with sigma taken after or before normalizing."""
    r = results.random_matrices
    least = {"normalized": r.sigma, "raw": r.raw}[sigma]
    lower = np.maximum(1 - 1 / r.n, (1 - least / r.n) ** 2)
    return {"lower": (r.rcd - lower).min(), "upper": (1 - 2 * least / (r.n * (1 + least)) - r.rcd).min()}


C1a = Claim(
    id="C1a",
    says="RCD: for every positive-definite quadratic with unit diagonal, not the identity, the rate lies strictly "
    "above max{1 − 1/n, (1 − σ/n)²}.",
    criterion="lower > 0",
    reason="least slack of the inequality over random matrices of every rank; proved on the page; rounding is of "
    "order 1e-15",
    measure=rcd_bounds,
    on="normalized",
    control=Control("σ taken before the diagonal is normalized, variables rescaled at random", on="raw"),
    figure="matrices",
    theorem=f"thm-{LABEL}-rcd",
)

C1b = Claim(
    id="C1b",
    says="RCD: for every positive-definite quadratic with unit diagonal, not the identity, the rate lies strictly "
    "below 1 − 2σ/(n(1+σ)).",
    criterion="upper > 0",
    reason="as C1a: least slack over the same matrices, proved on the page",
    measure=rcd_bounds,
    on="normalized",
    control=Control("σ taken before the diagonal is normalized, variables rescaled at random", on="raw"),
    stance="added",
    figure="matrices",
    theorem=f"thm-{LABEL}-rcd",
)


def below_bound(results: Results, method: str) -> Measured:
    """Least ``1 - rate / B`` on the grid."""
    r = results.grid
    rate = {"RPCD": r.rpcd, "RCD": r.rcd}[method]
    return {"slack": (1 - rate / r.bound).min()}


C2a = Claim(
    id="C2a",
    says="RPCD: on every instance of the class, blocks included, the rate of an epoch lies "
    "strictly below B = max{(1 − 1/n)ⁿ, (1 − σ/n)²ⁿ}.",
    criterion="slack > 0",
    reason="slack = least 1 − rate/B on the grid, exact and with no tolerance: at σ = 0.001 and n = 1000 the two "
    "agree to five digits, and rounding is of order 1e-13",
    measure=below_bound,
    on="RPCD",
    control=Control("RCD's rate held against the bound for RPCD", on="RCD"),
    figure="glance",
    theorem=f"thm-{LABEL}-gap",
)


def limits(results: Results, instance: str) -> Measured:
    """Distances from the limits, on the whole matrix or on a block of fixed size among ever more coordinates."""
    r, row = results.limits, INSTANCES.index(instance)
    chosen = r.sigma <= 0.9
    if not chosen.any():
        raise Undecided("sigma_list: needs a σ of at most 0.9")
    return {
        "rpcd": np.abs(r.rpcd[row] - r.rpcd_limit)[chosen].max(),
        "rcd": np.abs(r.rcd[row] - r.rcd_limit)[chosen].max(),
        "ratio": np.abs(r.ratio[row] / (1 + 1 / r.dimensions) - 1).max(),
    }


C2b = Claim(
    id="C2b",
    says="On the class with n → ∞ RPCD's rate tends to (1 − σ)/(1 + σ) and RCD's to exp(−2σ/(1 + σ)); with σ → 0 "
    "an epoch of RPCD is worth 1 + 1/n epochs of RCD.",
    criterion=lambda params: f"rpcd < {4 / params.limit_n:.3g} and rcd < {0.4 / params.limit_n:.3g} and ratio < 1e-3",
    reason="largest distances at the large n for σ ≤ 0.9, at most 3.1/n and 0.27/n there, and of the log-rate ratio at "
    "σ = 1e-5, of order σ",
    measure=limits,
    on="whole",
    control=Control(
        "a block of twenty coordinates (two for σ → 0) among ever more isolated ones: also in the class, other limits",
        on="block",
    ),
    stance="added",
    figure="speedup",
    theorem=f"prop-{LABEL}-limits",
)


def reduction(results: Results, orders: str) -> Measured:
    """Largest distance of the closed forms from sums over orders, and of RCD's from its operator."""
    r = results.reduction
    enumerated = {"all": r.enumerated, "cyclic shifts": r.shifts}[orders]
    return {"error": np.abs(r.rpcd - enumerated).max(), "uniform": np.abs(r.rcd - r.rcd_operator).max()}


C2c = Claim(
    id="C2c",
    says="On the class all n! orders reduce to a 2×2 matrix: its spectral radius is the rate that enumerating the "
    "orders gives.",
    criterion="error < 1e-12 and uniform < 1e-12",
    reason="largest distance of closed form and enumeration for n = 2 to 5, and of RCD's closed form from its "
    "operator; rounding",
    measure=reduction,
    on="all",
    control=Control(
        "the n cyclic shifts of one order instead of all orders, no longer invariant under relabelling",
        on="cyclic shifts",
    ),
    stance="added",
    unseen="a table that the lab prints",
    theorem=f"thm-{LABEL}-rpcd-class",
)


def proofs(results: Results, exponent: str) -> Measured:
    """For which dimensions the bound with this exponent is proved."""
    r = results.certificates
    return {"proved": {"2n": r.proved, "2n + 3": r.too_sharp}[exponent], "largest_n": r.n.max()}


C2d = Claim(
    id="C2d",
    says="For every σ in (0, 1), not only on a grid, RPCD's rate on the class is below B: proved in exact "
    "arithmetic for each n up to the largest tried.",
    criterion="all(proved)",
    reason="Bernstein coefficients of the characteristic polynomial at B, all positive; integers and fractions "
    "only, no tolerance",
    measure=proofs,
    on="2n",
    control=Control("the exponent 2n + 3, whose slope 2 + 3/n at σ = 0 is more than RPCD's 2 + 2/n", on="2n + 3"),
    stance="added",
    unseen="a proof: the lab prints a table of what is proved",
    theorem=f"thm-{LABEL}-gap",
)


def gap(results: Results, order: str) -> Measured:
    """Slack between the bound and RCD, and the least gain in log-rate over RCD, on the grid."""
    r = results.grid
    rate = {"fresh permutations": r.rpcd, "fixed": r.cyclic}[order]
    known = np.isfinite(rate)
    if not (np.isfinite(r.cyclic) & (r.k > 4)).any():
        raise Undecided("n_list: needs a dimension from 5 to 100, where one fixed order can be slower than RCD")
    return {
        "slack": (1 - r.bound / r.rcd).min(),
        "gain": (np.log(rate[known]) / np.log(r.rcd[known])).min() - 1,
    }


C3 = Claim(
    id="C3",
    says="For every individual instance of the class RPCD's upper bound lies strictly below RCD's rate, so that an "
    "epoch of RPCD is always worth more than an epoch of RCD.",
    criterion="slack > 0 and gain > 0",
    reason="slack = least 1 − B/RCD's rate for an epoch, gain = least ratio of log-rates minus one, over the grid; "
    "exact, no tolerance",
    measure=gap,
    on="fresh permutations",
    control=Control("one fixed order in place of fresh permutations", on="fixed"),
    figure="glance",
    theorem=f"thm-{LABEL}-gap",
)


def conjecture(results: Results, worst: str) -> Measured:
    """Largest excess over what is held to be the worst: in the search, on the map, among random matrices."""
    r, search, torus = results.random_matrices, results.search, results.torus
    largest = np.array([float(class_maximum(n, s)) for n, s in zip(r.n, r.sigma, strict=True)])
    held = {"class": (search.maximum, torus.maximum), "simplex": (search.simplex, torus.simplex)}[worst]
    return {
        "searched": (search.best[..., -1] - held[0][..., None]).max(),
        "mapped": (torus.rate.max((1, 2)) - held[1]).max(),
        "random": (r.rpcd - largest).max(),
    }


C4a = Claim(
    id="C4a",
    says="The conjecture is not refuted: no matrix found has a larger RPCD rate than the class's worst with the "
    "same n and σ.",
    criterion="searched <= 1e-9 and mapped <= 1e-9 and random <= 1e-9",
    reason="largest excess over the class maximum in the search, on the map of all 3×3 matrices, and among random "
    "matrices; the tolerance is for rounding",
    measure=conjecture,
    on="class",
    control=Control("the other permutation-invariant matrix, the simplex, held to be the worst", on="simplex"),
    stance="restated",
    changed="The abstract conjectures; a search that finds no counterexample is what can be checked.",
    figure="torus",
    theorem=f"conj-{LABEL}",
)


def reached(results: Results, end: str) -> Measured:
    """How far the best search ends from the class, and whether the searches were what they should be."""
    r = results.search
    best = r.best[..., -1].argmax(-1)[..., None]
    rate, flatness = {
        "search": (
            np.take_along_axis(r.best[..., -1], best, axis=-1)[..., 0],
            np.take_along_axis(r.flatness, best, axis=-1).min(),
        ),
        "simplex": (r.simplex, (1 / (r.n - 1)).min()),
    }[end]
    starts = r.best[..., 0].reshape(-1, r.best.shape[2])
    return {
        "missed": (1 - rate / r.maximum).max(),
        "flatness": flatness,
        "outside": r.outside.max(),
        "distinct": min(len(set(one)) for one in starts.tolist()) == starts.shape[1],
    }


C4b = Claim(
    id="C4b",
    says="The search climbs to the class: from random starts the best of its runs ends, for each n and σ, at a "
    "signed permutation-invariant matrix.",
    criterion="missed <= 0.005 and flatness >= 0.9 and outside < 1e-9 and distinct",
    reason="missed = largest share of the class maximum that the best of the searches falls short of; flatness = its "
    "least |A_ij|/(1 − σ), one exactly on the class; the matrices found have unit diagonal and the σ asked for, and "
    "no two searches begin alike; a single search may end at a smaller block for n ≥ 5",
    measure=reached,
    on="search",
    control=Control("the simplex matrix in place of the search's end", on="simplex"),
    stance="added",
    figure="search",
)


def on_random_matrices(results: Results, order: str) -> Measured:
    """Least gain over RCD and least distance below the bound, over random matrices."""
    r = results.random_matrices
    if r.n.max() < 5:
        raise Undecided("random_n: needs five dimensions, for in fewer a fixed order never loses to RCD either")
    rate = {"fresh permutations": r.rpcd, "cyclic": r.cyclic}[order]
    return {"gain": (1 - rate / r.rcd**r.n).min(), "below": (1 - rate / r.bound).min()}


C5a = Claim(
    id="C5a",
    says="RPCD beats RCD on all positive-definite quadratics: conditional on the conjecture; tested on random "
    "matrices, where it always does.",
    criterion="gain > 0 and below >= 0",
    reason="gain = least 1 − RPCD's rate over RCD's, below = least 1 − RPCD's rate over B; exact for each matrix",
    measure=on_random_matrices,
    on="fresh permutations",
    control=Control("the cyclic order on the same matrices", on="cyclic"),
    stance="restated",
    changed="In the abstract it follows from the conjecture; here it is tried on finitely many matrices.",
    figure="matrices",
    theorem=f"conj-{LABEL}",
)


def on_real_features(results: Results, order: str) -> Measured:
    """Gain over RCD and distance below the bound for each Gram matrix."""
    r = results.real_data
    rate = {"fresh permutations": r.rpcd, "worst kept order": r.once.max(1)}[order]
    return {"gain": 1 - rate / r.rcd, "below": 1 - rate / r.bound}


C5b = Claim(
    id="C5b",
    says="RPCD beats RCD on least squares with real features, centred or not, with and without a ridge.",
    criterion="min(gain) > 0 and min(below) >= 0",
    reason="gain = 1 − RPCD's rate over RCD's, below = 1 − RPCD's rate over B, for each Gram matrix; predicted by "
    "the conjecture and proved for none of them",
    measure=on_real_features,
    on="fresh permutations",
    control=Control("one random order, kept for all epochs: the worst of 200", on="worst kept order"),
    stance="added",
    figure="once",
    theorem=f"conj-{LABEL}",
)


def slopes(results: Results, method: str) -> Measured:
    """Measured slopes of RCD and of the runs that go by the name of RPCD, and their relative errors."""
    r = results.trajectories
    measured = dict(zip(r.names, r.slopes(), strict=True))
    exact = dict(zip(r.names, r.rates, strict=True))

    def error(slope: float, rate: float) -> float:
        return abs(float(np.log(slope) / np.log(rate)) - 1)

    return {
        "rpcd": measured[method],
        "bound": r.bound,
        "rcd": measured["RCD"],
        "error": error(measured[method], exact["RPCD"]),
        "rcd_error": error(measured["RCD"], exact["RCD"]),
    }


C6a = Claim(
    id="C6a",
    says="RPCD outperforms RCD in simulated runs: the measured mean-square slopes lie on either side of B, each at its "
    "exact rate.",
    criterion="rpcd < bound and bound < rcd and error <= 0.12 and rcd_error <= 0.12",
    reason="slopes from epoch 4 on; errors of the log-rates, relative; with few runs a sample mean misses the slow "
    "paths that dominate a second moment, and both slopes come out low",
    measure=slopes,
    on="RPCD",
    control=Control("RCD's runs under the name of RPCD", on="RCD"),
    figure="trajectories",
    theorem=f"thm-{LABEL}-rpcd-class",
)


def typical_runs(results: Results, order: str) -> Measured:
    """Distance from RCD's almost-sure rate in standard errors, and its worth in epochs, for each sigma."""
    r = results.typical
    rate, error = {"fresh permutations": (r.rpcd, r.rpcd_error), "fixed": (r.cyclic, 0 * r.rpcd_error)}[order]
    apart = (np.log(r.rcd) - np.log(rate)) / np.sqrt(r.rcd_error**2 + error**2)
    return {"apart": apart, "speedup": np.log(rate) / np.log(r.rcd)}


C6b = Claim(
    id="C6b",
    says="A typical run of RPCD, too, not only the mean square, contracts faster than a typical run of RCD.",
    criterion="min(apart) > 5",
    reason="apart = distance of the logarithms of the almost-sure rates in standard errors, for each σ; no theorem "
    "here says so",
    measure=typical_runs,
    on="fresh permutations",
    control=Control("one fixed order, whose runs all have one rate", on="fixed"),
    stance="added",
    figure="typical",
)

CLAIMS = (C1a, C1b, C2a, C2b, C2c, C2d, C3, C4a, C4b, C5a, C5b, C6a, C6b)


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    reduction, blocks, certificates = results.reduction, results.blocks, results.certificates
    matrices = results.random_matrices
    search, torus, real, trajectories = results.search, results.torus, results.real_data, results.trajectories
    fixed = np.isfinite(results.grid.cyclic)
    return {
        "random_matrices": len(matrices.n),
        "instances": len(results.grid.n),
        "grid_n": int(results.grid.n.max()),
        "without_square": (1 - matrices.sigma / matrices.n >= matrices.rcd).mean(),
        "cyclic_worst": (np.log(results.grid.rcd) / np.log(results.grid.cyclic))[fixed].max(initial=0),
        "rcd_excess": max(
            float(rate - rcd_rate(n, s)) for n, s, rate in zip(matrices.n, matrices.sigma, matrices.rcd, strict=True)
        ),
        "dynamic_error": max(np.abs(reduction.dynamic - reduction.enumerated).max(), reduction.random_gap),
        "averaged": reduction.averaged,
        "averaged_least": reduction.averaged_least,
        "member": reduction.member,
        "certified_n": int(certificates.n[certificates.proved].max(initial=0)),
        "sharper": bool(certificates.sharper.all()),
        "limit_n": int(results.limits.n),
        "limit_near_one": np.abs(results.limits.rpcd[0] - results.limits.rpcd_limit).max(),
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
        "real": {
            name.replace(", ", "_").replace(" ", "_"): {
                "rpcd": real.rpcd[k],
                "bound": real.bound[k],
                "rcd": real.rcd[k],
                "once": np.median(real.once[k]),
                "once_better": (real.once[k] < real.rpcd[k]).mean(),
                "once_worse_than_rcd": (real.once[k] > real.rcd[k]).mean(),
            }
            for k, name in enumerate(real.names)
        },
        "mc_rates": trajectories.rates,
        "mc_n": trajectories.n,
        "mc_sigma": trajectories.sigma,
        "mc_cyclic_slope": trajectories.slopes()[2],
        "typical_gain_rcd": np.log(results.typical.rcd) / np.log(results.typical.rcd_square),
        "typical_gain_rpcd": np.log(results.typical.rpcd) / np.log(results.typical.rpcd_square),
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
