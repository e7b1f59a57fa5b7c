"""The claims of the chapter, each below its measure, with the control that must fail it."""

from collections.abc import Mapping

import numpy as np
from scipy.interpolate import PchipInterpolator

from companion.analysis.rates import loglog_slope
from companion.chapters.mimuon.experiments import Results
from companion.chapters.mimuon.experiments.language import ADAM
from companion.chapters.mimuon.experiments.language import SGD as SGD_TUNED
from companion.chapters.mimuon.experiments.linear import (
    CLIP,
    FAMILIES,
    FULL,
    GAP,
    LOOKED_AT,
    MATCHED,
    METHODS,
    MUON,
    NORM,
    SGD,
    SIGMA,
    TINY,
)
from companion.chapters.mimuon.experiments.networks import METHODS as NETWORK_METHODS
from companion.chapters.mimuon.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "mimuon"  # ends the labels of the page's statements
RULES = (GAP, NORM)
FEWEST_PAIRS = 12  # from which on an exponent of mean distances is judged
FEWEST_STEPS = 100  # from which on the effect of different branches is judged
LEAST_SWITCHED = 0.01  # share of steps with different branches below which nothing is said of switching
MATCHES = 0.15  # difference of two training losses, in nats, up to which they count as the same


def _decidable(results: Results, *methods: str) -> None:
    """Refuse to judge exponents of distances that cannot be told."""
    found = results.neighbours.distance
    if found.shape[-1] < FEWEST_PAIRS:
        raise Undecided(f"replicas: exponents of mean distances need {FEWEST_PAIRS} pairs at least")
    if (found[[METHODS.index(method) for method in methods]].mean(-1) == 0).any():
        raise Undecided("steps: at some size the example that differs was never drawn; more steps or larger batches")


def _matching(train: np.ndarray, other: np.ndarray, name: str) -> None:
    """Refuse a comparison at equal training loss where the losses ``(S,)`` are not equal."""
    if (np.abs(other - train) > MATCHES).any():
        raise Undecided(f"{name}: SGD with this step size does not reach the training loss of the gap rule")


def amplification(results: Results, kappa: str) -> Measured:
    """Largest amplification times kappa, and its least value over the pairs of rectangular matrices."""
    r = results.lipschitz
    scaled = {"least value": r.by_least, "smallest gap": r.by_gap}[kappa]
    return {"largest": scaled.max(), "smallest": scaled[1].min()}


C1a = Claim(
    id="C1a",
    says="What bounds the reaction of the orthogonal factor is κ = the least singular value: two matrices part by at "
    "most 1/κ times their distance, and the bound is attained.",
    criterion="largest <= 1.000001 and smallest >= 0.99",
    reason="largest = largest amplification times κ over all pairs; smallest = least of the largest amplifications "
    "times κ over the spectra, rectangular matrices; the lemma's constant is 1, the tolerances are for rounding and "
    "for steps of finite length",
    measure=amplification,
    on="least value",
    control=Control("κ = the smallest difference between singular values, as the abstract words it", on="smallest gap"),
    stance="restated",
    changed="The abstract takes κ to be the smallest difference between singular values.",
    figure="lipschitz",
    theorem=f"lem-{LABEL}-polar",
)


def distances(results: Results, pairs: str) -> Measured:
    """Exponent of N of Muon's mean distance, and its largest share of the bound."""
    r = results.neighbours
    found = {"one example apart": r.distance, "nothing in common": r.strangers}[pairs]
    found = found[METHODS.index(MUON)].mean(-1)
    _decidable(results, MUON)
    return {"slope": loglog_slope(r.sizes, found), "share": (found / r.travel).max()}


C1b = Claim(
    id="C1b",
    says="Muon trained on two data sets that differ in one of N examples ends at two points whose distance falls like "
    "1/N at a fixed number of steps, below a bound without any singular value.",
    criterion="-1.4 <= slope <= -0.6 and share < 1",
    reason="slope = exponent of N, -1 in both bounds; share = largest ratio of mean distance and the bound by the "
    "length of the steps; the scatter of the slope over seeds is 0.1",
    measure=distances,
    on="one example apart",
    control=Control("two runs whose data sets have nothing in common", on="nothing in common"),
    stance="restated",
    changed="The abstract has 1/(Nκ^T). The factor 1/N is seen; the bound that holds here does without κ.",
    figure="glance",
    theorem=f"thm-{LABEL}-travel",
)


