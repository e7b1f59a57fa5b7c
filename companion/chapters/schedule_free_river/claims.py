"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.chapters.schedule_free_river.experiments import Results
from companion.chapters.schedule_free_river.experiments.networks import RULES
from companion.chapters.schedule_free_river.experiments.storage import KEEPERS
from companion.chapters.schedule_free_river.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "schedule-free-river"  # ends the labels of the page's statements
LAST = 5  # looks at the sharpness that are averaged
LEAST_STEPS = 400  # of a language model before its losses say something


def _worth_a_look(results: Results) -> None:
    if results.language.steps[-1] < LEAST_STEPS:
        raise Undecided(f"steps: the language models need at least {LEAST_STEPS} steps, decay phase included")


def gains(results: Results, method: str) -> Measured:
    """What a decay phase and a running average gain at the largest rate, and the dip between iterates; over starts."""
    _worth_a_look(results)
    r, k = results.language, {"AdamW": 0, "SF-AdamW": 1}[method]
    segment = r.side_segment[k]
    return {
        "decay": (r.side[k] - r.side_decayed[k]).mean(),
        "average": (r.side[k] - r.side_average[k]).mean(),
        "dip": (segment[:, [0, -1]].min(1) - segment.min(1)).mean(),
    }


C1 = Claim(
    id="C1",
    says="At a constant rate, the largest tried, AdamW shows its progress only after a decay phase, or after averaging "
    "with one more copy of the weights: both lower its loss.",
    criterion="decay > 0.01 and average > 0.01",
    reason="loss of the iterates minus that after the decay, and minus that of the running average, in nats, mean over "
    "starts; AdamW gains .03 to .06, Schedule-Free none",
    measure=gains,
    on="AdamW",
    control=Control("Schedule-Free with the largest β, at the same rate on the same windows", on="SF-AdamW"),
    figure="glance",
)

C2a = Claim(
    id="C2a",
    says="SF-AdamW with the largest β follows the river without decay phase and without averaging: neither lowers the "
    "loss of what it returns.",
    criterion="decay < 0.01 and average < 0.01",
    reason="the same hundredth of a nat that C1 asks for; of the decay phases, at every rate tried, the best is taken",
    measure=gains,
    on="SF-AdamW",
    control=Control("AdamW at the same constant rate", on="AdamW"),
    figure="glance",
)

C2b = Claim(
    id="C2b",
    says="Between two checkpoints of SF-AdamW with the largest β the loss does not dip below both ends: they lie on "
    "the floor of one valley, not on its two sides.",
    criterion="dip < 0.0075",
    reason="least loss at the ends minus least loss on the segment between them, mean over starts; at most .005, "
    "AdamW's is .015 to .06",
    measure=gains,
    on="SF-AdamW",
    control=Control("AdamW at the same constant rate, whose iterates lie on the valley's walls", on="AdamW"),
    stance="added",
    figure="segment",
)


def averages(results: Results, weights: str) -> Measured:
    """Distance of x from an average of the gradient points, and of the momentum form from the definition."""
    r = results.identities
    distance = {"α": r.weighted, "uniform": r.uniform}[weights]
    return {"distance": distance.max(), "momentum": r.momentum.max(), "total": np.abs(r.total - 1).max()}


C3a = Claim(
    id="C3a",
    says="Schedule-Free averages weights implicitly: what it returns is a weighted average of the points where its "
    "gradients were taken, and the update is one with momentum.",
    criterion="distance < 1e-10 and momentum < 1e-10 and total < 1e-10",
    reason="identities, proved on the page; distances relative to the size of x, so only rounding",
    measure=averages,
    on="α",
    control=Control("the plain average of the same points", on="uniform"),
    figure="weights",
    theorem=f"prop-{LABEL}-averaging",
)


def kept(results: Results, keeper: str) -> Measured:
    """Numbers kept for each weight beside it."""
    return {"numbers": results.storage.numbers[KEEPERS.index(keeper)], "adamw": results.storage.numbers[0]}


C3b = Claim(
    id="C3b",
    says="This averaging needs no memory beyond AdamW's: two numbers for each weight.",
    criterion="numbers <= adamw",
    reason="counted in the state of the two optimizers after a step",
    measure=kept,
    on="refined SF-AdamW",
    control=Control("AdamW with a running average of its weights", on="AdamW and an average"),
    unseen="a table that the lab prints",
)


def threshold(results: Results, limit: str) -> Measured:
    """Growth just below and just above a threshold, over the betas."""
    r = results.thresholds
    below, above = {"2 / ((1 − β)γ)": (r.below, r.above), "2 / γ": (r.gd_below, r.gd_above)}[limit]
    return {"below": below.max(), "above": above.min()}


