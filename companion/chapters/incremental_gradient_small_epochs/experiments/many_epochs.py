"""Many epochs: the lower-bound instances at and past ``K = kappa``, and the upper bounds on random problems."""

from dataclasses import dataclass

import numpy as np

from companion.analysis.finite_sum import FiniteSumQuadratic, orders
from companion.chapters.incremental_gradient_small_epochs.closed_forms import (
    first_order_gap,
    polygon_radius,
)
from companion.chapters.incremental_gradient_small_epochs.diagonal import DiagonalQuadratic
from companion.chapters.incremental_gradient_small_epochs.instances import (
    concave_half,
    many_epochs_concave,
    many_epochs_convex,
    polygon,
)
from companion.chapters.incremental_gradient_small_epochs.parameters import Parameters, igd_order, numbers
from companion.chapters.incremental_gradient_small_epochs.random_problems import (
    heterogeneity,
    line_problem,
    random_problem,
    random_start,
    sorted_order,
)
from companion.chapters.incremental_gradient_small_epochs.tuning import theory_step
from companion.results import experiment

# --- lower bounds -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ManyEpochs:
    """Tuned gaps for ``K >= kappa`` over their levels, ``(kappas, multiples)`` with ``K = kappa * multiples``."""

    kappas: np.ndarray  # (kappas,)
    multiples: np.ndarray  # (multiples,)
    n: int
    convex: np.ndarray  # IGD on the convex instance
    convex_alternating: np.ndarray  # the alternating order there
    convex_sgd: np.ndarray  # exact SGD there
    concave: np.ndarray  # IGD on the drifting instance
    concave_alternating: np.ndarray  # the alternating order there
    ratio: np.ndarray  # gap on the drifting instance over gap on the convex one
    ratio_halves: np.ndarray  # the same with the drifting instance's curvatures in two halves
    window: np.ndarray  # IGD on the convex instance if the noisy coordinate's curvature is L: steps below 2 / L escape


@experiment
def many_epochs(params: Parameters) -> ManyEpochs:
    """The lower-bound instances at and beyond ``K = kappa``."""
    kappas, multiples, n = sorted(set(params.large_kappas)), (1, 4, 16), params.large_n
    visited, alternating, tuning = igd_order(params, n), orders("alternating", n)[0], params.tuning
    table = {name: np.empty((len(kappas), 3)) for name in ManyEpochs.__annotations__}
    for row, kappa in enumerate(kappas):
        for column, multiple in enumerate(multiples):
            K = max(1, round(kappa * multiple))
            convex, stiff = (
                many_epochs_convex(n, kappa, K, **params.constants, curvature=curvature) for curvature in (0.5, 1.0)
            )
            concave, halves = (
                many_epochs_concave(n, kappa, K, **params.constants, halves=split) for split in (False, True)
            )
            gaps = [tuning.igd(instance, visited).gap for instance in (convex, concave, halves)]
            values = {
                "convex": gaps[0] / convex.level,
                "convex_alternating": tuning.igd(convex, alternating).gap / convex.level,
                "convex_sgd": tuning.sgd(convex).gap / convex.level,
                "concave": gaps[1] / concave.level,
                "concave_alternating": tuning.igd(concave, alternating).gap / concave.level,
                "ratio": gaps[1] / gaps[0],
                "ratio_halves": gaps[2] / gaps[0],
                "window": tuning.igd(stiff, visited).gap / stiff.level,
            }
            for name, value in values.items():
                table[name][row, column] = value
    return ManyEpochs(**(table | {"kappas": np.array(kappas), "multiples": np.array(multiples), "n": n}))


# --- upper bounds -------------------------------------------------------------------------------------------------

ORDERS = ("random", "sorted")  # in which random problems are visited
STEPS = ("theory", "fixed")  # the step of the theory, and 1 / (n L) however large K is
MULTIPLES = (64, 256, 1024)  # K over kappa; from 64 on the theory's step is below its cap 1 / (n L) at any kappa
FEW = (4, 8, 16, 32)  # small numbers of epochs, with kappa = 64
N, D = 32, 4  # components and dimensions of the random problems


