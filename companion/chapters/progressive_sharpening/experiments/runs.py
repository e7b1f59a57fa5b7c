"""Training the minimalist model: gradient flow, gradient descent below and beyond the edge, and small batches."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import solve_ivp

from companion.chapters.progressive_sharpening import neuron
from companion.chapters.progressive_sharpening.experiments.limits import coordinates
from companion.chapters.progressive_sharpening.limit import difficulty, limit, limit_sharpness, sharpness_at
from companion.chapters.progressive_sharpening.parameters import CHUNK, Parameters
from companion.chapters.progressive_sharpening.samples import drawn, reduced, two_classes
from companion.models.stepping import Stepper, run_steps
from companion.results import experiment

RECORDS = 200  # at which the sharpness of a run of gradient descent is computed
LATE = 20  # of these, the last ones, are averaged: at the edge the sharpness still swings a little
LOOKS = 12  # at the imbalance of a run with small batches
LONG, SHORT = 2.5, 0.5  # first layer and others of a start with positive imbalance
PROBLEMS = 8  # of gradient flow
FOLDS = 25  # times by which the slowest mode of gradient flow falls by a factor e


@dataclass(frozen=True)
class Flow:
    """Ends of gradient flow in all coordinates, beside the closed form."""

    #: depths, ``(problems,)``
    depths: np.ndarray
    #: sharpness at the end, ``(problems,)``
    measured: np.ndarray
    #: closed form with the imbalances of the start, ``(problems,)``
    predicted: np.ndarray
    #: closed form for a balanced start, ``(problems,)``
    balanced: np.ndarray
    #: largest change of an imbalance on the way, ``(problems,)``
    drift: np.ndarray
    #: loss at the end, relative to that of a zero output, ``(problems,)``
    loss: np.ndarray


@experiment
def flow(params: Parameters) -> Flow:
    """Gradient flow from starts with unequal layers of either sign and a part of u outside the row space."""
    rng = params.rng(6)
    pool, classes = two_classes("digits", params.classes, centre=False)
    chosen = drawn(rng, len(pool), params.n_samples, PROBLEMS)
    depths = np.array([params.all_depths[k % len(params.all_depths)] for k in range(PROBLEMS)])
    found = []
    for rows, depth in zip(chosen, depths, strict=True):
        X, y = pool[rows], classes[rows]
        u = params.init_scale * rng.normal(size=X.shape[1]) / X.shape[1] ** 0.5
        aside = rng.normal(size=X.shape[1])
        aside -= np.linalg.pinv(X) @ (X @ aside)
        u += 0.3 * aside / np.linalg.norm(aside)
        v = params.v0 * rng.uniform(0.8, 1.2, depth - 1) * rng.choice([-1, 1], depth - 1)
        found.append(_flow(X, y, u, v))
    names = ("measured", "predicted", "balanced", "drift", "loss")
    return Flow(depths=depths, **dict(zip(names, np.array(found).T, strict=True)))


def _flow(X: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[float, ...]:
    """Sharpness at the end of the flow, closed form with and without imbalance, drift of imbalances, relative loss."""
    _, s, W = reduced(X)
    d, n = coordinates(W, y), X.shape[1]
    inside = np.linalg.pinv(X) @ (X @ u)
    C = inside @ inside - v**2  # the part of u outside the row space counts in neither
    ends = limit(C, difficulty(s, d))
    rate = float(ends.p2) * s[-1] ** 2 / len(y)
    data = torch.tensor(X)[None], torch.tensor(y)[None]

    def layers(state: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        both = torch.tensor(state)[None, None]
        return both[..., :n], both[..., n:]

    def field(_, state: np.ndarray) -> np.ndarray:
        return -torch.cat(neuron.gradient(*data, *layers(state)), dim=-1)[0, 0].numpy()

    def slope(_, state: np.ndarray) -> np.ndarray:
        return -neuron.hessian(*data, *layers(state))[0, 0].numpy()

    start = np.concatenate([u, v])
    path = solve_ivp(field, (0, FOLDS / rate), start, method="LSODA", jac=slope, rtol=1e-8, atol=1e-10)
    before, after = (neuron.imbalance(*layers(state)).numpy() for state in (start, path.y[:, -1]))
    none = limit(np.zeros_like(C), difficulty(s, d))
    return (
        float(neuron.sharpness(*data, *layers(path.y[:, -1]))),
        float(sharpness_at(s, d, ends.p2, ends.h)),
        float(sharpness_at(s, d, none.p2, none.h)),
        float(np.abs(after - before).max()),
        float(neuron.loss(*data, *layers(path.y[:, -1]))) / float(np.square(y).mean() / 2),
    )


@dataclass(frozen=True)
class Edge:
    """Gradient descent from one start with large and with small steps, and with easy labels."""

    #: ``("beyond", "below", "easy")``: 2/η below the limit sharpness, above it, and above it with easy labels
    groups: tuple[str, ...]
    #: depths D, ``(depths,)``
    depths: np.ndarray
    #: steps after which the following was computed, ``(records,)``; zero is the start
    steps: np.ndarray
    #: sharpness, ``(groups, depths, draws, records)``
    sharpness: np.ndarray
    #: limit sharpness of gradient flow from each iterate, likewise
    predicted: np.ndarray
    #: loss, relative to that of a zero output, likewise
    loss: np.ndarray
    #: stability limit 2/η, ``(groups, depths, draws)``
    edge: np.ndarray


@experiment
def edge(params: Parameters) -> Edge:
    """All groups, depths and data sets in one batch."""
    groups, depths, draws = ("beyond", "below", "easy"), params.all_depths, params.draws
    rng = params.rng(7)
    rows, s, d, y = _problems(params, rng, draws)
    scale = np.array([1.0, 1.0, params.easy])
    # Data sets of all groups stand behind each other; the runs on each are the depths.
    X, labels = (_tensor(np.concatenate(parts), params) for parts in ([rows] * 3, [k * y for k in scale]))
    s, d = np.tile(s, (3, 1)), np.concatenate([k * d for k in scale])
    u0 = params.init_scale * rng.normal(size=(draws, 1, params.n_samples)) / params.n_samples**0.5
    u0 = np.tile(u0, (3, len(depths), 1))
    v0, mask = _layers(params.v0, depths, 3 * draws, 1)
    C0 = (u0**2).sum(-1) - params.v0**2
    limits = _limits(s, d, np.repeat(C0[..., None], mask.shape[-1], -1), depths, 1)
    share = np.repeat([params.beyond, params.below, params.below], draws)[:, None]
    edges = share * limits
    u, v, mask, lr = (_tensor(part, params) for part in (u0, v0, mask, 2 / edges[..., None]))
    every = params.n_steps // RECORDS
    step = neuron.descent(X, labels, lr, mask)
    _, kept = run_steps(step, (u, v), every * RECORDS, record=lambda u, v: (u, v), every=every)
    paths = [(u, v), *zip(*kept, strict=True)]

    def shaped(values: np.ndarray) -> np.ndarray:
        return values.reshape(3, draws, len(depths), *values.shape[2:]).swapaxes(1, 2)

    sharpness = torch.stack([neuron.sharpness(X, labels, *at, mask) for at in paths], -1).cpu().numpy()
    loss = torch.stack([neuron.loss(X, labels, *at) for at in paths], -1).cpu().numpy()
    C = torch.stack([neuron.imbalance(*at) for at in paths], 2).cpu().numpy()
    predicted = _limits(s[:, None], d[:, None], C, depths, 1)
    return Edge(
        groups=groups,
        depths=np.array(depths),
        steps=every * np.arange(RECORDS + 1),
        sharpness=shaped(sharpness),
        predicted=shaped(predicted),
        loss=shaped(loss / (labels.square().mean(-1) / 2).cpu().numpy()[:, None, None]),
        edge=shaped(edges),
    )


def _problems(params: Parameters, rng: np.random.Generator, draws: int) -> tuple[np.ndarray, ...]:
    """Rows in coordinates of the row space, singular values, labels in singular coordinates, and labels."""
    pool, classes = two_classes("digits", params.classes, centre=False)
    chosen = drawn(rng, len(pool), params.n_samples, draws)
    rows, s, W = reduced(pool[chosen])
    return rows, s, coordinates(W, classes[chosen]), classes[chosen]


def _tensor(values: np.ndarray, params: Parameters) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(values), device=params.device)


def _layers(value: float, depths: list[int], sets: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """The layers after the first, and which of them exist: ``(sets, depths * runs, most - 1)`` each."""
    mask = (np.arange(max(depths) - 1) < np.array(depths)[:, None] - 1).astype(float)
    mask = np.tile(np.repeat(mask, runs, axis=0), (sets, 1, 1))
    return np.where(mask > 0, value, 1.0), mask


def _limits(s: np.ndarray, d: np.ndarray, C: np.ndarray, depths: list[int], runs: int) -> np.ndarray:
    """Limit sharpness where the runs of each depth stand behind each other in the second axis of C; NaN stays NaN."""
    found = []
    for row, depth in enumerate(depths):
        own = C[:, row * runs : (row + 1) * runs, ..., : depth - 1]
        known = np.isfinite(own).all(-1)
        value = limit_sharpness(s[:, None], d[:, None], np.where(known[..., None], own, 0))
        found.append(np.where(known, value, np.nan))
    return np.concatenate(found, axis=1)


@dataclass(frozen=True)
class Imbalance:
    """What steps of (stochastic) gradient descent do to the imbalance, and by it to where gradient flow would end."""

    #: ``("negative", "positive")``: the chapter's start, and one with a first layer that is long and along the
    #: leading direction of the images
    kinds: tuple[str, ...]
    #: depths D, ``(depths,)``
    depths: np.ndarray
    #: step sizes times a sharpness, ``(fracs,)``
    fracs: np.ndarray
    #: batch sizes, the full batch first, ``(batches,)``
    batches: np.ndarray
    #: step sizes, ``(kinds, draws, depths, fracs)``
    lr: np.ndarray
    #: imbalance C, the same for all layers, ``(kinds, draws, depths, fracs, batches, replicas, looks)``
    C: np.ndarray
    #: limit sharpness of gradient flow from there, likewise
    predicted: np.ndarray
    #: largest error of the formula for one step, at every look, ``(kinds,)``
    error: np.ndarray
    #: least gain of one step at a look where C is at most the larger of zero and its start, ``(kinds,)``
    gain: np.ndarray


@experiment
def imbalance(params: Parameters) -> Imbalance:
    """All starts, depths, step sizes, batch sizes and replicas in one batch; all step sizes see the same samples."""
    kinds, depths, draws, n = ("negative", "positive"), params.all_depths[:2], params.draws, params.n_samples
    fracs, batches, runs = sorted(set(params.step_fracs)), params.batches, params.replicas
    rng, generator = params.rng(8), params.generator(9)
    rows, s, d, y = _problems(params, rng, draws)
    X, labels = (_tensor(np.concatenate([part, part]), params) for part in (rows, y))
    s, d = np.tile(s, (2, 1)), np.tile(d, (2, 1))
    of_depth = len(fracs) * len(batches) * runs
    near = params.init_scale * rng.normal(size=(draws, n)) / n**0.5
    u0 = np.concatenate([near, np.tile(LONG * np.eye(n)[0], (draws, 1))])[:, None]
    u0 = np.tile(u0, (1, len(depths) * of_depth, 1))
    v0, mask = _layers(params.v0, depths, 2 * draws, of_depth)
    v0[draws:] = np.where(mask[draws:] > 0, SHORT, 1.0)
    C0 = (u0**2).sum(-1)[..., None] - v0**2
    u, v, mask = (_tensor(part, params) for part in (u0, v0, mask))
    # A start of positive imbalance is sharper than its limit, so it is the start that bounds its steps.
    steepest = np.maximum(_limits(s, d, C0, depths, of_depth), neuron.sharpness(X, labels, u, v, mask).cpu().numpy())
    sizes = np.tile(np.repeat(fracs, len(batches) * runs), len(depths)) / steepest
    lr = _tensor(sizes[..., None], params)
    stepper = Stepper(neuron.descent(X, labels, lr, mask), (u, v))
    every = params.sgd_steps // LOOKS
    states, error, gain = [], [], []
    for look in range(LOOKS + 1):
        for done in range(0, every if look else 0, CHUNK):
            length = min(CHUNK, every - done)
            shares = _shares(generator, length, 2 * draws, n, batches, runs).to(params.device)
            stepper.run(length, shares.repeat(1, 1, len(depths) * len(fracs), 1))
        u, v = stepper.state
        states.append((u, v))
        share = _shares(generator, 1, 2 * draws, n, batches, runs)[0].repeat(1, len(depths) * len(fracs), 1)
        share = share.to(params.device)
        formula = neuron.imbalance_step(u, v, neuron.pull(X, labels, u, v, share), lr)
        step = neuron.descent(X, labels, lr, mask)(u, v, share)
        direct = neuron.imbalance(*step) - neuron.imbalance(u, v)
        wrong = ((direct - formula).abs() / (1 + neuron.imbalance(u, v).abs()) * mask).amax((1, 2))
        error.append(wrong.reshape(2, draws).amax(1).cpu().numpy())
        at, began = neuron.imbalance(u, v)[..., 0], _tensor(C0[..., 0], params)
        counted = torch.where(at <= began.clamp(min=0), formula[..., 0], torch.inf)
        gain.append(counted.amin(1).reshape(2, draws).amin(1).cpu().numpy())
    C = torch.stack([neuron.imbalance(*at) for at in states], 2).cpu().numpy()
    predicted = _limits(s[:, None], d[:, None], C, depths, of_depth)
    shape = (2, draws, len(depths), len(fracs), len(batches), runs)
    return Imbalance(
        kinds=kinds,
        depths=np.array(depths),
        fracs=np.array(fracs),
        batches=np.array(batches),
        lr=sizes.reshape(shape)[..., 0, 0],
        C=C[..., 0].reshape(*shape, LOOKS + 1),
        predicted=predicted.reshape(*shape, LOOKS + 1),
        error=np.stack(error).max(0),
        gain=np.stack(gain).min(0),
    )


def _shares(generator: torch.Generator, steps: int, sets: int, n: int, batches: list[int], runs: int) -> torch.Tensor:
    """What each sample counts: ``1 / B`` on B of n samples drawn without repetition, ``(steps, sets, B * runs, n)``."""
    found = []
    for size in batches:
        if size == n:
            found.append(torch.full((steps, sets, runs, n), 1 / n, dtype=torch.float64))
            continue
        order = torch.rand((steps, sets, runs, n), generator=generator).argsort(-1)
        found.append(torch.zeros((steps, sets, runs, n), dtype=torch.float64).scatter_(-1, order[..., :size], 1 / size))
    return torch.cat(found, dim=2)
