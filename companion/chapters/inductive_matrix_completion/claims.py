"""The claims of the abstract, each below its measure, with the controls that must fail them."""

import numpy as np

from companion.chapters.inductive_matrix_completion.experiments import Results
from companion.chapters.inductive_matrix_completion.experiments.recommendation import Films
from companion.chapters.inductive_matrix_completion.parameters import PAPER, Parameters
from companion.chapters.inductive_matrix_completion.theory import degrees_of_freedom
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "inductive-matrix-completion"


FEWEST = 4  # trials, for a threshold or a mean rate to say something
SCATTER = 400  # degrees of freedom times matrices, for a mean error that is good to four percent
RATINGS = 300  # seen, for a comparison of methods


def _halves(results: Results, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and thresholds ``(A, N)``, of a method."""
    r = results.thresholds
    n, half = (r.n, r.half()) if method == "IMC" else (r.n_mc, r.half_mc()[None])
    if r.trials < FEWEST:
        raise Undecided(f"trials: needs {FEWEST} or more, for the thresholds")
    if not np.isfinite(r.half()).all():
        raise Undecided("m_over_ar: needs multiples at which half of the runs succeed, within iters steps")
    if not np.isfinite(r.half_mc()).all():
        raise Undecided("m_over_nr: needs multiples at which half of the runs succeed, within iters steps")
    return n, half


def _ended(left: float, most: float = 1e-3) -> None:
    """The descents of an experiment have ended where this share of the start's error is left."""
    if left > most:
        raise Undecided("iters: too few steps of this length eta, at this kappa, for a descent to end")


def growth(results: Results, method: str) -> Measured:
    """How the threshold changes from the smallest to the largest size."""
    _, half = _halves(results, method)
    for name, sizes in (("n_list", results.thresholds.n), ("n_mc", results.thresholds.n_mc)):
        if sizes[-1] < 2 * sizes[0]:
            raise Undecided(f"{name}: needs sizes a factor of two apart")
    ratio = half[:, -1] / half[:, 0]
    return {"mean": np.exp(np.log(ratio).mean()), "largest": ratio.max()}


C1a = Claim(
    id="C1a",
    says="Projected gradient descent from the spectral start recovers the matrix from a number of entries that does "
    "not grow with the matrix's size n.",
    criterion="0.75 <= mean <= 1.3 and largest <= 1.6",
    reason="thresholds at the largest size over those at the smallest, geometric mean over the numbers of features and "
    "largest one; a threshold from six runs for each number of entries has a standard error of some seven percent",
    measure=growth,
    on="IMC",
    control=Control("the same code without features, X = Y = I", on="MC"),
    figure="glance",
    theorem=f"thm-{LABEL}-main",
)


def multiple(results: Results, method: str) -> Measured:
    """Thresholds in units of ``a r``, over all sizes; without features by the most features."""
    r = results.thresholds
    _, half = _halves(results, method)
    a = r.a[:, None] if method == "IMC" else r.a[-1:, None]
    return {"least": (half / (a * r.r)).min(), "most": (half / (a * r.r)).max()}


C1b = Claim(
    id="C1b",
    says="That number is a small multiple of a·r, the features on either side times the rank.",
    criterion="1.8 <= least and most <= 5.2",
    reason="thresholds over a·r for every number of features and size; the degrees of freedom are (2a − r)r, and forty "
    "runs for each number of entries gave 3.3 to 4.0",
    measure=multiple,
    on="IMC",
    control=Control("without features, in units of r times the largest a", on="MC"),
    figure="glance",
    theorem=f"thm-{LABEL}-main",
)


def below_square(results: Results, method: str) -> Measured:
    """Share of successes with six entries for each of ``a r``, where ``a^2`` is more."""
    r = results.unstructured
    _ended(r.left)
    if r.m >= r.a**2:
        raise Undecided("a: needs more than six times the rank, so that 6ar entries are fewer than a²")
    return {
        "success": {"low rank": r.rate_imc, "all products": r.rate_full}[method],
        "entries": r.m,
        "products": r.a**2,
    }


C1c = Claim(
    id="C1c",
    says="Low rank is used, not only the features: the descent succeeds where the entries are fewer than the a² "
    "products of features.",
    criterion="success >= 0.8 and entries < products",
    reason="six entries for each of a·r are well above the threshold; of six runs at most one may fail",
    measure=below_square,
    on="low rank",
    control=Control("least squares in all products of features, on the same entries", on="all products"),
    stance="added",
    unseen="two numbers that the lab prints",
)


def isometry(results: Results, method: str) -> Measured:
    """Extreme eigenvalues on the tangent space at the most entries, over sizes and draws."""
    r = results.spectrum
    df = {"IMC": degrees_of_freedom(r.a, r.r), "MC": degrees_of_freedom(r.n_mc, r.r)}
    if r.m[-1] < 5 * df["IMC"]:
        raise Undecided("m: needs at least five entries for each of the (2a − r)r degrees of freedom")
    if r.m[-1] > 3 * df["MC"]:
        raise Undecided("m: needs so few entries that without features there are not three for each degree of freedom")
    least, largest = {"IMC": (r.least[:, -1], r.largest[:, -1]), "MC": (r.least_mc[-1:], r.largest_mc[-1:])}[method]
    return {"least": least.min(), "largest": largest.max()}


C2a = Claim(
    id="C2a",
    says="With a number of entries proportional to a·r the sampled loss keeps the curvature of the full one on the "
    "tangent space, for every size.",
    criterion="least > 0.15 and largest < 3.5",
    reason="extreme eigenvalues over all sizes and draws, one with every entry seen; with 1200 entries, a = 20 and "
    "r = 3, of 192 draws over twelve seeds none fell below 0.37 or passed 2.31",
    measure=isometry,
    on="IMC",
    control=Control("as many entries without features: rows with fewer than r entries are free", on="MC"),
    figure="spectrum",
    theorem=f"prop-{LABEL}-isometry",
)


def regular(results: Results, method: str) -> Measured:
    """Least constants of the regularity condition, over sizes and points."""
    isometry(results, method)
    r = results.spectrum
    convex, smooth = {"IMC": (r.convex, r.smooth), "MC": (r.convex_mc, r.smooth_mc)}[method]
    return {"convex": convex.min(), "smooth": smooth.min()}


C2b = Claim(
    id="C2b",
    says="The regularity condition holds at that number of entries: near the truth the gradient points to it, with "
    "constants that do not depend on the size.",
    criterion="convex > 0.25 and smooth > 0.25",
    reason="both constants of the condition at random points and along the flattest directions, where the Hessian at "
    "the truth is flattest; over twelve seeds they were at least 0.49 and 0.69",
    measure=regular,
    on="IMC",
    control=Control("as many entries without features: there are flat directions", on="MC"),
    figure="spectrum",
    theorem=f"prop-{LABEL}-hessian",
)


def rates(results: Results, method: str) -> Measured:
    """Rates, logarithms of the factor for each step: the slowest run's, and the largest size's over the smallest's."""
    r = results.convergence
    if r.errors.shape[2] < FEWEST:
        raise Undecided(f"trials: needs {FEWEST} or more, for the mean rates")
    if not r.arrived():
        raise Undecided("iters: too few steps of this length eta, at this kappa, to fit a rate")
    factor, straight = r.fits({"IMC": r.errors, "MC": r.errors_mc}[method])
    mean = np.log(factor).mean(1)
    return {
        "speed": (np.log(factor) / np.log(r.population)).min(),
        "sizes": mean[-1] / mean[0],
        "straight": straight.min(),
    }


C3a = Claim(
    id="C3a",
    says="The descent converges linearly, at a rate that does not depend on the size.",
    criterion="speed > 0.3 and 0.8 <= sizes <= 1.25 and straight > 0.95",
    reason="rates fitted between errors of 1e-4 and 1e-10; speed: the slowest run's over what it is with every entry "
    "seen, 0.5 or more; sizes: mean at the largest size over that at the smallest, where single runs scatter by a "
    "tenth; the straight line explains all but a thousandth",
    measure=rates,
    on="IMC",
    control=Control("as many entries without features", on="MC"),
    figure="convergence",
    theorem=f"prop-{LABEL}-hessian",
)


def forecast(results: Results, hessian: str) -> Measured:
    """Measured over predicted logarithm of the factor, in the mean over the runs of each size."""
    r = results.convergence
    if not r.arrived():
        raise Undecided("iters: too few steps of this length eta, at this kappa, to fit a rate")
    factor, _ = r.fits(r.errors)
    predicted = {"entries seen": r.predicted, "all entries": r.population}[hessian]
    ratio = (np.log(factor) / np.log(predicted)).mean(1)
    return {"least": ratio.min(), "most": ratio.max()}


C3b = Claim(
    id="C3b",
    says="The rate is that of the Hessian at the truth, of the entries that happened to be seen.",
    criterion="0.95 <= least and most <= 1.12",
    reason="logarithm of the measured factor over the predicted one, mean over the runs; the fit still holds some of "
    "the faster directions, so it comes out a few percent above one",
    measure=forecast,
    on="entries seen",
    control=Control("the Hessian as if every entry were seen", on="all entries"),
    stance="added",
    figure="convergence",
    theorem=f"prop-{LABEL}-hessian",
)


def noisy(results: Results, method: str) -> Measured:
    """Mean error of every cell over the prediction from the features' degrees of freedom."""
    r = results.noise
    _ended(r.left)
    if not (np.isfinite(r.predicted).all() and np.isfinite(r.predicted_imc)):
        raise Undecided("a: needs more entries than degrees of freedom in every cell")
    if degrees_of_freedom(int(r.a.min()), r.r) * r.error.shape[1] < SCATTER:
        raise Undecided(f"repeats: needs {SCATTER} over the degrees of freedom (2a − r)r, for the means")
    ratio = {"IMC": r.error.mean(1) / r.predicted, "MC": r.error_mc.mean(keepdims=True) / r.predicted_imc}[method]
    return {"least": ratio.min(), "most": ratio.max()}


C4 = Claim(
    id="C4",
    says="Under noise the error depends on the effective size only: it is σ√(df/(m − df)) with df = (2a − r)r, "
    "whatever n.",
    criterion="0.9 <= least and most <= 1.15",
    reason="mean over eight matrices of error over prediction, in every cell; standard error of 2.4 percent",
    measure=noisy,
    on="IMC",
    control=Control("without features, against the same prediction", on="MC"),
    figure="noise",
    theorem=f"prop-{LABEL}-noise",
)


def follows_floor(results: Results, method: str) -> Measured:
    """Error over the floor with few entries, slope in the tilt, error at zero tilt, and what twice the size changes."""
    r = results.inexact
    _ended(r.left, 1e-4)
    error = {"IMC": r.error, "MC": r.error_mc}[method][0].mean(1)
    large = {"IMC": r.error_large, "MC": r.error_large_mc}[method].mean(1)
    if 3 * r.m[0] > r.n**2:
        raise Undecided("n_list: needs sizes at which 25 entries for each of a·r are a third of all or fewer")
    ratio, span = error[1:] / r.floor[1:], np.log(r.tilt[-1] / r.tilt[1])
    if span < np.log(2):
        raise Undecided("tilts: needs tilts a factor of two apart, for the slope")
    return {
        "least": ratio.min(),
        "most": ratio.max(),
        "slope": np.log(error[-1] / error[1]) / np.log(r.floor[-1] / r.floor[1]),
        "exact": max(error[0], large[0]),
        "size": np.abs(large[1:] / error[1:] - 1).max(),
    }


C5a = Claim(
    id="C5a",
    says="With inexact side information, too, a number of entries proportional to a·r is enough, whatever n, and the "
    "error is of the order of the inexactness: it follows the part of the matrix that the features cannot express.",
    criterion="least >= 0.999 and most <= 1.15 and 0.95 <= slope <= 1.05 and exact < 1e-4 and size < 0.05",
    reason="error over the floor for every tilt, at 25 entries for each of a·r; unseen misfit acts as noise and adds "
    "a part of about df/(m − df) to the square, some five percent to the error; at zero tilt the error falls with "
    "the steps; size: largest relative change from n to 2n with as many entries, where single errors scatter by one "
    "percent",
    measure=follows_floor,
    on="IMC",
    control=Control("as many entries without features", on="MC"),
    figure="inexact",
    theorem=f"prop-{LABEL}-floor",
)


def above_floor(results: Results, method: str) -> Measured:
    """Error over the floor with many entries, at the largest tilt."""
    r = results.inexact
    _ended(r.left)
    return {"ratio": {"IMC": r.error, "MC": r.error_mc}[method][1, -1].mean() / r.floor[-1]}


C5b = Claim(
    id="C5b",
    says="The floor is one of the features, not of the data: with enough entries completion without features goes "
    "below it.",
    criterion="ratio < 0.5",
    reason="noiseless error over the floor at the largest tilt, with ten entries for each of n·r: a few percent, with "
    "slow stragglers",
    measure=above_floor,
    on="MC",
    control=Control("as many entries with features: no estimate within their span can", on="IMC"),
    stance="added",
    figure="inexact",
    theorem=f"prop-{LABEL}-floor",
)


def between(results: Results, side: str) -> Measured:
    """Best error strictly between the ends over either end, with the fewest entries."""
    r = results.mixture
    _ended(r.left)
    if r.tilt < 0.2:
        raise Undecided("tilt: needs side information that is wrong by 0.2 or more")
    error = {"inexact": r.tilted[0], "exact": r.exact}[side]
    best = error[1:-1].min()
    return {"over_imc": best / error[-1], "over_mc": best / error[0]}


C6 = Claim(
    id="C6",
    says="A penalty that draws towards the features' span, between the two methods, beats both where side information "
    "is inexact.",
    criterion="over_imc < 0.9 and over_mc < 0.98",
    reason="least error over the weights between the ends, over that of IMC and of MC: a tenth better than the one "
    "that misspecification hurts, and at all better than the one that few entries hurt",
    measure=between,
    on="inexact",
    control=Control("exact side information: nothing is gained over IMC", on="exact"),
    stance="added",
    figure="mixture",
)


def _enough(films: Films, compared: np.ndarray) -> None:
    if films.count[compared].min() < RATINGS:
        raise Undecided(f"users: needs {RATINGS} ratings seen at the fractions compared")


def _gaps(films: Films, method: str) -> Measured:
    few = (films.fraction >= 0.1) & (films.fraction <= 0.4)
    if not few.any():
        raise Undecided("fractions: needs one from 0.1 to 0.4")
    _enough(films, few)
    ahead = films.ahead(method)
    simple = films.of("biases") - films.of(method)
    return {"over_mc": ahead[few].min(), "over_biases": simple[few].min()}


def on_movielens(results: Results, method: str) -> Measured:
    """Least leads at 10 to 40 percent of the ratings, on MovieLens: over MC or the mean, and over biases."""
    if results.films.name != "movielens-small":
        raise Undecided("ratings: needs movielens-small, which is not part of the book; these are synthetic")
    return _gaps(results.films, method)


GAP = "over_mc > 0.03 and over_biases > 0"

C7a = Claim(
    id="C7a",
    says="On MovieLens side information pays where ratings are few: IMC predicts better than matrix completion, and "
    "than the mean and the biases.",
    criterion=GAP,
    reason="leads in root-mean-square error at 10 to 40 percent of the ratings, on every split, the first one over the "
    "better of MC and the mean; over twenty splits of 300 users and films they were at least 0.067 and 0.018",
    measure=on_movielens,
    on="IMC, subspace",
    control=Control("as many random features", on="IMC, random features"),
    figure="films",
)


def on_stand_in(results: Results, method: str) -> Measured:
    """The same on synthetic ratings."""
    if results.films.name != "stand-in":
        raise Undecided("ratings: needs stand-in; these are real ones")
    return _gaps(results.films, method)


C7b = Claim(
    id="C7b",
    says="The same holds for synthetic ratings that stand in for MovieLens.",
    criterion=GAP,
    reason="leads in root-mean-square error at 10 to 40 percent of the ratings, on every split, the first one over the "
    "better of MC and the mean",
    measure=on_stand_in,
    on="IMC, subspace",
    control=Control("as many random features", on="IMC, random features"),
    stance="added",
    figure="films",
)


def shrinks(results: Results, method: str) -> Measured:
    """Lead over the better of MC and the mean, with few ratings and with most."""
    r = results.films
    early, late = (r.fraction >= 0.1) & (r.fraction <= 0.3), r.fraction >= 0.7
    if not (early.any() and late.any()):
        raise Undecided("fractions: needs one from 0.1 to 0.3 and one from 0.7 on")
    _enough(r, early)
    ahead = r.ahead(method).mean(1)
    return {"few": ahead[early].max(), "most": ahead[late].min()}


C7c = Claim(
    id="C7c",
    says="The lead shrinks as ratings come in: it is one of few samples.",
    criterion="few > 0.03 and most < 0.75 * few",
    reason="mean lead at 10 to 30 percent of the ratings and at 80; where matrix completion has learned nothing yet "
    "the lead is as large as the side information is worth",
    measure=shrinks,
    on="IMC, subspace",
    control=Control("as many random features: there is no lead to shrink", on="IMC, random features"),
    stance="added",
    figure="films",
)


def unseen_rows(results: Results, method: str) -> Measured:
    """Median relative error of rows without an entry, and of the others."""
    r = results.cold
    _ended(r.left)
    error = {"IMC": r.imc, "MC": r.mc}[method]
    return {"unseen": np.median(error[: r.hidden]), "seen": np.median(error[r.hidden :])}


C8 = Claim(
    id="C8",
    says="A row of which no entry was seen is estimated nearly as well as the others, from its features alone.",
    criterion="unseen < 2 * seen and seen < 0.5",
    reason="median relative errors of rows; an unseen row lacks only the few samples that its own entries would add",
    measure=unseen_rows,
    on="IMC",
    control=Control("the same entries without features: good on rows seen, nothing on the others", on="MC"),
    stance="added",
    figure="cold",
)


def private_features(results: Results, features: str) -> Measured:
    """Largest share of successes over the sizes."""
    r = results.coherent
    _ended(r.left)
    if r.m >= r.r * r.n[0]:
        raise Undecided(
            "n_list: needs sizes at which a row is seen fewer than r times, with six entries for each of a·r"
        )
    return {"success": {"private": r.private, "spread": r.spread}[features].max()}


C9 = Claim(
    id="C9",
    says="Incoherence is needed: if some features belong to a single row each, the same number of entries fails.",
    criterion="success <= 0.2",
    reason="largest share of successes over the sizes at 6ar entries; such a row needs r entries of its own, and gets "
    "m/n",
    measure=private_features,
    on="private",
    control=Control("features spread over all rows", on="spread"),
    stance="added",
    unseen="a table that the lab prints",
)

RMSE = {
    "mean": "mean", "biases": "biases", "mc": "MC", "genres": "IMC, genres", "subspace": "IMC, subspace",
    "random": "IMC, random features", "mixed": "interpolation",
}  # fmt: skip

CLAIMS = (C1a, C1b, C1c, C2a, C2b, C3a, C3b, C4, C5a, C5b, C6, C7a, C7b, C7c, C8, C9)


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    r, spectrum, speed, noise = results.thresholds, results.spectrum, results.convergence, results.noise
    inexact, mixture, films, coherent = results.inexact, results.mixture, results.films, results.coherent
    factor, _ = speed.fits(speed.errors)
    best = mixture.tilted[:, 1:-1].argmin(1)
    return {
        "a": r.a,
        "n": r.n,
        "n_mc": r.n_mc,
        "half": r.half(),
        "half_over_ar": r.half() / (r.a[:, None] * r.r),
        "half_mc": r.half_mc(),
        "half_mc_over_nr": r.half_mc() / (r.n_mc * r.r),
        "df": degrees_of_freedom(r.a, r.r),
        "products_few": results.unstructured.error_full,
        "products_more": results.unstructured.error_more,
        "coherence": spectrum.coherence,
        "tangent_df": degrees_of_freedom(spectrum.a, spectrum.r),
        "spectrum_m": int(spectrum.m[-1]),
        "spectrum_a": spectrum.a,
        "spectrum_mc": spectrum.n_mc,
        "rate": factor.mean(1),
        "rate_predicted": speed.predicted.mean(1),
        "rate_population": speed.population.mean(1),
        "rate_m": speed.m,
        "noise_ratio": noise.error.mean(1) / noise.predicted,
        "noise_mc": noise.error_mc.mean() / noise.predicted_mc,
        "noise_m_mc": noise.m_mc,
        "floor_many": (inexact.error[1, 1:].mean(1) / inexact.floor[1:]).max(),
        "inexact_m": inexact.m,
        "mixture_m": mixture.m,
        "mixture_best": mixture.lam[1:-1][best],
        "mixture_mc": mixture.tilted[:, 0],
        "mixture_imc": mixture.tilted[:, -1],
        "mixture_least": mixture.tilted[:, 1:-1].min(1),
        "coherent_n": coherent.n,
        "coherence_private": coherent.coherence_private,
        "coherence_spread": coherent.coherence_spread,
        "coherent_m": coherent.m,
        "ratings": films.name,
        "rating_counts": films.count,
        "rmse": {key: films.of(method).mean(1) for key, method in RMSE.items()},
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
