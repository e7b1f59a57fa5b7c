"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.chapters.amuse.experiments import Results
from companion.chapters.amuse.experiments.races import Images, Language
from companion.chapters.amuse.experiments.valleys import Networks, Rivers
from companion.chapters.amuse.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "amuse"  # ends the labels of the page's statements
SETTLED = 0.25  # share of a race that is warm-up and first descent


def _finite(values: np.ndarray, reason: str) -> np.ndarray:
    """The values, where all are numbers."""
    if not np.isfinite(values).all():
        raise Undecided(reason)
    return values


def _network_moves(results: Results) -> None:
    r = results.network
    for values in (r.momentum_share, r.orthogonal_share, r.coherence, r.bulk, r.loss):
        _finite(values, "label_noise, network_steps: a network came to a halt, and its updates have no direction")


def turned_away(results: Results, subspace: str) -> Measured:
    """Share of a subspace in the orthogonalized update over its share in the momentum, largest over all runs."""
    _network_moves(results)
    found = {}
    for place, r in (("valley", results.river), ("network", results.network)):
        orthogonal, momentum = {
            "dominant": (r.orthogonal_share, r.momentum_share),
            "random": (r.orthogonal_random, r.momentum_random),
        }[subspace]
        found[place] = (orthogonal.mean(1) / momentum.mean(1)).max()
    return found


C1a = Claim(
    id="C1a",
    says="Orthogonalizing the momentum raises the update's share in the flat bulk: its share in the dominant, "
    "high-curvature directions falls, whatever method made the momentum.",
    criterion="valley < 0.7 and network < 0.7",
    reason="dominant share after orthogonalizing over that before, the largest of all methods; in a valley with four "
    "steep columns of 32 and in small networks. One is no change; some 0.2 to 0.5 were seen",
    measure=turned_away,
    on="dominant",
    control=Control("a random subspace of the same dimension in place of the dominant one", on="random"),
    figure="shares",
)


def progress(results: Results, method: str) -> Measured:
    """The way along the bulk, and that for each step across the valley, relative to the best of the other baselines."""
    _network_moves(results)
    r = results.network
    bulk, path = r.bulk.mean(1), r.path.mean(1)
    own, others = r.of(method), [r.of(name) for name in ("SGD", "Adam") if name != method]
    return {
        "bulk": bulk[own] / bulk[others].max(),
        "for_path": (bulk / path)[own] / (bulk / path)[others].max(),
    }


C1b = Claim(
    id="C1b",
    says="Muon makes faster progress along the river than SGD and Adam: further in the bulk in as many steps, and "
    "further for as much motion in the dominant directions.",
    criterion="bulk > 1.5 and for_path > 1.5",
    reason="ratios to the better of SGD and Adam over the last steps of networks on digits; about 4 and 2.5 were seen. "
    "The second does not depend on the learning rate",
    measure=progress,
    on="Muon",
    control=Control("Adam in Muon's place, against SGD", on="Adam"),
    figure="motion",
)


def restless(results: Results, method: str) -> Measured:
    """What a valley's excess loss keeps of itself when the noise of the gradients falls to a tenth."""
    r = results.river
    k = r.of(method)
    return {"kept": r.late(r.quiet)[k] / r.late(r.steep)[k].mean()}


C2a = Claim(
    id="C2a",
    says="At a constant rate Muon amplifies the noise of the dominant directions: with a tenth of the gradient noise a "
    "method linear in gradients would keep a hundredth of its excess loss there, Muon keeps several times as much.",
    criterion="kept > 0.05",
    reason="excess loss in the steep directions with a tenth of the noise over that with all of it, last eighth of the "
    "run: 0.01 where the steps shrink with the gradient; Muon kept about 0.12",
    measure=restless,
    on="Muon",
    control=Control("SGD, whose steps shrink with the gradient", on="SGD"),
    stance="restated",
    changed="The abstract's amplification is made precise as a missing decrease. Relative to the progress made, "
    "Muon's motion across the valley is smaller than that of SGD and Adam, not larger.",
    figure="noise",
)


def zigzag(results: Results, method: str) -> Measured:
    """Net motion over path in the dominant subspace."""
    _network_moves(results)
    r = results.network
    return {"coherence": r.coherence[r.of(method)].mean()}


