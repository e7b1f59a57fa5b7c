"""Both factors free: the ellipse, what lies inside and outside, and exponents across the attractors."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.two_factor_linear_transformer.cubic import cubic_step, reach
from companion.chapters.two_factor_linear_transformer.parameters import Parameters
from companion.chapters.two_factor_linear_transformer.product_map import (
    angle_step,
    ellipse,
    ellipse_exponent,
    level,
    product_step,
    rotated_step,
    separation,
    tangent_step,
)
from companion.models.stepping import run_steps
from companion.results import experiment

TINY = 1e-300  # under a logarithm
FAR = 1e6  # |u| + |v| of an orbit that has diverged
WRONG = 0.8  # the ellipse of a smaller mu, by this factor, for the controls


def _column(values: np.ndarray, params: Parameters) -> torch.Tensor:
    return torch.tensor(values, device=params.device)[:, None]


def _inside(rng: np.random.Generator, mu: np.ndarray, count: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Uniform in the disc that the ellipse becomes when its axes are scaled to one, ``(n, count)`` each."""
    angle = torch.tensor(rng.uniform(0, 2 * np.pi, size=(len(mu), count)), device=device)
    radius = torch.tensor(rng.uniform(size=(len(mu), count)) ** 0.5, device=device)
    u, v = ellipse(angle, torch.tensor(mu, device=device)[:, None])
    return radius * u, radius * v


# --- what becomes of a start --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regions:
    """Random starts around the ellipse, for each of ``mu_list``."""

    #: ``(mu,)``
    mu: np.ndarray
    #: largest error of the identity for ``1 - Q`` over random points, relative, with the ellipse of mu and of a
    #: smaller mu: ``(2, mu)``
    identity: np.ndarray
    #: share of starts that ever change sides of the ellipse, likewise ``(2, mu)``
    crossing: np.ndarray
    #: share of the starts inside that stay bounded, likewise
    bounded: np.ndarray
    #: share of the starts outside that diverge, likewise
    diverged: np.ndarray
    #: of the starts inside: share that ends at a solution, ``(mu,)``
    converged: np.ndarray
    #: largest ``R mu / 2``, ``R = u^2 + v^2``, of those that do; NaN without any
    flatness: np.ndarray
    #: share that ends balanced, ``||u| - |v|| < 1e-6``
    balanced: np.ndarray
    #: mean loss, of all starts inside and some hundred steps
    loss: np.ndarray


@experiment
def regions(params: Parameters) -> Regions:
    """``n_points`` starts, uniform in the disc of twice the ellipse's area after scaling."""
    mu = np.array(params.mu_list)
    m = _column(mu, params)
    u, v = _inside(params.rng(5), mu, params.n_points, params.device)
    u, v = 2**0.5 * u, 2**0.5 * v
    ellipses = torch.stack([m, WRONG * m])
    before = level(u, v, ellipses)
    after = level(*product_step(u, v, m), ellipses)
    expected = 1 - (1 - before) * separation(u, v, ellipses)
    identity = ((after - expected).abs() / (1 + expected.abs())).amax(-1)

    def first(u: torch.Tensor, v: torch.Tensor, crossed: torch.Tensor) -> tuple:
        u, v = product_step(u, v, m)
        # what has diverged, and is no number, is outside
        return u, v, crossed | ((level(u, v, ellipses) < 1) != (before < 1))

    (u, v, crossed), _ = run_steps(first, (u, v, torch.zeros_like(before, dtype=torch.bool)), 60)
    (u, v), _ = run_steps(lambda u, v: product_step(u, v, m), (u, v), params.n_steps)

    def followed(u: torch.Tensor, v: torch.Tensor, loss: torch.Tensor) -> tuple:
        return *product_step(u, v, m), loss + (u * v - 1) ** 2 / 2

    length = 200
    (u, v, loss), _ = run_steps(followed, (u, v, torch.zeros_like(u)), length)
    bounded = u.abs() + v.abs() < FAR
    inner = before < 1
    converged = bounded & ((u * v - 1).abs() < 1e-6)
    balanced = (u.abs() - v.abs()).abs() < 1e-6
    sharp = torch.where(converged & inner[0], (u * u + v * v) * m / 2, -torch.inf).amax(1)

    def share(of: torch.Tensor, among: torch.Tensor) -> np.ndarray:
        return ((of & among).double().sum(-1) / among.double().sum(-1)).cpu().numpy()

    return Regions(
        mu=mu,
        identity=identity.cpu().numpy(),
        crossing=crossed.double().mean(-1).cpu().numpy(),
        bounded=share(bounded, inner),
        diverged=share(~bounded, ~inner),
        converged=share(converged, inner[0]),
        flatness=torch.where(sharp.isfinite(), sharp, torch.nan).cpu().numpy(),
        balanced=share(balanced, inner[0]),
        loss=torch.where(inner[0], loss / length, torch.nan).nanmean(1).cpu().numpy(),
    )


