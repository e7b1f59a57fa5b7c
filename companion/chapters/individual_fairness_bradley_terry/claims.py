"""The claims of the abstract, their criteria, and the controls that must fail them."""

from typing import Any

import numpy as np

from companion.analysis.rates import fit_r2, loglog_slope
from companion.chapters.individual_fairness_bradley_terry.experiments import Results
from companion.chapters.individual_fairness_bradley_terry.metric import CONVEX_DIMS
from companion.chapters.individual_fairness_bradley_terry.model_tuning import HEADS
from companion.chapters.individual_fairness_bradley_terry.predictors import METHODS
from companion.chapters.individual_fairness_bradley_terry.setting import INITS, PAPER, Parameters
from companion.chapters.individual_fairness_bradley_terry.triplets import eigenvalues, shrinkage
from companion.claims import Claim, Control, Undecided, Verdicts, judge

FIT_FROM, FIT_TO = 10, 60  # steps over which the linear rate is fitted
ROUNDING = 1e-10  # distances to the optimum below this are left out
MODERATE = (0.25, 1.0)  # noise scales at which C2b compares starts: logits neither tiny nor saturated


# --- the metric -------------------------------------------------------------------------------------------------------


def _bilinear(results: Results, row: int) -> dict[str, Any]:
    m = results.spectral.m
    return {
        "identity": results.model.identity[row],
        "correlation": float(results.model.correlation[row] * np.sqrt(m)),
    }


def _prediction(results: Results, row: int) -> dict[str, Any]:
    accuracy = results.model.accuracy.mean(-1)
    return {"gap": float(accuracy[0] - accuracy[row]), "accuracy": float(accuracy[row])}


def _angles(results: Results, row: int) -> dict[str, Any]:
    spectral = results.spectral
    return {
        "slope": float(loglog_slope(spectral.sizes, spectral.sine[row].mean(-1))),
        "sine": spectral.sine[row, -1].max(),
    }


def _starts(results: Results, row: int) -> dict[str, Any]:
    spectral = results.spectral
    chosen = (spectral.scales >= MODERATE[0]) & (spectral.scales <= MODERATE[1])
    if not chosen.any():
        raise Undecided(f"no entry of noise_scales lies between {MODERATE[0]} and {MODERATE[1]}")
    return {"distance": spectral.start_error[row, chosen].max(-1).tolist()}


def _eigenvalues(results: Results, linear: bool) -> dict[str, Any]:
    spectral = results.spectral
    expected = 6 * spectral.lam if linear else spectral.predicted
    error = np.sqrt(12 / (spectral.m * spectral.along.shape[1]))
    return {"deviation": float((np.abs(spectral.along.mean(1) - expected) / error).max())}


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


def _linear(results: Results, too_large: bool) -> dict[str, Any]:
    runs = results.convergence
    distance = runs.too_large if too_large else runs.to_optimum[:, INITS.index("spectral_rescaled")]
    factor, r2 = linear_rate(distance)
    return {"factor": factor.max(), "r2": r2.min()}


def _speed(results: Results, blind: bool) -> dict[str, Any]:
    runs = results.convergence
    steps = np.median(runs.steps_to_floor(), axis=-1)
    first = len(INITS) if blind else INITS.index("spectral_rescaled")
    random = [INITS.index("random"), INITS.index("small_random")]
    last = (runs.to_truth[-1] / runs.floor)[[first, *random]]
    return {
        "speedup": float(steps[random].min() / steps[first]),
        "steps": float(steps[first]),
        "floor": float(np.abs(last - 1).max()),
    }


def _rate_m(results: Results, row: int) -> dict[str, Any]:
    rates = results.rates
    error = rates.error_m[row].mean(-1)
    return {"slope": float(loglog_slope(rates.sizes, error)), "error": error.tolist()}


