"""Duels between two policies, kept as counts."""

from dataclasses import dataclass

import torch

MOST = 10_000_000  # random numbers drawn at once


@dataclass(frozen=True)
class Counts:
    """Duels and wins of the first action, ``(N, C, K, K)``."""

    duels: torch.Tensor
    wins: torch.Tensor

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.duels + other.duels, self.wins + other.wins)

    def to(self, device: str) -> "Counts":
        """These counts on a device."""
        return Counts(self.duels.to(device), self.wins.to(device))


def draw_duels(first: torch.Tensor, second: torch.Tensor, chance: torch.Tensor, uniforms: torch.Tensor) -> Counts:
    """Counts of ``n`` duels, contexts drawn evenly, ``a1`` from ``first``, ``a2`` from ``second``.

    Parameters
    ----------
    first, second : policies, ``(N, C, K)``
    chance : ``P(a1 beats a2)``, ``(N, C, K, K)``
    uniforms : ``(N, n, 4)``, for context, first action, second action and outcome
    """
    count, contexts, actions = first.shape
    x = (uniforms[..., 0] * contexts).long().clamp_max(contexts - 1)

    def pick(policy, u):
        # One increasing table per row, context x in (x, x + 1]: a single search serves all contexts.
        table = policy.cumsum(-1)
        table = table / table[..., -1:] + torch.arange(contexts, device=table.device)[:, None]
        place = torch.searchsorted(table.flatten(1), (x + u).contiguous(), right=True)
        return (place - x * actions).clamp(0, actions - 1)

    a, b = pick(first, uniforms[..., 1]), pick(second, uniforms[..., 2])
    cell = (x * actions + a) * actions + b
    won = (uniforms[..., 3] < chance.flatten(1).gather(1, cell)).to(first.dtype)
    empty = torch.zeros(count, contexts * actions**2, dtype=first.dtype, device=first.device)
    return Counts(
        empty.scatter_add(1, cell, torch.ones_like(won)).reshape(chance.shape),
        empty.scatter_add(1, cell, won).reshape(chance.shape),
    )


def explore_evenly(chance: torch.Tensor, rounds: int, source: torch.Generator) -> Counts:
    """Counts of ``rounds`` duels of uniform policies on both sides, in stretches that fit in memory."""
    count, actions = len(chance), chance.shape[-1]
    even = torch.full(chance.shape[:-1], 1 / actions, dtype=chance.dtype)
    counts = Counts(torch.zeros_like(chance), torch.zeros_like(chance))
    most = max(MOST // (4 * count), 1)
    for start in range(0, rounds, most):
        stretch = min(most, rounds - start)
        uniforms = torch.rand(count, stretch, 4, dtype=chance.dtype, generator=source)
        counts = counts + draw_duels(even, even, chance, uniforms)
    return counts
