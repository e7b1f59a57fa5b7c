"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.chapters.perturbed_deep_matrix_factorization.counts import PIECES
from companion.chapters.perturbed_deep_matrix_factorization.experiments import Results
from companion.chapters.perturbed_deep_matrix_factorization.experiments.matrices import LEARNED
from companion.chapters.perturbed_deep_matrix_factorization.experiments.noiseless import METHODS
from companion.chapters.perturbed_deep_matrix_factorization.experiments.noisy import ABOVE, TAIL
from companion.chapters.perturbed_deep_matrix_factorization.noise import denoising
from companion.chapters.perturbed_deep_matrix_factorization.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "perturbed-deep-matrix-factorization"  # ends the labels of the page's statements
SPECTRAL = "spectral descent, which replaces each gradient by its polar factor"


def _row(method: str) -> int:
    return list(METHODS).index(method)


def sandwich(results: Results, bounds: str) -> Measured:
    """Cases of the grid outside the bounds, and how far the bounds are apart."""
    r = results.counts
    lower, upper = {"bounds": (r.lower, r.upper), "plain flow": (r.uncapped, r.unlagged)}[bounds]
    return {"below": (r.k < lower).sum(), "above": (r.k > upper).sum(), "cases": len(r.k)}


C0 = Claim(
    id="C0",
    says="The number of iterations that one eigenvalue needs lies between two closed forms, at every step size.",
    criterion="below == 0 and above == 0 and cases >= 20",
    reason="cases of a grid of eigenvalues, starts, levels and steps outside the bounds; a theorem, so none",
    measure=sandwich,
    on="bounds",
    control=Control(
        "the flow's time alone: to the level itself below, and without the factor for the lag above", on="plain flow"
    ),
    stance="added",
    figure="counts",
    theorem=f"thm-{LABEL}-count",
)


def promised_phases(results: Results, method: str) -> Measured:
    """Of the targets for which the condition holds: how many have no phase, or one that is shorter than promised."""
    r, row = results.phases, _row(method)
    promised = (r.begin < r.end) & np.isfinite(r.end)
    if not promised.any():
        raise Undecided("starts: none of the targets has a promised phase with an end; smaller ones are needed")
    T0, T1 = r.T0[row][promised], r.T1[row][promised]
    return {
        "promised": promised.sum(),
        "empty": (T0 >= T1).sum(),
        "shorter": ((r.begin[promised] < T0) | (r.end[promised] > T1)).sum(),
    }


C1a = Claim(
    id="C1a",
    says="Without noise: wherever the spectral condition holds, gradient descent has a nonempty low-rank phase, which "
    "contains the interval that the theorem promises.",
    criterion="empty == 0 and shorter == 0",
    reason="over targets with the eigenvalues 1 and λ₂, starts and depths; a theorem, so no exception",
    measure=promised_phases,
    on="GD",
    control=Control(SPECTRAL, on="SpecGD"),
    stance="restated",
    changed="The paper's own conditions were not at hand; these are ours, with constants proved on the page.",
    figure="map",
    theorem=f"thm-{LABEL}-phase",
)


def levers(results: Results, method: str) -> Measured:
    """Largest second eigenvalue that leaves a phase, at the ends of the ranges of start and step."""
    r = results.maps
    by_start, by_step = r.thresholds(method)
    return {
        "small_start": by_start[:, 0].min(),
        "large_start": by_start[:, -1].max(),
        "small_step": by_step[0],
        "large_step": by_step[-1],
        "largest": r.seconds[-1],
    }


C1b = Claim(
    id="C1b",
    says="Spectrum, start and step together decide whether there is a phase: each of them alone can destroy it.",
    criterion="large_start < small_start - 0.1 and large_step < small_step - 0.1 and small_step < largest",
    reason="largest second eigenvalue with a phase, at the smallest and the largest start of each depth and, for two "
    "factors, at the smallest and the largest step; at the smallest step there are eigenvalues without, and at the "
    "largest, beyond twice that without overshoot, the first one is not stable",
    measure=levers,
    on="GD",
    control=Control(f"{SPECTRAL}: nothing to destroy, whatever is changed", on="SpecGD"),
    figure="map",
    theorem=f"thm-{LABEL}-phase",
)


def small_starts(results: Results, method: str) -> Measured:
    """Distance of ``T1 / T0`` from its limit at the smallest start."""
    r = results.limits
    if r.remainder.max() > 0.01:
        raise Undecided("limit_steps: too few for starts at which the ratio is near its limit")
    ratio = r.ratio[_row(method), :, -1]
    return {"error": np.abs(ratio / r.limit - 1).max(), "ratio": ratio}


