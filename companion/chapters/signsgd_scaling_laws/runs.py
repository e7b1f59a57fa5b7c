"""Simulated runs: one fresh sample a step, many chains on many sketches at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from companion.chapters.signsgd_scaling_laws.equations import METHODS, Method
from companion.chapters.signsgd_scaling_laws.features import Sketch

BLOCK = 32  # samples drawn at once
BETAS = (0.9, 0.99)  # of Adam
MOMENTUM = 0.9  # of Signum
EPSILON = 1e-12

_BY_NAME = {method.name: method for method in METHODS}


def direction(method: Method, residual: Tensor, z: Tensor) -> Tensor:
    """One of the four steps: residual times feature, each of them or its sign.

    Parameters
    ----------
    residual : ``<z, theta> - y``, of shape ``(...)``
    z : features, ``(..., M)``
    """
    if method.signed_residual:
        residual = residual.sign()
    if method.signed_features:
        z = z.sign()
    return residual[..., None] * z


class _Adam:
    """Adam's direction from a stream of gradients, with its corrections of the start."""

    def __init__(self, like: Tensor):
        self.first, self.second, self.count = torch.zeros_like(like), torch.zeros_like(like), 0

    def __call__(self, residual: Tensor, z: Tensor) -> Tensor:
        gradient = residual[..., None] * z
        self.count += 1
        self.first = BETAS[0] * self.first + (1 - BETAS[0]) * gradient
        self.second = BETAS[1] * self.second + (1 - BETAS[1]) * gradient**2
        second = self.second / (1 - BETAS[1] ** self.count)
        return self.first / (1 - BETAS[0] ** self.count) / (second.sqrt() + EPSILON)


class _Signum:
    """The sign of a running mean of the gradients."""

    def __init__(self, like: Tensor):
        self.mean = torch.zeros_like(like)

    def __call__(self, residual: Tensor, z: Tensor) -> Tensor:
        self.mean = MOMENTUM * self.mean + (1 - MOMENTUM) * residual[..., None] * z
        return self.mean.sign()


def _rule(name: str, like: Tensor):
    if name in _BY_NAME:
        return lambda residual, z: direction(_BY_NAME[name], residual, z)
    return {"Adam": _Adam, "Signum": _Signum}[name](like)


@dataclass(frozen=True)
class Runs:
    """Risks of simulated runs."""

    #: steps at which the risk is taken, ``(T,)``
    steps: np.ndarray
    #: risk by method, ``(S, chains, T)`` each
    risk: dict[str, np.ndarray]


def simulate(
    problems: Sequence[Sketch],
    lr: Mapping[str, np.ndarray],
    steps: np.ndarray,
    chains: int,
    generator: torch.Generator,
    *,
    decay_from: np.ndarray | None = None,
    at_optimum: bool = False,
) -> Runs:
    """Run methods side by side on the same samples.

    Parameters
    ----------
    problems : S sketches of one width M
    lr : for each method, by name, its step sizes on the sketches, ``(S,)``
    steps : increasing; where the risk is taken, and the last is the length of the runs
    chains : runs on each sketch
    generator : of the device on which to run
    decay_from : step after which the step size falls linearly to zero, ``(S,)``; by default it is constant
    at_optimum : start at the best parameters instead of zero
    """
    device = generator.device
    cholesky = _tensor([np.linalg.cholesky(p.covariance) for p in problems], device)
    covariance = _tensor([p.covariance for p in problems], device)
    floor = _tensor([p.floor for p in problems], device)[:, None]
    optimum = _tensor([p.optimum for p in problems], device)[:, None].expand(-1, chains, -1)
    rates = {name: _tensor(value, device)[:, None, None] for name, value in lr.items()}
    error = {name: torch.zeros_like(optimum) if at_optimum else -optimum for name in lr}
    rules = {name: _rule(name, optimum) for name in lr}
    total, (S, _, M) = int(steps[-1]), optimum.shape
    wanted = {int(step): place for place, step in enumerate(steps)}
    risk = {name: torch.empty((S, chains, len(steps)), dtype=torch.float64, device=device) for name in lr}
    share = _schedule(total, decay_from, S, device)
    for k in range(total + 1):
        if k in wanted:
            for name, e in error.items():
                risk[name][..., wanted[k]] = floor + ((e @ covariance) * e).sum(-1)
        if k == total:
            break
        if k % BLOCK == 0:
            shape = (S, BLOCK * chains, M)
            draws = torch.randn(shape, dtype=torch.float64, device=device, generator=generator) @ cholesky.mT
            block = draws.reshape(S, BLOCK, chains, M).transpose(0, 1).contiguous()
            shape = (BLOCK, S, chains)
            noise = torch.randn(shape, dtype=torch.float64, device=device, generator=generator) * floor.sqrt()
        z = block[k % BLOCK]
        for name, e in error.items():
            residual = (z * e).sum(-1) - noise[k % BLOCK]
            step = rates[name] if share is None else rates[name] * share[k]
            error[name] = e - step * rules[name](residual, z)
    return Runs(np.asarray(steps), {name: value.cpu().numpy() for name, value in risk.items()})


def _schedule(total: int, decay_from: np.ndarray | None, count: int, device: torch.device) -> Tensor | None:
    """Share of the step size at every step, ``(total, S, 1, 1)``."""
    if decay_from is None:
        return None
    k = np.arange(total)[:, None] + 0.5
    start = np.broadcast_to(decay_from, count)
    falling = np.clip((total - k) / np.maximum(total - start, 1), 0, 1)
    return _tensor(np.where(k > start, falling, 1), device)[..., None, None]


def _tensor(values, device: torch.device) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=float), device=device)
