"""Ridge softmax regression, passed over in several orders at once."""

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from companion.analysis.finite_sum import orders

RIDGE = 0.005


def objective(flat: np.ndarray, X: np.ndarray, Y: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean loss with ridge and its gradient, at weights ``(classes * features,)``; ``Y`` is one-hot."""
    W = flat.reshape(Y.shape[1], X.shape[1])
    scores = X @ W.T
    log_p = scores - logsumexp(scores, axis=1, keepdims=True)
    grad = (np.exp(log_p) - Y).T @ X / len(X) + RIDGE * W
    return float(-(Y * log_p).sum() / len(X) + RIDGE / 2 * (W**2).sum()), grad.ravel()


def solve(X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, float]:
    """The optimal weights, ``(classes, features)``, and the optimal value."""
    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(objective, np.zeros(Y.shape[1] * X.shape[1]), (X, Y), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(Y.shape[1], X.shape[1]), float(found.fun)


def gradients(W: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Every image's gradient at ``W``, ``(n, classes * features)``."""
    scores = X @ W.T
    error = np.exp(scores - logsumexp(scores, axis=1, keepdims=True)) - Y
    return (error[:, :, None] * X[:, None, :] + RIDGE * W).reshape(len(X), -1)


def visits(vectors: np.ndarray, epochs: int, runs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Which image each step visits, by method, ``(runs, epochs, n)``; the two fixed orders have one run.

    Parameters
    ----------
    vectors : the images' gradients at the optimum, ``(n, ...)``, the images sorted by class
    epochs, runs : passes, and independent runs of the random methods
    """
    n = len(vectors)
    return {
        "sorted by class": np.tile(np.arange(n), (1, epochs, 1)),
        "herded": np.tile(orders("herded", n, vectors=vectors)[0], (1, epochs, 1)),
        "reshuffled": np.stack([orders("reshuffled", n, epochs, rng) for _ in range(runs)]),
        "with replacement": rng.integers(n, size=(runs, epochs, n)),
    }


def passes(X: np.ndarray, Y: np.ndarray, visited: np.ndarray, etas: np.ndarray, device: str) -> np.ndarray:
    """The objective after each epoch, ``(runs, E, K)``, of all runs and steps at once; ``visited`` ``(runs, K, n)``."""
    X, Y = torch.tensor(X, device=device), torch.tensor(Y, device=device)
    eta = torch.tensor(etas, device=device)[None, :, None]
    W = torch.zeros((len(visited), len(etas), Y.shape[1], X.shape[1]), dtype=X.dtype, device=device)
    visited = torch.tensor(visited, device=device)
    after = []
    for k in range(visited.shape[1]):
        for i in visited[:, k].T:
            x = X[i]
            error = torch.softmax(torch.einsum("recf,rf->rec", W, x), dim=-1) - Y[i][:, None]
            W.mul_(1 - eta[..., None] * RIDGE).sub_((eta * error)[..., None] * x[:, None, None])
        scores = torch.einsum("recf,nf->renc", W, X)
        loss = -(Y * torch.log_softmax(scores, dim=-1)).sum(-1).mean(-1) + RIDGE / 2 * (W**2).sum((-1, -2))
        after.append(loss)
    return torch.stack(after, dim=-1).cpu().numpy()
