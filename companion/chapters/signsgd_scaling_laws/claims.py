"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.chapters.signsgd_scaling_laws.equations import FEATURES, RESIDUAL, SGD, SIGN
from companion.chapters.signsgd_scaling_laws.experiments import NOISY, QUIET, SKETCHED, Results
from companion.chapters.signsgd_scaling_laws.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "signsgd-scaling-laws"  # ends the labels of the page's statements


def obeyed(results: Results, method: str) -> Measured:
    """Least and largest ratio of simulated to predicted risk where features decay slowly, over the whole run."""
    r = results.races
    ratio = {"signSGD": r.ratio[SIGN.name], "SGD": r.mistaken}[method][0]
    return {"least": ratio.min(), "largest": ratio.max()}


C1a = Claim(
    id="C1a",
    says="The risk of one-pass signSGD is a function of model size, steps, step size and the two decays: simulated "
    "runs follow the risk equation from the first steps to the floor, at α = 0.4, β = 0.3.",
    criterion="0.95 <= least and largest <= 1.05",
    reason="least and largest ratio of the mean simulated risk to the equation's at logarithmically spaced times; "
    "1 % over seeds; for α > 1/2 the equation lags, see C1d",
    measure=obeyed,
    on="signSGD",
    control=Control("runs of SGD on the same samples, held against signSGD's equation", on="SGD"),
    stance="restated",
    changed="The paper's formula was not at hand; the equation is derived on the page.",
    figure="races",
    theorem=f"thm-{LABEL}-equations",
)


def approximation(results: Results, features: str) -> Measured:
    """Largest distance of the fitted exponents of the least risk from the predicted ones."""
    r = results.terms
    slopes = r.approximation_slopes({"random": "sketched", "largest coordinates": "kept"}[features])
    return {"error": np.abs(slopes - r.approximation_theory).max()}


C1b = Claim(
    id="C1b",
    says="The approximation term depends on M alone and falls with the exponent 2α − max(0, 1 − 2β).",
    criterion="error <= 0.05",
    reason="largest distance of the exponent fitted over widths 256 to 65536 from the predicted one, at six points of "
    "the plane; 0.02 from corrections to the power law at α = 0.4",
    measure=approximation,
    on="random",
    control=Control("the M largest coordinates in place of M random features: right for β < 1/2, wrong beyond",
                    on="largest coordinates"),
    stance="restated",
    changed="The abstract announces the dependence; the exponent is derived here.",
    figure="terms",
    theorem=f"prop-{LABEL}-terms",
)  # fmt: skip


def noise_sum(results: Results, features: str) -> Measured:
    """Largest distance of the noise sum's fitted exponents in M from the predicted ones."""
    r = results.terms
    return {"error": np.abs(r.noise_slopes(features) - r.noise_theory).max()}


C1c = Claim(
    id="C1c",
    says="The noise term is γ² times a power of M, with the exponent 2 − min(1, 2α).",
    criterion="error <= 0.15",
    reason="largest distance of the exponent of (Σ √K_ii)², fitted over sampled widths 16 to 128, from the predicted "
    "one; 0.09 at α = 0.4, where the trace is not yet a power of M",
    measure=noise_sum,
    on="signed",
    control=Control("the trace that takes its place where features keep their size", on="plain"),
    stance="restated",
    changed="The abstract announces the dependence; the exponent is derived here.",
    figure="terms",
    theorem=f"prop-{LABEL}-floors",
)


def transient(results: Results, drift: str) -> Measured:
    """Largest relative distance of simulated from predicted risk where features decay fast."""
    r = results.races
    ratio = {"arcsine": r.arcsine_ratio, "linear": r.ratio[SIGN.name]}[drift][1:]
    return {"worst": np.abs(ratio - 1).max()}


C1d = Claim(
    id="C1d",
    says="Where features decay fast, the risk equation lags behind the runs because it replaces arcsin x by x; with "
    "the exact drift of the mean it follows them.",
    criterion="worst <= 0.2",
    reason="largest distance from one of the ratio of simulated to predicted risk over two points with α = 1 and all "
    "times; some 10 % of sampling noise and of fluctuations treated linearly",
    measure=transient,
    on="arcsine",
    control=Control("the equation with the linear drift, same runs", on="linear"),
    stance="added",
    figure="arcsine",
)


