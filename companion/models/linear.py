"""Deep linear networks: a matrix as a product of factors, and the gradient flow of its factors.

A network of depth ``L`` has square factors ``W_1, ..., W_L`` and is the matrix ``W_L ... W_1``. Batches of networks are
tensors ``(..., L, d, d)`` whose entry ``W[..., l - 1, :, :]`` is ``W_l``, the factor that is applied ``l``-th.
Rectangular factors are padded with zeros to a common ``d``: where the target is padded too, zeros stay zeros.

For a loss with gradient ``R`` with respect to the product, the chain rule gives every factor the gradient

    W_{L:l+1}^T  R  W_{l-1:1}^T,      W_{l:k} = W_l ... W_k,   W_{L:L+1} = W_{0:1} = I.

>>> import torch
>>> W = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [1.0, 0.0]]])
>>> product(W)
tensor([[0., 3.],
        [2., 0.]])
>>> tangent_kernel(W, [0, 1], [0, 1])        # depth two: entries of different rows and columns do not interact
tensor([[13.,  0.],
        [ 0.,  2.]])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from companion.models.stepping import Stepper

_CHUNK = 128  # steps between two looks at which networks have arrived


def prefixes(W: torch.Tensor) -> list[torch.Tensor]:
    """The products from the first factor on: ``W_{l:1}`` for ``l = 1, ..., L``, each ``(..., d, d)``."""
    found = [W[..., 0, :, :]]
    for factor in W.unbind(-3)[1:]:
        found.append(factor @ found[-1])
    return found


def suffixes(W: torch.Tensor) -> list[torch.Tensor]:
    """The products up to the last factor: ``W_{L:l}`` for ``l = 1, ..., L``, each ``(..., d, d)``."""
    found = [W[..., -1, :, :]]
    for factor in reversed(W.unbind(-3)[:-1]):
        found.append(found[-1] @ factor)
    return found[::-1]


def product(W: torch.Tensor) -> torch.Tensor:
    """The matrix that the network is, ``W_L ... W_1``: shape ``(..., d, d)``."""
    return prefixes(W)[-1]


def gradient(
    W: torch.Tensor,
    residual: torch.Tensor,
    before: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Gradient of all factors, ``W_{L:l+1}^T R W_{l-1:1}^T``: shape ``(..., L, d, d)``.

    Parameters
    ----------
    W : factors, ``(..., L, d, d)``
    residual : gradient of the loss with respect to the product, ``R``: ``(..., d, d)``
    before : :func:`prefixes` of ``W``, where they are known
    """
    before = prefixes(W) if before is None else before
    factors, found = W.unbind(-3), []
    for layer in reversed(range(len(factors))):
        found.append(residual @ before[layer - 1].mT if layer else residual)
        if layer:
            residual = factors[layer].mT @ residual
    return torch.stack(found[::-1], dim=-3)


def tangent_kernel(W: torch.Tensor, rows: Sequence[int], columns: Sequence[int]) -> torch.Tensor:
    """Inner products of the gradients of entries of the product, the neural tangent kernel on these entries.

    For entries ``(a, b)`` and ``(c, d)`` it is ``sum_l (W_{L:l+1} W_{L:l+1}^T)_{ac} (W_{l-1:1}^T W_{l-1:1})_{bd}``.

    Parameters
    ----------
    W : factors, ``(..., L, d, d)``
    rows, columns : the ``K`` entries

    Returns
    -------
    Shape ``(..., K, K)``.
    """
    rows, columns = list(rows), list(columns)
    same_row = torch.tensor(rows, device=W.device)[:, None] == torch.tensor(rows, device=W.device)
    same_column = torch.tensor(columns, device=W.device)[:, None] == torch.tensor(columns, device=W.device)
    after, before = suffixes(W), prefixes(W)
    depth, found = len(after), W.new_zeros(*W.shape[:-3], len(rows), len(columns))
    for layer in range(depth):
        left, right = same_row.to(W.dtype), same_column.to(W.dtype)
        if layer < depth - 1:
            taken = after[layer + 1][..., rows, :]
            left = taken @ taken.mT
        if layer:
            taken = before[layer - 1][..., columns]
            right = taken.mT @ taken
        found = found + left * right
    return found


def norm_bound(W: torch.Tensor) -> torch.Tensor:
    """Largest Schatten norm of order 8 of the factors, ``max_l (sum_k sigma_k(W_l)^8)^(1/8)``: shape ``(...)``.

    At least the largest spectral norm and at most ``d^(1/8)`` times that, from two products and without a singular
    value decomposition, which a CUDA graph could not hold.
    """
    gram = W.mT @ W
    fourth = gram @ gram
    return fourth.square().sum((-2, -1)).amax(-1) ** 0.125


def step_size(
    W: torch.Tensor,
    residual: torch.Tensor,
    stable: float,
    relative: float,
) -> torch.Tensor:
    """Euler steps: ``min(stable / (L S^(2L-2)), relative / (||R||_F S^(L-2)))``.

    ``S`` is :func:`norm_bound`. The Hessian at a solution is at most ``L S^(2L-2)``, so
    the first is stability there. A step changes no factor by more than
    ``eta ||R||_F S^(L-1)``, so the second bounds its change relative to ``S`` while
    everything is small.

    Parameters
    ----------
    W, residual : factors ``(..., L, d, d)``, gradient of the product ``(..., d, d)``
    stable, relative : the two constants; below 2 the first is stable

    Returns
    -------
    Shape ``(...)``, a step for each network.
    """
    depth, size = W.shape[-3], norm_bound(W)
    slope = residual.square().sum((-2, -1)).sqrt() * size ** (depth - 2)
    return torch.minimum(stable / (depth * size ** (2 * depth - 2)), relative / slope)


