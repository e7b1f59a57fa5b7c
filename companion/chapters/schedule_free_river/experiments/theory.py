"""What follows from the update alone: averages, thresholds, and rivers that can be computed."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.schedule_free_river import averaging, stability, valley
from companion.chapters.schedule_free_river.parameters import Parameters
from companion.chapters.schedule_free_river.schedule_free import advance, momentum_trajectory, trajectory
from companion.results import experiment

DRAWN_BETAS = (0.1, 0.5, 0.9)
DRAWN_STEPS = 200
WEIGHT_STEPS = 1000
WEIGHT_RHO = 0.99
MAP_POINTS = 81
MAP_STEPS = 400
NEAR = 0.03  # relative distance from a threshold
GROWTH_STEPS = 4000
FIT = (1000, 10_000)  # steps between which powers are fitted
FROZEN_CASES = 2000
CURVATURE = NOISE = 1.0  # of the straight river
SWEEP_BETA = 0.5
BATCHES = (1, 10, 100, 1000)
CONSTANTS = tuple(float(round(C)) for C in np.geomspace(1, 256, 17))
ADAM_BETA2 = 0.99
OSCILLATION_STEPS = 3000


def _coefficients(steps: int, beta: np.ndarray, C: np.ndarray) -> np.ndarray:
    """``c_k`` at a constant rate, ``(R, T)``."""
    return averaging.coefficients(np.ones((len(beta), steps)), beta, C)


def _columns(device: str, *values: np.ndarray) -> list[torch.Tensor]:
    return [torch.tensor(value, device=device)[:, None] for value in values]


def _by_step(c: np.ndarray, device: str) -> torch.Tensor:
    """``(R, T)`` to ``(T, R, 1)``."""
    return torch.tensor(c.T[..., None], device=device)


@dataclass(frozen=True)
class Identities:
    """Schedule-Free with noisy gradients, against what is said to be the same. Runs: betas, original then refined."""

    beta: np.ndarray  #: (R,)
    C: np.ndarray  #: (R,)
    momentum: np.ndarray  #: largest relative distance of the momentum form at x and y, (R,)
    weighted: np.ndarray  #: relative distance of x from the weighted average of the y's, (R,)
    uniform: np.ndarray  #: and from their plain average, (R,)
    total: np.ndarray  #: the weights' sum, (R,)


@experiment
def identities(params: Parameters) -> Identities:
    """A quadratic with noise: every form of the update on the same gradients."""
    beta = np.tile(DRAWN_BETAS, 2)
    C = np.concatenate([1 / (1 - np.array(DRAWN_BETAS)), np.full(len(DRAWN_BETAS), 12.0)])
    c = _coefficients(DRAWN_STEPS, beta, C)
    device = params.device
    scales = torch.linspace(0.1, 2.0, 6, dtype=torch.float64, device=device)
    noise = torch.randn(DRAWN_STEPS, 6, generator=params.generator(2), dtype=torch.float64).to(device)
    start = torch.ones(len(beta), 6, dtype=torch.float64, device=device)

    def gradient(w: torch.Tensor, step: int) -> torch.Tensor:
        return scales * w + noise[step]

    (betas,) = _columns(device, beta)
    given = (gradient, start, 0.3, _by_step(c, device), betas)
    one, other = trajectory(*given), momentum_trajectory(*given)
    size = one.x[-1].norm(dim=-1)
    apart = torch.maximum((one.x - other.x).abs().amax((0, -1)), (one.y - other.y).abs().amax((0, -1)))
    alpha = averaging.averaging_weights(c, beta)
    weighted = torch.einsum("rt,trd->rd", torch.tensor(alpha, device=device), one.y[1:])
    distance = [(one.x[-1] - average).norm(dim=-1) / size for average in (weighted, one.y[1:].mean(0))]
    found = (value.cpu().numpy() for value in (apart / size, *distance))
    return Identities(beta, C, *found, alpha.sum(-1))


@dataclass(frozen=True)
class Weights:
    """Weights on the last T points, for the picture."""

    beta: np.ndarray  #: of the Schedule-Free averages, (B,)
    original: np.ndarray  #: (B, T)
    refined: np.ndarray  #: (B, T)
    C: float  #: of the refined ones
    ema: np.ndarray  #: of an exponential moving average, (T,)
    rho: float  #: its decay
    decay: np.ndarray  #: that a linear decay over the last fifth amounts to, (T,)


@experiment
def weights(params: Parameters) -> Weights:
    """The weights of a run of a thousand steps."""
    beta = np.array(DRAWN_BETAS)
    given = [1 / (1 - beta), np.full(len(beta), params.C)]
    original, refined = (averaging.averaging_weights(_coefficients(WEIGHT_STEPS, beta, C), beta) for C in given)
    ema = averaging.ema_weights(WEIGHT_STEPS, WEIGHT_RHO)
    return Weights(
        beta, original, refined, params.C, ema, WEIGHT_RHO, averaging.decay_weights(WEIGHT_STEPS, WEIGHT_STEPS // 5)
    )


@dataclass(frozen=True)
class Thresholds:
    """Schedule-Free gradient descent on one eigenvalue."""

    beta: np.ndarray  #: (B,)
    below: np.ndarray  #: growth of log10 |(z, x)| over the second half, just below 2 / (1 - beta), (B,)
    above: np.ndarray  #: just above, (B,)
    gd_below: np.ndarray  #: just below gradient descent's 2, where Schedule-Free is stable, too, (B,)
    gd_above: np.ndarray  #: just above gradient descent's 2, (B,)
    power_beta: np.ndarray  #: of the fitted powers, (F,)
    power_C: np.ndarray  #: (F,)
    x_power: np.ndarray  #: fitted, (F,)
    y_power: np.ndarray  #: fitted, (F,)
    frozen_wrong: int  #: random cases in which inequality and spectral radius disagree
    frozen_cases: int
    frozen_wrong_gd: int  #: and in which gradient descent's condition ``q < 2`` does
    map_beta: np.ndarray  #: of the map, (M,)
    map_q: np.ndarray  #: (M,)
    amplification: np.ndarray  #: largest log10 |y_k| of a run from one, (M, M), q in rows


def _growth(q: np.ndarray, beta: np.ndarray) -> np.ndarray:
    x, y = stability.log_path(q, beta, 1 / (1 - beta), GROWTH_STEPS)
    size = np.maximum(x, y)
    half = GROWTH_STEPS // 2
    # Over pairs of steps, as the fast mode alternates in sign.
    return size[-2:].max(0) - size[half - 2 : half].max(0)


@experiment
def thresholds(params: Parameters) -> Thresholds:
    """Growth on both sides of the thresholds, powers, the frozen condition and the map of early blow-ups."""
    beta = np.array([0.2, 0.5, 0.8, 0.9])
    edge = stability.threshold(beta)
    limits = np.stack([edge, edge, np.full(len(beta), 2.0), np.full(len(beta), 2.0)])
    growth = _growth(limits * (1 + NEAR * np.array([[-1], [1], [-1], [1]])), beta)
    power_beta, power_C = np.array([0.5, 0.5, 0.8, 0.3]), np.array([2.0, 5.0, 5.0, 2.5])
    first, last = FIT
    paths = stability.log_path(0.5, power_beta, power_C, last)
    x_power, y_power = ((p[last - 1] - p[first - 1]) / np.log10(last / first) for p in paths)
    rng = params.rng(3)
    q, b, c = rng.uniform(0, 20, FROZEN_CASES), rng.uniform(0, 1, FROZEN_CASES), rng.uniform(0, 1, FROZEN_CASES)
    stable = stability.frozen_radius(q, b, c) < 1
    map_beta, map_q = np.linspace(0, 0.95, MAP_POINTS), np.linspace(0.1, 12, MAP_POINTS)
    lattice = np.broadcast_to(map_beta, (MAP_POINTS, MAP_POINTS))
    blown = stability.amplification(map_q[:, None], lattice, 1 / (1 - lattice), MAP_STEPS)
    return Thresholds(
        beta, *growth, power_beta, power_C, x_power, y_power,
        frozen_wrong=int((stable != stability.frozen_stable(q, b, c)).sum()),
        frozen_cases=FROZEN_CASES,
        frozen_wrong_gd=int((stable != (q < 2)).sum()),
        map_beta=map_beta,
        map_q=map_q,
        amplification=blown,
    )  # fmt: skip


@dataclass(frozen=True)
class Straight:
    """Schedule-Free on the straight river with noise across it."""

    beta: np.ndarray  #: of the first R runs, (R,)
    C: np.ndarray  #: (R,)
    steps: int  #: T
    rate: float  #: effective step size, (1 - beta) lr
    lag: np.ndarray  #: steps by which x is behind y, (R,)
    lag_law: np.ndarray  #: T / (1 + C), (R,)
    y_variance: np.ndarray  #: across the valley, mean over replicas and the last tenth, (R,)
    y_law: np.ndarray  #: (R,)
    x_variance: np.ndarray  #: (R,)
    x_law: np.ndarray  #: (R,)
    batches: np.ndarray  #: by which the noise's variance is divided, (N,)
    constants: np.ndarray  #: C of the sweep, (S,)
    excess: np.ndarray  #: loss of x above the floor at y's place, (N, S)
    still: np.ndarray  #: the same without a river, (N, S)
    excess_law: np.ndarray  #: (N, S)


@experiment
def straight(params: Parameters) -> Straight:
    """Lag and noise of the original and of the refined method, and what they cost at several batch sizes."""
    main, steps, device = 6, params.river_steps, params.device
    constants = np.array(CONSTANTS)
    beta = np.concatenate([DRAWN_BETAS, DRAWN_BETAS, np.full(len(constants), SWEEP_BETA)])
    C = np.concatenate([1 / (1 - beta[:3]), np.full(3, params.bend_C), constants])
    lr = params.river_rate / (1 - beta)
    slope = 2 / steps  # so that river and noise cost about the same
    gradient = valley.straight(slope, CURVATURE, NOISE, params.generator(4))
    rates, betas = _columns(device, lr, beta)
    x = y = z = before = torch.zeros(len(beta), 1 + params.replicas, dtype=torch.float64, device=device)
    squares, last = torch.zeros(len(beta), dtype=torch.float64, device=device), steps // 10
    for k, c_k in enumerate(_by_step(_coefficients(steps, beta, C), device)):
        before = y
        x, z, y = advance(x, z, gradient(y, k), rates, c_k, betas)
        if k >= steps - last:
            squares += (y[:, 1:] ** 2).mean(1) / last
    behind, speed = ((a - b)[:, 0].cpu().numpy() for a, b in ((y, x), (y, before)))
    x_variance, y_variance = (x[:, 1:] ** 2).mean(1).cpu().numpy(), squares.cpu().numpy()
    batches = np.array(BATCHES)
    # The valley is linear in the noise: a batch divides the variance, whatever the run.
    noise = NOISE / np.sqrt(batches[:, None])
    still = CURVATURE / 2 * x_variance[main:] / batches[:, None]
    excess = slope * behind[main:] + still
    law = valley.excess(steps, constants, lr[main:], slope, SWEEP_BETA, CURVATURE, noise)
    return Straight(
        beta[:main],
        C[:main],
        steps,
        params.river_rate,
        lag=(behind / speed)[:main],
        lag_law=valley.lag(steps, C[:main]),
        y_variance=y_variance[:main],
        y_law=valley.gradient_variance(lr, beta, CURVATURE, NOISE)[:main],
        x_variance=x_variance[:main],
        x_law=valley.average_variance(steps, C[:main], CURVATURE, NOISE),
        batches=batches,
        constants=constants,
        excess=excess,
        still=still,
        excess_law=law,
    )


@dataclass(frozen=True)
class Bent:
    """Schedule-Free AdamW on the bent river. Runs: variants (original, refined) by betas."""

    beta: np.ndarray  #: (B,)
    C: float  #: of the refined method
    x: np.ndarray  #: path of x, (2, B, T + 1, 2)
    y: np.ndarray  #: path of y, (2, B, T + 1, 2)
    x_distance: np.ndarray  #: |w_1 w_2 - 1| at x, mean over the last fifth, (2, B)
    y_distance: np.ndarray  #: at y, (2, B)


@experiment
def bent(params: Parameters) -> Bent:
    """From (2, 2) down to the river and along it."""
    steps, device = params.bend_steps, params.device
    drawn = np.array(DRAWN_BETAS)
    beta = np.tile(drawn, 2)
    C = np.concatenate([1 / (1 - drawn), np.full(len(drawn), params.bend_C)])
    start = torch.full((len(beta), 2), 2.0, dtype=torch.float64, device=device)
    (betas,) = _columns(device, beta)
    c = _by_step(_coefficients(steps, beta, C), device)
    paths = trajectory(valley.bent, start, params.bend_rate, c, betas, ADAM_BETA2)
    last = steps // 5
    distances = [valley.distance(p[-last:]).mean(0).cpu().numpy().reshape(2, -1) for p in (paths.x, paths.y)]
    x, y = (p.transpose(0, 1).cpu().numpy().reshape(2, len(drawn), steps + 1, 2) for p in (paths.x, paths.y))
    return Bent(drawn, params.bend_C, x, y, *distances)


@dataclass(frozen=True)
class Oscillation:
    """Schedule-Free AdamW in a valley without noise."""

    beta: np.ndarray  #: (B,)
    amplitude: np.ndarray  #: of y over the last steps, (B,)
    law: np.ndarray  #: (1 - beta) lr / 2, (B,)
    adam: float  #: lr / 2, the amplitude without interpolation


@experiment
def oscillation(params: Parameters) -> Oscillation:
    """One coordinate, curvature one, from near the floor."""
    beta, steps, device = np.array([0.0, 0.1, 0.5, 0.9, 0.95]), OSCILLATION_STEPS, params.device
    (betas,) = _columns(device, beta)
    c = _by_step(_coefficients(steps, beta, 1 / (1 - beta)), device)
    start = torch.full((len(beta), 1), 0.1, dtype=torch.float64, device=device)
    y = trajectory(lambda w, step: CURVATURE * w, start, params.bend_rate, c, betas, ADAM_BETA2).y[-100:, :, 0]
    amplitude = y.diff(dim=0).abs().mean(0).cpu().numpy() / 2
    return Oscillation(beta, amplitude, (1 - beta) * params.bend_rate / 2, params.bend_rate / 2)
