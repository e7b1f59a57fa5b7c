"""Adam, Signum and SGD on separable data, run for so long that the gradients leave the range of floating point.

With the logistic loss a sample of margin ``z`` has a gradient of size ``exp(-z)``, whose square underflows once margins
pass 350. But Adam without its epsilon, and Signum, do the same if all gradients are multiplied by one constant. So the
moments are kept relative to a reference margin, the first in units of ``exp(-ref)``, the second in units of
``exp(-2 ref)``. Before every epoch ``ref`` moves to the least margin and the moments are rescaled. This is exact, and
margins may be as large as they like.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np

from companion.chapters.incremental_adam.devices import arrays, march

Rule = Literal["adam", "signum", "sgd"]
Order = Literal["cyclic", "reshuffled", "replacement"]
RULES, ORDERS = ("adam", "signum", "sgd"), ("cyclic", "reshuffled", "replacement")

# Logarithms of the largest root of v, or m, and of the least and largest gradient, in units of exp(-ref): their squares
# fit double precision. Gradients beyond are cut, which changes nothing unless a margin falls by 150 within one epoch:
# one smaller than all others by exp(300) is lost in any moment, and in the sign of a single one only its sign counts.
_LARGEST_STATE, _LEAST_GRADIENT, _LARGEST_GRADIENT = 70.0, -300.0, 150.0

# Below a margin of zero gradients no longer grow, while exp(-ref) does: much lower ones would be cut.
_LEAST_MARGIN = -100.0

# Where all gradients so far have been zero, m / sqrt(v) is 0 / 0: the coordinate stays where it is.
_TINY = 1e-300


@dataclass(frozen=True)
class Path:
    """Iterates of a batch of runs."""

    #: numbers of epochs after which the iterates were kept, ``(K,)``
    epochs: np.ndarray
    #: the iterates, ``(K, runs, d)``
    w: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """The last iterates, ``(runs, d)``."""
        return self.w[-1]


def incremental(
    Z: np.ndarray,
    rule: Rule = "adam",
    *,
    epochs: int,
    batch_size: int = 1,
    order: Order | Sequence[Order] = "cyclic",
    eta0: float | np.ndarray = 0.01,
    t0: float = 1000.0,
    decay: float = 0.5,
    beta1: float | np.ndarray = 0.9,
    beta2: float | np.ndarray = 0.95,
    eps: float | np.ndarray = 0.0,
    start: np.ndarray | None = None,
    keep: Sequence[int] | None = None,
    rng: np.random.Generator | None = None,
    device: str = "cpu",
) -> Path:
    """Run ``rule`` on logistic regression, for a batch of datasets and settings at once.

    With the gradient ``g`` of the mean loss of the step's samples and the step ``eta = eta0 (1 + t / t0)^-decay``::

        adam     m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,  w = w - eta m / (sqrt(v) + eps)
        signum   m = beta1 m + (1 - beta1) g,                                  w = w - eta sign(m)
        sgd      w = w - eta g exp(ref),       ref the least margin at the start of the epoch

    without bias correction. SGD's factor is one over the loss, or nearly: its path keeps its direction and has a length
    that grows like the sum of the steps, not like its logarithm.

    Parameters
    ----------
    Z : signed examples ``y_i x_i``, ``(runs, N, d)``; for Adam without zero entries
    epochs : passes over the data; if ``batch_size`` is ``N`` a pass is one step
    batch_size : a divisor of ``N``
    order : how samples follow each other, for all runs or one for each of them
    eta0, t0, decay : the step size; ``t`` counts steps
    beta1, beta2, eps : one number, or one for each run; ``beta1`` is Signum's momentum
    start : initial weights, ``(runs, d)`` or ``(d,)``; zero by default. Margins have to be at least -100
    keep : epochs after which the iterates are kept; the last by default
    rng : for random orders
    device : with ``"cpu"`` the arrays are numpy's, which is faster for small ones; with another they are torch's

    Raises
    ------
    ValueError
        If ``beta1 > beta2`` for Adam, a rate is outside [0, 1), the batch size does not divide ``N``, or a margin of
        ``start`` is below -100.
    """
    Z = np.asarray(Z, dtype=float)
    runs, N, d = Z.shape
    if rule not in RULES:
        raise ValueError(f"rule: got {rule!r}, allowed: {', '.join(RULES)}")
    if batch_size < 1 or N % batch_size:
        raise ValueError(f"batch_size: got {batch_size}, allowed: a divisor of N = {N}")
    beta1, beta2, eta0, eps = (np.broadcast_to(np.asarray(a, float), runs)[:, None] for a in (beta1, beta2, eta0, eps))
    check_rates(beta1, beta2 if rule == "adam" else None)
    keep = sorted({epochs} if keep is None else {int(k) for k in keep if 0 <= k <= epochs})
    orders = _Orders(order, runs, N, rng)
    first = np.array(np.broadcast_to(0.0 if start is None else np.asarray(start, dtype=float), (runs, d)))
    lowest = np.einsum("rnd,rd->rn", Z, first).min(1, keepdims=True)
    if not lowest.min() >= _LEAST_MARGIN:
        raise ValueError(f"start: got a margin of {lowest.min():g}, allowed: at least {_LEAST_MARGIN:g}")

    xp, put, get = arrays(device)
    X, b1, b2 = put(Z), put(beta1), put(beta2)
    # Geometric sums in place of averages: the factors 1 - beta are one factor of the step.
    unit = put(eta0 * (1 - beta1) / np.sqrt(1 - beta2) if rule == "adam" else eta0)
    log_eps = np.log(eps / np.sqrt(1 - beta2), out=np.full((runs, 1), -np.inf), where=eps > 0)
    log_eps = put(log_eps) if rule == "adam" and (eps > 0).any() else None
    epoch = scale_free_epoch(
        xp, rule, X, put(np.arange(runs))[:, None], b1, b2, unit, log_eps, batch_size, orders.cyclic
    )
    per_epoch = N // batch_size

    def inputs(begin, end):
        t = np.arange(begin * per_epoch, end * per_epoch).reshape(-1, per_epoch)
        return (put((1 + t / t0) ** -decay), *(put(index) for index in orders.epochs(end - begin)))

    zero = np.zeros((runs, d))
    state = (put(first), put(zero), put(zero), put(lowest))
    states = march(epoch, state, keep, inputs, substeps=per_epoch)
    return Path(np.array(keep), np.stack([get(w) for w, *_ in states]))


def scale_free_epoch(
    xp: ModuleType,
    rule: Rule,
    X: Any,
    each: Any,
    b1: Any,
    b2: Any,
    unit: Any,
    log_eps: Any,
    batch_size: int,
    cyclic: bool,
) -> Callable[..., tuple]:
    """A pass over the samples ``X``, as a function of weights, moments, ``ref``, rates.

    ``rates`` are the epoch's step sizes in units of ``unit``. Where orders are random,
    ``order`` holds the samples' indices, and ``each`` those of the runs.
    """
    runs, N, d = X.shape
    per_epoch = N // batch_size
    whole = per_epoch == 1 < N and cyclic

    def epoch(w, m, v, ref, rates, *order):
        margins = xp.matmul(X, w[:, :, None])[:, :, 0]
        least, floor = xp.amin(margins, 1)[:, None], _TINY
        if rule != "sgd":  # ref is the least margin, unless a moment overflows
            largest = xp.amax(v, 1) if rule == "adam" else xp.amax(xp.abs(m), 1)
            state = xp.log(xp.clip(largest, _TINY, None))[:, None]
            state = state / 2 if rule == "adam" else state
            least = xp.minimum(least, ref + _LARGEST_STATE - state)
            shift = xp.exp(least - ref)
            m = m * shift
            v = v * shift * shift if rule == "adam" else v
        ref, w = least, w + 0
        if log_eps is not None:
            floor = xp.exp(xp.clip(ref + log_eps, -690.0, 690.0))
        parts = X[each, order[0]] if order else X
        if batch_size > 1:
            parts = parts.reshape(runs, per_epoch, batch_size, d)
        for k in range(per_epoch):
            g = gradient(xp, parts[:, k], w, ref, margins if whole else None)
            eta = unit * rates[k]
            if rule == "sgd":
                w -= eta * g
            else:
                m *= b1
                m += g
                if rule == "signum":
                    w -= eta * xp.sign(m)
                else:
                    v *= b2
                    v += g * g
                    w -= eta * m / (xp.sqrt(v) + floor)
        return w, m, v, ref

    return epoch


def gradient(xp: ModuleType, x: Any, w: Any, ref: Any, margins: Any = None) -> Any:
    """Gradient of the mean logistic loss of samples ``x``, ``(runs, d)`` or ``(runs, b, d)``, over ``exp(-ref)``."""
    if x.ndim == 2:
        return slopes(xp, xp.einsum("rd,rd->r", x, w)[:, None], ref) * x
    if margins is None:
        margins = xp.matmul(x, w[:, :, None])[:, :, 0]
    return xp.matmul(slopes(xp, margins, ref)[:, None], x)[:, 0] / x.shape[1]


def slopes(xp: ModuleType, margins: Any, ref: Any) -> Any:
    """The loss's derivatives at the margins over ``exp(-ref)``: ``-exp(ref - log(1 + exp(margin)))``."""
    zero = 0 * ref
    log_size = ref - xp.logaddexp(zero, margins)
    return -xp.exp(xp.maximum(xp.minimum(log_size, zero + _LARGEST_GRADIENT), zero + _LEAST_GRADIENT))


