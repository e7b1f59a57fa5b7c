"""The chapter's experiments: parameters in, arrays out."""

from dataclasses import dataclass

import numpy as np

from companion.chapters.incremental_adam import theory
from companion.chapters.incremental_adam.incremental import incremental, slopes
from companion.chapters.incremental_adam.limits import (
    FixedPoints,
    Scaling,
    Sweep,
    fixed_points,
    scaling,
    sweep,
)
from companion.chapters.incremental_adam.setting import (
    EARLY_DECAY,
    OTHER_BETAS,
    Data,
    Parameters,
    distance,
    draw,
    gaussian_data,
    shifted_diagonal,
)
from companion.data import load_dataset

RANDOM_ORDERS = ("reshuffled", "replacement")


def log_spaced(last: int, count: int = 40) -> list[int]:
    """Whole numbers from 1 to ``last``, spaced evenly on a logarithmic scale."""
    return sorted({round(k) for k in np.geomspace(1, last, count)})


# --- all rules, all batch sizes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """One rule with one setting on all datasets.

    Attributes
    ----------
    steps : steps after which it was looked at, ``(K,)``
    r2, rinf : normalized margins over the largest ones, ``(K, rows)``
    last : the last iterates, ``(rows, d)``
    margin : the last iterates' least margins, ``(rows,)``
    """

    steps: np.ndarray
    r2: np.ndarray
    rinf: np.ndarray
    last: np.ndarray
    margin: np.ndarray


@dataclass(frozen=True)
class Runs:
    """Runs on Gaussian (first half of the rows) and scaled Rademacher data (second half).

    Attributes
    ----------
    data : the datasets
    betas : pairs ``(beta1, beta2)`` of incremental Adam, the chapter's own first
    batches : batch sizes, from 1 to N
    cyclic : incremental Adam in cyclic order, a curve for each pair
    sampled : incremental Adam reshuffled every epoch and with replacement, with the first pair
    adam, signum, sgd : a curve for each batch size, in cyclic order
    sign_sgd : Signum without momentum, one sample a step
    """

    data: Data
    betas: tuple[tuple[float, float], ...]
    batches: list[int]
    cyclic: tuple[Curve, ...]
    sampled: tuple[Curve, ...]
    adam: tuple[Curve, ...]
    signum: tuple[Curve, ...]
    sgd: tuple[Curve, ...]
    sign_sgd: Curve

    @property
    def full_batch(self) -> Curve:
        """Full-batch Adam."""
        return self.adam[-1]

    @property
    def kinds(self) -> tuple[slice, slice]:
        """The rows of Gaussian and of scaled Rademacher data."""
        half = len(self.data.Z) // 2
        return slice(0, half), slice(half, None)


def runs(params: Parameters) -> Runs:
    """Every rule at every batch size on the same data, and incremental Adam in three orders."""
    data = draw(params)
    rows, N = len(data.Z), params.N
    betas = ((params.beta1, params.beta2), *OTHER_BETAS)
    device = {"device": params.device}

    def curves(rule: str, batch_size: int, settings: int, epochs: int, **options) -> list[Curve]:
        keep = log_spaced(epochs)
        path = incremental(np.tile(data.Z, (settings, 1, 1)), rule, epochs=epochs, batch_size=batch_size, keep=keep,
                           **device, **options)  # fmt: skip
        w = path.w.reshape(len(keep), settings, rows, -1)
        least = np.einsum("rnd,srd->srn", data.Z, w[-1]).min(-1)
        steps = path.epochs * (N // batch_size)
        return [
            Curve(steps, data.r2(w[:, s]), data.rinf(w[:, s]), w[-1, s], least[s]) for s in range(settings)
        ]  # fmt: skip

    def passes(batch_size: int) -> int:
        return params.epochs if batch_size == 1 else max(1, params.steps * batch_size // N)

    pairs = [*betas, betas[0], betas[0]]
    single = curves(
        "adam", 1, len(pairs), params.epochs, **params.step, rng=params.rng(1),
        beta1=np.repeat([b1 for b1, _ in pairs], rows), beta2=np.repeat([b2 for _, b2 in pairs], rows),
        order=np.repeat(["cyclic"] * len(betas) + list(RANDOM_ORDERS), rows).tolist(),
    )  # fmt: skip
    rates = {"beta1": params.beta1, "beta2": params.beta2}
    slow = {**params.step, "eta0": params.eta_signum}
    adam = [single[0]] + [curves("adam", b, 1, passes(b), **params.step, **rates)[0] for b in params.batches[1:]]
    momentum = np.repeat([params.beta_signum, 0.0], rows)
    signum, sign_sgd = curves("signum", 1, 2, params.epochs, beta1=momentum, **slow)
    larger = [curves("signum", b, 1, passes(b), beta1=params.beta_signum, **slow)[0] for b in params.batches[1:]]
    # SGD is here for comparison only: half the length is enough.
    sgd = [curves("sgd", b, 1, max(1, passes(b) // 2), **params.step)[0] for b in params.batches]
    return Runs(data, betas, params.batches, tuple(single[: len(betas)]), tuple(single[len(betas) :]), tuple(adam),
                (signum, *larger), tuple(sgd), sign_sgd)  # fmt: skip


# --- epsilon ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Epsilon:
    """Full-batch Adam on Gaussian data with a stability constant.

    Attributes
    ----------
    epsilons : from zero up, ``(E,)``
    steps : ``(K,)``
    r2, rinf : ``(K, E, datasets)``
    reached : the first kept step at which the gradient's largest entry is below epsilon in the median, ``(E,)``; or NaN
    """

    epsilons: np.ndarray
    steps: np.ndarray
    r2: np.ndarray
    rinf: np.ndarray
    reached: np.ndarray


def epsilon(params: Parameters) -> Epsilon:
    """What Adam's epsilon does to the direction, from zero to the largest one asked for."""
    data = gaussian_data(params)
    epsilons = np.array([0.0, *sorted(set(params.epsilons))])
    steps = max(10, params.steps // 2)
    keep = log_spaced(steps, 60)
    E, D = len(epsilons), len(data.Z)
    path = incremental(
        np.tile(data.Z, (E, 1, 1)), "adam", epochs=steps, batch_size=params.N, beta1=params.beta1,
        beta2=params.beta2, eps=np.repeat(epsilons, D), keep=keep, device=params.device, **params.step,
    )  # fmt: skip
    w = path.w.reshape(len(keep), E, D, -1)
    z = np.einsum("rnd,kerd->kern", data.Z, w)
    size = np.abs(np.einsum("kern,rnd->kerd", np.exp(-np.logaddexp(0, z)), data.Z)).max(-1) / params.N
    below = np.median(size, axis=-1) < epsilons
    reached = np.where(below.any(0), path.epochs[below.argmax(0)].astype(float), np.nan)
    return Epsilon(epsilons, path.epochs, data.r2(w), data.rinf(w), reached)


# --- one epoch ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EpochMap:
    """Incremental Adam's displacement over an epoch against the epoch map.

    Attributes
    ----------
    epochs : ``(K,)``
    eta : step size at the start of the epoch, ``(K,)``
    error : relative error of the epoch map, ``(K, datasets)``
    error_sign : that of the sign of the full gradient, with the best factor for each, ``(K, datasets)``
    """

    epochs: np.ndarray
    eta: np.ndarray
    error: np.ndarray
    error_sign: np.ndarray


def epoch_map(params: Parameters) -> EpochMap:
    """The error of the epoch map while the step size falls."""
    Z, N = gaussian_data(params).Z, params.N
    last = max(12, params.epochs * 3 // 2)
    epochs = np.array(sorted({round(k) for k in np.geomspace(max(2, last // 100), last, 9)}))
    path = incremental(
        Z, "adam", epochs=last, beta1=params.beta1, beta2=params.beta2, eta0=params.eta0, t0=EARLY_DECAY,
        decay=params.decay, keep=sorted({*epochs.tolist(), *(epochs - 1).tolist()}), device=params.device,
    )  # fmt: skip
    before, after = (path.w[np.searchsorted(path.epochs, which)] for which in (epochs - 1, epochs))
    eta = params.eta0 * (1 + (epochs - 1) * N / EARLY_DECAY) ** -params.decay
    A1, A2 = (theory.memory_weights(np.array([beta]), N) for beta in (params.beta1, params.beta2))
    factor = theory.epoch_constant(params.beta1, params.beta2, N)
    error, error_sign = [], []
    for w, moved, step in zip(before, after - before, eta, strict=True):
        z = np.einsum("rnd,rd->rn", Z, w)
        p = -slopes(np, z, z.min(1, keepdims=True))
        predicted = step * factor * theory.epoch_map(np, Z, p, A1, A2)
        sign = theory.full_batch(np, Z, p)
        sign = sign * ((moved * sign).sum(-1) / (sign * sign).sum(-1))[:, None]
        size = np.linalg.norm(moved, axis=-1)
        error.append(np.linalg.norm(moved - predicted, axis=-1) / size)
        error_sign.append(np.linalg.norm(moved - sign, axis=-1) / size)
    return EpochMap(epochs, eta, np.array(error), np.array(error_sign))


# --- datasets that decide -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reductions:
    """Data on which the fixed point is a known maximum-margin direction.

    Attributes
    ----------
    rademacher, gaussian : ``1 - cos`` of fixed point and 2-norm direction, ``(datasets,)`` each
    deltas : offsets of the shifted diagonal
    first : weight ``c_1`` of the smallest sample at the fixed point, as it is and flipped, ``(2, deltas)``
    cos_l2 : cosine of fixed point and 2-norm direction, ``(2, deltas)``
    directions : of the fixed point, incremental Adam's end and the 2-norm, largest entry one, ``(3, 2, deltas, 4)``
    r2, rinf : incremental Adam's end, ``(2, deltas)``
    """

    rademacher: np.ndarray
    gaussian: np.ndarray
    deltas: np.ndarray
    first: np.ndarray
    cos_l2: np.ndarray
    directions: np.ndarray
    r2: np.ndarray
    rinf: np.ndarray


DIAGONAL = (1.0, 2.0, 4.0, 8.0)


def reductions(params: Parameters) -> Reductions:
    """Scaled Rademacher data and shifted diagonals, also one for which the condition is broken."""
    both = draw(params)
    away = distance(np.array([theory.fixed_point(Z).w for Z in both.Z]), both.l2)
    deltas = np.array(sorted(set(params.deltas)))
    data = Data.of(np.array([shifted_diagonal(DIAGONAL, delta, flip) for flip in (False, True) for delta in deltas]))
    points = [theory.fixed_point(Z) for Z in data.Z]
    end = incremental(data.Z, "adam", epochs=params.epochs * 5 // 2, beta1=params.beta1, beta2=params.beta2,
                      device=params.device, **params.step).last  # fmt: skip
    shape = (2, len(deltas))
    w = np.array([[point.w for point in points], end, data.l2])
    return Reductions(
        rademacher=away[params.datasets :],
        gaussian=away[: params.datasets],
        deltas=deltas,
        first=np.array([point.c[0] for point in points]).reshape(shape),
        cos_l2=1 - distance(w[0], w[2]).reshape(shape),
        directions=(w / np.abs(w).max(-1, keepdims=True)).reshape(3, *shape, -1),
        r2=data.r2(end).reshape(shape),
        rinf=data.rinf(end).reshape(shape),
    )


# --- Signum's memory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """Signum with one sample a step over its momentum, with small steps and with larger ones.

    Attributes
    ----------
    beta : ``(B,)``
    eta : first steps, from small to large, ``(3,)``
    rinf : ``(3, B, datasets)``
    bound : ``1 - 2 epsilon(beta) R / gamma_inf``, ``(B, datasets)``
    grid, grid_bound : the bound on a fine grid of momenta, ``(G,)`` and ``(G, datasets)``
    """

    beta: np.ndarray
    eta: np.ndarray
    rinf: np.ndarray
    bound: np.ndarray
    grid: np.ndarray
    grid_bound: np.ndarray


BETAS_SIGNUM = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999)
LARGER = (1, 5, 25)


def memory(params: Parameters) -> Memory:
    """How close to 1 Signum's momentum has to be, and how small its steps then."""
    data = gaussian_data(params)
    D, B = len(data.Z), len(BETAS_SIGNUM)
    eta = params.eta_signum * np.array(LARGER, dtype=float)
    path = incremental(
        np.tile(data.Z, (len(eta) * B, 1, 1)), "signum", epochs=params.epochs, t0=params.t0, decay=params.decay,
        beta1=np.tile(np.repeat(BETAS_SIGNUM, D), len(eta)), eta0=np.repeat(eta, B * D), device=params.device,
    )  # fmt: skip

    def bound(betas: np.ndarray) -> np.ndarray:
        terms = np.array([[theory.signum_bound(Z, beta) for Z in data.Z] for beta in betas])
        return 1 - 2 * terms[..., 0] * terms[..., 1] / data.margins[1]

    beta, grid = np.array(BETAS_SIGNUM), 1 - np.geomspace(1, 1 - BETAS_SIGNUM[-1], 100)
    rinf = data.rinf(path.last.reshape(len(eta), B, D, -1))
    return Memory(beta, eta, rinf, bound(beta), grid, bound(grid))


# --- images -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Images:
    """Pairs of scanned digits.

    Attributes
    ----------
    pairs : the two classes of each problem
    l2, linf, prediction : ``1 - cos`` of incremental Adam's end and the 2-norm direction, an infinity-norm direction,
        and its dual fixed point, ``(pairs,)`` each
    full : the same of full-batch Adam's end and the fixed point, ``(pairs,)``
    support : samples with positive weight at the fixed point, ``(pairs,)``
    n : samples
    """

    pairs: tuple[tuple[int, int], ...]
    l2: np.ndarray
    linf: np.ndarray
    prediction: np.ndarray
    full: np.ndarray
    support: np.ndarray
    n: int


PAIRS = ((0, 1), (3, 8), (4, 9))


def images(params: Parameters) -> Images:
    """Incremental and full-batch Adam on pairs of scanned digits, classes in turn."""
    digits = load_dataset("digits", normalize="standard", flatten=True, dtype="float64", seed=0)
    rng, problems = params.rng(4), []
    for pair in PAIRS:
        picked = [rng.choice(np.flatnonzero(digits.y_train == label), params.images, replace=False) for label in pair]
        signed = [sign * digits.x_train[rows] for sign, rows in zip((1, -1), picked, strict=True)]
        problems.append(np.stack(signed, axis=1).reshape(2 * params.images, -1))
    data = Data.of(np.array(problems))
    rates = {"beta1": params.beta1, "beta2": params.beta2, "device": params.device, **params.step}
    end = incremental(data.Z, "adam", epochs=params.epochs // 2, **rates).last
    full = incremental(data.Z, "adam", epochs=params.steps // 2, batch_size=data.Z.shape[1], **rates).last
    points = [theory.fixed_point(Z, (params.beta1, params.beta2)) for Z in data.Z]
    w = np.array([point.w for point in points])
    support = np.array([(point.c > 1e-9).sum() for point in points])
    return Images(PAIRS, distance(end, data.l2), distance(end, data.linf), distance(end, w), distance(full, w),
                  support, data.Z.shape[1])  # fmt: skip


# --- all of it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The results of all experiments."""

    runs: Runs
    epsilon: Epsilon
    epoch_map: EpochMap
    fixed_points: FixedPoints
    sweep: Sweep
    scaling: Scaling
    reductions: Reductions
    memory: Memory
    images: Images


def run(params: Parameters) -> Results:
    """All experiments of the chapter."""
    return Results(
        runs=runs(params),
        epsilon=epsilon(params),
        epoch_map=epoch_map(params),
        fixed_points=fixed_points(params),
        sweep=sweep(params),
        scaling=scaling(params),
        reductions=reductions(params),
        memory=memory(params),
        images=images(params),
    )
