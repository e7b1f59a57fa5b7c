"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.analysis.rates import loglog_slope
from companion.analysis.spectra import effective_rank
from companion.chapters.spectral_gradient_flow_lora import theory
from companion.chapters.spectral_gradient_flow_lora.experiments import Results
from companion.chapters.spectral_gradient_flow_lora.experiments.adaptation import ratio
from companion.chapters.spectral_gradient_flow_lora.experiments.factorization import BANDS, Growth, Runs
from companion.chapters.spectral_gradient_flow_lora.finetuning import METHODS
from companion.chapters.spectral_gradient_flow_lora.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "spectral-gradient-flow-lora"  # ends the labels of the page's statements
SMALL = 0.02  # starts up to this size have something to say about growth from small ones
APART = 1.5  # ratio of targets from which random starts do not exchange their order


# --- low-rank adaptation -----------------------------------------------------------------------------------------


def arrived(results: Results) -> np.ndarray:
    """Which runs reached the common loss: a rate too small or too large for that has no spectrum to compare."""
    r = results.language
    found = np.array([run.arrivals()[0] >= 0 for run in r.runs])
    for name in METHODS:
        for seed in set(r.seeds):
            own = np.array([one == name for one in r.methods]) & (r.seeds == seed)
            if not found[own].any():
                raise Undecided(f"adapt_steps: {name} does not lower its loss by loss_drop at any of its rates")
    return found


def on_text(results: Results, method: str) -> Measured:
    """Least flatness over seeds and rates, in units of that of the random factor, at a common loss."""
    r = results.language
    chosen = np.array([one == method for one in r.methods]) & arrived(results)
    return {
        "flat": (r.flatness() / r.own())[chosen].min(),
        "growth": (r.growth() / r.own())[chosen].min(),
        "ratio": r.flatness()[chosen],
    }


C1a = Claim(
    id="C1a",
    says="Under Muon the singular values of BA grow nearly uniformly in the LoRA adaptation of a language model, "
    "though A and B are orthogonalized separately: BA keeps most of the flatness of its random factor A₀.",
    criterion="flat > 0.5 and growth > 0.5",
    reason="flat = σ_r/σ₁ of BA, median over matrices, growth = the same of what σ gained over the second half of the "
    "way, mean over matrices, at a common loss, in units of σ_r/σ₁ of A₀; least over seeds and rates; theory for early "
    "times says 1 for exact orthogonalization of steady gradients; over 20 models at least 0.65 and 0.54 were seen",
    measure=on_text,
    on="Muon",
    control=Control("AdamW, the same model, factors and batches", on="AdamW"),
    stance="restated",
    changed="A small language model trained on the spot in place of large ones, and nearly uniform is measured against "
    "the random factor.",
    figure="glance",
)


def distinctive(results: Results, method: str) -> Measured:
    """The method's flatness at its worst rate, over the best of the other methods, Muon not among them."""
    r, found = results.language, arrived(results)
    flat, margins = r.flatness(), []
    rest = [one for one in METHODS if one not in (method, "Muon")]
    mine, others = (np.array([one in names for one in r.methods]) for names in ((method,), rest))
    for seed in set(r.seeds):
        runs = found & (r.seeds == seed)
        margins.append(flat[runs & mine].min() / flat[runs & others].max())
    return {"margin": min(margins)}


C1b = Claim(
    id="C1b",
    says="The phenomenon is Muon's: at equal loss its product is flatter than AdamW's and SGD's at every learning rate "
    "tried.",
    criterion="margin > 1.8",
    reason="margin = σ_r/σ₁ of Muon at its worst rate over that of the others at their best, least over seeds",
    measure=distinctive,
    on="Muon",
    control=Control("SGD against AdamW: between these there is no such gap", on="SGD"),
    stance="restated",
    changed="Small model; the abstract calls the phenomenon distinctive and names no other optimizer.",
    figure="glance",
)