C4a = Claim(
    id="C4a",
    says="On a quadratic the iterates of Schedule-Free gradient descent converge below the curvature 2/((1−β)γ) and "
    "diverge above it.",
    criterion="below < 0 < above",
    reason="growth of log₁₀ of the iterates over the second half of the run, 3 % below and above; proved on the page",
    measure=threshold,
    on="2 / ((1 − β)γ)",
    control=Control("gradient descent's threshold 2/γ", on="2 / γ"),
    figure="stability",
    theorem=f"thm-{LABEL}-threshold",
)


def powers(results: Results, law: str) -> Measured:
    """Largest distance of fitted powers of t from the theorem's."""
    r = results.thresholds
    exponent = {"C": r.power_C, "1 / (1 − β)": 1 / (1 - r.power_beta)}[law]
    return {"x": np.abs(r.x_power + exponent).max(), "y": np.abs(r.y_power + exponent + 1).max()}


C4b = Claim(
    id="C4b",
    says="Below the threshold x converges like t^(−C) and y like t^(−C−1): the constant of the refined method decides, "
    "not β.",
    criterion="x < 0.2 and y < 0.2",
    reason="largest distance of fitted exponents from the theorem's; corrections are of order 1/t, at most .12 here",
    measure=powers,
    on="C",
    control=Control("the original's exponent 1/(1−β), whatever C", on="1 / (1 − β)"),
    stance="added",
    unseen="a table that the lab prints",
    theorem=f"thm-{LABEL}-threshold",
)


def frozen(results: Results, condition: str) -> Measured:
    """Random cases in which a condition and the spectral radius of the step disagree."""
    r = results.thresholds
    return {"wrong": {"with c": r.frozen_wrong, "2 / γ": r.frozen_wrong_gd}[condition], "cases": r.frozen_cases}


C4c = Claim(
    id="C4c",
    says="While the averaging coefficient c is not small yet, a step is stable if and only if "
    "γλ(2(1−β) + c(2β−1)) < 4 − 2c: early steps can blow up below the threshold.",
    criterion="wrong == 0",
    reason="exact on random cases against the spectral radius of the step; proved on the page",
    measure=frozen,
    on="with c",
    control=Control("gradient descent's condition γλ < 2", on="2 / γ"),
    stance="added",
    figure="stability",
    theorem=f"thm-{LABEL}-threshold",
)


def swing(results: Results, law: str) -> Measured:
    """Largest relative distance of the amplitudes from a law, and whether they fall with beta."""
    r = results.oscillation
    expected = {"(1 − β)γ / 2": r.law, "γ / 2": np.full(len(r.beta), r.adam)}[law]
    return {"error": np.abs(r.amplitude / expected - 1).max(), "falls": bool((np.diff(r.amplitude) < 0).all())}


C4d = Claim(
    id="C4d",
    says="In a valley y of SF-AdamW ends in an oscillation of amplitude (1−β)γ/2: a larger β oscillates less.",
    criterion="error < 0.02 and falls",
    reason="relative distance from the amplitude derived on the page, at most .006 after the steps run",
    measure=swing,
    on="(1 − β)γ / 2",
    control=Control("the amplitude γ/2 of the same rule without interpolation", on="γ / 2"),
    stance="restated",
    changed="The paper derives a flow of averages at the edge of stability; the amplitude in one valley is what we can "
    "prove and check.",
    unseen="a table that the lab prints",
    theorem=f"prop-{LABEL}-amplitude",
)


def edge(results: Results, rule: str, limit: str) -> Measured:
    """Sharpness at y over a threshold, mean over the last looks: the betas' least and largest."""
    r = results.sharpness
    if len(r.steps) < 2 * LAST:
        raise Undecided("edge_steps: too few for looks before and after the edge is reached")
    scale = {"2 / ((1 − β)γ)": 1 - r.beta, "2 / γ": np.ones(len(r.beta))}[limit]
    ratio = r.y[RULES.index(rule), :, -LAST:].mean(-1) * scale
    return {"least": ratio.min(), "largest": ratio.max()}


def edge_gradient(results: Results, limit: str) -> Measured:
    """Of Schedule-Free gradient descent."""
    return edge(results, "SF-GD", limit)


def edge_adam(results: Results, limit: str) -> Measured:
    """Of Schedule-Free AdamW, where the Hessian is divided by Adam's diagonal."""
    return edge(results, "SF-AdamW", limit)


C4e = Claim(
    id="C4e",
    says="Networks trained by Schedule-Free gradient descent settle at this edge of stability: the sharpness at y, "
    "where the gradients are taken, is 2/((1−β)γ).",
    criterion="0.8 < least and largest < 1.2",
    reason="sharpness over the threshold for each β, mean over the last looks; .93 to 1.08 over seeds",
    measure=edge_gradient,
    on="2 / ((1 − β)γ)",
    control=Control("gradient descent's threshold 2/γ", on="2 / γ"),
    figure="edge",
)

