"""The numbers of Schedule-Free averaging with a moving coefficient: weights, coefficients, and the window they make.

Step t = 1, 2, … takes the gradient at ``Y_(t-1)``, moves ``Z_(t-1)`` to ``Z_t``, and makes of it

    X_t = (1 - c_t) X_(t-1) + c_t Z_t,    Y_t = (1 - beta_t) Z_t + beta_t X_t.

As ``c_1 = 1``, the average leaves the start out.
"""

import numpy as np


def warmed_up(steps: int, warmup: int) -> np.ndarray:
    """``min(1, t / warmup)`` for t = 1 … steps: the learning rate as a share of its final value."""
    return np.minimum(1.0, np.arange(1, steps + 1) / warmup)


def averaging_weights(rates: np.ndarray) -> np.ndarray:
    """``c_t = eta_t^2 / sum_(i <= t) eta_i^2``: at a constant rate 1/t, a plain mean."""
    squares = rates**2
    return squares / np.cumsum(squares)


def coefficients(
    rates: np.ndarray,
    warmup: int,
    beta1: float,
    rho: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Averaging weights ``c_t`` and interpolation coefficients ``beta_t``.

    ``beta_t = beta1`` up to step ``warmup``; from there on it rises towards one,

        beta_t = 1 - (1 - beta1) S_t^rho,
        S_t = [c_t / (1 - c_t)] / [c_T0 / (1 - c_T0)],

    where ``T0 = warmup``. At a constant rate ``S_t = (T0 - 1) / (t - 1)``.

    Parameters
    ----------
    rates : learning rates of all steps, ``(T,)``, positive
    warmup : at least 2, so that the average is one of several points when the
        coefficient starts to rise
    beta1 : the first coefficient, in [0, 1)
    rho : how fast it rises, in [0, 1]; at 0 it is fixed

    Raises
    ------
    ValueError
        If ``warmup`` is below 2.
    """
    if warmup < 2:
        raise ValueError(f"warmup: got {warmup!r}, allowed: at least 2")
    c = averaging_weights(rates)
    beta = np.full(len(rates), float(beta1))
    odds = c[warmup - 1 :] / (1 - c[warmup - 1 :])
    if len(odds):
        beta[warmup - 1 :] = 1 - (odds / odds[0]) ** rho * (1 - beta1)
    return c, beta


def share_of_new(c: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """``a_t`` of ``X_t = (1 - a_t) X_(t-1) + a_t Y_t``: ``1 / a_t = 1 + (1 - beta_t) (1 - c_t) / c_t``."""
    return c / (c + (1 - beta) * (1 - c))


def window(t: np.ndarray, warmup: int, beta1: float, rho: float) -> np.ndarray:
    """``1 / a_t`` in closed form after the warm-up, at a constant rate: it grows like ``t^(1 - rho)``."""
    return 1 + (1 - beta1) * (warmup - 1.0) ** rho * (np.asarray(t) - 1.0) ** (1 - rho)


def mean_age(share: np.ndarray) -> np.ndarray:
    """How many steps ago, on average, the gradient points were taken that X_t is the mean of, ``(T,)``."""
    ages, age = np.empty(len(share)), 0.0
    for k, a in enumerate(share):
        age = (1 - a) * (age + 1)
        ages[k] = age
    return ages
