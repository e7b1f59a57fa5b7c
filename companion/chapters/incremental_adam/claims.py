"""The claims, each below its measure, with their criteria and the controls that must fail them."""

from typing import Any

import numpy as np

from companion.analysis.rates import loglog_slope
from companion.chapters.incremental_adam.data import apart, distance
from companion.chapters.incremental_adam.experiments import Results
from companion.chapters.incremental_adam.experiments.limits import FixedPoints
from companion.chapters.incremental_adam.experiments.training import Curve, Memory, Runs
from companion.chapters.incremental_adam.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Undecided, Verdicts, judge


def settled(values: np.ndarray, what: str) -> np.ndarray:
    """The values, unless a fixed point behind them was not found."""
    if np.isnan(values).any():
        raise Undecided(f"no dual fixed point was found for {what}: the iteration does not settle")
    return values


ROOM = 5.0  # margins that a run's steps have to allow, for its direction to say anything about a limit


def ensure_room(results: Results, rule: str = "Adam") -> None:
    """Undecided if steps are so few and small that no run can have come near a limit."""
    runs = results.runs
    room, step = (runs.room_signum, "eta_signum") if rule == "Signum" else (runs.room, "eta0")
    if room < ROOM:
        raise Undecided(
            f"epochs, steps, {step}: the steps add up to margins of {room:.2g} at most; a direction shows from some "
            f"{ROOM:g} on"
        )


# --- full-batch Adam ------------------------------------------------------------------------------------------------


def curve(runs: Runs, batch: str) -> Curve:
    """Adam's run with the chapter's own rates."""
    return {"full batch": runs.adam[-1], "one sample": runs.adam[0]}[batch]


def margins(results: Results, batch: str) -> dict[str, Any]:
    """Smallest normalized margin in the infinity-norm and largest in the 2-norm over all datasets."""
    ensure_room(results)
    end = curve(results.runs, batch)
    return {"rinf": end.rinf[-1].min(), "r2": end.r2[-1].max()}


C1a = Claim(
    id="C1a",
    says="Full-batch Adam without ε goes to the ℓ∞-max-margin classifier, on Gaussian and on scaled Rademacher data.",
    criterion="rinf > 0.9 and r2 < 0.95",
    reason="smallest normalized ℓ∞ margin and largest ℓ₂ margin over all datasets, 1 in the limit and about 0.8; "
    "the approach is slow, 0.94 or more at this length",
    measure=margins,
    on="full batch",
    control=Control("one sample a step, same data", on="one sample"),
    figure="margins",
    theorem="thm-incremental-adam-full-batch",
)


def usual(epsilons: np.ndarray) -> int:
    """The place of the epsilon nearest to Adam's usual 1e-8, on a logarithmic scale."""
    return 1 + int(np.abs(np.log(epsilons[1:]) - np.log(1e-8)).argmin())


def turn(results: Results, constant: str) -> dict[str, Any]:
    """Mean margins at the end, and how far below its highest value the infinity-norm's is."""
    ensure_room(results)
    result = results.epsilon
    which = usual(result.epsilons) if constant == "usual ε" else 0
    r2, rinf = result.r2[:, which].mean(-1), result.rinf[:, which].mean(-1)
    return {"rinf": rinf[-1], "r2": r2[-1], "fall": rinf.max() - rinf[-1], "epsilon": result.epsilons[which]}


C1b = Claim(
    id="C1b",
    says="That holds for ε = 0 only: with the usual ε = 1e-8 full-batch Adam turns away from the ℓ∞ direction once "
    "gradients are below ε, and towards the ℓ₂ direction.",
    criterion="rinf < 0.9 and r2 > rinf and fall > 0.005",
    reason="means over the Gaussian datasets; fall = from the highest normalized ℓ∞ margin to the last. Without ε "
    "it rises to the end; with ε Adam becomes gradient descent with momentum",
    measure=turn,
    on="usual ε",
    control=Control("ε = 0, same runs", on="no ε"),
    stance="added",
    figure="epsilon",
)


