"""Tanh networks with one output on squared loss, many at once, and the tangent kernel that gives their sharpness.

    f(x) = W_D tanh(W_{D-1} ... tanh(W_1 x)),      L = sum_i (f(x_i) - y_i)^2 / (2 N).

Runs are batched: layers ``W_l`` of shape ``(R, out, in)``, inputs ``(R, N, d)``, labels ``(R, N)``. Where a network
fits its labels, the Hessian of L is ``J^T J / N``, with the nonzero eigenvalues of the tangent kernel ``J J^T / N``.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from companion.analysis import curvature
from companion.models.stepping import Stepper

Weights = tuple[torch.Tensor, ...]

CHECK = 50  # steps between two looks at the loss, at the least


def starts(runs: int, sizes: Sequence[int], fan_in: int, generator: torch.Generator) -> Weights:
    """Gaussian layers of variance one over the number of inputs, which for the first is ``fan_in``.

    Inputs in coordinates of their row space have fewer entries than the images; a Gaussian layer on the images is a
    Gaussian layer on the coordinates, with the variance that it has on the images.
    """
    layers = []
    for k, (width, out) in enumerate(itertools.pairwise(sizes)):
        entries = torch.randn(runs, out, width, generator=generator, dtype=torch.float64)
        layers.append(entries / (width if k else fan_in) ** 0.5)
    return tuple(layers)


def forward(weights: Weights, X: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Outputs ``(R, N)``, and what each layer was given, ``(R, N, width)``."""
    given = [X]
    for W in weights[:-1]:
        given.append(torch.tanh(given[-1] @ W.mT))
    return (given[-1] @ weights[-1].mT)[..., 0], given


def gradient(weights: Weights, given: list[torch.Tensor], slope: torch.Tensor) -> Weights:
    """Gradients of the layers, from ``slope = dL/df`` of shape ``(R, N)`` backwards."""
    back, found = slope[..., None], []
    for layer in reversed(range(len(weights))):
        found.append(back.mT @ given[layer])
        if layer:
            back = (back @ weights[layer]) * (1 - given[layer] ** 2)
    return tuple(found[::-1])


def tangent_kernel(weights: Weights, X: torch.Tensor) -> torch.Tensor:
    """``J J^T``, ``(R, N, N)``: summed over layers, the Gram matrix of the slopes times
    that of the inputs, entry by entry.
    """
    outputs, given = forward(weights, X)
    back, kernel = torch.ones_like(outputs)[..., None], 0
    for layer in reversed(range(len(weights))):
        kernel = kernel + (back @ back.mT) * (given[layer] @ given[layer].mT)
        if layer:
            back = (back @ weights[layer]) * (1 - given[layer] ** 2)
    return kernel


def kernel_sharpness(weights: Weights, X: torch.Tensor) -> torch.Tensor:
    """Largest eigenvalue of ``J J^T / N``: ``(R,)``; NaN where a run has diverged."""
    kernel = tangent_kernel(tuple(W.double() for W in weights), X.double())
    finite = kernel.isfinite().all(-1).all(-1)
    top = torch.linalg.eigvalsh(torch.where(finite[:, None, None], kernel, 0))[:, -1] / X.shape[1]
    return torch.where(finite, top, torch.nan)


def kernel_difficulty(weights: Weights, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``((y - f)^T K^{-1} (y - f))^(1/2)`` with outputs f and tangent kernel K of these weights: ``(R,)``.

    How far the weights have to move if the network stays linear in them.
    """
    values, vectors = torch.linalg.eigh(tangent_kernel(weights, X))
    missing = vectors.mT @ (y - forward(weights, X)[0])[..., None]
    # Images that are there twice would make the kernel singular.
    floor = torch.finfo(values.dtype).eps * X.shape[1] * values[:, -1:]
    return (missing[..., 0] ** 2 / values.clamp(min=floor)).sum(-1).sqrt()


def hessian_sharpness(weights: Weights, X: torch.Tensor, y: torch.Tensor, products: int) -> torch.Tensor:
    """Largest eigenvalue of the whole Hessian, the residual's part included, by Lanczos: ``(R,)``."""
    shapes = [W.shape[1:] for W in weights]
    theta = torch.cat([W.flatten(1) for W in weights], dim=1).double()

    def loss(rows: torch.Tensor) -> torch.Tensor:
        outputs, _ = forward(tuple(curvature.split(rows, shapes)), X)
        return (outputs - y).square().mean(-1) / 2

    generator = torch.Generator().manual_seed(0)
    start = torch.randn(theta.shape, generator=generator, dtype=torch.float64).to(theta)
    return curvature.sharpness(loss, theta, start, products).value


@dataclass(frozen=True)
class Trained:
    """Networks after training."""

    #: layers, in double precision
    weights: Weights
    #: whether each came down to the loss that was asked for, ``(R,)``
    reached: torch.Tensor
    #: sharpness by the kernel at the start and after every ``check`` steps, ``(looks, R)``, where it was watched
    path: torch.Tensor | None


def train(
    weights: Weights,
    X: torch.Tensor,
    y: torch.Tensor,
    lr: torch.Tensor,
    target: torch.Tensor,
    most: int,
    batch: int | None = None,
    generator: torch.Generator | None = None,
    watch: bool = False,
    check: int = CHECK,
) -> Trained:
    """(Stochastic) gradient descent in single precision; a run stops where its loss on all samples is small enough.

    Parameters
    ----------
    weights, X, y : as above
    lr, target : step size and loss at which to stop, ``(R,)``
    most : largest number of steps
    batch : samples in a step, drawn without repetition; all of them by default
    generator : CPU generator of the batches
    watch : whether to follow the sharpness
    check : steps between two looks at the loss
    """
    runs, n = y.shape
    X, y, lr = X.float(), y.float(), lr.float()

    def step(*arguments):
        layers, (rate, *positions) = arguments[: len(weights)], arguments[len(weights) :]
        inputs, labels = X, y
        if positions:
            labels = y.gather(1, positions[0])
            inputs = X.gather(1, positions[0][..., None].expand(-1, -1, X.shape[2]))
        outputs, given = forward(layers, inputs)
        slopes = gradient(layers, given, (outputs - labels) / labels.shape[1])
        return tuple(W - rate[:, None, None] * G for W, G in zip(layers, slopes, strict=True))

    stepper = Stepper(step, tuple(W.float() for W in weights))
    reached, path = torch.zeros(runs, dtype=torch.bool, device=y.device), []
    for done in range(0, most + 1, check):
        now = stepper.state
        loss = (forward(now, X)[0] - y).square().mean(-1) / 2
        reached = reached | (loss <= target)
        if watch:
            path.append(kernel_sharpness(now, X))
        if bool((reached | ~loss.isfinite()).all()) or done + check > most:
            break
        inputs = [torch.where(reached, 0, lr).expand(check, -1)]
        if batch is not None:
            order = torch.rand((check, runs, n), generator=generator).argsort(-1)[..., :batch]
            inputs.append(order.to(y.device))
        stepper.run(check, *inputs)
    return Trained(tuple(W.double() for W in stepper.state), reached, torch.stack(path) if watch else None)
