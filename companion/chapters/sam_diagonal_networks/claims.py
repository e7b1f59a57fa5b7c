"""The claims of the abstract, their criteria, and the controls that must fail them."""

from typing import Any

import numpy as np

from companion.chapters.sam_diagonal_networks import theory
from companion.chapters.sam_diagonal_networks.experiments import DEPTH_ONE, Results
from companion.chapters.sam_diagonal_networks.setting import PAPER, Parameters
from companion.chapters.sam_diagonal_networks.trajectories import METHODS
from companion.claims import Claim, Control, Undecided, Verdicts, judge

CHECKPOINTS = (500, 2000, 8000, 20_000)  # the steps at which C6 compares scales
RISING = 0.8  # C5b looks at scales between the critical one and this


# --- depth 1 ----------------------------------------------------------------------------------------------------------


def _margins(results: Results, methods: tuple[str, ...]) -> dict[str, Any]:
    final = results.depth_one.ratio[-1]
    return {"ratio": [float(final[:, DEPTH_ONE.index(method)].min()) for method in methods]}


def _cosines(results: Results, methods: tuple[str, ...]) -> dict[str, Any]:
    cosine = results.depth_one.cosine
    return {"distance": max(float(abs(1 - cosine[DEPTH_ONE.index(method)])) for method in methods)}


# --- gates ------------------------------------------------------------------------------------------------------------


def _gd_limits(results: Results, method: int) -> dict[str, Any]:
    limit, share = results.gates.limit[0, method], results.gates.share[0, method]
    last = len(results.gates.mu) - 1
    return {"to_last_axis": int((limit == last).sum()), "starts": len(limit), "least_share": share[:, last].min()}


def _gate_limits(results: Results, method: int) -> dict[str, Any]:
    gates = results.gates
    vanished = gates.size[0, method] < 1e-2 * gates.rho**2
    return {
        "as_predicted": int((gates.limit[:, method] == gates.predicted[:, 0]).sum()),
        "runs": int(gates.limit[:, method].size),
        "axes": len(set(gates.limit[0, method].tolist()) - {-1}),
        "coordinates": len(gates.mu),
        "vanished": int(vanished.sum()),
    }


def _gd_axes(results: Results, depth: int) -> dict[str, Any]:
    return {"axes": len(set(results.gates.limit[depth, 1].tolist()))}


# --- limits at depth 2 ------------------------------------------------------------------------------------------------


def _grown(results: Results) -> np.ndarray:
    grown = ~results.limits.collapsed
    if not grown.any():
        raise Undecided("every scale in scales is below the critical one: all runs collapse")
    return grown


def _limit_share(results: Results) -> dict[str, Any]:
    return {"share": results.limits.share_sam[_grown(results)].min()}


def _dead_last_share(results: Results) -> dict[str, Any]:
    gates = results.gates
    pattern = 2 ** (len(gates.mu) - 1) - 1  # all coordinates above the gate but the last
    return {"share": float(gates.share[0, 0, pattern, -1])}


def _margin_ratios(results: Results, method: int) -> dict[str, Any]:
    ratio = results.limits.ratio
    return {"ratio": ratio[:, method].tolist(), "gap": float(np.abs(ratio[:, method] - ratio[:, 0]).max())}


def _signed_ratios(results: Results, among_nonnegative: bool) -> dict[str, Any]:
    return {"ratio": results.limits.signed[int(among_nonnegative)].ravel().tolist()}


# --- amplification ----------------------------------------------------------------------------------------------------


def _vertex_rule(results: Results, method: str) -> dict[str, Any]:
    runs = results.amplification
    counted = ~runs.collapsed if method == "l2-SAM" else np.ones_like(runs.collapsed)
    dominant, predicted = runs.dominant(method), runs.predicted(method)
    minor = counted & (predicted < len(runs.mu) - 1)
    if not minor.any():
        raise Undecided("no recorded time at which the rule names a minor coordinate; choose smaller scales")
    right = dominant == predicted
    return {
        "agreement": float(right[counted].mean()),
        "agreement_minor": float(right[minor].mean()),
    }


