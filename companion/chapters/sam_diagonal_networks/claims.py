"""The claims of the abstract, their criteria, and the controls that must fail them."""

from typing import Any

import numpy as np

from companion.chapters.sam_diagonal_networks import theory
from companion.chapters.sam_diagonal_networks.experiments import Amplification, Digits, Networks, Results
from companion.chapters.sam_diagonal_networks.experiments.long_run import DEPTH_ONE, DEPTHS, FORMULAS, GATED, MANY, ONE
from companion.chapters.sam_diagonal_networks.experiments.many_examples import ON_DIGITS, PAIR
from companion.chapters.sam_diagonal_networks.experiments.on_the_way import EDGE, METHODS
from companion.chapters.sam_diagonal_networks.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Undecided, Verdicts, judge

CHECKPOINTS = (500, 2000, 8000, 20_000)  # the steps at which C6a compares scales
RISING = 0.8  # C5b looks at scales between the critical one and this

# --- depth 1 ----------------------------------------------------------------------------------------------------------


def margins(results: Results, run: str) -> dict[str, Any]:
    """Margins at the end over their maximum, and how far SAM's weights were from GD's on the way."""
    found = results.depth_one
    if found.rho == 0:
        raise Undecided("rho_depth_one = 0: without a radius SAM is GD")
    if found.steps[-1] < 2000:
        raise Undecided(f"steps_depth_one = {found.steps[-1]}: margins are near their limit from about 2000 steps on")
    methods = ("GD", "l2-SAM", "linf-SAM") if run == "SAM" else (run,)
    rows = [DEPTH_ONE.index(method) for method in methods]
    apart = found.apart[..., [row for row in rows if DEPTH_ONE[row] != "GD"]].max(0)
    return {"ratio": [float(found.ratio[-1, :, row].min()) for row in rows], "apart": float(apart.min()) / found.rho}


C1a = Claim(
    id="C1a",
    says=(
        "Depth 1, many examples: ℓ₂-SAM and ℓ∞-SAM converge in direction to the ℓ₂ max-margin classifier, as GD does."
    ),
    criterion="min(ratio) > 0.99 and apart > 0.01",
    reason=(
        "The ℓ₂ margin over its maximum tends to 1 like 1 − O(1/step) in rescaled time; smallest over all data "
        "sets, for GD, ℓ₂-SAM, ℓ∞-SAM. That the iterates are not GD's: their largest distance, in units of ρ "
        "and of GD's way from the start, on the data set and for the norm where it is smallest; some 0.1 in "
        "trials."
    ),
    measure=margins,
    on="SAM",
    control=Control("sign-GD on the same data, which maximizes the ℓ∞ margin", on="sign-GD"),
    figure="depth-one",
    theorem="thm-sam-diagonal-networks-depth1",
)


def line(results: Results, run: str) -> dict[str, Any]:
    """How far the way from the start turns away from the example."""
    methods = ("GD", "l2-SAM", "linf-SAM") if run == "SAM" else (run,)
    rows = [DEPTH_ONE.index(method) for method in methods]
    return {"distance": float(np.abs(1 - results.depth_one.cosine[rows]).max())}


C1b = Claim(
    id="C1b",
    says="Depth 1, one example: the path of either SAM is GD's, the half-line from the start along μ.",
    criterion="distance < 1e-12",
    reason=(
        "Exact at every step: the perturbed gradient of one example is a multiple of μ. Distance is |1 − "
        "cosine| of w(t) − w(0) and μ; the tolerance is for rounding."
    ),
    measure=line,
    on="SAM",
    control=Control("sign-GD moves along (1, …, 1)", on="sign-GD"),
    stance="added",
    unseen="three paths on one line look like one",
    theorem="thm-sam-diagonal-networks-depth1",
)


def shifted(results: Results, run: str) -> dict[str, Any]:
    """Error of the shifted recurrences of GD."""
    found = results.depth_one
    if found.rho == 0:
        raise Undecided("rho_depth_one = 0: without a radius SAM is GD")
    methods = ("l2-SAM", "linf-SAM") if run == "SAM" else (run, run)
    margin = found.margin[:, [DEPTH_ONE.index(method) for method in methods]]
    return {"error": (np.abs(margin - found.predicted) / (1 + np.abs(found.predicted))).max(0).tolist()}


C1c = Claim(
    id="C1c",
    says=(
        "Depth 1, one example: on that line SAM is GD with the margin shifted by ρ‖μ‖₂ (ℓ₂) or ρ‖μ‖₁ (ℓ∞), and "
        "so comes to lead GD by that much margin."
    ),
    criterion="max(error) < 1e-9",
    reason=(
        "Exact at every step: the perturbed margin is ⟨w, μ⟩ − ρ‖μ‖ in the dual norm. Largest relative error of "
        "the margin over 500 steps in physical time, for ℓ₂ and ℓ∞."
    ),
    measure=shifted,
    on="SAM",
    control=Control("GD's margins from the same start, against the shifted recurrences", on="GD"),
    stance="added",
    figure="depth-one",
    theorem="thm-sam-diagonal-networks-depth1",
)

# --- gates ------------------------------------------------------------------------------------------------------------


def _enough_steps(results: Results) -> None:
    if not results.gates.enough:
        raise Undecided(
            "mu_gates: entries that are so close, or of so different size, take more than 20000 steps to part"
        )