C1c = Claim(
    id="C1c",
    says="As the start shrinks any gap suffices, at the largest step too: T₁/T₀ tends to λ_r/λ_{r+1} for three factors "
    "and more, and to log(1+ηλ_r)/log(1+ηλ_{r+1}) for two.",
    criterion="error < 0.04",
    reason="relative distance from the limit at the smallest start, for λ = (1, ½); what is left is of order 10/460 "
    "for two factors, whose counts grow like the start's logarithm, and below 0.01 for more",
    measure=small_starts,
    on="GD",
    control=Control(SPECTRAL, on="SpecGD"),
    stance="added",
    figure="limits",
    theorem=f"prop-{LABEL}-limit",
)


def _half(results: Results) -> None:
    if not len(results.limit.sizes):
        raise Undecided("noise_list: needs a norm of at most half of the least eigenvalue of the target")


def convergence(results: Results, step: str) -> Measured:
    """Distance from the limit, largest increase of a distance, and decay below zero against its bound."""
    _half(results)
    r = results.limit
    row = r.steps.index(step)
    top = r.target[0]
    power = (1 + r.sizes[-1] / top) ** (2 - 2 / r.depths.min())
    if ABOVE * power < 2.05:
        raise Undecided("noise_list: too small to make a difference to the step, relative to the largest eigenvalue")
    return {"error": r.error[row].max(), "increase": r.increase[row].max(), "decay": r.decay[row].max()}


C2a = Claim(
    id="C2a",
    says="Perturbed gradient descent converges: at a step that suits λ₁ + e every eigenvalue goes monotonically to the "
    "positive part of the noisy target's.",
    criterion="error < 1e-8 and increase < 1e-12 and decay < 1 + 1e-9",
    reason="error: of the eigenvalues to be learned after the run, rounding; increase: of any eigenvalue's distance "
    "from its limit in any iteration, none by the theorem; decay: of those below zero over their proved bound",
    measure=convergence,
    on="step for the noisy target",
    control=Control(
        "1.95 of the step that suits λ₁, below the limit of stability without noise", on="step for the target alone"
    ),
    figure="steps",
    theorem=f"thm-{LABEL}-recovery",
)


def admissible(results: Results, step: str) -> Measured:
    """Errors after the run without noise and with the largest of the noises."""
    measured = convergence(results, step)
    r = results.limit
    row = r.steps.index(step)
    return {"clean": r.clean[row].max(), "noisy": r.error[row][:, -1, -1].min(), "largest": measured["error"]}


C2b = Claim(
    id="C2b",
    says="Noise lowers the admissible step: a step at which gradient descent converges for the target alone fails for "
    "the noisy one.",
    criterion="clean < 1e-8 and noisy > 0.01",
    reason="clean, noisy = distance from the limit after the same number of iterations; the noise lifts λ₁ by its norm",
    measure=admissible,
    on="step for the target alone",
    control=Control("a step for the noisy target", on="step for the noisy target"),
    stance="added",
    figure="steps",
    theorem=f"prop-{LABEL}-step",
)


def slowdown(results: Results, method: str) -> Measured:
    """Iterations with noise over those without, against the flow's times and against the bound."""
    _half(results)
    r, target = results.passages, results.recovery.target
    chosen = r.sizes <= target[-1] / 2
    learned, clean = {"GD": (r.learned, r.clean), "SpecGD": (r.spectral_learned, r.spectral_clean)}[method]
    ratio = learned[:, chosen] / clean[:, None, None]
    flow, values = r.flow_ratio[:, chosen], results.spectra.values[chosen][..., : len(target)]
    if r.clean.min() < 20:
        raise Undecided("start: the runs are too short to compare numbers of iterations")
    if np.log(flow).max() < 0.1:
        raise Undecided("noise_list: too small to slow anything down")
    bound = (target / values) ** (2 - 2 / r.depths[:, None, None, None])
    excess = (ratio - bound) * clean[:, None, None]
    x, y = np.log(flow).ravel(), np.log(ratio).ravel()
    return {
        "slope": (x * y).sum() / (x * x).sum(),
        "off": np.abs(ratio / flow - 1).max(),
        "excess": excess[bound >= 1].max(),
    }