def _between(results: Results) -> np.ndarray:
    """Positions of the shown scales above the critical one and up to ``RISING``."""
    runs = results.amplification
    scales = runs.scales[runs.shown]
    chosen = runs.shown[(scales > runs.alpha_c) & (scales <= min(RISING, runs.gd_like))]
    if not len(chosen):
        raise Undecided(f"no entry of scales lies between alpha_c = {runs.alpha_c:.3g} and {RISING}")
    return chosen


def is_minor_first(sequence: tuple[int, ...]) -> bool:
    """Down, then up, every up-step by one."""
    steps = np.diff(sequence)
    turn = int(np.argmin(sequence))
    return bool((steps[:turn] < 0).all() and (steps[turn:] == 1).all())


def _sequences(results: Results, method: str) -> dict[str, Any]:
    runs = results.amplification
    found = [theory.visits(runs.dominant(method)[:, run]) for run in _between(results)]
    return {
        "shape": all(is_minor_first(sequence) for sequence in found),
        "first": max(sequence[0] for sequence in found) + 1,
        "climbs": min(sequence[-1] - min(sequence) for sequence in found),
        "d": len(runs.mu),
    }


def _ends(results: Results, collapsed: bool) -> dict[str, Any]:
    limits = results.limits
    chosen = np.flatnonzero(limits.collapsed if collapsed else _grown(results))
    if not len(chosen):
        raise Undecided("no entry of scales is below the critical one: the control needs a run that collapses")
    sequences = [limits.sequence[run] for run in chosen]
    d = len(results.amplification.mu)
    return {
        "last": min(sequence[-1] for sequence in sequences) + 1,
        "shape": all(is_minor_first(sequence) for sequence in sequences),
        "d": d,
    }


def _by_scale(results: Results, method: str) -> dict[str, Any]:
    runs = results.amplification
    alive = runs.shown[runs.scales[runs.shown] > runs.alpha_c]
    if len(alive) < 2:
        raise Undecided(f"fewer than two entries of scales above alpha_c = {runs.alpha_c:.3g}")
    rows = [int(np.searchsorted(runs.steps, step)) for step in CHECKPOINTS if step <= runs.steps[-1]]
    index = runs.dominant(method)[np.ix_(rows or [-1], alive)] + 1
    return {
        "monotone": bool((np.diff(index, axis=1) >= 0).all()),
        "lowest": int(index[:, 0].max()),
        "highest": int(index[:, -1].min()),
        "d": len(runs.mu),
    }


def _inverted(results: Results, method: str) -> dict[str, Any]:
    runs = results.amplification
    alive = runs.scales > runs.alpha_c
    dominant = runs.dominant(method)[:, alive]
    return {"inverted": float((dominant < len(runs.mu) - 1).any(0).mean()), "first": int(dominant[0].min()) + 1}


def _scale_dependence(results: Results, method: str) -> dict[str, Any]:
    runs = results.amplification
    row = int(np.searchsorted(runs.steps, 100))
    alive = runs.shown[runs.scales[runs.shown] > runs.alpha_c]
    if len(alive) < 2:
        raise Undecided(f"fewer than two entries of scales above alpha_c = {runs.alpha_c:.3g}")
    index = runs.dominant(method)[min(row, len(runs.steps) - 1), alive] + 1
    return {"leaders": len(set(index.tolist())), "leader": int(index.min()), "d": len(runs.mu)}


# --- real and synthetic data ------------------------------------------------------------------------------------------


def _dips(results: Results, method: int) -> dict[str, Any]:
    path = results.digits.effective[:, :, method, 0]
    low = path.min(0)
    return {
        "dip": low.max(),
        "rise": (path[-1] / low).min(),
        "loss": results.digits.loss[-1, :, method].max(),
        "gd_dip": results.digits.effective[:, :, 0].min(),
    }


def _equal_loss(results: Results, method: int) -> dict[str, Any]:
    equal = results.digits.equal
    if np.isnan(equal).any():
        raise Undecided(f"some run on digits did not reach loss {results.digits.target}; more steps_digits")
    steps = np.diff(equal, axis=-1)
    return {
        "rises": float((steps[:, method] > 0).mean()),
        "gd_falls": float((steps[:, 0] < 0).mean()),
        "ratio": (equal[:, method] / equal[:, 0]).max(),
    }


