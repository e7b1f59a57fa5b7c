"""The claims, each below its measure, with their criteria and the controls that must fail them."""

from typing import Any

import numpy as np

from companion.analysis.rates import fit_r2, loglog_slope
from companion.chapters.individual_fairness_bradley_terry.experiments import Results
from companion.chapters.individual_fairness_bradley_terry.experiments.metric import (
    CONVEX_DIMS,
    ESTIMATORS,
    FEATURES_OF,
    POPULATIONS,
    PREDICTORS,
    STARTS_OF_RATES,
)
from companion.chapters.individual_fairness_bradley_terry.experiments.predictors import BOUNDS, METHODS
from companion.chapters.individual_fairness_bradley_terry.experiments.tuning import HEADS
from companion.chapters.individual_fairness_bradley_terry.learning import STARTS, degrees_of_freedom
from companion.chapters.individual_fairness_bradley_terry.parameters import PAPER, Parameters
from companion.chapters.individual_fairness_bradley_terry.triplets import eigenvalues, shrinkage
from companion.claims import Claim, Control, Undecided, Verdicts, judge

FIT_FROM, FIT_TO = 10, 60  # steps over which the linear rate is fitted
ROUNDING = 1e-10  # distances to the optimum below this are left out
MODERATE = (0.25, 1.0)  # noise scales at which C2b compares starts: logits neither tiny nor saturated
UNFAIR = 0.06  # gap between twins from which on an unconstrained classifier is unfair
VIOLATED = 1e-3  # mean excess from which on a demand is violated without constraint


# --- the metric -------------------------------------------------------------------------------------------------------


def bilinear(results: Results, population: str) -> dict[str, Any]:
    """Error of the identity, and dependence of its two vectors."""
    row = POPULATIONS.index(population)
    return {"identity": results.model.identity[row], "dependence": results.model.dependence[row]}


C1a = Claim(
    id="C1a",
    says=(
        "Under the Bradley-Terry model the logit of a triplet is bilinear, u'Mv, and for Gaussian individuals "
        "its two vectors are independent: metric learning is logistic regression on rank-one measurements."
    ),
    criterion="identity < 1e-10 and dependence < 8",
    reason=(
        "An identity, up to rounding, as a multiple of the logits' standard deviation; and the largest correlation "
        "between entries of u and v, or between their squares, in units of its standard error 1/√m, over all d² pairs."
    ),
    measure=bilinear,
    on="Gaussian",
    control=Control(
        "individuals with Laplace-distributed features: the identity holds, the vectors are uncorrelated, but their "
        "squares are not",
        on="Laplace",
    ),
    stance="added",
    unseen="an identity: the lab prints its error",
    theorem="lem-ifbt-bilinear",
)


def prediction(results: Results, predictor: str) -> dict[str, Any]:
    """Accuracy lost on fresh answers, and excess of the log loss in units of what an efficient estimate has."""
    model, row = results.model, PREDICTORS.index(predictor)
    accuracy = model.accuracy.mean(-1)
    d, rank = results.rates.truth.shape[-2:]
    unit = degrees_of_freedom(d, rank) / (2 * model.m)
    return {"gap": float(accuracy[0] - accuracy[row]), "excess": float(model.regret[row].mean() / unit)}


C1b = Claim(
    id="C1b",
    says=(
        "A Mahalanobis metric learned from noisy answers predicts answers to new questions as well as the true "
        "metric does, up to what the sample's size takes away."
    ),
    criterion="abs(gap) < 0.01 and 0.3 <= excess <= 1.8",
    reason=(
        "Accuracy lost against the true metric on as many fresh triplets. The log loss of an efficient estimate "
        "exceeds its minimum by (d r − r(r−1)/2)/(2m) on average: excess is measured in this unit, negative on the "
        "triplets learned from, larger for any worse estimate."
    ),
    measure=prediction,
    on="learned metric",
    control=Control("the Euclidean metric with its best scale, on the same triplets", on="Euclidean metric"),
    unseen="two numbers that the lab prints",
)


def angles(results: Results, features: str) -> dict[str, Any]:
    """Slope in m of the sine of the largest angle to the true range, and the largest sine at the largest m."""
    spectral, row = results.spectral, FEATURES_OF.index(features)
    return {
        "slope": float(loglog_slope(spectral.sizes, spectral.sine[row].mean(-1))),
        "sine": spectral.sine[row, -1].max(),
    }