def last_axis(results: Results, method: str) -> dict[str, Any]:
    """How many starts end on the axis of the largest entry."""
    _enough_steps(results)
    row = GATED.index(method)
    limit, share = results.gates.limit[0, row], results.gates.share[0, row]
    last = len(results.gates.mu) - 1
    return {"to_last_axis": int((limit == last).sum()), "starts": len(limit), "least_share": share[:, last].min()}


C2 = Claim(
    id="C2",
    says="Depth 2, one example: GD converges in direction to the axis of the largest entry of μ from every start.",
    criterion="to_last_axis == starts and least_share > 0.99",
    reason=(
        "β_j grows like exp(2μ_j s) in rescaled time s, whatever the start; all 2^d patterns of small and large "
        "entries."
    ),
    measure=last_axis,
    on="GD",
    control=Control("ℓ∞-SAM from the same starts", on="linf-SAM"),
    figure="winners",
    theorem="thm-sam-diagonal-networks-gd",
)


def _closed_form(results: Results, depth: int, formula: str) -> dict[str, Any]:
    error = results.gates.error[DEPTHS.index(depth), FORMULAS.index(formula)]
    return {"error": float(error[0]), "twice": float(error[1] / error[0])}


def closed_form_at_two(results: Results, formula: str) -> dict[str, Any]:
    """Error of a closed form at depth 2, and how it grows with the step size."""
    return _closed_form(results, 2, formula)


C3a = Claim(
    id="C3a",
    says="Depth 2, one example: discrete ℓ∞-SAM follows the closed form in which each coordinate has a gate at ρ.",
    criterion="error < 0.01 and 1.6 < twice < 2.5",
    reason=(
        "The closed form is exact for the flow, and the algorithm differs from it by the first order of its "
        "step: the error, relative to the largest β, is small and doubles with the step size. Over all starts "
        "and recorded times."
    ),
    measure=closed_form_at_two,
    on="with the gate",
    control=Control("the closed form without the gate (ρ = 0), which is gradient flow", on="without the gate"),
    stance="added",
    figure="paths",
    theorem="thm-sam-diagonal-networks-gates",
)


def limit_axes(results: Results, method: str) -> dict[str, Any]:
    """Limit axes against the theorem's."""
    _enough_steps(results)
    gates, row = results.gates, GATED.index(method)
    vanished = gates.size[0, row] < 1e-2 * gates.rho**2
    return {
        "as_predicted": int((gates.limit[:, row] == gates.predicted[:, 0]).sum()),
        "runs": int(gates.limit[:, row].size),
        "axes": len(set(gates.limit[0, row].tolist()) - {-1}),
        "coordinates": len(gates.mu),
        "vanished": int(vanished.sum()),
    }


C3b = Claim(
    id="C3b",
    says="Depth 2, one example: the limit of ℓ∞-SAM depends on the start; it can be 0 or any coordinate axis.",
    criterion="as_predicted == runs and axes == coordinates and vanished >= 1",
    reason=(
        "Limit axes of all 2^d patterns of starts below and above ρ at depths 2 and 3, against the theorem; the "
        "excesses over ρ are unequal, so that depth 3 shows its exponent. At depth 2 every axis and 0 must "
        "occur."
    ),
    measure=limit_axes,
    on="linf-SAM",
    control=Control("GD from the same starts", on="GD"),
    figure="winners",
    theorem="thm-sam-diagonal-networks-gates",
)


def gd_axes(results: Results, depth: str) -> dict[str, Any]:
    """How many axes GD ends on."""
    _enough_steps(results)
    if len(set(results.gates.predicted[1, GATED.index("GD")].tolist())) == 1:
        raise Undecided("mu_gates: the largest entry is so much larger that it wins from every start tried")
    limit = results.gates.limit[("depth 2", "depth 3").index(depth), GATED.index("GD")]
    return {"axes": len(set(limit.tolist()))}


C3c = Claim(
    id="C3c",
    says="The contrast with GD is one of depth 2: at depth 3 the limit of GD itself depends on the start.",
    criterion="axes > 1",
    reason="With ρ = 0 the winning axis is argmax μ_j α_j^(L−2), which ignores α only for L = 2.",
    measure=gd_axes,
    on="depth 3",
    control=Control("GD at depth 2 from the same starts", on="depth 2"),
    stance="added",
    figure="winners",
    theorem="thm-sam-diagonal-networks-gd",
)


def closed_form_at_three(results: Results, formula: str) -> dict[str, Any]:
    """Error of a closed form at depth 3, and how it grows with the step size."""
    return _closed_form(results, 3, formula)


C3d = Claim(
    id="C3d",
    says="Depth 3, one example: discrete ℓ∞-SAM follows the closed form with gates, up to where the loss stops it.",
    criterion="error < 0.01 and 1.6 < twice < 2.5",
    reason="As for depth 2.",
    measure=closed_form_at_three,
    on="with the gate",
    control=Control("the closed form without the gate (ρ = 0), which blows up", on="without the gate"),
    stance="added",
    unseen="at depth 3 the figures show limits only",
    theorem="thm-sam-diagonal-networks-gates",
)

# --- limits at depth 2 ------------------------------------------------------------------------------------------------


def _grown(results: Results) -> np.ndarray:
    """Positions in ``limits.scales`` of the starts that grow."""
    limits = results.limits
    grown = np.flatnonzero(~limits.collapsed & (limits.scales > 1.01 * results.amplification.alpha_c))
    if not len(grown):
        raise Undecided("scales: every one is below the critical scale, and all runs collapse")
    if not limits.enough:
        raise Undecided("mu, scales: the slowest run takes more than 20000 steps to leave the saddle")
    if limits.share_expected[grown].min() < 0.995:
        raise Undecided(
            "mu: the two largest entries are too close for their coordinates to part by the end of the runs"
        )
    return grown


