"""The claims of the chapter, each below its measure, with the control that must fail it."""

import numpy as np

from companion.analysis.spectra import effective_rank
from companion.chapters.deep_matrix_completion.experiments import Results
from companion.chapters.deep_matrix_completion.experiments.interaction import DEPTH_STARTS, STARTS
from companion.chapters.deep_matrix_completion.experiments.limits import MENON_SCALES
from companion.chapters.deep_matrix_completion.experiments.plasticity import CLEAN_SCALES, DETERMINANT_RUNS, TOLERANCE
from companion.chapters.deep_matrix_completion.family import (
    aligned_coupling,
    family_coupling,
    second_value_constant,
    stable_excess,
)
from companion.chapters.deep_matrix_completion.parameters import PAPER, Parameters
from companion.claims import Claim, Control, Measured, Undecided, Verdicts, judge

LABEL = "deep-matrix-completion"  # ends the labels of the page's statements


# --- coupling ------------------------------------------------------------------------------------------------------


def watched_from(results: Results, start: str) -> Measured:
    """At depth three and more: how far the other entries move the watched one, and the coupling when it arrives."""
    r, k = results.intervention, STARTS.index(start)
    gap, coupling = r.gap[1:, k], r.coupling[1:, k]
    return {
        "least_gap": gap.min(),
        "median_gap": np.median(gap, axis=-1).min(),
        "coupling": np.median(coupling, axis=-1).min(),
        "off_diagonal": r.off_diagonal[1:, k].min(),
    }


C1a = Claim(
    id="C1a",
    says="Under diagonal observations networks of depth three and more are coupled from a Gaussian start: whether the "
    "other entries are observed changes the path of the first one; from a diagonal start it does not.",
    criterion="least_gap > 1e-3 and median_gap > 0.03 and coupling > 0.01",
    reason="gap = largest distance over time of the entry's two paths, over all starts and depths; its least value "
    "over 400 fresh starts a depth was 0.007, of the medians 0.07; coupling = the normalized cross kernel at the end",
    measure=watched_from,
    on="Gaussian",
    control=Control("random diagonal starts", on="diagonal"),
    figure="watched",
    theorem=f"thm-{LABEL}-coupling",
)


def watched_at(results: Results, depth: str) -> Measured:
    """At one depth, over all kinds of starts: the largest effect of the other entries, and whether the entry moved."""
    r, row = results.intervention, {"depth two": 0, "next depth": 1}[depth]
    return {"gap": r.gap[row].max(), "coupling": r.coupling[row].max(), "arrived": r.path[row, 1, -1]}


C1b = Claim(
    id="C1b",
    says="At depth two every start is decoupled: Gaussian, diagonal, with rotated layers or not.",
    criterion="gap < 1e-10 and coupling < 1e-12 and arrived > 0.9",
    reason="largest gap and cross kernel over all starts, zero up to rounding by the theorem; arrived = the entry, "
    "trained alone, at the end: its target is one",
    measure=watched_at,
    on="depth two",
    control=Control("the smallest of the larger depths, from the same kinds of starts", on="next depth"),
    stance="added",
    figure="watched",
    theorem=f"thm-{LABEL}-coupling",
)


def watched_in_other_coordinates(results: Results, start: str) -> Measured:
    """At depth three and more: the largest effect of the other entries and the least part off the diagonals."""
    r, k = results.intervention, STARTS.index(start)
    return {"gap": r.gap[1:, k].max(), "off_diagonal": r.off_diagonal[1:, k].min()}


C1c = Claim(
    id="C1c",
    says="Decoupled, at every depth, are also starts of which no factor is diagonal: diagonal factors between which "
    "the hidden layers are rotated.",
    criterion="gap < 1e-10 and off_diagonal > 0.2",
    reason="largest gap over starts and depths, zero up to rounding; off_diagonal = least share of the factors' "
    "squared norm off their diagonals",
    measure=watched_in_other_coordinates,
    on="rotated",
    control=Control("rotations of which none undoes another, with the same diagonal factors between", on="unmatched"),
    stance="restated",
    changed="The abstract excepts starts that are diagonal. The exception is wider: it holds up to rotations of the "
    "hidden layers, which change neither the product nor the flow.",
    figure="watched",
    theorem=f"thm-{LABEL}-coupling",
)


# --- rank one, if and only if coupled ------------------------------------------------------------------------------