C2a = Claim(
    id="C2a",
    says=(
        "Spectral start: the top eigenspace of one moment matrix of the answers approaches the range of M*, with "
        "an angle like 1/√m."
    ),
    criterion="-0.65 <= slope <= -0.35 and sine < 0.15",
    reason=(
        "Davis and Kahan: the angle is O(√(d/m)). Log-log slope of the mean sine of the largest principal angle, "
        "and the largest sine over all metrics at the largest m."
    ),
    measure=angles,
    on="independent",
    control=Control(
        "features of unequal variance that are not whitened: the eigenspace tends to another one", on="correlated"
    ),
    stance="added",
    unseen="a table that the lab prints",
    theorem="prop-ifbt-moment",
)


def starts(results: Results, start: str) -> dict[str, Any]:
    """Largest relative distance of a start to the truth, for each moderate noise scale."""
    spectral = results.spectral
    chosen = (spectral.scales >= MODERATE[0]) & (spectral.scales <= MODERATE[1])
    if not chosen.any():
        raise Undecided(f"no entry of noise_scales lies between {MODERATE[0]} and {MODERATE[1]}")
    row = ("spectral", "spectral_rescaled").index(start)
    return {"distance": spectral.start_error[row, chosen].max(-1).tolist()}


C2b = Claim(
    id="C2b",
    says="The spectral start is close to the truth once one number, its scale, is fitted.",
    criterion="max(distance) < 0.25",
    reason=(
        "Relative Procrustes distance, largest over metrics, at noise scales between 0.25 and 1: a quarter of "
        "the norm of U*; the theory's radius is a fraction of its smallest singular value, somewhat less."
    ),
    measure=starts,
    on="spectral_rescaled",
    control=Control("the raw start, whose eigenvalues are shrunk by the noise", on="spectral"),
    stance="added",
    figure="spectrum",
)


def shrunk(results: Results, expectation: str) -> dict[str, Any]:
    """Largest deviation of the moment matrix from what is expected along the true eigenvectors, in standard errors."""
    spectral = results.spectral
    expected = {"integral": spectral.predicted, "linearization": 6 * spectral.lam}[expectation]
    error = np.sqrt(12 / (spectral.m * spectral.along.shape[1]))
    return {"deviation": float((np.abs(spectral.along.mean(1) - expected) / error).max())}


C2c = Claim(
    id="C2c",
    says=(
        "For Gaussian individuals the expected moment matrix has the eigenvectors of M*; only the eigenvalues "
        "are shrunk, by the predicted function."
    ),
    criterion="deviation < 5",
    reason=(
        "Largest deviation of the mean moment matrix along the true eigenvectors from the predicted integral, in "
        "units of the standard error √(12/(mB)), over all noise scales."
    ),
    measure=shrunk,
    on="integral",
    control=Control("the linearization 6λ, which holds for nearly random answers only", on="linearization"),
    stance="added",
    figure="spectrum",
    theorem="prop-ifbt-moment",
)