def one_limit(results: Results, method: str) -> dict[str, Any]:
    """Share of the largest entry's coordinate in the end, and the error of the predicted distance from GD."""
    grown, row = _grown(results), ONE.index(method)
    lead = results.limits.lead[row, grown] / results.limits.lead_predicted[grown]
    return {"share": results.limits.share[row, grown].min(), "lead_error": np.abs(lead - 1).max()}


C4a = Claim(
    id="C4a",
    says=(
        "Depth 2, one example: whenever ℓ₂-SAM does not collapse, its limit is the axis of the largest entry, "
        "as for GD."
    ),
    criterion="share > 0.99 and lead_error < 0.05",
    reason=(
        "Share of β_d in the predictor at the end of discrete runs in rescaled time, as long as the reduced "
        "flow takes to n = 10⁴⁰; smallest over all starts above the critical scale. That it is not GD: log "
        "β_1/β_d ends above GD's by 2ρ(μ_d² − μ_1²)A, and 5% allow for the steps."
    ),
    measure=one_limit,
    on="l2-SAM",
    control=Control("ℓ∞-SAM with the last coordinate, alone, below its gate", on="linf-SAM"),
    unseen="a number at the end of runs in rescaled time, from every scale",
    theorem="thm-sam-diagonal-networks-parabola",
)


def many_limits(results: Results, method: str) -> dict[str, Any]:
    """Margins at the end over their maximum, their distance from GD's, and that of the runs on the way."""
    limits = results.limits
    if limits.steps[-1] < 1000:
        raise Undecided(f"steps_depth_two = {limits.steps[-1]}: margins are near their limit from about 1000 steps on")
    ratio = limits.history[-1, :, MANY.index(method)]
    gap = np.abs(ratio - limits.history[-1, :, MANY.index("GD")])
    return {"ratio": ratio.tolist(), "gap": gap.max(), "apart": limits.apart.max(0).min()}


C4b = Claim(
    id="C4b",
    says="Depth 2, many examples: ℓ₂-SAM converges in direction to the ℓ₁ max-margin classifier, as GD does.",
    criterion="min(ratio) > 0.95 and gap < 0.02 and apart > 0.02",
    reason=(
        "ℓ₁ margin over its maximum (a linear program) after a fixed number of steps from layers that start "
        "apart, and its distance from GD's on the same data. That the runs differ: the largest ℓ₁ distance of "
        "ℓ₂-SAM's shares of the coordinates from GD's on the way, on the data set where it is smallest; some "
        "0.2 in trials."
    ),
    measure=many_limits,
    on="l2-SAM",
    control=Control("ℓ∞-SAM with every other coordinate below its gate", on="linf-SAM"),
    figure="limits",
    theorem="thm-sam-diagonal-networks-limit",
)


def reach(results: Results, layers: str) -> dict[str, Any]:
    """Margins at the end over the largest of non-negative directions."""
    limits = results.limits
    if limits.steps[-1] < 1000:
        raise Undecided(f"steps_depth_two = {limits.steps[-1]}: margins are near their limit from about 1000 steps on")
    methods = ("GD", "l2-SAM") if layers == "apart" else ("GD from equal layers", "l2-SAM from equal layers")
    rows = [MANY.index(method) for method in methods]
    out = limits.out_of_reach
    return {"ratio": (limits.history[-1, out][:, rows] / limits.nonnegative[out, None]).ravel().tolist()}


C4c = Claim(
    id="C4c",
    says=(
        "From equal layers β stays non-negative: where the ℓ₁ max-margin direction has a negative entry, GD and "
        "ℓ₂-SAM reach the best margin among non-negative directions instead."
    ),
    criterion="min(ratio) > 0.95 and max(ratio) < 1.000001",
    reason=(
        "C4b's threshold, for the ℓ₁ margin over the largest that a non-negative direction has, which equal "
        "layers cannot exceed; three data sets on which that is at most 0.8 of the ℓ₁ max margin, GD and ℓ₂- "
        "SAM."
    ),
    measure=reach,
    on="equal",
    control=Control("the same data and methods from layers that start apart, which reach further", on="apart"),
    stance="added",
    figure="limits",
    theorem="thm-sam-diagonal-networks-reach",
)

# --- amplification ----------------------------------------------------------------------------------------------------


def _moves(runs: Amplification) -> np.ndarray:
    """Scales from which the loss leaves room for the coordinates to part at all, ``(B,)``."""
    start = np.exp(-np.minimum((runs.rho * runs.scales) ** 2 * runs.mu.sum(), 700.0))
    return runs.lr * runs.steps[-1] * start * np.diff(runs.mu).min() > 1e-3


def _above(runs: Amplification, least: int = 1) -> np.ndarray:
    """Ranks among the shown scales of those above the critical one from which something can be seen."""
    scales = runs.scales[runs.shown]
    above = np.flatnonzero((scales > 1.001 * runs.alpha_c) & _moves(runs)[runs.shown])
    if len(above) < least:
        raise Undecided(
            f"scales, rho: fewer than {least} of the scales are above the critical one, {runs.alpha_c:.3g}, and small "
            "enough for the loss to leave room for any change of order"
        )
    return above


def _expected_leader(runs: Amplification, rank: int, step: float) -> int:
    """Leader at a step from a shown scale, by the reduced flow alone."""
    first = runs.scales[runs.shown[rank]] * np.linalg.norm(runs.mu) / np.sqrt(2)
    leader = int(theory.nearest(first, runs.mu))
    for swap in runs.swaps[rank]:
        leader = swap.after if swap.t <= step * runs.lr else leader
    return leader


