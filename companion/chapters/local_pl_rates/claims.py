"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.chapters.local_pl_rates import rates
from companion.chapters.local_pl_rates.experiments import Results
from companion.chapters.local_pl_rates.experiments.networks import GOAL, MOST_WEIGHTS, NEAR, START, STEPS
from companion.chapters.local_pl_rates.experiments.noise import Limits, Noisy, Paths
from companion.chapters.local_pl_rates.experiments.valleys import LANDSCAPES, Descent, Momentum
from companion.chapters.local_pl_rates.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "local-pl-rates"  # ends the labels of the page's statements


def _enough_steps(r: Descent | Limits | Noisy | Paths | Momentum) -> None:
    if r.needed > r.allowed:
        raise Undecided(f"n_steps: {r.allowed} are too few for the slowest of these rates, which needs {r.needed:.0f}")


# --- geometry -------------------------------------------------------------------------------------------------------


def morse_bott(results: Results, landscape: str) -> Measured:
    """Zeros of the Hessian on the minimizers, its least other eigenvalue, and the PL constant close to them."""
    r, row = results.geometry, LANDSCAPES.index(landscape)
    zeros = (np.abs(r.eigenvalues[row]) < 1e-8).sum(-1)
    return {
        "zeros": [int(zeros.min()), int(zeros.max())],
        "dimension": r.dimension,
        "tangent": r.tangent[row],
        "least": np.abs(r.eigenvalues[row])[:, r.dimension].min() / r.mu,
        "constant": r.constant[row, -1] / r.mu,
    }


C1a = Claim(
    id="C1a",
    says="Local PL read geometrically: on the minimizers the kernel of the Hessian is the tangent space of their "
    "manifold, and the best PL constant near them is the least eigenvalue on the normal space.",
    criterion="min(zeros) == dimension and max(zeros) == dimension and tangent < 1e-8 and abs(least - 1) < 1e-6 and "
    "0.97 < constant < 1.02",
    reason="zeros of the Hessian at 20 minimizers, largest |H t| over tangents, least other eigenvalue and PL "
    "constant, both over μ; in the thinnest shell the constant is 0.994 μ, and a sample comes near it from above",
    measure=morse_bott,
    on="valley",
    control=Control(
        "the quartic valley: the same minimizers, the Hessian zero there, no PL inequality", on="quartic valley"
    ),
    stance="added",
    figure="geometry",
    theorem=f"prop-{LABEL}-geometry",
)


def flat_directions(results: Results, place: str) -> Measured:
    """The Hessian of networks: its P - N smallest eigenvalues over mu, and the others over those of J J^T / N."""
    r = results.networks
    if not r.hessian.size:
        raise Undecided(f"width: the Hessian is made of networks with at most {MOST_WEIGHTS} weights")
    n, chosen = r.kernel.shape[1], _trained(results)[: len(r.kernel)]
    if not chosen.any():
        raise Undecided(f"train_steps: in so many none of the first networks came below a loss of {GOAL:g}")
    spectrum = r.hessian[("limit", "start").index(place)][chosen]
    return {
        "flat": np.abs(spectrum[:, :-n]).max(),
        "matched": np.abs(spectrum[:, -n:] / r.kernel[chosen] - 1).max(),
        "flat_directions": spectrum.shape[1] - n,
    }


C1b = Claim(
    id="C1b",
    says="The limit of an over-parameterized network is such a minimizer: its Hessian has one positive eigenvalue for "
    "each sample, those of the tangent kernel, and is zero in all other directions.",
    criterion="flat < 0.01 and matched < 0.01",
    reason="largest of the other eigenvalues in units of the least positive one, and largest relative distance of the "
    "N largest from those of JJᵀ/N; both of the order of the residuals, 1e-5 here",
    measure=flat_directions,
    on="limit",
    control=Control("the same networks at their random start, no minimizer", on="start"),
    stance="added",
    figure="geometry",
    theorem=f"prop-{LABEL}-geometry",
)


# --- gradient descent -----------------------------------------------------------------------------------------------