def _plane(results: Results, method: int) -> dict[str, Any]:
    share = results.plane.share[:, :, method, 1]
    return {"least_share": share.min(0).max(), "final_share": share[-1].min()}


def _cnn(results: Results, control: bool) -> dict[str, Any]:
    if results.cnn is None:
        raise Undecided("convolutional networks take minutes and run at the paper profile, or with run_cnn = true")
    gd, sam = results.cnn.strength[0, :, 0], results.cnn.strength[0, :, 1]
    other = np.roll(gd, 1, axis=-1) if control else sam
    if np.isnan(other).any():
        raise Undecided("some convolutional network did not reach loss 0.5")
    return {"lower": float((other < gd).mean()), "ratio": float(np.median(other / gd))}


# --- the message ------------------------------------------------------------------------------------------------------


def _message(results: Results, method: str) -> dict[str, Any]:
    runs, limits = results.amplification, results.limits
    grown = _grown(results)
    differs = [
        float((runs.dominant(method)[:, run] != runs.dominant("GD")[:, run])[: len(runs.steps)].mean())
        for run in runs.shown[grown]
    ]
    most = int(np.argmax(differs))
    run = runs.shown[grown][most]
    share = limits.share_sam if method == "l2-SAM" else limits.share_gd
    return {
        "limit_share": share[grown].min(),
        "limit_share_gd": limits.share_gd[grown].min(),
        "differs": differs[most],
        "loss": float(np.logaddexp(0, -runs.margin(method)[-1, run])),
    }