def vertex_rule(results: Results, method: str) -> dict[str, Any]:
    """Share of recorded times at which the vertex names the leader."""
    runs = results.amplification
    _above(runs)
    counted = _moves(runs) & ~runs.collapsed
    dominant, predicted = runs.dominant(method), runs.predicted(method)
    minor = counted & (runs.predicted("l2-SAM") < len(runs.mu) - 1)
    if not minor.any():
        raise Undecided("scales, rho, lr: at no recorded time does the rule name a minor coordinate")
    right = dominant == predicted
    return {"agreement": float(right[counted].mean()), "agreement_minor": float(right[minor].mean())}


C5a = Claim(
    id="C5a",
    says="The dominant coordinate of ℓ₂-SAM at any time is the one whose μ_j is nearest to the vertex s/(2ρA).",
    criterion="agreement >= 0.98 and agreement_minor >= 0.98",
    reason=(
        "Exact for the flow; 2% allow for the steps around a swap. Over all recorded times and scales, and over "
        "those at which ℓ₂-SAM's rule names a minor coordinate."
    ),
    measure=vertex_rule,
    on="l2-SAM",
    control=Control(
        "the un-normalized variant at radius 1, where minor coordinates lead too, by the clocks along its own path",
        on="unnormalized SAM, radius 1",
    ),
    stance="added",
    figure="parabola",
    theorem="thm-sam-diagonal-networks-parabola",
)


def is_minor_first(sequence: tuple[int, ...]) -> bool:
    """Down, then up, every up-step by one."""
    steps = np.diff(sequence)
    turn = int(np.argmin(sequence))
    return bool((steps[:turn] < 0).all() and (steps[turn:] == 1).all())


def sequences(results: Results, method: str) -> dict[str, Any]:
    """The leaders in order of visit, over the starts from which the flow climbs."""
    runs = results.amplification
    scales = runs.scales[runs.shown]
    ranks = [rank for rank in _above(runs) if scales[rank] <= min(RISING, runs.gd_like)]
    ranks = [rank for rank in ranks if any(s.after > s.before and _seen(runs, s) for s in runs.swaps[rank])]
    if not ranks:
        raise Undecided(
            f"scales, steps: from none of the scales between alpha_c = {runs.alpha_c:.3g} and {RISING} does the flow "
            "climb within the steps"
        )
    found = [theory.visits(runs.dominant(method)[:, runs.shown[rank]]) for rank in ranks]
    return {
        "shape": all(is_minor_first(sequence) for sequence in found),
        "first": max(sequence[0] for sequence in found) + 1,
        "climbs": min(sequence[-1] - min(sequence) for sequence in found),
        "d": len(runs.mu),
    }


def _seen(runs: Amplification, swap: theory.Swap) -> bool:
    """Whether a swap falls well between the first and the last record."""
    return runs.steps[0] < swap.t / runs.lr < 0.95 * runs.steps[-1]


C5b = Claim(
    id="C5b",
    says=(
        "In training time ℓ₂-SAM first relies on a minor coordinate and then moves up step by step, for scales "
        "between collapse and 0.8ρ."
    ),
    criterion="shape and first < d and climbs >= 1",
    reason=(
        "Theorem: the dominant index falls, then rises in steps of one. It must start below d and have climbed "
        "within the run, at every such scale from which the flow does."
    ),
    measure=sequences,
    on="l2-SAM",
    control=Control("GD from the same starts", on="GD"),
    stance="restated",
    changed=(
        "the abstract names no range of starts: below the critical scale the predictor collapses, and from "
        "about 0.9ρ on the largest coordinate leads at once"
    ),
    figure="heat",
    theorem="thm-sam-diagonal-networks-parabola",
)


def ends(results: Results, side: str) -> dict[str, Any]:
    """Where the sequences of leaders end in rescaled time."""
    limits = results.limits
    chosen = _grown(results) if side == "above the critical scale" else np.flatnonzero(limits.collapsed)
    if not len(chosen):
        raise Undecided("scales: none is below the critical one, and the control needs a run that collapses")
    sequences = [limits.sequence[run] for run in chosen]
    return {
        "last": min(sequence[-1] for sequence in sequences) + 1,
        "shape": all(is_minor_first(sequence) for sequence in sequences),
        "d": len(results.amplification.mu),
    }


C5c = Claim(
    id="C5c",
    says="Without collapse the dominant index, followed to the end in rescaled time, ends at d in unit steps.",
    criterion="last == d and shape",
    reason="Theorem, for every scale above the critical one; the discrete runs of C4a, looked at after every step.",
    measure=ends,
    on="above the critical scale",
    control=Control("the same algorithm from below the critical scale", on="below the critical scale"),
    stance="added",
    unseen="the whole way in rescaled time; the heat map shows its beginning in physical time",
    theorem="thm-sam-diagonal-networks-parabola",
)


def other_problems(results: Results, rule: str) -> dict[str, Any]:
    """Smallest share of recorded times at which a rule names the leader."""
    sweep = results.sweep
    if len(sweep.agreement_random) < 3:
        raise Undecided(
            f"random_problems: got {len(sweep.agreement_random)}; 3 or more are needed, as uneven starts may lie in "
            "the order of the vertex by chance"
        )
    uneven = sweep.agreement_uneven if rule == "parabola" else sweep.agreement_uneven_plain
    return {
        "uniform": sweep.agreement_random.min(),
        "uneven": uneven.min(),
        "dimensions": sweep.agreement.min(),
    }