def gd_rates(results: Results, theory: str) -> Measured:
    """Measured rates over the step size against a prediction, and the place of the best."""
    r = results.descent
    _enough_steps(r)
    expected = {"quadratic": r.predicted, "textbook": r.textbook}[theory]
    cell = r.lr[1] - r.lr[0]
    return {
        "error": np.abs(r.valley - expected).max(),
        "bowl": np.abs(r.valley - r.bowl).max(),
        "best": r.valley.min(),
        "cells": abs(r.lr[r.valley.argmin()] - r.lr[expected.argmin()]) / cell,
    }


C2a = Claim(
    id="C2a",
    says="GD on a non-convex valley has the asymptotic rate of the strongly convex quadratic with the same normal "
    "spectrum, at every constant step size below 2/L.",
    criterion="error < 0.01 and bowl < 0.01 and cells < 1.5",
    reason="error = largest distance of the measured factor of f from max (1 − γλ)², bowl = from that of the quadratic "
    "itself; cells = distance of the best step from the predicted one on the grid; seen up to 0.004",
    measure=gd_rates,
    on="quadratic",
    control=Control("the factor of the textbook's proof, 1 − 2γμ(1 − γL/2)", on="textbook"),
    figure="glance",
    theorem=f"thm-{LABEL}-rate",
)


def steadiness(results: Results, landscape: str) -> Measured:
    """Decrease of log f per step in the second half of a run over that in the quarter before."""
    decay = np.log(results.descent.decay[LANDSCAPES.index(landscape)])
    end = int(0.8 * (len(decay) - 1))
    if end < 8:
        raise Undecided("n_steps: too few to see whether the decrease is steady")
    quarter, half = end // 4, end // 2
    late, early = (decay[half] - decay[end]) / (end - half), (decay[quarter] - decay[half]) / (half - quarter)
    return {"steady": (late / early).min()}


C2b = Claim(
    id="C2b",
    says="Under local PL the decrease of log f per step is steady. A manifold of minimizers is not enough for that.",
    criterion="steady > 0.8",
    reason="decrease per step in the second half of a run over that in the quarter before: 1 for a linear rate, "
    "about 1/2 for a power of the number of steps",
    measure=steadiness,
    on="valley",
    control=Control("the quartic valley, with the same minimizers and without PL", on="quartic valley"),
    stance="added",
    figure="geometry",
    theorem=f"thm-{LABEL}-rate",
)


def local_spectrum(results: Results, place: str) -> Measured:
    """Root mean squares of measured less predicted rates in the winding valley."""
    r = results.limits
    _enough_steps(r)
    expected = {"limit": r.at_limit, "start": r.at_start}[place]
    gd, sgd = np.sqrt(((r.measured - expected) ** 2).mean(1))
    return {"gd": gd, "sgd": sgd, "drift": np.abs(r.drift).max()}


C2c = Claim(
    id="C2c",
    says="Where the normal Hessian changes along the valley, its spectrum at the limit sets the rate of GD and SGD.",
    criterion="gd < 0.005 and sgd < 0.005",
    reason="root mean squares of the distance of the measured factors from theory at each run's own limit; for SGD "
    "about 0.002, of the size of a path's fluctuations",
    measure=local_spectrum,
    on="limit",
    control=Control("the spectrum at the start, from which the runs drift away", on="start"),
    stance="added",
    figure="limits",
    theorem=f"thm-{LABEL}-rate",
)


# --- multiplicative noise -------------------------------------------------------------------------------------------


def sgd_rates(results: Results, theory: str) -> Measured:
    """Largest distances of the measured rates of SGD from a prediction, on the valley and on the quadratic."""
    r = results.noisy
    _enough_steps(r)
    expected = {"quadratic": r.predicted, "textbook": r.textbook}[theory]
    return {
        "error": np.abs(r.valley - expected).max(),
        "bowl": np.abs(r.bowl - expected).max(),
        "tangential": np.abs(r.tangential - r.noiseless[:, 0]).max(),
    }


