"""What the optimizers ask of options, parameters and gradients, each in one place."""

import math
from typing import Any

import torch
from torch.optim import Optimizer


def at_least(name: str, value: Any, bound: float = 0.0) -> None:
    """Refuse what is not a finite number of at least ``bound``; a tensor of one number counts as that number."""
    if not (math.isfinite(value) and value >= bound):
        raise ValueError(f"{name}: got {value!r}, allowed: a finite number of at least {bound:g}")


def below_one(name: str, value: float) -> None:
    """Refuse what is outside [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: got {value!r}, allowed: at least 0, below 1")


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Refuse what is not among the allowed values."""
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, allowed: {', '.join(map(repr, allowed))}")


def with_gradient(optimizer: Optimizer) -> list[list[torch.Tensor]]:
    """The parameters of each group that have a gradient and an entry.

    Raises
    ------
    RuntimeError
        If a gradient is sparse: averages and momenta move every weight.
    """
    name = type(optimizer).__name__
    groups = [[p for p in group["params"] if p.grad is not None] for group in optimizer.param_groups]
    if any(p.grad.layout != torch.strided for params in groups for p in params):
        raise RuntimeError(f"{name} does not support sparse gradients: its averages move every weight")
    return [[p for p in params if p.numel()] for params in groups]


def state_of_shape(optimizer: Optimizer, allowed: tuple[frozenset[str], ...]) -> None:
    """Refuse a state whose tensors are not one of the ``allowed`` sets, or not of their parameters' shapes."""
    for p in (p for group in optimizer.param_groups for p in group["params"]):
        kept = {name: value for name, value in optimizer.state.get(p, {}).items() if torch.is_tensor(value)}
        if kept and (set(kept) not in allowed or any(value.shape != p.shape for value in kept.values())):
            expected = " or ".join(", ".join(sorted(names)) for names in allowed)
            raise ValueError(f"load_state_dict: the state has no {expected} of shape {tuple(p.shape)}")


def as_real(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Complex tensors as views of pairs of real numbers."""
    return [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
