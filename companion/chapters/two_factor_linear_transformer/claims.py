"""The claims of the chapter, each below its measure, with the control that must fail it."""

import math

import numpy as np

from companion.chapters.two_factor_linear_transformer.cubic import FEIGENBAUM
from companion.chapters.two_factor_linear_transformer.experiments import Results
from companion.chapters.two_factor_linear_transformer.experiments.balanced import DOUBLINGS, GROUPS
from companion.chapters.two_factor_linear_transformer.experiments.plane import RUNS
from companion.chapters.two_factor_linear_transformer.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "two-factor-linear-transformer"  # ends the labels of the page's statements


def _ends(values: np.ndarray) -> list[float]:
    """Least and largest."""
    return [float(values.min()), float(values.max())]


# --- the reduction ------------------------------------------------------------------------------------------------


def reduction(results: Results, run: str) -> Measured:
    """Largest distance of the trained model's factors from the map, and of the rest of W from its start."""
    r = getattr(results.transformer, run)
    return {"error": np.abs(r.model - r.map).max(), "moved": r.moved.max()}


C1a = Claim(
    id="C1a",
    says="Gradient descent on one prompt of in-context regression is the two-factor product map, with the effective "
    "step size μ = η‖h‖‖x‖|y|, and moves the key-query matrix along one direction only.",
    criterion="error < 1e-8 and moved < 1e-12",
    reason="largest distance of the factors over ten steps of autograd at four values of μ up to 1.9 and prompts "
    "of both signs; chaos amplifies rounding to some 1e-10 in that time",
    measure=reduction,
    on="one",
    control=Control("all prompts at once with a free matrix, read off the first prompt", on="together"),
    figure="reduction",
    theorem=f"prop-{LABEL}-reduction",
)

C1b = Claim(
    id="C1b",
    says="With W = bI in place of a free matrix a whole batch of prompts is the same map, μ = η|mean of s·y|, and the "
    "loss has a constant floor besides.",
    criterion="error < 1e-8 and floor < 1e-12",
    reason="as C1a; floor = relative distance of the loss at three points from the square and the constant",
    measure=lambda results, run: reduction(results, run) | {"floor": results.transformer.floor},
    on="scalar",
    control=Control("the same prompts with a free matrix", on="together"),
    stance="added",
    figure="reduction",
    theorem=f"prop-{LABEL}-batch",
)


# --- balanced factors ---------------------------------------------------------------------------------------------


def phases(results: Results, phase: str) -> Measured:
    """Least and largest shares of balanced starts over the values of mu in a phase."""
    r, row = results.phases, list(GROUPS).index(phase)
    return {
        "rising": _ends(r.rising[row]),
        "converged": _ends(r.converged[row]),
        "bounded": _ends(r.bounded[row]),
    }


C2a = Claim(
    id="C2a",
    says="On the balanced slice training is monotone up to μ = 2√2 − 2: no start's loss ever rises, and almost all "
    "converge.",
    criterion="max(rising) == 0 and min(converged) > 0.995",
    reason="shares of random starts at μ = 0.3, 0.8 and 0.001 below the threshold; a theorem, so no start may rise; "
    "a start next to the saddle may need longer",
    measure=phases,
    on="monotone",
    control=Control("the same from 0.01 above the threshold on, where starts still converge", on="catapult"),
    figure="catapult",
    theorem=f"thm-{LABEL}-phases",
)

C2b = Claim(
    id="C2b",
    says="Catapults: for 2√2 − 2 < μ < 1 the loss of some starts rises on the way, and yet almost all converge.",
    criterion="min(rising) > 0.02 and min(converged) > 0.995",
    reason="the same shares at 0.01 above the threshold, where it is about 7%, and at 0.9 and 0.98",
    measure=phases,
    on="catapult",
    control=Control("beyond μ = 1, where losses rise as well and nothing converges", on="cycles"),
    figure="catapult",
    theorem=f"thm-{LABEL}-phases",
)


