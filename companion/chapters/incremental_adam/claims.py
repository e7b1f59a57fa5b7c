"""The claims of the chapter, each with the control that must fail it."""

from collections.abc import Callable

import numpy as np

from companion.analysis.rates import loglog_slope
from companion.chapters.incremental_adam.experiments import Curve, Epsilon, Memory, Results, Runs
from companion.chapters.incremental_adam.setting import PAPER, Parameters, distance
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge


def _margins(curve: Callable[[Runs], Curve]) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        end = curve(results.runs)
        return {"rinf": end.rinf[-1].min(), "r2": end.r2[-1].max()}

    return measure


def _default(result: Epsilon) -> int:
    """The epsilon nearest to Adam's usual 1e-8, on a logarithmic scale."""
    return 1 + int(np.abs(np.log(result.epsilons[1:]) - np.log(1e-8)).argmin())


def _epsilon(result: Epsilon, which: int) -> Measured:
    r2, rinf = result.r2[:, which].mean(-1), result.rinf[:, which].mean(-1)
    return {"rinf": rinf[-1], "r2": r2[-1], "fall": rinf.max() - rinf[-1], "epsilon": result.epsilons[which]}


def _rademacher(full_batch: bool) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        runs = results.runs
        rows = runs.kinds[1]
        ends = (runs.full_batch,) if full_batch else runs.cyclic
        return {
            "r2": min(end.r2[-1, rows].min() for end in ends),
            "rinf": max(end.rinf[-1, rows].max() for end in ends),
        }

    return measure


