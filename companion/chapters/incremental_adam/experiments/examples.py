"""Datasets that decide where incremental Adam goes, and scanned digits."""

from dataclasses import dataclass

import numpy as np

from companion.chapters.incremental_adam import theory
from companion.chapters.incremental_adam.data import DIAGONAL, Data, distance, shifted_diagonal
from companion.chapters.incremental_adam.experiments.datasets import draw
from companion.chapters.incremental_adam.incremental import incremental
from companion.chapters.incremental_adam.parameters import Parameters
from companion.data import load_dataset
from companion.results import experiment


@dataclass(frozen=True)
class Reductions:
    """Data on which the fixed point is a known maximum-margin direction."""

    #: ``1 - cos`` of fixed point and 2-norm direction on scaled Rademacher data, ``(datasets,)``
    rademacher: np.ndarray
    #: and on Gaussian data
    gaussian: np.ndarray
    #: offsets of the shifted diagonal
    deltas: np.ndarray
    #: weight ``c_1`` of the smallest sample at the fixed point, as it is and flipped, ``(2, deltas)``
    first: np.ndarray
    #: cosine of fixed point and 2-norm direction, ``(2, deltas)``
    cos_l2: np.ndarray
    #: of the fixed point, incremental Adam's end and the 2-norm, largest entry one, ``(3, 2, deltas, 4)``
    directions: np.ndarray
    #: normalized margins of incremental Adam's end, ``(2, deltas)``
    r2: np.ndarray
    rinf: np.ndarray


@experiment
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


# --- images -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Images:
    """Pairs of scanned digits."""

    #: the two classes of each problem
    pairs: tuple[tuple[int, int], ...]
    #: ``1 - cos`` of incremental Adam's end and the 2-norm direction, ``(pairs,)``
    l2: np.ndarray
    #: and an infinity-norm direction
    linf: np.ndarray
    #: and its dual fixed point
    prediction: np.ndarray
    #: the same of full-batch Adam's end and the fixed point, ``(pairs,)``
    full: np.ndarray
    #: share of the classes' other digits that incremental and full-batch Adam's ends classify rightly, ``(2, pairs)``
    accuracy: np.ndarray
    #: samples with positive weight at the fixed point, ``(pairs,)``
    support: np.ndarray
    #: samples
    n: int


PAIRS = ((0, 1), (3, 8), (4, 9))


@experiment
def images(params: Parameters) -> Images:
    """Incremental and full-batch Adam on pairs of scanned digits, classes in turn."""
    digits = load_dataset("digits", normalize="standard", flatten=True, dtype="float64", seed=0)
    rng, problems, unseen = params.rng(4), [], []
    for pair in PAIRS:
        of_class = [np.flatnonzero(digits.y_train == label) for label in pair]
        picked = [rng.choice(rows, params.images, replace=False) for rows in of_class]
        signed = [sign * digits.x_train[rows] for sign, rows in zip((1, -1), picked, strict=True)]
        problems.append(np.stack(signed, axis=1).reshape(2 * params.images, -1))
        rest = np.setdiff1d(np.concatenate(of_class), np.concatenate(picked))
        unseen.append((digits.x_train[rest], np.where(digits.y_train[rest] == pair[0], 1, -1)))
    data = Data.of(np.array(problems))
    rates = {"beta1": params.beta1, "beta2": params.beta2, "device": params.device, **params.step}
    end = incremental(data.Z, "adam", epochs=params.epochs // 2, **rates).last
    full = incremental(data.Z, "adam", epochs=params.steps // 2, batch_size=data.Z.shape[1], **rates).last
    points = [theory.fixed_point(Z, (params.beta1, params.beta2)) for Z in data.Z]
    w = np.array([point.w for point in points])
    right = [
        [(np.sign(x @ weights) == y).mean() for (x, y), weights in zip(unseen, ws, strict=True)] for ws in (end, full)
    ]
    return Images(
        pairs=PAIRS,
        l2=distance(end, data.l2),
        linf=distance(end, data.linf),
        prediction=distance(end, w),
        full=distance(full, w),
        accuracy=np.array(right),
        support=np.array([(point.c > 1e-9).sum() for point in points]),
        n=data.Z.shape[1],
    )
