"""Gradient descent and spectral descent on a product of factors, eigenvalue by eigenvalue.

From equal starts ``W_j = alpha I`` and with a symmetric target all factors keep the target's eigenvectors, so that both
methods act on each eigenvalue ``d`` of a factor by itself:

    gradient descent    d <- d + eta d^(N-1) (lam - d^N)
    spectral descent    d <- d + eta sign(d^(N-1) (lam - d^N))

the second because the polar factor of a symmetric matrix keeps its eigenvectors and replaces its eigenvalues by their
signs. No approximation, only a change of basis.
"""

from collections.abc import Callable

import numpy as np
import torch

from companion.models.stepping import Stepper, run_steps

Step = Callable[[torch.Tensor, torch.Tensor, int, torch.Tensor], torch.Tensor]

CHUNK = 512  # iterations between two looks at whether all is done


def power(d: torch.Tensor, exponent: int) -> torch.Tensor:
    """``d^exponent`` by multiplication, many times faster than a general power."""
    found = d
    for _ in range(exponent - 1):
        found = found * d
    return found


def descent(
    d: torch.Tensor,
    lam: torch.Tensor,
    depth: int,
    eta: torch.Tensor,
) -> torch.Tensor:
    """One iteration of gradient descent on ``||W_N ... W_1 - W||_F^2 / 2``."""
    slope = power(d, depth - 1)
    return d + eta * slope * (lam - slope * d)


def spectral(
    d: torch.Tensor,
    lam: torch.Tensor,
    depth: int,
    eta: torch.Tensor,
) -> torch.Tensor:
    """One iteration of spectral descent: the gradient's polar factor for the gradient."""
    slope = power(d, depth - 1)
    return d + eta * torch.sign(slope * (lam - slope * d))


def first_passage(
    step: Step,
    lam: np.ndarray,
    level: np.ndarray,
    *,
    depth: int,
    alpha: np.ndarray | float,
    eta: np.ndarray | float,
    most: float,
    device: str = "cpu",
) -> np.ndarray:
    """First iteration with ``d^N >= level``, infinite where that never happens within ``most`` iterations.

    Parameters
    ----------
    step : :func:`descent` or :func:`spectral`
    lam, level, alpha, eta : broadcast against each other
    depth : number of factors N
    most : iterations after which the search ends, rounded up to whole chunks
    """
    lam, level, alpha, eta = np.broadcast_arrays(lam, level, alpha, eta)
    lam_t, level_t, start, eta_t = (
        torch.tensor(np.ascontiguousarray(x), dtype=torch.float64, device=device) for x in (lam, level, alpha, eta)
    )
    never = ~torch.isfinite(level_t)

    def advance(d: torch.Tensor, hit: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, ...]:
        d, k = step(d, lam_t, depth, eta_t), k + 1
        return d, torch.where((hit < 0) & (power(d, depth) >= level_t), k, hit), k

    hit = torch.where(start**depth >= level_t, 0.0, -1.0).to(torch.float64)
    stepper = Stepper(advance, (start, hit, torch.zeros((), dtype=torch.float64, device=device)))
    done = 0
    while done < most and not bool(((stepper.state[1] >= 0) | never).all()):
        stepper.run(CHUNK)
        done += CHUNK
    found = stepper.state[1].cpu().numpy()
    return np.where(found < 0, np.inf, found)


def follow(
    step: Step,
    lam: np.ndarray,
    *,
    depth: int,
    alpha: float,
    eta: np.ndarray | float,
    steps: int,
    every: int = 1,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Products ``d^N`` along a run.

    Returns
    -------
    iterations, products
        ``0, every, 2 every, …`` up to ``steps``, shape ``(K,)``, and ``(K, *lam.shape)``
    """
    lam_t = torch.tensor(np.asarray(lam, dtype=float), device=device)
    eta_t = torch.tensor(np.broadcast_to(eta, lam_t.shape).copy(), dtype=torch.float64, device=device)
    d = torch.full_like(lam_t, alpha)
    _, kept = run_steps(
        lambda d: step(d, lam_t, depth, eta_t), (d,), steps, record=lambda d: power(d, depth), every=every
    )
    products = torch.cat([d[None] ** depth, kept]).cpu().numpy()
    return every * np.arange(len(products)), products


def settling(
    step: Step,
    lam: np.ndarray | float,
    eps: float,
    *,
    depth: int,
    alpha: np.ndarray | float,
    eta: np.ndarray | float,
    steps: int,
    device: str = "cpu",
) -> np.ndarray:
    """Iteration from which on ``|d^N - lam| <= eps lam``, for the rest of ``steps`` iterations; else infinite.

    Without overshoot it is the first passage of ``(1 - eps) lam``. Other arguments as in :func:`first_passage`.
    """
    lam, alpha, eta = np.broadcast_arrays(lam, alpha, eta)
    lam_t, start, eta_t = (
        torch.tensor(np.ascontiguousarray(x), dtype=torch.float64, device=device) for x in (lam, alpha, eta)
    )

    def advance(d: torch.Tensor, outside: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, ...]:
        d, k = step(d, lam_t, depth, eta_t), k + 1
        # a comparison that an overflow makes undefined counts as outside
        return d, torch.where((power(d, depth) - lam_t).abs() <= eps * lam_t, outside, k), k

    k = torch.zeros((), dtype=torch.float64, device=device)
    first = torch.where((start**depth - lam_t).abs() <= eps * lam_t, -1.0, 0.0).to(torch.float64)
    (_, outside, _), _ = run_steps(advance, (start, first, k), steps)
    outside = outside.cpu().numpy()
    return np.where(outside >= steps, np.inf, outside + 1)


def increase(
    lam: np.ndarray,
    *,
    depth: int,
    alpha: float,
    eta: np.ndarray | float,
    steps: int,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient descent's products after ``steps``, and the largest increase of a distance to the limit on the way.

    The limit of ``d^N`` is ``max(lam, 0)``; the increase is over the last axis of ``lam`` and all iterations, zero
    where every eigenvalue approaches its limit monotonically.
    """
    lam_t = torch.tensor(np.asarray(lam, dtype=float), device=device)
    eta_t = torch.tensor(np.broadcast_to(eta, lam_t.shape).copy(), dtype=torch.float64, device=device)
    goal = lam_t.clamp_min(0)

    def advance(d: torch.Tensor, worst: torch.Tensor) -> tuple[torch.Tensor, ...]:
        moved = descent(d, lam_t, depth, eta_t)
        rise = (power(moved, depth) - goal).abs() - (power(d, depth) - goal).abs()
        return moved, torch.maximum(worst, rise.amax(-1))

    d = torch.full_like(lam_t, alpha)
    (d, worst), _ = run_steps(advance, (d, torch.zeros_like(d[..., 0])), steps)
    return (d**depth).cpu().numpy(), worst.cpu().numpy()