def implicit_law(results: Results, law: str) -> Measured:
    """Largest deviation of singular values from a law, in units of the largest value."""
    r = results.family
    predicted = {"implicit": r.implicit, "ratio": r.ratio}[law]
    both = np.concatenate([predicted[..., :1], np.repeat(predicted[..., 1:], r.n - 1, axis=-1)], axis=-1)
    return {"deviation": (np.abs(r.measured - both) / predicted[..., :1]).max()}


C2a = Claim(
    id="C2a",
    says="In the family of starts the singular values of the limit solve one scalar equation, at every depth, scale "
    "and size of the blocks, for the coupled start and for the diagonal one.",
    criterion="deviation < 0.01",
    reason="largest over all runs, relative to the first singular value; 0.004 at the steps and tolerances used",
    measure=implicit_law,
    on="implicit",
    control=Control("the law of depth two at every depth: the ratio of the factors' eigenvalues is kept", on="ratio"),
    stance="added",
    figure="family",
    theorem=f"thm-{LABEL}-family",
)


def _runs(values: np.ndarray, kind: str) -> np.ndarray:
    """Of values ``(D, S, M, E)`` those of the coupled or the decoupled runs, ``(runs, E)``."""
    scales = values.shape[-1]
    if kind == "coupled":
        return values[1:, :, 0].reshape(-1, scales)
    return np.concatenate([values[:1, :, 0].reshape(-1, scales), values[:, :, 1].reshape(-1, scales)])


def _excess(results: Results, kind: str) -> np.ndarray:
    """Stable rank minus one of the coupled or the decoupled runs, ``(runs, E)``."""
    values = results.family.measured
    return _runs(((values[..., 1:] / values[..., :1]) ** 2).sum(-1), kind)


def _predicted(results: Results) -> np.ndarray:
    r = results.family
    return stable_excess(r.implicit[..., 0], r.implicit[..., 1], r.n)