C4f = Claim(
    id="C4f",
    says="Networks trained by SF-AdamW settle at the same edge, with the Hessian divided by Adam's diagonal: the "
    "preconditioned sharpness at y is 2/((1−β)γ).",
    criterion="0.8 < least and largest < 1.2",
    reason="as C4e; 1.02 to 1.10 over seeds",
    measure=edge_adam,
    on="2 / ((1 − β)γ)",
    control=Control("Adam's threshold without interpolation, 2/γ", on="2 / γ"),
    figure="edge",
)


def river(results: Results, law: str) -> Measured:
    """Relative distances of lag and variances from their laws, over betas and both variants."""
    r = results.straight
    lag = {"T / (1 + C)": r.lag_law, "(1 − β)T": (1 - r.beta) * r.steps}[law]
    needed = 8 * r.C.max() / r.rate
    if r.steps < needed:
        raise Undecided(f"river_steps: the laws are for T well above C/((1 − β)γλ), at least {needed:.0f} steps here")
    return {
        "lag": np.abs(r.lag / lag - 1).max(),
        "y": np.abs(r.y_variance / r.y_law - 1).max(),
        "x": np.abs(r.x_variance / r.x_law - 1).max(),
    }


C5a = Claim(
    id="C5a",
    says="On a straight river x is T/(1 + C) steps behind y, and across the valley its variance is "
    "C²/(2C − 1)·σ²/(λ²T): in the original method, where C = 1/(1−β), β decides both.",
    criterion=lambda params: (
        f"lag < 0.03 and y < {0.1 + 1.5 / params.replicas**0.5:.3g} and x < {0.08 + 3 / params.replicas**0.5:.3g}"
    ),
    reason="largest relative distance of simulations from the laws of the page: corrections of order C/T, and the "
    "scatter of a variance over the replicas",
    measure=river,
    on="T / (1 + C)",
    control=Control("the length (1−β)T of the original's average in place of the lag", on="(1 − β)T"),
    stance="added",
    figure="tradeoff",
    theorem=f"prop-{LABEL}-river",
)


def off_the_river(results: Results, beta: str) -> Measured:
    """Distance from the bent river at x over that at y, original method."""
    r = results.bent
    k = {"smallest β": 0, "largest β": -1}[beta]
    return {"x": r.x_distance[0, k], "x_over_y": r.x_distance[0, k] / r.y_distance[0, k]}


C5b = Claim(
    id="C5b",
    says="With a small β x leaves a bent river although y stays on it.",
    criterion="x_over_y > 4 and x > 0.1",
    reason="|w₁w₂ − 1| at x, and over that at y, mean over the last fifth of the run; deterministic, 13 and .43 with "
    "the parameters given",
    measure=off_the_river,
    on="smallest β",
    control=Control("the same start and rate with β = 0.9", on="largest β"),
    figure="bend",
)


def behind(results: Results, beta: str) -> Measured:
    """Loss at x minus that of the running average of the last gradient points, original method, over the rates."""
    _worth_a_look(results)
    r = results.language
    b = {"smallest β": 0, "largest β": -1}[beta]
    gap = (r.x - r.y_average)[:, b, 0]
    return {"mean": gap.mean()}


C5c = Claim(
    id="C5c",
    says="The original method is sensitive to β: with a small β the returned x has a higher loss than a running "
    "average of the same run's last gradient points.",
    criterion="mean > 0.04",
    reason="in nats, mean over the rates; .07 to .13 with the smallest β, below .01 with the largest",
    measure=behind,
    on="smallest β",
    control=Control("the largest β", on="largest β"),
    figure="betas",
)


def robust(results: Results, variant: str) -> Measured:
    """The same gap for the worst of all rates and betas; x on the bent river; and the gain with the smallest beta.

    The gain is the original's loss less the variant's, each at its best rate, which is chosen on the other half.
    """
    _worth_a_look(results)
    r, k = results.language, {"original": 0, "refined": 1}[variant]
    best = [r.x[r.chosen_x[:, 0, v].argmin(), 0, v] for v in (0, k)]
    return {
        "gap": (r.x - r.y_average)[:, :, k].max(),
        "bend": results.bent.x_distance[k].max(),
        "gain": best[0] - best[1],
    }


C6 = Claim(
    id="C6",
    says="The refined method is robust to β: whatever β and rate, what it returns is as good as a running average of "
    "its last gradient points, x stays on the bent river, and with the smallest β its loss is below the original's.",
    criterion="gap < 0.02 and bend < 0.05 and gain > 0",
    reason="largest gap in nats over rates and betas, below .011 over seeds, .13 to .19 for the original; largest "
    "distance from the river, .003 against .43; gain at the best rates .02 to .14",
    measure=robust,
    on="refined",
    control=Control("the original method on the same windows and rates", on="original"),
    figure="betas",
)


