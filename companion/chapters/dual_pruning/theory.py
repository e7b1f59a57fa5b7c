"""The solvable part: two samples, an easy and a hard one, and when each score begins to prefer the hard one."""

from collections.abc import Callable

import numpy as np

from companion.analysis.pruning import TrainingDynamics


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


def exponential_pull(margin: np.ndarray) -> np.ndarray:
    """Minus the derivative of the exponential loss at a margin."""
    return np.exp(-margin)


def logistic_pull(margin: np.ndarray) -> np.ndarray:
    """Minus the derivative of the logistic loss at a margin."""
    return 1 / (1 + np.exp(margin))


def train_pairs(inputs: np.ndarray, lr: float | np.ndarray, steps: int, pull: Callable) -> np.ndarray:
    """Probabilities of the right labels under gradient descent from zero, one linear classifier for each pair.

    Parameters
    ----------
    inputs : samples times labels, ``(pairs, 2, d)``
    lr : step size, a number or ``(pairs,)``
    steps : number of updates
    pull : minus the derivative of the loss

    Returns
    -------
    ``(steps, pairs, 2)``
    """
    weights = np.zeros(inputs.shape[::2])
    rate = np.broadcast_to(lr, len(inputs))[:, None]
    probabilities = np.empty((steps, *inputs.shape[:2]))
    for step in range(steps):
        margins = np.einsum("pid,pd->pi", inputs, weights)
        probabilities[step] = 1 / (1 + np.exp(-margins))
        weights += rate * np.einsum("pi,pid->pd", pull(margins), inputs)
    return probabilities


def orthogonal_pairs(norms: np.ndarray) -> np.ndarray:
    """Pairs of orthogonal samples of the given squared norms ``(pairs, 2)``, as ``(pairs, 2, 2)``."""
    return np.sqrt(norms)[:, :, None] * np.eye(2)


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


def window_scores(history: np.ndarray, window: int, power: float) -> np.ndarray:
    """The score of each window alone, by the code that scores images: ``(windows, pairs, 2)``.

    Parameters
    ----------
    history : probabilities ``(steps, pairs, 2)``
    """
    # Windows become a free axis; what is left of time is the one window.
    seen = np.moveaxis(np.lib.stride_tricks.sliding_window_view(history, window, axis=0), -1, 0)
    return TrainingDynamics(seen, seen, seen, seen).dual(window, power=power)


def first_lead(scores: np.ndarray) -> np.ndarray:
    """First window in which the hard sample leads, ``(pairs,)``; the number of windows where it never does.

    Parameters
    ----------
    scores : ``(windows, pairs, 2)``, the easy sample first
    """
    leads = scores[..., 1] >= scores[..., 0]
    return np.where(leads.any(0), leads.argmax(0), len(leads))