CLAIMS = (
    Claim(
        id="C1a",
        says=(
            "Depth 1, many examples: ℓ₂-SAM and ℓ∞-SAM converge in direction to the ℓ₂ max-margin classifier, as "
            "GD does."
        ),
        criterion="min(ratio) > 0.99",
        reason=(
            "The ℓ₂ margin over its maximum tends to 1 like 1 − O(1/step) in rescaled time; smallest over all "
            "data sets, for GD, ℓ₂-SAM, ℓ∞-SAM."
        ),
        measure=lambda r: _margins(r, ("GD", "l2-SAM", "linf-SAM")),
        control=Control(
            says="sign-GD on the same data, which maximizes the ℓ∞ margin: the check sees another geometry",
            measure=lambda r: _margins(r, ("sign-GD",)),
        ),
    ),
    Claim(
        id="C1b",
        says="Depth 1, one example: the path of either SAM is GD's, the half-line from the start along μ.",
        criterion="distance < 1e-6",
        reason=(
            "Exact at every step: the perturbed gradient of one example is a multiple of μ. Distance is |1 − "
            "cosine| of w(t) − w(0) and μ."
        ),
        measure=lambda r: _cosines(r, ("GD", "l2-SAM", "linf-SAM")),
        control=Control(says="sign-GD moves along (1, …, 1)", measure=lambda r: _cosines(r, ("sign-GD",))),
    ),
    Claim(
        id="C2",
        says=(
            "Depth 2, one example: GD converges in direction to the axis of the largest entry of μ from every "
            "positive start."
        ),
        criterion="to_last_axis == starts and least_share > 0.99",
        reason=(
            "β_j grows like exp(2μ_j s) in rescaled time s, whatever the start; all 2^d patterns of small and "
            "large entries."
        ),
        measure=lambda r: _gd_limits(r, 1),
        control=Control(says="ℓ∞-SAM from the same starts", measure=lambda r: _gd_limits(r, 0)),
    ),
    Claim(
        id="C3a",
        says=(
            "Depths 2 and 3, one example: discrete ℓ∞-SAM follows the closed form in which each coordinate has a "
            "gate at ρ."
        ),
        criterion="max(error) < 0.06",
        reason=(
            "Discretization error of 2500 steps at step size 0.001, with an ample margin; largest |Δβ| over all "
            "starts and recorded times, by depth."
        ),
        measure=lambda r: {"error": r.gates.error.tolist()},
        control=Control(
            says=(
                "the closed form without the gate (ρ = 0), which is gradient flow; capped at 1000, for it blows "
                "up at depth 3"
            ),
            measure=lambda r: {"error": r.gates.error_gd_formula.tolist()},
        ),
    ),
    Claim(
        id="C3b",
        says="Depth 2, one example: the limit of ℓ∞-SAM depends on the start; it can be 0 or any coordinate axis.",
        criterion="as_predicted == runs and axes == coordinates and vanished >= 1",
        reason=(
            "Limit axes of all 2^d patterns of α below and above ρ at depths 2 and 3, against the theorem; at "
            "depth 2 every axis and 0 must occur."
        ),
        measure=lambda r: _gate_limits(r, 0),
        control=Control(says="GD from the same starts: one axis, never 0", measure=lambda r: _gate_limits(r, 1)),
    ),
    Claim(
        id="C3c",
        says="The contrast with GD is one of depth 2: at depth 3 the limit of GD itself depends on the start.",
        criterion="axes > 1",
        reason="With ρ = 0 the winning axis is argmax μ_j α_j^(L−2), which ignores α only for L = 2.",
        measure=lambda r: _gd_axes(r, 1),
        control=Control(says="GD at depth 2 from the same starts", measure=lambda r: _gd_axes(r, 0)),
        stance="restated",
    ),
    Claim(
        id="C4a",
        says=(
            "Depth 2, one example: whenever ℓ₂-SAM does not collapse, its limit is the axis of the largest entry, "
            "as for GD."
        ),
        criterion="share > 0.99",
        reason=(
            "Share of β_d in the predictor once the weighted norm n of the reduced flow passes 10⁴⁰; smallest "
            "over all starts above the critical scale."
        ),
        measure=_limit_share,
        control=Control(
            says="ℓ∞-SAM with the last coordinate, alone, below its gate",
            measure=_dead_last_share,
        ),
    ),
    Claim(
        id="C4b",
        says=(
            "Depth 2, many examples: ℓ₂-SAM converges in direction to the ℓ₁ max-margin classifier, as GD does, where "
            "that direction is non-negative."
        ),
        criterion="min(ratio) > 0.95 and gap < 0.02",
        reason=(
            "ℓ₁ margin over its maximum (a linear program) after a fixed number of steps, and its distance from "
            "GD's on the same data."
        ),
        measure=lambda r: _margin_ratios(r, 1),
        control=Control(
            says="ℓ∞-SAM with every other coordinate below its gate", measure=lambda r: _margin_ratios(r, 2)
        ),
    ),
    Claim(
        id="C4c",
        says=(
            "From equal layers β stays non-negative: where the ℓ₁ max-margin direction has a negative entry, GD and "
            "ℓ₂-SAM reach the best margin among non-negative directions instead."
        ),
        criterion="min(ratio) > 0.95",
        reason=(
            "C4b's threshold, for the ℓ₁ margin over the largest that a non-negative direction has; three data sets "
            "on which that is at most 0.8 of the ℓ₁ max margin, GD and ℓ₂-SAM."
        ),
        measure=lambda r: _signed_ratios(r, among_nonnegative=True),
        control=Control(
            says="the same runs held against the ℓ₁ max margin itself",
            measure=lambda r: _signed_ratios(r, among_nonnegative=False),
        ),
        stance="restated",
    ),
    Claim(
        id="C5a",
        says="The dominant coordinate of ℓ₂-SAM at any time is the one whose μ_j is nearest to the vertex s/(2ρA).",
        criterion="agreement >= 0.98 and agreement_minor >= 0.98",
        reason=(
            "Exact for the flow; 2% allow for the steps around a swap. Over all recorded times and scales, and "
            "over those where the rule names a minor coordinate."
        ),
        measure=lambda r: _vertex_rule(r, "l2-SAM"),
        control=Control(
            says="GD from the same starts, with the same clocks measured along its path",
            measure=lambda r: _vertex_rule(r, "GD"),
        ),
    ),
    Claim(
        id="C5b",
        says=(
            "In training time ℓ₂-SAM first relies on a minor coordinate and then moves up step by step, for "
            "scales between collapse and 0.8ρ."
        ),
        criterion="shape and first < d and climbs >= 1",
        reason=(
            "Theorem: the dominant index falls, then rises in steps of one. It must start below d and have "
            "climbed within the run, at every such scale."
        ),
        measure=lambda r: _sequences(r, "l2-SAM"),
        control=Control(says="GD from the same starts: index d at all times", measure=lambda r: _sequences(r, "GD")),
    ),
    Claim(
        id="C5c",
        says="Without collapse the dominant index, followed to the end in rescaled time, ends at d in unit steps.",
        criterion="last == d and shape",
        reason="Theorem, for every scale above the critical one; the flow is followed until n = 10⁴⁰.",
        measure=lambda r: _ends(r, collapsed=False),
        control=Control(
            says="the same flow from below the critical scale, which collapses",
            measure=lambda r: _ends(r, collapsed=True),
        ),
    ),
    Claim(
        id="C5d",
        says=(
            "On random problems the parabola log β_j(0) + 2μ_j s − 2ρμ_j²A names the dominant coordinate, from "
            "uniform and uneven starts."
        ),
        criterion="uniform >= 0.98 and uneven >= 0.98",
        reason=(
            "Exact for the flow; 2% allow for the steps around a swap. Smallest share of recorded times over the "
            "problems."
        ),
        measure=lambda r: {"uniform": r.sweep.agreement_random.min(), "uneven": r.sweep.agreement_uneven.min()},
        control=Control(
            says="the vertex alone, without the offsets log β_j(0)",
            measure=lambda r: {
                "uniform": r.sweep.agreement_random.min(),
                "uneven": r.sweep.agreement_uneven_plain.min(),
            },
        ),
    ),
    Claim(
        id="C6",
        says="At a given step the dominant coordinate moves from minor to major as the initialization grows.",
        criterion="monotone and lowest < d and highest == d",
        reason=(
            "Dominant index over the shown scales above the critical one at steps 500, 2000, 8000 and 20000: "
            "non-decreasing, from below d to d."
        ),
        measure=lambda r: _by_scale(r, "l2-SAM"),
        control=Control(says="GD at the same steps and scales", measure=lambda r: _by_scale(r, "GD")),
    ),
    Claim(
        id="C7a",
        says="The cause is the factor 1/‖∇L‖: with it removed, the same ρ never lets a minor coordinate lead.",
        criterion="inverted == 0",
        reason=(
            "Share of scales with an inversion at any recorded time; zero since ρ(μ_{d−1} + μ_d) ≤ 2 rules one "
            "out at margins of at least 0."
        ),
        measure=lambda r: _inverted(r, "unnormalized SAM"),
        control=Control(says="ℓ₂-SAM with the factor", measure=lambda r: _inverted(r, "l2-SAM")),
    ),
    Claim(
        id="C7b",
        says=(
            "At radius 1 the un-normalized variant does invert, but alike at every small scale: it does not see "
            "the scale of α."
        ),
        criterion="leaders == 1 and leader < d",
        reason=(
            "At margins near 0 its rate μ − ρμ²/2 holds no α. Number of different leading coordinates at step 100 "
            "over the shown scales."
        ),
        measure=lambda r: _scale_dependence(r, "unnormalized SAM, radius 1"),
        control=Control(
            says="ℓ₂-SAM from the same starts: the leader depends on the scale",
            measure=lambda r: _scale_dependence(r, "l2-SAM"),
        ),
        stance="restated",
    ),
    Claim(
        id="C8a",
        says="Digits: ℓ₂-SAM from a small start first shifts to weak pixels, then back to strong ones; GD never does.",
        criterion="dip < 0.95 and rise > 1.05 and loss < 0.1 and gd_dip > 0.999",
        reason=(
            "Effective strength of the predictor's pixels over its initial value: worst pair of digits at the "
            "smallest scale. GD's must not dip at any scale."
        ),
        measure=lambda r: _dips(r, 1),
        control=Control(says="GD itself", measure=lambda r: _dips(r, 0)),
    ),
    Claim(
        id="C8b",
        says=(
            "Digits at equal training loss: ℓ₂-SAM relies on weaker pixels than GD, the more so the smaller the start."
        ),
        criterion="rises == 1 and gd_falls == 1 and ratio < 0.97",
        reason=(
            "Effective strength at loss 0.1: grows with the scale for SAM, falls for GD, and SAM's is at least 3% "
            "below GD's for every pair and scale."
        ),
        measure=lambda r: _equal_loss(r, 1),
        control=Control(says="GD in the place of SAM", measure=lambda r: _equal_loss(r, 0)),
    ),
    Claim(
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
        measure=lambda r: _plane(r, 1),
        control=Control(says="GD from the same start", measure=lambda r: _plane(r, 0)),
    ),
    Claim(
        id="C8d",
        says=(
            "A small convolutional network at equal training loss attends to weaker pixels under ℓ₂-SAM than under GD."
        ),
        criterion="lower >= 0.8 and ratio < 0.95",
        reason=(
            "Share of seeds and pairs of digits whose input-gradient weighted strength at loss 0.5 is below GD's "
            "from the same weights, and the median ratio."
        ),
        measure=lambda r: _cnn(r, control=False),
        control=Control(says="GD from other initial weights", measure=lambda r: _cnn(r, control=True)),
    ),
    Claim(
        id="C9",
        says=(
            "The infinite-time limit hides the effect: ℓ₂-SAM shares GD's limit, yet relies on another coordinate "
            "at every recorded step."
        ),
        criterion="limit_share > 0.99 and limit_share_gd > 0.99 and differs == 1 and loss < 0.001",
        reason=(
            "C4 and C5 together: share of β_d in the limit for both, and the share of recorded steps at which the "
            "leaders differ, from the start where it is largest, down to a loss below 0.001."
        ),
        measure=lambda r: _message(r, "l2-SAM"),
        control=Control(says="GD itself", measure=lambda r: _message(r, "GD")),
    ),
)