def on_digits(results: Results, method: str) -> Measured:
    """Least effective rank of the product, as a share of the rank, over seeds and layers."""
    r = results.digits
    spectra = {name: run.spectra() for name, run in zip(METHODS, r.runs, strict=True)}
    if not all(np.isfinite(values).all() for values in spectra.values()):
        raise Undecided("digits_steps: networks trained so shortly do not adapt to the common loss")
    shares = {name: effective_rank(values) / values.shape[-1] for name, values in spectra.items()}
    share = np.maximum(shares["AdamW"], shares["SGD"]) if method == "the others" else shares[method]
    return {"share": share.min()}


C1c = Claim(
    id="C1c",
    says="The same in a ReLU network adapted from upright to turned digits: all directions of BA are in use under "
    "Muon, about half of them under AdamW and SGD.",
    criterion="share > 0.85",
    reason="share = exponential of the entropy of σ/Σσ over the rank, least over seeds and layers, at loss 0.5; "
    "with 48 networks 0.95 and more for Muon, at most 0.70 for the others",
    measure=on_digits,
    on="Muon",
    control=Control("AdamW or SGD, whichever is flatter", on="the others"),
    stance="added",
    figure="digits",
)


# --- equal rates -------------------------------------------------------------------------------------------------


def rule(growth: Growth, name: str) -> Runs:
    """The runs of one rule."""
    return {"SpecGF": growth.spectral, "GF": growth.gradient, "Muon": growth.muon}[name]


def window(runs: Runs, s: np.ndarray) -> np.ndarray:
    """From 0.3 to 0.95 of the time at which the least target is reached: all modes are under way."""
    clock = runs.clock()
    inside = (clock > 0.3 * s[-1] ** 0.5) & (clock < 0.95 * s[-1] ** 0.5)
    if not inside.any(0).all():
        raise Undecided("spectrum: its least value is so small that no look falls into the time of growth")
    return inside


def spread(runs: Runs, s: np.ndarray) -> np.ndarray:
    """Largest ``(sqrt(sigma_1) - sqrt(sigma_r)) / t`` in the window, ``(sizes, starts, seeds)``."""
    roots = np.sqrt(runs.values)
    wide = (roots[..., 0] - roots[..., -1]) / np.where(runs.clock() > 0, runs.clock(), 1.0)
    return np.where(window(runs, s), wide, 0.0).max(0)


def flatness(runs: Runs, level: float) -> np.ndarray:
    """``sigma_r / sigma_1`` when ``sigma_1`` first reaches the level, whenever that is; ``(sizes, starts, seeds)``."""
    reached = runs.values[..., 0] >= level
    first = reached.argmax(0)[None, ..., None]
    return np.where(reached.any(0), ratio(np.take_along_axis(runs.values, first, 0)[0]), np.nan)


def equal_rate(results: Results, name: str) -> Measured:
    """Spread in units of the start's size, and flatness when the largest singular value is at half the least target."""
    r = results.growth
    if r.alphas.min() > SMALL:
        raise Undecided(f"alphas: needs a start of at most {SMALL}")
    runs = rule(r, name)
    return {
        "spread": (spread(runs, r.s) / (r.alphas[:, None, None] + r.eta / 10)).max(),
        "flat": flatness(runs, r.s[-1] / 2)[-1].min(),
    }


C2a = Claim(
    id="C2a",
    says="Equal rates: under SpecGF the roots of all singular values of BA are within a few α of each other while they "
    "grow, for every target, from random starts of size α.",
    criterion="spread < 8 and flat > 0.9",
    reason="spread = largest (√σ₁ − √σ_r)/t in the window in which all grow, in units of α plus a tenth of the step "
    "size; the worst of 64 starts had 4.7; "
    "flat = σ_r/σ₁ at the smallest α when σ₁ is half the least target",
    measure=equal_rate,
    on="SpecGF",
    control=Control("gradient flow from the same starts", on="GF"),
    figure="glance",
)


def deviation(results: Results, name: str) -> Measured:
    """How unequal roots are when the largest is half-way, against the size of the start."""
    r = results.growth
    if r.alphas.min() > SMALL or r.alphas.max() < 3 * r.alphas.min():
        raise Undecided(f"alphas: needs one of at most {SMALL} and another at least three times as large")
    unequal = (1 - np.sqrt(flatness(rule(r, name), r.s[-1] / 2))).mean((1, 2))
    return {"slope": float(loglog_slope(r.alphas, unequal)), "unequal": unequal}