def doubling(results: Results, where: str) -> Measured:
    """Share of starts that end on cycles of period 2, 4, 8, …, and distance from the cycle of two in closed form."""
    r = results.cycles
    expected = 2 ** np.arange(1, DOUBLINGS + 1)[:, None]
    found = {"superstable": r.periods, "chaos": r.aperiodic}[where]
    return {
        "periodic": (found == expected[: len(found)]).mean(),
        "two": r.distance.max(),
        "ratio": r.ratios[-1],
        "limit": r.accumulation,
    }


C2c = Claim(
    id="C2c",
    says="Past μ = 1 training settles in a cycle of two with a closed form; from √5 − 1 on the period doubles, with "
    "Feigenbaum's ratio, and the doublings accumulate at μ = 1.3022835.",
    criterion=f"periodic > 0.99 and two < 1e-6 and abs(ratio - {FEIGENBAUM}) < 0.01 and abs(limit - 1.3022835) < 1e-6",
    reason="share of random starts with period 2 to 32 at the values of μ where the critical point has that period; "
    "distance from the closed form over 25 values of μ; ratio and limit from superstable parameters",
    measure=doubling,
    on="superstable",
    control=Control("μ = 1.32, 1.5 and 1.9, where no cycle of such a period is found", on="chaos"),
    figure="glance",
    theorem=f"thm-{LABEL}-phases",
)


def chaos(results: Results, phase: str) -> Measured:
    """As phases, with the least Lyapunov exponent, and the share of mu in the diagram at which it is positive."""
    r, limit = results.diagram, results.cycles.accumulation
    low, high = {"cycles": (1, limit), "chaos": (limit, 2)}[phase]
    within = (low < r.mu) & (r.mu < high)
    if not within.any():
        raise Undecided(f"mu_max: the diagram has no μ between {low:.3g} and {high:.3g}")
    if phase == "chaos" and np.ptp(r.mu[within]) < (high - low) / 2:
        raise Undecided(f"mu_min, mu_max: the diagram has less than half of the μ between {low:.3g} and {high:.3g}")
    least = results.phases.lyapunov[list(GROUPS).index(phase)].min()
    return phases(results, phase) | {"exponent": least, "chaotic": (r.along[within] > 0.02).mean()}


C2d = Claim(
    id="C2d",
    says="Beyond, up to μ = 2, balanced training is bounded and does not converge, and at most μ it is chaotic.",
    criterion="min(bounded) == 1 and max(converged) == 0 and exponent > 0.1 and chaotic > 0.75",
    reason="shares of random starts and least Lyapunov exponent at μ = 1.5, 1.9 and 1.99; share of the diagram's μ "
    "between the accumulation of the doublings and 2 with a positive exponent, about 0.9, the rest being windows",
    measure=chaos,
    on="chaos",
    control=Control("μ = 1.05, 1.2 and 1.28: bounded, too, but on cycles", on="cycles"),
    figure="glance",
    theorem=f"thm-{LABEL}-phases",
)

C2e = Claim(
    id="C2e",
    says="Beyond μ = 2 balanced training diverges from almost every start.",
    criterion="max(bounded) < 0.001",
    reason="share of random starts that stay bounded at μ = 2.01, 2.05 and 2.2; theory: zero in the limit",
    measure=phases,
    on="divergence",
    control=Control("μ = 1.5, 1.9 and 1.99, where all starts stay bounded", on="chaos"),
    figure="glance",
    theorem=f"thm-{LABEL}-phases",
)


# --- the plane ----------------------------------------------------------------------------------------------------

ELLIPSES = ("of mu", "of a smaller mu")


def separation(results: Results, ellipse: str) -> Measured:
    """Error of the identity for 1 − Q and share of starts that change sides, over all mu."""
    r, row = results.regions, ELLIPSES.index(ellipse)
    return {"identity": r.identity[row].max(), "crossing": r.crossing[row].max()}


