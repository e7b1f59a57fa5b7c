"""The claims of the paper's abstract, each with its criterion and a control on which it must fail."""

from collections.abc import Callable
from typing import Any

import numpy as np

from companion.analysis.rates import fit_r2, loglog_slope
from companion.chapters.generalized_bilinear_preference_rlhf.experiments import BOUND_ETAS, Results
from companion.chapters.generalized_bilinear_preference_rlhf.greedy import BURN_IN, MODERATE, increment
from companion.chapters.generalized_bilinear_preference_rlhf.setting import PAPER, Parameters
from companion.claims import Claim, Control, Undecided, Verdicts, judge

Measure = Callable[[Results], dict[str, Any]]


# --- the dual-gap law -------------------------------------------------------------------------------------------------


def _cycle(model: str) -> Measure:
    def measure(results: Results) -> dict[str, float]:
        fitted = getattr(results.cycle, model)
        return {
            "weakest": float(min(fitted[0, 1], fitted[1, 2], fitted[2, 0])),
            "excess": float(results.cycle.excess[["bilinear", "bradley_terry"].index(model)]),
        }

    return measure


def _bounds(results: Results) -> dict[str, Any]:
    law = results.gap_law
    names = list(BOUND_ETAS)
    return {
        "squared": max([float(law.smooth[name].max()) for name in names] + [float(law.linear.max())]),
        "first_order": max([float(law.first[name].max()) for name in names] + [float(law.pair[1].max())]),
    }


def _bounds_printed(results: Results) -> dict[str, Any]:
    return _bounds(results) | {"first_order": float(results.gap_law.pair[0].max())}


def _sharp(results: Results) -> dict[str, Any]:
    return {"ratio": max(float(results.gap_law.sharp[name].max()) for name in BOUND_ETAS)}


def _order(results: Results) -> dict[str, Any]:
    slopes = results.gap_law.slopes.values()
    return {"least": float(min(s.min() for s in slopes)), "most": float(max(s.max() for s in slopes))}


# --- greedy sampling --------------------------------------------------------------------------------------------------


def law_of(t: np.ndarray, regret: np.ndarray, gap: np.ndarray) -> dict[str, float]:
    """How logarithmic a regret curve is: two fits, the decay of the gap, and the local exponent in the last part."""
    settled, late = t > BURN_IN, t > t[-1] / 8
    return {
        "r2_log": float(fit_r2(np.log(t[settled]), regret[settled])),
        "r2_sqrt": float(fit_r2(np.sqrt(t[settled]), regret[settled])),
        "gap_slope": float(loglog_slope(t[settled], gap[settled])),
        "exponent": float(loglog_slope(t[late], regret[late])),
    }


def moderate(results: Results) -> np.ndarray:
    """Which entries of ``etas`` are asked to show the logarithmic law within the horizon."""
    chosen = results.learning.etas <= MODERATE
    if not chosen.any():
        raise Undecided(f"needs an η of at most {MODERATE:g} in eta_list")
    return chosen


def pooled(results: Results, curves: np.ndarray) -> np.ndarray:
    """Curves divided by eta and averaged over the moderate etas."""
    chosen = moderate(results)
    return (curves[chosen] / results.learning.etas[chosen, None]).mean(0)


def _logarithmic(results: Results) -> dict[str, float]:
    run = results.learning
    return law_of(run.t, pooled(results, run.regret), pooled(results, run.gap))


def _huge(results: Results) -> dict[str, float]:
    moderate(results)
    run = results.learning
    return law_of(run.t_huge, run.regret_huge, run.gap_huge)


def _exponent(name: str) -> Measure:
    def measure(results: Results) -> dict[str, float]:
        run = results.learning
        regret = run.starved if name == "starved" else run.regret[run.etas == run.eta_control][0]
        late = run.t > run.t[-1] / 8
        return {"exponent": float(loglog_slope(run.t[late], regret[late]))}

    return measure


def _growth(results: Results) -> dict[str, float]:
    run, chosen = results.learning, moderate(results)
    ratio = run.regret[chosen, -1] / run.etas[chosen]
    constant = run.constant[chosen] / run.etas[chosen]
    return {"regret": float((ratio / ratio[0]).max()), "constant": float((constant / constant[0]).max())}