@dataclass(frozen=True)
class UpperBounds:
    """Gaps over the upper bounds without constants, ``log^2 K`` counted as part of the bound; P random problems.

    The bounds are ``L G^2 log^2 K / (mu K)^2`` for convex components, which all gaps of random problems are given in,
    and kappa times that for partly concave ones.
    """

    multiples: np.ndarray  # numbers of epochs in kappa, (M,)
    convex: np.ndarray  # convex problems over the convex bound, (STEPS, P, ORDERS, M)
    concave: np.ndarray  # partly concave problems over the same, (STEPS, P, ORDERS, M)
    concave_kappas: np.ndarray  # condition numbers of those, (P,)
    convex_limit: np.ndarray  # what the first order in the step predicts of convex, the same for all K, (P, ORDERS)
    concave_limit: np.ndarray
    hard_convex: np.ndarray  # the lower-bound instances at 16 kappa over their bounds, (kappas,)
    hard_concave: np.ndarray
    hard_mixed: np.ndarray  # the drifting instance over the convex bound, at drifting_kappas
    drifting_kappas: np.ndarray
    largest: float  # condition number of the random problems
    started: np.ndarray  # initial gaps of all random problems in G^2 / (2 mu), (4 P,)
    heterogeneity: np.ndarray  # how much the Hessians of each convex, then each concave problem differ, (2 P,)
    line: np.ndarray  # one dimension, one curvature, few epochs, over 2 Delta_0 / K^4 + eta M G, (P, ORDERS)
    line_worst: np.ndarray  # two blocks, largest over the curvatures, over eta n G^2 at few epochs, (FEW,)
    line_worst_mixed: np.ndarray  # the same with the curvatures 3 h / 2 and h / 2 in the two blocks, (FEW,)
    few: np.ndarray  # convex problems at few epochs over kappa times the convex bound, (P, ORDERS)
    few_epochs: np.ndarray  # small numbers of epochs at which the theory's step is at most 1 / L, (F,)
    few_polygon: np.ndarray  # the polygon over kappa times the convex bound there, (F,)
    few_half: np.ndarray  # the half-concave instance over the same, (F,); infinite where double precision ends
    few_predicted: np.ndarray  # the polygon by its closed form, (F,)


@experiment
def upper_bounds(params: Parameters) -> UpperBounds:
    """Random problems of 32 components, in 4 dimensions or one, and the lower-bound instances, at the theory's step."""
    rng, mu, G = numbers(params, 8), params.mu, params.G
    table: dict[str, list] = {name: [] for name in UpperBounds.__annotations__}

    def start(problem: FiniteSumQuadratic) -> np.ndarray:
        x0 = random_start(rng, problem, G**2 / (2 * mu))
        table["started"].append(problem.gap(x0) / (G**2 / (2 * mu)))
        return x0

    for concave in [False] * params.problems + [True] * params.problems:
        kappa = float(rng.choice(params.large_kappas))
        problem = random_problem(rng, N, D, mu, kappa * mu, G, concave, params.device)
        x0, tried = start(problem), (rng.permutation(N), sorted_order(rng, problem))
        ratio = np.stack([_at_steps(problem, x0, order, kappa, mu, G) for order in tried], axis=1)
        # (eta / log K)^2 / bound without its logarithm: the theory's step is 2 log K / (mu n K).
        limit = np.array([first_order_gap(problem.H, problem.b, order) for order in tried])
        limit = limit * 4 / (N**2 * kappa * mu * G**2)
        kind = "concave" if concave else "convex"
        table[kind].append(ratio)
        table[f"{kind}_limit"].append(limit)
        if concave:
            table["concave_kappas"].append(kappa)
        table["heterogeneity"].append(heterogeneity(problem))
    for _ in range(params.problems):
        K, kappa = int(rng.choice(FEW)), 64.0
        problem = line_problem(rng, N, mu * kappa ** rng.random(), G, params.device)
        x0, tried = start(problem), (rng.permutation(N), sorted_order(rng, problem))
        table["line"].append([_on_a_line(problem, x0, order, kappa, K, mu, G) for order in tried])
        problem = random_problem(rng, N, D, mu, kappa * mu, G, False, params.device)
        x0, tried = start(problem), (rng.permutation(N), sorted_order(rng, problem))
        eta = np.array([theory_step(N, K, mu, 1 / (kappa * mu))])
        table["few"].append([problem.final_gap(x0, K, eta, o)[0] / bound(kappa, K, 1, mu, G) for o in tried])
    constants = {"mu": mu, "G": G, "device": params.device}
    drifting = np.array([16.0, 64.0, 256.0, 1024.0])
    stacked = {name: np.array(values) for name, values in table.items()}
    for name in ("convex", "concave"):
        stacked[name] = stacked[name].swapaxes(0, 1)
    return UpperBounds(**stacked | {
        "multiples": np.array(MULTIPLES),
        "hard_convex": np.array([_hard(many_epochs_convex(params.large_n, k, round(16 * k), **constants), k, 0, G)
                                 for k in sorted(set(params.large_kappas))]),
        "hard_concave": np.array([_hard(many_epochs_concave(params.large_n, k, round(16 * k), **constants), k, 1, G)
                                  for k in sorted(set(params.large_kappas))]),
        "hard_mixed": np.array([_hard(many_epochs_concave(4096, k, round(16 * k), **constants), k, 0, G)
                                for k in drifting]),
        "drifting_kappas": drifting,
        "largest": max(params.large_kappas),
        "line_worst": np.array([_two_blocks(K, 64.0, (1.0, 1.0), params) for K in FEW]),
        "line_worst_mixed": np.array([_two_blocks(K, 64.0, (1.5, 0.5), params) for K in FEW]),
    } | _few_hard(params))  # fmt: skip


