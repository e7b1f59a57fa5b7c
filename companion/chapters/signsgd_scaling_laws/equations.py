"""The risk of SGD, of signSGD, and of the two methods between them, by equations for the modes.

A step is ``theta - gamma * residual * feature``, where each factor is taken as it is or replaced by its sign. With
``P`` the risk, the clock ``d tau = c gamma P^(-s/2) dt`` and s = 1 where the sign of the residual is taken, else 0,

    dY_j / d tau = -b_j Y_j + (gamma / c) n_j P^(1 - s/2),      P = R + sum_j Y_j:

the residual's sign decides the clock and the power of the noise, the features' sign the spectrum (b, n).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from companion.chapters.signsgd_scaling_laws.features import Sketch, Spectrum

PER_DECADE = 8  # steps of the clock
DECAY_STEPS = 32  # of the phase in which the step size decays
LEAST = 1e-3  # of the step size at the end of the decay, as a share of its largest


@dataclass(frozen=True)
class Method:
    """Which of the two factors of a step is replaced by its sign."""

    name: str
    signed_residual: bool
    signed_features: bool

    @property
    def speed(self) -> float:
        """The constant c of the clock: 2 for SGD, ``4/pi`` for signSGD, ``2 sqrt(2/pi)`` between."""
        return 2 * np.sqrt(2 / np.pi) ** (self.signed_residual + self.signed_features)


SGD = Method("SGD", False, False)
RESIDUAL = Method("sign of the residual only", True, False)
FEATURES = Method("sign of the features only", False, True)
SIGN = Method("signSGD", True, True)
METHODS = (SGD, RESIDUAL, FEATURES, SIGN)


def stationary_risk(method: Method, lr: np.ndarray, floor: float, noise_sum: float) -> np.ndarray:
    """Risk at which a constant step size ends: ``P = R + (gamma / c) (sum n_j / b_j) P^(1 - s/2)``.

    Infinite where a step with the plain residual is too long to be stable.
    """
    a = np.asarray(lr) / method.speed * noise_sum
    if method.signed_residual:
        return ((a + np.sqrt(a**2 + 4 * floor)) / 2) ** 2
    return np.where(a < 1, floor / np.where(a < 1, 1 - a, 1), np.inf)


@dataclass(frozen=True)
class Curves:
    """Risk against time for W problems and G step sizes each."""

    #: steps taken, increasing, ``(W, G, T)``
    time: np.ndarray
    #: risk then, ``(W, G, T)``
    risk: np.ndarray

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Risk after ``steps``, of shape ``(W, F)``, read off on logarithmic axes; ``(W, G, F)``."""
        found = np.empty((*self.time.shape[:2], steps.shape[1]))
        for w, g in np.ndindex(found.shape[:2]):
            time, risk = np.log(self.time[w, g, 1:]), np.log(self.risk[w, g, 1:])
            found[w, g] = np.exp(np.interp(np.log(steps[w]), time, risk))
        return found


def risk_curves(spectra: Sequence[Spectrum], method: Method, lr: np.ndarray, decades: tuple[int, int]) -> Curves:
    """Solve the equations with constant step sizes, all problems and step sizes at once.

    In intrinsic time the decay of a mode is exact, whatever the step of the clock, and does not depend on the step
    size; the noise, linear between two ticks, makes each tick a quadratic equation for the risk.

    Parameters
    ----------
    spectra : W problems
    lr : step sizes, ``(W, G)``
    decades : the clock runs from ``10^a / b_1`` to ``10^b / b_1`` for ``decades = (a, b)``
    """
    problems = _stack(spectra)
    state = _State(problems, lr.shape[1])
    ticks = np.logspace(*decades, PER_DECADE * (decades[1] - decades[0]) + 1)
    time, risk = [np.zeros_like(state.risk)], [state.risk]
    for span in np.diff(ticks, prepend=0):
        h = span / problems.rate[:, :1]
        before = state.risk
        state.tick(method, h[:, None], lr)
        root = (np.sqrt(before) + np.sqrt(state.risk)) / 2 if method.signed_residual else 1.0
        time.append(time[-1] + h * root / (method.speed * lr))
        risk.append(state.risk)
    return Curves(np.stack(time, -1), np.stack(risk, -1))