C2b = Claim(
    id="C2b",
    says="In a network Muon's steps across the valley cancel: to and fro, where AMUSE's add up.",
    criterion="coherence < 0.35",
    reason="length of the sum of the updates' dominant parts over the sum of their lengths, over the last steps: zero "
    "to and fro, one straight on; Muon some 0.2, AMUSE some 0.7",
    measure=zigzag,
    on="Muon",
    control=Control("AMUSE at twice Muon's rate", on="AMUSE"),
    figure="zigzag",
)


def average_of_points(results: Results, window: str) -> Measured:
    """Largest distance of X from the mean of gradient points that the window prescribes."""
    r = results.averages
    moving = r.rho > 0
    if not moving.any():
        raise Undecided("rhos: needs an exponent above zero")
    error = {"t^(1-rho)": r.error, "t": r.error_fixed}[window]
    return {"error": error[moving].max()}


C3a = Claim(
    id="C3a",
    says="AMUSE's answer is a moving average of its own gradient points, with a window that grows like t^(1−ρ).",
    criterion="error < 1e-9",
    reason="largest distance of X from the mean with the closed-form window on a random path; rounding",
    measure=average_of_points,
    on="t^(1-rho)",
    control=Control("the window of a fixed coefficient, which grows like t", on="t"),
    stance="added",
    figure="window",
    theorem=f"prop-{LABEL}-window",
)


def wall_slope(results: Results, coefficient: str) -> Measured:
    """Largest distance of measured slopes from -rho; for a fixed coefficient, from those of moving ones."""
    r = results.walls
    rho = r.rho[1:]
    if not (rho > 0.2).any():
        raise Undecided("rhos: needs an exponent above 0.2")
    slopes = {"rising": r.slopes()[1:], "none": np.full(len(rho), r.slopes()[0])}[coefficient]
    return {"error": np.abs(slopes + rho).max()}


C3b = Claim(
    id="C3b",
    says="Between two walls AMUSE's gradient point comes to rest like t^(−ρ) at a constant rate.",
    criterion="error < 0.05",
    reason="largest distance of the slopes of log amplitude over log time from −ρ; steps are discrete, so not exact",
    measure=wall_slope,
    on="rising",
    control=Control("Muon without averaging: slope zero", on="none"),
    stance="added",
    figure="walls",
    theorem=f"prop-{LABEL}-walls",
)


def calmed(results: Results, method: str) -> Measured:
    """Motion across the valley and progress along it, relative to Muon's."""
    _network_moves(results)
    r = results.network
    own, muon = r.of(method), r.of("Muon")
    path, bulk = r.path.mean(1), r.bulk.mean(1)
    return {"path": path[own] / path[muon], "bulk": bulk[own] / bulk[muon]}


C4 = Claim(
    id="C4",
    says="AMUSE joins Muon's progress along the bulk with calm across the valley: most of the motion in the dominant "
    "directions goes, most of the progress stays.",
    criterion="path < 0.35 and bulk > 0.4",
    reason="AMUSE at twice Muon's rate over Muon, last steps of networks on digits; about 0.2 and 0.55 were seen",
    measure=calmed,
    on="AMUSE",
    control=Control("Muon at a fifth of the rate: as calm, and as much slower", on="Muon, slow"),
    figure="motion",
)


def shifts(results: Results, method: str) -> Measured:
    """Progress early against a large coefficient, and motion late against that of the middle of the run."""
    r = results.river
    k, slow = r.of(method), r.of("fixed coefficient, 0.95")
    early, mid, late = r.early(r.flat).mean(1), r.mid(r.steep).mean(1), r.late(r.steep).mean(1)
    return {"early": early[k] / early[slow], "late": late[k] / mid[k]}


C5a = Claim(
    id="C5a",
    says="A rising coefficient evaluates gradients near the fast Muon sequence first and near the average later: "
    "further along the river early than a large fixed coefficient, and ever calmer afterwards.",
    criterion="early < 0.95 and late < 0.7",
    reason="in the river valley, at the gradient point: what is left of the way at a sixth of the run, over that of "
    "0.95; and the excess of the last eighth over that at a third",
    measure=shifts,
    on="AMUSE",
    control=Control("its first coefficient, kept: as fast early, and never calmer", on="fixed coefficient"),
    figure="river",
)


def lead_over_fixed(results: Results, rival: str) -> Measured:
    """How much lower the loss on text is over the last quarter than with fixed coefficients; means over starts."""
    r = results.language
    _finite(r.loss, DIVERGED)
    late = r.loss[r.t > 0.75 * r.t[-1]].mean(0)
    rising = late[r.entrants.of("rising")]
    fixed = late[r.entrants.of("fixed")] if rival == "same start" else late[r.entrants.of("searched")].min()
    return {"lead": (fixed - rising).mean()}


