"""Gradient descent with weight decay, and with a part of the decay taken out.

    theta <- theta - lr * (grad L(theta) + decay),      decay = lam * theta.

For plain gradient descent this is the same as a penalty ``lam |theta|^2 / 2`` in the loss. The sharpness of this
chapter is that of L alone; the penalized loss has lam more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from companion.analysis.curvature import Loss
from companion.models.stepping import Stepper


def filtered_decay(
    theta: torch.Tensor,
    lam: torch.Tensor,
    direction: torch.Tensor,
    across: torch.Tensor,
    along: torch.Tensor,
) -> torch.Tensor:
    """``across * (decay - part) + along * part``, row by row.

    ``part = (decay . n) n`` is the part of ``decay = lam * theta`` along the unit
    vector n. Weights (1, 1) give weight decay, (1, 0) all but that part, (0, 1) that
    part alone.

    Parameters
    ----------
    theta : ``(R, P)``
    lam, across, along : ``(R, 1)``
    direction : unit vectors n, ``(R, P)``
    """
    decay = lam * theta
    part = (decay * direction).sum(1, keepdim=True) * direction
    return across * (decay - part) + along * part


@dataclass(frozen=True)
class Filter:
    """Which part of the decay each run keeps; see :func:`filtered_decay`."""

    direction: Callable[[torch.Tensor], torch.Tensor]
    """Unit vectors ``(R, P)`` at parameters ``(R, P)``; found anew before each stretch of steps."""
    across: torch.Tensor
    """``(R, 1)``."""
    along: torch.Tensor
    """``(R, 1)``."""


@dataclass(frozen=True)
class Moment:
    """Where R runs are after some steps."""

    step: int
    """Steps made."""
    theta: torch.Tensor
    """``(R, P)``."""
    before: torch.Tensor
    """The parameters one step earlier, ``(R, P)``."""
    losses: torch.Tensor
    """The loss before each of the steps since the last moment, ``(every, R)``."""


def descend(
    loss: Loss,
    theta: torch.Tensor,
    lr: float,
    lam: torch.Tensor,
    steps: int,
    every: int,
    keep: Filter | None = None,
) -> Iterator[Moment]:
    """Gradient descent with weight decay, which stops to be measured now and then.

    Parameters
    ----------
    loss : ``(R, P) -> (R,)``
    theta : the start, ``(R, P)``
    lr : step size
    lam : weight decay of each run, ``(R, 1)``
    steps : in all; a remainder below ``every`` is left out
    every : steps between measurements
    keep : the part of the decay that is kept; by default all of it
    """
    direction = torch.zeros_like(theta)  # read by every step, written between stretches

    def step(
        theta: torch.Tensor, before: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        value, slope = value_and_gradient(loss, theta)
        decay = lam * theta
        if keep is not None:
            decay = filtered_decay(theta, lam, direction, keep.across, keep.along)
        return theta - lr * (slope + decay), theta, value

    state = theta, theta, value_and_gradient(loss, theta)[0]
    stepper = Stepper(step, state, record=lambda *state: state[2])
    for done in range(every, steps + 1, every):
        if keep is not None:
            direction.copy_(keep.direction(stepper.state[0]))
        losses = stepper.run(every)
        now, before, _ = stepper.state
        yield Moment(done, now, before, losses)


def value_and_gradient(loss: Loss, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses ``(R,)`` and their gradients ``(R, P)``."""
    with torch.enable_grad():
        point = theta.detach().requires_grad_(True)
        values = loss(point)
        (slope,) = torch.autograd.grad(values, point, torch.ones_like(values))
    return values.detach(), slope