C2b = Claim(
    id="C2b",
    says="The small deviations from equal rates are of the order of the start: they fall like α.",
    criterion="0.8 <= slope <= 1.2",
    reason="slope of the mean of 1 − √(σ_r/σ₁), at σ₁ = half the least target, against α; one if deviations are "
    "proportional to α",
    measure=deviation,
    on="SpecGF",
    control=Control("gradient flow, whose modes are as unequal from any start", on="GF"),
    stance="added",
    figure="deviation",
)


def narrow(results: Results, name: str) -> Measured:
    """Flatness when the largest value is half the r-th target, and error of the spectrum at the end."""
    r = results.narrow
    if r.alpha > SMALL:
        raise Undecided(f"alphas: the middle one needs to be at most {SMALL}")
    runs = {"SpecGF": r.spectral, "GF": r.gradient}[name]
    final = np.abs(runs.values[-1] / r.s[: r.rank] - 1).max()
    return {"flat": flatness(runs, r.s[r.rank - 1] / 2).min(), "final": final}


def final_error(params: Parameters) -> float:
    """Relative error of a singular value whose factors end a step of ``2 eta`` off, and at least two per cent."""
    least = params.spectrum[0] * (1 - (params.narrow_rank - 1) / params.narrow_modes)
    return max(0.02, 4 * params.eta / least**0.5)


C2c = Claim(
    id="C2c",
    says="The same with factors of smaller rank than the target: all r singular values grow at one rate, and the r "
    "largest of the target are found.",
    criterion=lambda params: f"flat > 0.75 and final < {final_error(params):.2g}",
    reason="flat as in C2a, at σ₁ = half the r-th target; final = largest relative error at the end, of the order of "
    "the step size",
    measure=narrow,
    on="SpecGF",
    control=Control("gradient flow from the same starts", on="GF"),
    figure="narrow",
)


def decoupling(results: Results, start: str) -> Measured:
    """Largest distance of the roots of the modes from those of the scalar flow."""
    r = results.band
    return {"apart": np.abs({"aligned": r.spectral, "rotated": r.rotated}[start] - r.scalar).max()}


C2d = Claim(
    id="C2d",
    says="From an aligned start the matrix flow is exactly a scalar flow of each mode by itself.",
    criterion="apart < 1e-6",
    reason="apart = largest distance of √(u_i^T BA v_i) from the scalar flow with the same steps; rounding",
    measure=decoupling,
    on="aligned",
    control=Control("the same factors, rotated against each other", on="rotated"),
    stance="added",
    figure="band",
    theorem=f"thm-{LABEL}-aligned",
)


def ceiling(results: Results, name: str) -> Measured:
    """Largest share of ``(||B_0|| + t)(||A_0|| + t)`` that the largest singular value takes."""
    r = results.growth
    t, alpha = np.linspace(0.01, 20, 2000), r.alphas.max()
    if (theory.gradient_value(t, r.s[0], alpha) / (alpha + t) ** 2).max() < 1.5:
        raise Undecided("spectrum: its largest value is too small for gradient flow to run ahead of anything")
    runs = rule(r, name)
    clock = np.where(runs.clock() > 0, runs.clock(), np.nan)
    return {"share": np.nanmax(runs.values[..., 0] / ((r.norms[0] + clock) * (r.norms[1] + clock)))}


C2e = Claim(
    id="C2e",
    says="No mode can run ahead: whatever the target, σ₁(BA) ≤ (‖B₀‖ + t)(‖A₀‖ + t) under SpecGF.",
    criterion="0.5 < share <= 1 + 1e-6",
    reason="share = largest σ₁ over the bound, which is proved for the flow and its Euler steps; the rest is rounding",
    measure=ceiling,
    on="SpecGF",
    control=Control("gradient flow, where the largest target grows exponentially", on="GF"),
    stance="added",
    figure="deviation",
    theorem=f"prop-{LABEL}-ceiling",
)