def linear_rate(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factor per step and R^2 of a straight line through the logarithm of ``distance``, ``(T + 1, B)``."""
    small = (distance < ROUNDING).any(-1)
    end = min(FIT_TO, len(distance) - 1, int(small.argmax()) - 1 if small.any() else FIT_TO)
    if end < FIT_FROM + 5:
        raise Undecided(f"the runs reach rounding error within {FIT_FROM + 5} steps: nothing to fit")
    steps = np.arange(FIT_FROM, end + 1)
    log = np.log(distance[FIT_FROM : end + 1]).T
    centred = steps - steps.mean()
    return np.exp((log * centred).sum(-1) / (centred**2).sum()), fit_r2(steps, log)


def linear(results: Results, descent: str) -> dict[str, Any]:
    """The largest factor per step and the smallest R² over metrics."""
    runs = results.convergence
    if not runs.one_too_many.shape[-1]:
        raise Undecided("rank: needs to be below d, for a factor with one column more")
    spectral = runs.to_optimum[:, STARTS.index("spectral_rescaled")]
    factor, r2 = linear_rate({"right rank": spectral, "one column too many": runs.one_too_many}[descent])
    return {"factor": factor.max(), "r2": r2.min()}


C3a = Claim(
    id="C3a",
    says="Gradient descent on the factor converges linearly from the spectral start, although the loss is not convex.",
    criterion="factor < 0.93 and r2 > 0.98",
    reason=(
        "Straight line through the logarithm of the Procrustes distance to the sample's own optimum, steps 10 to "
        "60; worst metric. The bound belongs to the default noise level: larger logits flatten σ and slow "
        "descent down."
    ),
    measure=linear,
    on="right rank",
    control=Control(
        "a factor with one column too many: its curvature vanishes at the optimum, and descent crawls",
        on="one column too many",
    ),
    figure="convergence",
    theorem="thm-ifbt-convergence",
)


def speed(results: Results, start: str) -> dict[str, Any]:
    """Steps to the floor from a start, random starts' over its own, and where all of them end."""
    runs = results.convergence
    steps = np.median(runs.steps_to_floor(), axis=-1)
    first = [*STARTS, "coin flips"].index(start)
    random = [STARTS.index("random"), STARTS.index("small_random")]
    last = (runs.to_truth[-1] / runs.floor)[[first, *random]]
    return {
        "speedup": float(steps[random].min() / steps[first]),
        "steps": float(steps[first]),
        "floor": float(np.abs(last - 1).max()),
    }


C3b = Claim(
    id="C3b",
    says=(
        "The spectral start saves most of the iterations: random starts get to the same floor, in several times "
        "as many steps."
    ),
    criterion="speedup >= 3 and floor < 0.01",
    reason=(
        "Median number of steps to 1.2 times the sample's own error, random over spectral; floor is the largest "
        "relative deviation of the last distance to the truth from that of the optimum, over all metrics."
    ),
    measure=speed,
    on="spectral_rescaled",
    control=Control(
        "the spectral start of coin flips, with the same norm: no information, no head start", on="coin flips"
    ),
    stance="added",
    figure="convergence",
)


def rate_in_answers(results: Results, estimate: str) -> dict[str, Any]:
    """Slope of the error of M in the number of answers."""
    rates = results.rates
    error = rates.error_m[STARTS_OF_RATES.index(estimate)].mean(-1)
    return {"slope": float(loglog_slope(rates.sizes, error)), "error": error.tolist()}


C4a = Claim(
    id="C4a",
    says="It converges to the true metric: the error of M falls like 1/√m in the number m of answers.",
    criterion="-0.62 <= slope <= -0.42",
    reason=(
        "A maximum-likelihood estimate with d r unknowns has an error √(d r/m); the log-log slope of the mean "
        "relative Frobenius error is −½ up to finite-sample effects."
    ),
    measure=rate_in_answers,
    on="learned metric",
    control=Control(
        "the raw spectral estimate without descent: it has a bias that no number of answers removes", on="raw start"
    ),
    figure="rates",
    theorem="thm-ifbt-convergence",
)


def rate_in_dimension(results: Results, estimator: str) -> dict[str, Any]:
    """Slope of the error of M in the dimension."""
    rates = results.rates
    error = rates.error_d[ESTIMATORS.index(estimator)]
    if estimator == "whole matrix":
        error = error[:CONVEX_DIMS]
    error = np.nanmean(error, axis=-1)
    return {"slope": float(loglog_slope(rates.dims[: len(error)], error)), "error": error.tolist()}


C4b = Claim(
    id="C4b",
    says="In the dimension the error grows like √d: the low rank is used.",
    criterion="0.35 <= slope <= 0.75",
    reason="As C4a: d r unknowns at fixed m and r give the exponent ½.",
    measure=rate_in_dimension,
    on="low-rank factor",
    control=Control(
        "convex logistic regression for the whole symmetric matrix, with its d(d + 1)/2 unknowns", on="whole matrix"
    ),
    stance="added",
    figure="rates",
    theorem="thm-ifbt-convergence",
)


# --- fairness ---------------------------------------------------------------------------------------------------------


def bound(results: Results, form: str) -> dict[str, Any]:
    """Largest excess over the transfer bound, on ordinary pairs and on pairs in the kernel."""
    excess = results.transfer.excess[BOUNDS.index(form)]
    return {"excess": excess[0].max(), "excess_kernel": excess[1].max()}


C5a = Claim(
    id="C5a",
    says=(
        "Whoever is L-Lipschitz in the learned metric is L-Lipschitz in the true one, up to L times a slack "
        "times the distance of the two individuals, on every pair."
    ),
    criterion="excess <= 1e-9 and excess_kernel <= 1e-9",
    reason=(
        "A theorem without probability: the largest excess over the bound is not positive, on ordinary pairs and "
        "on pairs that the true metric does not tell apart; linear, distance and extremal functions."
    ),
    measure=bound,
    on="with slack",
    control=Control("the bound without its slack", on="without slack"),
    figure="slack",
    theorem="thm-ifbt-transfer",
)


def slack(results: Results, form: str) -> dict[str, Any]:
    """Slope of a slack in the number of answers."""
    transfer = results.transfer
    values = {"factor": transfer.factor, "root": transfer.root}[form].mean(-1)
    return {"slope": float(loglog_slope(transfer.sizes, values)), "slack": values.tolist()}


C5b = Claim(
    id="C5b",
    says="The slack vanishes like 1/√m, as the error of the factor does.",
    criterion="-0.65 <= slope <= -0.35",
    reason="‖ÛR − U*‖ is O(√(d r/m)); log-log slope of its mean.",
    measure=slack,
    on="factor",
    control=Control(
        "the slack √‖M̂ − M*‖ that comes from the metric instead of the factor: m to the power −¼", on="root"
    ),
    stance="added",
    figure="slack",
    theorem="thm-ifbt-convergence",
)


def attained(results: Results, form: str) -> dict[str, Any]:
    """Share of a slack that the worst pair in the kernel uses, mean over metrics, at each number of answers."""
    transfer = results.transfer
    values = {"smaller": transfer.best, "root": transfer.root}[form][:, : transfer.kernel.shape[1]]
    return {"attained": (transfer.kernel / values).mean(-1).tolist()}


C5c = Claim(
    id="C5c",
    says=(
        "The bound with the smaller slack is nearly attained, by the learned distance to a point, on pairs that the "
        "true metric does not tell apart."
    ),
    criterion="min(attained) >= 0.5",
    reason=(
        "The worst pair in ker M* has the excess ‖P Û‖ per unit of length: more than half of what the bound allows, at "
        "every number of answers."
    ),
    measure=attained,
    on="smaller",
    control=Control("the slack √‖M̂ − M*‖, of which most stays unused", on="root"),
    stance="added",
    figure="slack",
    theorem="thm-ifbt-transfer",
)


def _of(results: Results, name: str, method: str) -> np.ndarray:
    """Values of a method at the demanded constant, one per metric."""
    return getattr(results.downstream, name)[METHODS.index(method), -1]


def _ensure_unfair(results: Results) -> None:
    """Nothing is tested where a classifier has no reason to be unfair."""
    gap = float(_of(results, "twin", "unconstrained").mean())
    if gap < UNFAIR:
        raise Undecided(
            f"without constraint the gap between twins is {gap:.2g}, below {UNFAIR}: the label hardly depends on the "
            "protected direction (protected_strength), so every predictor is fair"
        )


def twins(results: Results, method: str) -> dict[str, Any]:
    """Mean gap between twins."""
    _ensure_unfair(results)
    return {"gap": float(_of(results, "twin", method).mean())}


C6a = Claim(
    id="C6a",
    says="A classifier that is fair for the learned metric treats twins who differ in the protected direction alike.",
    criterion="gap < 0.03",
    reason=(
        "Mean |f(x + p) − f(x − p)| with the protected unit direction p, over test individuals and metrics. "
        "Random metrics are left out: their classifiers are nearly constant, see C6d's control."
    ),
    measure=twins,
    on="learned metric",
    control=Control("fair for the Euclidean metric in the same units, which ignores nothing", on="Euclidean metric"),
    figure="tradeoff",
    theorem="prop-ifbt-ball",
)


def leak(results: Results, method: str) -> dict[str, Any]:
    """Slope of the leak in the number of answers, and its ratio to the unconstrained classifier's."""
    _ensure_unfair(results)
    task, row = results.downstream, ("learned metric", "random metric").index(method)
    return {
        "slope": float(loglog_slope(task.sizes, task.leak_m[row].mean(-1))),
        "ratio": float(_of(results, "leak", method).mean() / _of(results, "leak", "unconstrained").mean()),
    }


C6b = Claim(
    id="C6b",
    says="What a fair classifier leaks from directions that the true metric ignores falls with the number of answers.",
    criterion="-0.8 <= slope <= -0.3 and ratio < 0.25",
    reason=(
        "The leak ‖P w‖, P the projection on ker M*, is at most 4L times the error of the factor; slope of its "
        "mean in m, and its ratio to the unconstrained classifier's at the default m."
    ),
    measure=leak,
    on="learned metric",
    control=Control("random metrics of the same rank", on="random metric"),
    stance="added",
    figure="tradeoff",
    theorem="prop-ifbt-ball",
)


def violations(results: Results, method: str) -> dict[str, Any]:
    """Mean excess over the true Lipschitz bound, of a method, of no constraint and of the oracle."""
    names = (method, "unconstrained", "true metric")
    excess, plain, oracle = (float(_of(results, "excess", name).mean()) for name in names)
    if plain < VIOLATED:
        raise Undecided(
            f"lipschitz = {results.downstream.lipschitz:g} demands nothing: without constraint the mean excess is "
            f"{plain:.2g}, below {VIOLATED}"
        )
    return {"excess": excess, "unconstrained": plain, "oracle": oracle}


C6c = Claim(
    id="C6c",
    says=(
        "Judged by the true metric, a classifier that is fair for the learned one violates fairness at least ten times "
        "less than one without constraint; being fair for the Euclidean metric does not achieve that."
    ),
    criterion="10 * excess <= unconstrained and oracle <= 1e-12",
    reason=(
        "Mean positive part of |f − f′| − L d_{M*} over pairs of individuals, against that of the unconstrained "
        "classifier; zero for the classifier that is fair for the true metric, by definition."
    ),
    measure=violations,
    on="learned metric",
    control=Control("fair for the Euclidean metric in the same units, which ignores nothing", on="Euclidean metric"),
    figure="tradeoff",
    theorem="thm-ifbt-transfer",
)


def cost(results: Results, method: str) -> dict[str, Any]:
    """Accuracy of a method and of the oracle, and what fairness costs."""
    _ensure_unfair(results)
    accuracy = {name: float(_of(results, "accuracy", name).mean()) for name in (method, "true metric", "unconstrained")}
    return {
        "accuracy": accuracy[method],
        "oracle": accuracy["true metric"],
        "price": accuracy["unconstrained"] - accuracy[method],
    }


C6d = Claim(
    id="C6d",
    says=(
        "The accuracy of fairness for the learned metric is that of fairness for the true one; both pay a price "
        "against no constraint."
    ),
    criterion="abs(accuracy - oracle) <= 0.03 and price > 0.02",
    reason="The label depends on the protected direction, so a fair classifier must lose accuracy, the oracle too.",
    measure=cost,
    on="learned metric",
    control=Control("fair for a random metric", on="random metric"),
    stance="added",
    figure="tradeoff",
)


def patients(results: Results, method: str) -> dict[str, Any]:
    """How much less an exchange of the recorded sex does than without constraint, and the loss of fit."""
    found = results.diabetes
    row, plain = METHODS.index(method), METHODS.index("unconstrained")
    return {
        "ratio": float((found.flip[plain] / np.maximum(found.flip[row], 1e-12)).min()),
        "lost": float((found.r2[plain] - found.r2[row]).mean()),
        "metric": float(found.error[0].mean()),
    }


C6e = Claim(
    id="C6e",
    says=(
        "Real features (diabetes patients, simulated answers): with the learned metric, exchanging the recorded "
        "sex changes a prediction at least three times less, at a small loss in R²."
    ),
    criterion="ratio >= 3 and -0.05 <= lost <= 0.15 and metric < 0.6",
    reason=(
        "Flip effect of unconstrained ridge over that on the learned representation, smallest over splits; mean "
        "loss of held-out R²; mean relative error of the learned metric, one for a metric that knows nothing."
    ),
    measure=patients,
    on="learned metric",
    control=Control(
        "least squares with coefficients in a ball of the same radius, which is fairness for the Euclidean metric: as "
        "small, and as reliant on sex",
        on="Euclidean metric",
    ),
    stance="restated",
    changed="The abstract names no data: these are public patients' features with simulated answers.",
    figure="diabetes",
)


def heads(results: Results, head: str) -> dict[str, Any]:
    """How much less the light does than without constraint, and the gain where it says nothing."""
    found = results.tuning
    row, plain = HEADS.index(head), HEADS.index("unconstrained")
    return {
        "ratio": float((found.sensitivity[plain] / np.maximum(found.sensitivity[row], 1e-12)).min()),
        "gain": float((found.accuracy[row] - found.accuracy[plain]).mean()),
        "answered": float(found.answered[0].mean()),
    }


C7 = Claim(
    id="C7",
    says=(
        "Model tuning, tried on a small network: a head tuned on the learned representation is at least three "
        "times less sensitive to the light, which annotators ignore, and more accurate where the light says nothing."
    ),
    criterion="ratio >= 3 and gain > 0.02 and answered > 0.72",
    reason=(
        "Mean change of the prediction between a dark and a bright picture of the same digit, unconstrained over "
        "learned, smallest over networks; gain in mean accuracy where the light says nothing; share of fresh questions "
        "that the learned metric answers as the annotators would without noise. The abstract only discusses such uses."
    ),
    measure=heads,
    on="learned metric",
    control=Control("a random metric of the same rank and size", on="random metric"),
    stance="added",
    figure="tuning",
)


def careless(results: Results, which: str) -> dict[str, Any]:
    """Size and shape of the metric learned from answers that are turned round with the largest or smallest chance."""
    found = results.annotators
    usable = np.where(found.flips <= 0.3, found.flips, -1)
    row = {"most": usable.argmax(), "fewest": found.flips.argmin()}[which]
    if usable.max() < 0.1 or found.flips.min() > 0.02:
        raise Undecided("flips: needs a chance from 0.1 to 0.3 and one of at most 0.02 to compare it with")
    return {
        "flip": float(found.flips[row]),
        "size": float(found.size[row].mean()),
        "shape": float(found.shape_error[row].mean()),
    }


C8 = Claim(
    id="C8",
    says=(
        "Answers turned round at random shrink the learned metric, by more than the share of them that says nothing, "
        "and hardly bend it: after rescaling it is still close to the truth."
    ),
    criterion="size < 0.85 * (1 - 2 * flip) and shape < 0.35",
    reason=(
        "With nearly random answers the logits shrink by the factor 1 − 2ε; decided answers, which are the surprising "
        "ones when turned, shrink the estimate more, by a further 15 % at least. Beyond 0.3 the error is mostly "
        "sampling noise. Shape: relative error after the best rescaling."
    ),
    measure=careless,
    on="most",
    control=Control("the smallest chance, zero by default: the metric keeps its size", on="fewest"),
    stance="added",
    figure="annotators",
)

CLAIMS = (C1a, C1b, C2a, C2b, C2c, C3a, C3b, C4a, C4b, C5a, C5b, C5c, C6a, C6b, C6c, C6d, C6e, C7, C8)


def _quantities(params: Parameters, results: Results) -> dict[str, Any]:
    spectral, runs, rates = results.spectral, results.convergence, results.rates
    transfer, task, found, tuned = results.transfer, results.downstream, results.diabetes, results.tuning
    lam = eigenvalues(params.rank, params.scale, params.cond).numpy()
    return {
        "logit_std": results.model.std,
        "bayes": float(results.model.accuracy[0].mean()),
        "start_raw": spectral.start_error[0].mean(-1).tolist(),
        "start_rescaled": spectral.start_error[1].mean(-1).tolist(),
        "start_std": spectral.std.tolist(),
        "steps": np.median(runs.steps_to_floor(), axis=-1).tolist(),
        "low_rank_error": float(runs.low_rank_error[0].mean()),
        "right_rank_error": float(runs.low_rank_error[1].mean()),
        "raw_error": float(rates.error_m[2, -1].mean()),
        "raw_bias": float(np.linalg.norm((1 - 2 * params.label_flip) * shrinkage(lam) / 6 - lam) / np.linalg.norm(lam)),
        "start_slope": float(loglog_slope(rates.sizes, rates.error_m[1].mean(-1))),
        "convex_ratio": (
            np.nanmean(rates.error_d[1, :CONVEX_DIMS], -1) / rates.error_d[0, :CONVEX_DIMS].mean(-1)
        ).tolist(),
        "attained": [end(attained(results, "smaller")["attained"]) for end in (min, max)],
        "factor_smaller": float((transfer.factor < transfer.root).mean()),
        "twin": task.twin[:, -1].mean(-1).tolist(),
        "accuracy": task.accuracy[:, -1].mean(-1).tolist(),
        "excess_ratio": (task.excess[1].mean(-1) / np.maximum(task.excess[-1].mean(-1), 1e-12))[:-1].tolist(),
        "excess_ratio_default": float(task.excess[1, -1].mean() / max(task.excess[-1, -1].mean(), 1e-12)),
        "leak": task.leak[:, -1].mean(-1).tolist(),
        "twin_largest": float(_of(results, "twin", "learned metric").max()),
        "diabetes_flip": found.flip.mean(-1).tolist(),
        "diabetes_r2": found.r2.mean(-1).tolist(),
        "diabetes_error": found.error.mean(-1).tolist(),
        "tuning_sensitivity": tuned.sensitivity.mean(-1).tolist(),
        "tuning_accuracy": tuned.accuracy.mean(-1).tolist(),
        "tuning_biased": tuned.biased.mean(-1).tolist(),
        "tuning_answered": tuned.answered.mean(-1).tolist(),
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(params, results))