# --- one sample a step ----------------------------------------------------------------------------------------------


def rademacher(results: Results, batch: str) -> dict[str, Any]:
    """Worst margins on scaled Rademacher data over datasets and pairs of rates, and whether the runs are different."""
    ensure_room(results)
    runs = results.runs
    rows = runs.kinds[1]
    ends = {"full batch": runs.full, "one sample": runs.cyclic}[batch]
    pairs = len(set(runs.betas))
    different = apart(np.array([end.last[rows] for end in ends if len(ends) == len(runs.betas)]))
    return {
        "r2": min(end.r2[-1, rows].min() for end in ends),
        "rinf": max(end.rinf[-1, rows].max() for end in ends),
        "apart": different,
        "pairs": pairs,
    }


C2 = Claim(
    id="C2",
    says="On scaled Rademacher data Adam with one sample a step goes to the ℓ₂-max-margin classifier, for every "
    "pair β₁ ≤ β₂ tried.",
    criterion="r2 > 0.98 and rinf < 0.9 and apart > 0.01",
    reason="smallest normalized ℓ₂ margin and largest ℓ∞ margin over datasets and pairs; 1 in the limit for r2, "
    "0.989 or more at this length. apart = least distance between the ends of two pairs over their length: different "
    "rates go one way at different speeds",
    measure=rademacher,
    on="one sample",
    control=Control("full-batch Adam on the same data with the same rates", on="full batch"),
    figure="margins",
    theorem="thm-incremental-adam-rademacher",
)


def over_an_epoch(results: Results, prediction: str) -> dict[str, Any]:
    """Largest relative error of the last epoch, and slope of the mean error in the step size."""
    result = results.epoch_map
    late = result.epochs >= result.epochs[-1] / 4
    if result.eta[late].min() == result.eta[late].max():
        raise Undecided("needs a step size that falls: decay is too small")
    error = {"epoch map": result.error, "sign of the full gradient": result.error_sign}[prediction]
    return {"error": error[-1].max(), "slope": loglog_slope(result.eta[late], error[late].mean(-1))}


C3 = Claim(
    id="C3",
    says="Over an epoch incremental Adam is one step of an explicit map of its iterate, up to a relative error "
    "that vanishes in proportion to the step size.",
    criterion="error < 0.12 and 0.7 <= slope <= 1.3",
    reason="error = largest at the last epoch; slope of the mean error over the step size in log-log, over the "
    "last three quarters of the epochs: first order in theory",
    measure=over_an_epoch,
    on="epoch map",
    control=Control(
        "the square of the summed gradients in place of the sum of squares, best factor",
        on="sign of the full gradient",
    ),
    stance="added",
    figure="epoch-map",
    theorem="thm-incremental-adam-epoch",
)


# --- the dual fixed point -------------------------------------------------------------------------------------------


def proxy_direction(results: Results, candidate: str) -> dict[str, Any]:
    """Largest distance of AdamProxy's end from a direction that is computed from the data."""
    found = results.fixed_points
    distances = {"dual fixed point": found.proxy, "equal weights": found.proxy_once}[candidate]
    return {"distance": settled(distances, "AdamProxy").max()}


C4a = Claim(
    id="C4a",
    says="AdamProxy's direction is that of the dual fixed point.",
    criterion="distance < 5e-6",
    reason="distance = largest 1 − cos over the Gaussian datasets; exact in the limit of many steps. The fixed point "
    "of the chapter's own rates is already 1e-5 away",
    measure=proxy_direction,
    on="dual fixed point",
    control=Control(
        "the classifier in the metric of equal weights, that is one step of the dual map", on="equal weights"
    ),
    figure="fixed-point",
    theorem="thm-incremental-adam-proxy",
)


