"""Balanced factors: the cubic map, its diagram, its phases and its cycles."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.two_factor_linear_transformer.cubic import (
    MONOTONE,
    TWO_CYCLE,
    accumulation,
    cubic_step,
    detect_period,
    reach,
    slope,
    superstable,
    two_cycle,
)
from companion.chapters.two_factor_linear_transformer.parameters import Parameters
from companion.chapters.two_factor_linear_transformer.product_map import tangent_step
from companion.models.stepping import run_steps
from companion.results import experiment

TINY = 1e-300  # under a logarithm
BINS = 440  # of z, in the diagram
TOP = 1.75  # largest |z| there


def _log(x: torch.Tensor) -> torch.Tensor:
    return x.abs().clamp_min(TINY).log()


@dataclass(frozen=True)
class Diagram:
    """Where orbits of the cubic map are after their transients, for each mu."""

    #: ``(n,)``
    mu: np.ndarray
    #: how often orbits visit each cell, both signs of z counted for symmetry, ``(n, BINS)``
    visits: np.ndarray
    #: edges of the cells, ``(BINS + 1,)``
    edges: np.ndarray
    #: Lyapunov exponent along the line of balance, NaN where all orbits diverge, ``(n,)``
    along: np.ndarray
    #: exponent across it, ``(n,)``
    across: np.ndarray


FIRST = 60  # steps in which a rise of the loss is looked for


def _starts(rng: np.random.Generator, mu: np.ndarray, count: int, device: str) -> torch.Tensor:
    """Uniform on the interval that the cubic map keeps for ``mu <= 2``, ``(n, count)``."""
    edge = reach(mu)[:, None]
    return torch.tensor(rng.uniform(-1, 1, size=(len(mu), count)) * edge, device=device)


def _rises(z: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Where the loss has risen by more than rounding."""
    return (after * after - 1).abs() > (z * z - 1).abs() * (1 + 1e-9) + 1e-12