@dataclass(frozen=True)
class Basins:
    """Maps of the plane, in ``u + v`` and ``u - v``: one quarter, the others by symmetry."""

    #: ``(mu,)``
    mu: np.ndarray
    #: centres of the cells in ``u + v`` and in ``u - v``, from zero up, ``(n,)`` and ``(k,)``
    total: np.ndarray
    gap: np.ndarray
    #: steps after which a start has left, smoothed, NaN where it does not, ``(mu, k, n)``
    escape: np.ndarray
    #: sign of ``u + v`` at the end, likewise
    sign: np.ndarray
    #: steps until ``ln |u v - 1|`` (mu < 1) or ``ln |u - v|`` is at its goal, smoothed, NaN where it never is
    settled: np.ndarray
    #: the balanced attractor: values of z, ``(mu, many)``
    attractor: np.ndarray


HALF = (4.8, 3.84)  # reach of the maps in u + v and u - v
LEFT = 1e3  # |u| + |v| of a start that has left
GOAL = 1e-3  # for both distances


@experiment
def basins(params: Parameters) -> Basins:
    """A grid of starts for each of ``mu_list``, and where the cubic map goes."""
    mu = np.array(params.mu_list)
    n = -(-params.n_grid // 2)
    total = (np.arange(n) + 0.5) * HALF[0] / n
    gap = total[total < HALF[1]]
    m = torch.tensor(mu, device=params.device)[:, None, None]
    across, along = (torch.tensor(x, device=params.device) for x in (gap[:, None], total))
    shape = (len(mu), len(gap), len(total))
    u, v = ((along + across) / 2).expand(shape).clone(), ((along - across) / 2).expand(shape).clone()
    to_solution = (m < 1).expand_as(u)

    def distance(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.where(to_solution, (u * v - 1).abs(), (u.abs() - v.abs()).abs()).clamp_min(1e-17)

    def step(u, v, t, escape, settled, near):
        after_u, after_v = product_step(u, v, m)
        t = t + 1
        size = after_u.abs() + after_v.abs()
        # Each step nearly cubes what is large, so a double logarithm makes whole steps smooth.
        fraction = (size.log() / np.log(LEFT)).clamp(1, 3).log() / np.log(3)
        left = (size > LEFT) & escape.isnan()
        now = distance(after_u, after_v)
        arrived = (now < GOAL) & settled.isnan()
        part = ((near / GOAL).log() / (near / now).log().clamp_min(1e-9)).clamp(0, 1)
        stay = size <= LEFT
        return (
            torch.where(stay, after_u, u),
            torch.where(stay, after_v, v),
            t,
            torch.where(left, t - fraction, escape),
            torch.where(arrived & stay, t - 1 + part, settled),
            now,
        )

    nan = torch.full_like(u, torch.nan)
    clock = torch.zeros((), dtype=u.dtype, device=u.device)
    (u, v, _, escape, settled, _), _ = run_steps(step, (u, v, clock, nan, nan, distance(u, v)), params.n_steps_basin)
    z = torch.tensor(params.rng(6).uniform(0.2, 1.2, size=(len(mu), 8)), device=params.device)
    (z,), _ = run_steps(lambda z: cubic_step(z, m[..., 0]), (z,), params.n_transient)
    _, orbit = run_steps(lambda z: cubic_step(z, m[..., 0]), (z,), 64, record=lambda z: z)
    return Basins(
        mu=mu,
        total=total,
        gap=gap,
        escape=escape.cpu().numpy(),
        sign=torch.sign(u + v).cpu().numpy(),
        settled=settled.cpu().numpy(),
        attractor=orbit.transpose(0, 1).reshape(len(mu), -1).cpu().numpy(),
    )


# --- exponents ----------------------------------------------------------------------------------------------------

RUNS = ("ellipse", "inside")
PUSHED = 1e-10  # off the ellipse, in Q


@dataclass(frozen=True)
class Exponents:
    """Exponents on the ellipse and on what attracts inside, over values of mu."""

    #: ``(mu,)``, below 2
    mu: np.ndarray
    #: largest exponent of orbits kept on the ellipse, and of orbits from inside, ``(2, mu)``
    along: np.ndarray
    #: mean of ``(u - v)^2`` over that on the ellipse by its angle's uniform law, likewise
    imbalance: np.ndarray
    #: largest distance of a step on the ellipse from the angle's map
    angle_error: np.ndarray
    #: angles reached by orbits that are kept on the ellipse at the middle mu, ``(many,)``
    angles: np.ndarray
    #: growth of ``|1 - Q|`` in a step from a start close to the ellipse, ``(mu,)``
    off_ellipse: np.ndarray
    #: the closed form
    off_ellipse_theory: np.ndarray
    #: values of mu above one, ``(balanced,)``
    balanced_mu: np.ndarray
    #: growth of ``ln |u - v|`` in a step, orbits in the plane, ``(balanced,)``
    off_balance: np.ndarray
    #: the mean of ``ln |1 - mu^2 e^2|`` over orbits of the cubic map
    off_balance_scalar: np.ndarray


@experiment
def exponents(params: Parameters) -> Exponents:
    """Orbits on the ellipse, pushed off it, and inside it."""
    rng, n, device = params.rng(7), params.n_exponents, params.device
    mu = np.linspace(0.1, 1.95, n)
    m = _column(mu, params)
    count, steps = 1000, 40
    angle = torch.tensor(rng.uniform(0, 2 * np.pi, size=(n, count)), device=device)
    on_ellipse = ellipse(angle, m)
    there = ellipse(angle_step(angle), m)
    moved = product_step(*on_ellipse, m)
    angle_error = torch.maximum((moved[0] - there[0]).abs(), (moved[1] - there[1]).abs()).amax(1)

    def followed(keep: bool):
        def step(u, v, du, dv, stretch, square):
            du, dv = tangent_step(u, v, du, dv, m)
            u, v = product_step(u, v, m)
            if keep:  # the ellipse repels: rounding alone would carry the orbit away
                off = level(u, v, m) ** -0.5
                u, v = off * u, off * v
            size = (du * du + dv * dv).clamp_min(TINY) ** 0.5
            return u, v, du / size, dv / size, stretch + size.log(), square + (u - v) ** 2

        return step

    # the tangent of the ellipse: its derivative in the angle
    tangent = ellipse(angle + np.pi / 2, m)
    zero = torch.zeros_like(angle)
    size = (tangent[0] ** 2 + tangent[1] ** 2) ** 0.5
    state = (*on_ellipse, tangent[0] / size, tangent[1] / size, zero, zero)
    (u, v, _, _, stretch, square), _ = run_steps(followed(True), state, steps)
    inner = _inside(rng, mu, count, device)
    (inner_u, inner_v), _ = run_steps(lambda u, v: product_step(u, v, m), inner, 400)
    state = (inner_u, inner_v, *(x / size for x in tangent), zero, zero)
    (_, _, _, _, inner_stretch, inner_square), _ = run_steps(followed(False), state, steps)
    law = 2 * (2 - m) / m
    middle = n // 2
    seen = torch.atan2((u - v) / (2 - m) ** 0.5, (u + v) / (2 + m) ** 0.5)[middle]

    pushes = 12
    angle = torch.tensor(rng.uniform(0, 2 * np.pi, size=(n, 16 * count)), device=device)
    u, v = ((1 - PUSHED) ** 0.5 * x for x in ellipse(angle, m))
    start = (1 - level(u, v, m)).abs()
    (u, v), _ = run_steps(lambda u, v: product_step(u, v, m), (u, v), pushes)
    grown = ((1 - level(u, v, m)).abs().clamp_min(TINY) / start).log() / pushes

    balanced_mu = np.linspace(1.01, 1.99, n)
    b = _column(balanced_mu, params)

    def in_plane(total: torch.Tensor, gap: torch.Tensor, grown: torch.Tensor) -> tuple:
        after, gap_after = rotated_step(total, gap, b)
        grown = grown + (gap_after / gap).abs().clamp_min(TINY).log()
        # far below rounding of the rest, where it obeys a linear law, the gap is kept from underflow
        return after, torch.where(gap_after.abs() < 1e-60, 1e-60, gap_after), grown

    def on_line(z: torch.Tensor, total: torch.Tensor) -> tuple:
        pull = b * (z * z - 1)
        return cubic_step(z, b), total + (1 - pull * pull).abs().clamp_min(TINY).log()

    orbits, burn, length = 300, 600, 600
    u, v = _inside(rng, balanced_mu, orbits, device)
    state, _ = run_steps(in_plane, (u + v, u - v, torch.zeros_like(u)), burn)
    (_, _, across), _ = run_steps(in_plane, (*state[:2], torch.zeros_like(u)), length)
    z = torch.tensor(rng.uniform(-1, 1, size=(n, orbits)), device=device) * reach(b)
    (z, _), _ = run_steps(on_line, (z, torch.zeros_like(z)), burn)
    (_, scalar), _ = run_steps(on_line, (z, torch.zeros_like(z)), length)
    return Exponents(
        mu=mu,
        along=torch.stack([stretch.mean(1), inner_stretch.mean(1)]).cpu().numpy() / steps,
        imbalance=torch.stack([(x / law).mean(1) for x in (square, inner_square)]).cpu().numpy() / steps,
        angle_error=angle_error.cpu().numpy(),
        angles=seen.cpu().numpy(),
        off_ellipse=grown.mean(1).cpu().numpy(),
        off_ellipse_theory=ellipse_exponent(mu),
        balanced_mu=balanced_mu,
        off_balance=across.mean(1).cpu().numpy() / length,
        off_balance_scalar=scalar.mean(1).cpu().numpy() / length,
    )


@dataclass(frozen=True)
class Escapes:
    """Orbits that start on the ellipse, up to rounding, and are followed freely."""

    #: ``(mu,)``
    mu: np.ndarray
    #: median of ``|1 - Q|`` after each step, ``(mu, steps + 1)``
    ellipse: np.ndarray


@experiment
def escapes(params: Parameters) -> Escapes:
    """How fast orbits leave the ellipse."""
    mu = np.array([0.5, 1.2, 1.5, 1.9])
    m, steps, count = _column(mu, params), 80, 2000
    rng = params.rng(8)
    angle = torch.tensor(rng.uniform(0, 2 * np.pi, size=(len(mu), count)), device=params.device)

    def away(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return (1 - level(u, v, m)).abs().clamp_min(1e-17).nan_to_num(nan=np.inf).median(1).values

    start = ellipse(angle, m)
    _, path = run_steps(lambda u, v: product_step(u, v, m), start, steps, record=away)
    return Escapes(mu, torch.cat([away(*start)[None], path]).T.cpu().numpy())


# --- what training gives ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """Random starts inside the ellipse over a grid of mu: speed and outcome of training."""

    #: ``(n,)``
    mu: np.ndarray
    #: quartiles of the loss after some steps, ``(3, n)``
    early: np.ndarray
    #: quartiles of its average over the last hundred steps, ``(3, n)``
    late: np.ndarray


EARLY = 30


@experiment
def sweep(params: Parameters) -> Sweep:
    """The loss after EARLY steps and its average at the end."""
    mu = np.linspace(0.05, 1.99, 98)
    m = _column(mu, params)
    u, v = _inside(params.rng(9), mu, 200, params.device)
    (u, v), _ = run_steps(lambda u, v: product_step(u, v, m), (u, v), EARLY)
    early = (u * v - 1) ** 2 / 2
    (u, v), _ = run_steps(lambda u, v: product_step(u, v, m), (u, v), params.n_steps)

    def followed(u: torch.Tensor, v: torch.Tensor, loss: torch.Tensor) -> tuple:
        return *product_step(u, v, m), loss + (u * v - 1) ** 2 / 2

    (u, v, loss), _ = run_steps(followed, (u, v, torch.zeros_like(u)), 100)
    quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=u.dtype, device=u.device)
    both = (torch.quantile(x.clamp_min(1e-34), quartiles, dim=1).cpu().numpy() for x in (early, loss / 100))
    return Sweep(mu, *both)
