"""Mini-batches: random step sizes, and batches that disagree."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.two_factor_linear_transformer.minibatch import (
    balancing_rate,
    greedy,
    label_noise_floor,
    noisy_step,
    two_point_exponent,
)
from companion.chapters.two_factor_linear_transformer.parameters import Parameters
from companion.chapters.two_factor_linear_transformer.product_map import ellipse, level, product_step
from companion.models.stepping import run_steps
from companion.results import experiment

TOO_FAR = 2.6  # the bound of the steps in the control
AHEAD = 200  # steps whose random numbers are drawn at once


def _signs(rng: np.random.Generator, steps: int, shape: tuple[int, ...], device: str) -> torch.Tensor:
    """Fair signs, ``(steps, *shape)``."""
    return torch.tensor(rng.integers(0, 2, size=(steps, *shape), dtype=np.int8) * 2 - 1, device=device)


def _inside(rng: np.random.Generator, bound: torch.Tensor, shape: tuple[int, ...], device: str) -> tuple:
    """Uniform within the ellipse of ``bound`` after scaling."""
    angle = torch.tensor(rng.uniform(0, 2 * np.pi, size=shape), device=device)
    radius = torch.tensor(rng.uniform(size=shape) ** 0.5, device=device)
    u, v = ellipse(angle, bound)
    return radius * u, radius * v


@dataclass(frozen=True)
class Robust:
    """Starts inside the ellipse of ``mb_bound`` under random steps, an adversary's, and too large ones: ``(3,)``."""

    #: largest Q that any start reached; infinite where it diverged
    reached: np.ndarray
    #: share of starts that stayed bounded
    bounded: np.ndarray


@experiment
def robust(params: Parameters) -> Robust:
    """Uniform steps up to the bound, an adversary's steps, and uniform steps that go beyond 2."""
    rng, bound, device = params.rng(10), params.mb_bound, params.device
    count = min(params.n_points, 4000)
    u, v = _inside(rng, torch.tensor(bound, dtype=torch.float64, device=device), (count,), device)
    largest = torch.tensor([bound, TOO_FAR], device=device)[:, None]
    state = (u.expand(2, count), v.expand(2, count), torch.zeros((2, count), dtype=u.dtype, device=device))

    def step(u: torch.Tensor, v: torch.Tensor, most: torch.Tensor, draw: torch.Tensor) -> tuple:
        u, v = product_step(u, v, largest * draw)
        return u, v, torch.maximum(most, level(u, v, bound).nan_to_num(nan=torch.inf, posinf=torch.inf))

    for _ in range(max(1, params.n_steps // AHEAD)):
        draws = torch.tensor(rng.uniform(size=(AHEAD, 2, count)), device=device)
        state, _ = run_steps(step, state, AHEAD, (draws,))
    most = torch.zeros_like(u)
    few = slice(0, 500)
    for after in greedy(u[few], v[few], bound, 200):
        most[few] = torch.maximum(most[few], level(*after, bound).nan_to_num(nan=torch.inf))
    reached = torch.stack([state[2][0], most, state[2][1]])
    return Robust(reached.amax(1).cpu().numpy(), (reached < 1e6).double().mean(1).cpu().numpy())


@dataclass(frozen=True)
class Laws:
    """Steps ``m ± r`` with equal chances, ``(laws,)``: the two of the parameters, each with and without noise."""

    #: share of starts that end at a solution
    converged: np.ndarray
    #: ``E ln |1 - 2 mu|``
    exponent: np.ndarray
    #: the map: means and half widths over bounds, ``(side,)``
    mean: np.ndarray
    half_width: np.ndarray
    #: share of starts there that end at a solution, NaN where ``r > m`` or ``m + r >= 2``, ``(side, side)``, r by m
    share: np.ndarray


@experiment
def laws(params: Parameters) -> Laws:
    """Random starts inside the ellipse of the largest step of each law."""
    rng, device = params.rng(11), params.device
    m = np.repeat(params.mb_mean, 2)
    r = np.array([width * noisy for width in params.mb_half_width for noisy in (1, 0)])
    converged = _converged(rng, m, r, 400, 1000, device)
    side = params.mb_grid
    mean, half = np.linspace(0.04, 1.96, side), np.linspace(0, 0.96, side)
    grid_m, grid_r = np.meshgrid(mean, half)
    valid = (grid_r <= grid_m) & (grid_m + grid_r < 1.99)
    share = np.full(grid_m.shape, np.nan)
    share[valid] = _converged(rng, grid_m[valid], grid_r[valid], 24, 1000, device)
    return Laws(converged, two_point_exponent(m, r), mean, half, share)


def _converged(
    rng: np.random.Generator, m: np.ndarray, r: np.ndarray, count: int, steps: int, device: str
) -> np.ndarray:
    """Share of ``count`` starts that end at a solution, for each law."""
    shape = (len(m), count)
    mean, half = (torch.tensor(x, device=device)[:, None] for x in (m, r))
    state = _inside(rng, mean + half, shape, device)

    def step(u: torch.Tensor, v: torch.Tensor, sign: torch.Tensor) -> tuple:
        return product_step(u, v, mean + half * sign)

    for _ in range(max(1, steps // AHEAD)):
        state, _ = run_steps(step, state, AHEAD, (_signs(rng, AHEAD, shape, device),))
    u, v = state
    return ((u * v - 1).abs() < 1e-3).double().mean(1).cpu().numpy()


@dataclass(frozen=True)
class LabelNoise:
    """Batches whose best products scatter around one, over mu, with the noise and without: ``(2, mu)``."""

    #: ``(mu,)``
    mu: np.ndarray
    #: standard deviation of a batch's best product
    noise: float
    #: mean of ``(u v - 1)^2`` after the transient
    floor: np.ndarray
    #: mean fall of ``ln |u^2 - v^2|`` in a step
    balancing: np.ndarray
    #: both to first order in the variance, ``(mu,)``
    floor_theory: np.ndarray
    balancing_theory: np.ndarray


@experiment
def label_noise(params: Parameters) -> LabelNoise:
    """Nearly balanced starts at a solution."""
    rng, noise, device = params.rng(12), params.label_noise, params.device
    mu = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    m, size, count = torch.tensor(mu, device=device)[:, None], torch.tensor([noise, 0.0], device=device), 300
    size = size[:, None, None]
    u = torch.full((2, len(mu), count), 1.05, dtype=torch.float64, device=device)
    v = 1 / u
    zero = torch.zeros_like(u)

    def step(u, v, square, fall, draw):
        target = 1 + size * draw
        after = noisy_step(u, v, m, target)
        fall = fall - (1 - (m * (u * v - target)) ** 2).abs().clamp_min(1e-300).log()
        return *after, square + (u * v - 1) ** 2, fall

    def draws() -> torch.Tensor:
        return torch.tensor(rng.normal(size=(AHEAD, len(mu), count)), device=device)

    state, _ = run_steps(step, (u, v, zero, zero), AHEAD, (draws(),))
    state, rounds = (*state[:2], zero, zero), 3
    for _ in range(rounds):
        state, _ = run_steps(step, state, AHEAD, (draws(),))
    square, fall = (x.mean(2).cpu().numpy() / (rounds * AHEAD) for x in state[2:])
    return LabelNoise(mu, noise, square, fall, label_noise_floor(mu, noise), balancing_rate(mu, noise))
