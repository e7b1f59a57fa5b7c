"""The claims of the chapter, each below its measure, with the control that must fail it."""

import functools
from collections.abc import Callable

import numpy as np

from companion.chapters.weight_decay_stability.experiments import Edge, Results
from companion.chapters.weight_decay_stability.experiments.training import NORMALIZED
from companion.chapters.weight_decay_stability.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "weight-decay-stability"  # ends the labels of the page's statements
BELOW, NEAR, AT = 0.85, 0.8, 0.95  # of the edge: clearly below it, near enough to judge, and at it


def measure(of: Callable[[Results, str], Measured]) -> Callable[[Results, str], Measured]:
    """Mark a measure: where what it compares is not a number, nothing can be decided."""

    @functools.wraps(of)
    def checked(results: Results, run: str) -> Measured:
        measured = of(results, run)
        lost = [name for name, value in measured.items() if np.isnan(np.asarray(value, dtype=float)).any()]
        if lost:
            raise Undecided(
                f"lr, lr_below, lr_kernel or lrs: a run has diverged or died, {', '.join(lost)} is no number"
            )
        return measured

    return checked


@measure
def slower(results: Results, networks: str) -> Measured:
    """The least drop of S from one decay to the next larger one, over networks, decays and seeds."""
    r = results.sharpening
    chosen = {"plain": tuple(name for name in r.names if name != NORMALIZED), NORMALIZED: (NORMALIZED,)}[networks]
    return {"drop": r.drops(chosen).min()}


C1a = Claim(
    id="C1a",
    says="Below the edge, weight decay slows progressive sharpening: in every network tried and on every seed the "
    "sharpness after a fixed training time falls with each increase of λ.",
    criterion="drop > 0",
    reason="drop = least relative decrease of S from one λ to the next larger one; the abstract says robustly, so "
    "every network and every seed",
    measure=slower,
    on="plain",
    control=Control("the same MLP with normalized layers, whose alignment is negative", on=NORMALIZED),
    figure="sharpening",
    theorem=f"prop-{LABEL}-first-order",
)


@measure
def faster(results: Results, network: str) -> Measured:
    """The least rise of S from one decay to the next, and the distance of the alignment from -2."""
    r = results.sharpening
    if network not in r.names:
        raise Undecided("below: needs the network MLP among those below the edge")
    return {
        "rise": -r.drops((network,)).max(),
        "off": np.abs(r.ratio[r.names.index(network)] + 2).max(),
    }


C1b = Claim(
    id="C1b",
    says="With normalized layers weight decay does the opposite: the alignment θ·∇S is −2S and the sharpness rises "
    "with λ.",
    criterion="rise > 0 and off < 0.01",
    reason="a function of degree 0 has a Hessian of degree −2; single precision leaves 1e-3",
    measure=faster,
    on=NORMALIZED,
    control=Control("the MLP without normalization", on="MLP"),
    stance="added",
    figure="sharpening",
    theorem=f"thm-{LABEL}-alignment",
)