C5d = Claim(
    id="C5d",
    says=(
        "On random problems, and in other dimensions and radii, the parabola log β_j(0) + 2μ_j s − 2ρμ_j²A "
        "names the dominant coordinate, from uniform and uneven starts."
    ),
    criterion="min(uniform, uneven, dimensions) >= 0.98",
    reason=(
        "Exact for the flow; 2% allow for the steps around a swap. Smallest share of recorded times over the problems."
    ),
    measure=other_problems,
    on="parabola",
    control=Control("the vertex alone, without the offsets log β_j(0)", on="vertex"),
    stance="added",
    unseen="shares of recorded times over many problems",
    theorem="thm-sam-diagonal-networks-parabola",
)


def _swap_pairs(runs: Amplification, method: str) -> list[tuple[float, float]]:
    """Predicted and observed steps of every swap within the recorded time; infinite for one that did not happen."""
    pairs = []
    for rank in _above(runs):
        dominant = runs.dominant(method)[:, runs.shown[rank]]
        for swap in runs.swaps[rank]:
            if _seen(runs, swap):
                happened = np.flatnonzero((dominant[:-1] == swap.before) & (dominant[1:] == swap.after))
                observed, step = runs.steps[happened + 1], swap.t / runs.lr
                pairs.append((step, float(observed[np.abs(observed - step).argmin()]) if len(observed) else np.inf))
    return pairs


def swaps(results: Results, method: str) -> dict[str, Any]:
    """Distance of predicted and observed steps of the swaps."""
    runs = results.amplification
    pairs = _swap_pairs(runs, method)
    if not pairs:
        raise Undecided("scales, steps: the flow has no swap within the steps")
    spacing = float(runs.steps[0])
    off = [abs(observed - step) for step, observed in pairs]
    late = [error / max(spacing, 0.01 * step) for error, (step, _) in zip(off, pairs, strict=True)]
    return {"off": max(off), "late": max(late), "swaps": len(pairs)}


C5e = Claim(
    id="C5e",
    says="The scalar equation alone, without running SAM, gives the step of every swap of leaders.",
    criterion="late <= 1.5",
    reason=(
        "Exact for the flow. Late is the distance of predicted and observed step over the spacing of the "
        "records or 1% of the step, whichever is larger; half as much again is for the step size."
    ),
    measure=swaps,
    on="l2-SAM",
    control=Control("the un-normalized variant at radius 1, whose leaders change too", on="unnormalized SAM, radius 1"),
    stance="added",
    figure="heat",
    theorem="thm-sam-diagonal-networks-parabola",
)


def by_scale(results: Results, method: str) -> dict[str, Any]:
    """How the leader changes with the scale at fixed steps."""
    runs = results.amplification
    above = _above(runs, least=2)
    if runs.scales[runs.shown[above[-1]]] < runs.gd_like:
        raise Undecided(f"scales: none is large enough, {runs.gd_like:.3g}, for the last coordinate to lead at once")
    last = len(runs.mu) - 1
    steps = [k for k in CHECKPOINTS if k <= runs.steps[-1] and _expected_leader(runs, above[0], k) < last]
    if not steps:
        raise Undecided("scales, steps: from every scale the last coordinate leads at the checkpoints already")
    rows = [int(np.searchsorted(runs.steps, step)) for step in steps]
    index = runs.dominant(method)[np.ix_(rows, runs.shown[above])] + 1
    return {
        "monotone": bool((np.diff(index, axis=1) >= 0).all()),
        "lowest": int(index[:, 0].max()),
        "highest": int(index[:, -1].min()),
        "d": len(runs.mu),
        "elsewhere": bool(results.sweep.monotone.all()),
    }


C6a = Claim(
    id="C6a",
    says="At a given step the dominant coordinate moves from minor to major as the initialization grows.",
    criterion="monotone and lowest < d and highest == d and elsewhere",
    reason=(
        "Dominant index over the shown scales above the critical one at steps 500, 2000, 8000 and 20000, as far as "
        "the run goes: non-decreasing, from below d to d. Elsewhere: non-decreasing over a grid of scales at all "
        "recorded steps of the sweep over dimensions and radii."
    ),
    measure=by_scale,
    on="l2-SAM",
    control=Control("GD at the same steps and scales", on="GD"),
    figure="glance",
    theorem="thm-sam-diagonal-networks-parabola",
)


def edge(results: Results, method: str) -> dict[str, Any]:
    """Share of collapsed runs on both sides of the critical scale."""
    edge = results.boundary
    if not edge.enough:
        raise Undecided("mu: the smallest entry is so small beside the largest that a collapse takes over 10000 steps")
    fallen = edge.fallen[EDGE.index(method), -1]
    return {"below": float(fallen[edge.ratio < 0.998].mean()), "above": float(fallen[edge.ratio > 1.002].mean())}


C6b = Claim(
    id="C6b",
    says=(
        "Discrete ℓ₂-SAM collapses from uniform starts below the critical scale of the scalar equation, and "
        "from none above."
    ),
    criterion="below == 1 and above == 0",
    reason=(
        "Theorem for the flow; share of collapsed runs among scales from 0.99 to 1.01 of the critical one, 0.2% "
        "beside it left out for the step size."
    ),
    measure=edge,
    on="l2-SAM",
    control=Control("the un-normalized variant of the same radius", on="unnormalized SAM"),
    stance="added",
    figure="boundary",
    theorem="thm-sam-diagonal-networks-parabola",
)


