"""Two data sets that differ in one example, and a linear classifier trained on both with the same draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from companion.chapters.mimuon.rule import Rule, direction
from companion.chapters.mimuon.spectrum import newton_schulz
from companion.data.corruptions import symmetric_label_noise

CLASSES = 10


@dataclass(frozen=True)
class Pairs:
    """R pairs of training sets of n examples: the second has another example at place 0. All else is held out."""

    members: torch.Tensor
    """Indices into all examples, ``(R, 2, n)``."""
    labels: torch.Tensor
    """Labels of all examples, some of them wrong, ``(R, examples)``."""
    held_out: torch.Tensor
    """Which examples are in neither set, ``(R, examples)``."""


def neighbouring_pairs(labels: np.ndarray, n: int, replicas: int, noise: float, rng: np.random.Generator) -> Pairs:
    """Draw pairs of neighbouring training sets.

    Labels are spoiled before the examples are divided, so that training and test examples have one distribution.

    Parameters
    ----------
    labels : of all examples, ``(examples,)``
    n : size of a training set, less than ``examples - 1``
    replicas : R
    noise : probability with which a label is replaced by another one
    """
    members, spoiled = [], []
    held_out = np.ones((replicas, len(labels)), bool)
    for k in range(replicas):
        drawn = rng.permutation(len(labels))[: n + 1]
        members.append([drawn[:n], np.concatenate([drawn[n:], drawn[1:n]])])
        spoiled.append(symmetric_label_noise(labels, noise, CLASSES, rng)[0])
        held_out[k, drawn] = False
    return Pairs(*(torch.tensor(np.array(each)) for each in (members, spoiled, held_out)))


def softmax_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Gradient of the cross-entropy by the logits ``(..., b, classes)``: ``p - y``."""
    return torch.softmax(logits, -1) - F.one_hot(labels, logits.shape[-1])


def squared_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Gradient of ``|| z - y ||^2 / 2`` by the scores ``z``: ``z - y``."""
    return logits - F.one_hot(labels, logits.shape[-1])


@torch.no_grad()
def train(
    inputs: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    rules: Sequence[Rule],
    start: torch.Tensor,
    steps: int,
    eta: float,
    beta: float,
    *,
    residual: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = softmax_gradient,
    orthogonalize: Callable[[torch.Tensor], torch.Tensor] = newton_schulz,
    watch: Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Train linear classifiers by every rule on the same batches.

    Parameters
    ----------
    inputs : step to the batch of every run: examples ``(P, b, d)`` and labels ``(P, b)``
    rules : K of them
    start : initial weights ``(K, P, classes, d)``
    steps, eta, beta : number of steps, step size, weight of the new gradient
    residual : gradient of the loss by the scores
    orthogonalize : what stands for ``U V^T``
    watch : called after each step with its number from 1 on, weights, momenta, and what was orthogonalized

    Returns
    -------
    The weights ``(K, P, classes, d)``
    """
    W, momentum = start.clone(), torch.zeros_like(start)
    rates = W.new_tensor([eta if rule.lr is None else rule.lr for rule in rules])
    for step in range(steps):
        x, labels = inputs(step)
        for k, weights in enumerate(W):
            slopes = residual(x @ weights.mT, labels)
            momentum[k].baddbmm_(slopes.mT, x, beta=1 - beta, alpha=beta / x.shape[1])
        update, chosen = direction(momentum, rules, orthogonalize)
        W.addcmul_(update, -rates[:, None, None, None])
        if watch is not None:
            watch(step + 1, W, momentum, chosen)
    return W
