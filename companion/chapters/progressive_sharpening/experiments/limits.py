"""What the closed form of the limit says: data sets, label directions, label noise, depth, imbalance. No training."""

from dataclasses import dataclass

import numpy as np

from companion.chapters.progressive_sharpening.limit import difficulty, limit_sharpness
from companion.chapters.progressive_sharpening.parameters import Parameters
from companion.chapters.progressive_sharpening.samples import drawn, flipped, reduced, two_classes
from companion.results import experiment

SMALL_Q = 0.2  # difficulty to which labels are scaled down, well below the one at which depth turns
EXPLAINING = 5  # principal directions that explain the labels of the easy data sets
MANY = 30  # images where labels are turned or flipped
TURNING_DEPTH = 3  # at which labels are turned


def coordinates(W: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Labels in left singular coordinates, ``W^T y``: ``(..., N)``."""
    return np.einsum("...nk,...n->...k", W, y)


@dataclass(frozen=True)
class Growth:
    """Difficulty and limit sharpness as samples are added; every data set is part of the next larger one."""

    #: sizes N, increasing, ``(sizes,)``
    sizes: np.ndarray
    #: depths D, ``(depths,)``
    depths: np.ndarray
    #: labels ``("classes", "explained")``: the classes, and a linear function of five principal directions
    labels: tuple[str, ...]
    #: difficulty Q, ``(labels, sizes, sets)``
    Q: np.ndarray
    #: least difficulty that labels of the same length can have, ``||y|| / s_1``, ``(labels, sizes, sets)``
    least: np.ndarray
    #: largest squared singular value of X, ``(sizes, sets)``
    top: np.ndarray
    #: limit sharpness from a balanced start, ``(labels, depths, sizes, sets)``
    balanced: np.ndarray
    #: the same with the labels scaled to a difficulty of SMALL_Q, ``(depths, sizes, sets)``
    scaled: np.ndarray
    #: limit sharpness from the chapter's start, u near zero and all other layers alike, ``(depths, sizes, sets)``
    started: np.ndarray


@experiment
def growth(params: Parameters) -> Growth:
    """Nested subsets of two classes of digits."""
    sizes, depths = sorted(set(params.sizes)), params.all_depths
    pool, classes = two_classes("digits", params.classes, centre=False)
    chosen = drawn(params.rng(1), len(pool), sizes[-1], params.data_sets)
    directions = np.linalg.svd(pool, full_matrices=False)[2][:EXPLAINING].T
    teacher = directions @ np.linalg.lstsq(pool @ directions, classes, rcond=None)[0]
    Q, least, top, balanced, scaled, started = [], [], [], [], [], []
    for size in sizes:
        _, s, W = reduced(pool[chosen[:, :size]])
        d = np.stack([coordinates(W, classes[chosen[:, :size]]), coordinates(W, pool[chosen[:, :size]] @ teacher)])
        Q.append(difficulty(s, d))
        least.append(np.linalg.norm(d, axis=-1) / s[:, 0])
        top.append(s[:, 0] ** 2)
        small = d[0] * (SMALL_Q / Q[-1][0])[:, None]
        balanced.append([limit_sharpness(s, d, np.zeros(depth - 1)) for depth in depths])
        scaled.append([limit_sharpness(s, small, np.zeros(depth - 1)) for depth in depths])
        C = params.init_scale**2 - params.v0**2
        started.append([limit_sharpness(s, d[0], np.full(depth - 1, C)) for depth in depths])
    return Growth(
        sizes=np.array(sizes),
        depths=np.array(depths),
        labels=("classes", "explained"),
        Q=np.stack(Q, 1),
        least=np.stack(least, 1),
        top=np.stack(top),
        balanced=np.array(balanced).transpose(2, 1, 0, 3),
        scaled=np.array(scaled).transpose(1, 0, 2),
        started=np.array(started).transpose(1, 0, 2),
    )


@dataclass(frozen=True)
class Turning:
    """One data set, its labels turned from the first to the last left singular vector at fixed length."""

    #: singular values, decreasing, ``(N,)``
    s: np.ndarray
    #: difficulty of the labels along each singular vector, ``(N,)``
    Q: np.ndarray
    #: limit sharpness, ``("length", "difficulty")`` kept fixed, balanced start, ``(2, N)``
    sharpness: np.ndarray


@experiment
def turning(params: Parameters) -> Turning:
    """Labels along each singular vector of one data set, as long as labels of ±1."""
    pool, _ = two_classes("digits", params.classes, centre=False)
    _, s, _ = reduced(pool[drawn(params.rng(2), len(pool), MANY, 1)[0]])
    along = np.sqrt(MANY) * np.eye(MANY)
    Q = difficulty(s, along)
    C = np.zeros(TURNING_DEPTH - 1)
    fixed = along * (Q[0] / Q)[:, None]
    return Turning(s=s, Q=Q, sharpness=np.stack([limit_sharpness(s, along, C), limit_sharpness(s, fixed, C)]))


@dataclass(frozen=True)
class Flips:
    """Difficulty when labels are given the wrong sign."""

    #: shares of wrong labels, increasing, ``(rates,)``
    rates: np.ndarray
    #: difficulty, for labels that were ``("classes", "random")`` before, ``(2, rates, sets)``
    Q: np.ndarray


@experiment
def flips(params: Parameters) -> Flips:
    """Data sets of MANY images; the labels that are wrong at one rate are wrong at every larger one."""
    rng = params.rng(3)
    pool, classes = two_classes("digits", params.classes, centre=False)
    chosen = drawn(rng, len(pool), MANY, params.data_sets)
    _, s, W = reduced(pool[chosen])
    before = (classes[chosen], rng.choice([-1.0, 1.0], chosen.shape))
    uniform, rates = rng.random(chosen.shape), sorted(set(params.flip_rates))
    Q = [[difficulty(s, coordinates(W, flipped(y, rate, uniform))) for rate in rates] for y in before]
    return Flips(rates=np.array(rates), Q=np.array(Q))


@dataclass(frozen=True)
class Layers:
    """The limit sharpness as a function of the imbalances."""

    #: depths D, ``(depths,)``
    depths: np.ndarray
    #: imbalance C of all layers, ``(points,)``
    C: np.ndarray
    #: limit sharpness on one data set, ``(depths, points)``
    sharpness: np.ndarray
    #: change of the logarithm of the limit sharpness as one imbalance, or all, go from below zero half way to it, on
    #: random problems with ``("unequal", "equal")`` layers: ``(2, cases)``
    change: np.ndarray


@experiment
def layers(params: Parameters) -> Layers:
    """A curve over a common imbalance, and random problems in which layers are unequal."""
    pool, classes = two_classes("digits", params.classes, centre=False)
    chosen = drawn(params.rng(4), len(pool), params.n_samples, 1)[0]
    _, s, W = reduced(pool[chosen])
    d, C = coordinates(W, classes[chosen]), np.linspace(-4, 8, 121)
    curve = [limit_sharpness(s, d, np.repeat(C[:, None], depth - 1, 1)) for depth in params.all_depths]

    rng, cases = params.rng(5), params.cases
    spectrum = np.exp(rng.normal(size=(cases, 2)))
    labels = spectrum * np.exp(rng.normal(size=(cases, 2)))
    unequal = -2 * rng.random((cases, 3))
    raised = unequal.copy()
    raised[:, 0] /= 2
    equal = np.repeat(unequal[:, :1], 3, axis=1)
    change = [
        np.log(limit_sharpness(spectrum, labels, after)) - np.log(limit_sharpness(spectrum, labels, before))
        for before, after in ((unequal, raised), (equal, equal / 2))
    ]
    return Layers(depths=np.array(params.all_depths), C=C, sharpness=np.stack(curve), change=np.stack(change))