def growth_of_muon(results: Results, name: str) -> Measured:
    """Least and largest ``sqrt(sigma_i) / t`` in the window, from starts of the middle size."""
    r = results.growth
    if r.alphas[r.muon_size] > SMALL:
        raise Undecided(f"alphas: the middle one needs to be at most {SMALL}")
    runs = r.muon if name == "Muon" else rule(r, name).at(r.muon_size)
    pace = np.sqrt(runs.values) / np.where(runs.clock() > 0, runs.clock(), 1.0)[..., None]
    inside = np.broadcast_to(window(runs, r.s)[..., None], pace.shape)
    return {"low": pace[inside].min(), "high": pace[inside].max()}


C2f = Claim(
    id="C2f",
    says="Muon itself, with momentum and five Newton–Schulz steps in place of the polar factor, keeps all modes "
    "between 0.6 and 1.3 times the common pace.",
    criterion="low > 0.6 and high < 1.3",
    reason="least and largest √σ/t in the window; five Newton–Schulz steps send singular values to [0.68, 1.21], "
    "momentum and the start of size α add a little",
    measure=growth_of_muon,
    on="Muon",
    control=Control("gradient flow from the same starts", on="GF"),
    stance="added",
    figure="muon",
)


def in_band(results: Results, name: str) -> Measured:
    """Largest violation of the bands while modes are active."""
    r = results.band
    if r.alpha * (r.s[-1] - r.alpha**2) < BANDS[-1] * r.beta:
        raise Undecided("band_beta: too large for the least mode to be active at the start")
    roots = {"smoothed SpecGF": r.spectral, "GF": r.gradient}[name]
    return {"violation": max(r.violation(roots, K) for K in BANDS)}


C2g = Claim(
    id="C2g",
    says="With smoothing β all active modes stay in one band, whose width is at most t/2K² while gradients are at "
    "least Kβ.",
    criterion="violation < 1e-6",
    reason="violation of α + t/√(1 + K⁻²) ≤ √σ ≤ α + t for K = 3 and 10, proved for the flow and for its Euler steps",
    measure=in_band,
    on="smoothed SpecGF",
    control=Control("gradient flow from the same start", on="GF"),
    stance="added",
    figure="band",
    theorem=f"thm-{LABEL}-band",
)


# --- order of arrival --------------------------------------------------------------------------------------------


def smallest_first(results: Results, name: str) -> Measured:
    """Order of arrival, and distance from ``sqrt(level s)``, from the smallest starts."""
    r, level = results.growth, results.growth.level
    if np.diff(np.sqrt(level * r.s[::-1])).min() < 5 * r.alphas.min():
        raise Undecided("spectrum: two values are too close to be told apart from the smallest of alphas")
    times = rule(r, name).arrivals(level * r.s)[-1]
    return {
        "order": theory.order(times).min(),
        "off": np.abs(times / theory.spectral_time(r.s, 0.0, level) - 1).max(),
    }


def arrival_error(params: Parameters) -> float:
    """Relative error of an arrival time that is off by twice the size of the start plus a step."""
    return 2 * (min(params.alphas) + params.eta) / (params.level * params.spectrum[-1]) ** 0.5


C3a = Claim(
    id="C3a",
    says="Under SpecGF smaller singular values attain their targets earlier than larger ones, mode i at time √(κ s_i).",
    criterion=lambda params: f"order == 1 and off < {arrival_error(params):.2g}",
    reason="order = Kendall's correlation of arrival times with targets, least over starts; off = largest relative "
    "distance from √(κ s), which is to be at most twice α + η over the least √(κ s), α the smallest",
    measure=smallest_first,
    on="SpecGF",
    control=Control("gradient flow from the same starts", on="GF"),
    figure="arrivals",
)


def largest_first(results: Results, name: str) -> Measured:
    """Order of arrival of targets that are some way apart, from the smallest starts, and last over first arrival."""
    r, level = results.growth, results.growth.level
    if r.s[0] < APART * r.s[-1]:
        raise Undecided(f"spectrum: no two values have a ratio of {APART}")
    if not theory.largest_first(r.s, r.alphas.min(), level):
        raise Undecided("alphas: the smallest is not small enough for an order under gradient flow")
    times = rule(r, name).arrivals(level * r.s)[-1]
    return {"order": theory.order(times, r.s, APART).max(), "stretch": (times[..., -1] / times[..., 0]).min()}