def _epoch_map(name: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        result = results.epoch_map
        late = result.epochs >= result.epochs[-1] / 4
        if result.eta[late].min() == result.eta[late].max():
            raise Undecided("needs a step size that falls")
        error = getattr(result, name)
        return {"error": error[-1].max(), "slope": loglog_slope(result.eta[late], error[late].mean(-1))}

    return measure


def _incremental(results: Results) -> Measured:
    found = results.fixed_points
    return {"fixed_point": found.limit[:2].max(), "l2": found.l2[:2].mean()}


def _full_batch(results: Results) -> Measured:
    found, runs = results.fixed_points, results.runs
    end = runs.full_batch.last[runs.kinds[0]]
    return {"fixed_point": distance(end, found.w).max(), "l2": distance(end, found.data.l2).mean()}


def _sweep(name: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        result = results.sweep
        if len(result.beta2) < 2:
            raise Undecided("needs two or more different values of beta2")
        mean = getattr(result, name).mean(-1)
        return {"slope": loglog_slope(1 - result.beta2, mean), "falls": bool((np.diff(mean) < 0).all())}

    return measure


def _own(proxy: bool) -> Callable[[Results], Measured]:
    """Largest distance of incremental Adam's ends from their own fixed points, or from AdamProxy's."""

    def measure(results: Results) -> Measured:
        found = results.fixed_points
        rates = found.limit if proxy else found.own
        return {"rates": rates.max(-1), "batches": batch_distances(results, proxy).max(-1, initial=0.0)}

    return measure


def batch_distances(results: Results, proxy: bool = False) -> np.ndarray:
    """``1 - cos`` of Adam's ends and their fixed points for batch sizes between 1 and N, ``(batches, datasets)``."""
    found, runs = results.fixed_points, results.runs
    ends = [runs.adam[runs.batches.index(b)].last[runs.kinds[0]] for b in found.batches]
    if not ends:
        return np.zeros((0, len(found.w)))
    return distance(np.array(ends), found.w if proxy else found.batch_w)


def _diagonal(row: int) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        result = results.reductions
        return {
            "first": result.first[row].min(),
            "cos_l2": result.cos_l2[row].max(),
            "rinf": result.rinf[row].min(),
            "r2": result.r2[row].max(),
        }

    return measure


def _momentum(step: int) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        result = results.memory
        mean = dict(zip(result.beta.tolist(), result.rinf[step].mean(-1), strict=True))
        chain = [mean[beta] for beta in (0.0, 0.5, 0.8, 0.9, 0.99)]
        return {"rise": np.diff(chain).min(), "far": 1 - mean[0.9], "near": 1 - mean[0.99]}

    return measure


def _bound(largest: bool) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        result = results.memory
        which = len(result.beta) - 1 if largest else informative(result)
        slack = result.rinf[0, which] - result.bound[which]
        return {"slack": slack.min(), "bound": result.bound[which].min(), "beta": result.beta[which]}

    return measure


def informative(result: Memory) -> int:
    """The least momentum at which the bound is positive for every dataset."""
    positive = (result.bound > 0).all(-1)
    if not positive[:-1].any():
        raise Undecided("the bound is negative for every momentum below the largest: fewer samples are needed")
    return int(positive.argmax())


def _sampling(results: Results) -> Measured:
    runs = results.runs
    return {"distance": max(distance(end.last, runs.cyclic[0].last).max() for end in runs.sampled)}


def _batches(rule: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        mean = np.array([curve.rinf[-1].mean() for curve in getattr(results.runs, rule)])
        return {"rinf": mean, "rise": mean[-1] - mean[0], "grows": bool((np.diff(mean) > 0).all())}

    return measure


def _spread(first: str, second: str) -> Callable[[Results], Measured]:
    def measure(results: Results) -> Measured:
        r2 = np.array([curve.r2[-1] for curve in getattr(results.runs, first)])
        rinf = np.array([curve.rinf[-1] for curve in getattr(results.runs, second)])
        return {"r2": np.ptp(r2, axis=0).max(), "rinf": np.ptp(rinf, axis=0).max()}

    return measure


CLAIMS = (
    Claim(
        id="C1a",
        says="Full-batch Adam without ε goes to the ℓ∞-max-margin classifier, on Gaussian and on scaled Rademacher "
        "data.",
        criterion="rinf > 0.9 and r2 < 0.95",
        reason="smallest normalized ℓ∞ margin and largest ℓ₂ margin over all datasets, 1 in the limit and about 0.8; "
        "the approach is slow, 0.94 or more at this length",
        measure=_margins(lambda runs: runs.full_batch),
        control=Control(says="one sample a step, same data", measure=_margins(lambda runs: runs.cyclic[0])),
    ),
    Claim(
        id="C1b",
        says="That holds for ε = 0 only: with the usual ε = 1e-8 full-batch Adam turns away from the ℓ∞ direction once "
        "gradients are below ε, and towards the ℓ₂ direction.",
        criterion="rinf < 0.9 and r2 > rinf and fall > 0.005",
        reason="means over the Gaussian datasets; fall = from the highest normalized ℓ∞ margin to the last. Without ε "
        "it rises to the end; with ε Adam becomes gradient descent with momentum",
        measure=lambda results: _epsilon(results.epsilon, _default(results.epsilon)),
        control=Control(says="ε = 0, same runs", measure=lambda results: _epsilon(results.epsilon, 0)),
        stance="restated",
    ),
    Claim(
        id="C2",
        says="On scaled Rademacher data Adam with one sample a step goes to the ℓ₂-max-margin classifier, for every "
        "pair β₁ ≤ β₂ tried.",
        criterion="r2 > 0.98 and rinf < 0.9",
        reason="smallest normalized ℓ₂ margin and largest ℓ∞ margin over datasets and pairs; 1 in the limit for r2, "
        "0.989 or more at this length",
        measure=_rademacher(full_batch=False),
        control=Control(says="full-batch Adam on the same data", measure=_rademacher(full_batch=True)),
    ),
    Claim(
        id="C3",
        says="Over an epoch incremental Adam is one step of an explicit map of its iterate, up to a relative error "
        "that vanishes in proportion to the step size.",
        criterion="error < 0.12 and 0.7 <= slope <= 1.3",
        reason="error = largest at the last epoch; slope of the mean error over the step size in log-log, over the "
        "last three quarters of the epochs: first order in theory",
        measure=_epoch_map("error"),
        control=Control(
            says="the square of the summed gradients in place of the sum of squares, best factor",
            measure=_epoch_map("error_sign"),
        ),
    ),
    Claim(
        id="C4a",
        says="AdamProxy's direction is that of the dual fixed point.",
        criterion="distance < 0.001",
        reason="distance = largest 1 − cos over the Gaussian datasets; exact in the limit of many steps",
        measure=lambda results: {"distance": results.fixed_points.proxy.max()},
        control=Control(
            says="the classifier in the metric of equal weights, that is one step of the dual map",
            measure=lambda results: {"distance": results.fixed_points.proxy_once.max()},
        ),
    ),
    Claim(
        id="C4b",
        says="On Gaussian data the dual map has one fixed point, reached from every start tried.",
        criterion="spread < 1e-8",
        reason="spread = largest difference of weights between the fixed points from five random starts and from equal "
        "weights; iterations stop at 1e-12",
        measure=lambda results: {"spread": results.fixed_points.spread.max()},
        control=Control(
            says="two samples whose map has three fixed points, from two starts",
            measure=lambda results: {"spread": np.ptp(results.fixed_points.two_c, axis=0).max()},
        ),
    ),
    Claim(
        id="C4c",
        says="On Gaussian data Adam with one sample a step goes to the fixed point, which is not the ℓ₂ direction.",
        criterion="fixed_point < 0.002 and l2 > 0.015",
        reason="1 − cos at β₂ = 0.95 and 0.99: the largest to the fixed point, the mean to the ℓ₂ direction",
        measure=_incremental,
        control=Control(says="full-batch Adam", measure=_full_batch),
    ),
    Claim(
        id="C4d",
        says="As β₂ → 1 the limit direction tends to AdamProxy's, 1 − cos like (1 − β₂)².",
        criterion="falls and 1.5 <= slope <= 2.5",
        reason="slope of the mean 1 − cos over 1 − β₂ in log-log; weights deviate in proportion to 1 − β₂, angles like "
        "them, 1 − cos like their square",
        measure=_sweep("to_proxy"),
        control=Control(says="1 − cos to the ℓ₂ direction, in the same runs", measure=_sweep("to_l2")),
    ),
    Claim(
        id="C4e",
        says="Not only β₂ → 1: for every (β₁, β₂) and every batch size below N tried, cyclic Adam goes to a dual fixed "
        "point of its own.",
        criterion="max(rates) < 0.001 and max(batches) < 0.001",
        reason="largest 1 − cos over the Gaussian datasets, for each pair of rates and each batch size; exact in the "
        "limit of small steps",
        measure=_own(proxy=False),
        control=Control(says="AdamProxy's fixed point for the same runs", measure=_own(proxy=True)),
        stance="restated",
    ),
    Claim(
        id="C4f",
        says="Where the dual map has two attracting fixed points, Adam with one sample a step reaches the one or the "
        "other, depending on where it starts.",
        criterion="own < 0.001 and apart > 0.003",
        reason="largest 1 − cos of two runs on two samples to the fixed point of their start, and of their ends to "
        "each other. The two fixed points are 0.004 apart, so that below 0.001 an end is nearer to its own",
        measure=lambda results: {
            "own": results.fixed_points.starts_own.max(),
            "apart": results.fixed_points.starts_apart,
        },
        control=Control(
            says="Gaussian data, where the fixed point is one: two starts, the largest over datasets",
            measure=lambda results: {
                "own": results.fixed_points.again_own.max(),
                "apart": results.fixed_points.again_apart.max(),
            },
        ),
        stance="restated",
    ),
    Claim(
        id="C5a",
        says="On scaled Rademacher data the fixed point is the ℓ₂-max-margin direction.",
        criterion="distance < 1e-8",
        reason="largest 1 − cos over datasets; exact, as every metric M(c) is a multiple of the identity",
        measure=lambda results: {"distance": results.reductions.rademacher.max()},
        control=Control(says="Gaussian data", measure=lambda results: {"distance": results.reductions.gaussian.max()}),
    ),
    Claim(
        id="C5b",
        says="On the shifted diagonal the fixed point is the ℓ∞-max-margin direction, far from the ℓ₂ one, and Adam "
        "with one sample a step goes there.",
        criterion="first > 0.999999 and cos_l2 < 0.9 and rinf > 0.97 and r2 < 0.9",
        reason="first = weight of the smallest sample, 1 in theory; cos_l2 = cosine of fixed point and ℓ₂ direction; "
        "incremental Adam's normalized margins; the worst over δ",
        measure=_diagonal(0),
        control=Control(
            says="the small entries of the smallest sample with the other sign, so that the condition fails",
            measure=_diagonal(1),
        ),
    ),
    Claim(
        id="C6a",
        says="Signum with β = 0.99 goes to the ℓ∞-max-margin classifier for every batch size.",
        criterion="rinf > 0.93",
        reason="smallest normalized ℓ∞ margin over batch sizes and all datasets; 0.98 or more at this length",
        measure=lambda results: {"rinf": min(curve.rinf[-1].min() for curve in results.runs.signum)},
        control=Control(
            says="β = 0, one sample a step",
            measure=lambda results: {"rinf": results.runs.sign_sgd.rinf[-1].min()},
        ),
    ),
    Claim(
        id="C6b",
        says="With one sample a step Signum's ℓ∞ margin grows with β, and falls short of the largest less than half as "
        "much at β = 0.99 as at 0.9.",
        criterion="rise > 0 and near < far / 2",
        reason="means over the Gaussian datasets; rise = least increase along β = 0, 0.5, 0.8, 0.9, 0.99; the "
        "shortfall is at most proportional to 1 − β in theory",
        measure=_momentum(0),
        control=Control(
            says="steps 25 times as large, which are not small against 1 − β",
            measure=_momentum(-1),
        ),
        stance="restated",
    ),
    Claim(
        id="C6c",
        says="With one sample a step Signum's ℓ∞ margin is at least γ − 2ε(β)R.",
        criterion="slack >= 0 and bound > 0",
        reason="at the least β with a positive bound; slack = smallest difference of normalized margin and bound over "
        "the Gaussian datasets",
        measure=_bound(largest=False),
        control=Control(
            says="β = 0.999 at the same step, whose memory is too long for it: the limits in the wrong order",
            measure=_bound(largest=True),
        ),
        stance="restated",
    ),
    Claim(
        id="C7a",
        says="Cyclic, reshuffled and with-replacement sampling lead Adam with one sample a step to one direction.",
        criterion="distance < 0.01",
        reason="largest 1 − cos between the last iterates over all datasets; below 0.001 in development, noise of "
        "sampling with replacement",
        measure=_sampling,
        control=Control(
            says="full-batch Adam against cyclic Adam",
            measure=lambda results: {
                "distance": distance(results.runs.full_batch.last, results.runs.cyclic[0].last).max()
            },
        ),
    ),
    Claim(
        id="C7b",
        says="Adam's bias depends on the batch size: its ℓ∞ margin grows with it.",
        criterion="grows and rise > 0.3",
        reason="means over all datasets for each batch size; rise = from batch size 1 to N, about 0.4",
        measure=_batches("adam"),
        control=Control(says="Signum", measure=_batches("signum")),
    ),
    Claim(
        id="C7c",
        says="SGD's and Signum's biases do not depend on the batch size.",
        criterion="r2 < 0.03 and rinf < 0.03",
        reason="largest spread over the batch sizes of SGD's normalized ℓ₂ margin and of Signum's ℓ∞ margin; zero in "
        "the limit",
        measure=_spread("sgd", "signum"),
        control=Control(says="Adam in both places", measure=_spread("adam", "adam")),
    ),
    Claim(
        id="C8",
        says="On pairs of scanned digits the direction of Adam with one sample a step is that of its fixed point.",
        criterion="max(distance) < 0.002",
        reason="1 − cos for each pair of digits; exact in the limit of small steps, 0.0005 or less at this length",
        measure=lambda results: {"distance": results.images.prediction},
        control=Control(
            says="full-batch Adam's direction and the same fixed points",
            measure=lambda results: {"distance": results.images.full},
        ),
        stance="restated",
    ),
)


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    runs, found, memory, images = results.runs, results.fixed_points, results.memory, results.images
    gauss, rade = runs.kinds
    data, eps, scaling = runs.data, results.epsilon, results.scaling
    default = _default(eps)
    small = scaling.gap <= 0.01
    coefficient = scaling.distance / (scaling.N[:, None] * scaling.gap**2)
    by_size = coefficient[:, small].mean(-1)
    cosines = 1 - distance(data.l2, data.linf)
    least = {beta: float(memory.rinf[0, k].min()) for k, beta in enumerate(memory.beta.tolist())}
    quantities: dict[str, object] = {
        "cos_gaussian": [cosines[gauss].min(), cosines[gauss].max()],
        "cos_rademacher": [cosines[rade].min(), cosines[rade].max()],
        "l2_proxy": [results.reductions.gaussian.min(), results.reductions.gaussian.max()],
        "iterations": [int(found.iterations.min()), int(found.iterations.max())],
        "support": (found.c > 1e-9).sum(-1),
        "margin": min(curve.margin.min() for curve in runs.cyclic),
        "epsilon_reached": eps.reached[default],
        "epsilon_rinf": eps.rinf[-1].mean(-1),
        "epsilon_r2": eps.r2[-1].mean(-1),
        "epoch_error": results.epoch_map.error.mean(-1),
        "epoch_eta": results.epoch_map.eta,
        "own": found.own.max(-1),
        "limit": found.limit.mean(-1),
        "sweep": results.sweep.to_proxy.mean(-1),
        "batches": runs.batches,
        "batch_rinf": [curve.rinf[-1, gauss].mean() for curve in runs.adam],
        "batch_predicted": [found.data.rinf(w).mean() for w in [found.w, *found.batch_w]],
        "batch_rademacher": [[curve.r2[-1, rade].min(), curve.r2[-1, rade].max()] for curve in runs.adam],
        "signum_least": [curve.rinf[-1].min() for curve in runs.signum],
        "signum_beta": [least[beta] for beta in (0.9, 0.99)],
        "signum_large_steps": memory.rinf[:, memory.beta.tolist().index(0.999)].mean(-1),
        "scaling": [coefficient[:, small].min(), coefficient[:, small].max()],
        "scaling_by_size": by_size,
        "scaling_slope": 1 + loglog_slope(scaling.N.astype(float), by_size) if len(by_size) > 1 else np.nan,
        "images_n": images.n,
        "images_l2": images.l2,
        "images_linf": images.linf,
        "images_support": images.support,
    }
    return quantities