def _growth_tilted(results: Results) -> dict[str, float]:
    run = results.learning
    moderate(results)
    ratio, constant = run.tilted / run.tilted_etas, run.tilted_constant / run.tilted_etas
    return {"regret": float(ratio[1] / ratio[0]), "constant": float(constant[1] / constant[0])}


def _constant(results: Results) -> dict[str, float]:
    run, chosen = results.learning, moderate(results)
    predicted = float((run.constant[chosen] / run.etas[chosen]).mean())
    return {"ratio": increment(run.t, pooled(results, run.regret)) / predicted}


def _constant_huge(results: Results) -> dict[str, float]:
    run = results.learning
    moderate(results)
    return {"ratio": increment(run.t_huge, run.regret_huge) / run.constant_huge}


# --- explore, then commit ---------------------------------------------------------------------------------------------


def _gap_slope(name: str) -> Measure:
    def measure(results: Results) -> dict[str, float]:
        return {"slope": float(loglog_slope(results.commit.lengths, getattr(results.commit, name)))}

    return measure


def _schedule(row: int) -> Measure:
    def measure(results: Results) -> dict[str, float]:
        c = results.commit
        return {
            "exponent": float(loglog_slope(c.horizons, c.regret[row])),
            "committed": float(c.committed[row, -1]),
        }

    return measure


def rank_gains(results: Results, rank: int) -> dict[str, Any]:
    """Plain, and ridge, over nuclear-norm estimate: ratios of mean errors and of mean committed gaps for each d."""
    error, gap = results.ranks.error[rank].mean(1), results.ranks.gap[rank].mean(1)
    return {
        "error_ratio": (error[:, 1] / error[:, 0]).tolist(),
        "gap_ratio": (gap[:, 1] / gap[:, 0]).tolist(),
        "ridge_error_ratio": (error[:, 2] / error[:, 0]).tolist(),
        "ridge_gap_ratio": (gap[:, 2] / gap[:, 0]).tolist(),
    }


def _ranks(rank: int) -> Measure:
    def measure(results: Results) -> dict[str, Any]:
        gains = rank_gains(results, rank)
        error, gap = gains["error_ratio"], gains["gap_ratio"]
        return {"error_ratio": error[-1], "growth": error[-1] / error[0], "gap_ratio": gap[-1]}

    return measure


def _coverage(norm: Callable[[np.ndarray], np.ndarray]) -> Measure:
    """``d lambda_min`` of the designs of the rank study, largest of all, with features of the given norm."""

    def measure(results: Results) -> dict[str, float]:
        ranks = results.ranks
        return {"largest": float((norm(ranks.d)[:, None] ** 2 * ranks.coverage).max())}

    return measure


