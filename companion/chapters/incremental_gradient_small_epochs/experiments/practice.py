"""What it means in practice: a common start, orders that help, and a real problem with its images sorted by class."""

from dataclasses import dataclass

import numpy as np

from companion.analysis.finite_sum import herding_constant, orders
from companion.chapters.incremental_gradient_small_epochs.instances import (
    Instance,
    concave_half,
    identical_hessians,
    polygon,
)
from companion.chapters.incremental_gradient_small_epochs.parameters import (
    Parameters,
    child_seed,
    igd_order,
    numbers,
)
from companion.chapters.incremental_gradient_small_epochs.random_problems import (
    heterogeneity,
    heterogeneous_problem,
    random_start,
    sorted_order,
)
from companion.chapters.incremental_gradient_small_epochs.softmax import (
    RIDGE,
    gradients,
    objective,
    passes,
    solve,
    visits,
)
from companion.chapters.incremental_gradient_small_epochs.tuning import Tuner, reshuffled_gaps
from companion.data import load_dataset
from companion.results import experiment


@dataclass(frozen=True)
class CommonStart:
    """Tuned final gaps from one and the same start; rows are the kinds of components (``KINDS``)."""

    epochs: np.ndarray  # (K,)
    kappa: float
    n: int
    initial: np.ndarray  # initial gaps in G^2 / (2 mu), (3, K)
    igd: np.ndarray  # final gaps over the initial gap, (3, K); the same for SGD, and for RR where it is simulated
    sgd: np.ndarray
    rr: np.ndarray
    reach: np.ndarray  # IGD's best step as a share of 1 / (mu n K), (3, K)


@experiment
def common_start(params: Parameters) -> CommonStart:
    """All instances started at distance ``G / mu`` along the flattest direction."""
    epochs, tuning = sorted({K for K in params.epochs if params.kappa >= K}), params.tuning
    visited = igd_order(params, params.n)
    initial, igd, sgd, rr, reach = np.full((5, 3, len(epochs)), np.nan)
    for row, make in enumerate((identical_hessians, polygon, concave_half)):
        for column, K in enumerate(epochs):
            instance = make(params.n, params.kappa, K, **params.constants)
            x0 = instance.common_start(params.G)
            gap = float(instance.problem.gap(x0))
            best = tuning.igd(instance, visited, x0)
            initial[row, column] = gap / (params.G**2 / (2 * params.mu))
            igd[row, column], reach[row, column] = best.gap / gap, best.eta * params.mu * params.n * K
            sgd[row, column] = tuning.sgd(instance, x0).gap / gap
            if min(params.rr_epochs, params.kappa / 4) >= K:
                gaps, _ = reshuffled_gaps(instance, params.rr_seeds, child_seed(params, 7, K), x0)
                rr[row, column] = gaps.mean(0).min() / gap
    return CommonStart(np.array(epochs), params.kappa, params.n, initial, igd, sgd, rr, reach)


# --- orders that help ---------------------------------------------------------------------------------------------

HERDED_ORDERS = ("herded", "one random order", "sorted")


@dataclass(frozen=True)
class Herding:
    """Orders (``HERDED_ORDERS``) against SGD on random strongly convex problems with few epochs."""

    K: int
    n: int
    d: int
    kappa: float
    ratios: np.ndarray  # tuned gap over SGD's, (problems, orders)
    constants: np.ndarray  # herding constants of the orders, (problems, orders)
    heterogeneity: np.ndarray  # how much the Hessians of a problem differ, (problems,)


@experiment
def herding(params: Parameters) -> Herding:
    """Orders on random problems in 8 dimensions with ``K = kappa / 4``, each kept for all epochs."""
    rng = numbers(params, 9)
    n, d, kappa, K = params.n, 8, params.kappa, max(1, round(params.kappa / 4))
    coarse = Tuner(min(60, params.step_points))
    ratios, constants, differences = [], [], []
    for _ in range(max(1, params.problems // 4)):
        problem = heterogeneous_problem(rng, n, d, params.mu, kappa * params.mu, params.G, params.device)
        x0 = random_start(rng, problem, params.G**2 / (2 * params.mu))
        instance = Instance(problem, x0, 1.0, params.mu, kappa * params.mu, K)
        tried = (
            orders("herded", n, vectors=-problem.b)[0],
            rng.permutation(n),
            sorted_order(rng, problem),
        )
        against = coarse.sgd(instance).gap
        ratios.append([coarse.igd(instance, visited).gap / against for visited in tried])
        constants.append([herding_constant(-problem.b, visited) for visited in tried])
        differences.append(heterogeneity(problem))
    return Herding(K, n, d, kappa, np.array(ratios), np.array(constants), np.array(differences))


# --- a real problem -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Ridge logistic regression on digits: best gap over constant steps after each epoch."""

    epochs: np.ndarray  # (K,)
    kappa: float  # a bound on the condition number
    n: int  # images
    names: tuple[str, ...]  # methods
    gaps: np.ndarray  # means over the runs over the gap of the start, (methods, K)
    changes: np.ndarray  # how often the class changes within a pass, over the least possible, (methods,)
    distinct: np.ndarray  # share of the images that a pass visits, (methods,)


@experiment
def digits(params: Parameters) -> Digits:
    """Softmax regression with ridge on real images, passed over in four orders, each with its best constant step."""
    data = load_dataset("digits", n_train=params.images, normalize="unit", flatten=True, dtype="float64", seed=0)
    X = data.x_train / np.linalg.norm(data.x_train, axis=1, keepdims=True)
    by_class = np.argsort(data.y_train, kind="stable")
    X, y = np.hstack([X, np.ones((len(X), 1))])[by_class], data.y_train[by_class]
    Y = np.eye(data.n_classes)[y]
    optimum, least = solve(X, Y)
    visited = visits(gradients(optimum, X, Y), params.image_epochs, 3, numbers(params, 10))
    L = 0.5 * float((X**2).sum(1).max()) + RIDGE
    values = passes(X, Y, np.concatenate(list(visited.values())), np.geomspace(0.02, 2, 10) / L, params.device) - least
    ends = np.cumsum([len(v) for v in visited.values()])[:-1]
    start = objective(np.zeros(Y.shape[1] * X.shape[1]), X, Y)[0] - least
    return Digits(
        epochs=np.arange(1, params.image_epochs + 1),
        kappa=L / RIDGE,
        n=len(X),
        names=tuple(visited),
        gaps=np.array([runs.mean(0).min(0) for runs in np.split(values, ends)]) / start,
        changes=np.array([(np.diff(y[v]) != 0).sum(-1).mean() for v in visited.values()]) / (len(np.unique(y)) - 1),
        distinct=np.array([np.mean([len(np.unique(p)) for r in v for p in r]) for v in visited.values()]) / len(X),
    )