def _slope(excess: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """Exponent of the second singular value between the two smallest scales, for each run."""
    return np.log(excess[..., -1] / excess[..., -2]) / np.log(eps[-1] / eps[-2]) / 2


def to_rank_one(results: Results, kind: str) -> Measured:
    """Distance from rank one at the smallest scale, and the power of the scale with which it falls."""
    r, excess, predicted = results.family, _excess(results, kind), _predicted(results)[1:, :, 0]
    if predicted[..., -1].max() > 5e-4 or _slope(predicted, r.eps).min() < 0.8:
        raise Undecided("eps_list: its smallest scales are not small for this m, the equation is not near its limit")
    slope = _slope(excess, r.eps)
    second = _runs(r.measured[..., 1] / r.implicit[..., 1], kind)[:, -1]
    return {
        "excess": excess[:, -1].max(),
        "slope": np.array([slope.min(), slope.max()]),
        "second": np.array([second.min(), second.max()]),
    }


C2b = Claim(
    id="C2b",
    says="Coupled dynamics ends at rank one as the start shrinks: the second singular value falls in proportion to ε.",
    criterion="excess < 1e-3 and 0.75 <= min(slope) and max(slope) <= 1.05 and 0.8 < min(second) and max(second) < 1.2",
    reason="excess = stable rank minus one at the smallest scale, its largest value over depths and blocks; slope = "
    "exponent of the second singular value between the two smallest scales, which tends to one from below, by the "
    "equation already 0.8 or more there; second = that value over what the equation says, at the smallest scale",
    measure=to_rank_one,
    on="coupled",
    control=Control("the decoupled runs: depth two, and every depth from a diagonal start", on="decoupled"),
    stance="restated",
    changed="The abstract says converges to rank one. At a fixed scale no limit of the family is exactly of rank one; "
    "it tends to rank one as the start shrinks.",
    figure="family",
    theorem=f"thm-{LABEL}-iff",
)


def away_from_rank_one(results: Results, kind: str) -> Measured:
    """Least distance from rank one over the scales, and how much it depends on the scale."""
    excess = _excess(results, kind)
    if _predicted(results)[0, :, 0].min() < 0.02:
        raise Undecided("m: so near to one for this size that depth two already starts close to rank one")
    return {"excess": excess.min(), "change": (excess.max(1) / excess.min(1) - 1).max()}


C2c = Claim(
    id="C2c",
    says="Decoupled dynamics does not: the limit has the same stable rank, above one, however small the start.",
    criterion="excess > 0.015 and change < 0.02",
    reason="excess = least stable rank minus one over all decoupled runs, by the theorem (n − 1) times a constant that "
    "only m and d decide; change = largest relative difference between scales, zero by the theorem",
    measure=away_from_rank_one,
    on="decoupled",
    control=Control("the coupled runs", on="coupled"),
    figure="family",
    theorem=f"thm-{LABEL}-iff",
)


def menon_problem(results: Results, depth: str) -> Measured:
    """Medians of ``|1 - a b|`` at the two scales."""
    r = results.menon
    medians = np.median(np.abs(1 - r.entries.prod(-1)), axis=-1)
    rows = {"deeper": slice(1, None), "depth two": slice(0, 1)}[depth]
    return {"small": medians[rows, -1].max(), "shrinks": (medians[rows, 0] / medians[rows, -1]).min()}


C2d = Claim(
    id="C2d",
    says="The 2×2 question from Gaussian starts, outside the family: with depth three and more the fits come to lie on "
    "the curve of rank one, the closer the smaller the start.",
    criterion="small < 0.005 and shrinks > 10",
    reason="medians of |1 − ab|, zero at rank one: at most 5e-4 at the smaller scale over many draws, and at least 60 "
    "times as much at the larger one at depth three",
    measure=menon_problem,
    on="deeper",
    control=Control("depth two", on="depth two"),
    stance="added",
    figure="menon",
)


def gram_matrix(results: Results, depth: str) -> Measured:
    """Distance of the limit from the Gram matrix at two scales of the same starts, and the order in the scale."""
    error = results.gram.error[{"depth two": 0, "next depth": 1}[depth]]
    medians = np.median(error, axis=-1)
    return {"error": error[0].max(), "order": np.log10(medians[0] / medians[1]) / 3}


C2e = Claim(
    id="C2e",
    says="At depth two a small Gaussian start completes the matrix by the angles of its own random directions: the "
    "limit is a scaled Gram matrix, of full rank, whatever the scale.",
    criterion="error < 0.05 and 0.9 <= order <= 1.1",
    reason="error = largest entry of the difference at ε = 1e-3 over the starts, order = the power of ε with which its "
    "median falls; one by the theorem",
    measure=gram_matrix,
    on="depth two",
    control=Control("the next depth, with the directions of its first and last factor", on="next depth"),
    stance="added",
    unseen="a comparison of matrices, which the lab prints",
    theorem=f"thm-{LABEL}-gram",
)


# --- depth ---------------------------------------------------------------------------------------------------------


def by_depth(results: Results, start: str) -> Measured:
    """Differences between successive depths of the mean coupling and the median effective rank at the end."""
    r, k = results.depths, DEPTH_STARTS.index(start)
    coupling = r.coupling[:, k].mean(-1)
    rank = np.median(r.rank[:, k], axis=-1)
    return {"at_two": coupling[0], "gains": np.diff(coupling), "falls": -np.diff(rank), "rank": rank[-1]}


C3a = Claim(
    id="C3a",
    says="The coupling at the end of training intensifies with depth, and the effective rank falls with it.",
    criterion=lambda params: f"at_two < 1e-12 and min(gains) > {0.1 / params.d_depth:.4g} and min(falls) > 0",
    reason="gains = steps of the mean cross kernel from depth to depth, which for aligned factors are near 1/(2d), "
    "falls = steps of the median effective rank",
    measure=by_depth,
    on="Gaussian",
    control=Control("diagonal starts, decoupled at every depth, with the same targets", on="diagonal"),
    figure="depths",
)


def aligned(results: Results, start: str) -> Measured:
    """Largest distance of the coupling at the family's end from its value for aligned flat factors."""
    r, column = results.family, {"coupled": 0, "diagonal": 1}[start]
    exact = np.array([aligned_coupling(int(depth), r.n) for depth in r.depths])
    values = r.implicit[:, 0, 0, -1] ** (1 / r.depths[:, None])
    there = [family_coupling(int(depth), r.n, *pair) for depth, pair in zip(r.depths, values, strict=True)]
    if np.abs(np.array(there) - exact).max() > 0.005:
        raise Undecided("eps_list: its smallest scale is not small for this m, the limit is not near rank one yet")
    return {"error": np.abs(r.coupling[:, column, -1] - exact).max()}


C3b = Claim(
    id="C3b",
    says="Where the family ends at rank one, the coupling is (L − 2)/(L − 2 + 2d): zero at depth two, growing with L.",
    criterion="error < 0.01",
    reason="largest distance over the depths at the smallest scale, from a closed form that holds at rank one",
    measure=aligned,
    on="coupled",
    control=Control("the diagonal start, m = ∞", on="diagonal"),
    stance="added",
    figure="depths",
    theorem=f"prop-{LABEL}-aligned",
)


def completed(results: Results, depth: str) -> Measured:
    """Median effective rank in units of the target's, minus one, and median error on what was not observed."""
    r = results.completion
    if np.median(r.residual, axis=-1).max() > 1e-3:
        raise Undecided("data_steps: too few for most of the runs to fit the observed entries")
    if r.scale < 3e-3 or r.observed > 0.55:
        raise Undecided("eps_data, p_data: from so small a start or so many entries depth two is near the rank as well")
    rows = {"deeper": slice(1, None), "depth two": slice(0, 1)}[depth]
    excess = np.median(r.rank[rows] / r.target_rank - 1, axis=-1)
    return {"excess": excess.max(), "error": np.median(r.error[rows], axis=-1).max()}


C3c = Claim(
    id="C3c",
    says="On random entries of a random matrix of low rank, too, depth three and more end near the target's effective "
    "rank, depth two above it.",
    criterion="abs(excess) < 0.2",
    reason="excess = median over the problems of the effective rank over the target's, minus one, at the depth where "
    "it is largest; measured 0.02 to 0.15 and, at depth two, 0.3 and more",
    measure=completed,
    on="deeper",
    control=Control("depth two", on="depth two"),
    figure="completion",
)


# --- plasticity ----------------------------------------------------------------------------------------------------


def _clean(results: Results, depths: str, setup: str) -> tuple[np.ndarray, np.ndarray]:
    """Error and stable rank minus one, rows of scales."""
    r = results.clean
    deep = r.depths > 2
    chosen = np.array([one == setup for one in r.setups]) & (deep if depths == "deeper" else ~deep)
    return r.error[chosen], r.rank[chosen] - 1


RUNS = {
    "depth two, warm": ("two", "warm"),
    "depth two, cold": ("two", "cold"),
    "deeper, warm": ("deeper", "warm"),
    "deeper, from a diagonal start": ("deeper", "from diagonal"),
    "depth two, connected": ("two", "connected"),
}


def lost(results: Results, run: str) -> Measured:
    """Least error and excess rank over both scales, and how far the scale matters."""
    error, excess = _clean(results, *RUNS[run])
    return {"error": error.min(), "excess": excess.min(), "change": (error.max(1) / error.min(1) - 1).max()}


C4a = Claim(
    id="C4a",
    says="Loss of plasticity: at depth two, pre-training on the diagonal ruins the completion from six entries, which "
    "a start from scratch gets right; a smaller start does not help.",
    criterion="error > 0.05 and excess > 0.02 and change < 0.1",
    reason="error = mean square on the three entries never seen, excess = stable rank minus one, the least of two "
    "scales; change = relative difference between the scales",
    measure=lost,
    on="depth two, warm",
    control=Control("the same network from scratch on the same six entries", on="depth two, cold"),
    figure="clean",
)


def kept(results: Results, run: str) -> Measured:
    """Largest error and excess rank at the smaller scale."""
    error, excess = _clean(results, *RUNS[run])
    return {"error": error[:, -1].max(), "excess": excess[:, -1].max()}


C4b = Claim(
    id="C4b",
    says="Networks of depth three and more keep their plasticity: after the same pre-training they complete it.",
    criterion="error < 1e-3 and excess < 1e-3",
    reason="largest over the depths at the smaller scale; both vanish with the start",
    measure=kept,
    on="deeper, warm",
    control=Control("depth two after the same pre-training", on="depth two, warm"),
    figure="clean",
)


def _row(results: Results, depth: str) -> slice:
    """Rows of depths; runs that fitted nothing decide nothing."""
    r = results.resumed
    left = np.median(np.concatenate([r.loss[:, -1], r.loss[:, 0], r.pre_loss[:1, -1]]), axis=-1)
    if left.max() > 50 * TOLERANCE:
        raise Undecided("lop_steps: too few for most of the runs to fit the observed entries")
    return {"depth two": slice(0, 1), "next depth": slice(1, 2), "deeper": slice(1, None)}[depth]


def random_loss(results: Results, depth: str) -> Measured:
    """What full pre-training costs: least difference of effective ranks, and ratio of median errors."""
    r, rows = results.resumed, _row(results, depth)
    errors = np.median(r.error[rows], axis=-1)
    return {
        "rank": (r.rank[rows, -1] - r.rank[rows, 0]).min(),
        "ratio": (errors[:, -1] / errors[:, 0]).max(),
    }


C4c = Claim(
    id="C4c",
    says="The same on random rank-one matrices and Gaussian starts: at depth two every pre-trained network ends with a "
    "higher effective rank than from scratch, and the median error is larger.",
    criterion="rank > 0.1 and ratio > 10",
    reason="rank = least difference warm minus cold over the matrices, 0.34 in the worst of many draws; ratio = of the "
    "median errors on entries never seen",
    measure=random_loss,
    on="depth two",
    control=Control("the next depth on the same data", on="next depth"),
    figure="resumed",
)


def random_kept(results: Results, depth: str) -> Measured:
    """Medians after full pre-training, at the worst of the depths."""
    r, rows = results.resumed, _row(results, depth)
    return {
        "rank": np.median(r.rank[rows, -1], axis=-1).max(),
        "error": np.median(r.error[rows, -1], axis=-1).max(),
    }


C4d = Claim(
    id="C4d",
    says="There, too, the median network of depth three and more ends at rank one and completes the matrix.",
    criterion="rank < 1.05 and error < 2e-3",
    reason="medians over the matrices: of the effective rank and of the mean squared error on entries never seen, "
    "whose mean square is one",
    measure=random_kept,
    on="deeper",
    control=Control("depth two", on="depth two"),
    stance="restated",
    changed="In the median, not for every network: some stay at a saddle where blocks have the wrong relative sign.",
    figure="resumed",
)


def pieces_fitted(results: Results, depth: str) -> Measured:
    """The damage over how much of pre-training was fitted."""
    r, rows = results.resumed, _row(results, depth)
    errors = np.median(r.error[rows], axis=-1)
    return {"rise": (errors[:, -1] / errors[:, 0]).max(), "errors": errors[0], "steps": np.diff(np.log(errors[0]))}


C4e = Claim(
    id="C4e",
    says="At depth two the damage is done while pre-training fits: the error grows with the share of the pre-training "
    "loss that was fitted before the other entries came.",
    criterion="rise > 10 and min(steps) > -0.2",
    reason="rise = median error after full over that after no pre-training, steps = differences of its logarithm from "
    "one share to the next, which may fall by a fifth at most",
    measure=pieces_fitted,
    on="depth two",
    control=Control("the next depth", on="next depth"),
    stance="added",
    figure="critical",
)


# --- mechanism -----------------------------------------------------------------------------------------------------


def determinant_identity(results: Results, run: str) -> Measured:
    """Change of ``ln |det|``, how far the integral is from it, and the change itself, both in units of the bound."""
    r, k = results.determinant, DETERMINANT_RUNS.index(run)
    change = r.logdet[-1, k] - r.logdet[0, k]
    return {
        "change": change,
        "identity": abs(r.integral[-1, k] - change) / r.bound[-1, k],
        "bound": abs(change) / r.bound[-1, k],
    }


C5a = Claim(
    id="C5a",
    says="At depth two ln |det W| moves only as the residual allows: its change is an integral over the residual, for "
    "balanced factors.",
    criterion="identity < 0.01 and bound <= 1",
    reason="identity = distance of the integral from the change, after Euler steps, over the bound 2√d ∫‖R‖; bound = "
    "the change over that bound",
    measure=determinant_identity,
    on="warm",
    control=Control("the same product from unbalanced factors: one doubled, one halved", on="unbalanced"),
    stance="added",
    figure="determinant",
    theorem=f"thm-{LABEL}-determinant",
)


def resumed_problem(results: Results, run: str) -> Measured:
    """After the entry that connects the rows was added: loss, unseen entry (one at rank one), ln |det|."""
    r, k = results.determinant, DETERMINANT_RUNS.index(run)
    return {"loss": r.loss[-1, k], "unseen": r.unseen[-1, k], "logdet": r.logdet[-1, k]}


C5b = Claim(
    id="C5b",
    says="A depth-two network pre-trained under decoupled dynamics does not come to rank one, even though the resumed "
    "problem is coupled: it fits the new entry and stops.",
    criterion="loss < 1e-6 and unseen < 0.6",
    reason="unseen = the entry that is one at rank one; loss = on the three observed entries, which are fitted",
    measure=resumed_problem,
    on="warm",
    control=Control("from scratch on the same three entries", on="cold"),
    figure="determinant",
)

C5c = Claim(
    id="C5c",
    says="What ruins plasticity is decoupled pre-training, not depth two: deeper networks pre-trained from a diagonal "
    "start, decoupled, lose theirs, too.",
    criterion="error > 0.05 and excess > 0.02 and change < 0.1",
    reason="as for warm starts at depth two: least error and excess of the stable rank over depths and two scales, and "
    "the relative difference of errors between the scales",
    measure=lost,
    on="deeper, from a diagonal start",
    control=Control("depth two, pre-trained on a connected set of entries", on="depth two, connected"),
    stance="added",
    figure="clean",
)

CLAIMS = (C1a, C1b, C1c, C2a, C2b, C2c, C2d, C2e, C3a, C3b, C3c, C4a, C4b, C4c, C4d, C4e, C5a, C5b, C5c)


def _quantities(results: Results) -> dict[str, object]:
    """Further measured values that the chapter's page quotes."""
    watched, family, menon, depths = results.intervention, results.family, results.menon, results.depths
    clean, resumed, determinant, completion = results.clean, results.resumed, results.determinant, results.completion
    rest = np.abs(1 - menon.entries.prod(-1))
    excess = ((family.measured[..., 1:] / family.measured[..., :1]) ** 2).sum(-1)
    return {
        "depths": watched.depths,
        "starts": watched.gap.shape[-1],
        "dimension": depths.d,
        "gap_medians": np.median(watched.gap, axis=-1)[:, 0],
        "unmatched_at_start": watched.at_start[watched.depths < 5, STARTS.index("unmatched")].max(),
        "family_n": family.n,
        "family_eps": family.eps,
        "family_excess": excess[:, 0, 0],
        "family_excess_diagonal": excess[:, 0, 1],
        "constants": [second_value_constant(int(depth), family.n, float(family.m[0])) for depth in family.depths[1:]],
        "menon_scales": list(MENON_SCALES),
        "menon_medians": np.median(rest, axis=-1),
        "menon_near": (rest[:, -1] < 0.01).mean(-1),
        "gram_error": np.median(results.gram.error, axis=-1),
        "depth_list": depths.depths,
        "depth_rank": np.median(depths.rank, axis=-1)[:, 0],
        "depth_rank_diagonal": np.median(depths.rank, axis=-1)[:, 1],
        "depth_coupling": depths.coupling.mean(-1)[:, 0],
        "depth_arrived": depths.converged[:, 0].mean(-1),
        "spectrum_rank": [effective_rank(values[-1]) for values in results.spectrum.values],
        "clean": {
            f"{setup.replace(' ', '_')}_{depth}": {"error": clean.error[k], "excess": clean.rank[k] - 1}
            for k, (depth, setup) in enumerate(zip(clean.depths, clean.setups, strict=True))
        },
        "clean_scales": list(CLEAN_SCALES),
        "observed": resumed.observed,
        "resumed_error": np.median(resumed.error, axis=-1),
        "resumed_rank": np.median(resumed.rank, axis=-1),
        "resumed_worst": resumed.error[:, -1].max(-1),
        "resumed_stuck": (resumed.loss[:, -1] > 100 * TOLERANCE).sum(-1),
        "resumed_stuck_before": (resumed.pre_loss[:, -1] > 100 * TOLERANCE).sum(-1),
        "resumed_matrices": resumed.error.shape[-1],
        "log_determinants": determinant.logdet[[0, -1]],
        "determinant_unseen": determinant.unseen[-1],
        "determinant_values": determinant.values[-1],
        "completion_rank": np.median(completion.rank, axis=-1),
        "completion_target": np.median(completion.target_rank),
        "completion_error": np.median(completion.error, axis=-1),
        "completion_residual": np.median(completion.residual, axis=-1),
    }


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge the claims."""
    return judge(CLAIMS, results, PAPER.slug, params, _quantities(results))