C5b = Claim(
    id="C5b",
    says="On text a rising coefficient ends lower than the same first coefficient kept fixed.",
    criterion="lead > 0.035",
    reason="nats, last quarter of the run, mean over the first coefficients; 0.05 and more were seen",
    measure=lead_over_fixed,
    on="same start",
    control=Control("the best of several fixed coefficients, found by a search: hardly worse", on="searched"),
    stance="restated",
    changed="The abstract motivates the time-varying coefficient; that it beats every fixed one it does not say, and "
    "here one found by a search is as good. What a rising coefficient saves is the search.",
    figure="coefficients",
)


DIVERGED = "learning rates: a run ended in what is not a number"


def _single(r: Language | Images, name: str, values: np.ndarray) -> np.ndarray:
    """The course of a method at one rate, the best over the quarters together; values to be minimized."""
    rows = r.entrants.of(name)
    return values[:, rows[int(_quarters(r, values)[:, rows].mean(0).argmin())]]


def _quarters(r: Language | Images, values: np.ndarray) -> np.ndarray:
    """Means over the second, third and last quarter of the run, ``(3, ...)``."""
    share = r.t / r.t[-1]
    return np.stack([values[(share > q) & (share <= q + 0.25)].mean(0) for q in (SETTLED, 0.5, 0.75)])


