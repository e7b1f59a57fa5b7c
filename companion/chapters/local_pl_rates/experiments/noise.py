"""Stochastic gradient descent under multiplicative noise: rates in the worst case, limits, single paths."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from companion.chapters.local_pl_rates import rates
from companion.chapters.local_pl_rates.descent import asymptotic_rate, on_sphere, sgd
from companion.chapters.local_pl_rates.experiments.valleys import FAR, LEAST, starts, steps_needed
from companion.chapters.local_pl_rates.parameters import Parameters
from companion.chapters.local_pl_rates.valleys import Bowl, Valley, near_torus
from companion.results import experiment

WINDOW = (1e-6, 1e-22)  # of f
QUIET = 4  # coordinates of the other eigenvalue, without noise


@dataclass(frozen=True)
class Noisy:
    """Measured rates of SGD at three step sizes for each noise level."""

    #: mu, L: of the run
    mu: float
    L: float
    #: noise levels, ``(S,)``
    sigma: np.ndarray
    #: the best step, six tenths of it, and half way from it to the largest, ``(S, 3)``
    lr: np.ndarray
    #: valley, bowl: the larger of the factors with noise in the eigenspace of mu and of L, ``(S, 3)``
    valley: np.ndarray
    bowl: np.ndarray
    #: predicted, textbook, noiseless: factors from theory, from the textbook's proof, and without noise, ``(S, 3)``
    predicted: np.ndarray
    textbook: np.ndarray
    noiseless: np.ndarray
    #: isotropic, tangential: factors at the best step with noise spread over all normal directions, and along the
    #: valley, ``(S,)``
    isotropic: np.ndarray
    tangential: np.ndarray
    #: what theory has for isotropic noise, ``(S,)``
    isotropic_predicted: np.ndarray
    #: steps that the slowest needs, and that were allowed
    needed: float
    allowed: int


@experiment
def noisy(params: Parameters) -> Noisy:
    """All step sizes, places of the noise and replicas of one noise level in one batch."""
    mu, L, block, reps = params.mu, params.L, params.m_block, params.n_rep
    sigmas = np.array(sorted(set(params.sigma_list)))
    best = rates.optimal_step(mu, L, sigmas)
    lr = np.stack([best, 0.6 * best, (best + rates.largest_step(L, sigmas)) / 2], axis=1)
    predicted = rates.rate(lr, mu, L, sigmas[:, None])
    needed = steps_needed(predicted, WINDOW[1])
    half = np.repeat([mu, L], [block - block // 2, block // 2])
    spectra = np.stack(
        [
            np.repeat([mu, L], [block, QUIET]),
            np.repeat([L, mu], [block, QUIET]),
            np.concatenate([half, np.repeat([mu, L], QUIET // 2)]),
            np.repeat([mu, L], [block, QUIET]),
        ]
    )
    # runs: noise in the eigenspace of mu or of L at three steps; then, at the best step, isotropic and tangential
    kind = np.repeat([0, 0, 0, 1, 1, 1, 2, 3], reps)
    step = np.repeat([0, 1, 2, 0, 1, 2, 0, 0], reps)
    lam = torch.tensor(spectra[kind], device=params.device)
    rng, generator = params.rng(4), params.generator(5)
    found = {"valley": [], "bowl": []}
    for row, sigma in enumerate(sigmas):
        heights, angles = (
            torch.tensor(v, device=params.device) for v in starts(rng, len(kind), block + QUIET, params.h0)
        )  # fmt: skip
        steps = min(params.n_steps, int(1.3 * needed[row].max()) + 64)
        every = torch.tensor(lr[row][step], device=params.device)
        worst = int((kind < 2).sum())
        for name, problem, x, some in (
            ("valley", Valley(lam), near_torus(heights, angles), slice(None)),
            ("bowl", Bowl(lam[:worst]), heights[:worst, :, None], slice(worst)),
        ):
            directions = on_sphere(generator, block, tangential=reps if name == "valley" else 0)
            _, values = sgd(
                problem, x, every[some], steps, sigma=float(sigma), directions=directions, until=WINDOW[1]
            )  # fmt: skip
            logs = np.log(asymptotic_rate(values, *WINDOW, LEAST)).reshape(-1, reps).mean(1)
            found[name].append(np.exp(logs))
    valley, bowl = (np.array(found[name]) for name in ("valley", "bowl"))
    modes = np.broadcast_to([mu, L], (len(sigmas), 2))
    return Noisy(
        mu, L, sigmas, lr, valley[:, :6].reshape(-1, 2, 3).max(1), bowl.reshape(-1, 2, 3).max(1), predicted,
        rates.textbook_rate(lr, mu, L, sigmas[:, None]), rates.rate(lr, mu, L), valley[:, 6], valley[:, 7],
        rates.moment_rate(best, modes, np.full_like(modes, 0.5), sigmas), float(needed.max()),
        params.n_steps,
    )  # fmt: skip


# --- the limit point ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """Runs in the winding valley; rows for gradient descent and SGD."""

    #: measured factors, ``(2, runs)``
    measured: np.ndarray
    #: at_limit, at_start: what theory predicts from the normal Hessian there, ``(2, runs)``
    at_limit: np.ndarray
    at_start: np.ndarray
    #: factor of the normal Hessian at the limit less that at the start, ``(2, runs)``
    drift: np.ndarray
    #: steps that the slowest needs, and that were allowed
    needed: float
    allowed: int


@experiment
def limits(params: Parameters) -> Limits:
    """The noise in the eigenspace of mu and along the first circle; both methods at one step size, in one batch."""
    mu, L, block, turn, runs = params.mu, params.L, params.m_block, params.turn, params.n_paths
    lr = float(rates.optimal_step(mu * (1 + turn), L * (1 + turn), params.sigma))
    heights, angles = (
        torch.tensor(v, device=params.device) for v in starts(params.rng(6), 2 * runs, block + QUIET, FAR)
    )  # fmt: skip
    valley = Valley(torch.tensor(np.repeat([mu, L], [block, QUIET]), device=params.device), turn)
    sigma = torch.tensor(np.repeat([0.0, params.sigma], runs), device=params.device)
    start = near_torus(heights, angles)
    needed = float(steps_needed(_slowest(lr, 1 - turn, params, params.sigma), WINDOW[1]))
    steps = min(params.n_steps, int(1.3 * needed) + 64)
    directions = on_sphere(params.generator(7), block, along=0.1)
    x, values = sgd(valley, start, lr, steps, sigma=sigma, directions=directions, until=WINDOW[1])
    first, last = (valley.level(at).cpu().numpy().reshape(2, runs) for at in (start, x))
    predicted = [
        np.stack([_slowest(lr, level[k], params, noise) for k, noise in enumerate((0.0, params.sigma))])
        for level in (last, first)
    ]
    measured = asymptotic_rate(values, *WINDOW, LEAST).reshape(2, runs)
    return Limits(measured, *predicted, last - first, needed, params.n_steps)


def _slowest(lr: float, level: np.ndarray, params: Parameters, sigma: float) -> np.ndarray:
    """With noise in the eigenspace of mu alone."""
    return np.maximum(
        rates.mode_rate(lr, level * params.mu, sigma), rates.mode_rate(lr, level * params.L)
    )  # fmt: skip


# --- which noise is worst, which step best --------------------------------------------------------------------------


@dataclass(frozen=True)
class Covariances:
    """Exact mean-square rates of random quadratics under random noise covariances."""

    #: rate less the largest over single eigendirections, for random shares, ``(n,)``
    excess: np.ndarray
    #: the same for all noise in the worst eigendirection, and for noise spread evenly, ``(n,)``
    concentrated: np.ndarray
    even: np.ndarray


@experiment
def covariances(params: Parameters) -> Covariances:
    """Five eigenvalues, step sizes below the largest, noise of any size and shape."""
    rng, n, d = params.rng(8), params.n_noises, 5
    lam = np.exp(rng.uniform(np.log(params.mu), np.log(params.L), (n, d)))
    sigma = np.exp(rng.uniform(np.log(0.1), np.log(100), n))
    lr = rng.uniform(0.02, 0.98, n) * rates.largest_step(lam.max(1), sigma)
    shares = rng.gamma(rng.choice([0.1, 1.0], (n, 1)), size=(n, d)) + 1e-12
    single = rates.mode_rate(lr[:, None], lam, sigma[:, None])
    worst = np.eye(d)[single.argmax(1)]
    found = [
        rates.moment_rate(lr, lam, q, sigma) - single.max(1)
        for q in (shares / shares.sum(1, keepdims=True), worst, np.full((n, d), 1 / d))
    ]
    return Covariances(*found)


@dataclass(frozen=True)
class Optimum:
    """The best constant step over the noise level."""

    mu: float
    #: noise levels, ``(S,)``
    sigma: np.ndarray
    #: largest eigenvalues, ``(K,)``; the middle one is the run's
    L: np.ndarray
    #: best, step: the closed forms, ``(K, S)``
    best: np.ndarray
    step: np.ndarray
    #: found, found_step: by numerical minimization, ``(K, S)``
    found: np.ndarray
    found_step: np.ndarray
    #: at_step, at_balanced: factors at the step of the closed form, and at the one that makes both ends equally slow,
    #: which is the closed form up to the kink, ``(K, S)``
    at_step: np.ndarray
    at_balanced: np.ndarray


@experiment
def optimum(params: Parameters) -> Optimum:
    """Bounded scalar minimization of the rate for each noise level and three L."""
    mu, L = params.mu, np.array([(params.mu + params.L) / 2, params.L, 2 * params.L])
    sigma = rates.critical_noise(mu, L.max()) * np.linspace(0.01, 1.25, 44)
    found = np.empty((2, len(L), len(sigma)))
    for place in np.ndindex(len(L), len(sigma)):
        high, noise = L[place[0]], sigma[place[1]]
        least = minimize_scalar(
            lambda lr, high=high, noise=noise: rates.rate(lr, mu, high, noise),
            bounds=(0, float(rates.largest_step(high, noise))), method="bounded", options={"xatol": 1e-10},
        )  # fmt: skip
        found[(0, *place)], found[(1, *place)] = least.fun, least.x
    grid = L[:, None], sigma[None]
    step, balanced = rates.optimal_step(mu, *grid), 2 / (mu + grid[0] + grid[1] / 2)
    return Optimum(
        mu, sigma, L, rates.optimal_rate(mu, *grid), step, found[0], found[1], rates.rate(step, mu, *grid),
        rates.rate(balanced, mu, *grid),
    )  # fmt: skip


# --- single paths, and noise that stays -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Paths:
    """The factor along paths over the dimension of the noise, and noise that does not vanish."""

    #: dimensions of the noisy eigenspace, ``(D,)``
    dimensions: np.ndarray
    #: measured, predicted: mean factor along a path, ``(D,)``
    measured: np.ndarray
    predicted: np.ndarray
    #: factor of the mean square
    mean_square: float
    #: f under multiplicative and under additive noise in the largest dimension, ``(2, steps + 1, replicas)``
    decay: np.ndarray
    #: steps that these runs should have, and that were allowed
    needed: int
    allowed: int


DIMENSIONS = (1, 2, 5, 20, 100)
FALL = 1e-13  # of f along a path with noise in one direction, over which factors are measured


@experiment
def paths(params: Parameters) -> Paths:
    """One eigenvalue, mu, at the best step for it and L."""
    mu, sigma = params.mu, params.sigma
    lr = float(rates.optimal_step(mu, params.L, sigma))
    rng, generator, measured = params.rng(9), params.generator(10), []
    dimensions = np.array([*DIMENSIONS, params.m_block])
    predicted = np.array([rates.path_rate(lr, mu, sigma, int(m)) for m in dimensions])
    # the same steps for all paths, so that none is chosen by its luck; the first quarter is left to settle
    steps = int(np.clip(np.log(FALL) / np.log(max(predicted[0], 1e-9)), 8, 80))
    for m in dimensions:
        # more paths where they differ more
        runs = max(4 * params.n_rep, int(400 * params.n_rep / m))
        heights, angles = (torch.tensor(v, device=params.device) for v in starts(rng, runs, int(m), params.h0))
        lam = torch.full((int(m),), mu, dtype=torch.float64, device=params.device)
        _, values = sgd(Valley(lam), near_torus(heights, angles), lr, steps, sigma=sigma,
                        directions=on_sphere(generator, int(m)))  # fmt: skip
        fall = np.log(np.maximum(values[steps], 1e-300) / np.maximum(values[steps // 4], 1e-300)).mean()
        measured.append(np.exp(fall / (steps - steps // 4)))
    mean_square = float(rates.mode_rate(lr, mu, sigma))
    needed = int(steps_needed(mean_square, WINDOW[1]))
    start = near_torus(heights, angles)[: params.n_rep]
    decay = [
        sgd(Valley(lam), start, lr, min(needed, params.n_steps), sigma=sigma, additive=second,
            directions=on_sphere(generator, params.m_block))[1]
        for second in (None, 1e-6)
    ]  # fmt: skip
    return Paths(
        dimensions, np.array(measured), predicted, mean_square, np.array(decay), needed, params.n_steps,
    )  # fmt: skip