def gaussian_factors(
    replicas: int, depth: int, dim: int, scale: float, generator: torch.Generator, *, equal: bool = False
) -> torch.Tensor:
    """Factors of independent normal entries of standard deviation ``scale^(1/L) / sqrt(d)``, in float64 on the CPU.

    So products of any depth start at about one size, ``scale``.

    Parameters
    ----------
    replicas, depth, dim : sizes; the result is ``(replicas, depth, dim, dim)``
    scale : of the product, ``epsilon``
    generator : CPU generator
    equal : all factors of a network are one sample
    """
    sample = torch.randn(replicas, 1 if equal else depth, dim, dim, generator=generator, dtype=torch.float64)
    return sample.expand(replicas, depth, dim, dim) * (scale ** (1 / depth) / dim**0.5)


@dataclass(frozen=True)
class Flow:
    """Where a gradient flow ended, for each network of a batch."""

    W: torch.Tensor  #: factors, (B, L, d, d)
    loss: torch.Tensor  #: at the end, (B,)
    time: torch.Tensor  #: of the flow, the sum of its steps, (B,)
    steps: torch.Tensor  #: that were made, (B,)
    converged: torch.Tensor  #: whether the loss fell to the tolerance, (B,)
    times: torch.Tensor | None = None  #: at which something was recorded, (rows, B)
    recorded: torch.Tensor | None = None  #: what was recorded, (rows, B, ...)


@torch.no_grad()
def gradient_flow(
    W: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor,
    *,
    tol: float | torch.Tensor,
    most: int,
    stable: float = 0.2,
    relative: float = 0.05,
    step: float | None = None,
    record: Callable[[torch.Tensor], torch.Tensor] | None = None,
    every: int = 1,
) -> Flow:
    """Follow ``dW_l/dt = -dloss/dW_l`` for ``loss = (1/2) ||mask * (W_L ... W_1 - target)||_F^2`` by Euler steps.

    Every network has its own step and stops by itself, where its loss is at most the tolerance or after ``most`` steps.

    Parameters
    ----------
    W : factors, ``(B, L, d, d)``
    target, mask : the matrix and which of its entries are observed, one or zero: ``(d, d)`` or ``(B, d, d)``
    tol : of the loss, one or ``(B,)``
    most : largest number of steps
    stable, relative : see :func:`step_size`
    step : one fixed step instead; where two runs are to be compared at equal times
    record : factors ``(B, L, d, d)`` to a tensor ``(B, ...)``, on CUDA within the limits of
        :mod:`companion.models.stepping`
    every : record after every so many steps

    Returns
    -------
    A :class:`Flow`; networks that left the finite numbers have not converged.
    """
    batch = W.shape[0]
    target, mask = (part.to(W).expand(batch, *W.shape[-2:]) for part in (target, mask))
    tol = torch.as_tensor(tol, dtype=W.dtype, device=W.device).expand(batch)
    state = (W, W.new_zeros(batch), torch.zeros(batch, dtype=torch.long, device=W.device))
    alive = torch.arange(batch, device=W.device)
    ended = tuple(part.clone() for part in state)
    stepper, kept, made = None, [], 0
    while made < most and len(alive):
        if stepper is None:
            move = _mover(target[alive], mask[alive], tol[alive], stable, relative, step)
            keep = None if record is None else (lambda W, time, steps: (time, record(W)))
            stepper = Stepper(move, state, record=keep, every=every)
        count = min(_CHUNK - _CHUNK % every if every <= _CHUNK else every, most - made)
        kept.append(stepper.run(count))
        made += count
        state = stepper.state
        going = losses(state[0], target[alive], mask[alive]) > tol[alive]
        # Recorded runs keep their shape, and on a GPU a smaller batch would need new graphs.
        if record is None and W.device.type == "cpu" and int(going.sum()) <= 0.75 * len(alive):
            for whole, part in zip(ended, state, strict=True):
                whole[alive] = part
            state, alive, stepper = tuple(part[going] for part in state), alive[going], None
        elif not bool(going.any()):
            break
    for whole, part in zip(ended, state, strict=True):
        whole[alive] = part
    W, time, steps = ended
    loss = losses(W, target, mask)
    rows = (None, None) if record is None or not kept else (torch.cat(part) for part in zip(*kept, strict=True))
    return Flow(W, loss, time, steps, loss <= tol, *rows)


def losses(W: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """``(1/2) ||mask * (W_L ... W_1 - target)||_F^2`` of every network: shape ``(...)``."""
    return (mask * (product(W) - target)).square().sum((-2, -1)) / 2


def _mover(
    target: torch.Tensor,
    mask: torch.Tensor,
    tol: torch.Tensor,
    stable: float,
    relative: float,
    fixed: float | None,
) -> Callable[..., tuple[torch.Tensor, ...]]:
    """One Euler step of all networks, none for those that have arrived."""

    def move(W: torch.Tensor, time: torch.Tensor, steps: torch.Tensor) -> tuple[torch.Tensor, ...]:
        before = prefixes(W)
        residual = mask * (before[-1] - target)
        going = residual.square().sum((-2, -1)) > 2 * tol
        size = torch.full_like(time, fixed) if fixed else step_size(W, residual, stable, relative)
        size = torch.where(going, size, 0.0)
        moved = W - size[:, None, None, None] * gradient(W, residual, before)
        return torch.where(going[:, None, None, None], moved, W), time + size, steps + going

    return move
