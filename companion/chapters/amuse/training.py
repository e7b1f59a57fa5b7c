"""Optimizers side by side: all members of an ensemble take their step at once, each by its own recipe.

Every weight is a tensor with the members as its first axis. A member keeps ``X``, the weights that it answers with, and
``Z``, those that its steps move; its gradient is taken at ``Y = (1 - beta) Z + beta X``. Without averaging, ``c = 1``
and ``beta = 0``, so that the three are one: Muon, AdamW and AMUSE are the same loop with other numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from companion.chapters.amuse.schedule import coefficients, warmed_up
from companion.optim.orthogonalize import newton_schulz

Rule = Literal["Muon", "Adam", "SGD"]
RULES = ("Muon", "Adam", "SGD")
Tensors = tuple[torch.Tensor, ...]

EPS = 1e-8  # Adam's
FIRST = 0.9  # Adam's moving average of gradients, where nothing else averages


@dataclass(frozen=True)
class Recipe:
    """One way to train.

    Attributes
    ----------
    name : of the method
    rule : what moves the matrices: momentum orthogonalized, Adam, or momentum itself
    lr : learning rate after the warm-up
    beta1 : the first interpolation coefficient; ``None`` where nothing is averaged
    rho : how fast it rises
    cosine : whether the rate falls to zero over the steps
    other_lr : of the weights that are not orthogonalized, if not ``lr``
    """

    name: str
    rule: Rule
    lr: float
    beta1: float | None = None
    rho: float = 0.0
    cosine: bool = False
    other_lr: float | None = None


def orthogonal(updates: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Five Newton-Schulz steps on each ``(..., m, n)``, times ``0.2 sqrt(max(m, n))``.

    The factor gives entries of the size of Adam's steps. Matrices of one shape, up to
    transposition, are stacked and go through in one batch.
    """
    wide = [u.mT if u.shape[-2] > u.shape[-1] else u for u in updates]
    groups: dict[torch.Size, list[int]] = {}
    for k, u in enumerate(wide):
        groups.setdefault(u.shape, []).append(k)
    found: list[torch.Tensor] = [None] * len(updates)  # type: ignore[list-item]
    for shape, members in groups.items():
        stacked = torch.stack([wide[k] for k in members])
        scaled = 0.2 * max(shape[-2:]) ** 0.5 * newton_schulz(stacked, eps=1e-30)
        for k, direction in zip(members, scaled, strict=True):
            tall = updates[k].shape[-2] > updates[k].shape[-1]
            found[k] = direction.mT if tall else direction
    return found