@experiment
def diagram(params: Parameters) -> Diagram:
    """Random balanced starts over a grid of mu."""
    mu = np.linspace(params.mu_min, params.mu_max, params.n_mu)
    m = torch.tensor(mu, device=params.device)[:, None]
    z = _starts(params.rng(2), mu, params.n_starts, params.device)

    (z,), _ = run_steps(lambda z: cubic_step(z, m), (z,), params.n_transient)
    cell = torch.arange(params.n_mu, device=params.device)[:, None] * BINS
    zero = torch.zeros_like(z)

    def kept(z: torch.Tensor, visits: torch.Tensor, along: torch.Tensor, across: torch.Tensor) -> tuple:
        after = cubic_step(z, m)
        pull = m * (z * z - 1)
        place = ((z.abs() / TOP).nan_to_num(2.0) * (BINS // 2)).clamp(max=BINS // 2).long()
        inside = (place < BINS // 2).double()
        place = place.clamp(max=BINS // 2 - 1)
        visits = visits.index_add(0, (cell + BINS // 2 + place).flatten(), inside.flatten())
        return after, visits, along + _log(slope(z, m)), across + _log(1 + pull)

    visits = torch.zeros(params.n_mu * BINS, dtype=torch.float64, device=params.device)
    (z, visits, along, across), _ = run_steps(kept, (z, visits, zero, zero), params.n_keep)
    bounded = z.abs() <= reach(m)
    visits = visits.reshape(params.n_mu, BINS)
    visits = visits + visits.flip(1)

    def mean(total: torch.Tensor) -> np.ndarray:
        """Over time and the orbits that are bounded."""
        kept = torch.where(bounded, total / params.n_keep, torch.nan)
        return kept.nanmean(1).cpu().numpy()

    return Diagram(
        mu=mu,
        visits=visits.cpu().numpy(),
        edges=np.linspace(-TOP, TOP, BINS + 1),
        along=mean(along),
        across=mean(across),
    )


def _first_steps(z: torch.Tensor, mu: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """After FIRST steps: where orbits are, and whether their loss rose in one of these."""

    def step(z: torch.Tensor, rising: torch.Tensor) -> tuple:
        after = cubic_step(z, mu)
        return after, rising | _rises(z, after)

    state, _ = run_steps(step, (z, torch.zeros_like(z, dtype=torch.bool)), FIRST)
    return state


GROUPS = {
    "monotone": (0.3, 0.8, MONOTONE - 1e-3),
    "catapult": (MONOTONE + 0.01, 0.9, 0.98),
    "cycles": (1.05, 1.2, 1.28),
    "chaos": (1.5, 1.9, 1.99),
    "divergence": (2.01, 2.05, 2.2),
}


@dataclass(frozen=True)
class Phases:
    """Shares of random balanced starts, for each phase and three values of mu in it: ``(phases, 3)``."""

    #: of starts whose loss rises at some of the first steps
    rising: np.ndarray
    #: that end at a solution: are there, and were a hundred steps ago; a chaotic orbit is there once by chance
    converged: np.ndarray
    #: that stay bounded
    bounded: np.ndarray
    #: Lyapunov exponent of bounded orbits, NaN without any
    lyapunov: np.ndarray
    #: values of mu around the first threshold, ``(k,)``
    mu: np.ndarray
    #: share of starts there whose loss rises
    rising_near: np.ndarray


@experiment
def phases(params: Parameters) -> Phases:
    """``n_points`` starts within the interval of bounded orbits, at the values of mu of GROUPS."""
    mu = np.array([value for group in GROUPS.values() for value in group])
    m = torch.tensor(mu, device=params.device)[:, None]
    rng = params.rng(3)
    z, rising = _first_steps(_starts(rng, mu, params.n_points, params.device), m)
    (z,), _ = run_steps(lambda z: cubic_step(z, m), (z,), params.n_steps)

    def measured(z: torch.Tensor, total: torch.Tensor) -> tuple:
        return cubic_step(z, m), total + _log(slope(z, m))

    def at_solution(z: torch.Tensor) -> torch.Tensor:
        return (z * z - 1).abs() < 1e-6

    length = 100
    arrived = at_solution(z)
    (z, total), _ = run_steps(measured, (z, torch.zeros_like(z)), length)
    bounded = z.abs() <= reach(m)
    lyapunov = torch.where(bounded, total / length, torch.nan).nanmean(1)
    near = np.linspace(0.7, 1.05, 141)
    starts = _starts(rng, near, max(params.n_points // 4, 25), params.device)
    _, rising_near = _first_steps(starts, torch.tensor(near, device=params.device)[:, None])
    shares = (rising, arrived & at_solution(z), bounded)
    rising, converged, bounded = (x.double().mean(1).cpu().numpy().reshape(len(GROUPS), -1) for x in shares)
    lyapunov = lyapunov.cpu().numpy().reshape(len(GROUPS), -1)
    return Phases(rising, converged, bounded, lyapunov, near, rising_near.double().mean(1).cpu().numpy())


APERIODIC = (1.32, 1.5, 1.9)
DOUBLINGS = 5  # periods 2 to 32


@dataclass(frozen=True)
class Cycles:
    """Period doubling, and the two cycles of two."""

    #: values of mu with a superstable cycle of period ``1, 2, 4, …``
    superstable: np.ndarray
    #: what they tend to
    accumulation: float
    #: ratios of their successive differences
    ratios: np.ndarray
    #: periods found from random starts at ``superstable[1 : DOUBLINGS + 1]``, ``(DOUBLINGS, starts)``
    periods: np.ndarray
    #: and at APERIODIC, ``(3, starts)``
    aperiodic: np.ndarray
    #: values of mu at which a cycle of two attracts
    mu: np.ndarray
    #: distance from the cycle in closed form of orbits from random starts, ``(mu,)``
    distance: np.ndarray
    #: factors across balance over the two steps of that cycle, from the derivative of the map, ``(mu,)``
    inner: np.ndarray
    #: and of the cycle ``±sqrt(1 + 2/mu)``, which lies on the ellipse
    outer: np.ndarray


def _across(z: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """By what two steps multiply a difference of the factors, along the cycle ``z``, ``(2, n)``."""
    du, dv = np.ones_like(mu), -np.ones_like(mu)
    for point in z:
        du, dv = tangent_step(point, point, du, dv, mu)
    return (du - dv) / 2


@experiment
def cycles(params: Parameters) -> Cycles:
    """Superstable parameters, periods found from random starts, and the cycles of two."""
    values = superstable(9)
    doubled = values[1 : DOUBLINGS + 1]
    mu = np.linspace(1.02, TWO_CYCLE - 0.01, 25)
    everything = np.concatenate([doubled, APERIODIC, mu])
    m = torch.tensor(everything, device=params.device)[:, None]
    z = _starts(params.rng(4), everything, 64, params.device).abs()
    (z,), _ = run_steps(lambda z: cubic_step(z, m), (z,), params.n_transient + 1000)
    _, orbit = run_steps(lambda z: cubic_step(z, m), (z,), 160, record=lambda z: z)
    periods = detect_period(orbit[:, : DOUBLINGS + len(APERIODIC)], 2**DOUBLINGS, 1e-6).cpu().numpy()
    last = orbit[-1, DOUBLINGS + len(APERIODIC) :].abs().cpu().numpy()
    cycle = two_cycle(mu)
    edge = reach(mu)
    return Cycles(
        superstable=values,
        accumulation=accumulation(values),
        ratios=np.diff(values)[:-1] / np.diff(values)[1:],
        periods=periods[:DOUBLINGS],
        aperiodic=periods[DOUBLINGS:],
        mu=mu,
        distance=np.abs(last[None] - cycle[..., None]).min(0).max(1),
        inner=_across(cycle, mu),
        outer=_across(np.stack([edge, -edge]), mu),
    )
