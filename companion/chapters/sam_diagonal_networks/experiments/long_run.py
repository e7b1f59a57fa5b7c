"""Limits, in rescaled time: depth 1, the gates of infinity-norm SAM, the limit of 2-norm SAM."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.max_margin import max_margin, normalized_margin
from companion.chapters.sam_diagonal_networks import theory
from companion.chapters.sam_diagonal_networks.data import (
    l1_margin,
    nonnegative_margin,
    signed_gaussians,
    within_and_out_of_reach,
)
from companion.chapters.sam_diagonal_networks.parameters import Parameters, random_stream
from companion.chapters.sam_diagonal_networks.runs import rescale
from companion.chapters.sam_diagonal_networks.sam import TINY, Radii, sam_gradient
from companion.results import experiment

# --- depth 1 ----------------------------------------------------------------------------------------------------------

DEPTH_ONE = ("GD", "l2-SAM", "linf-SAM", "sign-GD")


@dataclass(frozen=True)
class DepthOne:
    """Linear models: GD, both SAMs and, as the control, sign-GD, in the order of ``DEPTH_ONE``."""

    rho: float
    steps: np.ndarray  # recorded steps on many examples, (K,)
    ratio: np.ndarray  # 2-norm margin over its maximum there, (K, datasets, 4)
    apart: np.ndarray  # distance from GD's weights over GD's distance from the start, (K, datasets, 4)
    cosine: np.ndarray  # of w(t) - w(0) with mu, on one example in physical time from a random start, (4,)
    margin: np.ndarray  # on the one example after every step, (steps, 4)
    predicted: np.ndarray  # the theory's margin for l2-SAM and linf-SAM, (steps, 2)


@experiment
def depth_one(params: Parameters) -> DepthOne:
    """Steps ``w <- w - eta grad L(w_hat) / mean |l'_i(w_hat)|``: rescaled time, in which margins keep growing."""
    rng = random_stream(params, "depth one")
    z = signed_gaussians(rng, params.datasets)
    best = np.array([max_margin(data, 2).margin for data in z])
    radii = Radii.of(["gd", "l2", "linf", "gd"], [params.rho_depth_one] * 4)
    is_sign = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)[:, None, None]
    start = torch.from_numpy(rng.normal(size=(params.datasets, 1, 1, z.shape[-1])))
    w = start.repeat(1, 4, 1, 1)
    data = torch.from_numpy(z)
    records = np.unique(np.geomspace(10, params.steps_depth_one, 60).astype(int))
    kept, apart = [], []
    with torch.inference_mode():
        for step in range(1, params.steps_depth_one + 1):
            ahead, _ = sam_gradient(w, data, radii, normalized=True)
            w -= 0.05 * torch.lerp(ahead, ahead.sign(), is_sign)
            if step in records:
                kept.append(w[..., 0, :].numpy().copy())
                from_gd, moved = (w - w[:, :1]).norm(dim=(-2, -1)), (w[:, :1] - start).norm(dim=(-2, -1))
                apart.append((from_gd / moved).numpy())
    ratio = normalized_margin(np.stack(kept), z[:, None], 2) / best[:, None]
    return DepthOne(params.rho_depth_one, records, ratio, np.stack(apart), *_single_example(params, rng))


def _single_example(params: Parameters, rng: np.random.Generator, steps: int = 500) -> tuple[np.ndarray, ...]:
    """Cosines, margins, and the theory's margins, of 500 steps in physical time."""
    mu, rho = np.array(params.mu), params.rho_depth_one
    lr = 0.1 / float(mu @ mu)
    z = torch.from_numpy(mu[None])
    radii = Radii.of(["gd", "l2", "linf", "gd"], [rho] * 4)
    first = rng.normal(size=len(mu)) / np.linalg.norm(mu)
    start = torch.from_numpy(first[None, None]).repeat(4, 1, 1)
    w, margins = start.clone(), []
    with torch.inference_mode():
        for _ in range(steps):
            ahead, _ = sam_gradient(w, z, radii)
            ahead[3] = ahead[3].sign()
            w -= lr * ahead
            margins.append(w[:, 0] @ z[0])
        cosine = torch.nn.functional.cosine_similarity((w - start)[:, 0], z, dim=-1).numpy()
    shifts = rho * np.linalg.norm(mu), rho * np.abs(mu).sum()
    predicted = [theory.sam_margins(float(first @ mu), mu, shift, lr, steps) for shift in shifts]
    return cosine, torch.stack(margins).numpy(), np.stack(predicted, axis=-1)