C3a = Claim(
    id="C3a",
    says="For 0 < μ < 2 an explicit ellipse is invariant and separates two regions, each mapped into itself.",
    criterion="identity < 1e-11 and crossing == 0",
    reason="relative error of 1 − Q∘F = (1 − Q)(1 + μ²P(P − 1)) at random points, and share of starts that change "
    "sides in 60 steps, worst μ; a theorem, so none may",
    measure=separation,
    on="of mu",
    control=Control("the ellipse that belongs to 0.8 μ, through the same starts", on="of a smaller mu"),
    figure="atlas",
    theorem=f"thm-{LABEL}-ellipse",
)


def sides(results: Results, ellipse: str) -> Measured:
    """Least share of the starts inside that stay bounded, and of those outside that diverge."""
    r, row = results.regions, ELLIPSES.index(ellipse)
    return {"bounded": r.bounded[row].min(), "diverged": r.diverged[row].min()}


C3b = Claim(
    id="C3b",
    says="The ellipse is the border between bounded and divergent training: what starts inside stays bounded, and "
    "what starts outside diverges.",
    criterion="bounded == 1 and diverged > 0.99",
    reason="shares of random starts, worst μ; the first half is a theorem, the second an observation, and starts very "
    "near the ellipse take long",
    measure=sides,
    on="of mu",
    control=Control("the ellipse that belongs to 0.8 μ taken for the border", on="of a smaller mu"),
    stance="added",
    figure="atlas",
    theorem=f"thm-{LABEL}-ellipse",
)


def on_the_ellipse(results: Results, run: str) -> Measured:
    """Distances from the angle's map, of the exponent from ln 3 and of the imbalance from its mean on the ellipse."""
    r, row = results.exponents, RUNS.index(run)
    return {
        "angle": r.angle_error.max(),
        "exponent": np.abs(r.along[row] / math.log(3) - 1).max(),
        "imbalance": np.abs(r.imbalance[row] - 1).max(),
    }


C4 = Claim(
    id="C4",
    says="The ellipse carries chaotic dynamics off balance: its angle obeys θ⁺ = π − 3θ, neighbours part at the rate "
    "ln 3, and the factors keep apart.",
    criterion="angle < 1e-11 and exponent < 0.01 and imbalance < 0.05",
    reason="error of the angle's map; relative distance of the exponent from ln 3, and of the mean square of u − v "
    "from 2(2 − μ)/μ, the mean under a uniform angle; largest over μ, of a thousand orbits kept on the ellipse",
    measure=on_the_ellipse,
    on="ellipse",
    control=Control("orbits of the same map that start inside, on which the factors meet or stop", on="inside"),
    figure="ellipse",
    theorem=f"thm-{LABEL}-ellipse",
)


def transverse(results: Results, attractor: str) -> Measured:
    """Least and largest exponent across an invariant set over mu, and distance from its prediction."""
    r = results.exponents
    measured, predicted = {
        "ellipse": (r.off_ellipse, r.off_ellipse_theory),
        "balanced": (r.off_balance, r.off_balance_scalar),
    }[attractor]
    return {"least": measured.min(), "largest": measured.max(), "error": np.abs(measured - predicted).max()}


C5 = Claim(
    id="C5",
    says="The ellipse repels: on average the distance from it grows at the rate "
    "2 arccosh((√(5 + 2μ) + √(5 − 2μ))/4) > 0.",
    criterion="least > 0.05 and error < 0.02",
    reason="growth of ln |1 − Q| in a step from starts pushed off by 1e-10, over μ from 0.1 to 1.95, where theory "
    "gives 0.25 and more; error = largest distance from the closed form, 0.006 over seeds",
    measure=transverse,
    on="ellipse",
    control=Control("the distance from balance on balanced attractors", on="balanced"),
    figure="exponents",
    theorem=f"thm-{LABEL}-repelling",
)

C6a = Claim(
    id="C6a",
    says="The balanced attractors attract across balance: in the plane a difference of the factors dies out, at the "
    "rate that the cubic map alone predicts, E ln |1 − μ²e²|.",
    criterion="largest < -0.002 and error < 0.03",
    reason="mean growth of ln |u − v| over orbits in the plane, μ from 1.01 to 1.99, theory at the ends −0.01 and "
    "about −0.06; error = largest distance from an ensemble of the cubic map: the logarithm has a pole",
    measure=transverse,
    on="balanced",
    control=Control("the distance from the ellipse on the ellipse", on="ellipse"),
    figure="exponents",
    theorem=f"thm-{LABEL}-attracting",
)