CLAIMS = (
    Claim(
        id="C1",
        says="The bilinear preference model captures intransitive preferences: fitted to duels among three "
        "actions that beat each other in a circle, it predicts all three wins",
        criterion="weakest > 0.9 and excess < 0.01",
        reason="the true probability is 0.97; the excess is the cross-entropy lost against the truth, in nats per "
        "duel, and 3000 duels determine the one parameter to about 0.001",
        measure=_cycle("bilinear"),
        control=Control("a Bradley-Terry model (rewards) fitted to the same duels", _cycle("bradley_terry")),
    ),
    Claim(
        id="C2a",
        says="The dual gap of the greedy policy is at most 2 L² ηβ (E‖Eφ‖)² + L E‖Eφ‖² and at most L E‖Eφ‖, for "
        "four strongly convex regularizers and any skew-symmetric estimate",
        criterion="squared <= 1 and first_order <= 1",
        reason="the theorem's two inequalities with corrected constants; they have no exception",
        measure=_bounds,
        control=Control("the η-free bound with the printed constant, (L/2) E[‖Eφ‖ + ‖Eφ‖²]", _bounds_printed),
        stance="restated",
    ),
    Claim(
        id="C2b",
        says="The η-free bound with the printed constant, DGap ≤ (L/2) E[‖Eφ‖ + ‖Eφ‖²], is violated by a game of "
        "two actions",
        criterion="ratio > 1.5",
        reason="any ratio above one refutes it; in this game it tends to two as the error vanishes",
        measure=lambda results: {"ratio": float(results.gap_law.pair[0].max())},
        control=Control(
            "the same games against L E‖Eφ‖", lambda results: {"ratio": float(results.gap_law.pair[1].max())}
        ),
        stance="refuted",
    ),
    Claim(
        id="C2c",
        says="The dual gap is of second order in the estimation error: on every random game and for every "
        "regularizer the slope on logarithmic axes is 2",
        criterion="1.9 <= least and most <= 2.1",
        reason="the theorem's exponent, with a tenth for errors that are not infinitesimal",
        measure=_order,
        control=Control(
            "hardly any strong convexity: KL at eta_huge = 10⁴, slope of the average gap",
            lambda results: {"least": results.gap_law.slope_huge, "most": results.gap_law.slope_huge},
        ),
    ),
    Claim(
        id="C2d",
        says="Only strong convexity in the 1-norm and the skew-symmetry of the true game are needed: DGap is at "
        "most (ηβ/8) (max h - min h)² and at most max h, with h the error in the payoffs of the greedy policy",
        criterion="ratio <= 1",
        reason="the bound by duality that the chapter proves; it has no exception and implies both bounds of C2a",
        measure=_sharp,
        control=Control(
            "half the squared 2-norm taken as 1-strongly convex (β = 1; in the 1-norm it has β = K)",
            lambda results: {"ratio": float(results.gap_law.euclidean.max())},
        ),
        stance="restated",
    ),
    Claim(
        id="C3a",
        says="Greedy sampling has polylogarithmic regret at moderate η: log T fits it better than √T, the dual "
        "gap falls like 1/t, and the local exponent is small",
        criterion="r2_log > r2_sqrt and gap_slope < -0.75 and exponent < 0.35",
        reason="a gap of order 1/t has slope -1 and a regret of order √T has gap slope and exponent of one half in "
        "absolute value, a logarithm slope -1 and a local exponent of about a fifth at this horizon; thresholds half "
        "way",
        measure=_logarithmic,
        control=Control("eta_huge = 10⁴, where the regularizer hardly counts and only the √T bound is left", _huge),
    ),
    Claim(
        id="C3b",
        says="Feature diversity is what makes greedy sampling learn: with an explorer whose features span the "
        "space the local exponent of its regret is small",
        criterion="exponent < 0.35",
        reason="as in C3a: half way from a logarithm's local exponent to that of √T",
        measure=_exponent("regret"),
        control=Control(
            "C_min = 0: the explorer's features lie in a plane, and Θ⋆ has mass outside", _exponent("starved")
        ),
    ),
    Claim(
        id="C3c",
        says="The regret is free of e^{O(η)}: from the smallest η up to 10, R(T)/η and the constant before log T, "
        "over η, do not grow",
        criterion="regret <= 1.6 and constant <= 1.6",
        reason="the theorem's factor η, with room for the spread between environments; e^{O(η)} would be orders of "
        "magnitude",
        measure=_growth,
        control=Control(
            "exploration that prefers one action by a factor e^η, so that its coverage falls exponentially",
            _growth_tilted,
        ),
    ),
    Claim(
        id="C3d",
        says="The constant is explicit: while t grows by its last factor of twenty, regret grows per unit of log t "
        "as (η/2) tr(I⁻¹Q) predicts",
        criterion="0.75 <= ratio <= 1.25",
        reason="the leading order that the chapter derives; a quarter for the spread of an average over environments; "
        "refits at growing intervals g alone cost a factor (g−1)/log g",
        measure=_constant,
        control=Control("eta_huge = 10⁴: the horizon is far too short for the leading order", _constant_huge),
        stance="restated",
    ),
    Claim(
        id="C4a",
        says="The committed policy's dual gap falls like one over the length of exploration, which is what lets "
        "T₀ ∝ √T do",
        criterion="-1.3 <= slope <= -0.75",
        reason="squared estimation error is of order 1/T₀; a first-order law has slope -1/2",
        measure=_gap_slope("gaps"),
        control=Control("eta_huge = 10⁴, unregularized for all purposes", _gap_slope("gaps_huge")),
    ),
    Claim(
        id="C4b",
        says="With T₀ ∝ √T the regret of explore-then-commit has exponent 1/2, and the commit phase is not the "
        "larger part of it",
        criterion="0.42 <= exponent <= 0.6 and committed < 0.5",
        reason="the theorem's exponent; exploration alone would give it, so the commit phase is measured too",
        measure=_schedule(0),
        control=Control("the usual schedule of explore-then-commit, T₀ ∝ T^(2/3)", _schedule(1)),
    ),
    Claim(
        id="C5a",
        says="Low rank is exploited: at the largest d the nuclear norm estimates a matrix of rank 2 better than "
        "plain maximum likelihood, the more so the larger d, and the committed policy's gap is smaller",
        criterion="error_ratio > 1.4 and growth > 1.3 and gap_ratio > 1.2",
        reason="ratios plain / nuclear of mean errors and of mean gaps, growth from the smallest d; a fit that knew "
        "the rank would have √(d(d−1)/2 / (2d−3)) asymptotically, 2.5 for d = 24, and the norm's bias takes its share",
        measure=_ranks(0),
        control=Control("Θ⋆ of full rank, where shrinking costs more than it saves", _ranks(1)),
    ),
    Claim(
        id="C5b",
        says="poly(d)-free means free of explicit d: features of norm at most one have C_min ≤ 1/d, so that "
        "C_min⁻² hides d²",
        criterion="largest <= 1",
        reason="the trace of the feature covariance is at most one; largest is d times its smallest eigenvalue",
        measure=_coverage(np.ones_like),
        control=Control("features of norm √d, outside the theorem's assumption", _coverage(np.sqrt)),
        stance="restated",
    ),
)