def decayed_risk(
    spectra: Sequence[Spectrum],
    method: Method,
    lr: np.ndarray,
    steps: np.ndarray,
    fraction: float,
    decades: tuple[int, int],
) -> np.ndarray:
    """Risk after ``steps`` where the step size is constant first and then falls linearly towards zero.

    Parameters
    ----------
    spectra, lr, decades : as in :func:`risk_curves`
    steps : lengths N of the runs, ``(W,)``
    fraction : share of a run in which the step size falls

    Returns
    -------
    Array of shape ``(W, G)``
    """
    problems = _stack(spectra)
    state = _State(problems, lr.shape[1])
    start = (1 - fraction) * steps[:, None] * np.ones(lr.shape)
    kept, risk, begun = state.modes.copy(), state.risk.copy(), np.zeros(lr.shape)
    clock = np.zeros(lr.shape)
    for span in np.diff(np.logspace(*decades, PER_DECADE * (decades[1] - decades[0]) + 1), prepend=0):
        h = span / problems.rate[:, :1]
        before = state.risk
        state.tick(method, h[:, None], lr)
        root = (np.sqrt(before) + np.sqrt(state.risk)) / 2 if method.signed_residual else 1.0
        clock = clock + h * root / (method.speed * lr)
        reached = clock <= start
        if not reached.any():
            break
        kept[reached], risk[reached], begun[reached] = state.modes[reached], state.risk[reached], clock[reached]
    state.modes, state.risk = kept, risk
    _advance(state, method, (start - begun) * lr, lr)
    levels = np.geomspace(1, LEAST, DECAY_STEPS + 1)
    for high, low in pairwise(levels):
        # from level high to low the step size is its mean for (high - low) of the phase's length
        mean = lr * (high + low) / 2
        _advance(state, method, mean * fraction * steps[:, None] * (high - low), mean)
    return state.risk


def _advance(state: "_State", method: Method, travelled: np.ndarray, lr: np.ndarray) -> None:
    """Move by the integral of the step size over time, in ticks of which the clock is found by a corrector."""
    modes, before = state.modes, state.risk
    root = np.sqrt(before) if method.signed_residual else 1.0
    for _ in range(2):
        state.modes, state.risk = modes.copy(), before
        state.tick(method, (method.speed * travelled / root)[..., None], lr)
        if method.signed_residual:
            root = (np.sqrt(before) + np.sqrt(state.risk)) / 2


@dataclass(frozen=True)
class _Problems:
    """Spectra side by side, padded by modes of no weight: ``(W, J)``, floors ``(W, 1)``."""

    rate: np.ndarray
    noise: np.ndarray
    start: np.ndarray
    floor: np.ndarray


def _stack(spectra: Sequence[Spectrum]) -> _Problems:
    most = max(len(s.rate) for s in spectra)

    def row(values: np.ndarray, fill: float) -> np.ndarray:
        return np.pad(values, (0, most - len(values)), constant_values=fill)

    return _Problems(
        np.stack([row(s.rate, 1.0) for s in spectra]),
        np.stack([row(s.weight * s.noise, 0.0) for s in spectra]),
        np.stack([row(s.weight * s.start, 0.0) for s in spectra]),
        np.array([[s.floor] for s in spectra]),
    )