# --- the gates of infinity-norm SAM -----------------------------------------------------------------------------------

DEPTHS = (2, 3)
GATED = ("linf-SAM", "GD")
FORMULAS = ("with the gate", "without the gate")
PLANE = ("linf-SAM", "l2-SAM", "GD")
LOW, HIGH = 0.6, 1.4
# Excess over the gate in units of mu_1 / mu_j: at depth 3 neither the largest mu nor the largest excess wins.
EXCESS = (1.0, 1.25, 0.8, 1.1, 0.9, 1.2)
MOST_STEPS = 20_000


@dataclass(frozen=True)
class Gates:
    """Infinity-norm SAM and GD on one example from all ``2^d`` patterns of starts below and above ``rho``.

    Axes of length 2 named ``depths`` and ``methods`` are in the order of ``DEPTHS`` and ``GATED``.
    """

    mu: np.ndarray  # (d,)
    rho: float
    error: np.ndarray  # of discrete linf-SAM in physical time, relative, (depths, FORMULAS, step size and twice it)
    share: np.ndarray  # share of each coordinate in the predictor after the rescaled runs, (depths, methods, P, d)
    size: np.ndarray  # sum of the predictor there, (depths, methods, P)
    limit: np.ndarray  # index of the limit axis, -1 where there is none, (depths, methods, P)
    predicted: np.ndarray  # the theorem's, (depths, methods, P)
    enough: bool  # whether the steps suffice, by the theory, for every pattern to show its axis
    plane: np.ndarray  # trajectories for mu = (1, 2), (K, PLANE, starts, 2)
    map_scales: np.ndarray  # alpha_j / rho of the maps' axes, (G,)
    map: (
        np.ndarray
    )  # leading axis in the end for mu = (1, 2), -1 for none, (depths, methods, G, G); alpha_1 along the last


@experiment
def gates(params: Parameters) -> Gates:
    """Discrete infinity-norm SAM against the closed forms, and limits in rescaled time."""
    mu, rho = np.array(params.mu_gates), params.rho_linf
    d = len(mu)
    excess = mu[0] / mu * EXCESS[:d]
    patterns = (np.arange(2**d)[:, None] >> np.arange(d)) & 1
    alpha = rho * np.where(patterns, 1 + excess, LOW)
    error = np.array([[_errors(mu, alpha, rho, depth, wider) for wider in (1, 2)] for depth in DEPTHS])
    time = _time_to_tell(mu, excess)
    share, size = map(np.stack, zip(*(_rescaled_limits(mu, alpha, rho, depth, time) for depth in DEPTHS), strict=True))
    limit = np.where((share.max(-1) > 0.99) & (size > 1e-2 * rho**3), share.argmax(-1), -1)
    predicted = np.stack([[theory.linf_limit(alpha, mu, r, depth) for r in (rho, 0.0)] for depth in DEPTHS])
    enough = time <= 0.02 / mu[-1] * MOST_STEPS
    maps = _winner_maps(rho)
    return Gates(mu, rho, error.swapaxes(1, 2), share, size, limit, predicted, enough, _plane(params), *maps)


def _time_to_tell(mu: np.ndarray, excess: np.ndarray) -> float:
    """Rescaled time after which, by the closed forms, the winner has 99% of the predictor from every pattern."""
    many = 100 * len(mu)
    between = np.log(many) + 2 * np.log(np.maximum(excess[:-1] / excess[1:], (1 + excess.max()) / LOW))
    alone = np.maximum((1 - LOW) / excess - 1, 0) + np.log(many) / 3 - np.log(np.minimum(excess, 1 - LOW))
    return float(1.1 * max((between / (2 * np.diff(mu))).max(), (alone / mu).max(), 8 / np.diff(mu).min() / 1.1))