C3a = Claim(
    id="C3a",
    says="SGD under multiplicative noise has the rate of the strongly convex quadratic, too: with the noise where it "
    "is worst, the measured factor is on both max over λ of (1 − γλ)² + γ²σλ/2.",
    criterion="error < 0.01 and bowl < 0.01 and tangential < 0.01",
    reason="largest distances over noise levels and three step sizes, the noise in the worse of two eigenspaces; a "
    "path's factor is lower by at most 0.5/m_block of the rate; noise along the valley leaves the rate of GD",
    measure=sgd_rates,
    on="quadratic",
    control=Control("the factor of the textbook's proof with noise", on="textbook"),
    figure="noise",
    theorem=f"thm-{LABEL}-rate",
)


def vanishing(results: Results, noise: str) -> Measured:
    """Measured fall of log f in the second half of a run over what the mean square predicts."""
    r = results.paths
    _enough_steps(r)
    decay = r.decay[("multiplicative", "additive").index(noise)]
    end, half = len(decay) - 1, len(decay) // 2
    return {"share": float(np.log(decay[half] / decay[end]).mean() / (half - end) / np.log(r.mean_square))}


C3b = Claim(
    id="C3b",
    says="Noise that vanishes with f − f* leaves the rate linear to the end; noise that does not vanish stops it.",
    criterion="abs(share - 1) < 0.1",
    reason="measured decrease of log f in the second half of the run over that of the predicted rate; 0.02 over seeds",
    measure=vanishing,
    on="multiplicative",
    control=Control("additive noise of second moment 1e-6", on="additive"),
    stance="added",
    figure="paths",
    theorem=f"thm-{LABEL}-rate",
)


def worst_covariance(results: Results, noise: str) -> Measured:
    """Exact rates of random quadratics against the largest over single eigendirections."""
    r = results.covariances
    reached = {"one eigendirection": r.concentrated, "spread evenly": r.even}[noise]
    return {"excess": r.excess.max(), "missed": np.abs(reached).max()}


C4a = Claim(
    id="C4a",
    says="The rate cannot be improved: quadratics attain it, with all noise in one eigendirection, and no other "
    "covariance of the noise is worse.",
    criterion="excess < 1e-9 and missed < 1e-9",
    reason="Perron roots of the second moments' recursion, exact; excess = largest over random covariances, missed = "
    "distance of the concentrated ones from the rate; proved on the page",
    measure=worst_covariance,
    on="one eigendirection",
    control=Control("the same noise spread evenly over the eigendirections", on="spread evenly"),
    stance="added",
    figure="noise",
    theorem=f"thm-{LABEL}-sharp",
)


def best_step(results: Results, step: str) -> Measured:
    """Rates at a step against the numerical minimum, and how far the rates of three L are apart under large noise."""
    r = results.optimum
    rate = {"optimal step": r.at_step, "balanced step": r.at_balanced}[step]
    noisy = r.sigma > rates.critical_noise(r.mu, r.L.max())
    return {
        "excess": np.abs(rate - r.found).max(),
        "formula": np.abs(rate - r.best).max(),
        "spread": np.ptp(rate[:, noisy], axis=0).max(),
    }


C4b = Claim(
    id="C4b",
    says="The best constant step is 2/(μ + L + σ/2) while σ ≤ 2(L − μ), and 2/(2μ + σ) beyond, where the best rate "
    "σ/(2μ + σ) does not depend on L.",
    criterion="excess < 1e-6 and formula < 1e-9 and spread < 1e-9",
    reason="rate at that step less the numerical minimum over steps, and less the closed form; spread = of the rates "
    "of three L at noise beyond the kinks of all",
    measure=best_step,
    on="optimal step",
    control=Control("2/(μ + L + σ/2), which makes both ends equally slow, at every noise level", on="balanced step"),
    stance="added",
    figure="optimum",
    theorem=f"thm-{LABEL}-step",
)


