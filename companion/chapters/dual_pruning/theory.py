"""The solvable part: two samples, an easy and a hard one, and when each score begins to prefer the hard one."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Crossing:
    """Two orthogonal samples under exponential loss (closed form), and correlated pairs under logistic loss
    (simulated).

    Attributes
    ----------
    norms : squared norms of the easy and the hard sample, ``(cases, 2)``
    powers : exponents ``p`` of the score ``(1 - P)^p s``, ``(powers,)``
    formula, bisected : time from which the hard sample leads, by the closed form and by bisection, ``(powers, cases)``
    earlier : pairs for which DUAL's first window led by the hard sample comes strictly before Dyn-Unc's, ``(pairs,)``
    ratio : first such window of DUAL over that of Dyn-Unc, ``(pairs,)``
    behind : windows of each pair in which the easy sample does not lead in mean probability, ``(pairs,)``
    violations, swapped : windows that break "if the hard sample leads in spread, it leads in DUAL", and the same with
        the
        samples exchanged, ``(pairs,)``
    """

    norms: np.ndarray
    powers: np.ndarray
    formula: np.ndarray
    bisected: np.ndarray
    earlier: np.ndarray
    ratio: np.ndarray
    behind: np.ndarray
    violations: np.ndarray
    swapped: np.ndarray


def probability(a: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Probability of the right label of a sample of squared norm ``a`` at time ``t``: ``(1 + a t) / (2 + a t)``."""
    return (1 + a * t) / (2 + a * t)


def weighted_speed(a: np.ndarray, t: np.ndarray, power: float) -> np.ndarray:
    """The score in the limit of a short window, ``(1 - P)^p dP/dt = a / (2 + a t)^(2 + p)``."""
    return a / (2 + a * t) ** (2 + power)


def crossing_time(easy: np.ndarray, hard: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Time at which the hard sample overtakes the easy one in ``(1 - P)^p dP/dt``; closed form, ``power`` above -1.

    ``T_p = 2 (a^q - b^q) / ((a b)^q (a^(1-q) - b^(1-q)))`` with ``q = 1 / (2 + p)``, ``a`` the easy and ``b`` the
    hard norm.
    """
    q = 1 / (2 + power)
    return 2 * (easy**q - hard**q) / ((easy * hard) ** q * (easy ** (1 - q) - hard ** (1 - q)))


def bisect_crossing(easy: np.ndarray, hard: np.ndarray, power: np.ndarray, halvings: int = 100) -> np.ndarray:
    """The same time by bisection of the difference of the log scores, without the closed form."""

    def easy_leads(t):
        return np.log(easy / hard) > (2 + power) * np.log((2 + easy * t) / (2 + hard * t))

    low, high = np.zeros(np.broadcast(easy, hard, power).shape), np.full(np.broadcast(easy, hard, power).shape, 1e6)
    for _ in range(halvings):
        middle = (low + high) / 2
        leads = easy_leads(middle)
        low, high = np.where(leads, middle, low), np.where(leads, high, middle)
    return (low + high) / 2


def train_pairs(inputs: np.ndarray, lr: float, steps: int) -> np.ndarray:
    """Probabilities of the right labels under gradient descent on logistic loss from zero, one linear model for each
    pair.

    Parameters
    ----------
    inputs : samples times labels, ``(pairs, 2, d)``
    lr, steps : step size and number of updates

    Returns
    -------
    ``(steps, pairs, 2)``
    """
    weights = np.zeros(inputs.shape[::2])
    probabilities = np.empty((steps, *inputs.shape[:2]))
    for step in range(steps):
        probabilities[step] = 1 / (1 + np.exp(-np.einsum("pid,pd->pi", inputs, weights)))
        weights += lr * np.einsum("pi,pid->pd", 1 - probabilities[step], inputs)
    return probabilities


def random_pairs(count: int, rng: np.random.Generator, dimension: int = 6) -> np.ndarray:
    """Pairs of an easy (longer) and a hard (shorter) sample, ``(count, 2, d)``.

    Squared norms: hard 1, easy log-uniform between 1.2 and 8; correlation uniform in [-0.6, 0.6].
    """
    directions = np.linalg.qr(rng.normal(size=(count, dimension, 2)))[0].swapaxes(1, 2)
    cosine = rng.uniform(-0.6, 0.6, count)[:, None]
    easy, other = directions[:, 0], directions[:, 1]
    hard = cosine * easy + np.sqrt(1 - cosine**2) * other
    length = np.sqrt(np.exp(rng.uniform(np.log(1.2), np.log(8.0), count)))[:, None]
    return np.stack([length * easy, hard], axis=1)


def crossing(seed: int = 0, pairs: int = 200, lr: float = 0.02, steps: int = 1500, window: int = 20) -> Crossing:
    """Crossing times in closed form against bisection, and the ordering of the two scores in simulated pairs."""
    rng = np.random.default_rng([seed, 1])
    ratios = np.geomspace(1.02, 100, 60)
    hard = rng.uniform(0.2, 2.0, ratios.shape)
    norms = np.stack([ratios * hard, hard], axis=1)
    powers = np.array([-0.5, 0.0, 0.5, 1.0, 2.0, 4.0])
    arguments = norms[:, 0], norms[:, 1], powers[:, None]

    history = train_pairs(random_pairs(pairs, rng), lr, steps)
    sums, squares = (np.cumsum(np.concatenate([np.zeros_like(a[:1]), a]), axis=0) for a in (history, history**2))
    mean = (sums[window:] - sums[:-window]) / window
    variance = (squares[window:] - squares[:-window] - window * mean**2) / (window - 1)
    spread = np.sqrt(np.maximum(variance, 0))
    dual = (1 - mean) * spread
    by_spread, by_dual = (leader[..., 1] >= leader[..., 0] for leader in (spread, dual))
    first_spread, first_dual = (np.where(by.any(0), by.argmax(0), len(by)) for by in (by_spread, by_dual))
    return Crossing(
        norms=norms,
        powers=powers,
        formula=crossing_time(*arguments),
        bisected=bisect_crossing(*arguments),
        earlier=first_dual < first_spread,
        # A window that starts at step k is centred at k + (window - 1) / 2.
        ratio=(first_dual + (window - 1) / 2) / (first_spread + (window - 1) / 2),
        behind=(mean[..., 0] <= mean[..., 1]).sum(0),
        violations=((spread[..., 0] <= spread[..., 1]) & (dual[..., 0] >= dual[..., 1])).sum(0),
        swapped=((spread[..., 1] <= spread[..., 0]) & (dual[..., 1] >= dual[..., 0])).sum(0),
    )