def drift(results: Results, method: str) -> Measured:
    """Largest relative distance of the drift's exponents from those of a normalized drift."""
    r = results.drifts
    return {"error": np.abs(r.equation[method] / r.normalized - 1).max(), "exponents": r.equation[method]}


C2a = Claim(
    id="C2a",
    says="Drift normalization: before noise and approximation are felt, signSGD's risk falls with the exponent "
    "2p/(2 − p) in N, where SGD's falls with p.",
    criterion="error <= 0.1",
    reason="relative distance at two points, fitted to the equation at a great width and a tiny step size; a few "
    "percent because the power law of the spectrum begins at j = 1",
    measure=drift,
    on=SIGN.name,
    control=Control("the sign of the features only: preconditioned all the same, but not normalized",
                    on=FEATURES.name),
    figure="drifts",
    theorem=f"prop-{LABEL}-drift",
)  # fmt: skip


def faster(results: Results, method: str) -> Measured:
    """Mean exponent of simulated runs over SGD's on the same samples."""
    r = results.drifts
    if not np.isfinite(r.simulated[method]).all() or not np.isfinite(r.simulated[SGD.name]).all():
        raise Undecided("drift_N: too few steps, or drift_gamma too large, for the risk to fall to a fiftieth")
    return {"times": r.simulated[method].mean() / r.simulated[SGD.name].mean()}


C2b = Claim(
    id="C2b",
    says="In simulated runs, too, signSGD's risk falls with a larger power of N than SGD's.",
    criterion="times > 1.25",
    reason="mean exponent over sketches, over SGD's, while the risk falls from a fifth to a fiftieth of its start; "
    "5/3 in theory, less at this width",
    measure=faster,
    on=SIGN.name,
    control=Control("the sign of the features only", on=FEATURES.name),
    figure="drifts",
    theorem=f"prop-{LABEL}-drift",
)


def floors(results: Results, method: str) -> Measured:
    """How much halving the step size lowers the late risk at α = 1, and the error of the closed form at α = 0.4."""
    r = results.floors
    measured, closed = r.measured[method], r.closed[method]
    return {
        "fall": measured[1, 1] / measured[1, 0],
        "error": np.abs(measured[0] / closed[0] - 1).max(),
    }


C3a = Claim(
    id="C3a",
    says="signSGD's noise does not scale with the risk: its floor is the closed form, and where noise dominates, "
    "halving the step size lowers the late risk by a multiple of what SGD gains.",
    criterion="fall > 1.5 and error < 0.08",
    reason="fall = risk at floor_gamma over that at half of it, at α = 1; 2.6 by the closed form for M = 64; error = "
    "largest of the closed form at α = 0.4 over three step sizes",
    measure=floors,
    on=SIGN.name,
    control=Control("SGD, its step size halved from a tenth of the largest stable one", on=SGD.name),
    figure="floors",
    theorem=f"prop-{LABEL}-floors",
)