def uniqueness(results: Results, data: str) -> dict[str, Any]:
    """Largest difference between fixed points that are reached from different weights."""
    found = results.fixed_points
    spread = {"Gaussian": found.spread, "two samples": np.ptp(found.two_c, axis=0)}[data]
    return {"spread": settled(spread, "AdamProxy").max()}


C4b = Claim(
    id="C4b",
    says="On Gaussian data the dual map has one fixed point, reached from every start tried.",
    criterion="spread < 1e-8",
    reason="spread = largest difference of weights between the fixed points from five random starts and from equal "
    "weights; iterations stop at 1e-12",
    measure=uniqueness,
    on="Gaussian",
    control=Control("two samples whose map has three fixed points, from two starts", on="two samples"),
    stance="added",
    unseen="the lab prints the difference, which is rounding",
)


def candidates(results: Results, batch: str) -> dict[str, Any]:
    """Distance of Adam's ends from AdamProxy's fixed point, at most, and from the 2-norm direction, on average."""
    ensure_room(results)
    found, runs = results.fixed_points, results.runs
    if batch == "full batch":
        end = curve(runs, batch).last[runs.kinds[0]]
        limit, l2 = distance(end, found.w), distance(end, found.data.l2)
    else:
        limit, l2 = found.limit[:2], found.l2[:2]
    return {"fixed_point": settled(limit, "AdamProxy").max(), "l2": l2.mean()}


C4c = Claim(
    id="C4c",
    says="On Gaussian data Adam with one sample a step and β₂ near one goes to AdamProxy's fixed point, which is not "
    "the ℓ₂ direction.",
    criterion="fixed_point < 0.001 and l2 > 0.015",
    reason="1 − cos at β₂ = 0.95 and 0.99: the largest to the fixed point, the mean to the ℓ₂ direction",
    measure=candidates,
    on="one sample",
    control=Control("full-batch Adam", on="full batch"),
    figure="fixed-point",
    theorem="thm-incremental-adam-own",
)


def approach(results: Results, direction: str) -> dict[str, Any]:
    """How the distance of the epoch map's end from a direction falls with ``1 - beta2``."""
    result = results.sweep
    if len(result.beta2) < 2:
        raise Undecided("needs two or more different values of beta2 in beta2_grid")
    mean = settled({"AdamProxy": result.to_proxy, "ℓ₂": result.to_l2}[direction], "AdamProxy").mean(-1)
    return {"slope": loglog_slope(1 - result.beta2, mean), "falls": bool((np.diff(mean) < 0).all())}


C4d = Claim(
    id="C4d",
    says="As β₂ → 1 the limit direction tends to AdamProxy's, 1 − cos like (1 − β₂)².",
    criterion="falls and 1.5 <= slope <= 2.5",
    reason="slope of the mean 1 − cos over 1 − β₂ in log-log; weights deviate in proportion to 1 − β₂, angles like "
    "them, 1 − cos like their square",
    measure=approach,
    on="AdamProxy",
    control=Control("1 − cos to the ℓ₂ direction, in the same runs", on="ℓ₂"),
    stance="restated",
    changed="the abstract's proxy captures incremental Adam as β₂ → 1; how fast is added, and what is iterated is the "
    "epoch map, which is incremental Adam for vanishing steps",
    figure="sweep",
)


def batch_distances(results: Results, point: str) -> np.ndarray:
    """``1 - cos`` of Adam's ends and fixed points for batch sizes between 1 and N, ``(batches, datasets)``."""
    found, runs = results.fixed_points, results.runs
    ends = [runs.adam[runs.batches.index(b)].last[runs.kinds[0]] for b in found.batches]
    if not ends:
        return np.zeros((0, len(found.w)))
    return distance(np.array(ends), found.batch_w if point == "own" else found.w)