C2c = Claim(
    id="C2c",
    says="Noise changes the number of iterations as it changes the eigenvalue: nearly by λ/λ̂, and, but for an "
    "iteration or two, never by more than (λ/λ̂)^(2−2/N).",
    criterion="0.9 <= slope <= 1.1 and off < 0.12 and excess <= 2",
    reason="slope, off: of the ratio of iterations against the flow's ratio of times, on logarithms and at most; "
    "iterations are whole and lag behind the flow; excess: iterations beyond the bound for the flow",
    measure=slowdown,
    on="GD",
    control=Control(f"{SPECTRAL}: smaller eigenvalues are learned first", on="SpecGD"),
    stance="restated",
    changed="The paper's bound on iterations was not at hand; the law and its constants are ours.",
    figure="slowdown",
    theorem=f"prop-{LABEL}-slowdown",
)


def recovered(results: Results, target: str) -> Measured:
    """Largest error of an eigenvalue at the end of a run, over the norm of the noise."""
    _half(results)
    r = results.limit
    if r.products[0, 0, 0] > r.sizes.min():  # a zero eigenvalue comes down from there, and for N >= 3 ever more slowly
        raise Undecided("start: above some norm of noise_list, so that what should vanish is not yet within that norm")
    ratio = np.abs(r.final - r.target) / r.sizes[:, None, None]
    return {"ratio": {"positive": ratio, "one below zero": r.indefinite}[target].max()}


C3a = Claim(
    id="C3a",
    says="Eigenvalues are recovered up to the norm of the noise, all n of them, and no better bound holds for every "
    "noise.",
    criterion="0.999 <= ratio <= 1 + 1e-9",
    reason="largest |dᵢᴺ − λᵢ|/e at the end of the runs; at most one by Weyl's inequality, and one for the noise that "
    "lifts the largest eigenvalue",
    measure=recovered,
    on="positive",
    control=Control("a target with one eigenvalue below zero, which equal starts cannot learn", on="one below zero"),
    stance="restated",
    changed="The paper's bound was not at hand; this is the one that Weyl's inequality gives.",
    figure="recovery",
    theorem=f"thm-{LABEL}-recovery",
)


def mean_shift(results: Results, noise: str) -> Measured:
    """Mean shift of the learned eigenvalues over the prediction for large matrices, at the largest such noise."""
    r = results.recovery
    chosen = np.flatnonzero(r.sizes <= r.target[-1])
    if not len(chosen):
        raise Undecided("noise_list: needs a norm of at most the least eigenvalue of the target")
    at = chosen[-1]
    if (r.error[at] > 0.15 * r.predicted[at]).any():
        raise Undecided("draws: too few, or noise_list too small, for a mean shift to stand out")
    shift = {"Gaussian": r.mean, "worst": r.worst}[noise][at]
    return {"ratio": shift / r.predicted[at]}


C3b = Claim(
    id="C3b",
    says="Gaussian noise of norm e moves the learned eigenvalues only by about e²/4λ on average, second order in e.",
    criterion="0.5 < min(ratio) and max(ratio) < 1.6",
    reason="mean shift over its limit for large matrices, for each eigenvalue, at the largest norm up to λ_r; matrices "
    "of a finite size are off by a power n^(−2/3), some ten percent",
    measure=mean_shift,
    on="Gaussian",
    control=Control("the noise of the same norm that is worst for the gap", on="worst"),
    stance="added",
    figure="recovery",
)


def persistence(results: Results, method: str) -> Measured:
    """Of the noisy targets for which the condition holds: how many have no phase, or a shorter one than promised."""
    r, row = results.passages, _row(method)
    promised = (r.begin < r.end) & np.isfinite(r.end)
    if not promised.any():
        raise Undecided("noise_list: none of these norms has a promised phase with an end; below delta it has none")
    T0, T1 = r.T0[row][promised], r.T1[row][promised]
    begin, end = r.begin[promised][:, None], r.end[promised][:, None]
    return {"promised": T0.size, "empty": (T0 >= T1).sum(), "shorter": ((begin < T0) | (end > T1)).sum()}


C4a = Claim(
    id="C4a",
    says="The low-rank phase persists under perturbation: where the condition on spectrum, start, step and norm of "
    "the noise holds, every noise of that norm leaves a phase that contains the promised interval.",
    criterion="empty == 0 and shorter == 0",
    reason="over draws of the noise, the worst noise, norms and depths; a theorem, so no exception",
    measure=persistence,
    on="GD",
    control=Control(SPECTRAL, on="SpecGD"),
    figure="glance",
    theorem=f"thm-{LABEL}-persistence",
)