class _State:
    """The modes of W problems at G step sizes, ``(W, G, J)``, and the risk, ``(W, G)``."""

    def __init__(self, problems: _Problems, count: int):
        self.problems = problems
        self.modes = np.repeat(problems.start[:, None], count, 1)
        self.risk = problems.floor + self.modes.sum(-1)

    def tick(self, method: Method, h: np.ndarray, lr: np.ndarray) -> None:
        """Let the clock run on by ``h``, of shape ``(W, 1, 1)`` or ``(W, G, 1)``."""
        p = self.problems
        x = p.rate[:, None] * h
        kept = np.exp(-x)
        some = np.maximum(x, 1e-3)  # below, series: neither weight cancels, nor is 0/0
        whole = np.where(x > 1e-3, (1 - kept) / some, 1 - x / 2)
        late = np.where(x > 1e-3, (some - 1 + kept) / some**2, 0.5 - x / 6)
        push = p.noise[:, None] * h
        early, late = push * (whole - late), push * late
        power = 1 - method.signed_residual / 2
        gain = lr / method.speed
        first = gain * self.risk**power
        self.modes *= kept
        rest = p.floor + self.modes.sum(-1) + first * early.sum(-1)
        a = gain * late.sum(-1)
        if method.signed_residual:
            self.risk = ((a + np.sqrt(a**2 + 4 * rest)) / 2) ** 2
        else:
            # an unstable step size grows without bound; it is never the best one
            grown = np.where(a < 1, rest / np.maximum(1 - a, 1e-12), np.inf)
            self.risk = np.minimum(grown, 1e30)
        second = gain * self.risk**power
        if x.shape[1] == 1:
            weights = np.stack([early[:, 0], late[:, 0]], 1)
            self.modes += np.stack([first, second], -1) @ weights
        else:
            self.modes += early * first[..., None] + late * second[..., None]


def sgd_recursion(problem: Sketch, lr: float, steps: int) -> np.ndarray:
    """Mean risk of SGD after 0, 1, ..., ``steps`` steps, exact for Gaussian features.

    In the eigenbasis of K ``s_j+ = s_j - 2 gamma lam_j s_j + gamma^2 (2 lam_j^2 s_j + lam_j P)``.
    """
    lam, vectors = np.linalg.eigh(problem.covariance)
    s = (vectors.T @ problem.optimum) ** 2
    risks = np.empty(steps + 1)
    for k in range(steps + 1):
        risks[k] = problem.floor + lam @ s
        s = s - 2 * lr * lam * s + lr**2 * (2 * lam**2 * s + lam * risks[k])
    return risks


def arcsine_risk(problems: Sequence[Sketch], spectra: Sequence[Spectrum], lr: np.ndarray, steps: int) -> np.ndarray:
    """Risk of signSGD with the mean's drift exact: ``2/pi arcsin`` in place of its argument.

    The mean error m follows ``m+ = m - gamma 2/pi arcsin(K m / sqrt(diag(K) P))``; the fluctuations around it start
    at zero and follow the linear equation of the modes; ``P = R + m^T K m + sum_j Y_j``.

    Parameters
    ----------
    problems, spectra : S sketches of one width and their spectra with signed features
    lr : ``(S,)``

    Returns
    -------
    Array of shape ``(S, steps + 1)``
    """
    K = np.stack([p.covariance for p in problems])
    scale = np.stack([p.scale for p in problems])
    floor = np.array([p.floor for p in problems])
    rate, noise = np.stack([s.rate for s in spectra]), np.stack([s.noise for s in spectra])
    mean = -np.stack([p.optimum for p in problems])
    modes = np.zeros_like(rate)
    risks = np.empty((len(floor), steps + 1))
    for k in range(steps + 1):
        force = (K @ mean[..., None])[..., 0]
        risks[:, k] = floor + (mean * force).sum(-1) + modes.sum(-1)
        root = np.sqrt(risks[:, k, None])
        correlation = np.clip(force / (scale * root), -1, 1)
        mean = mean - lr[:, None] * 2 / np.pi * np.arcsin(correlation)
        # implicit, so that a mode faster than a step stays positive
        modes = (modes + lr[:, None] ** 2 * noise) / (1 + 4 / np.pi * lr[:, None] * rate / root)
    return risks
