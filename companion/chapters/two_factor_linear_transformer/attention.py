"""Linear attention on prompts of in-context linear regression, trained by gradient descent."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Prompts:
    """Contexts with a query each."""

    #: ``(B, N, d)``
    x: Tensor
    #: labels of the context, ``(B, N)``
    y: Tensor
    #: ``(B, d)``
    query: Tensor
    #: labels of the queries, ``(B,)``
    target: Tensor

    def __getitem__(self, chosen: slice | Tensor) -> "Prompts":
        return Prompts(self.x[chosen], self.y[chosen], self.query[chosen], self.target[chosen])

    @property
    def summary(self) -> Tensor:
        """``h = mean of y_i x_i`` over the context, ``(B, d)``: all that linear attention sees of it."""
        return (self.y[..., None] * self.x).mean(1)


def draw_prompts(
    rng: np.random.Generator, count: int, context: int, d: int, *, whitened: bool, device: str = "cpu"
) -> Prompts:
    """Prompts with ``y = <beta, x>``, a beta each; the signs of the queries' labels alternate.

    Parameters
    ----------
    whitened : contexts with ``mean of x_i x_i^T = I``, which needs ``context >= d``
    """
    x, query, beta = rng.normal(size=(count, context, d)), rng.normal(size=(count, d)), rng.normal(size=(count, d))
    if whitened:
        x = np.linalg.qr(x)[0] * np.sqrt(context)
    target = (query * beta).sum(1)
    flip = np.sign(target) * (-1.0) ** np.arange(count)
    beta, target = beta * flip[:, None], target * flip
    y = (x * beta[:, None]).sum(2)
    return Prompts(*(torch.tensor(array, device=device) for array in (x, y, query, target)))


class LinearAttention(nn.Module):
    """``y_hat = a mean_i y_i x_i^T W x_query``, a scalar value and a key-query matrix.

    Parameters
    ----------
    a : the value
    W : the matrix, ``(d, d)``, or a number b for ``W = b I``
    """

    def __init__(self, a: float, W: Tensor):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64, device=W.device))
        self.W = nn.Parameter(W.clone())

    def forward(self, prompts: Prompts) -> Tensor:
        """Predictions for the queries, ``(B,)``."""
        query = prompts.query @ self.W.T if self.W.ndim else self.W * prompts.query
        scores = (prompts.x * query[:, None]).sum(2)
        return self.a * (prompts.y * scores).mean(1)


def train(model: LinearAttention, batches: list[Prompts], lr: float) -> Iterator:
    """Gradient descent on half the mean square error.

    One step for each batch; yields the model before each and after the last.
    """
    weights = list(model.parameters())
    for batch in batches:
        yield model
        loss = ((model(batch) - batch.target) ** 2).mean() / 2
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= lr * gradient
    yield model


@dataclass(frozen=True)
class Reduction:
    """How a model's parameters become the two factors ``u`` and ``v``, and a step size ``mu``."""

    #: ``A``, the one direction in which W moves, ``(d, d)``; a number for ``W = b I``
    direction: Tensor
    #: ``sqrt(s / |y|)`` with ``|u| = scale |a|``
    scale: float
    #: of ``u``
    sign: float
    #: ``mu / lr``
    steepness: float

    def factors(self, model: LinearAttention) -> tuple[float, float]:
        """``(u, v)``."""
        b = (model.W.detach() * self.direction).sum()
        return self.sign * self.scale * float(model.a.detach()), self.scale * float(b)

    def rest(self, model: LinearAttention) -> Tensor:
        """The part of W that never moves."""
        W = model.W.detach()
        return W - (W * self.direction).sum() * self.direction

    def model(self, u: float, v: float, rest: Tensor | float = 0.0) -> LinearAttention:
        """The model with these factors."""
        return LinearAttention(self.sign * u / self.scale, v / self.scale * self.direction + rest)


def reduce_prompt(prompts: Prompts) -> Reduction:
    """The reduction of a free W on the first of the prompts.

    With ``s = |h| |x|``: ``A = h x^T / s``, ``u = sign(y) sqrt(s/|y|) a``, ``v = sqrt(s/|y|) <W, A>``,
    ``mu = lr s |y|``.
    """
    h, query, y = prompts.summary[0], prompts.query[0], float(prompts.target[0])
    s = float(h.norm() * query.norm())
    return Reduction(torch.outer(h, query) / s, (s / abs(y)) ** 0.5, float(np.sign(y)), s * abs(y))


def _moments(prompts: Prompts) -> tuple[Tensor, float, float]:
    """``s = h^T x`` of each prompt, and the means of ``s y`` and ``s^2``."""
    s = (prompts.summary * prompts.query).sum(1)
    return s, float((s * prompts.target).mean()), float((s * s).mean())


def reduce_batch(prompts: Prompts) -> Reduction:
    """The reduction of ``W = b I`` on a batch, with ``s = h^T x`` for each prompt: ``mu = lr |mean(s y)|``.

    The loss is ``mean(s^2)/2 (a b - w)^2`` plus a constant, with ``w = mean(s y) / mean(s^2)``.
    """
    s, cross, square = _moments(prompts)
    one = torch.ones((), dtype=s.dtype, device=s.device)
    return Reduction(one, (square / abs(cross)) ** 0.5, float(np.sign(cross)), abs(cross))


def common_steepness(batch: Prompts, prompts: Prompts) -> float:
    """``mu / lr`` of a step on a batch that wants what all prompts want: ``|w| mean(s^2)``, mean over the batch."""
    _, cross, square = _moments(prompts)
    return abs(cross / square) * _moments(batch)[2]
