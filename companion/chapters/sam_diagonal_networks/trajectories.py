"""Amplification along the way: discrete runs with the two clocks of the theory, other problems, and collapse."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.sam_diagonal_networks import theory
from companion.chapters.sam_diagonal_networks.setting import TINY, Parameters, Radii, joint_norm, perturbation
from companion.models.diagonal import diagonal_gradient

# Name, norm, and radius as a multiple of rho; the un-normalized variant also with radius 1, whatever rho.
METHODS = ("GD", "l2-SAM", "linf-SAM", "unnormalized SAM", "unnormalized SAM, radius 1")


@dataclass(frozen=True)
class Amplification:
    """Discrete runs on one example in physical time from uniform starts, with the two clocks of the theory.

    Attributes
    ----------
    mu, rho, lr : as in the parameters
    scales : ``alpha / rho``: the shown ones and the grid of the phase diagram, increasing, ``(B,)``
    shown : positions of the shown scales among them
    steps : recorded steps, ``(K,)``
    beta : ``(M, K, B, d)``, methods as in ``METHODS``
    s, A : accumulated along each run, ``(M, K, B)``
    collapsed : whether ``n`` has been below ``rho mu_1`` before, for l2-SAM, ``(K, B)``
    alpha_c, gd_like : the two thresholds, in units of ``rho``
    swaps : predicted swaps of each shown scale, from the reduced flow alone
    """

    mu: np.ndarray
    rho: float
    lr: float
    scales: np.ndarray
    shown: np.ndarray
    steps: np.ndarray
    beta: np.ndarray
    s: np.ndarray
    A: np.ndarray
    collapsed: np.ndarray
    alpha_c: float
    gd_like: float
    swaps: tuple[tuple[theory.Swap, ...], ...]

    def dominant(self, method: str) -> np.ndarray:
        """Index of the largest coordinate, ``(K, B)``."""
        return self.beta[METHODS.index(method)].argmax(-1)

    def predicted(self, method: str) -> np.ndarray:
        """Index that the vertex rule gives from the clocks of this method's runs, ``(K, B)``."""
        row = METHODS.index(method)
        start = self.scales * np.linalg.norm(self.mu) / np.sqrt(2)
        return theory.nearest(theory.vertex(self.s[row], self.A[row], self.rho, start), self.mu)

    def margin(self, method: str) -> np.ndarray:
        """``<beta, mu>``, ``(K, B)``."""
        return self.beta[METHODS.index(method)] @ self.mu


def amplification(params: Parameters) -> Amplification:
    """C5, C6, C7 and half of C9: every method from every scale, at once."""
    mu, rho = np.array(params.mu), params.rho
    alpha_c, gd_like = theory.critical_scale(mu), theory.gd_like_scale(mu)
    grid = np.linspace(0.9 * alpha_c, 1.1 * max(gd_like, alpha_c), params.grid)
    scales = np.unique(np.concatenate([params.scales, grid]))
    shown = np.searchsorted(scales, params.scales)
    runs = len(scales)
    norms = ["gd", "l2", "linf", "none", "none"]
    radii = Radii.of([norm for norm in norms for _ in range(runs)], [r for r in [rho] * 4 + [1.0] for _ in range(runs)])
    w = torch.from_numpy(np.tile(rho * scales, len(norms)))[:, None, None].repeat(1, 2, len(mu))
    steps, beta, s, A, n = amplify(w, torch.from_numpy(mu[None]), radii, params.lr, params.steps, params.record_every)
    shape = (len(steps), len(norms), runs)
    beta = beta.reshape(*shape, len(mu)).swapaxes(0, 1)
    s, A, n = (a.reshape(shape).swapaxes(0, 1) for a in (s, A, n))
    collapsed = np.maximum.accumulate(n[METHODS.index("l2-SAM")] < rho * mu[0], axis=0)
    alpha = rho * np.array(params.scales)[:, None] * np.ones(len(mu))
    flow = theory.l2_flow(alpha, mu, rho, until=1e12)
    swaps = tuple(tuple(swap for swap in theory.swap_times(flow, run, mu, rho)) for run in range(len(params.scales)))
    return Amplification(mu, rho, params.lr, scales, shown, steps, beta, s, A, collapsed, alpha_c, gd_like, swaps)