def _winner_maps(rho: float, points: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Which axis leads at the end of the rescaled runs, over a square of starts for ``mu = (1, 2)``."""
    scales = (np.arange(points) + 0.5) * 2 / points
    first, second = np.meshgrid(scales, scales)
    alpha = rho * np.stack([first.ravel(), second.ravel()], axis=-1)
    maps = []
    for depth in DEPTHS:
        share, size = _rescaled_limits(np.array([1.0, 2.0]), alpha, rho, depth, time=8.0, rate=0.03)
        # Below both gates the predictor tends to 0 or to rho^depth (1, 1); elsewhere it has grown far beyond that.
        maps.append(np.where(size < 3 * rho**depth, -1, share.argmax(-1)).reshape(2, points, points))
    return scales, np.stack(maps)


def _errors(mu: np.ndarray, alpha: np.ndarray, rho: float, depth: int, wider: int) -> list[float]:
    """Largest deviation of discrete infinity-norm SAM from the closed form with and without the gate, relative.

    The run is in physical time; the closed form's clock sums ``eta |l'|`` at the perturbed weights.
    """
    eta = 2e-3 / max(1.0, mu[-1] / 3) * wider
    z = torch.from_numpy(mu[None])
    radii = Radii.of(["linf"], [rho])
    w = torch.from_numpy(alpha)[:, None].repeat(1, depth, 1)
    s = torch.zeros(len(alpha), dtype=torch.float64)
    betas, clocks = [], []
    with torch.inference_mode():
        for step in range(1, 1250 // wider + 1):
            ahead, slope = sam_gradient(w, z, radii)
            w -= eta * ahead
            s += eta * slope[:, 0]
            if step % 10 == 0:
                betas.append(w.prod(-2).numpy())
                clocks.append(s.numpy().copy())
    beta, clock = np.stack(betas), np.stack(clocks)
    exact = [theory.linf_weights(clock, alpha, mu, radius, depth) ** depth for radius in (rho, 0.0)]
    # Gradient flow blows up past depth 2; a thousand times the run is far enough off.
    return [float(np.abs(beta / beta.max() - np.minimum(form / beta.max(), 1e3)).max()) for form in exact]


def _rescaled_limits(
    mu: np.ndarray, alpha: np.ndarray, rho: float, depth: int, time: float, rate: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """Shares and size of the predictor after runs whose clock ignores the loss (and, past depth 2, the growth)."""
    methods = ["linf"] * len(alpha) + ["gd"] * len(alpha)
    radii = Radii.of(methods, [rho] * len(methods))
    z = torch.from_numpy(mu[None])
    w = torch.from_numpy(np.concatenate([alpha, alpha]))[:, None].repeat(1, depth, 1)
    eta = rate / mu[-1]
    with torch.inference_mode():
        for _ in range(int(min(time / eta, MOST_STEPS))):
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

ONE = ("GD", "l2-SAM", "linf-SAM")
MANY = ("GD", "l2-SAM", "linf-SAM", "GD from equal layers", "l2-SAM from equal layers")
SIGNED = 3  # of the data sets, with a max-margin direction that has a negative entry
UNTIL = 1e40  # value of n at which a run on one example ends


@dataclass(frozen=True)
class Limits:
    """Where depth-2 networks end: on one example by rescaled steps, on several by loss-normalized steps."""

    scales: np.ndarray  # alpha / rho of the starts on one example, (B,)
    collapsed: np.ndarray  # by the reduced flow, (B,)
    share: (
        np.ndarray
    )  # of the last coordinate in the end, runs as in ONE, (3, B); linf-SAM's starts have it below the gate
    share_expected: np.ndarray  # the reduced flow's for l2-SAM, (B,)
    lead: np.ndarray  # how much larger log(beta_1 / beta_d) is than GD's in the end, (3, B)
    lead_predicted: np.ndarray  # the reduced flow's for l2-SAM, (B,)
    sequence: tuple[tuple[int, ...], ...]  # leading coordinates of l2-SAM in order of visit, until it ends or collapses
    enough: bool  # whether the steps suffice for the slowest run
    out_of_reach: np.ndarray  # whether a data set's max-margin direction has a negative entry, (datasets,)
    nonnegative: np.ndarray  # the largest margin of a non-negative direction over the largest of all, (datasets,)
    ratio_l2: np.ndarray  # 1-norm margin of the 2-norm max-margin direction over its maximum, (datasets,)
    ratio_alive: np.ndarray  # linf-SAM's over the largest of the coordinates above the gate, NaN if none, (datasets,)
    steps: np.ndarray  # recorded steps on several examples, (K,)
    history: np.ndarray  # 1-norm margin over its maximum there, runs as in MANY, (K, datasets, 5)
    apart: np.ndarray  # 1-norm distance of l2-SAM's shares from GD's there, (K, datasets)


@experiment
def limits(params: Parameters) -> Limits:
    """The limit of 2-norm SAM in rescaled time, on one example and on several."""
    return Limits(*_one_example(params), *_several_examples(params))


def _one_example(params: Parameters) -> tuple:
    mu, rho, scales = np.array(params.mu), params.rho, np.array(params.scales)
    d, runs = len(mu), len(scales)
    flow = theory.l2_flow(rho * scales[:, None] * np.ones(d), mu, rho, until=UNTIL)
    expected = np.exp(flow.log_beta[-1, :, -1] - np.logaddexp.reduce(flow.log_beta[-1], axis=-1))
    lr = 0.02 / mu[-1]
    time = flow.s[-1, flow.grown].max(initial=10 / mu[-1])
    gate = np.append(np.full(d - 1, 1.0), 0.0)
    starts = rho * np.stack(
        [np.outer(scales, np.ones(d))] * 2 + [np.where(gate, 1 + scales[:, None], LOW * np.ones(d))]
    )
    w = torch.from_numpy(starts.reshape(-1, 1, d)).repeat(1, 2, 1)
    radii = Radii.of([norm for norm in ("gd", "l2", "linf") for _ in range(runs)], [rho] * 3 * runs)
    steps = int(min(time / lr, MOST_STEPS))
    beta, leader, n = rescale(w, torch.from_numpy(mu[None]), radii, lr, steps)
    beta = np.maximum(beta.reshape(3, runs, d), TINY)
    leader, n = leader[:, runs : 2 * runs], n[:, runs : 2 * runs]
    share = beta[..., -1] / beta.sum(-1)
    ratio = np.log(beta[..., 0]) - np.log(beta[..., -1])
    # After a collapse the iterates jitter about zero, and their order means nothing.
    alive = np.minimum.accumulate(n, axis=0) >= rho * mu[0]
    share[1] *= alive[-1]
    sequence = tuple(theory.visits(leader[alive[:, run], run]) for run in range(runs))
    lead = theory.minor_lead(mu, rho, flow.A[-1])
    enough = time / lr <= MOST_STEPS
    return scales, flow.collapsed, share, expected, ratio - ratio[0], lead, sequence, enough


def _several_examples(params: Parameters) -> tuple[np.ndarray, ...]:
    z = within_and_out_of_reach(random_stream(params, "several examples"), params.datasets, SIGNED)
    d, rho = z.shape[-1], 0.1
    best = np.array([max_margin(data, 1).margin for data in z])
    alive = np.arange(d) % 2 == 0
    # Layers that start apart can give a predictor of either sign; equal ones stay equal, and it stays non-negative.
    apart, equal = np.stack([np.ones(d), 0.5 * np.ones(d)]), np.ones((2, d))
    half_dead = np.where(alive, HIGH, LOW) * np.ones((2, d))
    starts = rho * np.stack([apart, apart, half_dead, equal, equal])
    w = torch.from_numpy(starts).repeat(len(z), 1, 1, 1)
    data = torch.from_numpy(z)
    radii = Radii.of(["gd", "l2", "linf", "gd", "l2"], [rho] * 5)
    records = np.unique(np.geomspace(10, params.steps_depth_two, 60).astype(int))
    kept = []
    with torch.inference_mode():
        for step in range(1, params.steps_depth_two + 1):
            # Weights grow exponentially in this clock, so support vectors take turns; falling steps average them out.
            w -= 0.05 / (1 + step / 100) ** 0.5 * sam_gradient(w, data, radii, normalized=True)[0]
            if step in records:
                kept.append(w.prod(-2).numpy())
    beta = np.stack(kept)
    history = normalized_margin(beta, z[:, None], 1) / best[:, None]
    shares = beta / np.maximum(np.abs(beta).sum(-1, keepdims=True), TINY)
    from_gd = np.abs(shares[:, :, 1] - shares[:, :, 0]).sum(-1)
    nonnegative = np.array([nonnegative_margin(data) for data in z]) / best
    ratio_l2 = np.array([normalized_margin(max_margin(data, 2).w, data, 1) for data in z]) / best
    among_alive = np.array([l1_margin(data[:, alive]) for data in z])
    out_of_reach = np.arange(len(z)) >= params.datasets
    return out_of_reach, nonnegative, ratio_l2, history[-1, :, 2] * best / among_alive, records, history, from_gd
