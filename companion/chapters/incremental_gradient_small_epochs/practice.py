"""What it means in practice: a common start, orders that help, and a real problem with its images sorted by class."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from companion.analysis.finite_sum import FiniteSumQuadratic, herding_constant, orders
from companion.chapters.incremental_gradient_small_epochs.instances import (
    Instance,
    concave_half,
    identical_hessians,
    polygon,
)
from companion.chapters.incremental_gradient_small_epochs.settings import (
    Parameters,
    reshuffled_gaps,
    tuned_igd,
    tuned_sgd,
)
from companion.data import load_dataset


@dataclass(frozen=True)
class CommonStart:
    """Tuned final gaps from one and the same start, over the initial gap; rows are the kinds of components, ``(3, K)``.

    ``reach`` is IGD's best step as a share of ``1 / (mu n K)``.
    """

    epochs: np.ndarray
    kappa: float
    igd: np.ndarray
    sgd: np.ndarray
    rr: np.ndarray
    reach: np.ndarray


def common_start(params: Parameters) -> CommonStart:
    """All instances started at distance ``G / mu`` along the flattest direction."""
    epochs = sorted({K for K in params.epochs if params.kappa >= K})
    makers = (identical_hessians, polygon, concave_half)
    igd, sgd, rr, reach = np.full((4, 3, len(epochs)), np.nan)
    for row, make in enumerate(makers):
        for column, K in enumerate(epochs):
            instance = make(params.n, params.kappa, K, **params.constants)
            x0 = instance.common_start(params.G)
            initial = float(instance.problem.gap(x0))
            best = tuned_igd(instance, params, x0=x0)
            igd[row, column], reach[row, column] = best.gap / initial, best.eta * params.mu * params.n * K
            sgd[row, column] = tuned_sgd(instance, params, x0=x0).gap / initial
            if min(params.rr_epochs, params.kappa / 4) >= K:
                rr[row, column] = reshuffled_gaps(instance, params, stream=7, x0=x0)[0].mean(0).min() / initial
    return CommonStart(np.array(epochs), params.kappa, igd, sgd, rr, reach)


# --- orders that help ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Herding:
    """Orders against SGD in the small-epoch regime.

    Attributes
    ----------
    identical : tuned gap over SGD's on I1 for every small K, herded, ``(K,)``; identical_blocked: the blocked order
    epochs : those K
    names : orders tried on the random problems
    ratios : tuned gap over SGD's on random problems, ``(problems, orders)``
    constants : herding constants of the orders, ``(problems, orders)``
    """

    epochs: np.ndarray
    identical: np.ndarray
    identical_blocked: np.ndarray
    K: int
    names: tuple[str, ...]
    ratios: np.ndarray
    constants: np.ndarray


def heterogeneous_problem(
    rng: np.random.Generator, n: int, d: int, mu: float, L: float, G: float, device: str = "cpu"
) -> FiniteSumQuadratic:
    """Strongly convex components ``R (I + D_i) R^T`` with ``R R^T`` of eigenvalues ``mu`` to ``L / 2`` and random
    symmetric ``D_i`` of norm a half or so: no order can average the Hessians away.
    """
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
    R = axes * np.sqrt(np.geomspace(mu, L / 2, d))
    D = rng.normal(size=(n, d, d))
    D = D + D.transpose(0, 2, 1)
    D /= 2 * np.linalg.norm(D, 2, axis=(1, 2))[:, None, None]
    D -= D.mean(0)
    b = rng.normal(size=(n, d))
    b -= b.mean(0)
    return FiniteSumQuadratic(R @ (np.eye(d) + D) @ R.T, G * b / np.linalg.norm(b, axis=1).max(), device)


def herding(params: Parameters) -> Herding:
    """Herded orders on I1, and on random heterogeneous problems of 256 components in 8 dimensions."""
    # Below 4 kappa / n epochs even SGD cannot reach the optimum with steps of at most 2 / L.
    epochs = [K for K in params.small_epochs if params.n * K >= 4 * params.kappa]
    instances = [identical_hessians(params.n, params.kappa, K, **params.constants) for K in epochs]
    sgd = np.array([tuned_sgd(instance, params).gap for instance in instances])
    herded = [orders("herded", params.n, vectors=-instance.problem.b)[0] for instance in instances]
    blocked = np.arange(params.n)
    pairs = list(zip(instances, herded, strict=True))
    rng = np.random.default_rng(params.child_seed(9))
    n, d, K, kappa = 256, 8, 64, 256.0
    names = ("herded", "one random order", "sorted")
    ratios, constants = [], []
    coarse = params.model_copy(update={"step_points": 60})
    for _ in range(max(1, params.problems // 4)):
        problem = heterogeneous_problem(rng, n, d, params.mu, kappa * params.mu, params.G, params.device)
        direction = rng.normal(size=d)
        x0 = direction * params.G / np.sqrt(params.mu * direction @ problem.mean_hessian @ direction)
        instance = Instance(problem, x0, 1.0, params.mu, kappa * params.mu, K)
        tried = (
            orders("herded", n, vectors=-problem.b)[0],
            rng.permutation(n),
            np.argsort(problem.b @ rng.normal(size=d)),
        )
        against = tuned_sgd(instance, coarse).gap
        ratios.append([tuned_igd(instance, coarse, visited).gap / against for visited in tried])
        constants.append([herding_constant(-problem.b, visited) for visited in tried])
    return Herding(
        epochs=np.array(epochs),
        identical=np.array([tuned_igd(instance, params, visited).gap for instance, visited in pairs]) / sgd,
        identical_blocked=np.array([tuned_igd(instance, params, blocked).gap for instance in instances]) / sgd,
        K=K,
        names=names,
        ratios=np.array(ratios),
        constants=np.array(constants),
    )


# --- a real problem -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Ridge logistic regression on digits sorted by class: best gap over constant steps after each epoch.

    Attributes
    ----------
    epochs : ``(K,)``; kappa : a bound on the condition number; n : images
    names : methods; gaps : ``(methods, K)``, means over the runs, over the gap of the start
    """

    epochs: np.ndarray
    kappa: float
    n: int
    names: tuple[str, ...]
    gaps: np.ndarray


