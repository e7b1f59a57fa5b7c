"""How many iterations gradient descent needs for one eigenvalue: flow times, bounds from both sides, the phase.

Everything is about one mode, ``d <- d + eta d^(N-1) (lam - d^N)`` from ``d = alpha``, whose product ``d^N`` is an
eigenvalue of the end-to-end matrix. Levels are levels of the product. Arguments are broadcast against each other; the
depth is one integer.
"""

import numpy as np
from scipy.special import hyp2f1

PIECES = 256  # in which an interval of eigenvalues is cut for an upper bound that holds on all of it


def step_limit(lam: np.ndarray | float, depth: int) -> np.ndarray:
    """Largest step without overshoot, ``1 / (N lam^(2 - 2/N))``; twice as much keeps ``lam`` linearly stable."""
    return 1 / (depth * np.asarray(lam, dtype=float) ** (2 - 2 / depth))


def top_growth(lam: np.ndarray | float, depth: int) -> np.ndarray:
    """``G = max over x of x^(N-2) (lam - x^N)``: a step multiplies ``d`` by at most ``1 + eta G``."""
    lam = np.asarray(lam, dtype=float)
    if depth == 2:
        return lam
    peak = lam * (depth - 2) / (2 * depth - 2)  # of x^N
    return peak ** (1 - 2 / depth) * (lam - peak)


def relative_time(start: np.ndarray | float, end: np.ndarray | float, depth: int) -> np.ndarray:
    """Time of the flow for ``lam = 1`` from product ``start`` to product ``end``, both in (0, 1).

    ``integral of du / (u^(N-1) (1 - u^N))`` from ``start^(1/N)`` to ``end^(1/N)``; a logarithm for N = 2, and for
    N >= 3 ``(a^(2-N) - b^(2-N)) / (N - 2)`` and the integral of ``u / (1 - u^N)``, a hypergeometric function.
    """
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    if depth == 2:
        return (np.log(end / start) - np.log1p(-end) + np.log1p(-start)) / 2
    power, c = 2 / depth - 1, 2 / depth

    def rest(product: np.ndarray) -> np.ndarray:
        return product**c * hyp2f1(1, c, 1 + c, product) / 2

    return (start**power - end**power) / (depth - 2) + rest(end) - rest(start)


def flow_time(lam: np.ndarray | float, depth: int, alpha: float, level: np.ndarray | float) -> np.ndarray:
    """Time of ``dx/dt = x^(N-1) (lam - x^N)`` from ``x = alpha`` to ``x^N = level``, ``alpha^N < level < lam``."""
    lam = np.asarray(lam, dtype=float)
    return lam ** (2 / depth - 2) * relative_time(alpha**depth / lam, level / lam, depth)


def k_upper(
    lam: np.ndarray | float,
    depth: int,
    alpha: float,
    eta: np.ndarray | float,
    level: np.ndarray | float,
) -> np.ndarray:
    """No mode needs more iterations to ``d^N >= level``.

    ``1 + (1 + eta G)^(N-1) t / eta`` with the flow's time ``t``. Zero where the start
    is there already, infinite where ``level >= lam``. Holds for every step size.
    """
    arrays = (np.asarray(x, dtype=float) for x in (lam, eta, level))
    lam, eta, level = np.broadcast_arrays(*arrays)
    start = alpha**depth
    inside = (start < level) & (level < lam)
    found = np.where(level <= start, 0.0, np.inf)
    lam, eta, level = lam[inside], eta[inside], level[inside]
    lag = (1 + eta * top_growth(lam, depth)) ** (depth - 1)
    found[inside] = 1 + lag * flow_time(lam, depth, alpha, level) / eta
    return found


def k_lower(
    lam: np.ndarray | float,
    depth: int,
    alpha: float,
    eta: np.ndarray | float,
    level: np.ndarray | float,
    *,
    capped: bool = True,
) -> np.ndarray:
    """No mode needs fewer iterations to ``d^N >= level``: ``t / eta`` to the level, or to where the speed peaks.

    The speed ``x^(N-1) (lam - x^N)`` grows up to ``x^N = lam (N-1) / (2N-1)``, and only so far does the iteration lag
    behind the flow. Infinite where ``level >= lam > alpha^N``. ``capped=False`` takes the time to the level itself,
    which is no bound. Holds for every step size.
    """
    lam, eta, level = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (lam, eta, level)))
    start = alpha**depth
    found = np.where((start < level) & (level >= lam), np.inf, 0.0)
    known = (start < level) & (level < lam)
    if capped:
        level = np.minimum(level, lam * (depth - 1) / (2 * depth - 1))
    inside = known & (start < level)
    found[inside] = flow_time(lam[inside], depth, alpha, level[inside]) / eta[inside]
    return found


