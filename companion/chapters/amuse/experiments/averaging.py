"""The average by itself: its window, and sign steps between two walls."""

import itertools
from dataclasses import dataclass

import numpy as np

from companion.chapters.amuse.parameters import Parameters
from companion.chapters.amuse.schedule import coefficients, mean_age, share_of_new, window
from companion.chapters.amuse.valley import between_walls
from companion.results import experiment

WARMUP = 100
BETA1 = 0.6
STEP = 0.01
STEPS = 10_000  # of the window's curves


@dataclass(frozen=True)
class Averages:
    """Coefficients and windows at a constant rate."""

    #: steps at which curves are drawn, ``(n,)``
    t: np.ndarray
    #: exponents, ``(K,)``
    rho: np.ndarray
    #: interpolation coefficients, ``(n, K)``
    beta: np.ndarray
    #: ``1 / a_t`` by the closed form, ``(n, K)``
    window: np.ndarray
    #: mean age of the gradient points in X, in steps, ``(n, K)``
    age: np.ndarray
    #: largest ``|X_t - mean of Y_s by the closed-form window|`` on a random path, after the warm-up, ``(K,)``
    error: np.ndarray
    #: the same with the window of a fixed coefficient
    error_fixed: np.ndarray


@experiment
def averages(params: Parameters) -> Averages:
    """X from the method's recursion against X as a mean of gradient points, whose weights the window gives."""
    rng, t = params.rng(10), np.arange(1, STEPS + 1)
    walk = np.cumsum(rng.normal(size=STEPS)) / STEPS**0.5
    drawn = np.unique(np.geomspace(WARMUP / 2, STEPS, 60).astype(int)) - 1
    columns = []
    for rho in params.rhos:
        c, beta = coefficients(np.ones(STEPS), WARMUP, BETA1, rho)
        share = share_of_new(c, beta)
        x = _averaged(walk, c)
        y = (1 - beta) * walk + beta * x
        errors = []
        for exponent in (rho, 0.0):
            known = share.copy()
            known[WARMUP:] = 1 / window(t[WARMUP:], WARMUP, BETA1, exponent)
            errors.append(np.abs(_averaged(y, known) - x).max())
        age = mean_age(share)
        columns.append((beta[drawn], window(t[drawn], WARMUP, BETA1, rho), age[drawn], *errors))
    beta, windows, age, error, fixed = (np.stack(part, axis=-1) for part in zip(*columns, strict=True))
    return Averages(t[drawn], np.array(params.rhos), beta, windows, age, error, fixed)


def _averaged(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    x, means = 0.0, np.empty(len(values))
    for k, (value, weight) in enumerate(zip(values, weights, strict=True)):
        x = (1 - weight) * x + weight * value
        means[k] = x
    return means


@dataclass(frozen=True)
class Walls:
    """The motion of the gradient point between two walls, Muon's first."""

    #: exponents, ``(1 + K,)``; NaN for Muon, which does not average
    rho: np.ndarray
    #: middles of the stretches of steps, ``(n,)``
    t: np.ndarray
    #: root mean square of Y over each stretch, ``(n, 1 + K)``
    amplitude: np.ndarray
    #: largest ``|X - Z|`` over the second half, in steps, ``(1 + K,)``
    apart: np.ndarray

    def slopes(self) -> np.ndarray:
        """Slopes of ``log amplitude`` over ``log t``, over the second half of the run."""
        late = self.t >= self.t[-1] / 2
        return np.polyfit(np.log(self.t[late]), np.log(self.amplitude[late]), 1)[0]


@experiment
def walls(params: Parameters) -> Walls:
    """Sign steps on ``y^2 / 2`` from y = 1."""
    rho = np.array([0.0, *params.rhos])
    beta1 = np.array([0.0] + [BETA1] * len(params.rhos))
    points, apart = between_walls(params.wall_steps, WARMUP, STEP, beta1, rho)
    edges = np.unique(np.geomspace(4 * WARMUP, params.wall_steps, 25).astype(int))
    amplitude = [np.sqrt((points[a:b] ** 2).mean(0)) for a, b in itertools.pairwise(edges)]
    rho[0] = np.nan
    farthest = np.abs(apart[params.wall_steps // 2 :]).max(0) / STEP
    return Walls(rho, np.sqrt(edges[:-1] * edges[1:]), np.stack(amplitude), farthest)