def inverted(results: Results, method: str) -> dict[str, Any]:
    """Share of scales from which a minor coordinate leads at any time."""
    runs = results.amplification
    if runs.rho * (runs.mu[-2] + runs.mu[-1]) > 2:
        raise Undecided("rho, mu: ρ(μ_{d−1} + μ_d) > 2, where the un-normalized variant may invert the order too")
    _above(runs)
    alive = (runs.scales > runs.alpha_c) & _moves(runs)
    if not (alive & (runs.scales < 0.97 * runs.gd_like)).any():
        raise Undecided(f"scales, grid: no scale is between {runs.alpha_c:.3g} and {runs.gd_like:.3g}")
    return {"inverted": float((runs.dominant(method)[:, alive] < len(runs.mu) - 1).any(0).mean())}


C7a = Claim(
    id="C7a",
    says="The cause is the factor 1/‖∇L‖: with it removed, the same ρ never lets a minor coordinate lead.",
    criterion="inverted == 0",
    reason=(
        "Share of scales with an inversion at any recorded time; zero since ρ(μ_{d−1} + μ_d) ≤ 2 rules one out "
        "at margins of at least 0."
    ),
    measure=inverted,
    on="unnormalized SAM",
    control=Control("ℓ₂-SAM with the factor", on="l2-SAM"),
    figure="ablation",
    theorem="thm-sam-diagonal-networks-rates",
)


def scale_dependence(results: Results, method: str) -> dict[str, Any]:
    """Leaders over the small scales at one time."""
    runs = results.amplification
    if runs.mu[-2] + runs.mu[-1] <= 2:
        raise Undecided("mu: μ_{d−1} + μ_d ≤ 2, where radius 1 does not invert the order")
    step = 0.4 / runs.lr
    if step > runs.steps[-1]:
        raise Undecided("steps: the runs end before time 0.4")
    above = [
        rank for rank in _above(runs, least=2) if (runs.rho * runs.scales[runs.shown[rank]]) ** 2 < 0.2 / runs.mu.sum()
    ]
    if len({_expected_leader(runs, rank, step) for rank in above}) < 2:
        raise Undecided("scales, rho: under ℓ₂-SAM, too, one coordinate leads from all scales of small margin")
    row = int(np.searchsorted(runs.steps, step))
    index = runs.dominant(method)[row, runs.shown[above]] + 1
    return {"leaders": len(set(index.tolist())), "leader": int(index.min()), "d": len(runs.mu)}


C7b = Claim(
    id="C7b",
    says=(
        "At radius 1 the un-normalized variant does invert, but alike at every small scale: it does not see the "
        "scale of α."
    ),
    criterion="leaders == 1 and leader < d",
    reason=(
        "At margins near 0 its rate μ − ρμ²/2 holds no α. Number of different leading coordinates at time 0.4 "
        "(step 100) over the shown scales of initial margin below 0.2."
    ),
    measure=scale_dependence,
    on="unnormalized SAM, radius 1",
    control=Control("ℓ₂-SAM from the same starts: the leader depends on the scale", on="l2-SAM"),
    stance="added",
    figure="ablation",
    theorem="thm-sam-diagonal-networks-rates",
)


def order_of_growth(results: Results, method: str) -> dict[str, Any]:
    """How often ``n`` against ``rho (mu_i + mu_j)`` tells which of two coordinates grows faster."""
    runs, row = results.amplification, METHODS.index(method)
    chosen = runs.shown[_above(runs)]
    logs = np.log(np.maximum(runs.beta[row][:, chosen], 1e-300))
    growth = np.diff(logs, axis=0)
    # n of a record is that of the step before it; a stretch in which n passes the threshold tells nothing.
    early, late = runs.n[row, :-1, chosen].T, runs.n[row, 1:, chosen].T
    right = counted = minor = 0
    for i in range(len(runs.mu)):
        for j in range(i + 1, len(runs.mu)):
            threshold = runs.rho * (runs.mu[i] + runs.mu[j])
            same = (early < threshold) == (late < threshold)
            minor_grows = growth[..., i] > growth[..., j]
            right += int((same & (minor_grows == (early < threshold))).sum())
            counted += int(same.sum())
            minor += int((same & (early < threshold)).sum())
    if not 0.001 < minor / counted < 0.999:
        raise Undecided("scales, rho: n stays on one side of ρ(μ_i + μ_j), so one order of growth is never seen")
    return {"agreement": right / counted}


C7c = Claim(
    id="C7c",
    says=(
        "ℓ₂-SAM lets a minor coordinate i outgrow a major one j exactly while n = ‖∇L‖/|ℓ′| is below ρ(μ_i + "
        "μ_j): early, when the weights are small."
    ),
    criterion="agreement >= 0.99",
    reason=(
        "Exact at every step of the flow; 1% allows for the steps. Share of pairs and of stretches between "
        "records, over the shown scales."
    ),
    measure=order_of_growth,
    on="l2-SAM",
    control=Control("ℓ∞-SAM from the same starts", on="linf-SAM"),
    stance="added",
    unseen="signs of thousands of differences",
    theorem="thm-sam-diagonal-networks-rates",
)

# --- real and synthetic data ------------------------------------------------------------------------------------------