def two_cycles(results: Results, cycle: str) -> Measured:
    """Largest factor across balance over two steps, and its distance from the closed form."""
    r = results.cycles
    found, expected = {"inner": (r.inner, 3 - 2 * r.mu), "outer": (r.outer, 9 + 0 * r.mu)}[cycle]
    return {"largest": np.abs(found).max(), "error": np.abs(found - expected).max()}


C6b = Claim(
    id="C6b",
    says="Can attract, not must: across balance the cycle of two within z > 0 has the multiplier 3 − 2μ and attracts.",
    criterion="largest < 1 and error < 1e-9",
    reason="largest absolute multiplier over 25 values of μ at which the cycle is stable, from the derivative of the "
    "map; closed form",
    measure=two_cycles,
    on="inner",
    control=Control("the balanced cycle of two that lies on the ellipse: its multiplier is nine", on="outer"),
    figure="exponents",
    theorem=f"thm-{LABEL}-attracting",
)


def training(results: Results, side: str) -> Measured:
    """What becomes of starts inside the ellipse, for the values of mu on one side of one."""
    r = results.regions
    below = r.mu < 1
    if below.all() or not below.any():
        raise Undecided("mu_list: needs a value below 1 and one above")
    chosen = below if side == "below one" else r.mu > 1
    if not chosen.any():
        raise Undecided("mu_list: needs a value above 1")
    flat = r.flatness[chosen]
    return {
        "converged": _ends(r.converged[chosen]),
        "balanced": _ends(r.balanced[chosen]),
        "flatness": math.inf if np.isnan(flat).all() else np.nanmax(flat),
        "loss": (r.loss[chosen] / np.abs(r.mu[chosen] - 1)).min(),
    }


C7a = Claim(
    id="C7a",
    says="Below μ = 1 almost every start inside the ellipse ends at the in-context solution, at a minimum of sharpness "
    "at most 2/η.",
    criterion="min(converged) > 0.97 and flatness <= 1.001",
    reason="least share of random starts over μ, observed; largest μR/2 at their ends, by theory at most one, the edge "
    "of stability, next to which a start is slow",
    measure=training,
    on="below one",
    control=Control("above μ = 1, where the same map is run from the same starts", on="above one"),
    figure="training",
)

C7b = Claim(
    id="C7b",
    says="Large steps change the attractor: for 1 < μ < 2 almost no start inside the ellipse reaches the solution; all "
    "stay bounded, almost all end balanced and keep a loss.",
    criterion="max(converged) < 0.001 and min(balanced) > 0.97 and loss > 0.1",
    reason="shares of random starts, and mean loss over μ − 1, worst μ: about 1/2 on the cycle of two, 0.19 and more "
    "on all balanced attractors; no minimum is stable there, which is a theorem",
    measure=training,
    on="above one",
    control=Control("below μ = 1: the loss vanishes, and the imbalance stays", on="below one"),
    figure="training",
    theorem=f"prop-{LABEL}-stability",
)


# --- mini-batches -------------------------------------------------------------------------------------------------

C8a = Claim(
    id="C8a",
    says="With W = bI a mini-batch step is the same map with a random μ, if all prompts share a minimum, as they do "
    "when contexts are whitened.",
    criterion="error < 1e-8",
    reason="as C1a, batches of one and two prompts in turn",
    measure=reduction,
    on="whitened",
    control=Control("contexts that are not whitened: batches want different products", on="unwhitened"),
    stance="added",
    unseen="a number for each run; the lab prints them",
    theorem=f"thm-{LABEL}-robust",
)

SEQUENCES = ("random", "adversarial", "too large")


def reached(results: Results, steps: str) -> Measured:
    """Largest Q reached, and share of starts that stay bounded."""
    r, row = results.robust, SEQUENCES.index(steps)
    return {"reached": r.reached[row], "bounded": r.bounded[row]}


