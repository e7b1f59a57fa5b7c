"""Experiments on predictors: the transfer bound on pairs, a synthetic classification task, and diabetes patients."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.individual_fairness_bradley_terry import fairness, learning
from companion.chapters.individual_fairness_bradley_terry.experiments.metric import Rates
from companion.chapters.individual_fairness_bradley_terry.learning import numpy
from companion.chapters.individual_fairness_bradley_terry.parameters import Parameters, random_numbers
from companion.chapters.individual_fairness_bradley_terry.triplets import drawn_triplets, eigenvalues
from companion.data import load_dataset
from companion.results import experiment

BOUNDS = ("with slack", "without slack")
ANCHORS = 6
N_TEST = 5000
METHODS = ("unconstrained", "Euclidean metric", "random metric", "true metric", "learned metric")
SHOWN = 1500  # pairs kept for the scatter

FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
SEX = FEATURES.index("sex")
HELD_OUT = 142
DIABETES_STEPS = 100
# What a physician's similarity is taken to rest on: bmi and s5 together, and blood pressure.
RELEVANT = {"bmi": (0.5, 0.0), "s5": (0.5, 0.0), "bp": (0.2, 0.5)}


# --- transfer ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transfer:
    """The transfer bound on pairs of individuals, for functions that are 1-Lipschitz in each learned metric."""

    #: numbers of triplets, ``(K,)``
    sizes: np.ndarray
    #: root, factor: the two slacks, ``(K, B')`` with B' of rate_seeds
    root: np.ndarray
    factor: np.ndarray
    #: the smaller of the two, likewise
    best: np.ndarray
    #: largest ``|f - f'| - d_{M*} - slack ||x - x'||`` with the smaller slack and with none, over all functions and
    #: ordinary pairs and over pairs in ``ker M*``, ``(2, 2, K, B)``
    excess: np.ndarray
    #: largest ``|f - f'| - d_{M*}`` per unit of ``||x - x'||`` for the extremal function, ``(K, B)``
    largest: np.ndarray
    #: the same on the worst pair in ``ker M*``, ``||P U||_op`` with the projection ``P`` on it, ``(K, B)``
    kernel: np.ndarray


@experiment
def transfer(params: Parameters, rates: Rates) -> Transfer:
    """C5: what a function that is fair for the learned metric does to pairs, in the true metric."""
    source = random_numbers(params, 6)
    truth, factors = (torch.from_numpy(array).to(params.device) for array in (rates.truth, rates.factor))
    slack = fairness.transfer_slack(factors, truth)
    truth, factors = truth[: params.seeds], factors[:, : params.seeds]
    x = torch.randn(2, params.pairs, params.d, generator=source, dtype=truth.dtype, device=truth.device)
    anchors = torch.randn(ANCHORS, params.rank, generator=source, dtype=truth.dtype, device=truth.device)
    frame = torch.linalg.qr(truth).Q
    kernel = torch.linalg.matrix_norm(factors - frame @ (frame.mT @ factors), 2)
    excess = torch.empty(2, 2, *factors.shape[:2], dtype=truth.dtype)
    largest = torch.empty(factors.shape[:2], dtype=truth.dtype)
    for b in range(len(truth)):  # one metric at a time, for the pairs fill the memory
        gap = x[1] - x[0]
        inside = gap - (gap @ frame[b]) @ frame[b].mT
        ends = torch.stack([x[1], x[0] + inside])
        for k, factor in enumerate(factors[:, b]):
            start = fairness.lipschitz_functions(x[0] @ factor, anchors)
            for kind, end in enumerate(ends):
                difference = (fairness.lipschitz_functions(end @ factor, anchors) - start).abs().amax(0)
                extremal = ((end - x[0]) @ factor).norm(dim=-1)  # |f - f'| of f = the learned distance to x'
                change = torch.maximum(difference, extremal)
                allowed, length = ((end - x[0]) @ truth[b]).norm(dim=-1), (end - x[0]).norm(dim=-1)
                excess[0, kind, k, b] = (change - allowed - slack.best[k, b] * length).max()
                excess[1, kind, k, b] = (change - allowed).max()
                if kind == 0:
                    largest[k, b] = ((extremal - allowed) / length).max()
    return Transfer(
        sizes=np.array(rates.sizes),
        root=numpy(slack.root),
        factor=numpy(slack.factor),
        best=numpy(slack.best),
        excess=numpy(excess),
        largest=numpy(largest),
        kernel=numpy(kernel),
    )


# --- a classification task with a protected direction -----------------------------------------------------------------


@dataclass(frozen=True)
class Downstream:
    """Classifiers fair for different metrics, judged by the true one."""

    #: as in ``METHODS``, ``(M,)``
    methods: tuple[str, ...]
    #: Lipschitz constants, the last one being ``lipschitz``, ``(G + 1,)``
    grid: np.ndarray
    #: on test data, ``(M, G + 1, B)``
    accuracy: np.ndarray
    #: mean ``|f(x + p) - f(x - p)|``, ``p`` the protected unit direction, likewise
    twin: np.ndarray
    #: mean of the positive part of ``|f - f'| - L d_{M*}`` over test pairs, with ``L`` of the grid, likewise
    excess: np.ndarray
    #: ``||P w||``, ``P`` the projection on ``ker M*``, likewise
    leak: np.ndarray
    #: numbers of triplets, ``(K,)``
    sizes: np.ndarray
    #: leak at ``lipschitz`` of the metric learned from each, and of as many random metrics, ``(2, K, B)``
    leak_m: np.ndarray
    #: distance, length: ``d_{M*}`` and ``||x - x'||`` of some pairs of the first batch entry, ``(P,)``
    distance: np.ndarray
    length: np.ndarray
    #: ``|f - f'|`` at ``lipschitz`` there, ``(M, P)``
    change: np.ndarray
    #: of the first batch entry
    slack: float
    #: the demanded constant
    lipschitz: float


@experiment
def downstream(params: Parameters, rates: Rates) -> Downstream:
    """C6: train fair classifiers for every metric and every L, then look at them through the true metric."""
    source = random_numbers(params, 7)
    truth = torch.from_numpy(rates.truth[: params.seeds]).to(params.device)
    batch, d, rank = truth.shape
    K = len(rates.sizes)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source, dtype=truth.dtype, device=truth.device)

    frame = torch.linalg.qr(truth).Q
    w = frame @ _unit(normal(batch, rank, 1))
    p = normal(batch, d, 1)
    p = _unit(p - frame @ (frame.mT @ p))
    direction = 2 * w + params.protected_strength * p
    x, x_test = normal(batch, params.n_train, d), normal(batch, N_TEST, d)
    y, y_test = (
        (
            torch.rand(z.shape[:2], generator=source, dtype=z.dtype, device=z.device)
            < torch.sigmoid(z @ direction)[..., 0]
        )
        for z in (x, x_test)
    )
    spread = eigenvalues(rank, params.scale, params.cond).to(truth.device).sqrt()
    random = torch.linalg.qr(normal(1 + K, batch, d, rank)).Q * spread
    identity = torch.eye(d, dtype=truth.dtype, device=truth.device).expand(batch, d, d)
    # in the true metric's units: alike in the directions that matter, but nothing is ignored
    euclidean = identity * spread.square().mean().sqrt()
    learned = torch.from_numpy(rates.at_default[: params.seeds]).to(truth.device)
    by_method = [identity, euclidean, random[0], truth, learned]
    grid = torch.tensor([*params.lipschitz_grid, params.lipschitz], dtype=truth.dtype, device=truth.device)
    # rows: methods x grid, then the learned metric at every size, then random metrics as many
    factors = torch.stack([fairness.pad(f, d) for f in by_method]).repeat_interleave(len(grid), 0)
    sizes = torch.from_numpy(rates.factor[:, : params.seeds]).to(truth.device)
    factors = torch.cat([factors, fairness.pad(sizes, d), fairness.pad(random[1:], d)])
    limit = grid.repeat(len(METHODS))
    limit[: len(grid)] = torch.inf
    limit = torch.cat([limit, grid[-1:].expand(2 * K)])
    fitted = fairness.fair_logistic(x, y.to(x.dtype), factors, limit)
    leak = fairness.leakage(fitted.w, truth)
    main = fairness.Predictors(fitted.w[..., : -2 * K], fitted.b[..., : -2 * K])
    right = ((main.scores(x_test) > 0) == y_test[..., None]).to(x.dtype).mean(1)
    twin = fairness.twin_gap(fitted, x_test, p)
    one, other = normal(2, params.pairs, d)
    slack = fairness.transfer_slack(learned, truth).best
    length = (one - other).norm(dim=-1)
    excess, kept = [], None
    for b in range(batch):
        single = fairness.Predictors(main.w[b : b + 1], main.b[b : b + 1])
        change = (single.probabilities(one[None]) - single.probabilities(other[None])).abs()[0]
        distance = ((one - other) @ truth[b]).norm(dim=-1)
        excess.append(fairness.violation(change, distance, grid.repeat(len(METHODS))))
        if b == 0:
            kept = [numpy(t[:SHOWN]) for t in (distance, length, change[:, len(grid) - 1 :: len(grid)])]

    def by_grid(values: torch.Tensor) -> np.ndarray:
        return numpy(values.mT.reshape(len(METHODS), len(grid), batch))

    return Downstream(
        methods=METHODS,
        grid=numpy(grid),
        accuracy=by_grid(right),
        twin=by_grid(twin[:, : -2 * K]),
        excess=by_grid(torch.stack(excess)),
        leak=by_grid(leak[:, : -2 * K]),
        sizes=np.array(rates.sizes),
        leak_m=numpy(leak[:, -2 * K :].mT.reshape(2, K, batch)),
        distance=kept[0],
        length=kept[1],
        change=kept[2].T,
        slack=float(slack[0]),
        lipschitz=params.lipschitz,
    )


def _unit(columns: torch.Tensor) -> torch.Tensor:
    return columns / columns.norm(dim=-2, keepdim=True)


# --- patients ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Diabetes:
    """Disease progression of real patients, with a metric learned from simulated answers about them."""

    #: as in ``METHODS``, ``(M,)``
    methods: tuple[str, ...]
    #: coefficients for standardized features, target in its standard deviations, ``(M, B, 10)``
    w: np.ndarray
    #: change of the prediction when the recorded sex is exchanged, in standard deviations, ``(M, B)``
    flip: np.ndarray
    #: on held-out patients, ``(M, B)``
    r2: np.ndarray
    #: relative error of the metric, mapped back to the features: learned with and without whitening in as many steps,
    #: ``(2, B)``
    error: np.ndarray


@experiment
def diabetes(params: Parameters) -> Diabetes:
    """C6, real features: triplets of patients, simulated answers, ridge regression on the representation."""
    source = random_numbers(params, 8)
    data = load_dataset("diabetes", normalize="none", dtype="float64")
    features = np.concatenate([data.x_train, data.x_test])
    target = np.concatenate([data.y_train, data.y_test])
    features = (features - features.mean(0)) / features.std(0)
    x = torch.from_numpy(features).to(params.device)
    y = torch.from_numpy((target - target.mean()) / target.std()).to(params.device)
    batch, (n, d) = params.diabetes_replicas, x.shape
    truth = torch.zeros(d, 2, dtype=x.dtype, device=x.device)
    for name, row in RELEVANT.items():
        truth[FEATURES.index(name)] = torch.tensor(row, dtype=x.dtype)
    truth = truth.expand(batch, d, 2)
    asked = drawn_triplets(truth, x, params.diabetes_triplets, params.label_flip, source)
    # whitening: triplets of x' = C x with C = Sigma^(-1/2); a metric for x' has the factor C U for x
    values, vectors = torch.linalg.eigh(x.mT @ x / n)
    whiten = vectors * values.rsqrt() @ vectors.mT
    white = type(asked)(asked.u @ whiten, asked.v @ whiten, asked.y)
    learned = whiten @ learning.learn(white, 2, DIABETES_STEPS)
    # the curvature grows with the squared covariance: without whitening the step has to shrink by as much
    plain = learning.learn(asked, 2, DIABETES_STEPS, learning.STEP / float(values[-1]) ** 2)
    eye = torch.eye(d, dtype=x.dtype, device=x.device).expand(batch, d, d)
    random = torch.randn(batch, d, 2, generator=source, dtype=x.dtype, device=x.device)
    train, test = fairness.split(batch, n, HELD_OUT, source)
    w = torch.stack([fairness.ridge(x[train], y[train], f) for f in (eye, eye, random, truth, learned)])
    # the Euclidean metric allows a ball of coefficients
    w[1] = fairness.least_squares_in_ball(x[train], y[train], w[-1].norm(dim=-1))
    rest = y[test] - y[train].mean(-1, keepdim=True)
    fitted = ((x[test] - x[train].mean(1, keepdim=True)) @ w[..., None])[..., 0]
    r2 = 1 - (rest - fitted).square().sum(-1) / (y[test] - y[test].mean(-1, keepdim=True)).square().sum(-1)
    span = x[:, SEX].max() - x[:, SEX].min()
    both = torch.stack([learned, plain])
    return Diabetes(
        methods=METHODS,
        w=numpy(w),
        flip=numpy(w[..., SEX].abs() * span),
        r2=numpy(r2),
        error=numpy(learning.metric_error(both, truth)),
    )