def _rate_d(results: Results, row: int) -> dict[str, Any]:
    rates = results.rates
    error = rates.error_d[row]
    if row:
        error = error[:CONVEX_DIMS]
    error = np.nanmean(error, axis=-1)
    return {"slope": float(loglog_slope(rates.dims[: len(error)], error)), "error": error.tolist()}


# --- fairness ---------------------------------------------------------------------------------------------------------


def _bound(results: Results, row: int) -> dict[str, Any]:
    transfer = results.transfer
    return {
        "excess": transfer.excess[row, 0].max(),
        "excess_kernel": transfer.excess[row, 1].max(),
    }


def _slack(results: Results, form: str) -> dict[str, Any]:
    transfer = results.transfer
    slack = getattr(transfer, form).mean(-1)
    return {"slope": float(loglog_slope(transfer.sizes, slack)), "slack": slack.tolist()}


def _of(results: Results, name: str, method: str) -> np.ndarray:
    return getattr(results.downstream, name)[METHODS.index(method), -1]


BASELINES = ("unconstrained", "Euclidean metric")


def _twin(results: Results, methods: tuple[str, ...]) -> dict[str, Any]:
    """The smallest of the methods' gaps."""
    return {"gap": min(float(_of(results, "twin", method).mean()) for method in methods)}


def _leak(results: Results, row: int) -> dict[str, Any]:
    task = results.downstream
    method = ("learned metric", "random metric")[row]
    return {
        "slope": float(loglog_slope(task.sizes, task.leak_m[row].mean(-1))),
        "ratio": float(_of(results, "leak", method).mean() / _of(results, "leak", "unconstrained").mean()),
    }


def _excess(results: Results, method: str) -> dict[str, Any]:
    names = (method, "unconstrained", "Euclidean metric")
    mean = {name: float(_of(results, "excess", name).mean()) for name in names}
    return {"excess": mean[method], "baseline": mean["unconstrained"], "euclidean": mean["Euclidean metric"]}


def _cost(results: Results, method: str) -> dict[str, Any]:
    accuracy = {name: float(_of(results, "accuracy", name).mean()) for name in (method, "true metric", "unconstrained")}
    return {
        "accuracy": accuracy[method],
        "oracle": accuracy["true metric"],
        "price": accuracy["unconstrained"] - accuracy[method],
    }


def _patients(results: Results, method: str) -> dict[str, Any]:
    patients = results.diabetes
    row, plain = METHODS.index(method), METHODS.index("unconstrained")
    return {
        "ratio": float((patients.flip[plain] / np.maximum(patients.flip[row], 1e-12)).min()),
        "lost": float((patients.r2[plain] - patients.r2[row]).mean()),
    }


def _heads(results: Results, head: str) -> dict[str, Any]:
    heads = results.tuning
    row, plain = HEADS.index(head), HEADS.index("unconstrained")
    return {
        "ratio": float((heads.sensitivity[plain] / np.maximum(heads.sensitivity[row], 1e-12)).min()),
        "gain": float((heads.accuracy[row] - heads.accuracy[plain]).mean()),
    }