RIDGE = 0.005


def digits(params: Parameters) -> Digits:
    """Softmax regression with ridge on real images, passed over in four orders, each with its best constant step."""
    data = load_dataset("digits", n_train=params.images, normalize="unit", flatten=True, dtype="float64", seed=0)
    X = data.x_train / np.linalg.norm(data.x_train, axis=1, keepdims=True)
    by_class = np.argsort(data.y_train, kind="stable")
    X, y = np.hstack([X, np.ones((len(X), 1))])[by_class], data.y_train[by_class]
    n, features = X.shape
    classes, K, runs = data.n_classes, params.image_epochs, 3
    Y = np.eye(classes)[y]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W = flat.reshape(classes, features)
        scores = X @ W.T
        log_p = scores - logsumexp(scores, axis=1, keepdims=True)
        grad = (np.exp(log_p) - Y).T @ X / n + RIDGE * W
        return float(-(Y * log_p).sum() / n + RIDGE / 2 * (W**2).sum()), grad.ravel()

    solved = minimize(objective, np.zeros(classes * features), jac=True, method="L-BFGS-B",
                      options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9})  # fmt: skip
    optimum = solved.x.reshape(classes, features)
    scores = X @ optimum.T
    probabilities = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    at_optimum = (probabilities - Y)[:, :, None] * X[:, None, :] + RIDGE * optimum
    rng = np.random.default_rng(params.child_seed(10))
    visited = np.concatenate([
        np.tile(np.arange(n), (1, K, 1)),
        np.tile(orders("herded", n, vectors=at_optimum.reshape(n, -1))[0], (1, K, 1)),
        np.stack([orders("reshuffled", n, K, rng) for _ in range(runs)]),
        rng.integers(n, size=(runs, K, n)),
    ])  # fmt: skip
    L = 0.5 * float((X**2).sum(1).max()) + RIDGE
    gaps = _softmax_passes(X, y, visited, np.geomspace(0.02, 2, 10) / L, params.device) - solved.fun
    best = [gaps[rows].mean(0).min(0) for rows in ([0], [1], range(2, 2 + runs), range(2 + runs, 2 + 2 * runs))]
    start = objective(np.zeros(classes * features))[0] - solved.fun
    return Digits(
        epochs=np.arange(1, K + 1),
        kappa=L / RIDGE,
        n=n,
        names=("sorted by class", "herded", "reshuffled", "with replacement"),
        gaps=np.array(best) / start,
    )


def _softmax_passes(X: np.ndarray, y: np.ndarray, visited: np.ndarray, etas: np.ndarray, device: str) -> np.ndarray:
    """The objective after each epoch, ``(runs, E, K)``, of all runs and steps at once; ``visited`` ``(runs, K, n)``."""
    X, y = torch.tensor(X, device=device), torch.tensor(y, device=device)
    runs, K = visited.shape[:2]
    classes = int(y.max()) + 1
    Y = torch.eye(classes, dtype=X.dtype, device=device)[y]
    eta = torch.tensor(etas, device=device)[None, :, None]
    W = torch.zeros((runs, len(etas), classes, X.shape[1]), dtype=X.dtype, device=device)
    visited = torch.tensor(visited, device=device)
    after = []
    for k in range(K):
        for i in visited[:, k].T:
            x = X[i]
            error = torch.softmax(torch.einsum("recf,rf->rec", W, x), dim=-1) - Y[i][:, None]
            W.mul_(1 - eta[..., None] * RIDGE).sub_((eta * error)[..., None] * x[:, None, None])
        scores = torch.einsum("recf,nf->renc", W, X)
        loss = -(Y * torch.log_softmax(scores, dim=-1)).sum(-1).mean(-1) + RIDGE / 2 * (W**2).sum((-1, -2))
        after.append(loss)
    return torch.stack(after, dim=-1).cpu().numpy()