def amplify(
    w: torch.Tensor, z: torch.Tensor, radii: Radii, lr: float | torch.Tensor, steps: int, record_every: int
) -> tuple[np.ndarray, ...]:
    """Discrete depth-2 SAM on one example per problem, with the clocks that the closed form needs.

    The clocks are ``s``, the sum of ``lr |l'|`` at the perturbed weights, and ``A``, the sum of ``lr |l'| / n`` with
    ``n = ||grad L|| / |l'|`` at the weights.

    Parameters
    ----------
    w : starts, ``(..., R, 2, d)``; changed in place
    z : the examples, ``(..., 1, d)``
    radii : of the ``R`` runs
    lr : step size, or one per run that broadcasts against ``(..., R, 1, 1)``

    Returns
    -------
    Recorded steps ``(K,)``, predictors ``(K, ..., R, d)``, and ``s``, ``A``, ``n``, each ``(K, ..., R)``.
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
            ahead, slope_ahead = diagonal_gradient(w + perturbation(gradient, norm, radii), z)
            w -= lr * ahead
            moved = flat_lr * slope_ahead[..., 0]
            s += moved
            A += moved / n.clamp_min(TINY)
            if step % record_every == 0:
                kept.append((w.prod(-2), s.clone(), A.clone(), n))
    beta, s, A, n = (torch.stack(parts).cpu().numpy() for parts in zip(*kept, strict=True))
    return np.arange(1, len(kept) + 1) * record_every, beta, s, A, n


# --- other problems ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """The vertex rule on other problems: random ones, uneven starts, other dimensions and radii.

    Attributes
    ----------
    agreement_random : share of recorded times at which the rule names the dominant coordinate, ``(problems,)``
    agreement_uneven : the same from starts of unequal coordinates, by the parabola with offsets, ``(problems,)``
    agreement_uneven_plain : there, by the vertex alone
    dimensions, radii : of the sweep, ``(P,)`` each
    agreement : per problem of the sweep, ``(P,)``
    monotone : whether the dominant index never falls as the scale grows, at all recorded times, ``(P,)``
    alpha_c : the flow's critical scale, ``(P,)``
    boundary : scale between the last run that collapsed and the first that did not, ``(P,)``
    """

    agreement_random: np.ndarray
    agreement_uneven: np.ndarray
    agreement_uneven_plain: np.ndarray
    dimensions: np.ndarray
    radii: np.ndarray
    agreement: np.ndarray
    monotone: np.ndarray
    alpha_c: np.ndarray
    boundary: np.ndarray


def sweep(params: Parameters) -> Sweep:
    """C5a beyond the main example; on the chosen device, which pays for large grids."""
    random, uneven, plain = _random_problems(params)
    problems = [(d, rho) for d in params.dimensions for rho in params.radii]
    dims, radii = (np.array(column) for column in zip(*problems, strict=True))
    wide = int(dims.max())
    mu = np.zeros((len(problems), 1, wide))
    for row, d in zip(mu, dims, strict=True):
        row[0, :d] = np.linspace(1, 4, d)
    critical = {d: theory.critical_scale(np.linspace(1, 4, d)) for d in set(dims.tolist())}
    alpha_c = np.array([critical[d] for d in dims.tolist()])
    like_gd = np.array([theory.gd_like_scale(row[0, :d]) for row, d in zip(mu, dims, strict=True)])
    spread = np.linspace(0, 1, params.grid)
    scales = 0.9 * alpha_c[:, None] + (1.1 * like_gd - 0.9 * alpha_c)[:, None] * spread
    w, ball = _stack(radii[:, None, None] * scales[..., None] * (mu > 0), radii, params.device)
    lr, steps = 4e-3, max(params.steps // 2, 50)
    _, beta, s, A, n = amplify(w, torch.from_numpy(mu).to(params.device), ball, lr, steps, 25)
    collapsed = np.maximum.accumulate(n < radii[:, None], axis=0)
    start = theory.initial_vertex(scales[..., None] * np.ones(wide), mu, 1.0)
    grid = np.where(mu > 0, mu, np.inf)
    predicted = theory.nearest(theory.vertex(s, A, radii[:, None], start), grid)
    dominant = beta.argmax(-1)
    agreement = _agreement(predicted == dominant, ~collapsed)
    # A collapsed run has no dominant coordinate; it counts as the smallest index.
    index = np.where(collapsed, 0, dominant)
    monotone = (np.diff(index, axis=-1) >= 0).all(axis=(0, 2))
    fallen = collapsed[-1]
    last = np.where(fallen, scales, 0.0).max(-1)
    first = np.where(fallen, np.inf, scales).min(-1)
    return Sweep(random, uneven, plain, dims, radii, agreement, monotone, alpha_c, (last + first) / 2)


def _stack(alpha: np.ndarray, rho: np.ndarray, device: str) -> tuple[torch.Tensor, Radii]:
    """Depth-2 starts ``(P, R, 2, d)`` from ``alpha`` of shape ``(P, R, d)``, and one l2 radius per problem."""
    w = torch.from_numpy(np.ascontiguousarray(alpha)).to(device)[:, :, None].repeat(1, 1, 2, 1)
    radius = torch.from_numpy(np.asarray(rho, dtype=float)).to(device)[:, None, None, None]
    return w, Radii(l2=radius, linf=torch.zeros_like(radius), none=torch.zeros_like(radius))


def _agreement(equal: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Share of counted records that agree, per problem: ``(K, P, R)`` to ``(P,)``."""
    return (equal & counted).sum((0, 2)) / np.maximum(counted.sum((0, 2)), 1)