def _gaps(results: Results, method: str, sample: str) -> np.ndarray:
    """Mean held-out loss minus mean loss on the training set, or on a sample as large that was not seen, ``(S,)``."""
    r = results.neighbours
    row = METHODS.index(method)
    return (r.test[row] - {"training set": r.train, "unseen sample": r.unseen}[sample][row]).mean(-1)


def _exponent(sizes: np.ndarray, gaps: np.ndarray) -> float:
    """Exponent of N, zero where some gap is not positive: such gaps follow no power."""
    return float(loglog_slope(sizes, gaps)) if (gaps > 0).all() else 0.0


def muon_gap(results: Results, sample: str) -> Measured:
    """Muon's generalization gap at the smallest N, and its exponent."""
    gaps = _gaps(results, MUON, sample)
    return {"first": gaps[0], "slope": _exponent(results.neighbours.sizes, gaps)}


C1c = Claim(
    id="C1c",
    says="Muon's generalization error falls like 1/N at a fixed number of steps.",
    criterion="first > 0.2 and -1.3 <= slope <= -0.55",
    reason="first = held-out minus training loss at the smallest N; slope = exponent of N; flatter than -1 where the "
    "smallest training sets are fitted almost perfectly; over seeds -0.74 to -0.91",
    measure=muon_gap,
    on="training set",
    control=Control(
        "the loss on a sample as large that was not trained on, in place of the training loss", on="unseen sample"
    ),
    stance="restated",
    changed="Only the dependence on N of the abstract's 1/(Nκ^T) is measured.",
    figure="generalization",
)


def growth(results: Results, source: str) -> Measured:
    """Exponent of t of Muon's distance, from a tenth of the steps to all of them."""
    r = results.neighbours
    steps = len(r.kappa)
    early = steps // 10
    with np.errstate(divide="ignore"):
        logs = {"runs": np.log10(r.path[METHODS.index(MUON)]), "recursion": r.kappa_bound}[source]
    if not np.isfinite(logs[early - 1]):
        raise Undecided("batch: the example that differs was drawn in no run of the first tenth of the steps")
    return {"exponent": (logs[-1] - logs[early - 1]) / np.log10(steps / early)}


C1d = Claim(
    id="C1d",
    says="The distance of Muon's runs grows with the number of steps t about linearly, not exponentially.",
    criterion="0.5 <= exponent <= 1.6",
    reason="exponent of t from T/10 to T; between the 1 of steps that part at a steady pace and the 2 of the bound by "
    "the length of the steps, below 1 where runs settle",
    measure=growth,
    on="runs",
    control=Control(
        "the recursion of the bound with 1/κ, driven by the least singular values of these very runs", on="recursion"
    ),
    stance="added",
    figure="bounds",
    theorem=f"thm-{LABEL}-travel",
)


def _reaction(results: Results, method: str) -> float:
    """Geometric mean over the runs of the distance per distance of the data."""
    r = results.sensitivity
    found = r.ratio[r.names.index(method)]
    if not (found > 0).all():
        raise Undecided("steps: in some run the example that moves was never drawn; more steps or larger batches")
    return float(np.exp(np.log(found).mean()))


def reaction(results: Results, factor: str) -> Measured:
    """The reaction of Muon with one or the other orthogonal factor."""
    return {"reaction": _reaction(results, factor)}


C1e = Claim(
    id="C1e",
    says="Softmax gradients always have a vanishing singular value, and there the factor UVᵀ of a full decomposition "
    "is decided by rounding; Newton-Schulz steps keep two runs together.",
    criterion="reaction < 485",
    reason="distance of weights over distance of data, geometric mean over the runs; 485 is the slope of five "
    "Newton-Schulz steps at zero",
    measure=reaction,
    on=MUON,
    control=Control("all of UVᵀ from a singular value decomposition", on=FULL),
    stance="added",
    figure="sensitivity",
)


def gap_ratios(results: Results, reference: str) -> Measured:
    """Largest ratio of the generalization gaps of MiMuon and of another method, over the sizes."""
    against = _gaps(results, reference, "training set")
    train = results.neighbours.train.mean(-1)
    _matching(train[METHODS.index(GAP)], train[METHODS.index(MATCHED)], "eta_matched")
    ratios = {rule: (_gaps(results, rule, "training set") / against).max() for rule in RULES}
    return {"gap_rule": ratios[GAP], "norm_rule": ratios[NORM]}