def dependence(results: Results, target: str) -> Measured:
    """Exponent of the end of the phase in the norm of the noise, and whether its mean length falls with the norm."""
    r = results.passages
    ends = {"low rank": r.T1[0, ..., :-1], "a tail": r.tail_end}[target].mean(-1)
    usable = np.isfinite(ends).all(0) & r.clear
    if usable.sum() < 3:
        raise Undecided("noise_list: needs three norms that are large enough, against delta, to end the phase")
    if r.sizes[usable][0] > TAIL * results.recovery.target[-1] / 2:
        raise Undecided("noise_list: needs a norm well below the next eigenvalue of the target with a tail")
    if r.T1[0][:, usable].min() < 8:
        raise Undecided("start: too large, the phase ends within a few iterations")
    slopes = np.polyfit(np.log(r.sizes[usable]), np.log(np.maximum(ends[:, usable], 1)).T, 1)[0]
    usable &= r.sizes <= results.recovery.target[-1]  # beyond, it is noise that is learned first
    lengths = ends[:, usable] - r.T0[0, ..., :-1].mean(-1)[:, usable]
    return {"least": slopes.min(), "largest": slopes.max(), "falls": bool((np.diff(lengths) < 0).all())}


C4b = Claim(
    id="C4b",
    says="The phase depends on the noise explicitly: for a target of exact low rank its end is inversely proportional "
    "to the norm of the noise, and its mean length falls as the norm grows up to the least eigenvalue.",
    criterion="-1.15 <= least and largest <= -0.9 and falls",
    reason="exponents of T₁ in e for each depth; minus one, up to a logarithm for two factors and whole iterations",
    measure=dependence,
    on="low rank",
    control=Control(
        "a target whose next eigenvalue is not zero: there it is λ_{r+1} + e that counts, not e", on="a tail"
    ),
    stance="restated",
    changed="The paper's dependence on the noise was not at hand; this is the one that is proved on the page.",
    figure="length",
    theorem=f"thm-{LABEL}-persistence",
)


def endured(results: Results, noise: str) -> Measured:
    """Largest norm, over the least eigenvalue, up to which the phase exists at a very small start."""
    if results.threshold.remainder.max() > 0.15:
        raise Undecided("limit_steps: too few for starts that are small enough")
    return {"last": results.threshold.last(noise)}


C4c = Claim(
    id="C4c",
    says="At small starts the phase survives every noise of norm below half the gap, (λ_r − λ_{r+1})/2, and no larger "
    "norm is safe.",
    criterion="0.4 <= min(last) and max(last) < 0.5",
    reason="largest norm over the gap with a phase, for each depth, on a grid of spacing 0.05; a half by the theorem",
    measure=endured,
    on="worst",
    control=Control("Gaussian noise of the same norm", on="Gaussian"),
    stance="added",
    figure="threshold",
    theorem=f"prop-{LABEL}-worst",
)

C4d = Claim(
    id="C4d",
    says="Gaussian noise is kinder than the worst: the phase survives norms well above half the gap in every draw.",
    criterion="min(last) >= 0.75",
    reason="largest norm over the gap with a phase; half as much again as the worst noise allows, where the prediction "
    "for large matrices is two",
    measure=endured,
    on="Gaussian",
    control=Control("the worst noise of the same norm", on="worst"),
    stance="added",
    figure="threshold",
)


def stopped(results: Results, method: str) -> Measured:
    """Error in the middle of the phase and least error of the run, over the error of the limit, and the prediction."""
    r, p, row = results.paths, results.passages, _row(method)
    T0, T1 = (t[row][:, r.chosen[1], :-1] for t in (p.T0, p.T1))
    if not (np.isfinite(T0) & np.isfinite(T1)).all():
        raise Undecided("noise_list: its second norm is too small or too large for a phase with an end")
    if (p.T1[0][:, r.chosen[1], :-1] <= p.T0[0][:, r.chosen[1], :-1]).any():
        raise Undecided("start: too large for a phase at the second norm of noise_list")
    n, rank = results.spectra.values.shape[-1], len(results.recovery.target)
    predicted = denoising(n, rank)
    if predicted > 0.6 or 4 * r.sizes[1] > results.recovery.target[-1]:
        raise Undecided("n: too small for early stopping to remove noise, or the second norm of noise_list too large")
    middle, error = np.sqrt(T0 * T1), r.error[row][:, :, 1] / r.final[1]
    at = np.abs(r.iterations[row][:, :, None] - middle[:, None]).argmin(1)
    ratio = np.take_along_axis(error, at[:, None], axis=1)[:, 0].mean(-1)
    return {"stopped": ratio, "best": error.min(1).mean(-1), "predicted": predicted}


