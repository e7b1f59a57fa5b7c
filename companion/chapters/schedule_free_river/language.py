"""Small language models trained by AdamW and by Schedule-Free AdamW, all in one ensemble.

A group is some members under one rule. Groups hold their weights as rows ``(M, P)``; at each step the gradients of all
groups are computed together, on the same windows of text, at the points where each rule wants them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike

from companion.chapters.schedule_free_river.schedule_free import EPS, adam_direction, advance
from companion.data import load_dataset
from companion.models import ensemble
from companion.models.ensemble import Shape

VALIDATION = 0.1  # share of the text, its end, that nobody is trained on


class Group(Protocol):
    """Members under one rule."""

    points: torch.Tensor
    """Where the next gradients are taken, ``(M, P)``."""

    def step(self, slopes: torch.Tensor, factor: float) -> None:
        """One step along the gradients, at ``factor`` times each member's rate."""


def column(values: ArrayLike, like: torch.Tensor) -> torch.Tensor:
    """One number for each row of ``like``."""
    return torch.tensor(np.asarray(values, float), dtype=like.dtype, device=like.device)[:, None]


class AdamW:
    """Adam's rule without weight decay; ``points`` are the weights.

    Parameters
    ----------
    start : ``(M, P)``
    lrs : ``(M,)``
    betas : of the first and the second moment
    """

    def __init__(self, start: torch.Tensor, lrs: ArrayLike, betas: tuple[float, float]):
        self.points, self.lrs, self.betas = start, column(lrs, start), betas
        self.m, self.v, self.steps = torch.zeros_like(start), torch.zeros_like(start), 0

    def branch(self) -> "AdamW":
        """A copy that goes on with the same moments."""
        twin = AdamW(self.points, self.lrs[:, 0].cpu(), self.betas)
        twin.m, twin.v, twin.steps = self.m, self.v, self.steps
        return twin

    def step(self, slopes: torch.Tensor, factor: float) -> None:
        """``w <- w - factor lr m_hat / (sqrt(v_hat) + eps)``."""
        self.steps += 1
        first, second = self.betas
        self.m = torch.lerp(self.m, slopes, 1 - first)
        self.v = torch.lerp(self.v, slopes**2, 1 - second)
        scale = (self.v / (1 - second**self.steps)).sqrt_().add_(EPS)
        self.points = torch.addcmul(self.points, self.lrs, self.m / scale, value=-factor / (1 - first**self.steps))


class ScheduleFree:
    """Schedule-Free AdamW without weight decay: gradients at y, x is what one would use.

    Parameters
    ----------
    start : ``(M, P)``
    lrs, betas : ``(M,)``
    constants : C of each member, ``(M,)``; ``1 / (1 - beta)`` for the original method
    beta2 : of the second moment
    """

    def __init__(self, start: torch.Tensor, lrs: ArrayLike, betas: ArrayLike, constants: ArrayLike, beta2: float):
        self.x = self.z = self.points = start
        self.lrs, self.beta, self.C = (column(values, start) for values in (lrs, betas, constants))
        self.v, self.beta2 = torch.zeros_like(start), beta2
        self.steps, self.weight = 0, 0.0

    def step(self, slopes: torch.Tensor, factor: float) -> None:
        """One Schedule-Free step; a step's share of the average grows with the square of its rate."""
        self.steps += 1
        self.weight += factor**2
        share = factor**2 / self.weight
        c = ((1 - self.beta) * self.C * share).clamp(max=1)
        direction, self.v = adam_direction(slopes, self.v, self.beta2, self.steps)
        self.x, self.z, self.points = advance(self.x, self.z, direction, factor * self.lrs, c, self.beta)


def together(shape: Shape, groups: Sequence[Group], symbols: torch.Tensor, factors: Iterable[float]) -> None:
    """One step of all groups on windows ``(batch, context + 1)``, or with a first axis for the members of all."""
    points = torch.cat([group.points for group in groups])
    half = points.device.type == "cuda"
    with torch.autocast(points.device.type, torch.bfloat16, enabled=half):
        _, slopes = ensemble.gradients(shape, ensemble.unflatten(shape, points), symbols)
    rows = ensemble.flatten(slopes).to(points.dtype)
    for group, part, factor in zip(groups, rows.split([len(g.points) for g in groups]), factors, strict=True):
        group.step(part, factor)


def evaluate(shape: Shape, rows: torch.Tensor, symbols: torch.Tensor) -> np.ndarray:
    """Losses ``(M, sets)`` of weights ``(M, P)`` on sets of windows ``(sets, count, context + 1)``."""
    weights = ensemble.unflatten(shape, rows)
    return torch.stack([ensemble.evaluate(shape, weights, one, at_once=16) for one in symbols], 1).cpu().numpy()


@dataclass(frozen=True)
class Corpus:
    """A text of symbols: the part to train on, and the end of it."""

    train: torch.Tensor
    validation: torch.Tensor
    #: what it is, in words
    source: str


@lru_cache(maxsize=2)
def corpus(length: int, context: int) -> Corpus:
    """The first ``length`` symbols of Python's standard library, or of the user's own text, split by position."""
    data = load_dataset("text", split=False, normalize="none")
    symbols = torch.from_numpy(np.ascontiguousarray(data.x_train[:length]))
    cut = len(symbols) - max(int(VALIDATION * len(symbols)), context + 1)
    return Corpus(symbols[:cut], symbols[cut:], data.source)


def halves(validation: torch.Tensor, count: int, context: int) -> torch.Tensor:
    """Windows at equal distances, every other one to choose rates by and to report: ``(2, count / 2, context + 1)``."""
    half = count // 2
    return ensemble.spread(validation, 2 * half, context).unflatten(0, (half, 2)).transpose(0, 1)
