"""Gradient descent, its geometry and its rates, on the valleys."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.curvature import dense_hessian
from companion.chapters.local_pl_rates import rates
from companion.chapters.local_pl_rates.descent import asymptotic_rate, on_sphere, sgd
from companion.chapters.local_pl_rates.parameters import Parameters
from companion.chapters.local_pl_rates.valleys import Bowl, Valley, near_torus
from companion.results import experiment

LANDSCAPES = ("valley", "quartic valley")
GD_WINDOW = (1e-10, 1e-26)  # of f: the quadratic regime, well above rounding
LEAST = 5  # steps that a window needs
FAR = 0.2  # height of starts from which the way down the valley is long
OVERSHOOT = 10  # heavy ball first climbs, so it starts lower by this factor
REPLICAS = 4  # starts of each noiseless run


def _mixed(params: Parameters) -> np.ndarray:
    """Seven normal eigenvalues: both ends three times, and one between."""
    mu, L = params.mu, params.L
    return np.array([mu, mu, mu, L, L, L, np.sqrt(mu * L)])


def starts(rng: np.random.Generator, runs: int, circles: int, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Heights of either sign, of size ``height / 2`` to ``height``, and uniform angles, ``(runs, circles)``."""
    sizes = rng.uniform(0.5, 1, (runs, circles)) * rng.choice([-1, 1], (runs, circles))
    return height * sizes, rng.uniform(0, 2 * np.pi, (runs, circles))


def steps_needed(rate: np.ndarray, low: float) -> np.ndarray:
    """Steps from a loss of some hundreds to ``low`` at a rate."""
    return np.log(low / 300) / np.log(np.minimum(np.maximum(rate, 1e-3), 1 - 1e-12))


# --- the geometry of PL ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Geometry:
    """The Hessian on the minimizers, and the best PL constant near them; rows for LANDSCAPES."""

    mu: float
    #: dimension of the set of minimizers
    dimension: int
    #: shells ``s/2 <= max_i | |x_i| - 1 | <= s`` around it, ``(S,)``
    shells: np.ndarray
    #: least ``|grad f|^2 / (2 f)`` over points of the shell, ``(2, S)``
    constant: np.ndarray
    #: eigenvalues of the Hessian at points on it, divided by the factor of the place, ascending, ``(2, points, 14)``
    eigenvalues: np.ndarray
    #: largest ``|H t|`` over unit tangents there, ``(2,)``
    tangent: np.ndarray
    #: least eigenvalue of the Hessian at points inside the circles, ``(2,)``
    inside: np.ndarray


@experiment
def geometry(params: Parameters) -> Geometry:
    """Hessians by differentiating twice, PL constants by sampling shells."""
    rng, lam = params.rng(0), torch.tensor(_mixed(params))
    shells, m, count = np.array([0.3, 0.1, 0.03, 0.01, 0.003]), len(lam), 20_000
    kinds = [Valley(lam, params.turn, power) for power in (2, 4)]
    floor = near_torus(torch.zeros(20, m), torch.tensor(rng.uniform(0, 2 * np.pi, (20, m)))).double()
    constants, spectra, tangent, inside = [], [], [], []
    for kind in kinds:

        def loss(flat: torch.Tensor, kind: Valley = kind) -> torch.Tensor:
            return kind.value(flat.reshape(-1, m, 2))

        H = dense_hessian(loss, floor.flatten(1)) / kind.level(floor)[:, None, None]
        units = torch.zeros(20, m, m, 2, dtype=torch.float64)
        units[:, range(m), range(m)] = kind.tangents(floor)
        spectra.append(torch.linalg.eigvalsh(H).numpy())
        tangent.append((H @ units.flatten(2).mT).norm(dim=1).max())
        inside.append(torch.linalg.eigvalsh(dense_hessian(loss, 0.7 * floor.flatten(1))).min())
        row = []
        for shell in shells:
            # one circle at the outer half of the shell, the others at any depth
            depth = rng.uniform(0.5, 1, (count, m)) * 10.0 ** -rng.uniform(0, 6, (count, m))
            depth[np.arange(count), rng.integers(m, size=count)] = rng.uniform(0.5, 1, count)
            radius = torch.tensor(1 + shell * depth * rng.choice([-1, 1], (count, m)))
            x = radius[..., None] * near_torus(0 * radius, torch.tensor(rng.uniform(0, 2 * np.pi, (count, m))))
            value, gradient = Valley(lam, 0.0, kind.power).value_and_gradient(x)
            row.append((gradient.square().sum((-1, -2)) / (2 * value)).min())
        constants.append(row)
    return Geometry(
        params.mu, m, shells, np.array(constants), np.array(spectra), np.array(tangent), np.array(inside)
    )  # fmt: skip


@dataclass(frozen=True)
class Ring:
    """A picture: one circle whose valley changes along it, with a path of gradient descent and one of SGD."""

    #: coordinates of the grid, ``(G,)``
    axis: np.ndarray
    #: value, curvature: f and the least eigenvalue of its Hessian on the grid, ``(G, G)``
    value: np.ndarray
    curvature: np.ndarray
    #: gd, sgd: iterates, ``(steps, 2)``
    gd: np.ndarray
    sgd: np.ndarray