def _random_problems(params: Parameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random examples and radii, each from three uniform and three uneven starts."""
    rng = np.random.default_rng([params.seed, 5])
    count, wide = params.random_problems, 7
    dims = rng.integers(2, 8, size=count)
    rho = rng.uniform(0.05, 0.3, size=count)
    mu = np.zeros((count, 1, wide))
    alpha = np.zeros((count, 6, wide))
    for k, d in enumerate(dims):
        mu[k, 0, :d] = np.cumsum(rng.uniform(0.3, 1.0, size=d))
        low, high = theory.critical_scale(mu[k, 0, :d], 1e-3), theory.gd_like_scale(mu[k, 0, :d])
        uniform = rho[k] * (low + (high - low) * np.array([0.15, 0.4, 0.7]))[:, None]
        alpha[k, :3, :d] = uniform
        alpha[k, 3:, :d] = uniform * np.exp(rng.uniform(-0.3, 0.3, size=(3, d)))
    lr = 0.004 / mu.max((1, 2))  # the rule is exact for the flow; mismatches fall with the step size
    w, ball = _stack(alpha, rho, "cpu")
    step = torch.from_numpy(lr)[:, None, None, None]
    _, beta, s, A, n = amplify(w, torch.from_numpy(mu), ball, step, max(params.steps // 2, 50), 25)
    collapsed = np.maximum.accumulate(n < (rho * mu[:, 0, 0])[:, None], axis=0)
    start = theory.initial_vertex(alpha, mu, rho[:, None])
    vertex_index = theory.nearest(theory.vertex(s, A, rho[:, None], start), np.where(mu > 0, mu, np.inf))
    with np.errstate(divide="ignore"):
        offsets = theory.log_beta(s, A, alpha, mu, rho[:, None, None])
    dominant = beta.argmax(-1)
    by_vertex, by_parabola = vertex_index == dominant, offsets.argmax(-1) == dominant
    return (
        _agreement(by_vertex[:, :, :3], ~collapsed[:, :, :3]),
        _agreement(by_parabola[:, :, 3:], ~collapsed[:, :, 3:]),
        _agreement(by_vertex[:, :, 3:], ~collapsed[:, :, 3:]),
    )


@dataclass(frozen=True)
class Boundary:
    """Where discrete SAM stops collapsing, for several step sizes.

    Attributes
    ----------
    lr : step sizes, ``(E,)``
    found : the boundary in units of ``alpha_c``, ``(E,)``
    resolution : spacing of the scales that were tried, in the same units
    alpha_c : of the flow, in units of ``rho``
    """

    lr: np.ndarray
    found: np.ndarray
    resolution: float
    alpha_c: float


def boundary(params: Parameters) -> Boundary:
    """Extension: the collapse boundary of the algorithm against that of the flow."""
    mu, rho = np.array(params.mu), params.rho
    alpha_c = theory.critical_scale(mu)
    lr = 0.05 / mu[-1] / 2.0 ** np.arange(3)
    ratio = np.linspace(0.99, 1.01, 101)
    w, ball = _stack(np.tile((rho * alpha_c * ratio)[None, :, None], (3, 1, len(mu))), np.full(3, rho), "cpu")
    z = torch.from_numpy(np.tile(mu, (3, 1, 1)))
    step = torch.from_numpy(lr)[:, None, None, None]
    _, _, _, _, n = amplify(w, z, ball, step, int(min(24 / (lr[-1] * mu[0]), 10_000)), 20)
    fallen = (n < rho * mu[0]).any(0)
    last = np.where(fallen, ratio, ratio[0]).max(-1)
    first = np.where(fallen, ratio[-1], ratio).min(-1)
    return Boundary(lr, (last + first) / 2, float(ratio[1] - ratio[0]), alpha_c)
