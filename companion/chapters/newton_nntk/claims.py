"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.analysis.rates import loglog_slope
from companion.chapters.newton_nntk.experiments import METHODS, Results
from companion.chapters.newton_nntk.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

FIXED, VANISHING = 0, 1  # rows of the experiment on convergence
NEWTON, LARGE_LAMBDA, GD, GD_LARGE = range(len(METHODS))


def _wide(widths: np.ndarray) -> None:
    """Refuse to read a trend off widths that hardly differ."""
    if widths[-1] < 4 * widths[0]:
        raise Undecided("map_widths: needs a factor of four between the smallest and the largest")


def _rms(values: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis, the seeds."""
    return np.sqrt((values**2).mean(-1))


def distance(results: Results, method: str) -> Measured:
    """Slope in the width, and value at the largest, of the distance from Newton's limit at a fixed regularization."""
    r = results.convergence
    error = _rms({"Newton": r.error[FIXED], "GD": r.error_gd}[method])
    return {"slope": loglog_slope(r.widths, error), "last": error[-1]}


C1a = Claim(
    id="C1a",
    says="As the width N grows, training by regularized Newton steps follows a deterministic limit equation, driven "
    "by the Newton kernel K(K + MλI)⁻¹: at fixed λ the largest distance over steps and points falls like N^-1/2.",
    criterion="-0.65 <= slope <= -0.35 and last < 0.1",
    reason="concentration of the kernel gives -1/2; groups of four networks gave slopes from -0.57 to -0.44",
    measure=distance,
    on="Newton",
    control=Control("gradient descent on the same networks, against Newton's limit", on="GD"),
    stance="restated",
    changed="the abstract announces explicit rates without naming them; here the exponent 1/2 is measured, and the "
    "page proves it for b = 1/2",
    figure="convergence",
    theorem="thm-newton-nntk-limit",
)


def vanishing(results: Results, limit: str) -> Measured:
    """Distance from a limit at the smallest and the largest width, with the vanishing regularization."""
    r = results.convergence
    error = _rms({"its own": r.error, "ten times": r.error_wrong}[limit][VANISHING])
    return {"first": error[0], "last": error[-1]}


C1b = Claim(
    id="C1b",
    says="The same holds with a regularization that vanishes like λ₀N^-δ, δ < 1/2, if the limit is taken at the "
    "regularization of each width.",
    criterion="last < 0.5 * first and last < 0.15",
    reason="smaller λ magnifies the kernel's noise, so the fall is slower than N^-1/2: about N^-0.35 over twelve "
    "networks, a factor of four from 100 to 6400",
    measure=vanishing,
    on="its own",
    control=Control("the limit at ten times the regularization", on="ten times"),
    figure="glance",
    theorem="thm-newton-nntk-limit",
)


def start_error(results: Results, units: str) -> Measured:
    """Distance from the limit at b = 1/2, for all widths."""
    r = results.scales
    return {"errors": {"independent": r.error_independent, "paired": r.error_paired}[units]}


C1c = Claim(
    id="C1c",
    says="At b = 1/2 the limit is deterministic only if the network starts at zero: with independent units, whose "
    "output at the start stays random, the distance from it does not shrink.",
    criterion="min(errors) > 0.5",
    reason="the output at the start has the variance of the hidden layer's kernel, about 0.8, at every width",
    measure=start_error,
    on="independent",
    control=Control("paired units (c, w), (-c, w), which start at zero", on="paired"),
    stance="added",
    unseen="a row of a table that the lab prints",
    theorem="thm-newton-nntk-limit",
)


def decay(results: Results, method: str) -> Measured:
    """Rate of the loss over the last twenty steps against Newton's limit, and the loss over the theorem's bound."""
    r, row = results.speed, METHODS.index(method)
    loss, limit = r.loss[row], -2 * np.log(r.slowest[NEWTON])
    span = min(20, len(loss) - 1)
    if not loss[-1] > 1e-28:
        raise Undecided("long_steps: the loss has reached rounding")
    tail = (np.abs(r.factor[NEWTON]) ** np.array([[2 * (len(loss) - 1 - span)], [2 * (len(loss) - 1)]])).sum(1)
    if not np.log(tail[0] / tail[1]) / span < 1.03 * limit:
        raise Undecided("long_steps: too few for the slowest frequency to be all that is left")
    return {
        "rate": np.log(loss[-1 - span] / loss[-1]) / span,
        "limit": limit,
        "over_bound": loss[-1] / (loss[0] * np.exp(-limit * (len(loss) - 1))),
    }


C2 = Claim(
    id="C2",
    says="In the limit the network converges to the labels exponentially fast, at a rate of at least "
    "-2 log(1 - ηκ) with κ the Newton kernel's least eigenvalue on the target; a wide network does so at this rate.",
    criterion="abs(rate / limit - 1) < 0.1 and over_bound < 1",
    reason="six further seeds at 6400 units gave rates 0.181 to 0.187 for the limit 0.184",
    measure=decay,
    on="Newton",
    control=Control("gradient descent at 95 % of its largest stable step, against the same rate", on="GD, large step"),
    figure="frequencies",
    theorem="thm-newton-nntk-uniform",
)


def least(results: Results, regularization: str) -> Measured:
    """Least eigenvalue of the finite network's Newton kernel over training, at the largest width, and its limit."""
    r, row = results.convergence, {"fixed": FIXED, "vanishing": VANISHING}[regularization]
    return {"last": r.least[row, -1].min(), "limit": r.least_limit[row, -1]}


C3a = Claim(
    id="C3a",
    says="With a suitable regularization the Newton kernel's eigenvalues stay bounded from below: along the whole "
    "training of the widest networks the least is near μ/(μ + Mλ), a large part of 1.",
    criterion="abs(last / limit - 1) < 0.1 and last > 0.25",
    reason="within two per cent at 6400 units on other seeds; the limit is 0.35 there and 1 in the end",
    measure=least,
    on="vanishing",
    control=Control("a regularization that stays the same at all widths", on="fixed"),
    figure="spectra",
    theorem="thm-newton-nntk-uniform",
)


def uniformity(results: Results, method: str) -> Measured:
    """Slowest over fastest rate among the target's frequencies, and that of the method's limit."""
    r, row = results.speed, METHODS.index(method)
    rates, limit = r.rates()[row], -np.log(np.maximum(np.abs(r.factor[row]), 1e-12))
    descent = -np.log(np.maximum(np.abs(r.factor[GD]), 1e-12))
    if descent.min() > 0.2 * descent.max():
        raise Undecided("target_freqs: gradient descent's speeds differ by less than five, too: no bias to remove")
    return {"ratio": rates.min() / rates.max(), "limit": limit.min() / limit.max()}


C3b = Claim(
    id="C3b",
    says="Newton's method learns all frequencies of the target at speeds of one order; gradient descent's speeds are "
    "proportional to the tangent kernel's eigenvalues.",
    criterion="ratio > 0.25 and abs(ratio / limit - 1) < 0.25",
    reason="0.35 in the limit at this width against gradient descent's 0.03; the spread of finite networks is a few "
    "per cent",
    measure=uniformity,
    on="Newton",
    control=Control("gradient descent, whose own limit it matches", on="GD"),
    stance="restated",
    changed="uniform in the limit λ → 0 only: at a width that can be trained the speeds lie within a factor of three",
    figure="glance",
    theorem="thm-newton-nntk-uniform",
)


def lost(results: Results, along: str) -> Measured:
    """The Newton kernel's least eigenvalue at both ends of a sequence of problems."""
    r = results.spectra
    values = {"frequencies": r.fixed, "widths": r.schedule}[along]
    return {"first": values[0], "last": values[-1]}


C3c = Claim(
    id="C3c",
    says="No fixed regularization is uniform: with more and more frequencies in the data the least eigenvalue of the "
    "Newton kernel tends to zero like the tangent kernel's, so λ has to vanish.",
    criterion="last < 0.01 * first",
    reason="closed form at λ = 0.01, from 8 to 64 points: a factor of ten thousand",
    measure=lost,
    on="frequencies",
    control=Control("the same data for wider and wider networks with λ = λ₀N^-δ", on="widths"),
    stance="added",
    figure="spectra",
    theorem="thm-newton-nntk-uniform",
)


def _decays(results: Results, side: str) -> np.ndarray:
    """Which decays of the map lie within the window, or beyond it."""
    decays = results.regularization.decays
    chosen = {"within": decays < 0.45, "beyond": decays > 0.55}[side]
    if not chosen.any():
        raise Undecided("map_decays: needs values below 0.45 and above 0.55")
    return chosen


def window(results: Results, side: str) -> Measured:
    """The blocks' least eigenvalue over λ_N: worst of all runs and steps; at the start, for both ends of the widths."""
    r, chosen = results.regularization, _decays(results, side)
    _wide(r.widths)
    start = r.first[chosen].min((0, 2))
    return {"worst": r.least[chosen].min(), "start_narrow": start[0], "start_wide": start[-1]}


C4a = Claim(
    id="C4a",
    says="The regularization may vanish as λ_N = λ₀N^-δ for every δ below 1 - b = 1/2: all blocks B_i + λ_N I stay "
    "positive definite during training, by a margin that grows with the width.",
    criterion="worst > -1 and start_wide > start_narrow",
    reason="the least eigenvalue over λ_N is at the start a constant times N^(δ - 1/2), and below -1 the block is "
    "indefinite; constants matter, with λ₀ = 0.6 and δ = 0.4 it is -0.8 at 100 units",
    measure=window,
    on="within",
    control=Control("δ above 1/2, at the start already", on="beyond"),
    stance="restated",
    changed="the abstract announces a scaling formula without giving it; the window is derived here",
    figure="window",
    theorem="prop-newton-nntk-window",
)


def beyond(results: Results, curvature: str) -> Measured:
    """Distance from the limit at the largest width, for every decay beyond the window: least over the seeds."""
    r, chosen = results.regularization, _decays(results, "beyond")
    if r.first[chosen, -1].max() > -1:
        raise Undecided("lam0: so large that the Hessian is definite beyond the window, too, at these widths")
    return {"errors": {"Gauss-Newton": r.error_gauss, "Newton": r.error}[curvature][chosen, -1].min(-1)}


C4b = Claim(
    id="C4b",
    says="Beyond the window it is the indefinite part of the Hessian that breaks training: without it, with Gauss and "
    "Newton's matrix and the same tiny regularization, the runs stay on the limit.",
    criterion="max(errors) < 0.3",
    reason="0.02 to 0.15 with Gauss and Newton's matrix; above 0.5 for each of dozens of runs with the full Hessian",
    measure=beyond,
    on="Gauss-Newton",
    control=Control("the full Hessian from the same starts", on="Newton"),
    stance="added",
    figure="window",
)


def spectrum_of_hessian(results: Results, side: str) -> Measured:
    """Least eigenvalue of the whole Hessian over λ_N, worst of the steps, and its negative eigenvalues."""
    r, run = results.definiteness, {"within": 0, "beyond": 1}[side]
    if r.eigenvalues[1, 0, 0] > -r.lam[1]:
        raise Undecided("lam0: so large that the Hessian is definite beyond the window, too, at dense_width")
    return {
        "ratio": (r.eigenvalues[run, :, 0] / r.lam[run]).min(),
        "negative": (r.eigenvalues[run] < 0).sum(-1).min(),
        "proved": r.width - r.M,
    }


C5 = Claim(
    id="C5",
    says="The Hessian is indefinite, with at least N - M negative eigenvalues, and yet the regularized Hessian stays "
    "positive definite during training.",
    criterion="-1 < ratio < 0 and negative >= proved",
    reason="below -1 the regularized Hessian is indefinite; the count is proved on the page",
    measure=spectrum_of_hessian,
    on="within",
    control=Control("the regularization λ₀N^-0.8, beyond the window", on="beyond"),
    figure="hessian",
    theorem="prop-newton-nntk-window",
)


def moves(results: Results, scale: str) -> Measured:
    """Exponents in the width of the largest update and of the largest displacement, and their distance from b - 1."""
    r = results.scales
    _wide(r.widths)
    chosen = slice(0, -1) if scale == "b < 1" else slice(-1, None)
    update, displacement = (loglog_slope(r.widths, values[chosen]) for values in (r.update, r.displacement))
    gap = np.abs(np.stack([update, displacement]) - (r.b[chosen] - 1)).max()
    return {"update": update, "displacement": displacement, "gap": gap}


C6a = Claim(
    id="C6a",
    says="Newton's updates of a unit, and its whole displacement, tend to zero as the network widens, like N^(b - 1).",
    criterion="max(update) < -0.1 and max(displacement) < -0.1 and gap < 0.12",
    reason="exponents b - 1 of the theorem; over twelve networks within 0.04",
    measure=moves,
    on="b < 1",
    control=Control("the mean-field scale b = 1, where units move at every width", on="b = 1"),
    figure="lazy",
    theorem="thm-newton-nntk-limit",
)


def linear(results: Results, scale: str) -> Measured:
    """Exponents in the width of the distance between network and linearization after training."""
    r = results.scales
    _wide(r.widths)
    chosen = slice(0, -1) if scale == "b < 1" else slice(-1, None)
    return {"slope": loglog_slope(r.widths, r.nonlinearity[chosen])}


C6b = Claim(
    id="C6b",
    says="The trained network is the linearization at its start: the distance between the two falls with the width.",
    criterion="max(slope) < -0.4",
    reason="the theorem gives b - 1 at most in size; paired units do better, -0.65 for b = 3/4 and more below",
    measure=linear,
    on="b < 1",
    control=Control("the mean-field scale b = 1, where the network is never linear", on="b = 1"),
    figure="lazy",
    theorem="thm-newton-nntk-limit",
)


def fast_part(results: Results, method: str) -> Measured:
    """What is left of the target's highest frequency after the steps, and what gradient descent's large step leaves."""
    r = results.speed
    left = r.left[:, r.steps, -1]
    return {"left": left[METHODS.index(method)], "gd": left[GD_LARGE]}


C7 = Claim(
    id="C7",
    says="Newton's method fits high frequencies faster than gradient descent, also than one at 95 % of its largest "
    "stable step.",
    criterion="left < 0.5 * gd",
    reason="share of the highest frequency left after the same steps: 0.11 against 0.35 in the limit",
    measure=fast_part,
    on="Newton",
    control=Control("Newton's method with λ = 10, far above the tangent kernel's eigenvalues", on="Newton, λ = 10"),
    figure="frequencies",
    theorem="thm-newton-nntk-uniform",
)


def trade(results: Results, problem: str) -> Measured:
    """Newton's smallest error between the points over gradient descent's, each at its best step."""
    r = results.noise
    errors = {"slow and noisy": r.noisy, "fast and clean": r.clean}[problem].min(1)
    return {"ratio": errors[0] / errors[1]}


C8 = Claim(
    id="C8",
    says="Uniform speed has a price: noise on the labels is fitted as fast as the signal, and for a slow function with "
    "noisy labels gradient descent, stopped early, comes closer to the truth.",
    criterion="ratio > 1.2",
    reason="exact expectation in the limit: one shrinkage of all frequencies against a filter of the low ones",
    measure=trade,
    on="slow and noisy",
    control=Control("a fast function without noise, where uniform speed wins", on="fast and clean"),
    stance="added",
    figure="noise",
)

CLAIMS = (C1a, C1b, C1c, C2, C3a, C3b, C3c, C4a, C4b, C5, C6a, C6b, C7, C8)


def _quantities(results: Results) -> dict[str, object]:
    """What the page quotes beside the claims."""
    r, s, g = results.convergence, results.speed, results.regularization
    rows = {"newton": NEWTON, "gd": GD}
    return {
        "slope_vanishing": loglog_slope(r.widths, _rms(r.error[VANISHING])),
        "width": s.width,
        "freqs": s.freqs,
        "rates": {name: s.rates()[row] for name, row in rows.items()},
        "limits": {name: -np.log(np.maximum(np.abs(s.factor[row]), 1e-12)) for name, row in rows.items()},
        "constant": -(g.first * g.widths[:, None] ** (0.5 - g.decays[:, None, None])).min(),
        "noise": {"newton": results.noise.noisy.min(1)[0], "gd": results.noise.noisy.min(1)[1]},
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
