"""Amplification on the way: discrete runs with the two clocks of the theory, other problems, and collapse."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.sam_diagonal_networks import theory
from companion.chapters.sam_diagonal_networks.parameters import SWEEP_RECORDS, Parameters, random_stream
from companion.chapters.sam_diagonal_networks.runs import amplify
from companion.chapters.sam_diagonal_networks.sam import Radii
from companion.results import experiment

# Name to norm, and radius where it is not rho.
PERTURBED = {
    "GD": ("gd", None),
    "l2-SAM": ("l2", None),
    "linf-SAM": ("linf", None),
    "unnormalized SAM": ("none", None),
    "unnormalized SAM, radius 1": ("none", 1.0),
}
METHODS = tuple(PERTURBED)


@dataclass(frozen=True)
class Amplification:
    """Discrete runs on one example in physical time from uniform starts, with the two clocks of the theory."""

    mu: np.ndarray  # (d,)
    rho: float
    lr: float
    scales: np.ndarray  # alpha / rho: the shown ones and the grid of the phase diagram, increasing, (B,)
    shown: np.ndarray  # positions of the shown scales among them
    steps: np.ndarray  # recorded steps, (K,)
    beta: np.ndarray  # (METHODS, K, B, d)
    s: np.ndarray  # clock accumulated along each run, (METHODS, K, B)
    A: np.ndarray  # clock accumulated along each run, (METHODS, K, B)
    n: np.ndarray  # norm of the gradient over |l'| before the recorded step, (METHODS, K, B)
    collapsed: np.ndarray  # whether l2-SAM's n has been below rho mu_1 before, (K, B)
    alpha_c: float  # in units of rho
    gd_like: float  # in units of rho
    swaps: tuple[tuple[theory.Swap, ...], ...]  # predicted for each shown scale, from the reduced flow alone

    def dominant(self, method: str) -> np.ndarray:
        """Index of the largest coordinate, ``(K, B)``."""
        return self.beta[METHODS.index(method)].argmax(-1)

    def clear(self, method: str) -> np.ndarray:
        """Whether rounding does not decide which coordinate is the largest, ``(K, B)``."""
        largest = np.sort(self.beta[METHODS.index(method)], axis=-1)
        return largest[..., -1] - largest[..., -2] > 1e-9 * np.abs(largest[..., -1])

    def predicted(self, method: str) -> np.ndarray:
        """Index that the vertex rule gives from the clocks of this method's runs, ``(K, B)``."""
        row = METHODS.index(method)
        start = self.scales * np.linalg.norm(self.mu) / np.sqrt(2)
        return theory.nearest(theory.vertex(self.s[row], self.A[row], self.rho, start), self.mu)

    def loss(self, method: str) -> np.ndarray:
        """Training loss at the recorded steps, ``(K, B)``."""
        return np.logaddexp(0, -self.beta[METHODS.index(method)] @ self.mu)


@experiment
def amplification(params: Parameters) -> Amplification:
    """Every method from every scale, at once."""
    mu, rho = np.array(params.mu), params.rho
    alpha_c, gd_like = theory.critical_scale(mu), theory.gd_like_scale(mu)
    grid = np.linspace(0.9 * alpha_c, 1.1 * max(gd_like, alpha_c), params.grid)
    scales = np.unique(np.concatenate([params.scales, grid]))
    shown = np.searchsorted(scales, params.scales)
    norms = [norm for norm, _ in PERTURBED.values() for _ in scales]
    radii = Radii.of(norms, [rho if radius is None else radius for _, radius in PERTURBED.values() for _ in scales])
    w = torch.from_numpy(np.tile(rho * scales, len(METHODS)))[:, None, None].repeat(1, 2, len(mu))
    steps, beta, s, A, n = amplify(w, torch.from_numpy(mu[None]), radii, params.lr, params.steps, params.record_every)
    shape = (len(steps), len(METHODS), len(scales))
    beta = beta.reshape(*shape, len(mu)).swapaxes(0, 1)
    s, A, n = (a.reshape(shape).swapaxes(0, 1) for a in (s, A, n))
    collapsed = np.maximum.accumulate(n[METHODS.index("l2-SAM")] < rho * mu[0], axis=0)
    alpha = rho * np.array(params.scales)[:, None] * np.ones(len(mu))
    flow = theory.l2_flow(alpha, mu, rho, until=1e12)
    swaps = tuple(tuple(theory.swap_times(flow, run, mu, rho)) for run in range(len(params.scales)))
    return Amplification(mu, rho, params.lr, scales, shown, steps, beta, s, A, n, collapsed, alpha_c, gd_like, swaps)


# --- other problems ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """The vertex rule on other problems: random ones, uneven starts, other dimensions and radii."""

    agreement_random: np.ndarray  # share of recorded times at which the rule names the leader, (problems,)
    agreement_uneven: np.ndarray  # from starts of unequal coordinates, by the parabola with offsets, (problems,)
    agreement_uneven_plain: np.ndarray  # there, by the vertex alone, (problems,)
    dimensions: np.ndarray  # of the problems of the sweep, (P,)
    radii: np.ndarray  # of the problems of the sweep, (P,)
    agreement: np.ndarray  # as for the random ones, from a grid of uniform starts, (P,)
    monotone: np.ndarray  # whether the leader's index never falls as the scale grows, at all recorded times, (P,)