def _row(edge: Edge, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """Plateaus and relative oscillations of one decay, over seeds."""
    row = edge.at(lam)
    return edge.plateau[row], edge.oscillation[row] / edge.oscillation[0]


def _needs_the_edge(results: Results) -> None:
    """Without decay both architectures must have come to the edge, else there is nothing for decay to change."""
    for name, edge, parameter in (("MLP", results.mlp, "steps_mlp"), ("CNN", results.cnn, "steps_cnn")):
        if np.median(edge.plateau[0]) < NEAR:
            raise Undecided(f"{parameter}, lr: without decay the {name} does not reach the edge in these steps")


@measure
def damped(results: Results, architecture: str) -> Measured:
    """Where the sharpness sits with the common decay, and the oscillation relative to that without."""
    _needs_the_edge(results)
    edge = {"CNN": results.cnn, "MLP": results.mlp}[architecture]
    plateau, oscillation = _row(edge, results.lam)
    return {"least": plateau.min(), "middle": np.median(plateau), "oscillation": np.median(oscillation)}


C2 = Claim(
    id="C2",
    says="CNN: weight decay dampens the oscillation at the edge of stability, while the sharpness stays at 2/η.",
    criterion="least > 0.8 and middle > 0.93 and oscillation < 0.6",
    reason="S η/2 on the plateau, least and median over seeds, and the median ratio of mean |ΔL|/L with and without "
    "decay; margins from eight seeds of the development",
    measure=damped,
    on="CNN",
    control=Control("the MLP with the same data, η and λ: calm, but no longer at the edge", on="MLP"),
    figure="runs",
    theorem=f"prop-{LABEL}-map",
)


@measure
def transition(results: Results, architecture: str) -> Measured:
    """Plateaus without and with the common decay, and how still the latter are."""
    _needs_the_edge(results)
    edge = {"CNN": results.cnn, "MLP": results.mlp}[architecture]
    row = edge.at(results.lam)
    return {
        "without": np.median(edge.plateau[0]),
        "middle": np.median(edge.plateau[row]),
        "most": edge.plateau[row].max(),
        "spread": edge.spread[row].max(),
    }


C3a = Claim(
    id="C3a",
    says="MLP: with enough weight decay the sharpness settles significantly below 2/η, where without decay it sits "
    "at 2/η.",
    criterion=f"without > 0.93 and middle < 0.65 and most < {BELOW} and spread < 0.08",
    reason="S η/2 on the plateau, median over seeds, the largest, and its standard deviation over time; margins from "
    "twelve seeds of the development",
    measure=transition,
    on="MLP",
    control=Control("the CNN with the same data, η and λ", on="CNN"),
    figure="glance",
    theorem=f"prop-{LABEL}-balance",
)


def _critical(edge: Edge) -> np.ndarray:
    """Estimates of the critical decay, over seeds, at the decay that takes the plateau nearest to 0.9 of the edge."""
    nearest = 1 + np.abs(np.median(edge.plateau[1:], axis=1) - 0.9).argmin()
    return edge.critical[nearest]


@measure
def window(results: Results, pair: str) -> Measured:
    """How far apart the critical decays are, and whether the CNN, too, leaves the edge at its largest decay."""
    _needs_the_edge(results)
    mlp, cnn = results.mlp, results.cnn
    own, other = (_critical(edge) for edge in (mlp, cnn))
    half = len(own) // 2
    first, second = {"CNN and MLP": (other, own), "two halves": (own[:half], own[half:])}[pair]
    if np.median(cnn.plateau[-1]) > AT:
        raise Undecided("lams_cnn: needs a decay at which the CNN leaves the edge")
    return {
        "factor": np.median(first) / np.median(second),
        "leaves": np.median(cnn.plateau[-1]),
        "balance": np.median(cnn.force[-1]),
    }


C3b = Claim(
    id="C3b",
    says="The two architectures differ in the critical decay λ_c, by a factor of several, not in kind: with more decay "
    "the CNN leaves the edge, too.",
    criterion="factor > 3 and leaves < 0.85 and 0.75 < balance < 1.25",
    reason="ratio of medians of α over the decay's pull, where the plateau is nearest to 0.9, about ten in "
    "development; the CNN's median plateau and force at its largest decay",
    measure=window,
    on="CNN and MLP",
    control=Control("two halves of the MLP's seeds in place of the two architectures", on="two halves"),
    stance="restated",
    changed="The abstract describes a dichotomy of architectures. It is one of a window of λ, between two critical "
    "decays.",
    figure="law",
    theorem=f"prop-{LABEL}-balance",
)


@measure
def independent(results: Results, decay: str) -> Measured:
    """Largest over smallest plateau, as a sharpness, among step sizes whose edge is clearly above it."""
    r = results.plateaus
    middle = np.median(r.sharpness, axis=2)
    free = 2 / r.lrs > 1.2 * middle[:, 1].max()
    if free.sum() < 2:
        raise Undecided("lrs: needs two step sizes whose edge 2/η lies above the plateau with decay")
    chosen = middle[free, {"none": 0, "λ": 1}[decay]]
    return {"range": chosen.max() / chosen.min()}


C3c = Claim(
    id="C3c",
    says="The plateau of the MLP with decay is a sharpness of its own: it does not depend on the step size, while the "
    "edge moves with it.",
    criterion="range < 1.4",
    reason="largest over smallest median plateau among step sizes with 2/η above it, at equal training time; the "
    "edges there differ by a factor of two",
    measure=independent,
    on="λ",
    control=Control("no decay: the sharpness follows 2/η", on="none"),
    stance="added",
    figure="plateaus",
    theorem=f"prop-{LABEL}-balance",
)


@measure
def cause(results: Results, direction: str) -> Measured:
    """Plateaus without the decay's part along a direction, with that part alone, and with the whole decay."""
    _needs_the_edge(results)
    r = results.filtered
    across, along = r.plateau(direction, "across"), r.plateau(direction, "along")
    return {
        "across": np.median(across),
        "along": np.median(along),
        "whole": np.median(r.whole_plateau),
        "gap": (across - np.maximum(along, r.whole_plateau)).min(),
    }


C4a = Claim(
    id="C4a",
    says="The alignment of θ with the sharpness gradient is the cause: without the decay's part along ∇S the edge "
    "returns, and that part alone keeps the sharpness below it.",
    criterion="across > 0.88 and along < 0.7 and whole < 0.7 and gap > 0.1",
    reason="medians of S η/2 over seeds and the least gap on one seed; margins from eleven seeds of the development",
    measure=cause,
    on="sharpness gradient",
    control=Control("a random direction at the same angle to θ: the same length of decay is removed", on="random"),
    figure="filters",
    theorem=f"prop-{LABEL}-first-order",
)


@measure
def exact(results: Results, networks: str) -> Measured:
    """Largest distance of the alignment from the identity, for the Gauss-Newton matrix and for the Hessian."""
    r = results.identity
    tanh = np.array(["tanh" in name for name in r.names])
    chosen = {"homogeneous": ~tanh, "tanh": tanh}[networks]
    expected = 2 * (r.degree - 1)[:, None]
    return {
        "gauss_newton": np.abs(r.ratio - expected)[chosen].max(),
        "hessian": np.abs(r.full - expected - r.correction)[chosen].max(),
    }


C4b = Claim(
    id="C4b",
    says="For networks of degree m the alignment is fixed by homogeneity: θ·∇S = 2(m − 1)S for the Gauss–Newton "
    "sharpness, and 2(m − 1)S + mκ for the Hessian's.",
    criterion="gauss_newton < 1e-9 and hessian < 1e-9",
    reason="relative to S, over MLPs of two to four layers, a CNN and a normalized MLP with random weights in double "
    "precision; rounding leaves 1e-13",
    measure=exact,
    on="homogeneous",
    control=Control("tanh, which is not homogeneous", on="tanh"),
    stance="added",
    figure="alignment",
    theorem=f"thm-{LABEL}-alignment",
)


@measure
def balance(results: Results, architecture: str) -> Measured:
    """Progressive sharpening over the decay's pull: medians for each decay, and the farthest from one."""
    _needs_the_edge(results)
    edge = {"CNN": results.cnn, "MLP": results.mlp}[architecture]
    # The MLP is below the edge from the common decay on, the CNN at the edge with it.
    rows = edge.lam >= results.lam if architecture == "MLP" else edge.lam == results.lam
    force = edge.force[rows[1:]]
    return {"force": np.median(force, axis=1), "off": np.abs(force - 1).max()}


C4c = Claim(
    id="C4c",
    says="Below the edge the plateau is a balance of two forces: progressive sharpening equals the decay's pull along "
    "the sharpness gradient.",
    criterion="min(force) > 0.85 and max(force) < 1.15 and off < 0.4",
    reason="medians over seeds for each λ from the common one on, and the farthest single run; exactly one where "
    "training is at rest",
    measure=balance,
    on="MLP",
    control=Control("the CNN at the edge with the same λ, where oscillation carries the rest", on="CNN"),
    stance="added",
    figure="law",
    theorem=f"prop-{LABEL}-balance",
)


@measure
def reduced_law(results: Results, model: str) -> Measured:
    """Distance of energy and plateau of the reduced model's orbits from the two straight laws."""
    r = results.reduced
    k = {"with alignment": 0, "without": 1}[model]
    lam = r.ratio * r.model.critical
    energy = np.abs(r.energy[k] - r.model.energy(lam)).max() / r.model.energy(np.zeros(1))[0]
    return {"energy": energy, "plateau": np.abs(r.plateau[k] / r.model.plateau(lam) - 1).max()}


C4d = Claim(
    id="C4d",
    says="The reduced model has both phases: the energy of its oscillation falls linearly with λ and vanishes at λ_c, "
    "and beyond λ_c the sharpness settles at α/(λc).",
    criterion="energy < 0.35 and plateau < 0.12",
    reason="largest distance of orbit averages from 1 − λ/λ_c, in units of the energy at λ = 0, and of the mean "
    "sharpness from min(2/η − λ, α/(λc)); averages over finitely many cycles",
    measure=reduced_law,
    on="with alignment",
    control=Control("c = 0: decay without alignment", on="without"),
    stance="added",
    figure="map",
    theorem=f"prop-{LABEL}-map",
)


@measure
def outputs(results: Results, part: str) -> Measured:
    """Median relative step of the outputs, over that without decay."""
    _needs_the_edge(results)
    r = results.filtered
    without = np.median(results.mlp.output_step[:, 0].mean(0))
    step = {
        "along": r.output_step[0, 1],
        "across": r.output_step[0, 0],
    }[part]
    return {"step": np.median(step) / without}


C5a = Claim(
    id="C5a",
    says="Stability in function space: the part of the decay along the sharpness gradient calms the outputs of the "
    "MLP, from step to step.",
    criterion="step < 0.5",
    reason="median over seeds of the relative change of outputs on test inputs in one step, over that without decay",
    measure=outputs,
    on="along",
    control=Control("the decay without that part", on="across"),
    figure="functions",
)


@measure
def kernels(results: Results, network: str) -> Measured:
    """Median relative step of the tangent kernel with decay, over that without."""
    edge = {"GELU": results.smooth, "ReLU": results.mlp}[network]
    if np.median(edge.plateau[0]) < NEAR:
        raise Undecided(f"steps_kernel, steps_mlp: without decay the {network} network does not reach the edge")
    without, with_decay = np.median(edge.kernel_step.mean(0), axis=1)
    return {"ratio": with_decay / without}


C5b = Claim(
    id="C5b",
    says="With a smooth activation the tangent kernel of the MLP comes to rest, too.",
    criterion="ratio < 0.2",
    reason="median over seeds of the relative change of the kernel in one step, with and without decay, GELU; about "
    "0.03 in development",
    measure=kernels,
    on="GELU",
    control=Control("ReLU: samples sit on the kinks, and gates go on flipping", on="ReLU"),
    stance="restated",
    changed="The abstract speaks of stability in terms of the NTK without restriction; for the ReLU MLP the kernel's "
    "steps hardly shrink.",
    figure="functions",
)


@measure
def diagnosis(results: Results, decay: str) -> Measured:
    """Plateaus over the limit of a quadratic, 2/η − λ, and the CNN's oscillation."""
    _needs_the_edge(results)
    lam = {"λ": results.lam, "none": 0.0}[decay]
    limit = 1 - lam * results.mlp.lr / 2
    cnn, calm = _row(results.cnn, lam)
    return {
        "mlp": np.median(_row(results.mlp, lam)[0]) / limit,
        "cnn": np.median(cnn) / limit,
        "oscillation": np.median(calm),
    }


C6 = Claim(
    id="C6",
    says="With weight decay the quadratic's limit 2/η − λ diagnoses nothing: the MLP settles far below it, and the CNN "
    "reads the same as without decay while its oscillation has died down.",
    criterion="mlp < 0.7 and cnn > 0.9 and oscillation < 0.6",
    reason="medians of S over the limit, and of the oscillation relative to none; the heuristic says one, one and one",
    measure=diagnosis,
    on="λ",
    control=Control("no decay: both at the limit, as the heuristic says", on="none"),
    figure="law",
    theorem=f"prop-{LABEL}-quadratic",
)

CLAIMS = (C1a, C1b, C2, C3a, C3b, C3c, C4a, C4b, C4c, C4d, C5a, C5b, C6)


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    with np.errstate(all="ignore"):  # what comes of runs that have diverged is not a number, and decides nothing
        return judge(CLAIMS, results, PAPER.slug, params, quantities(results))


def quantities(results: Results) -> dict[str, object]:
    """Further measured values that the page quotes."""
    mlp, cnn, below = results.mlp, results.cnn, results.sharpening
    middle = {name: np.median(below.sharpness[k, -1], axis=1) for k, name in enumerate(below.names)}
    return {
        "lam": results.lam,
        "mlp": _table(mlp),
        "cnn": _table(cnn),
        "below": {name.replace(" ", "_").replace("-", "_"): values for name, values in middle.items()},
        "alignment": {
            "mlp": mlp.ratio.mean((0, 2)),
            "cnn": cnn.ratio.mean((0, 2)),
            "tanh": results.identity.full[-1].mean(),
        },
        "cosine": results.filtered.cosine.mean(),
        "random": {part: np.median(results.filtered.plateau("random", part)) for part in ("across", "along")},
        "plateaus": np.median(results.plateaus.sharpness, axis=2),
        "kernel_cnn": np.median(cnn.kernel_step.mean(0), axis=1),
        "kernel_relu": np.median(mlp.kernel_step.mean(0), axis=1),
        "kernel_gelu": np.median(results.smooth.kernel_step.mean(0), axis=1),
        "critical_map": results.reduced.model.critical,
    }


def _table(edge: Edge) -> list[dict[str, float]]:
    """Medians over seeds for each decay."""
    relative = np.median(edge.oscillation / edge.oscillation[0], axis=1)
    force = [float("nan"), *np.median(edge.force, axis=1)]
    plateau, moved = np.median(edge.plateau, axis=1), np.median(edge.output_step.mean(0), axis=1)
    names = ("lam", "plateau", "oscillation", "force", "outputs", "loss")
    loss = np.median(edge.losses[-1], axis=1)
    return [
        dict(zip(names, row, strict=True)) for row in zip(edge.lam, plateau, relative, force, moved, loss, strict=True)
    ]