def bound(kappa: float, K: int, power: int, mu: float, G: float) -> float:
    """``kappa^power L G^2 log^2 K / (mu K)^2``."""
    return kappa ** (power + 1) * mu * (G * np.log(K) / (mu * K)) ** 2


def _at_steps(problem, x0, order, kappa: float, mu: float, G: float) -> np.ndarray:
    """Final gaps over the convex bound, ``(STEPS, M)``."""
    cap, gaps = 1 / (N * kappa * mu), []
    for multiple in MULTIPLES:
        K = round(multiple * kappa)
        etas = np.array([theory_step(N, K, mu, cap), cap])
        gaps.append(problem.final_gap(x0, K, etas, order) / bound(kappa, K, 0, mu, G))
    return np.array(gaps).T


def _hard(instance, kappa: float, power: int, G: float, slow: bool = True) -> float:
    """An instance at the theory's step over the bound; ``slow`` caps the step at ``1 / (n L)``, not ``1 / L``."""
    n, K = instance.problem.n, instance.epochs
    eta = np.array([theory_step(n, K, instance.mu, 1 / (instance.L * (n if slow else 1)))])
    gap = instance.problem.final_gap(instance.x0, K, eta, np.arange(n))[0]
    return float(gap / bound(kappa, K, power, instance.mu, G))


def _on_a_line(problem, x0, order, kappa: float, K: int, mu: float, G: float) -> float:
    """The gap over the explicit bound of the theorem in one dimension, ``2 exp(-2 c) Delta_0 + eta M G``."""
    eta = theory_step(N, K, mu, 1 / (kappa * mu))
    longest = np.abs(np.cumsum(problem.b[order, 0])).max()
    allowed = 2 * np.exp(-2 * eta * mu * N * K) * problem.gap(x0) + eta * longest * G
    return float(problem.final_gap(x0, K, np.array([eta]), order)[0] / allowed)


def _two_blocks(K: int, kappa: float, shares: tuple[float, float], params: Parameters) -> float:
    """The worst curvature's final gap from the optimum for noise in two blocks, over ``eta n G^2``.

    ``shares`` are the blocks' own curvatures over their mean.
    """
    n, mu, G = 1024, params.mu, params.G
    eta = theory_step(n, K, mu, 1 / (kappa * mu))
    first = np.arange(n)[:, None] < n // 2
    b, share = np.where(first, G, -G), np.where(first, *shares)
    problems = [DiagonalQuadratic(mu * h * share, b, params.device) for h in np.geomspace(1, kappa / max(shares), 60)]
    gaps = [problem.final_gap(np.zeros(1), K, np.array([eta]), np.arange(n))[0] for problem in problems]
    return float(max(gaps) / (eta * n * G**2))


def _few_hard(params: Parameters) -> dict[str, np.ndarray]:
    """Strongly convex and half-concave instances at the theory's step and small K, over the bound for the former."""
    n, kappa, mu, G = params.n, params.kappa, params.mu, params.G
    epochs = [K for K in (*FEW, 64) if 2 * np.log(K) * kappa <= n * K and kappa / 4 >= K]
    ratios = []
    for K in epochs:
        turning, half = (make(n, kappa, K, **params.constants) for make in (polygon, concave_half))
        eta = theory_step(n, K, mu, 1 / turning.L)
        radius = polygon_radius(eta, n, mu, turning.L, G)
        far = turning.level / 2 * (1 - eta * mu) ** (2 * n * K)  # the flattest coordinate, from the instance's start
        predicted = (turning.L + mu) / 4 * radius**2 + far
        allowed = bound(kappa, K, 1, mu, G)
        concave = _hard(half, kappa, 1, G, slow=False) if np.isfinite(half.level) else np.inf
        ratios.append((_hard(turning, kappa, 1, G, slow=False), concave, predicted / allowed))
    polygons, halves, predictions = np.array(ratios).reshape(-1, 3).T
    return {
        "few_epochs": np.array(epochs),
        "few_polygon": polygons,
        "few_half": halves,
        "few_predicted": predictions,
    }