def check_rates(beta1: np.ndarray, beta2: np.ndarray | None = None) -> None:
    """Refuse decay rates of the moments outside [0, 1), and for Adam ``beta1 > beta2``, for which it may diverge."""
    for name, rates in (("beta1", beta1), ("beta2", beta2)):
        if rates is not None and not (np.all(rates >= 0) and np.all(rates < 1)):
            raise ValueError(f"{name}: got {_first(rates, (rates < 0) | ~(rates < 1))}, allowed: at least 0, below 1")
    if beta2 is not None and np.any(beta1 > beta2):
        b1, b2 = np.broadcast_arrays(beta1, beta2)
        raise ValueError(f"beta1: got {_first(b1, b1 > b2)}, allowed: at most beta2 = {_first(b2, b1 > b2)}")


def _first(values: np.ndarray, bad: np.ndarray) -> str:
    return f"{np.asarray(values)[bad].flat[0]:g}"


class _Orders:
    """The samples' order in each epoch, for each run."""

    def __init__(self, order: Order | Sequence[Order], runs: int, N: int, rng: np.random.Generator | None):
        orders = np.array([order] * runs if isinstance(order, str) else list(order))
        unknown = sorted(set(orders.tolist()) - set(ORDERS))
        if unknown or len(orders) != runs:
            got = unknown[0] if unknown else f"{len(orders)} orders for {runs} runs"
            raise ValueError(f"order: got {got!r}, allowed: {', '.join(ORDERS)}, or a list of one for each run")
        self.cyclic = bool((orders == "cyclic").all())
        if not self.cyclic and rng is None:
            raise ValueError("rng: got None, allowed: a numpy Generator, as the order is random")
        self.reshuffled, self.replacement = orders == "reshuffled", orders == "replacement"
        self.runs, self.N, self.rng = runs, N, rng

    def epochs(self, count: int) -> list[np.ndarray]:
        """Indices of the samples in the next epochs, ``(count, runs, N)``; nothing if all orders are cyclic."""
        if self.cyclic:
            return []
        index = np.tile(np.arange(self.N), (count, self.runs, 1))
        for row in index:
            row[self.reshuffled] = self.rng.permuted(row[self.reshuffled], axis=1)
            row[self.replacement] = self.rng.integers(self.N, size=(int(self.replacement.sum()), self.N))
        return [index]