def least_stretch(params: Parameters) -> float:
    """Seven tenths of last over first arrival under gradient flow from an aligned start of the smallest size."""
    first, last = theory.gradient_time([params.spectrum[0], params.spectrum[-1]], min(params.alphas), params.level)
    return 0.7 * float(last / first)


C3b = Claim(
    id="C3b",
    says="Gradient flow from the same starts learns the other way round: the largest first, one after the other.",
    criterion=lambda params: f"order <= -0.9 and stretch > {least_stretch(params):.2g}",
    reason="order as in C3a, largest over starts, among targets with a ratio of at least 1.5; stretch = arrival of the "
    "least target over that of the largest, least over starts, at least 0.7 times as in the theorem",
    measure=largest_first,
    on="GF",
    control=Control("SpecGF from the same starts", on="SpecGF"),
    stance="restated",
    changed="From small starts, and for targets with a ratio of at least 1.5: a random start overlaps one mode more "
    "than another, and close targets may exchange their places.",
    figure="arrivals",
)


def crossover(results: Results, start: str) -> Measured:
    """Order of arrival at the least and at the largest smoothing."""
    r, row = results.sweep, {"small start": 0, "large start": 1}[start]
    if not theory.largest_first(r.s, 1.2 * r.alphas[0], r.level):
        raise Undecided("alphas: the smallest is not small enough for an order under gradient flow")
    if theory.order(theory.gradient_time(r.s, r.alphas[1], r.level)) <= -0.9:
        raise Undecided("spectrum: so narrow that gradient flow has an order from a large start, too")
    return {"polar": r.order[row, 0].min(), "gradient": r.order[row, -1].max()}


C3c = Claim(
    id="C3c",
    says="The smoothing β leads from one order to the other: smallest first for small β, largest first for large β, "
    "where the smoothed flow is gradient flow at another speed.",
    criterion="polar >= 0.9 and gradient <= -0.9",
    reason="Kendall's correlation of arrival times with targets at the ends of the sweep, the worst of the starts",
    measure=crossover,
    on="small start",
    control=Control("starts that are nearly there, from which gradient flow has no order", on="large start"),
    stance="added",
    figure="sweep",
)


# --- convergence -------------------------------------------------------------------------------------------------


def _long_enough(results: Results, lam: float) -> None:
    r = results.convergence
    end = r.times[-1].min()
    if end < 1.5 * (r.s[0] ** 0.5 + r.scales[-1]):
        raise Undecided("t_conv: shorter than the way at unit speed")
    if theory.slowest_rate(r.s, r.rank, lam) * end < 20 * r.beta:
        raise Undecided("conv_spectrum, lams: values so close that the end is approached too slowly for t_conv")


def converges(results: Results, start: str) -> Measured:
    """Excess loss at the end, and how fast the factors ever moved."""
    r = results.convergence
    _long_enough(results, 0.0)
    if start == "saddle start":
        return {"excess": r.saddle[-1, 0], "speed": r.saddle_speed[0]}
    excess = np.append(r.excess[-1, 0].ravel(), r.saddle[-1, 1])
    return {"excess": excess.max(), "speed": r.speed[0].max()}


C4 = Claim(
    id="C4",
    says="SpecGF converges to a global minimum from almost all starts: from every random one, small or large, and from "
    "one beside the stable manifold of a saddle.",
    criterion="excess < 1e-8 and 0.5 < speed <= 1",
    reason="excess = largest loss at the end above the least possible; speed = largest spectral norm of a factor's "
    "velocity, at most one under SpecGF and near it, while gradient flow, with the same limits, moves faster",
    measure=converges,
    on="random starts",
    control=Control("a start exactly on the stable manifold of a saddle", on="saddle start"),
    figure="convergence",
    theorem=f"thm-{LABEL}-convergence",
)