def _quantities(params: Parameters, results: Results) -> dict[str, Any]:
    runs, digits, mlp = results.amplification, results.digits, results.relu_mlp
    late = runs.shown[-1]
    gd_end = runs.beta[METHODS.index("GD"), -1, late]
    quantities = {
        "alpha_c": runs.alpha_c,
        "alpha_c_two": theory.critical_scale(np.array([1.0, 2.0])),
        "gd_like": runs.gd_like,
        "swap_error": _swap_error(results),
        "swaps_checked": _swaps_checked(results),
        "record_every": params.record_every,
        "boundary": results.boundary.found.tolist(),
        "boundary_lr": results.boundary.lr.tolist(),
        "boundary_resolution": results.boundary.resolution,
        "sweep": float(results.sweep.agreement.min()),
        "share_gd_end": float(gd_end[-1] / gd_end.sum()),
        "loss_gd_end": float(np.logaddexp(0, -runs.margin("GD")[-1, late])),
        "l2_direction": float(np.median(results.limits.ratio_l2)),
        "linf_alive": [value for value in results.limits.ratio_alive.tolist() if np.isfinite(value)],
        "digits_sam": digits.equal[0, 1].tolist(),
        "digits_gd": digits.equal[0, 0].tolist(),
        "mlp_ratio": [median for median, _ in mlp.comparison()],
        "mlp_lower": [lower for _, lower in mlp.comparison()],
        "mlp_runs": int(mlp.strength[0, :, 0].size),
    }
    if results.cnn is not None:
        background = results.cnn.background[0]
        quantities["cnn_late_ratio"] = results.cnn.comparison()[1][0]
        quantities["cnn_background_higher"] = float((background[:, 1] > background[:, 0]).mean())
    return quantities


def _swap_pairs(results: Results) -> list[tuple[float, float]]:
    """Predicted and observed steps of every swap within the recorded time; infinite for one that did not happen."""
    runs = results.amplification
    pairs = []
    for position, swaps in zip(runs.shown, runs.swaps, strict=True):
        if runs.collapsed[-1, position]:
            continue
        dominant = runs.dominant("l2-SAM")[:, position]
        for swap in swaps:
            step = swap.t / runs.lr
            if runs.steps[0] < step < runs.steps[-1]:
                happened = np.flatnonzero((dominant[:-1] == swap.before) & (dominant[1:] == swap.after))
                observed = runs.steps[happened + 1]
                pairs.append((step, float(observed[np.abs(observed - step).argmin()]) if len(observed) else np.inf))
    return pairs


def _swap_error(results: Results) -> float:
    return max((abs(a - b) for a, b in _swap_pairs(results)), default=0.0)


def _swaps_checked(results: Results) -> int:
    return len(_swap_pairs(results))


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(params, results))