def tuned(results: Results, readout: str) -> Measured:
    """Loss at the best rate minus that of AdamW, decayed, at its best rate; rates chosen on the other half."""
    _worth_a_look(results)
    r = results.language
    adam = r.adam_decayed[r.chosen_adam.argmin()]
    losses = {"x": r.x, "z": r.z}[readout]
    return {"excess": losses[r.chosen_x[:, -1, 1].argmin(), -1, 1] - adam}


def large_batch(results: Results, batch: str) -> Measured:
    """How much lower the refined method's loss is than the original's, mean over the replicas."""
    if results.language.steps[-1] < LEAST_STEPS:
        raise Undecided(f"steps: the language models need at least {LEAST_STEPS} steps, decay phase included")
    return {"gain": getattr(results.large, batch).mean()}


C7a = Claim(
    id="C7a",
    says="With a large batch the refined method has a lower loss than the original after as many steps.",
    criterion="gain > 0.03",
    reason="mean over replicas, in nats; .05 to .10 with the large batch, around zero with the small one",
    measure=large_batch,
    on="large",
    control=Control("the same β, rate, C and number of steps with the small batch", on="small"),
    stance="restated",
    changed="At one β and at one rate, the largest of those tried, which is the best of them for both with this batch.",
    figure="batch",
)


def best_constant(results: Results, landscape: str) -> Measured:
    """The C of the least excess loss at each batch size, on the straight river and without a river."""
    r = results.straight
    excess = {"river": r.excess, "no river": r.still}[landscape]
    best = r.constants[excess.argmin(1)]
    return {"best": best, "growth": best[-1] / best[0]}


C7b = Claim(
    id="C7b",
    says="On the straight river the best C grows with the batch: less noise to average away, the same river to keep up "
    "with.",
    criterion="growth >= 10",
    reason="best C at the largest over that at the smallest batch; the laws of the page give √1000, about 30",
    measure=best_constant,
    on="river",
    control=Control("the same valley without a river, where a long average costs nothing", on="no river"),
    stance="added",
    figure="tradeoff",
    theorem=f"prop-{LABEL}-river",
)

C8 = Claim(
    id="C8",
    says="One run without a schedule is as good as AdamW that was told its horizon: refined SF-AdamW with the largest "
    "β, each at the best of the same rates.",
    criterion="excess < 0.08",
    reason="loss minus decayed AdamW's, in nats; −.03 to .06 over seeds",
    measure=tuned,
    on="x",
    control=Control("the base iterate z of the same run, not averaged", on="z"),
    stance="restated",
    changed="At our scale and for one horizon; the abstract speaks of language models at scale.",
    figure="betas",
)

CLAIMS = (C1, C2a, C2b, C3a, C3b, C4a, C4b, C4c, C4d, C4e, C4f, C5a, C5b, C5c, C6, C7a, C7b, C8)


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    r, s, w = results.language, results.sharpness, results.weights
    return {
        "starts": r.side.shape[1],
        "steps": int(r.steps[-2]),
        "extra": int(r.steps[-1] - r.steps[-2]),
        "numbers": r.numbers,
        "source": r.source,
        "rates": r.rates,
        "betas": r.betas,
        "adam": r.adam,
        "adam_decayed": r.adam_decayed,
        "original": r.x[:, :, 0].T,
        "refined": r.x[:, :, 1].T,
        "z": r.z[-1, -1, 0],
        "x_minus_y": (r.x - r.y)[:, :, 0].mean(0),
        "gap_original": (r.x - r.y_average)[:, :, 0].mean(0),
        "gap_refined": (r.x - r.y_average)[:, :, 1].mean(0),
        "age_original": (w.original @ np.arange(w.original.shape[1] - 1, -1, -1.0)),
        "age_refined": (w.refined @ np.arange(w.refined.shape[1] - 1, -1, -1.0)),
        "amplitude": results.oscillation.amplitude / results.oscillation.adam,
        "x_power": results.thresholds.x_power,
        "y_power": results.thresholds.y_power,
        "edge": s.y[:, :, -LAST:].mean(-1) * (1 - s.beta),
        "edge_x": s.x[:, :, -LAST:].mean(-1) * (1 - s.beta),
        "edge_plain": s.plain[:, :, -LAST:].mean(-1) * (1 - s.beta),
        "bend_x": results.bent.x_distance,
        "bend_y": results.bent.y_distance,
        "best_C": results.straight.constants[results.straight.excess.argmin(1)],
        "best_C_law": results.straight.constants[results.straight.excess_law.argmin(1)],
        "storage": results.storage.numbers,
        "batches": results.large.batches,
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