def k_upper_over(
    low: float, high: float, depth: int, alpha: float, eta: float, kept: float, pieces: int = PIECES
) -> float:
    """Upper bound of ``k_upper(lam, level = kept lam)`` for all ``lam`` in ``[low, high]`` at once.

    The bound need not be monotone in ``lam``: a larger eigenvalue moves faster and has a longer way. So the interval
    is cut in pieces ``[a, b]``; on each, the flow's time is at most ``a^(2/N-2)`` times the relative time from
    ``alpha^N / b``, and ``G`` at most its value at ``b``. Infinite where ``low <= 0``.
    """
    if low <= 0:
        return float("inf")
    edges = np.geomspace(low, max(low, high), pieces + 1)
    a, b = edges[:-1], edges[1:]
    start = alpha**depth / b
    there = start >= kept  # the whole piece begins above its level
    time = a ** (2 / depth - 2) * relative_time(np.minimum(start, kept), kept, depth)
    steps = 1 + (1 + eta * top_growth(b, depth)) ** (depth - 1) * time / eta
    return float(np.where(there, 0.0, steps).max())


def phase_bounds(
    spectrum: np.ndarray,
    rank: int,
    noise: float,
    depth: int,
    alpha: float,
    eta: float,
    eps: float,
    delta: float,
) -> tuple[float, float]:
    """What the theorem promises to lie in the low-rank phase, from eigenvalues and the norm of the noise alone.

    Parameters
    ----------
    spectrum : the target's eigenvalues, largest first, ``(m,)``; what is missing is zero
    rank : how many are to be learned, ``r``
    noise : ``e = ||E||_2``, zero without noise
    depth, alpha, eta : of gradient descent
    eps : the ``r`` eigenvalues are learned up to this share of themselves
    delta : and all others are below this

    Returns
    -------
    begin, end
        ``max of k_upper`` over all eigenvalues that the first ``r`` may have, ``k_lower(lam_(r+1) + e, delta)``. The
        phase contains all iterations between; the promise is empty where ``begin >= end``.
    """
    spectrum = np.asarray(spectrum, dtype=float)
    begin = max(k_upper_over(lam - noise, lam + noise, depth, alpha, eta, 1 - eps) for lam in spectrum[:rank])
    following = spectrum[rank] if len(spectrum) > rank else 0.0
    return begin, float(k_lower(following + noise, depth, alpha, eta, delta))


def limit_ratio(first: np.ndarray | float, second: np.ndarray | float, depth: int, eta: float) -> np.ndarray:
    """Limit, as ``alpha -> 0``, of iterations for the eigenvalue ``second`` over iterations for ``first``.

    ``first / second`` for three factors and more; ``log(1 + eta first) / log(1 + eta second)`` for two.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if depth == 2:
        return np.log1p(eta * first) / np.log1p(eta * second)
    return first / second


def decay_bound(lam: np.ndarray | float, depth: int, alpha: float, eta: float, k: int) -> np.ndarray:
    """Upper bound of ``d(k)`` for an eigenvalue ``lam <= 0``.

    ``alpha (1 - eta |lam|)^k`` for N = 2 and ``lam < 0``; else the larger of the two powers that solve
    ``d^(-q) >= alpha^(-q) + q eta c k``, with ``q = N - 2, c = |lam|`` and with ``q = 2N - 2, c = 1``: both hold.
    """
    lam = np.abs(np.asarray(lam, dtype=float))

    def power(q: int, c: np.ndarray | float) -> np.ndarray:
        return (alpha**-q + q * eta * c * k) ** (-1 / q)

    fast = alpha * (1 - eta * lam) ** k if depth == 2 else power(depth - 2, lam)
    return np.minimum(fast, power(2 * depth - 2, 1.0))