def prediction(results: Results, point: str) -> dict[str, Any]:
    """Largest distance of incremental Adam's ends from fixed points, for each pair of rates and batch size."""
    ensure_room(results)
    found: FixedPoints = results.fixed_points
    rates = settled({"own": found.own, "AdamProxy's": found.limit}[point], "a pair of rates")
    batches = settled(batch_distances(results, point), "a batch size")
    return {"rates": rates.max(-1), "batches": batches.max(-1, initial=0.0)}


C4e = Claim(
    id="C4e",
    says="Not only β₂ → 1: for every (β₁, β₂) and every batch size below N tried, cyclic Adam goes to a dual fixed "
    "point of its own.",
    criterion="max(rates) < 0.001 and max(batches) < 0.001",
    reason="largest 1 − cos over the Gaussian datasets, for each pair of rates and each batch size; exact in the "
    "limit of small steps",
    measure=prediction,
    on="own",
    control=Control("AdamProxy's fixed point for the same runs", on="AdamProxy's"),
    stance="added",
    figure="fixed-point",
    theorem="thm-incremental-adam-own",
)


def two_ends(results: Results, data: str) -> dict[str, Any]:
    """Distance of runs from two starts to their own fixed points, and of their ends to each other."""
    ensure_room(results)
    found = results.fixed_points
    own, between = {
        "two samples": (found.starts_own, np.array([found.starts_apart])),
        "Gaussian": (found.again_own, found.again_apart),
    }[data]
    return {"own": settled(own, "beta1 and beta2").max(), "apart": between.max()}


C4f = Claim(
    id="C4f",
    says="Where the dual map has two attracting fixed points, Adam with one sample a step reaches the one or the "
    "other, depending on where it starts.",
    criterion="own < 0.001 and apart > 0.003",
    reason="largest 1 − cos of two runs on two samples to the fixed point of their start, and of their ends to "
    "each other. The two fixed points are 0.004 apart, so that below 0.001 an end is nearer to its own",
    measure=two_ends,
    on="two samples",
    control=Control(
        "Gaussian data, where the fixed point is one: two starts, the largest over datasets", on="Gaussian"
    ),
    stance="added",
    unseen="two numbers that the lab prints",
    theorem="thm-incremental-adam-two",
)


# --- datasets that decide -------------------------------------------------------------------------------------------


def reduction(results: Results, data: str) -> dict[str, Any]:
    """Largest distance of AdamProxy's fixed point from the 2-norm direction."""
    result = results.reductions
    distances = {"scaled Rademacher": result.rademacher, "Gaussian": result.gaussian}[data]
    return {"distance": settled(distances, "AdamProxy").max()}


C5a = Claim(
    id="C5a",
    says="On scaled Rademacher data the fixed point is the ℓ₂-max-margin direction.",
    criterion="distance < 1e-8",
    reason="largest 1 − cos over datasets; exact, as every metric M(c) is a multiple of the identity",
    measure=reduction,
    on="scaled Rademacher",
    control=Control("Gaussian data", on="Gaussian"),
    stance="added",
    unseen="an identity, up to rounding",
    theorem="thm-incremental-adam-reductions",
)


def diagonal(results: Results, signs: str) -> dict[str, Any]:
    """The worst over delta of the shifted diagonal's fixed point and of incremental Adam's end."""
    ensure_room(results)
    result, row = results.reductions, ("as they are", "flipped").index(signs)
    return {
        "first": settled(result.first[row], "the shifted diagonal").min(),
        "cos_l2": result.cos_l2[row].max(),
        "rinf": result.rinf[row].min(),
        "r2": result.r2[row].max(),
    }


C5b = Claim(
    id="C5b",
    says="The bias of one sample a step depends on the dataset: on the shifted diagonal the fixed point is the "
    "ℓ∞-max-margin direction, far from the ℓ₂ one, and Adam with one sample a step goes there.",
    criterion="first > 0.999999 and cos_l2 < 0.9 and rinf > 0.97 and r2 < 0.9",
    reason="first = weight of the smallest sample, 1 in theory; cos_l2 = cosine of fixed point and ℓ₂ direction; "
    "incremental Adam's normalized margins; the worst over δ",
    measure=diagonal,
    on="as they are",
    control=Control(
        "the small entries of the smallest sample with the other sign, so that the condition fails", on="flipped"
    ),
    figure="reductions",
    theorem="thm-incremental-adam-reductions",
)