C4e = Claim(
    id="C4e",
    says="Stopping inside the phase removes noise: the error is near 2√(r/n) of the error at convergence, as small as "
    "at any time.",
    criterion="max(stopped) < 1.2 * predicted and min(stopped) > 0.8 * predicted and max(best) < 1.2 * predicted",
    reason="error in the middle of the phase, least error of the run; both over that of the limit, means for each "
    "depth; predicted to first order in Gaussian noise, for the matrices' size",
    measure=stopped,
    on="GD",
    control=Control(f"{SPECTRAL}, stopped likewise, and at its best", on="SpecGD"),
    stance="added",
    figure="denoise",
)


def exact(results: Results, start: str) -> Measured:
    """Largest entry of the difference between full matrices and the recursion, and how far the run went."""
    r = results.reduction
    if r.moved.min() < 0.1:
        raise Undecided("matrix_steps: too few for a run to leave its start")
    return {"error": r.error[("equal", "Gaussian").index(start)].max(), "moved": r.moved.min()}


C5a = Claim(
    id="C5a",
    says="The experiments support the theory: gradient descent on full factors from equal starts is the recursion for "
    "the eigenvalues, with noise too.",
    criterion="error < 1e-10 and moved > 0.1",
    reason="error: largest entry of the difference of products along a run, rounding; moved: how far the run goes",
    measure=exact,
    on="equal",
    control=Control("Gaussian factors of the same size at the start", on="Gaussian"),
    unseen="two computations of the same numbers",
    theorem=f"prop-{LABEL}-reduction",
)


def plateau(results: Results, start: str) -> Measured:
    """Last over first iteration of the stretch with the target's nuclear rank, in every run; the least error."""
    r, target = results.gaussian, results.gaussian.target
    row = ("small", "large").index(start)
    if (r.singular[0, ..., len(target) - 1].max(1) < LEARNED * target[-1]).any():
        raise Undecided("matrix_steps: too few to learn all eigenvalues of the target")
    if 4 * r.noise > target[-1]:
        raise Undecided("matrix_noise: too large beside the least eigenvalue of the target")
    if 1 - (1 - len(target) / r.n) ** 2 > 0.4:
        raise Undecided("matrix_n: too small for the rank to leave much noise out")
    return {"plateau": r.plateau()[row].min(), "error": r.error[row].min(1).max()}


C5b = Claim(
    id="C5b",
    says="Beyond the theorems: from small Gaussian factors, too, full gradient descent on a noisy target rests at the "
    "target's rank for a while.",
    criterion="plateau >= 1.3 and error < 0.7",
    reason="last over first iteration with the r-th eigenvalue learned and nuclear rank within a tenth of the "
    "target's, in the worst run; error: the least of the run over that of the noisy target; no theorem says so",
    measure=plateau,
    on="small",
    control=Control("the same random numbers at a start of size 0.3", on="large"),
    stance="added",
    figure="gaussian",
)

CLAIMS = (C0, C1a, C1b, C1c, C2a, C2b, C2c, C3a, C3b, C4a, C4b, C4c, C4d, C4e, C5a, C5b)


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    c, m, p, r = results.counts, results.maps, results.passages, results.paths
    stable, half = m.steps <= 1, c.step == c.step.min()
    with np.errstate(invalid="ignore"):  # neither begins nor ends, where both are infinite
        lengths = p.T1[0] - p.T0[0]
    measured = results.phases.T0[0] < results.phases.T1[0]
    return {
        "apart": np.median(c.upper[half] / np.maximum(c.lower[half], 1)),
        "targets": measured.size,
        "without_promise": int(measured.sum() - (results.phases.begin < results.phases.end).sum()),
        "map": {
            "measured_step": m.thresholds("GD")[1][stable][[0, -1]],
            "promised_step": m.promised_by_step[stable][[0, -1]],
        },
        "sizes": p.sizes,
        "lengths": lengths[..., :-1].mean(-1),
        "begin": p.begin,
        "end": p.end,
        "T0": p.T0[0, ..., :-1].mean(-1),
        "T1": p.T1[0, ..., :-1].mean(-1),
        "oracle": (r.truncated[1] / r.final[1]).mean(),
        "pieces": PIECES,
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