def jensen(results: Results, noise: str) -> Measured:
    """How far the factor along paths lies below that of the mean square, and from its own closed form."""
    r, place = results.paths, {"one direction": 0, "large eigenspace": -1}[noise]
    if r.predicted[0] < 1e-6:
        raise Undecided("sigma: at this noise a path in one direction can hit the minimizer in one step")
    if 1 - np.log(r.mean_square) / np.log(r.predicted[0]) < 0.15:
        raise Undecided("sigma: so little noise that paths and mean square hardly differ")
    return {
        "below": 1 - np.log(r.mean_square) / np.log(r.measured[place]),
        "error": abs(np.log(r.measured[place]) / np.log(r.predicted[place]) - 1),
    }


C4c = Claim(
    id="C4c",
    says="Along a path the factor is smaller than that of the mean square if the noise has one direction; the two "
    "agree in an eigenspace of large dimension.",
    criterion="below > 0.1 and error < 0.05",
    reason="below = share of a path's log-rate that the mean square hides, 0.55 at the default parameters; error = "
    "relative distance of the log-rate from the mean of the logarithms",
    measure=jensen,
    on="one direction",
    control=Control("noise in the eigenspace of dimension m_block", on="large eigenspace"),
    stance="added",
    figure="paths",
    theorem=f"prop-{LABEL}-path",
)


# --- networks -------------------------------------------------------------------------------------------------------


def _trained(results: Results) -> np.ndarray:
    r = results.networks
    trained = (r.start <= START) & (r.limit <= GOAL)
    if not trained.any():
        raise Undecided(f"train_steps: in so many no network came below a loss of {GOAL:g}")
    return trained


def network_noise(results: Results, kind: str) -> Measured:
    """Gradient noise over what is left of the loss, in units of its bound, and decades by which the noise falls."""
    trained = _trained(results)
    one = {"over-parameterized": results.networks.over, "under-parameterized": results.networks.under}[kind]
    chosen = trained if kind == "over-parameterized" else np.ones(one.gap.shape[1], dtype=bool)
    gap, noise = one.gap[:, chosen], one.noise[:, chosen]
    ratio = np.where(gap < NEAR, noise / gap, np.nan) / one.bound[chosen]
    if np.isnan(ratio).all():
        raise Undecided("train_steps: in so many no loss came near enough to its limit")
    return {
        "ratio": np.nanmax(ratio),
        "decades": np.log10(noise[0] / noise[-1]).min(),
        "networks": int(chosen.sum()),
    }


C5a = Claim(
    id="C5a",
    says="The noise model is that of over-parameterized networks: near interpolation the variance of a single sample's "
    "gradient stays below a multiple of the loss that is left.",
    criterion="ratio <= 1.05 and decades > 6",
    reason="ratio = largest E|ξ|²/(f − f*) below f − f* = 1e-3, in units of the bound 2 max |∇r|², at most one; the "
    "bound is taken at the limit, where the gradients differ by a few percent from those; decades = least fall of the "
    "noise along training, about as many as f falls",
    measure=network_noise,
    on="over-parameterized",
    control=Control("networks of width 2 on 30 samples, which cannot interpolate", on="under-parameterized"),
    figure="networks",
    theorem=f"prop-{LABEL}-batch",
)


def gd_on_networks(results: Results, kernel: str) -> Measured:
    """Log-decrease of networks over that of the linear recursion, for three step sizes: largest distance from one."""
    chosen, r = _trained(results), results.networks
    return _off({"limit": r.gd, "start": r.gd_initial}[kernel][:, chosen])


def _off(ratio: np.ndarray) -> Measured:
    if np.isnan(ratio).all():
        raise Undecided("net_steps: the losses fall too fast for a window of some steps")
    return {"error": np.nanmax(np.abs(ratio - 1)), "least": np.nanmin(np.abs(ratio - 1))}


C5b = Claim(
    id="C5b",
    says="GD on over-parameterized networks ends at the rate of a quadratic: the loss falls as under the linear "
    "recursion with the tangent kernel at the limit.",
    criterion="error < 0.02",
    reason=f"ratio of log-decreases at the steps {', '.join(STEPS)}, largest distance from one over networks; of the "
    "order of the residuals, 1e-4 here",
    measure=gd_on_networks,
    on="limit",
    control=Control("the recursion with the kernel at the random start", on="start"),
    stance="added",
    figure="networks",
    theorem=f"prop-{LABEL}-batch",
)