# --- Signum ---------------------------------------------------------------------------------------------------------


def signum_margin(results: Results, momentum: str) -> dict[str, Any]:
    """Smallest normalized infinity-norm margin over datasets and batch sizes."""
    ensure_room(results, "Signum")
    runs = results.runs
    curves = {"with momentum": runs.signum, "without": (runs.sign_sgd,)}[momentum]
    return {"rinf": min(curve.rinf[-1].min() for curve in curves)}


C6a = Claim(
    id="C6a",
    says="Signum with β = 0.99 goes to the ℓ∞-max-margin classifier for every batch size.",
    criterion="rinf > 0.95",
    reason="smallest normalized ℓ∞ margin over batch sizes and all datasets; 0.98 or more at this length",
    measure=signum_margin,
    on="with momentum",
    control=Control("β = 0, one sample a step", on="without"),
    figure="batches",
    theorem="thm-incremental-adam-signum",
)


def shortfall(results: Results, steps: str) -> dict[str, Any]:
    """How the mean margin of Signum grows along its momenta, for the smallest steps or the largest."""
    result = results.memory
    row = {"small": 0, "25 times as large": -1}[steps]
    mean = dict(zip(result.beta.tolist(), result.rinf[row].mean(-1), strict=True))
    chain = [mean[beta] for beta in (0.0, 0.5, 0.8, 0.9, 0.99)]
    return {"rise": np.diff(chain).min(), "far": 1 - mean[0.9], "near": 1 - mean[0.99]}


C6b = Claim(
    id="C6b",
    says="With one sample a step Signum's ℓ∞ margin grows with β, and falls short of the largest less than half as "
    "much at β = 0.99 as at 0.9.",
    criterion="rise > 0 and near < far / 2",
    reason="means over the Gaussian datasets; rise = least increase along β = 0, 0.5, 0.8, 0.9, 0.99; the "
    "shortfall is at most proportional to 1 − β in theory",
    measure=shortfall,
    on="small",
    control=Control("steps 25 times as large, which are not small against 1 − β", on="25 times as large"),
    stance="restated",
    changed="the abstract asks for β close enough to 1; here it is said what closer brings, and that steps must be "
    "small first",
    figure="memory",
    theorem="thm-incremental-adam-signum",
)


LONGEST = 0.99  # momentum whose memory the chapter's steps are small against


def informative(result: Memory) -> np.ndarray:
    """The momenta, up to LONGEST, at which the bound is positive for every dataset."""
    which = (result.bound > 0).all(-1) & (result.beta <= LONGEST)
    if not which.any():
        raise Undecided(f"the bound is negative for every momentum up to {LONGEST}: N or d is too large")
    return which


def bound(results: Results, momenta: str) -> dict[str, Any]:
    """Smallest distance of Signum's margin above the bound over datasets and momenta, and the bound's range."""
    result = results.memory
    which = informative(result) if momenta == "moderate" else result.beta == result.beta[-1]
    slack = result.rinf[0, which] - result.bound[which]
    return {"slack": slack.min(), "bounds": result.bound[which].min(-1), "beta": result.beta[which]}


C6c = Claim(
    id="C6c",
    says="With one sample a step Signum's ℓ∞ margin is at least γ − ε(β)R.",
    criterion="slack >= 0 and min(bounds) > 0",
    reason="for every β up to 0.99 with a positive bound; slack = smallest difference of normalized margin and bound "
    "over the Gaussian datasets; bounds = the least of them for each β",
    measure=bound,
    on="moderate",
    control=Control(
        "β = 0.999 at the same step, whose memory is too long for it: the limits in the wrong order", on="longest"
    ),
    stance="added",
    figure="memory",
    theorem="thm-incremental-adam-signum",
)