@experiment
def ring(params: Parameters) -> Ring:
    """One circle, the eigenvalue one, short steps."""
    valley = Valley(torch.ones(1, dtype=torch.float64), 0.5)
    axis = np.linspace(-1.6, 1.6, 129)
    points = torch.tensor(np.stack(np.meshgrid(axis, axis), axis=-1)).reshape(-1, 2)
    points = torch.where(points.norm(dim=1, keepdim=True) < 1e-9, points + 1e-9, points)
    hessian = dense_hessian(lambda flat: valley.value(flat[:, None]), points)
    curvature = torch.linalg.eigvalsh(hessian)[:, 0].reshape(len(axis), -1)
    generator = torch.Generator().manual_seed(int(params.rng(1).integers(2**31)))
    paths = []
    for angle, sigma in ((2.3, 0.0), (0.3, 6.0)):
        x = near_torus(torch.tensor([[0.7]]), torch.tensor([[angle]])).double()
        path = [x[0, 0].tolist()]
        for _ in range(80):
            directions = on_sphere(generator, 1, along=0.5)
            x, _ = sgd(valley, x, 0.1, 1, sigma=sigma, directions=directions if sigma else None)
            path.append(x[0, 0].tolist())
        paths.append(np.array(path))
    value = valley.value(points[:, None]).reshape(len(axis), -1)
    return Ring(axis, value.numpy(), curvature.numpy(), *paths)


# --- rates of gradient descent --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Descent:
    """Gradient descent at many step sizes."""

    #: mu, L: of the run
    mu: float
    L: float
    #: step sizes, increasing, below 2 / L, ``(G,)``
    lr: np.ndarray
    #: valley, bowl: measured factors of f per step, mean over starts, ``(G,)``; NaN where none was reached
    valley: np.ndarray
    bowl: np.ndarray
    #: factors that theory predicts, and that the textbook's proof gives, ``(G,)``
    predicted: np.ndarray
    textbook: np.ndarray
    #: f at step 2 / (mu + L), on the valley and on the quartic valley, for all starts, ``(2, steps + 1, starts)``
    decay: np.ndarray
    #: least f after all steps at 1.02 times the largest stable step
    unstable: float
    #: steps that the slowest needs, and that were allowed
    needed: float
    allowed: int


@experiment
def descent(params: Parameters) -> Descent:
    """A grid of step sizes in one batch."""
    rng, lam = params.rng(2), torch.tensor(_mixed(params), device=params.device)
    fractions = np.linspace(0.1, 0.99, params.n_gamma)
    lr = fractions * float(rates.largest_step(params.L))
    predicted = rates.rate(lr, params.mu, params.L)
    needed = float(steps_needed(predicted, GD_WINDOW[1]).max())
    heights, angles = (torch.tensor(v, device=params.device) for v in starts(rng, REPLICAS * len(lr), 7, params.h0))
    every = torch.tensor(lr, device=params.device).repeat_interleave(REPLICAS)
    measured = []
    for problem, x in ((Valley(lam), near_torus(heights, angles)), (Bowl(lam), heights[..., None])):
        _, values = sgd(problem, x, every, params.n_steps, until=GD_WINDOW[1])
        found = asymptotic_rate(values, *GD_WINDOW, LEAST).reshape(-1, REPLICAS)
        measured.append(np.exp(np.log(found).mean(1)))
    best, x = float(rates.optimal_step(params.mu, params.L)), near_torus(heights, angles)[:REPLICAS]
    far = near_torus(heights * FAR / params.h0, angles)[:REPLICAS]
    steps = min(params.n_steps, int(steps_needed(rates.optimal_rate(params.mu, params.L), GD_WINDOW[1])))
    decay = [sgd(Valley(lam, 0.0, power), far, best, steps)[1] for power in (2, 4)]
    beyond = sgd(Valley(lam), x, 1.02 * float(rates.largest_step(params.L)), params.n_steps)[1][-1]
    return Descent(
        params.mu, params.L, lr, *measured, predicted, rates.textbook_rate(lr, params.mu, params.L),
        np.array(decay), float(beyond.min()), needed, params.n_steps,
    )  # fmt: skip


@dataclass(frozen=True)
class Momentum:
    """Heavy ball at the step that is best for it, over the momentum."""

    #: momenta, increasing, ``(B,)``
    momentum: np.ndarray
    #: measured and predicted factors of f, ``(B,)``
    measured: np.ndarray
    predicted: np.ndarray
    #: best momentum, which is also the best rate, and the best rate of gradient descent
    optimum: float
    plain: float
    #: gradient descent's best measured rate
    plain_measured: float
    #: steps that the slowest needs, and that were allowed
    needed: float
    allowed: int


@experiment
def momentum(params: Parameters, descent: Descent) -> Momentum:
    """A grid of momenta in one batch."""
    lam = torch.tensor(_mixed(params), device=params.device)
    lr, best = rates.momentum_optimum(params.mu, params.L)
    stable = lr * params.L / 2 - 1  # smaller momenta diverge
    grid = np.linspace(stable + 0.3 * (best - stable), best + 0.6 * (1 - best), params.n_momentum)
    momenta = np.union1d(grid, best)
    predicted = rates.momentum_rate(lr, momenta, params.mu, params.L)
    heights, angles = (
        torch.tensor(v, device=params.device)
        for v in starts(params.rng(3), REPLICAS * len(momenta), 7, params.h0 / OVERSHOOT)
    )  # fmt: skip
    every = torch.tensor(momenta, device=params.device).repeat_interleave(REPLICAS)
    _, values = sgd(
        Valley(lam), near_torus(heights, angles), lr, params.n_steps, momentum=every, until=GD_WINDOW[1]
    )  # fmt: skip
    found = asymptotic_rate(values, *GD_WINDOW, LEAST).reshape(-1, REPLICAS)
    return Momentum(
        momenta, np.exp(np.log(found).mean(1)), predicted, best, float(rates.optimal_rate(params.mu, params.L)),
        float(np.nan_to_num(descent.valley, nan=np.inf).min()), float(steps_needed(predicted, GD_WINDOW[1]).max()),
        params.n_steps,
    )  # fmt: skip