def dips(results: Results, method: str) -> dict[str, Any]:
    """Strength of the pixels used on the way, from the smallest start."""
    digits, row = results.digits, ON_DIGITS.index(method)
    if len(digits.loss) < 2000:
        raise Undecided(f"steps_digits = {len(digits.loss)}: the loss falls below 0.1 in about 2000 steps")
    path = digits.effective[:, :, row, 0]
    low = path.min(0)
    return {
        "dip": low.max(),
        "rise": (path[-1] / low).min(),
        "loss": digits.loss[-1, :, row].max(),
        "gd_dip": digits.effective[:, :, ON_DIGITS.index("GD")].min(),
    }


C8a = Claim(
    id="C8a",
    says="Digits: ℓ₂-SAM from a small start first shifts to weak pixels, then back to strong ones; GD never does.",
    criterion="dip < 0.95 and rise > 1.05 and loss < 0.1 and gd_dip > 0.999",
    reason=(
        "Effective strength of the predictor's pixels over its initial value: worst pair of digits at the "
        "smallest scale. GD's must not dip at any scale."
    ),
    measure=dips,
    on="l2-SAM",
    control=Control("GD itself", on="GD"),
    figure="digits",
)


def equal_loss(results: Results, method: str) -> dict[str, Any]:
    """Strength of the pixels used at equal loss, against GD's."""
    equal = results.digits.equal
    if np.isnan(equal).any():
        raise Undecided(f"some run on digits did not reach loss {results.digits.target}; more steps_digits")
    steps = np.diff(equal, axis=-1)
    row, gd = ON_DIGITS.index(method), ON_DIGITS.index("GD")
    return {
        "rises": float((steps[:, row] > 0).mean()),
        "gd_falls": float((steps[:, gd] < 0).mean()),
        "ratio": (equal[:, row] / equal[:, gd]).max(),
    }


C8b = Claim(
    id="C8b",
    says="Digits at equal training loss: ℓ₂-SAM relies on weaker pixels than GD, the more so the smaller the start.",
    criterion="rises == 1 and gd_falls == 1 and ratio < 0.97",
    reason=(
        "Effective strength at loss 0.1: grows with the scale for SAM, falls for GD, and SAM's is at least 3% "
        "below GD's for every pair and scale."
    ),
    measure=equal_loss,
    on="l2-SAM",
    control=Control("the un-normalized variant of the same radius", on="unnormalized SAM"),
    figure="digits",
)


def plane(results: Results, method: str) -> dict[str, Any]:
    """Share of the larger coordinate on the way and in the end."""
    share = results.plane.share[:, :, PAIR.index(method), 1]
    return {"least_share": share.min(0).max(), "final_share": share[-1].min()}


C8c = Claim(
    id="C8c",
    says=(
        "Many examples in the plane: ℓ₂-SAM first relies on the smaller coordinate, then turns to the larger; "
        "GD never does."
    ),
    criterion="least_share < 0.45 and final_share > 0.8",
    reason=(
        "Share of the larger coordinate in the predictor from α = 0.65ρ; the vertex starts at 0.65·√(5/2) ≈ "
        "1.03, nearer to 1 than to 2. Worst data set."
    ),
    measure=plane,
    on="l2-SAM",
    control=Control("GD from the same start", on="GD"),
    figure="plane-data",
)


def _networks(results: Results, network: str) -> Networks:
    if network == "ReLU network":
        return results.relu_mlp
    if not results.cnn.trained:
        raise Undecided("convolutional networks take minutes and run at the paper profile, or with run_cnn = true")
    return results.cnn


def weaker_pixels(results: Results, network: str) -> dict[str, Any]:
    """How often, and by how much, SAM's strength is below GD's."""
    networks = _networks(results, "convolutional network"), _networks(results, network)
    if any(len(found.ratio(0.5)) < found.strength[0, :, 0].size for found in networks):
        raise Undecided("rho_digits: some network did not reach loss 0.5")
    ratio = networks[1].ratio(0.5)
    return {"lower": float((ratio < 1).mean()), "ratio": float(np.median(ratio))}


C8d = Claim(
    id="C8d",
    says="A small convolutional network at equal training loss attends to weaker pixels under ℓ₂-SAM than under GD.",
    criterion="lower >= 0.8 and ratio < 0.95",
    reason=(
        "Share of seeds and pairs of digits whose input-gradient weighted strength at loss 0.5 is below GD's "
        "from the same weights, and the median ratio."
    ),
    measure=weaker_pixels,
    on="convolutional network",
    control=Control("two-layer ReLU networks on the same digits", on="ReLU network"),
    figure="networks",
)


def no_weaker_pixels(results: Results, network: str) -> dict[str, Any]:
    """SAM's strength over GD's at both losses, and SAM's steps over GD's."""
    if network == "ReLU network":
        found = results.relu_mlp
        ratios = [found.ratio(target) for target in found.targets]
        steps = found.steps[:, :, PAIR.index("l2-SAM")] / found.steps[:, :, PAIR.index("GD")]
        slower = steps[np.isfinite(steps)]
    else:
        ratios, steps = zip(*(_diagonal(results.digits, target) for target in results.relu_mlp.targets), strict=True)
        slower = np.concatenate(steps)
    if any(len(ratio) == 0 for ratio in ratios):
        raise Undecided("rho_digits, steps_digits: under ℓ₂-SAM no network reached the loss")
    return {"ratio": [float(np.median(ratio)) for ratio in ratios], "slower": float(np.median(slower))}


