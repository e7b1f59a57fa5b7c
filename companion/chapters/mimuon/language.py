"""Language models trained side by side, a member for each method and step size."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from companion.chapters.mimuon.rule import Rule, direction
from companion.models.ensemble import Shape, Weights, gradients, hidden
from companion.optim.orthogonalize import newton_schulz

ADAM_BETAS, ADAM_EPS = (0.9, 0.99), 1e-8
MATCH_RMS = 0.2  # root mean square of an orthogonalized step over the step size: that of a typical step of Adam


@dataclass(frozen=True)
class Member:
    """One of the models: how its blocks' matrices are trained. Embeddings and head are trained by Adam in all."""

    rule: Rule | None
    """``None`` for Adam."""
    lr: float


def matched(momentum: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The orthogonal factor times ``0.2 sqrt(max(m, n))``: entries of root mean square 0.2, whatever the shape."""
    return MATCH_RMS * max(momentum.shape[-2:]) ** 0.5 * newton_schulz(momentum, steps)


@torch.no_grad()
def train(
    shape: Shape,
    weights: Weights,
    members: Sequence[Member],
    batches: Sequence[torch.Tensor],
    beta: float,
    adam_lr: float,
) -> tuple[Weights, torch.Tensor, torch.Tensor]:
    """Train all members on the same batches.

    Parameters
    ----------
    shape, weights : the models, a member first axis; members with a rule come before those of Adam
    members : as many as the weights have
    batches : windows ``(batch, context + 1)``, one for each step
    beta : weight of the new gradient in the momentum
    adam_lr : step size of Adam on embeddings, positions and head of the members with a rule

    Returns
    -------
    weights, training losses ``(steps, M)``, and the share of the blocks' matrices orthogonalized, ``(steps, K)`` for
    the K members with a rule
    """
    rules = [member.rule for member in members if member.rule is not None]
    count = len(rules)
    if any(member.rule is None for member in members[:count]):
        raise ValueError("members: those with a rule come first")
    like = next(iter(weights.values()))
    rates = like.new_tensor([member.lr for member in members])[:, None, None]
    weights = {name: matrix.clone() for name, matrix in weights.items()}
    momenta = {name: torch.zeros_like(w[:count]) for name, w in weights.items() if hidden(name)}
    first = {name: torch.zeros_like(w[count:] if hidden(name) else w) for name, w in weights.items()}
    second = {name: torch.zeros_like(m) for name, m in first.items()}
    losses, shares = [], []
    for step, batch in enumerate(batches, 1):
        left = 1 - (step - 1) / len(batches)  # step sizes fall linearly to zero
        found, slopes = gradients(shape, weights, batch)
        losses.append(found)
        passed = []
        for name, w in weights.items():
            slope = slopes[name]
            if hidden(name):
                momenta[name].mul_(1 - beta).add_(slope[:count], alpha=beta)
                update, chosen = direction(momenta[name], rules, matched)
                w[:count] -= left * rates[:count] * update
                passed.append(chosen)
                w, slope = w[count:], slope[count:]
            move = _adam(first[name], second[name], slope, step)
            w -= left * (rates[count:] if hidden(name) else adam_lr) * move
        shares.append(torch.stack(passed).double().mean(0))
    return weights, torch.stack(losses), torch.stack(shares)


def _adam(first: torch.Tensor, second: torch.Tensor, slope: torch.Tensor, step: int) -> torch.Tensor:
    """Adam's step before the step size; moves its moments."""
    a, b = ADAM_BETAS
    first.lerp_(slope, 1 - a)
    second.mul_(b).addcmul_(slope, slope, value=1 - b)
    return first / (1 - a**step) / ((second / (1 - b**step)).sqrt() + ADAM_EPS)