C2a = Claim(
    id="C2a",
    says="At the same step size and number of steps MiMuon has a lower generalization error than Muon, at every N.",
    criterion="gap_rule < 0.85 and norm_rule < 0.65",
    reason="largest ratio to Muon's over the sizes; over seeds up to 0.73 and 0.49",
    measure=gap_ratios,
    on=MUON,
    control=Control(
        "against momentum SGD with the step size that reaches the training loss of the gap rule", on=MATCHED
    ),
    stance="restated",
    changed="Measured at equal step size and number of steps; at equal training loss the advantage is gone.",
    figure="generalization",
)


def rule_gaps(results: Results, sample: str) -> Measured:
    """The same for both rules of MiMuon."""
    gaps = {rule: _gaps(results, rule, sample) for rule in RULES}
    slopes = {rule: _exponent(results.neighbours.sizes, gaps[rule]) for rule in RULES}
    return {"first": min(gaps[rule][0] for rule in RULES), "gap_rule": slopes[GAP], "norm_rule": slopes[NORM]}


C2b = Claim(
    id="C2b",
    says="MiMuon's generalization error falls like 1/N.",
    criterion="first > 0.2 and -1.3 <= gap_rule <= -0.6 and -1.3 <= norm_rule <= -0.6",
    reason="exponents of N for both rules; over seeds -0.84 to -1.09",
    measure=rule_gaps,
    on="training set",
    control=Control(
        "the loss on a sample as large that was not trained on, in place of the training loss", on="unseen sample"
    ),
    figure="generalization",
    theorem=f"thm-{LABEL}-mixed",
)


def held_out(results: Results, method: str) -> Measured:
    """Least advantage over Muon in held-out loss, over the sizes."""
    r = results.neighbours
    loss = r.test.mean(-1)
    return {"advantage": (loss[METHODS.index(MUON)] - loss[METHODS.index(method)]).min()}


C2c = Claim(
    id="C2c",
    says="MiMuon with the gap test also has the lower test loss, at every N.",
    criterion="advantage > 0",
    reason="least difference to Muon's mean test loss over the sizes, same data and draws; 0.02 or more over seeds",
    measure=held_out,
    on=GAP,
    control=Control("momentum SGD with the same step size: less is fitted, and for large N too little", on=SGD),
    stance="restated",
    changed="Test loss of linear classifiers at equal step size and number of steps.",
    figure="generalization",
)


def in_networks(results: Results, reference: str) -> Measured:
    """MiMuon in a network against another method: worst ratio of gaps, least advantage in loss and in error."""
    r = results.networks
    row = {name: k for k, name in enumerate(NETWORK_METHODS)}
    gap, test, error = (r.test - r.train).mean(-1), r.test.mean(-1), r.error.mean(-1)
    rules = [row[rule] for rule in RULES]
    other = row[reference]
    _matching(r.train.mean(-1)[row[GAP]], r.train.mean(-1)[row[MATCHED]], "net_eta_matched")
    return {
        "ratio": (gap[rules] / gap[other]).max(),
        "loss": (test[other] - test[rules]).min(),
        "error": (error[other] - error[rules]).min(),
    }


C2d = Claim(
    id="C2d",
    says="In a small network, too, MiMuon has a far lower generalization error than Muon at equal step size and number "
    "of steps, a lower test loss and a lower test error.",
    criterion="ratio < 0.6 and loss > 0 and error > 0",
    reason="worst of both rules and all sizes; over seeds ratios up to 0.32, losses lower by 1 and errors by 0.05",
    measure=in_networks,
    on=MUON,
    control=Control(
        "against momentum SGD with the step size that reaches the training loss of the gap rule", on=MATCHED
    ),
    stance="restated",
    changed="Measured at equal step size and number of steps, on images and a network of three layers.",
    figure="networks",
)


def switching(results: Results, method: str) -> Measured:
    """How much flatter than Muon's a method's distance falls with N, and how often paired runs branch differently."""
    r = results.neighbours
    found = r.distance.mean(-1)
    _decidable(results, MUON, GAP, NORM, CLIP)
    if len(r.kappa) < FEWEST_STEPS:
        raise Undecided(f"steps: fewer than {FEWEST_STEPS} leave different branches little time to show")
    if r.disagree[METHODS.index(GAP)].mean() < LEAST_SWITCHED:
        raise Undecided("tau_gap: at this threshold the runs of a pair hardly ever take different branches")
    slope = loglog_slope(r.sizes, found)
    return {
        "excess": slope[METHODS.index(method)] - slope[METHODS.index(MUON)],
        "disagree": r.disagree[METHODS.index(method)].mean(),
    }


