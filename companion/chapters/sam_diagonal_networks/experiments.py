"""Experiments on limits: depth 1, the gates of infinity-norm SAM, the limit of 2-norm SAM; and the whole run."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog

from companion.analysis.max_margin import NotSeparableError, max_margin, normalized_margin
from companion.chapters.sam_diagonal_networks import theory
from companion.chapters.sam_diagonal_networks.examples import Digits, Plane, digits, plane
from companion.chapters.sam_diagonal_networks.networks import Networks, cnn, relu_mlp
from companion.chapters.sam_diagonal_networks.setting import TINY, Parameters, Radii, sam_gradient
from companion.chapters.sam_diagonal_networks.trajectories import (
    Amplification,
    Boundary,
    Sweep,
    amplification,
    boundary,
    sweep,
)

# --- depth 1 ----------------------------------------------------------------------------------------------------------

DEPTH_ONE = ("GD", "l2-SAM", "linf-SAM", "sign-GD")


@dataclass(frozen=True)
class DepthOne:
    """Linear models: GD, both SAMs and, as the control, sign-GD (in the order of ``DEPTH_ONE``).

    Attributes
    ----------
    steps : recorded steps, ``(K,)``
    ratio : 2-norm margin over its maximum, ``(K, datasets, 4)``
    cosine : of ``w(t) - w(0)`` with ``mu`` on the one example, in physical time from a random start, ``(4,)``
    """

    steps: np.ndarray
    ratio: np.ndarray
    cosine: np.ndarray


def signed_gaussians(rng: np.random.Generator, datasets: int, n: int = 20, d: int = 12) -> np.ndarray:
    """Gaussian examples on the right side of a random unit vector, moved half a unit along it, ``(datasets, n, d)``."""
    direction = rng.normal(size=(datasets, 1, d))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    z = rng.normal(size=(datasets, n, d))
    return z * np.sign((z * direction).sum(-1, keepdims=True)) + 0.5 * direction


def depth_one(params: Parameters) -> DepthOne:
    """C1. Steps ``w <- w - eta grad L(w_hat) / mean |l'_i(w_hat)|``: rescaled time, in which margins keep growing."""
    rng = np.random.default_rng([params.seed, 1])
    z = signed_gaussians(rng, params.datasets)
    best = np.array([max_margin(data, 2).margin for data in z])
    radii = Radii.of(["gd", "l2", "linf", "gd"], [params.rho_depth_one] * 4)
    is_sign = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)[:, None, None]
    w = torch.from_numpy(rng.normal(size=(params.datasets, 1, 1, z.shape[-1]))).repeat(1, 4, 1, 1)
    data = torch.from_numpy(z)
    records = np.unique(np.geomspace(10, params.steps_depth_one, 60).astype(int))
    kept = []
    with torch.inference_mode():
        for step in range(1, params.steps_depth_one + 1):
            ahead, _ = sam_gradient(w, data, radii, normalized=True)
            w -= 0.05 * torch.lerp(ahead, ahead.sign(), is_sign)
            if step in records:
                kept.append(w[..., 0, :].numpy().copy())
    ratio = normalized_margin(np.stack(kept), z[:, None], 2) / best[:, None]
    return DepthOne(records, ratio, _single_example_cosines(params, rng))


def _single_example_cosines(params: Parameters, rng: np.random.Generator) -> np.ndarray:
    mu = torch.tensor([params.mu], dtype=torch.float64)
    radii = Radii.of(["gd", "l2", "linf", "gd"], [params.rho_depth_one] * 4)
    start = torch.from_numpy(rng.normal(size=(1, 1, len(params.mu)))).repeat(4, 1, 1)
    w = start.clone()
    with torch.inference_mode():
        for _ in range(500):
            ahead, _ = sam_gradient(w, mu, radii)
            ahead[3] = ahead[3].sign()
            w -= params.lr * ahead
        moved = (w - start)[:, 0]
        return torch.nn.functional.cosine_similarity(moved, mu, dim=-1).numpy()


# --- the gates of infinity-norm SAM -----------------------------------------------------------------------------------

DEPTHS = (2, 3)
LOW, HIGH = 0.6, 1.4