CLAIMS = (
    Claim(
        id="C1a",
        says=(
            "Under the Bradley-Terry model the logit of a triplet is bilinear, u'Mv, and for Gaussian individuals "
            "its two vectors are independent: metric learning is logistic regression on rank-one measurements."
        ),
        criterion="identity < 1e-10 and correlation < 6",
        reason=(
            "An identity, up to rounding, as a multiple of the logits' standard deviation; and the largest "
            "correlation between entries of u and v in units of its standard error 1/√m, over all d² pairs."
        ),
        measure=lambda r: _bilinear(r, 0),
        control=Control(
            says="x_i − x_j in the place of v = 2x_i − x_j − x_k: not centred, so neither identity nor independence",
            measure=lambda r: _bilinear(r, 1),
        ),
    ),
    Claim(
        id="C1b",
        says=(
            "A Mahalanobis metric learned from noisy answers predicts answers to new questions as well as the true "
            "metric does."
        ),
        criterion="gap < 0.01",
        reason=(
            "Accuracy lost against the true metric on as many fresh triplets; the log loss exceeds its minimum by "
            "about d r/(2m), far below one point of accuracy."
        ),
        measure=lambda r: _prediction(r, 1),
        control=Control(
            says="the Euclidean metric with its best scale, on the same triplets", measure=lambda r: _prediction(r, 2)
        ),
    ),
    Claim(
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
        measure=lambda r: _angles(r, 0),
        control=Control(says="coin flips in the place of the answers", measure=lambda r: _angles(r, 1)),
    ),
    Claim(
        id="C2b",
        says="The spectral start is close to the truth once one number, its scale, is fitted.",
        criterion="max(distance) < 0.25",
        reason=(
            "Relative Procrustes distance, largest over metrics, at noise scales between 0.25 and 1: a quarter of "
            "the norm of U*; the theory's radius is a fraction of its smallest singular value, somewhat less."
        ),
        measure=lambda r: _starts(r, 1),
        control=Control(
            says="the raw start, whose eigenvalues are shrunk by the noise", measure=lambda r: _starts(r, 0)
        ),
    ),
    Claim(
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
        measure=lambda r: _eigenvalues(r, linear=False),
        control=Control(
            says="the linearization 6λ, which holds for nearly random answers only",
            measure=lambda r: _eigenvalues(r, linear=True),
        ),
        stance="restated",
    ),
    Claim(
        id="C3a",
        says=(
            "Gradient descent on the factor converges linearly from the spectral start, although the loss is not "
            "convex."
        ),
        criterion="factor < 0.93 and r2 > 0.98",
        reason=(
            "Straight line through the logarithm of the Procrustes distance to the sample's own optimum, steps 10 to "
            "60; worst metric. The bound belongs to the default noise level: larger logits flatten σ and slow "
            "descent down."
        ),
        measure=lambda r: _linear(r, too_large=False),
        control=Control(
            says="a step size 15 times as large: it diverges", measure=lambda r: _linear(r, too_large=True)
        ),
    ),
    Claim(
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
        measure=lambda r: _speed(r, blind=False),
        control=Control(
            says="the spectral start of coin flips, with the same norm: no information, no head start",
            measure=lambda r: _speed(r, blind=True),
        ),
    ),
    Claim(
        id="C4a",
        says="It converges to the true metric: the error of M falls like 1/√m in the number m of answers.",
        criterion="-0.62 <= slope <= -0.42",
        reason=(
            "A maximum-likelihood estimate with d r unknowns has an error √(d r/m); the log-log slope of the mean "
            "relative Frobenius error is −½ up to finite-sample effects."
        ),
        measure=lambda r: _rate_m(r, 0),
        control=Control(
            says="the raw spectral estimate without descent: it has a bias that no number of answers removes",
            measure=lambda r: _rate_m(r, 2),
        ),
    ),
    Claim(
        id="C4b",
        says="In the dimension the error grows like √d: the low rank is used.",
        criterion="0.35 <= slope <= 0.75",
        reason="As C4a: d r unknowns at fixed m and r give the exponent ½.",
        measure=lambda r: _rate_d(r, 0),
        control=Control(
            says="convex logistic regression for the whole symmetric matrix, with its d(d + 1)/2 unknowns",
            measure=lambda r: _rate_d(r, 1),
        ),
    ),
    Claim(
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
        measure=lambda r: _bound(r, 0),
        control=Control(says="the bound without its slack", measure=lambda r: _bound(r, 1)),
    ),
    Claim(
        id="C5b",
        says="The slack vanishes like 1/√m, as the error of the factor does.",
        criterion="-0.65 <= slope <= -0.35",
        reason="‖ÛR − U*‖ is O(√(d r/m)); log-log slope of its mean.",
        measure=lambda r: _slack(r, "factor"),
        control=Control(
            says="the slack √‖M̂ − M*‖ that comes from the metric instead of the factor: m to the power −¼",
            measure=lambda r: _slack(r, "root"),
        ),
    ),
    Claim(
        id="C6a",
        says=(
            "A classifier that is fair for the learned metric treats twins who differ in the protected direction alike."
        ),
        criterion="gap < 0.03",
        reason=(
            "Mean |f(x + p) − f(x − p)| with the protected unit direction p, over test individuals and metrics. "
            "Random metrics are left out: their classifiers are nearly constant, see C6d's control."
        ),
        measure=lambda r: _twin(r, ("learned metric",)),
        control=Control(
            says="the smaller gap of no constraint and of the Euclidean metric in the same units",
            measure=lambda r: _twin(r, BASELINES),
        ),
    ),
    Claim(
        id="C6b",
        says=(
            "What a fair classifier leaks from directions that the true metric ignores falls with the number of "
            "answers."
        ),
        criterion="-0.8 <= slope <= -0.3 and ratio < 0.25",
        reason=(
            "The leak ‖P w‖, P the projection on ker M*, is at most 4L times the error of the factor; slope of its "
            "mean in m, and its ratio to the unconstrained classifier's at the default m."
        ),
        measure=lambda r: _leak(r, 0),
        control=Control(says="random metrics of the same rank", measure=lambda r: _leak(r, 1)),
    ),
    Claim(
        id="C6c",
        says=(
            "Judged by the true metric, fairness for the learned one is violated at least ten times less than fairness "
            "for the Euclidean metric, or no constraint, leaves it."
        ),
        criterion="10 * excess <= min(baseline, euclidean)",
        reason=(
            "Mean positive part of |f − f′| − L d_{M*} over pairs of individuals, against that of the unconstrained "
            "classifier and of the one that is fair for the Euclidean metric in the same units."
        ),
        measure=lambda r: _excess(r, "learned metric"),
        control=Control(
            says="fair for the Euclidean metric in the same units, which ignores nothing",
            measure=lambda r: _excess(r, "Euclidean metric"),
        ),
    ),
    Claim(
        id="C6d",
        says=(
            "The accuracy of fairness for the learned metric is that of fairness for the true one; both pay a price "
            "against no constraint."
        ),
        criterion="accuracy >= oracle - 0.03 and price > 0.02",
        reason=(
            "The label depends on the protected direction, so a fair classifier must lose accuracy, the oracle too."
        ),
        measure=lambda r: _cost(r, "learned metric"),
        control=Control(says="fair for a random metric", measure=lambda r: _cost(r, "random metric")),
    ),
    Claim(
        id="C6e",
        says=(
            "Real features (diabetes patients, simulated answers): with the learned metric, exchanging the recorded "
            "sex changes a prediction at least three times less, at a small loss in R²."
        ),
        criterion="ratio >= 3 and lost <= 0.15",
        reason=(
            "Flip effect of unconstrained ridge over that on the learned representation, smallest over splits; mean "
            "loss of held-out R²."
        ),
        measure=lambda r: _patients(r, "learned metric"),
        control=Control(
            says=(
                "least squares with coefficients in a ball of the same radius, which is fairness for the Euclidean "
                "metric: as small, and as reliant on sex"
            ),
            measure=lambda r: _patients(r, "Euclidean metric"),
        ),
    ),
    Claim(
        id="C7",
        says=(
            "Model tuning, tried on a small network: a head tuned on the learned representation is at least three "
            "times less sensitive to the light, which annotators ignore, and more accurate where the light misleads."
        ),
        criterion="ratio >= 3 and gain > 0.02",
        reason=(
            "Mean change of the prediction between a dark and a bright picture of the same digit, unconstrained over "
            "learned, smallest over networks; gain in mean accuracy where the light says nothing. The abstract only "
            "discusses it."
        ),
        measure=lambda r: _heads(r, "learned metric"),
        control=Control(says="a random metric of the same rank and size", measure=lambda r: _heads(r, "random metric")),
        stance="restated",
    ),
)