@experiment
def sweep(params: Parameters) -> Sweep:
    """The vertex rule beyond the main example; on the chosen device, which pays for large grids."""
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
    steps, every = _sweep_length(params)
    _, beta, s, A, n = amplify(w, torch.from_numpy(mu).to(params.device), ball, 4e-3, steps, every)
    collapsed = np.maximum.accumulate(n < radii[:, None], axis=0)
    start = theory.initial_vertex(scales[..., None] * np.ones(wide), mu, 1.0)
    grid = np.where(mu > 0, mu, np.inf)
    predicted = theory.nearest(theory.vertex(s, A, radii[:, None], start), grid)
    dominant = beta.argmax(-1)
    agreement = _agreement(predicted == dominant, ~collapsed)
    # A collapsed run has no dominant coordinate; it counts as the smallest index.
    index = np.where(collapsed, 0, dominant)
    monotone = (np.diff(index, axis=-1) >= 0).all(axis=(0, 2))
    return Sweep(random, uneven, plain, dims, radii, agreement, monotone)


def _sweep_length(params: Parameters) -> tuple[int, int]:
    """Steps, and steps between records."""
    steps = max(params.steps // 2, 50)
    return steps, max(25, -(-steps // SWEEP_RECORDS))


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
    rng = random_stream(params, "random problems")
    count, wide = params.random_problems, 7
    dims = rng.integers(2, 8, size=count)
    rho = rng.uniform(0.05, 0.3, size=count)
    mu = np.zeros((count, 1, wide))
    alpha = np.zeros((count, 6, wide))
    for k, d in enumerate(dims):
        mu[k, 0, :d] = np.cumsum(rng.uniform(0.3, 1.0, size=d))
        low, high = theory.critical_scale(mu[k, 0, :d], 6e-3), theory.gd_like_scale(mu[k, 0, :d])
        uniform = rho[k] * (low + (high - low) * np.array([0.15, 0.4, 0.7]))[:, None]
        alpha[k, :3, :d] = uniform
        alpha[k, 3:, :d] = uniform * np.exp(rng.uniform(-0.3, 0.3, size=(3, d)))
    lr = 0.004 / mu.max((1, 2))  # the rule is exact for the flow; mismatches fall with the step size
    w, ball = _stack(alpha, rho, "cpu")
    step = torch.from_numpy(lr)[:, None, None, None]
    _, beta, s, A, n = amplify(w, torch.from_numpy(mu), ball, step, *_sweep_length(params))
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


# --- collapse ---------------------------------------------------------------------------------------------------------

EDGE = ("l2-SAM", "unnormalized SAM")


@dataclass(frozen=True)
class Boundary:
    """Where discrete SAM stops collapsing, for several step sizes."""

    alpha_c: float  # of the flow, in units of rho
    lr: np.ndarray  # step sizes, falling, (E,)
    ratio: np.ndarray  # starts in units of alpha_c, (S,)
    fallen: np.ndarray  # whether the run fell below n = rho mu_1, (EDGE, E, S)
    enough: bool  # whether the steps suffice for the smallest step size

    @property
    def found(self) -> np.ndarray:
        """Boundary of l2-SAM between collapse and growth in units of ``alpha_c``, ``(E,)``."""
        last = np.where(self.fallen[0], self.ratio, self.ratio[0]).max(-1)
        first = np.where(self.fallen[0], self.ratio[-1], self.ratio).min(-1)
        return (last + first) / 2

    @property
    def resolution(self) -> float:
        """Spacing of the starts in units of ``alpha_c``."""
        return float(self.ratio[1] - self.ratio[0])


@experiment
def boundary(params: Parameters) -> Boundary:
    """The collapse boundary of the algorithm against that of the flow."""
    mu, rho = np.array(params.mu), params.rho
    alpha_c = theory.critical_scale(mu)
    lr = 0.05 / mu[-1] / 2.0 ** np.arange(3)
    ratio = np.linspace(0.99, 1.01, 101)
    alpha = np.tile((rho * alpha_c * ratio)[None, :, None], (len(lr), len(EDGE), len(mu)))
    w, _ = _stack(alpha, np.full(len(lr), rho), "cpu")
    radii = Radii.of([norm for norm in ("l2", "none") for _ in ratio], [rho] * len(EDGE) * len(ratio))
    z = torch.from_numpy(np.tile(mu, (len(lr), 1, 1)))
    step, needed = torch.from_numpy(lr)[:, None, None, None], 16 / (lr[-1] * mu[0])
    enough = bool(needed <= 10_000)  # else too few steps tell as much as many
    _, _, _, _, n = amplify(w, z, radii, step, int(needed) if enough else 20, 20)
    fallen = (n < rho * mu[0]).any(0).reshape(len(lr), len(EDGE), -1).swapaxes(0, 1)
    return Boundary(alpha_c, lr, ratio, fallen, enough)