def loss(results: Results, momentum: str) -> dict[str, Any]:
    """Signum's loss of margin over the loss that the bound allows, on the pairs made for its momentum."""
    result, row = results.attained, ("made for it", "larger").index(momentum)
    share = (1 - result.rinf[row]) / (1 - result.bound[row])
    return {"share": share, "beta": result.beta[row]}


C6d = Claim(
    id="C6d",
    says="That bound is nearly attained: on two samples with entries that all but cancel Signum loses nine tenths of "
    "what it allows.",
    criterion="min(share) > 0.85 and max(share) <= 1",
    reason="share = loss of normalized margin over the loss allowed, for three momenta; above 0.9 in theory for "
    "vanishing steps, and never above 1",
    measure=loss,
    on="made for it",
    control=Control("the same pairs, and a momentum that forgets a fifth as fast", on="larger"),
    stance="added",
    unseen="three numbers that the lab prints",
    theorem="thm-incremental-adam-signum",
)


# --- batch size and order -------------------------------------------------------------------------------------------


def sampling(results: Results, other: str) -> dict[str, Any]:
    """Largest distance of directions between cyclic Adam and others, and whether the runs are different."""
    ensure_room(results)
    runs = results.runs
    others = {"other orders": runs.sampled, "full batch": (curve(runs, "full batch"),)}[other]
    ends = np.array([runs.cyclic[0].last, *(end.last for end in others)])
    return {"distance": distance(ends[1:], ends[0]).max(), "apart": apart(ends)}


C7a = Claim(
    id="C7a",
    says="Cyclic, reshuffled and with-replacement sampling lead Adam with one sample a step to one direction.",
    criterion="distance < 0.003 and apart > 0.0001",
    reason="largest 1 − cos between the last iterates over all datasets; below 0.001 in development, noise of "
    "sampling with replacement. apart = least distance between two orders' iterates over their length",
    measure=sampling,
    on="other orders",
    control=Control("full-batch Adam against cyclic Adam", on="full batch"),
    stance="added",
    unseen="the lab prints the margins of the three orders, which agree",
)


def growth(results: Results, rule: str) -> dict[str, Any]:
    """Mean infinity-norm margin over all datasets for each batch size."""
    ensure_room(results)
    runs = results.runs
    mean = np.array([end.rinf[-1].mean() for end in {"Adam": runs.adam, "SGD": runs.sgd}[rule]])
    return {"rinf": mean, "rise": mean[-1] - mean[0], "grows": bool((np.diff(mean) > 0).all())}


C7b = Claim(
    id="C7b",
    says="Adam's bias depends on the batch size: its ℓ∞ margin grows with it.",
    criterion="grows and rise > 0.3",
    reason="means over all datasets for each batch size; rise = from batch size 1 to N, about 0.4",
    measure=growth,
    on="Adam",
    control=Control("SGD, same data and sizes", on="SGD"),
    figure="batches",
)


def spread(results: Results, rule: str, norm: str) -> dict[str, Any]:
    """Largest spread of a margin over batch sizes, and whether the runs are different."""
    ensure_room(results, rule)
    runs = results.runs
    curves = {"Adam": runs.adam, "Signum": runs.signum, "SGD": runs.sgd}[rule]
    values = np.array([getattr(end, norm)[-1] for end in curves])
    return {norm: np.ptp(values, axis=0).max(), "apart": apart(np.array([end.last for end in curves]))}


def infinity_spread(results: Results, rule: str) -> dict[str, Any]:
    """Largest spread of the infinity-norm margin over batch sizes."""
    return spread(results, rule, "rinf")