def quantities(params: Parameters, results: Results) -> dict[str, Any]:
    """Further measured values that the chapter's page quotes."""
    law, run, c = results.gap_law, results.learning, results.commit
    found: dict[str, Any] = {
        "cycle_true": float(results.cycle.truth[0, 1]),
        "cycle_uniform": float(np.abs(results.cycle.equilibrium - 1 / 3).max()),
        "printed_smooth": max(float(values.max()) for values in law.printed.values()),
        "corrected_smooth": {name: float(law.smooth[name].max()) for name in BOUND_ETAS},
        "sharp": {name: float(law.sharp[name][0].max()) for name in BOUND_ETAS},
        "pair_printed": law.pair[0].tolist(),
        "pair_corrected": law.pair[1].tolist(),
        "regret": run.regret[:, -1].tolist(),
        "regret_over_eta": (run.regret[:, -1] / run.etas).tolist(),
        "constant_over_eta": (run.constant / run.etas).tolist(),
        "uniform_over_greedy": float(run.explore[run.etas == run.eta_control][0] * run.t[-1])
        / float(run.regret[run.etas == run.eta_control][0, -1]),
        "starved_over_greedy": float(run.starved[-1] / run.regret[run.etas == run.eta_control][0, -1]),
        "symmetric": float(run.symmetric[-1]),
        "one_sided": float(run.one_sided[-1]),
        "symmetric_exponent": float(loglog_slope(run.t[run.t > run.t[-1] / 8], run.symmetric[run.t > run.t[-1] / 8])),
        "one_sided_exponent": float(loglog_slope(run.t[run.t > run.t[-1] / 8], run.one_sided[run.t > run.t[-1] / 8])),
        "averaged_over_bound": float((run.averaged[0] / run.averaged[1]).max()),
        "exponents": [float(loglog_slope(c.horizons, c.regret[row])) for row in range(3)],
        "commit_greedy": float(c.greedy[-1]),
        "commit_sqrt": float(c.regret[0, -1]),
        "pairing": float(np.abs(c.singular[..., ::2][..., : c.singular.shape[-1] // 2] - c.singular[..., 1::2]).max()),
        "residual": max(law.residual, run.residual, c.residual),
        "residual_huge": run.residual_huge,
    }
    for rank, name in enumerate(("low", "full")):
        for key, values in rank_gains(results, rank).items():
            found[f"{key}_{name}"] = values
    return found


def verify(params: Parameters, results: Results) -> Verdicts:
    """Judge all claims on the results."""
    return judge(CLAIMS, results, PAPER.slug, params, quantities(params, results))
