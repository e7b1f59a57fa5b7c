"""Small ReLU networks without biases, all members in one batch: every weight is a matrix that Muon takes."""

import itertools
from collections.abc import Callable, Sequence

import torch

from companion.chapters.mimuon.neighbours import softmax_gradient
from companion.chapters.mimuon.rule import Rule, direction

Layers = list[torch.Tensor]


def initial(widths: Sequence[int], members: int, generator: torch.Generator) -> Layers:
    """Weights ``(members, out, in)`` of each layer, normal of variance ``2 / in``, on the generator's device."""
    return [
        (2 / inputs) ** 0.5 * torch.randn(members, outputs, inputs, generator=generator, device=generator.device)
        for inputs, outputs in itertools.pairwise(widths)
    ]


def scores(layers: Layers, x: torch.Tensor) -> torch.Tensor:
    """Outputs ``(..., b, classes)`` of inputs ``(..., b, d)``."""
    for weights in layers[:-1]:
        x = torch.relu(x @ weights.mT)
    return x @ layers[-1].mT


def gradients(layers: Layers, x: torch.Tensor, labels: torch.Tensor) -> Layers:
    """Gradients of the mean cross-entropy by every layer, by hand: one pass forwards, one back.

    Parameters
    ----------
    layers : ``(..., out, in)`` each
    x, labels : ``(..., b, d)`` and ``(..., b)``
    """
    inputs = [x]
    for weights in layers[:-1]:
        inputs.append(torch.relu(inputs[-1] @ weights.mT))
    slopes = softmax_gradient(inputs[-1] @ layers[-1].mT, labels) / x.shape[-2]
    found = []
    for weights, h in zip(layers[::-1], inputs[::-1], strict=True):
        found.append(slopes.mT @ h)
        slopes = (slopes @ weights) * (h > 0)
    return found[::-1]


@torch.no_grad()
def train(
    inputs: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    rules: Sequence[Rule],
    start: Layers,
    steps: int,
    eta: float,
    beta: float,
    watch: Callable[[int, Layers, list[torch.Tensor]], None] | None = None,
) -> Layers:
    """Train networks by every rule on the same batches, each layer's momentum judged by itself.

    Parameters
    ----------
    inputs : step to examples ``(P, b, d)`` and labels ``(P, b)``
    rules : K of them
    start : initial layers ``(P, out, in)``, the same for every rule
    steps, eta, beta : number of steps, step size, weight of the new gradient
    watch : called after each step with its number from 1 on, the momenta and, for each layer, what was orthogonalized

    Returns
    -------
    Layers ``(K, P, out, in)``
    """
    layers = [w.expand(len(rules), *w.shape).clone() for w in start]
    momenta = [torch.zeros_like(w) for w in layers]
    rates = layers[0].new_tensor([eta if rule.lr is None else rule.lr for rule in rules])
    for step in range(steps):
        x, labels = inputs(step)
        found = gradients(layers, x.expand(len(rules), *x.shape), labels.expand(len(rules), *labels.shape))
        chosen = []
        for weights, momentum, slope in zip(layers, momenta, found, strict=True):
            momentum.mul_(1 - beta).add_(slope, alpha=beta)
            update, passed = direction(momentum, rules)
            weights.addcmul_(update, -rates[:, None, None, None])
            chosen.append(passed)
        if watch is not None:
            watch(step + 1, momenta, chosen)
    return layers