C2e = Claim(
    id="C2e",
    says="The hard gap test is not 1/N-stable in the parameters: neighbouring runs take different branches, and their "
    "distance falls more slowly with N than Muon's.",
    criterion="excess > 0.12 and disagree > 0.05",
    reason="excess = exponent of N minus Muon's on the same draws; disagree = share of steps at which the two runs of "
    "a pair differ in orthogonalizing; over seeds 0.25 to 0.55 and 0.13 to 0.21",
    measure=switching,
    on=GAP,
    control=Control("the norm test, whose branches hardly ever differ", on=NORM),
    stance="added",
    figure="glance",
    theorem=f"thm-{LABEL}-mixed",
)


def calmer(results: Results, threshold: str) -> Measured:
    """Muon's reaction to one example over MiMuon's."""
    muon = _reaction(results, MUON)
    gap, norm = {"as set": (GAP, NORM), "next to zero": (TINY,) * 2}[threshold]
    return {"gap_rule": muon / _reaction(results, gap), "norm_rule": muon / _reaction(results, norm)}


C2f = Claim(
    id="C2f",
    says="MiMuon reacts less than Muon to a small change of one example.",
    criterion="gap_rule > 1.25 and norm_rule > 1.8",
    reason="Muon's reaction over MiMuon's, geometric means; over seeds 1.6 to 1.9 and 2.8 to 4.2",
    measure=calmer,
    on="as set",
    control=Control("a threshold next to zero, at which everything is orthogonalized", on="next to zero"),
    stance="added",
    figure="sensitivity",
)


def one_curve(results: Results, equal: str) -> Measured:
    """Largest relative distance of the generalization gaps of all families from a reference, at equal loss or steps."""
    r = results.slider
    sgd, muon = FAMILIES.index(SGD), FAMILIES.index(MUON)
    order = np.argsort(r.train[sgd])
    loss, gap = r.train[sgd][order], r.gap[sgd][order]
    if (np.diff(loss) <= 0).any() or (r.gap <= 0).any():
        raise Undecided("eta_matched: SGD's training losses at its step sizes do not tell a curve")
    curve = PchipInterpolator(loss, np.log(gap))
    others = np.arange(len(FAMILIES)) != sgd
    inside = (r.train >= loss[0]) & (r.train <= loss[-1]) & others[:, None]
    if inside.sum() < 4:
        raise Undecided("eta_matched: SGD's training losses do not reach those of the other methods")
    if np.ptp(r.train[inside]) < 0.2:
        raise Undecided("eta: at such step sizes and thresholds all methods have nearly the same training loss")
    reference = {"training loss": np.exp(curve(r.train[inside])), "steps": r.gap[muon, -1]}[equal]
    return {"off": np.abs(r.gap[inside] / reference - 1).max(), "points": int(inside.sum())}


C2g = Claim(
    id="C2g",
    says="At equal training loss the generalization errors are equal: whatever the threshold, MiMuon lies on the curve "
    "of momentum SGD over its step size, and so does Muon with smaller steps.",
    criterion="off < 0.2",
    reason="largest relative distance from SGD's curve at the same training loss; over seeds up to 0.12",
    measure=one_curve,
    on="training loss",
    control=Control("compared with Muon after as many steps of the same size instead", on="steps"),
    stance="added",
    figure="slider",
)


def rates(results: Results, steps: str) -> Measured:
    """Exponents of T of the mean gradient norm."""
    if not results.convergence.stalls:
        raise Undecided(
            "horizons: fixed steps stall only long after the first of them; longer ones, or a larger rate_eta"
        )
    return dict(zip(("muon", "gap_rule", "norm_rule"), results.convergence.slopes(steps), strict=True))


C3 = Claim(
    id="C3",
    says="MiMuon converges at the rate of Muon, T to the power −1/4 or faster, on a smooth nonconvex function with "
    "noisy gradients.",
    criterion="muon < -0.2 and gap_rule < -0.2 and norm_rule < -0.2",
    reason="exponents of T of the mean gradient norm between the last two T, steps of size T^(−3/4) and momenta of "
    "weight T^(−1/2); over seeds -0.28 to -0.44",
    measure=rates,
    on="scheduled",
    control=Control("step size and momentum kept at what they are for the smallest T: Muon stalls", on="fixed"),
    figure="convergence",
    theorem=f"thm-{LABEL}-rate",
)


def language(results: Results, candidates: str) -> Measured:
    """Test loss of candidates above Muon's, and below that of SGD and Adam, at the least."""
    r = results.language
    loss: Mapping[str, float] = dict(zip(r.methods, r.test.tolist(), strict=True))
    tried = [loss[name] for name in {"MiMuon": RULES, "SGD": (SGD_TUNED,)}[candidates]]
    if not np.isfinite(list(loss.values())).all():
        raise Undecided("lm_steps: a run diverged")
    return {"behind": max(tried) - loss[MUON], "ahead": min(loss[SGD_TUNED], loss[ADAM]) - max(tried)}