def tail(results: Results, features: str) -> Measured:
    """Exponent of the noise spectrum's tail, and its level."""
    r = results.spectra
    return {"exponent": r.tail(features), "level": r.signed[len(r.index) // 4 :].mean() if features == "signed"
            else r.plain[len(r.index) // 4 :].mean()}  # fmt: skip


C3b = Claim(
    id="C3b",
    says="Noise reshaping: the noise of signed features is spread evenly over the tail of the spectrum, at the level "
    "1 − 2/π, where plain features put it in proportion to the eigenvalues.",
    criterion="abs(exponent) < 0.5 and 0.3 < level < 0.45",
    reason="exponent in 1/j over the middle half of the modes at α = 1, zero in theory against 2; level = mean beyond "
    "the first quarter",
    measure=tail,
    on="signed",
    control=Control("plain features: the eigenvalues themselves", on="plain"),
    figure="spectra",
)


def exponents(results: Results, method: str) -> Measured:
    """Largest distance of the far slopes from those predicted for signSGD, over the points outside phase IV."""
    r = results.frontiers
    known = (2 * r.points[:, 0] > 1) | (2 * r.points[:, 1] < 1)
    error = np.abs(r.slope[method][:, 1] - r.predicted[:, 1])[known]
    return {"error": error.max(), "interior": bool(r.interior.all())}


C4 = Claim(
    id="C4",
    says="With the step size chosen optimally the compute-optimal risk of signSGD is a power law, with an explicit "
    "exponent in each phase of the plane.",
    criterion="error <= 0.04 and interior",
    reason="largest distance over eight points of the slope over the last four decades of compute from the table's; "
    "0.02 from corrections that vanish slowly; interior = no optimum at the edge of a grid",
    measure=exponents,
    on=SIGN.name,
    control=Control("SGD's slopes held against signSGD's exponents", on=SGD.name),
    stance="restated",
    changed="The paper's exponents were not at hand; the table is derived here from the terms of the risk.",
    figure="frontiers",
    theorem=f"prop-{LABEL}-frontier",
)


def steeper(results: Results, region: str) -> Measured:
    """Slope of signSGD's frontier less SGD's: least in the far window, and sums in both."""
    r = results.frontiers
    rows = r.rows({"phase III": NOISY, "phases I and II": QUIET}[region])
    gap = (r.slope[SIGN.name] - r.slope[SGD.name])[rows]
    return {"gap": gap[:, 1], "near": gap[:, 0].sum(), "far": gap[:, 1].sum()}


C5a = Claim(
    id="C5a",
    says="Where noise is dominant (phase III) signSGD's compute-optimal slope is steeper than SGD's.",
    criterion="min(gap) > 0.01 and far > near",
    reason="gap = difference of the slopes over the last four decades at four points, predicted 0.033 to 0.123; near "
    "and far are the sums of the gaps before f = 1e9 and in the last four decades: they grow towards the prediction",
    measure=steeper,
    on="phase III",
    control=Control("phases I and II, where the exponents agree", on="phases I and II"),
    figure="glance",
    theorem=f"prop-{LABEL}-frontier",
)


def attributed(results: Results, method: str) -> Measured:
    """How much steeper than SGD's the frontier of one half of signSGD is in phase III, as a share of signSGD's gain."""
    r = results.frontiers
    rows = r.rows(NOISY)
    gap = (r.slope[method] - r.slope[SGD.name])[rows, 1]
    whole = (r.slope[SIGN.name] - r.slope[SGD.name])[rows, 1]
    return {"share": gap.sum() / whole.sum() if whole.sum() > 0 else np.nan, "gap": gap}


C5b = Claim(
    id="C5b",
    says="The steeper slope comes with the sign of the residual, which normalizes the drift and frees the noise of "
    "the risk; the sign of the features, which flattens the noise, is not needed for it.",
    criterion="share > 0.7",
    reason="share = sum over phase III of the gains in slope over SGD, over signSGD's",
    measure=attributed,
    on=RESIDUAL.name,
    control=Control("the sign of the features only", on=FEATURES.name),
    stance="added",
    figure="halves",
    theorem=f"thm-{LABEL}-equations",
)


def sharpened(results: Results, decay: str) -> Measured:
    """Gain in slope of WSD on sampled sketches, and the ratio of the risks at the largest budget."""
    r = results.schedules
    row = {"fast": 0, "slow": 1}[decay]
    ratio = r.sketched_risk[row, 1] / r.sketched_risk[row, 0]
    return {"gain": r.sketched_gain[row], "ratio": ratio[-1]}


C6a = Claim(
    id="C6a",
    says="A warmup-stable-decay schedule sharpens the compute-optimal slope when feature decay is fast and target "
    "decay slow (α = 1, β = 0.3).",
    criterion="gain > 0.025 and ratio < 0.85",
    reason="gain in slope over the best constant step size on sampled sketches, f from 1e3 to 5e4, and ratio of the "
    "risks at the end; 0.06 and 0.7 over seeds",
    measure=sharpened,
    on="fast",
    control=Control("slow feature decay (α = 0.4, β = 0.3)", on="slow"),
    stance="restated",
    changed="Over this range of compute; further out the gain vanishes (C6b). There is no warm-up: theory needs none.",
    figure="schedules",
)


def lasting(results: Results, point: str) -> Measured:
    """Share of the gain in slope that is left in the far window."""
    r = results.schedules
    row = {"(1, 0.3)": 0, "(0.6, 1.4)": 2}[point]
    near, far = r.gain[row]
    return {"left": far / near if near > 0 else np.nan, "near": near, "far": far}


C6b = Claim(
    id="C6b",
    says="For slow target decay the gain is one of finite compute: further out decay lowers the risk by a constant "
    "factor, and the slope is that of a constant step size.",
    criterion="left < 0.4 and near > 0.01",
    reason="left = gain in slope over the last four decades over that before f = 1e9, by the deterministic "
    "equivalent; the prediction is none",
    measure=lasting,
    on="(1, 0.3)",
    control=Control("α = 0.6, β = 1.4, where the exponents with and without decay differ", on="(0.6, 1.4)"),
    stance="added",
    figure="schedules",
    theorem=f"rem-{LABEL}-speed",
)


def quieter(results: Results, decay: str) -> Measured:
    """Final risk of simulated runs with a decaying over that with a constant step size, mean over sketches."""
    r = results.schedules
    row = SKETCHED.index({"fast": (1.0, 0.3), "slow": (0.4, 0.3)}[decay])
    return {"ratio": r.simulated[row].mean(), "equation": r.simulated_equation[row].mean()}


C6c = Claim(
    id="C6c",
    says="The decay of the step size takes away noise: runs with fast feature decay end at a fraction of the risk "
    "that the same constant step size leaves.",
    criterion="ratio < 0.67",
    reason="ratio of final risks, 0.4 to 0.5 by the equation at this width and step size",
    measure=quieter,
    on="fast",
    control=Control("slow feature decay, where the floor sits in modes too slow to follow the decay", on="slow"),
    figure="schedules",
)

C7 = Claim(
    id="C7",
    says="Adam's drift is normalized like signSGD's: its simulated risk falls with a larger power of N than SGD's.",
    criterion="times > 1.25",
    reason="as C2b, with β₁ = 0.9, β₂ = 0.99 and signSGD's step size",
    measure=faster,
    on="Adam",
    control=Control("the sign of the features only", on=FEATURES.name),
    stance="added",
    figure="drifts",
)

CLAIMS = (C1a, C1b, C1c, C1d, C2a, C2b, C3a, C3b, C4, C5a, C5b, C6a, C6b, C6c, C7)


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    frontiers, schedules, drifts, plane = results.frontiers, results.schedules, results.drifts, results.plane
    ratio = frontiers.risk[SIGN.name] / frontiers.risk[SGD.name]
    known = np.isfinite(plane.predicted)

    def crossing(point: tuple[float, float]) -> float:
        """Compute beyond which signSGD's risk is the smaller, as a decimal logarithm; NaN if it never is."""
        row = ratio[frontiers.rows((point,))[0]]
        return np.interp(0, -np.log(row), np.log10(frontiers.compute), left=np.nan, right=np.nan)

    return {
        "slopes": {
            f"{alpha:g}_{beta:g}".replace(".", ""): {
                "sgd": frontiers.slope[SGD.name][row],
                "sign": frontiers.slope[SIGN.name][row],
                "sgd_theory": frontiers.predicted[row, 0],
                "sign_theory": frontiers.predicted[row, 1],
                "ratio": ratio[row, [0, -1]],
            }
            for row, (alpha, beta) in enumerate(frontiers.points)
        },
        "crossing": {"steep": crossing((0.6, 1.1)), "middle": crossing((0.75, 1.25))},
        "wsd": {
            f"{alpha:g}_{beta:g}".replace(".", ""): {
                "near": schedules.gain[row, 0],
                "far": schedules.gain[row, 1],
                "first": schedules.ratio[row, 0],
                "last": schedules.ratio[row, -1],
            }
            for row, (alpha, beta) in enumerate(schedules.points)
        },
        "drift": {name.replace(" ", "_"): values.mean() for name, values in drifts.simulated.items()},
        "drift_equation": {name.replace(" ", "_"): values for name, values in drifts.equation.items()},
        "races": {
            name.replace(" ", "_"): np.stack([ratio.min(1), ratio.max(1)], -1)
            for name, ratio in results.races.ratio.items()
        },
        "plane_error": np.abs(plane.measured - plane.predicted)[known].max(),
        "floor_closed": results.floors.measured[SIGN.name][1] / results.floors.closed[SIGN.name][1],
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