C7c = Claim(
    id="C7c",
    says="Signum's bias does not depend on the batch size.",
    criterion="rinf < 0.03 and apart > 0.0001",
    reason="largest spread of the normalized ℓ∞ margin over the batch sizes, zero in the limit; apart = least distance "
    "between two batch sizes' iterates over their length",
    measure=infinity_spread,
    on="Signum",
    control=Control("Adam, same data and sizes", on="Adam"),
    figure="batches",
    theorem="thm-incremental-adam-signum",
)


def euclidean_spread(results: Results, rule: str) -> dict[str, Any]:
    """Largest spread of the 2-norm margin over batch sizes."""
    return spread(results, rule, "r2")


C7d = Claim(
    id="C7d",
    says="Nor does SGD's, which goes to the ℓ₂ direction.",
    criterion="r2 < 0.03 and apart > 0.0001",
    reason="as C7c, for the normalized ℓ₂ margin",
    measure=euclidean_spread,
    on="SGD",
    control=Control("Adam, same data and sizes", on="Adam"),
    stance="added",
    figure="batches",
)


# --- images ---------------------------------------------------------------------------------------------------------


def digits(results: Results, batch: str) -> dict[str, Any]:
    """Distance of directions from the fixed points for each pair of digits, and the share of unseen digits right."""
    ensure_room(results)
    result, row = results.images, ("one sample", "full batch").index(batch)
    distances = settled((result.prediction, result.full)[row], "a pair of digits at beta1 and beta2")
    return {"distance": distances, "accuracy": result.accuracy[row].min()}


C8 = Claim(
    id="C8",
    says="On pairs of scanned digits the direction of Adam with one sample a step, a classifier of digits it has not "
    "seen, is that of its fixed point.",
    criterion="max(distance) < 0.001 and accuracy > 0.85",
    reason="1 − cos for each pair of digits; exact in the limit of small steps, 0.0005 or less at this length. "
    "accuracy = least share of the classes' other digits that are on the right side: half, if the labels were lost",
    measure=digits,
    on="one sample",
    control=Control("full-batch Adam's direction and the same fixed points", on="full batch"),
    stance="added",
    figure="images",
    theorem="thm-incremental-adam-own",
)


CLAIMS = (
    C1a, C1b, C2, C3, C4a, C4b, C4c, C4d, C4e, C4f, C5a, C5b, C6a, C6b, C6c, C6d, C7a, C7b, C7c, C7d, C8,
)  # fmt: skip


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    runs, found, images = results.runs, results.fixed_points, results.images
    gauss, rade = runs.kinds
    data, eps, scaling = runs.data, results.epsilon, results.scaling
    small = scaling.gap <= 0.01
    coefficient = scaling.distance / (scaling.N[:, None] * scaling.gap**2)
    by_size = coefficient[:, small].mean(-1)
    cosines = 1 - distance(data.l2, data.linf)
    slope = 1 + loglog_slope(scaling.N.astype(float), by_size) if len(by_size) > 1 else np.nan
    quantities: dict[str, object] = {
        "cos_gaussian": [cosines[gauss].min(), cosines[gauss].max()],
        "cos_rademacher": [cosines[rade].min(), cosines[rade].max()],
        "l2_proxy": [results.reductions.gaussian.min(), results.reductions.gaussian.max()],
        "iterations": [int(found.iterations.min()), int(found.iterations.max())],
        "margin": min(curve.margin.min() for curve in runs.cyclic),
        "epsilon_reached": eps.reached[usual(eps.epsilons)],
        "batches": runs.batches,
        "batch_rinf": [curve.rinf[-1, gauss].mean() for curve in runs.adam],
        "batch_predicted": [found.data.rinf(w).mean() for w in [found.w, *found.batch_w]],
        "scaling": [coefficient[:, small].min(), coefficient[:, small].max()],
        "scaling_by_size": by_size,
        "scaling_slope": slope,
        "images_n": images.n,
        "images_l2": images.l2,
        "images_linf": images.linf,
        "images_support": images.support,
    }
    return quantities
