"""What the Schedule-Free average is an average of: coefficients, weights on the gradient points, and their age.

After step k the base iterate z_k enters with ``c_k``, and in terms of the points y where gradients were taken

    x_k = (1 - a_k) x_{k-1} + a_k y_k,      a_k = c_k / ((1 - beta) (1 - c_k) + c_k).

Arrays over steps have them on their last axis; beta and C broadcast against the axes before.
"""

import numpy as np
from numpy.typing import ArrayLike


def coefficients(
    lrs: ArrayLike,
    beta: ArrayLike,
    C: ArrayLike | None = None,
) -> np.ndarray:
    """``c_k = min(1, (1 - beta) C lr_k^2 / sum_{i <= k} lr_i^2)``.

    At a constant rate it is ``min(1, (1 - beta) C / k)``.

    Parameters
    ----------
    lrs : step sizes ``(..., T)``, positive
    beta : interpolation between z and x, in [0, 1)
    C : of the refined method; by default ``1 / (1 - beta)``, which is the original one
    """
    squares = np.square(np.asarray(lrs, float))
    shares = squares / np.cumsum(squares, axis=-1)
    if C is None:
        return shares
    factor = (1 - np.asarray(beta, float)) * np.asarray(C, float)
    return np.minimum(1.0, factor[..., None] * shares)


def pull(c: ArrayLike, beta: ArrayLike) -> np.ndarray:
    """``a_k``, how far the average moves towards the newest gradient point; between 0 and 1."""
    c, beta = np.asarray(c, float), np.asarray(beta, float)[..., None]
    return c / ((1 - beta) * (1 - c) + c)


def averaging_weights(c: ArrayLike, beta: ArrayLike) -> np.ndarray:
    """``alpha_k = a_k prod_{s > k} (1 - a_s)``, the weight of y_k in x_T, ``(..., T)``; they sum to one.

    Where c_1 is below one, the starting point has a weight of its own, which is counted to the first.
    """
    a = pull(c, beta)
    a[..., 0] = 1
    after = np.cumprod((1 - a)[..., :0:-1], axis=-1)[..., ::-1]
    return a * np.concatenate([after, np.ones_like(a[..., :1])], axis=-1)


def ema_weights(steps: int, rho: float) -> np.ndarray:
    """Weights of an exponential moving average ``e <- rho e + (1 - rho) w`` that starts at the first iterate."""
    weights = (1 - rho) * rho ** np.arange(steps - 1, -1, -1.0)
    weights[0] /= 1 - rho
    return weights


def decay_weights(steps: int, last: int) -> np.ndarray:
    """Weights of the average that a linear decay to zero over the last steps amounts to.

    ``w_T = w_0 - sum_k lr_k d_k``. If the directions d_k did not depend on the rates, the decayed run would end at the
    uniform average of the constant run's last iterates.
    """
    weights = np.zeros(steps)
    weights[steps - last :] = 1 / last
    return weights


def mean_age(weights: np.ndarray) -> np.ndarray:
    """``sum_k alpha_k (T - k)``: by how many steps the average lags if the points move at a constant speed."""
    return weights @ np.arange(weights.shape[-1] - 1, -1, -1.0)