def sgd_on_networks(results: Results, kernel: str) -> Measured:
    """The same for SGD, the recursion driven by the same samples."""
    chosen, r = _trained(results), results.networks
    return _off({"limit": r.sgd, "start": r.sgd_initial}[kernel][:, chosen])


C5c = Claim(
    id="C5c",
    says="So does SGD on them: sample by sample the loss falls as under the linear recursion with the kernel at the "
    "limit.",
    criterion="error < 0.05",
    reason="ratio of log-decreases on the same samples, largest distance from one over networks and batch sizes; seen "
    "up to 0.016",
    measure=sgd_on_networks,
    on="limit",
    control=Control("the recursion with the kernel at the random start, on the same samples", on="start"),
    stance="added",
    figure="networks",
    theorem=f"prop-{LABEL}-batch",
)


# --- an extension ---------------------------------------------------------------------------------------------------


def with_momentum(results: Results, method: str) -> Measured:
    """Measured rates over the momentum against those of the quadratic; the best, and its distance from the optimum."""
    r = results.momentum
    _enough_steps(r)
    if np.isinf(r.plain_measured):
        raise Undecided(f"n_steps: {r.allowed} are too few for gradient descent at any step size")
    measured = {"heavy ball": r.measured, "GD": np.full_like(r.measured, r.plain_measured)}[method]
    return {
        "error": np.abs(measured - r.predicted).max(),
        "best": measured.min(),
        "optimum": r.optimum,
    }


C6 = Claim(
    id="C6",
    says="Heavy ball on the same valley has the local rate of the quadratic, too: at best ((√κ − 1)/(√κ + 1))² for f, "
    "where GD has ((κ − 1)/(κ + 1))².",
    criterion="error < 0.03 and abs(best - optimum) < 0.03",
    reason="largest distance of the measured factor from that of the quadratic over the momentum; at the optimum the "
    "double root makes f fall like n² βⁿ, which a finite window shows as up to 0.025",
    measure=with_momentum,
    on="heavy ball",
    control=Control("gradient descent at its best step", on="GD"),
    stance="added",
    figure="momentum",
    theorem=f"prop-{LABEL}-momentum",
)

CLAIMS = (C1a, C1b, C2a, C2b, C2c, C3a, C3b, C4a, C4b, C4c, C5a, C5b, C5c, C6)


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    r, gd, paths, networks = results.noisy, results.descent, results.paths, results.networks
    return {
        "sigma": r.sigma,
        "kink": rates.critical_noise(r.mu, r.L),
        "best_step": rates.optimal_step(r.mu, r.L, r.sigma),
        "noisy": {
            f"s{k}": {
                "predicted": r.predicted[k],
                "valley": r.valley[k],
                "bowl": r.bowl[k],
                "textbook_best": rates.textbook_optimum(r.mu, r.L, r.sigma[k]),
                "isotropic": r.isotropic[k],
                "isotropic_predicted": r.isotropic_predicted[k],
                "tangential": r.tangential[k],
                "noiseless": r.noiseless[k, 0],
            }
            for k in range(len(r.sigma))
        },
        "gd_best": {"rate": gd.valley.min(), "step": gd.lr[gd.valley.argmin()]},
        "unstable": gd.unstable,
        "inside": results.geometry.inside[0],
        "constants": results.geometry.constant,
        "path": {"measured": paths.measured, "predicted": paths.predicted, "mean_square": paths.mean_square},
        "trained": int(((networks.start <= START) & (networks.limit <= GOAL)).sum()),
        "condition": [networks.condition.min(), networks.condition.max()],
        "initial_median": {
            "gd": np.nanmedian(np.abs(networks.gd_initial - 1)),
            "sgd": np.nanmedian(np.abs(networks.sgd_initial - 1)),
        },
        "momentum_best": results.momentum.measured.min(),
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