C8b = Claim(
    id="C8b",
    says="The ellipse of M protects from all step sizes up to M < 2, in any order: what starts inside stays inside.",
    criterion="reached <= 1 + 1e-9 and bounded == 1",
    reason="largest Q along orbits under steps that an adversary picks to go furthest out; a theorem",
    measure=reached,
    on="adversarial",
    control=Control("random steps of up to 2.6, of mean 1.3", on="too large"),
    stance="added",
    unseen="a number for each kind of steps; the lab prints them",
    theorem=f"thm-{LABEL}-robust",
)

LAWS = ("stabilizing", "without its noise", "destabilizing", "without noise")


def law(results: Results, which: str) -> Measured:
    """Share of starts that converge under a law of two steps, and its exponent at balance."""
    r, row = results.laws, LAWS.index(which)
    if not (r.exponent[0] < 0 < r.exponent[1] and r.exponent[3] < 0 < r.exponent[2]):
        raise Undecided("mb_half_width: needs a first law that its noise stabilizes and a second that it destabilizes")
    return {"converged": r.converged[row], "exponent": r.exponent[row]}


C8c = Claim(
    id="C8c",
    says="Noise in the step can stabilize: where the mean step is too large, μ = m ± r converges if E ln |1 − 2μ| < 0.",
    criterion="converged > 0.9 and exponent < 0",
    reason="share of random starts inside the ellipse of the larger step; theory is local, and says almost surely",
    measure=law,
    on="stabilizing",
    control=Control("the mean step alone", on="without its noise"),
    stance="added",
    figure="laws",
    theorem=f"thm-{LABEL}-laws",
)

C8d = Claim(
    id="C8d",
    says="Noise in the step can destabilize: where the mean step converges, μ = m ± r does not if E ln |1 − 2μ| > 0.",
    criterion="converged < 0.1 and exponent > 0",
    reason="as C8c; an orbit that is away from the solution may pass it by chance, within a thousandth",
    measure=law,
    on="destabilizing",
    control=Control("the mean step alone", on="without noise"),
    stance="added",
    figure="laws",
    theorem=f"thm-{LABEL}-laws",
)


def disagreement(results: Results, noise: str) -> Measured:
    """Floor of the loss and rate of balancing over their first-order predictions, least and largest."""
    r, row = results.label_noise, ("batches disagree", "batches agree").index(noise)
    floor, rate = r.floor[row] / r.floor_theory, r.balancing[row] / r.balancing_theory
    return {"floor": _ends(floor), "balancing": _ends(rate)}


C8e = Claim(
    id="C8e",
    says="Batches that disagree leave the error a variance of μς²/(1 − μ), and balance the factors at the rate "
    "μ²ς²/(1 − μ) although μ < 1.",
    criterion=lambda params: " and ".join(
        f"{1 - slack:.3g} < min({name}) and max({name}) < {1 + slack:.3g}"
        for slack in (0.1 + 10 * params.label_noise**2,)
        for name in ("floor", "balancing")
    ),
    reason="measured over predicted for μ from 0.1 to 0.7; first order in ς², so that the slack grows with it",
    measure=disagreement,
    on="batches disagree",
    control=Control("the same steps with batches that agree", on="batches agree"),
    stance="added",
    figure="disagreement",
    theorem=f"prop-{LABEL}-noise",
)

CLAIMS = (C1a, C1b, C2a, C2b, C2c, C2d, C2e, C3a, C3b, C4, C5, C6a, C6b, C7a, C7b, C8a, C8b, C8c, C8d, C8e)


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    r, escapes = results.regions, results.escapes
    columns = ("mu", "converged", "balanced", "flatness", "loss")
    return {
        "superstable": results.cycles.superstable[:6],
        "regions": {f"mu{k}": {name: getattr(r, name)[k] for name in columns} for k in range(len(r.mu))},
        "escape_mu": escapes.mu[0],
        "escape_step": int(np.argmax(escapes.ellipse[0] > 1e-2)),
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