def _quantities(params: Parameters, results: Results) -> dict[str, Any]:
    spectral, runs, rates = results.spectral, results.convergence, results.rates
    transfer, task, patients, heads = results.transfer, results.downstream, results.diabetes, results.tuning
    careless = results.annotators
    lam = eigenvalues(params.rank, params.scale, params.cond).numpy()
    nearest = int(np.abs(spectral.scales - params.scale).argmin())
    quantities = {
        "logit_std": results.model.std,
        "bayes": float(results.model.accuracy[0].mean()),
        "learned_regret": float(results.model.regret[1].mean()),
        "euclid_accuracy": float(results.model.accuracy[2].mean()),
        "start_raw": spectral.start_error[0].mean(-1).tolist(),
        "start_rescaled": spectral.start_error[1].mean(-1).tolist(),
        "start_std": spectral.std.tolist(),
        "start_gap": float(
            (spectral.spectrum[nearest, :, params.rank - 1] / spectral.spectrum[nearest, :, params.rank]).min()
        )
        if params.rank < spectral.spectrum.shape[-1]
        else None,
        "steps": np.median(runs.steps_to_floor(), axis=-1).tolist(),
        "floor": float(runs.floor.mean()),
        "low_rank_error": float(runs.low_rank_error[0].mean()),
        "right_rank_error": float(runs.low_rank_error[1].mean()),
        "raw_error": float(rates.error_m[2, -1].mean()),
        "raw_bias": float(np.linalg.norm((1 - 2 * params.label_flip) * shrinkage(lam) / 6 - lam) / np.linalg.norm(lam)),
        "start_slope": float(loglog_slope(rates.sizes, rates.error_m[1].mean(-1))),
        "start_error_m": rates.error_m[1].mean(-1).tolist(),
        "convex_ratio": (
            np.nanmean(rates.error_d[1, :CONVEX_DIMS], -1) / rates.error_d[0, :CONVEX_DIMS].mean(-1)
        ).tolist(),
        "flips": careless.flips.tolist(),
        "flip_sine": careless.sine.mean(-1).tolist(),
        "flip_size": careless.size.mean(-1).tolist(),
        "flip_shape": careless.shape_error.mean(-1).tolist(),
        "flip_error": careless.error.mean(-1).tolist(),
        "root": transfer.root.mean(-1).tolist(),
        "factor": transfer.factor.mean(-1).tolist(),
        "attained": np.sort(transfer.largest.mean(-1) / transfer.factor.mean(-1))[[0, -1]].tolist(),
        "factor_smaller": float((transfer.factor < transfer.root).mean()),
        "twin": task.twin[:, -1].mean(-1).tolist(),
        "accuracy": task.accuracy[:, -1].mean(-1).tolist(),
        "excess": task.excess[:, -1].mean(-1).tolist(),
        "excess_ratio": (task.excess[1].mean(-1) / np.maximum(task.excess[-1].mean(-1), 1e-12))[:-1].tolist(),
        "grid": task.grid[:-1].tolist(),
        "leak": task.leak[:, -1].mean(-1).tolist(),
        "leak_m": task.leak_m[0].mean(-1).tolist(),
        "bound": float(task.bound.mean()),
        "twin_largest": float(_of(results, "twin", "learned metric").max()),
        "diabetes_flip": patients.flip.mean(-1).tolist(),
        "diabetes_r2": patients.r2.mean(-1).tolist(),
        "diabetes_error": patients.error.mean(-1).tolist(),
        "diabetes_std": patients.std,
        "tuning_sensitivity": heads.sensitivity.mean(-1).tolist(),
        "tuning_accuracy": heads.accuracy.mean(-1).tolist(),
        "tuning_biased": heads.biased.mean(-1).tolist(),
        "tuning_answered": heads.answered.mean(-1).tolist(),
    }
    return {name: value for name, value in quantities.items() if value is not None}


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(params, results))
