"""Gradient flow and spectral gradient flow of a factorized matrix, many runs at once.

The loss of factors ``B`` (m, r) and ``A`` (r, n) is

    f(A, B) = 1/2 ||B A - M||_F^2 + lam/2 (||A||_F^2 + ||B||_F^2).

Gradient flow follows minus its gradients. Spectral gradient flow puts the (smoothed) polar factor of each gradient in
its place: dB/dt = -T(grad_B), dA/dt = -T(grad_A) with T(G) = G (G^T G + beta^2 I)^(-1/2).
"""

from collections.abc import Callable

import numpy as np
import torch

from companion.chapters.spectral_gradient_flow_lora.muon import muon_step
from companion.optim.orthogonalize import smoothed_polar

Factors = tuple[torch.Tensor, torch.Tensor]
Record = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]


def gradients(B: torch.Tensor, A: torch.Tensor, M: torch.Tensor, lam: torch.Tensor | float = 0.0) -> Factors:
    """Gradients of the loss: ``(B A - M) A^T + lam B`` and ``B^T (B A - M) + lam A``.

    Parameters
    ----------
    B, A, M : ``(..., m, r)``, ``(..., r, n)`` and ``(..., m, n)``
    lam : weight of the squared norms; a tensor broadcasts against ``(..., 1, 1)``
    """
    residual = B @ A - M
    return residual @ A.mT + lam * B, B.mT @ residual + lam * A


def loss(B: torch.Tensor, A: torch.Tensor, M: torch.Tensor, lam: torch.Tensor | float = 0.0) -> torch.Tensor:
    """``1/2 ||B A - M||_F^2 + lam/2 (||A||_F^2 + ||B||_F^2)``, shape ``(...)``; ``lam`` a number or of that shape."""
    squares = A.square().sum((-2, -1)) + B.square().sum((-2, -1))
    return ((B @ A - M).square().sum((-2, -1)) + lam * squares) / 2


def spectral_flow(
    B: torch.Tensor,
    A: torch.Tensor,
    M: torch.Tensor,
    sizes: torch.Tensor,
    *,
    beta: float | torch.Tensor,
    lam: torch.Tensor | float = 0.0,
    record: Record,
    every: int,
) -> tuple[torch.Tensor, ...]:
    """Euler steps ``B <- B - h T(grad_B)``, ``A <- A - h T(grad_A)``, both at once.

    Parameters
    ----------
    B, A, M : ``(runs, m, r)``, ``(runs, r, n)``, and ``(m, n)`` or ``(runs, m, n)``
    sizes : step sizes ``h``, shape ``(steps, runs)``
    beta, lam : a number, or one for each run
    record, every : what to keep, at the start and after every so many steps

    Returns
    -------
    Tensors of shape ``(steps // every + 1, ...)``, one for each that ``record`` gives.
    """
    decay = lam[:, None, None] if isinstance(lam, torch.Tensor) else lam
    kept = [record(B, A)]
    for step, h in enumerate(sizes[:, :, None, None], start=1):
        grad_B, grad_A = gradients(B, A, M, decay)
        B = B - h * smoothed_polar(grad_B, beta)
        A = A - h * smoothed_polar(grad_A, beta)
        if step % every == 0:
            kept.append(record(B, A))
    return tuple(torch.stack(values) for values in zip(*kept, strict=True))


def gradient_flow(
    B: torch.Tensor, A: torch.Tensor, M: torch.Tensor, *, steps: int, size: float, record: Record, every: int
) -> tuple[torch.Tensor, ...]:
    """Gradient flow by the classical Runge-Kutta method of order four; arguments and value as :func:`spectral_flow`."""
    kept = [record(B, A)]
    for step in range(1, steps + 1):
        slopes: list[Factors] = []
        for reach in (0.0, 0.5, 0.5, 1.0):
            ahead = [size * reach * slope for slope in slopes[-1]] if slopes else [0.0, 0.0]
            slopes.append(tuple(-gradient for gradient in gradients(B + ahead[0], A + ahead[1], M)))
        B, A = (
            factor + size / 6 * (one + 2 * two + 2 * three + four)
            for factor, one, two, three, four in zip((B, A), *slopes, strict=True)
        )
        if step % every == 0:
            kept.append(record(B, A))
    return tuple(torch.stack(values) for values in zip(*kept, strict=True))


def muon_run(
    B: torch.Tensor, A: torch.Tensor, M: torch.Tensor, sizes: torch.Tensor, *, record: Record, every: int
) -> tuple[torch.Tensor, ...]:
    """As :func:`spectral_flow`, with Muon's step: Nesterov momentum, then five Newton-Schulz steps."""
    kept, averages = [record(B, A)], [torch.zeros_like(B), torch.zeros_like(A)]
    for step, h in enumerate(sizes[:, :, None, None], start=1):
        moved = []
        for k, (factor, gradient) in enumerate(zip((B, A), gradients(B, A, M), strict=True)):
            averages[k], direction = muon_step(averages[k], gradient)
            moved.append(factor - h * direction)
        B, A = moved
        if step % every == 0:
            kept.append(record(B, A))
    return tuple(torch.stack(values) for values in zip(*kept, strict=True))


def warm_up(
    size: float, starts: np.ndarray, t_max: float, growth: float = 0.02
) -> np.ndarray:  # fmt: skip
    """Step sizes ``min(size, growth (t + 0.01 alpha))`` up to the time ``t_max``.

    The polar factor has unit speed however small the factors are. A first step longer
    than they are jumps over zero in directions that start with the wrong sign, and goes
    on to jump back and forth for ever.

    Parameters
    ----------
    size : of the steps once ``t`` is large
    starts : ``alpha``, the sizes of the starts, shape ``(runs,)``

    Returns
    -------
    Array ``(steps, runs)``; a run that arrives earlier than others has steps of size
    zero at its end.
    """
    times, sizes = np.zeros(len(starts)), []
    while (times < t_max).any():
        step = np.minimum(size, growth * (times + 0.01 * starts))
        step = np.minimum(step, t_max - times)
        sizes.append(step)
        times = np.where(t_max - times <= step, t_max, times + step)
    return np.array(sizes)