def _leads(r: Language | Images, method: str, rivals: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    """Least lead over each rival in a quarter, the rival at its better rate in each quarter."""
    own, all_ = _quarters(r, _single(r, method, values)), _quarters(r, values)
    return {name: (all_[:, r.entrants.of(name)].min(1) - own).min() for name in rivals if name != method}


def anytime(results: Results, method: str) -> Measured:
    """Least lead over any rival in any quarter from a quarter of the run on."""
    r = results.language
    _finite(r.loss, DIVERGED)
    leads = _leads(r, method, ("Muon", "Schedule-Free AdamW", "AdamW"), r.loss)
    return {"lead": min(leads.values())}


C6a = Claim(
    id="C6a",
    says="On text one run of AMUSE, without a schedule, stays below Muon at a constant rate, Schedule-Free AdamW and "
    "AdamW with a cosine, all along the run.",
    criterion="lead > 0",
    reason="least lead in nats, in each quarter from the second on; AMUSE at one rate throughout, every rival at its "
    "better rate in each quarter",
    measure=anytime,
    on="AMUSE",
    control=Control("AdamW with its cosine in AMUSE's place", on="AdamW"),
    figure="glance",
)


def at_the_end(results: Results, method: str) -> Measured:
    """The lead, at the last look, over Muon with a cosine that ends there."""
    r = results.language
    _finite(r.loss, DIVERGED)
    cosine = r.loss[-1, r.entrants.of("Muon, cosine")].min()
    return {"lead": cosine - _single(r, method, r.loss)[-1]}


C6b = Claim(
    id="C6b",
    says="On text AMUSE needs no schedule: at the end it is not behind Muon with a cosine schedule that knows the end.",
    criterion="lead > -0.03",
    reason="nats at the last step, the cosine at its better rate; leads from −0.002 to 0.06 were seen",
    measure=at_the_end,
    on="AMUSE",
    control=Control("Schedule-Free AdamW in AMUSE's place", on="Schedule-Free AdamW"),
    figure="glance",
)


def on_images(results: Results, method: str) -> Measured:
    """Least lead in accuracy, in points, over Muon and AdamW, and the mean one over Schedule-Free AdamW."""
    r = results.images
    error = -100 * r.accuracy.mean(2)
    leads = _leads(r, method, ("Muon", "AdamW"), error)
    free = _quarters(r, error)[:, r.entrants.of("Schedule-Free AdamW")].min(1)
    return {
        "lead": min(leads.values()),
        "over_schedule_free": (free - _quarters(r, _single(r, method, error))).mean(),
    }


C6c = Claim(
    id="C6c",
    says="On images one run of AMUSE is more accurate than Muon at a constant rate and AdamW with a cosine all along "
    "the run, and not less accurate than Schedule-Free AdamW.",
    criterion="lead > 0 and over_schedule_free > -0.25",
    reason="least lead in points of test accuracy in each quarter from the second on, every rival at its better rate; "
    "about 1 and 0.5 were seen",
    measure=on_images,
    on="AMUSE",
    control=Control("AdamW with its cosine in AMUSE's place", on="AdamW"),
    stance="restated",
    changed="The abstract has AMUSE ahead of Schedule-Free AdamW, too. On these small images, with rates tuned for "
    "each, they are close, and only that AMUSE is not behind is claimed.",
    figure="images",
)

CLAIMS = [C1a, C1b, C2a, C2b, C3a, C3b, C4, C5a, C5b, C6a, C6b, C6c]


def verify(params: Parameters, results: Results) -> Verdicts:
    """The verdicts of a run, with further values that the page quotes."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))


def _quantities(results: Results) -> dict[str, object]:
    """What the page quotes beside the claims' own values."""
    walls, river, network = results.walls, results.river, results.network
    language, images = results.language, results.images
    late, quiet = river.late(river.steep).mean(1), river.late(river.quiet)
    muon, sgd, adam = (river.of(name) for name in ("Muon", "SGD", "Adam"))
    return {
        "apart": walls.apart[1:].max(),
        "slopes": walls.slopes()[1:],
        "rho": walls.rho[1:],
        "river_over_sgd": late[muon] / late[sgd],
        "quiet_over_sgd": quiet[muon] / quiet[sgd],
        "quiet_adam": quiet[adam] / late[adam],
        "river": {
            _key(name): {"early": river.early(river.flat).mean(1)[k], "late": late[k], "answer": _answer(river)[k]}
            for k, name in enumerate(river.names)
        },
        "network": {
            _key(name): {
                "loss": network.loss[k].mean(),
                "path": network.path[k].mean(),
                "bulk": network.bulk[k].mean(),
                "coherence": network.coherence[k].mean(),
                "excess": network.excess[k].mean(),
            }
            for k, name in enumerate(network.names)
        },
        "across_for_along": _ratio(network, "Muon") / min(_ratio(network, "SGD"), _ratio(network, "Adam")),
        "text": {_key(name): _course(language, name, language.loss) for name in RACERS},
        "images": {_key(name): _course(images, name, -100 * images.accuracy.mean(2)) for name in RACERS},
        "image_loss": {_key(name): images.loss.mean(2)[-1, images.entrants.of(name)].min() for name in RACERS},
        "answer_loss": language.loss[-1, language.entrants.of("AMUSE")[-1]],
        "moving_loss": language.moving_loss[language.entrants.of("AMUSE")[-1]],
        "last_beta": language.last_beta[language.entrants.of("AMUSE")[-1]],
        "searched": _best_fixed(language),
        "coefficients": _late_losses(language),
        "numbers": language.numbers,
        "source": language.source,
        "pixels": images.pixels,
    }


RACERS = ("Muon", "Muon, cosine", "AMUSE", "Schedule-Free AdamW", "AdamW")


def _key(name: str) -> str:
    return name.lower().replace(", ", "_").replace(" ", "_").replace("-", "_").replace(".", "")


def _answer(river: Rivers) -> np.ndarray:
    """Late loss at the answer X, in all directions."""
    return river.late(river.steep_answer + river.flat_answer).mean(1)


def _ratio(network: Networks, name: str) -> float:
    """Motion in the dominant directions for the way made in the bulk."""
    k = network.of(name)
    return network.path[k].mean() / network.bulk[k].mean()


def _course(r: Language | Images, name: str, values: np.ndarray) -> dict[str, object]:
    """Means over the quarters and the last value, at one rate for the whole run, and that rate."""
    course = _single(r, name, values)
    quarters = np.abs(_quarters(r, course))
    rate = r.entrants.lr[r.entrants.of(name)][(values[:, r.entrants.of(name)] == course[:, None]).all(0)]
    return {"second": quarters[0], "third": quarters[1], "last": quarters[2], "end": abs(course[-1]), "lr": rate[0]}


def _best_fixed(r: Language) -> float:
    """The searched coefficient of the least loss over the last quarter."""
    rows = r.entrants.of("searched")
    return r.entrants.beta1[rows[int(_quarters(r, r.loss)[2][rows].argmin())]]


def _late_losses(r: Language) -> dict[str, object]:
    """Losses over the last quarter: from each first coefficient, fixed and rising; and of the searched ones."""
    late = _quarters(r, r.loss)[2]
    return {kind: late[r.entrants.of(kind)] for kind in ("fixed", "rising", "searched")}
