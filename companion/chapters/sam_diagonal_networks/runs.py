"""Discrete runs on one example: in physical time with the two clocks of the theory, and in rescaled time."""

import numpy as np
import torch

from companion.chapters.sam_diagonal_networks.sam import TINY, Radii, joint_norm, perturbation
from companion.models.diagonal import diagonal_gradient


def amplify(
    w: torch.Tensor,
    z: torch.Tensor,
    radii: Radii,
    lr: float | torch.Tensor,
    steps: int,
    record_every: int,
) -> tuple[np.ndarray, ...]:
    """Discrete depth-2 SAM on one example per problem, with the theory's two clocks.

    The clocks are ``s``, the sum of ``lr |l'|`` at the perturbed weights, and ``A``,
    the sum of ``lr |l'| / n`` with ``n = ||grad L|| / |l'|`` at the weights.

    Parameters
    ----------
    w : starts, ``(..., R, 2, d)``; changed in place
    z : the examples, ``(..., 1, d)``
    radii : of the ``R`` runs
    lr : step size, or one per run that broadcasts against ``(..., R, 1, 1)``

    Returns
    -------
    Recorded steps ``(K,)``, predictors ``(K, ..., R, d)``, and ``s``, ``A``, ``n``,
    each ``(K, ..., R)``; ``n`` is that before the step.
    """
    s = torch.zeros(w.shape[:-2], dtype=w.dtype, device=w.device)
    A = torch.zeros_like(s)
    flat_lr = lr[..., 0, 0] if torch.is_tensor(lr) else lr
    kept: list[tuple[torch.Tensor, ...]] = []
    with torch.inference_mode():
        for step in range(1, steps + 1):
            gradient, slope = diagonal_gradient(w, z)
            norm = joint_norm(gradient)
            n = norm[..., 0, 0] / slope[..., 0].clamp_min(TINY)
            eps = perturbation(gradient, norm, radii)
            ahead, slope_ahead = diagonal_gradient(w + eps, z)
            w -= lr * ahead
            moved = flat_lr * slope_ahead[..., 0]
            s += moved
            A.addcdiv_(moved, n.clamp_min(TINY))
            if step % record_every == 0:
                kept.append((w.prod(-2), s.clone(), A.clone(), n))
    recorded = np.arange(1, len(kept) + 1) * record_every
    beta, s, A, n = (torch.stack(x).cpu().numpy() for x in zip(*kept, strict=True))
    return recorded, beta, s, A, n


def rescale(
    w: torch.Tensor, z: torch.Tensor, radii: Radii, lr: float, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Discrete SAM on one example in rescaled time: the gradient at the perturbed weights without its scalar ``|l'|``.

    Parameters
    ----------
    w : starts, ``(R, L, d)``; changed in place
    z : the example, ``(1, d)``

    Returns
    -------
    beta : the predictor at the end, ``(R, d)``
    leader : index of its largest coordinate after every step, ``(steps, R)``
    n : norm of the gradient without the scalar, before every step, ``(steps, R)``
    """
    leaders, norms = [], []
    with torch.inference_mode():
        for _ in range(steps):
            gradient, _ = diagonal_gradient(w, z, normalized=True)
            norm = joint_norm(gradient)
            ahead, _ = diagonal_gradient(w + perturbation(gradient, norm, radii), z, normalized=True)
            w -= lr * ahead
            leaders.append(w.prod(-2).argmax(-1))
            norms.append(norm[:, 0, 0])
    return w.prod(-2).numpy(), torch.stack(leaders).numpy(), torch.stack(norms).numpy()