def gradient_point(x: torch.Tensor, z: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """``Y = (1 - beta) Z + beta X``, where the gradient is taken."""
    return torch.lerp(z, x, beta)


def moved(
    x: torch.Tensor,
    z: torch.Tensor,
    direction: torch.Tensor,
    rate: torch.Tensor,
    c: torch.Tensor,
) -> Tensors:
    """``Z - rate direction``, and the average with that in it with weight ``c``."""
    z = z - rate * direction
    return torch.lerp(x, z, c), z


@dataclass(frozen=True)
class Timetable:
    """What changes from step to step, ``(T, M)``."""

    rate: torch.Tensor
    other_rate: torch.Tensor
    #: weight of the new Z in X
    c: torch.Tensor
    #: coefficient of the point where the step takes its gradient, that of the step before
    beta: torch.Tensor
    #: step numbers from one, ``(T, 1)``
    t: torch.Tensor

    def rows(self) -> Tensors:
        """The inputs of the steps."""
        return self.rate, self.other_rate, self.c, self.beta, self.t


def timetable(recipes: Sequence[Recipe], steps: int, warmup: int, like: torch.Tensor) -> Timetable:
    """Rates, weights and coefficients of all members: linear warm-up, then constant or half a cosine."""
    t = np.arange(1, steps + 1)
    columns = []
    for recipe in recipes:
        shape = warmed_up(steps, warmup)
        c, beta = np.ones(steps), np.zeros(steps)
        if recipe.beta1 is not None:
            c, beta = coefficients(shape, warmup, recipe.beta1, recipe.rho)
            beta = np.append(recipe.beta1, beta[:-1])  # step t starts from the point that the last step made
        if recipe.cosine:
            shape = shape * (1 + np.cos(np.pi * t / steps)) / 2
        other = recipe.lr if recipe.other_lr is None else recipe.other_lr
        columns.append((recipe.lr * shape, other * shape, c, beta))
    made = (torch.tensor(np.stack(part, axis=1)).to(like) for part in zip(*columns, strict=True))
    return Timetable(*made, torch.tensor(t[:, None]).to(like))


class Ensemble:
    """The members' optimizers.

    Parameters
    ----------
    recipes : one a member; those of one rule stand together, in the order of :data:`RULES`
    matrices : for each weight whether it is a hidden matrix, which a member's rule moves; all others are moved by Adam
    momentum : of Muon (Nesterov's form) and SGD
    second : Adam's moving average of squares
    """

    def __init__(
        self, recipes: Sequence[Recipe], matrices: Sequence[bool], momentum: float = 0.95, second: float = 0.99
    ):
        rules = [RULES.index(recipe.rule) for recipe in recipes]
        if rules != sorted(rules):
            raise ValueError(f"recipes: got rules {[r.rule for r in recipes]}, allowed: in the order {RULES}")
        self.recipes, self.matrices = list(recipes), list(matrices)
        self.momentum, self.second = momentum, second
        self.muon = sum(recipe.rule == "Muon" for recipe in recipes)
        self.adam = self.muon + sum(recipe.rule == "Adam" for recipe in recipes)

    def start(self, weights: Sequence[torch.Tensor]) -> Tensors:
        """X, Z, moving averages and squares of all weights."""
        zeros = [torch.zeros_like(w) for w in weights]
        squares = [
            torch.zeros_like(w[self.muon : self.adam] if matrix else w)
            for w, matrix in zip(weights, self.matrices, strict=True)
        ]
        return (*weights, *weights, *zeros, *squares)

    def points(self, state: Tensors, beta: torch.Tensor) -> list[torch.Tensor]:
        """The gradient points of all weights."""
        x, z = self._parts(state)[:2]
        return [gradient_point(a, b, _over(beta, a)) for a, b in zip(x, z, strict=True)]

    def answers(self, state: Tensors) -> Tensors:
        """X of all weights."""
        return self._parts(state)[0]

    def moving(self, state: Tensors) -> Tensors:
        """Z of all weights."""
        return self._parts(state)[1]

    def step(
        self,
        state: Tensors,
        gradients: Sequence[torch.Tensor],
        rate: torch.Tensor,
        other_rate: torch.Tensor,
        c: torch.Tensor,
        beta: torch.Tensor,
        t: torch.Tensor,
    ) -> Tensors:
        """The next state; the gradients are those at :meth:`points`."""
        x, z, averages, squares = self._parts(state)
        memory, other_memory = self._memories(rate)
        averages = [
            torch.lerp(g, a, _over(memory if matrix else other_memory, g))
            for g, a, matrix in zip(gradients, averages, self.matrices, strict=True)
        ]
        mixed = [
            torch.lerp(g[: self.muon], a[: self.muon], self.momentum)
            for g, a, matrix in zip(gradients, averages, self.matrices, strict=True)
            if matrix
        ]
        orthogonalized = iter(orthogonal(mixed) if self.muon else [])
        new_squares, directions = [], []
        for g, a, s, matrix in zip(gradients, averages, squares, self.matrices, strict=True):
            some = slice(self.muon, self.adam) if matrix else slice(None)
            s = torch.lerp(g[some] ** 2, s, self.second)
            decay = (memory if matrix else other_memory)[some]
            settled = _over(1 - decay ** t[0], a)
            direction = a[some] / settled / ((s / (1 - self.second ** t[0])).sqrt() + EPS)
            if matrix:
                first = [next(orthogonalized)] if self.muon else []
                direction = torch.cat([*first, direction, a[self.adam :]])
            new_squares.append(s)
            directions.append(direction)
        pairs = [
            moved(a, b, d, _over(rate if matrix else other_rate, a), _over(c, a))
            for a, b, d, matrix in zip(x, z, directions, self.matrices, strict=True)
        ]
        return (*(p[0] for p in pairs), *(p[1] for p in pairs), *averages, *new_squares)

    def mixtures(self, state: Tensors, gradients: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Nesterov's mixture of average and gradient, what is orthogonalized, after a step with these gradients."""
        averages = self._parts(state)[2]
        return [torch.lerp(g, a, self.momentum) for g, a in zip(gradients, averages, strict=True)]

    def _memories(self, like: torch.Tensor) -> Tensors:
        """Decays of the moving averages of gradients, ``(M,)``: of matrices, and of what Adam moves."""
        if not hasattr(self, "_kept"):
            other = [0.0 if recipe.beta1 is not None else FIRST for recipe in self.recipes]
            own = [o if r.rule == "Adam" else self.momentum for o, r in zip(other, self.recipes, strict=True)]
            self._kept = tuple(torch.tensor(values, dtype=torch.float64).to(like) for values in (own, other))
        return self._kept

    def _parts(self, state: Tensors) -> tuple[Tensors, ...]:
        n = len(self.matrices)
        return tuple(state[k * n : (k + 1) * n] for k in range(4))


def train(
    ensemble: Ensemble,
    weights: Sequence[torch.Tensor],
    table: Timetable,
    gradients: Callable[[list[torch.Tensor], int], Sequence[torch.Tensor]],
) -> Iterator[tuple[int, list[torch.Tensor], Sequence[torch.Tensor], Tensors]]:
    """All steps of all members, from the same weights; after each its number, points, gradients and the new state.

    Parameters
    ----------
    gradients : from gradient points and the number of the step, counted from zero, to the gradients there
    """
    state = ensemble.start(weights)
    for k, row in enumerate(zip(*table.rows(), strict=True)):
        points = ensemble.points(state, row[3])
        found = gradients(points, k)
        state = ensemble.step(state, found, *row)
        yield k + 1, points, found, state


def _over(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """One value a member, ``(M,)``, to be multiplied with ``(M, ...)``."""
    return values.view(-1, *[1] * (like.ndim - 1))