@dataclass(frozen=True)
class Gates:
    """Infinity-norm SAM and GD on one example from all ``2^d`` patterns of starts below and above ``rho``.

    Attributes
    ----------
    mu, alpha : the example ``(d,)``, the starts ``(P, d)``
    error : largest deviation of discrete SAM in physical time from the closed form, by depth, ``(2,)``
    error_gd_formula : the same with the closed form of gradient flow (``rho = 0``), ``(2,)``
    share : share of each coordinate in the predictor at the end of the rescaled runs, ``(2 depths, 2 methods, P, d)``
    size : sum of the predictor there, ``(2, 2, P)``; methods are linf-SAM and GD
    limit : index of the limit axis, -1 where the predictor vanishes or has no limit axis, ``(2, 2, P)``
    predicted : the theorem's, ``(2, 2, P)``
    plane : trajectories of linf-SAM, l2-SAM and GD for ``mu = (1, 2)``, ``(K, 3, starts, 2)``
    map_scales : ``alpha_j / rho`` of the maps' axes, ``(G,)``
    map : the leading axis at the end for ``mu = (1, 2)``, -1 where no axis leads, ``(2 depths, 2 methods, G, G)`` with
        ``alpha_1`` along the last axis
    """

    mu: np.ndarray
    rho: float
    alpha: np.ndarray
    error: np.ndarray
    error_gd_formula: np.ndarray
    share: np.ndarray
    size: np.ndarray
    limit: np.ndarray
    predicted: np.ndarray
    plane: np.ndarray
    map_scales: np.ndarray
    map: np.ndarray


def gates(params: Parameters) -> Gates:
    """C2 and C3. Discrete SAM against the closed forms, and limits in rescaled time."""
    mu, rho = np.array(params.mu_gates), params.rho_linf
    d = len(mu)
    patterns = (np.arange(2**d)[:, None] >> np.arange(d)) & 1
    alpha = rho * np.where(patterns, HIGH, LOW)
    errors = np.array([_against_closed_form(mu, alpha, rho, depth) for depth in DEPTHS])
    share, size = map(np.stack, zip(*(_rescaled_limits(mu, alpha, rho, depth) for depth in DEPTHS), strict=True))
    limit = np.where((share.max(-1) > 0.99) & (size > 1e-2 * rho**3), share.argmax(-1), -1)
    predicted = np.stack([[theory.linf_limit(alpha, mu, r, depth) for r in (rho, 0.0)] for depth in DEPTHS])
    return Gates(
        mu, rho, alpha, errors[:, 0], errors[:, 1], share, size, limit, predicted, _plane(params), *_winner_maps(rho)
    )


