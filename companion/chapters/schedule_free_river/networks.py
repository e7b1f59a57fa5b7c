"""Tanh networks on images under Schedule-Free full-batch training, and their sharpness at x and at y.

    f(u) = W_3 tanh(W_2 tanh(W_1 u)),      L = sum_i ||f(u_i) - e_{label(i)}||^2 / n.

Runs are rows of one matrix ``(R, P)``. For SF-AdamW the sharpness is that of ``D^{-1/2} H D^{-1/2}``, with
``D = sqrt(v_hat) + eps`` the diagonal by which steps are divided.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits

from companion.analysis.curvature import gradient, hessian_operator, lanczos, split
from companion.chapters.schedule_free_river.schedule_free import EPS, adam_direction, advance


def digits(count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of digits, in 0 to 1 and centred, ``(n, 64)``, and their classes as unit vectors ``(n, 10)``."""
    data = load_digits()
    chosen = rng.permutation(len(data.target))[:count]
    images = data.data[chosen] / 16
    return torch.tensor(images - images.mean(0)), torch.eye(10, dtype=torch.float64)[torch.tensor(data.target[chosen])]


class SquaredLoss:
    """``theta (R, P) -> (R,)``: the loss of R networks of these widths on all images."""

    def __init__(self, images: torch.Tensor, targets: torch.Tensor, hidden: Sequence[int]):
        widths = [images.shape[1], *hidden, targets.shape[1]]
        self.images, self.targets = images, targets
        self.shapes = [(after, before) for before, after in itertools.pairwise(widths)]

    def start(self, generator: torch.Generator) -> torch.Tensor:
        """Gaussian layers of variance one over their inputs, ``(1, P)``."""
        layers = [
            torch.randn(shape, generator=generator, dtype=torch.float64) / shape[1] ** 0.5 for shape in self.shapes
        ]
        return torch.cat([layer.flatten() for layer in layers])[None].to(self.images.device)

    def __call__(self, theta: torch.Tensor) -> torch.Tensor:
        """The losses ``(R,)``."""
        layers = split(theta, self.shapes)
        h = self.images.expand(len(theta), -1, -1)
        for layer in layers[:-1]:
            h = torch.tanh(h @ layer.mT)
        return ((h @ layers[-1].mT - self.targets) ** 2).sum(-1).mean(-1)


@dataclass(frozen=True)
class Edge:
    """What training at the edge of stability left behind."""

    #: the steps at which the rest was measured, ``(K,)``
    steps: np.ndarray
    #: sharpness times ``lr / 2`` at x and at y, preconditioned where steps are: ``(2, R, K)``
    sharpness: np.ndarray
    #: without the preconditioner, at y, ``(R, K)``
    plain: np.ndarray
    #: loss at x and at y, ``(2, R, K)``
    loss: np.ndarray


@torch.no_grad()
def train(
    loss: SquaredLoss,
    start: torch.Tensor,
    lr: torch.Tensor,
    c: torch.Tensor,
    beta: torch.Tensor,
    adaptive: torch.Tensor,
    beta2: float,
    warm_up: int,
    every: int,
    products: int,
    generator: torch.Generator,
) -> Edge:
    """Schedule-Free training of all runs, with a look at the sharpness after ``every`` so many steps.

    Parameters
    ----------
    start : ``(R, P)``
    lr, beta, adaptive : ``(R, 1)``; ``adaptive`` where steps are Adam's
    c : averaging coefficients ``(T, R, 1)``
    warm_up : steps over which the rates rise linearly
    products : with the Hessian for each look; eigenvectors are carried on from look to look
    generator : of the first guess of the eigenvectors
    """
    x = y = z = start
    v = torch.zeros_like(start)
    guess = torch.randn(start.shape, generator=generator, dtype=torch.float64).to(start.device)
    top = [guess, guess, guess]
    steps, sharpness, plain, losses = [], [], [], []
    for k, c_k in enumerate(c, 1):
        slope = gradient(loss, y)
        direction, v = adam_direction(slope, v, beta2, k)
        direction = torch.where(adaptive, direction, slope)
        x, z, y = advance(x, z, direction, min(1.0, k / warm_up) * lr, c_k, beta)
        if k % every:
            continue
        scale = torch.where(adaptive, ((v / (1 - beta2**k)).sqrt() + EPS) ** -0.5, 1.0)
        found = []
        for place, (point, by) in enumerate(((x, scale), (y, scale), (y, torch.ones_like(scale)))):
            # A run that has diverged has no sharpness; its place is taken by zero, for the solver's sake.
            sane = (point.isfinite() & by.isfinite()).all(dim=1, keepdim=True) & loss(point).isfinite()[:, None]
            product = hessian_operator(loss, torch.where(sane, point, 0.0))
            by = torch.where(sane, by, 1.0)
            pair = lanczos(lambda w, product=product, by=by: by * product(by * w), top[place], products)
            top[place] = pair.vectors[:, 0]
            found.append(torch.where(sane[:, 0], pair.values[:, 0] * lr[:, 0] / 2, torch.nan))
        steps.append(k)
        sharpness.append(torch.stack(found[:2]))
        plain.append(found[2])
        losses.append(torch.stack([loss(x), loss(y)]))
    kept = (torch.stack(some, dim=-1).cpu().numpy() for some in (sharpness, plain, losses))
    return Edge(np.array(steps), *kept)