def _diagonal(digits: Digits, target: float) -> tuple[np.ndarray, np.ndarray]:
    """Effective strength of l2-SAM over GD's at a loss, and the same of the steps taken to it, in diagonal networks."""
    reached = digits.loss <= target
    at = reached.argmax(0)
    strength = np.take_along_axis(digits.effective, at[None], 0)[0]
    sam, gd = ON_DIGITS.index("l2-SAM"), ON_DIGITS.index("GD")
    both = reached.any(0)[:, [sam, gd]].all(1)
    return strength[:, sam][both] / strength[:, gd][both], at[:, sam][both] / at[:, gd][both]


C8e = Claim(
    id="C8e",
    says=(
        "In two-layer ReLU networks without biases the effect does not appear: at equal training loss ℓ₂-SAM "
        "uses no weaker pixels than GD."
    ),
    criterion="min(ratio) > 0.97 and slower > 1.1",
    reason=(
        "C8b's 3%, for the median over pairs and seeds of SAM's input-gradient weighted strength over GD's at "
        "losses 0.5 and 0.1. That the runs differ: SAM takes more steps to the loss."
    ),
    measure=no_weaker_pixels,
    on="ReLU network",
    control=Control("diagonal networks on the same digits", on="diagonal network"),
    stance="added",
    figure="networks",
)

# --- the message ------------------------------------------------------------------------------------------------------


def message(results: Results, start: str) -> dict[str, Any]:
    """Limits of SAM and GD from one start, and how often their leaders differ on the way."""
    runs, limits = results.amplification, results.limits
    ranks = np.intersect1d(_above(runs), _grown(results))
    like_gd = [rank for rank in ranks if runs.scales[runs.shown[rank]] >= runs.gd_like]
    if not len(like_gd):
        raise Undecided(f"scales: none is large enough, {runs.gd_like:.3g}, for the last coordinate to lead at once")
    last = len(runs.mu) - 1
    if last in (_expected_leader(runs, ranks[0], 0), _expected_leader(runs, ranks[0], runs.steps[-1])):
        raise Undecided(
            "scales, steps: from the smallest scale above the critical one the last coordinate leads in time"
        )
    rank = ranks[0] if start == "small start" else like_gd[0]
    run = runs.shown[rank]
    if runs.loss("GD")[-1, run] > 0.001:
        raise Undecided("steps, lr: GD, which is faster, has not come to loss 0.001 either")
    leaders = runs.dominant("l2-SAM")[:, run], runs.dominant("GD")[:, run]
    return {
        "limit_share": float(limits.share[ONE.index("l2-SAM"), rank]),
        "limit_share_gd": float(limits.share[ONE.index("GD"), rank]),
        "differs": float((leaders[0] != leaders[1]).mean()),
        "loss": float(runs.loss("l2-SAM")[-1, run]),
    }


C9 = Claim(
    id="C9",
    says=(
        "The infinite-time limit hides the effect: from a small start ℓ₂-SAM has GD's limit, yet relies on "
        "another coordinate at every recorded step."
    ),
    criterion="limit_share > 0.99 and limit_share_gd > 0.99 and differs == 1 and loss < 0.01",
    reason=(
        "C4 and C5 together, from the smallest scale above the critical one: share of β_d at the end of "
        "rescaled runs of both, and the share of recorded steps at which the leaders differ, down to a loss "
        "below 0.01."
    ),
    measure=message,
    on="small start",
    control=Control(
        "ℓ₂-SAM from a large start, about 0.9ρ or more, which GD's leader leads from the start", on="large start"
    ),
    figure="glance",
    theorem="thm-sam-diagonal-networks-parabola",
)

CLAIMS = (
    *(C1a, C1b, C1c, C2, C3a, C3b, C3c, C3d, C4a, C4b, C4c),
    *(C5a, C5b, C5c, C5d, C5e, C6a, C6b, C7a, C7b, C7c, C8a, C8b, C8c, C8d, C8e, C9),
)


def _quantities(results: Results) -> dict[str, Any]:
    runs, digits = results.amplification, results.digits
    late = runs.shown[-1]
    gd_end = runs.beta[METHODS.index("GD"), -1, late]
    sam, gd = ON_DIGITS.index("l2-SAM"), ON_DIGITS.index("GD")
    alive = results.limits.ratio_alive[~results.limits.out_of_reach]
    quantities = {
        "alpha_c": runs.alpha_c,
        "alpha_c_two": theory.critical_scale(np.array([1.0, 2.0])),
        "gd_like": runs.gd_like,
        "record_every": int(runs.steps[0]),
        "boundary": results.boundary.found.tolist(),
        "boundary_lr": results.boundary.lr.tolist(),
        "share_gd_end": float(gd_end[-1] / gd_end.sum()),
        "loss_gd_end": float(runs.loss("GD")[-1, late]),
        "l2_direction": float(np.median(results.limits.ratio_l2[~results.limits.out_of_reach])),
        "linf_alive": [float(alive[np.isfinite(alive)].min()), float(alive[np.isfinite(alive)].max())],
        "fractions": digits.fractions.tolist(),
        "digits_sam": digits.equal[0, sam].tolist(),
        "digits_gd": digits.equal[0, gd].tolist(),
        "mlp_lower": [_share_below(results.relu_mlp.ratio(target)) for target in results.relu_mlp.targets],
        "mlp_runs": int(results.relu_mlp.strength[0, :, 0].size),
    }
    if results.cnn.trained:
        background = results.cnn.background[0]
        quantities["cnn_late_ratio"] = float(np.median(results.cnn.ratio(0.1)))
        quantities["cnn_background_higher"] = float((background[:, 1] > background[:, 0]).mean())
    return quantities


def _share_below(ratio: np.ndarray) -> float:
    return float((ratio < 1).mean()) if len(ratio) else float("nan")


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