def regularized(results: Results, weights: str) -> Measured:
    """Excess loss, distance from the soft-thresholded target and imbalance at the end; bound and speed on the way."""
    r = results.convergence
    for lam in r.lams:
        _long_enough(results, lam)
    rows = slice(1, None) if weights == "regularized" else slice(0, 1)
    lams = r.lams[rows, None, None]
    return {
        "excess": r.excess[-1, rows].max(),
        "distance": r.distance[rows].max(),
        "imbalance": r.imbalance[-1, rows].max(),
        "bounded": (lams * r.squares[:, rows] / (2 * r.first[rows])).max(),
        "speed": r.speed[rows].max(),
    }


C5 = Claim(
    id="C5",
    says="With ℓ₂ regularization SpecGF converges globally and needs no proviso: the loss bounds the norms, the "
    "product ends at the soft-thresholded target and the factors end balanced.",
    criterion="excess < 1e-8 and distance < 1e-4 and imbalance < 1e-4 and bounded <= 1 and 0.5 < speed <= 1",
    reason="largest over starts and λ: loss above the least possible, ‖BA − U(S − λ)₊V^T‖, ‖B^T B − AA^T‖ at the end; "
    "λ(‖A‖² + ‖B‖²) over twice the loss at the start; speed as in C4",
    measure=regularized,
    on="regularized",
    control=Control("the same starts with λ = 0: nothing holds the norms or balances the factors", on="without"),
    figure="thresholds",
    theorem=f"thm-{LABEL}-regularized",
)


# --- the whole path ----------------------------------------------------------------------------------------------


def path(results: Results, name: str) -> Measured:
    """Largest distance of ``sqrt(u_i^T B A v_i)`` from ``min(t, sqrt(s_i))``, over ``alpha + eta``, of small starts.

    The largest over modes and times is a mean over random starts of one kind, since how large a start came out is luck.
    """
    r = results.growth
    small = r.alphas <= 5 * SMALL
    if r.alphas.min() > SMALL:
        raise Undecided(f"alphas: needs a start of at most {SMALL}")
    runs = rule(r, name)
    expected = np.minimum(runs.clock()[..., None], np.sqrt(r.s))
    apart = np.abs(np.sign(runs.modes) * np.sqrt(np.abs(runs.modes)) - expected).max((0, 4))
    return {"distance": (apart.mean(2).max(1) / (r.alphas + r.eta))[small].max()}


C6 = Claim(
    id="C6",
    says="Experiments in the setting of the theory agree with it: from random starts, too, every mode follows "
    "√σ_i = min(t, √s_i) all the way, within the size of the start and a step.",
    criterion="distance < 1",
    reason="distance = largest over modes and times in units of α + η, the mean over starts of a kind, the largest of "
    "kinds and sizes α up to 0.1; 0.6 to 0.7 seen",
    measure=path,
    on="SpecGF",
    control=Control("gradient flow from the same starts", on="GF"),
    figure="glance",
)

CLAIMS = (C1a, C1b, C1c, C2a, C2b, C2c, C2d, C2e, C2f, C2g, C3a, C3b, C3c, C4, C5, C6)


def mean(values: np.ndarray) -> float:
    """Mean of what is there; NaN where nothing is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    text, digits, sweep = results.language, results.digits, results.sweep
    per_method = {}
    for name, run in zip(METHODS, digits.runs, strict=True):
        chosen = np.array([one == name for one in text.methods])
        per_method[name] = {
            "steps": np.mean([run.steps[-1] for run, one in zip(text.runs, text.methods, strict=True) if one == name]),
            "ratio": mean(text.flatness()[chosen]),
            "growth": mean(text.growth()[chosen]),
            "rank": mean(
                np.array(
                    [np.median(effective_rank(r.spectra())) for r, one in zip(text.runs, chosen, strict=True) if one]
                )
            ),
            "digits_ratio": np.median(ratio(run.spectra())),
            "digits_rank": np.median(effective_rank(run.spectra())),
        }
    return {
        "methods": per_method,
        "own": text.own().mean(),
        "digits_own": np.median(ratio(digits.start)),
        "home": text.before[0].mean(),
        "away": text.before[1].mean(),
        "matrices": len(text.layers),
        "crossing": sweep.betas[int((sweep.order[0].mean(-1) > 0).argmin())],
        "squares": results.convergence.squares[:, 0].max(),
        "starts": int(np.prod(results.convergence.excess.shape[2:])),
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