C4a = Claim(
    id="C4a",
    says="MiMuon trains language models as well as Muon, and better than momentum SGD and Adam, after equally many "
    "trials of each.",
    criterion="behind < 0.06 and ahead > 0.02",
    reason="behind = largest test loss of the two rules minus Muon's, in nats; ahead = the better of SGD and Adam "
    "minus it; loss differs by 0.02 between equal runs, over seeds behind was at most 0.02 and ahead at least 0.03",
    measure=language,
    on="MiMuon",
    control=Control("momentum SGD in the place of MiMuon", on="SGD"),
    stance="restated",
    changed="A transformer of one block on Python sources in place of Qwen3-0.6B.",
    figure="language",
)

C4b = Claim(
    id="C4b",
    says="MiMuon trains Qwen3-0.6B and YOLO26m efficiently.",
    criterion="nobody here has these models, their data and the paper's settings",
    reason="the largest language model of the chapter has half a million weights, and no detector is trained",
    stance="undecided",
)


def spectra(results: Results, difference: str) -> Measured:
    """Median difference of singular values over the norm, the larger of the two hidden layers."""
    r = results.networks
    found = {"smallest": r.smallest, "mean": r.mean}[difference]
    return {"relative": np.median(found, axis=1)[:2].max()}


C5 = Claim(
    id="C5",
    says="κ, the smallest difference between singular values, is generally very small.",
    criterion=lambda params: f"relative < {3 / params.width**2:.3g}",
    reason="median over the momenta of Muon in hidden layers, over their norm; 3/width² is twice what independent "
    "Gaussian entries give, and a seventh of the mean difference",
    measure=spectra,
    on="smallest",
    control=Control("the mean difference of neighbouring singular values", on="mean"),
    figure="spectra",
)

C6 = Claim(
    id="C6",
    says="The continuous mix, which clips the spectrum instead of choosing a branch, keeps the 1/N of Muon's and SGD's "
    "distances.",
    criterion="excess < 0.12",
    reason="exponent of N of the distance, minus Muon's on the same draws; over seeds within 0.06 of it",
    measure=switching,
    on=CLIP,
    control=Control("the hard gap test", on=GAP),
    stance="added",
    figure="glance",
    theorem=f"thm-{LABEL}-mixed",
)

CLAIMS = (C1a, C1b, C1c, C1d, C1e, C2a, C2b, C2c, C2d, C2e, C2f, C2g, C3, C4a, C4b, C5, C6)


def _halves(results: Results, method: str) -> tuple[float, float]:
    """Share of orthogonalized steps in the first and in the second half of the steps."""
    shares = results.neighbours.share_path[METHODS.index(method)]
    middle = len(shares) // 2
    return float(shares[:middle].mean()), float(shares[middle:].mean())


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    near, nets = results.neighbours, results.networks
    conv, lang, lip = results.convergence, results.language, results.lipschitz
    keys = {SGD: "sgd", MATCHED: "matched", MUON: "muon", GAP: "gap", NORM: "norm", SIGMA: "sigma", CLIP: "clip"}
    table = {
        key: {
            "train": near.train[METHODS.index(name)].mean(-1),
            "test": near.test[METHODS.index(name)].mean(-1),
            "gap": _gaps(results, name, "training set"),
            "distance": near.distance[METHODS.index(name)].mean(-1),
            "share": near.share[METHODS.index(name)],
        }
        for name, key in keys.items()
    }
    return {
        "near": table,
        "looked_at": int(near.sizes[LOOKED_AT]),
        "kappa": near.kappa.min(),
        "kappa_power": near.kappa_bound[-1],
        "halves": {keys[name]: _halves(results, name) for name in RULES},
        "square_by_gap": lip.by_gap[0].max(),
        "network_share": nets.share[NETWORK_METHODS.index(GAP)],
        "relative": np.median(nets.smallest, axis=1),
        "mean_relative": np.median(nets.mean, axis=1),
        "gaussian": nets.gaussian,
        "careful": (conv.careful / conv.bound).max(),
        "careful_least": (conv.careful / conv.bound).min(),
        "least_horizons": conv.least_horizons,
        "language_share": {keys[name]: lang.share[lang.methods.index(name)].mean() for name in RULES},
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