def _winner_maps(rho: float, points: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Which axis leads at the end of the rescaled runs, over a square of starts for ``mu = (1, 2)``."""
    scales = (np.arange(points) + 0.5) * 2 / points
    first, second = np.meshgrid(scales, scales)
    alpha = rho * np.stack([first.ravel(), second.ravel()], axis=-1)
    maps = []
    for depth in DEPTHS:
        share, size = _rescaled_limits(np.array([1.0, 2.0]), alpha, rho, depth, rate=0.03)
        # Below both gates the predictor tends to 0 or to rho^depth (1, 1); elsewhere it has grown far beyond that.
        maps.append(np.where(size < 3 * rho**depth, -1, share.argmax(-1)).reshape(2, points, points))
    return scales, np.stack(maps)


def _against_closed_form(mu: np.ndarray, alpha: np.ndarray, rho: float, depth: int) -> tuple[float, float]:
    """Discrete linf-SAM in physical time; the closed form's clock sums ``eta |l'|`` at the perturbed weights."""
    eta = 1e-3 / max(1.0, mu[-1] / 3)
    z = torch.from_numpy(mu[None])
    radii = Radii.of(["linf"], [rho])
    w = torch.from_numpy(alpha)[:, None].repeat(1, depth, 1)
    s = torch.zeros(len(alpha), dtype=torch.float64)
    betas, clocks = [], []
    with torch.inference_mode():
        for step in range(1, 2501):
            ahead, slope = sam_gradient(w, z, radii)
            w -= eta * ahead
            s += eta * slope[:, 0]
            if step % 25 == 0:
                betas.append(w.prod(-2).numpy())
                clocks.append(s.numpy().copy())
    beta, clock = np.stack(betas), np.stack(clocks)
    errors = []
    for radius in (rho, 0.0):
        exact = theory.linf_weights(clock, alpha, mu, radius, depth) ** depth
        errors.append(float(np.abs(beta - np.minimum(exact, 1e3)).max()))
    return tuple(errors)


def _rescaled_limits(
    mu: np.ndarray, alpha: np.ndarray, rho: float, depth: int, rate: float = 0.01
) -> tuple[np.ndarray, np.ndarray]:
    """Shares and size of the predictor after runs whose clock ignores the loss (and, past depth 2, the growth)."""
    methods = ["linf"] * len(alpha) + ["gd"] * len(alpha)
    radii = Radii.of(methods, [rho] * len(methods))
    z = torch.from_numpy(mu[None])
    w = torch.from_numpy(np.concatenate([alpha, alpha]))[:, None].repeat(1, depth, 1)
    eta = rate / mu[-1]
    gap = np.diff(mu).min()
    steps = int(min(8.0 / (eta * gap), 10_000))
    with torch.inference_mode():
        for _ in range(steps):
            ahead, _ = sam_gradient(w, z, radii, normalized=True)
            grown = (w - radii.linf).abs().amax((-2, -1), keepdim=True).clamp_min(TINY)
            w -= eta * ahead / grown ** (depth - 2)
        beta = w.prod(-2).numpy().reshape(2, len(alpha), -1)
    size = beta.sum(-1)
    return beta / np.maximum(np.abs(size), TINY)[..., None], size


def _plane(params: Parameters) -> np.ndarray:
    """Trajectories in the predictor's plane for ``mu = (1, 2)`` and four starts around the gates."""
    rho = params.rho_linf
    starts = rho * np.array([[0.6, 0.7], [1.3, 0.8], [0.7, 1.3], [1.3, 1.1]])
    norms = ["linf"] * 4 + ["l2"] * 4 + ["gd"] * 4
    radii = Radii.of(norms, [rho] * 12)
    w = torch.from_numpy(np.tile(starts, (3, 1)))[:, None].repeat(1, 2, 1)
    z = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    path = [w.prod(-2).numpy()]
    with torch.inference_mode():
        for step in range(1, 4001):
            w -= 4e-3 * sam_gradient(w, z, radii)[0]
            if step % 20 == 0:
                path.append(w.prod(-2).numpy())
    return np.stack(path).reshape(len(path), 3, 4, 2)


# --- depth 2, the limit of 2-norm SAM ---------------------------------------------------------------------------------

MULTI = ("GD", "l2-SAM", "linf-SAM, every other coordinate dead")
SIGNED = 3  # further data sets whose max-margin direction has a negative entry


@dataclass(frozen=True)
class Limits:
    """Where depth-2 networks end: on one example by the reduced flow, on several by loss-normalized steps.

    Attributes
    ----------
    scales : ``alpha / rho`` of the flow's starts, ``(B,)``
    share_sam, share_gd : share of the largest coordinate where ``n`` passes ``until``, ``(B,)``
    sequence : dominant indices in order of visit, per start
    collapsed : ``(B,)``
    ratio : 1-norm margin over its maximum, ``(datasets, 3)``, methods as in ``MULTI``
    ratio_l2 : the same for the 2-norm max-margin direction, ``(datasets,)``
    ratio_alive : linf-SAM's margin over the largest that the coordinates above the gate allow, ``(datasets,)``;
        NaN where these alone cannot separate the data
    steps, history : recorded steps ``(K,)`` and the ratios there, ``(K, datasets, 3)``
    signed : on data whose max-margin direction has a negative entry, the margin over its maximum and over the maximum
        among non-negative directions, ``(2, SIGNED, 2 methods)``; GD, then l2-SAM
    """

    scales: np.ndarray
    share_sam: np.ndarray
    share_gd: np.ndarray
    sequence: tuple[tuple[int, ...], ...]
    collapsed: np.ndarray
    ratio: np.ndarray
    ratio_l2: np.ndarray
    ratio_alive: np.ndarray
    steps: np.ndarray
    history: np.ndarray
    signed: np.ndarray


def limits(params: Parameters) -> Limits:
    """C4, C5c and half of C9: limits in rescaled time."""
    mu, rho = np.array(params.mu), params.rho
    scales = np.array(params.scales)
    alpha = rho * scales[:, None] * np.ones(len(mu))
    flow = theory.l2_flow(alpha, mu, rho, until=1e40)
    share_sam = np.exp(flow.log_beta[-1, :, -1] - np.logaddexp.reduce(flow.log_beta[-1], axis=-1))
    share_sam = np.where(flow.collapsed, 0.0, share_sam)
    final = 2 * mu * (np.log(1e40 / np.sqrt(2)) - np.log(mu[-1]) - np.log(alpha[:, -1:])) / mu[-1]
    share_gd = 1 / np.exp(final - final[:, -1:]).sum(-1)
    sequence = tuple(theory.visits(flow.log_beta[1:, run].argmax(-1)) for run in range(len(scales)))
    return Limits(scales, share_sam, share_gd, sequence, flow.collapsed, *_several_examples(params))


def _several_examples(params: Parameters) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng([params.seed, 4])
    n, d = 20, 6
    mean = np.linspace(0.5, 1.5, d)
    mixed = np.where(np.arange(d) < d - 1, mean, -mean)

    def within_reach(data: np.ndarray) -> bool:
        return bool(max_margin(data, 1).w.min() > -1e-9)

    def out_of_reach(data: np.ndarray) -> bool:
        return 0.3 < nonnegative_margin(data) / max_margin(data, 1).margin < 0.8

    z = np.stack(
        [_separable(lambda: rng.normal(mean, 0.8, size=(n, d)), within_reach) for _ in range(params.datasets)]
        + [_separable(lambda: rng.normal(mixed, 0.8, size=(n, d)), out_of_reach) for _ in range(SIGNED)]
    )
    best = np.array([max_margin(data, 1).margin for data in z])
    rho = 0.1
    alive = np.arange(d) % 2 == 0
    starts = rho * np.stack([np.ones(d), np.ones(d), np.where(alive, HIGH, LOW)])
    w = torch.from_numpy(starts)[:, None].repeat(len(z), 1, 2, 1)
    data = torch.from_numpy(z)
    radii = Radii.of(["gd", "l2", "linf"], [rho] * 3)
    records = np.unique(np.geomspace(10, params.steps_depth_two, 60).astype(int))
    kept = []
    with torch.inference_mode():
        for step in range(1, params.steps_depth_two + 1):
            # Weights grow exponentially in this clock, so support vectors take turns; falling steps average them out.
            w -= 0.05 / (1 + step / 100) ** 0.5 * sam_gradient(w, data, radii, normalized=True)[0]
            if step in records:
                kept.append(w.prod(-2).numpy())
    history = normalized_margin(np.stack(kept), z[:, None], 1) / best[:, None]
    over_all = history[-1, params.datasets :, :2]
    among_nonnegative = np.array([nonnegative_margin(data) for data in z[params.datasets :]])
    signed = np.stack([over_all, over_all * (best[params.datasets :] / among_nonnegative)[:, None]])
    z, best, history = z[: params.datasets], best[: params.datasets], history[:, : params.datasets]
    ratio_l2 = np.array([normalized_margin(max_margin(data, 2).w, data, 1) for data in z]) / best
    among_alive = np.array([_margin_or_nan(data[:, alive]) for data in z])
    return history[-1], ratio_l2, history[-1, :, 2] * best / among_alive, records, history, signed


def nonnegative_margin(data: np.ndarray) -> float:
    """``max min_i <z_i, w>`` over non-negative ``w`` with entries of sum one; negative if none separates.

    It is the 1-norm max margin among the predictors that two equal layers can have, ``beta = w * w``.
    """
    n, d = data.shape
    rows = np.hstack([-data, np.ones((n, 1))])
    simplex = np.append(np.ones(d), 0.0)[None]
    solved = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=rows,
        b_ub=np.zeros(n),
        A_eq=simplex,
        b_eq=[1.0],
        bounds=[(0, None)] * d + [(None, None)],
        method="highs",
    )
    return float(-solved.fun)


def _separable(draw: Callable[[], np.ndarray], suits: Callable[[np.ndarray], bool]) -> np.ndarray:
    """The first of up to 1000 draws that is separable and suits."""
    for _ in range(1000):
        data = draw()
        if np.isfinite(_margin_or_nan(data)) and suits(data):
            return data
    raise NotSeparableError("no suitable separable data set in 1000 draws")


def _margin_or_nan(data: np.ndarray) -> float:
    try:
        return max_margin(data, 1).margin
    except NotSeparableError:
        return float("nan")


# --- everything -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The results of all experiments; ``cnn`` is ``None`` unless it was asked for."""

    depth_one: DepthOne
    gates: Gates
    limits: Limits
    amplification: Amplification
    sweep: Sweep
    boundary: Boundary
    plane: Plane
    digits: Digits
    relu_mlp: Networks
    cnn: Networks | None


def run(params: Parameters) -> Results:
    """All experiments of the chapter."""
    return Results(
        depth_one=depth_one(params),
        gates=gates(params),
        limits=limits(params),
        amplification=amplification(params),
        sweep=sweep(params),
        boundary=boundary(params),
        plane=plane(params),
        digits=digits(params),
        relu_mlp=relu_mlp(params),
        cnn=cnn(params),
    )
