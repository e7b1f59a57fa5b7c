"""The mechanism: the alignment identity, decay with a part taken out, and the reduced model."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from companion.analysis.curvature import sharpness_gradient
from companion.chapters.weight_decay_stability.alignment import Tracker, at_angle, forces, unit
from companion.chapters.weight_decay_stability.descent import Filter, descend
from companion.chapters.weight_decay_stability.experiments.training import (
    TAIL,
    Edge,
    architecture,
    problem,
    random_like,
)
from companion.chapters.weight_decay_stability.homogeneity import (
    gauss_newton_alignment,
    gauss_newton_sharpness,
    label_curvature,
)
from companion.chapters.weight_decay_stability.kernels import output_step
from companion.chapters.weight_decay_stability.networks import (
    CNN,
    MLP,
    Network,
    Normalized,
    mean_loss,
    start,
    typical_lengths,
)
from companion.chapters.weight_decay_stability.parameters import Parameters
from companion.chapters.weight_decay_stability.reduced import ReducedModel
from companion.chapters.weight_decay_stability.samples import draw
from companion.results import experiment

# Of the decay: what is across the direction, and what is along it.
DIRECTIONS = ("sharpness gradient", "random")
PARTS = ("across", "along")
ORBIT = 8000  # steps of the reduced model
SHOWN = 3000  # steps of the reduced model that are drawn


@dataclass(frozen=True)
class Identity:
    """The alignment of random networks in double precision, by network."""

    names: tuple[str, ...]
    """Of the networks."""
    degree: np.ndarray
    """Degree m that the theorem needs, ``(N,)``: the layers; zero of a normalized network."""
    ratio: np.ndarray
    """``theta . grad S / S`` of the Gauss-Newton sharpness, ``(N, S)``."""
    full: np.ndarray
    """The same of the Hessian's sharpness, ``(N, S)``."""
    correction: np.ndarray
    """``m kappa / S``, what the labels add to it, ``(N, S)``."""


@experiment
def identity(params: Parameters) -> Identity:
    """Is ``theta . grad S`` what homogeneity says, to rounding?"""
    few = 12  # samples; the Gauss-Newton matrix is decomposed exactly
    side = 8
    base = MLP((side * side, 8, 8, 10))
    networks: dict[str, tuple[Network, int]] = {
        "MLP, two layers": (MLP((side * side, 8, 10)), 2),
        "MLP, three layers": (base, 3),
        "MLP, four layers": (MLP((side * side, 8, 8, 8, 10)), 4),
        "CNN": (CNN(side, (2, 4)), 3),
        "MLP, normalized": (Normalized(base, typical_lengths(base)), 0),
        "MLP, tanh": (MLP(base.sizes, "tanh"), 3),
    }
    count = params.n_seeds_few
    samples = draw("digits", few, params.label_noise, 10, params.seeds(count), params.device, torch.float64)
    rows = []
    for network, degree in networks.values():
        theta = start(network, params.generators(count), torch.float64).to(params.device)
        prepared = network.prepare(samples.inputs)
        value, vector = gauss_newton_sharpness(network, theta, prepared)
        alignment = gauss_newton_alignment(network, theta, vector, prepared)
        loss = mean_loss(network, prepared, samples.targets)
        top = Tracker(loss, random_like(theta, params), 4)(theta)
        force = forces(loss, theta, top.vector)
        kappa = label_curvature(network, theta, top.vector, prepared, samples.targets)
        rows.append(torch.stack([alignment / value, force.alignment / top.value, degree * kappa / top.value]))
    ratio, full, correction = torch.stack(rows, dim=1).cpu().numpy()
    degrees = np.array([degree for _, degree in networks.values()])
    return Identity(tuple(networks), degrees, ratio, full, correction)


@dataclass(frozen=True)
class Filtered:
    """Training with a part of the decay, by direction and part."""

    steps: np.ndarray
    """Where the sharpness was measured, ``(T,)``."""
    sharpness: np.ndarray
    """As ``S lr / 2``, ``(2, 2, T, S)``: for each of DIRECTIONS and each of PARTS."""
    whole: np.ndarray
    """The same of the runs with the whole decay, at ``whole_steps``, ``(W, S)``."""
    whole_steps: np.ndarray
    """``(W,)``."""
    cosine: np.ndarray
    """Of the angle between decay and direction, ``(S,)``: the same for both directions, on average."""
    output_step: np.ndarray
    """How far one step moves outputs on probes, relative, mean over the tail, ``(2, 2, S)``."""

    def plateau(self, direction: str, part: str) -> np.ndarray:
        """Mean over the tail, ``(S,)``."""
        return _tail_mean(self.sharpness[DIRECTIONS.index(direction), PARTS.index(part)])

    @property
    def whole_plateau(self) -> np.ndarray:
        """The same of the runs with the whole decay, ``(S,)``."""
        return _tail_mean(self.whole)


@experiment
def filtered(params: Parameters, mlp: Edge) -> Filtered:
    """Which part of the decay keeps the sharpness below the edge? With seeds, start and data of the MLP's runs."""
    count = min(params.n_seeds_few, params.n_seeds)
    row = mlp.at(params.lam)
    cosine = np.clip(mlp.cosine[:, row, :count].mean(0), -0.99, 0.99)
    network = architecture("MLP", params)
    loss, theta, lam, probes = problem(network, params, params.loss, [params.lam] * 2, count)
    across = torch.ones_like(lam)
    across[count:] = 0
    tilt = torch.tensor(np.tile(cosine, 2), dtype=theta.dtype, device=theta.device)[:, None]
    aside = random_like(theta, params)
    gap = max(1, params.every // params.refresh)  # stretches of steps between measurements that are kept
    sharp, moved = [], []
    for direction in DIRECTIONS:
        track, values, steps = Tracker(loss, aside, 2), [], []

        def sharper(point: torch.Tensor, track: Tracker = track, values: list = values) -> torch.Tensor:
            top = track(point)
            values.append(top.value)
            return unit(sharpness_gradient(loss, point, top.vector))

        def random(point: torch.Tensor, track: Tracker = track, values: list = values) -> torch.Tensor:
            values.append(track(point).value if len(values) % gap == 0 else values[-1])
            return at_angle(point, aside, tilt)

        kept = Filter(sharper if direction == DIRECTIONS[0] else random, across, 1 - across)
        for moment in descend(loss, theta, params.lr, lam, params.steps_filter, params.refresh, kept):
            if moment.step > (1 - TAIL) * params.steps_filter and len(values) % gap == 0:
                steps.append(output_step(network, moment.theta, moment.before, probes))
        sharp.append(torch.stack(values[::gap]).reshape(-1, 2, count).transpose(0, 1))
        moved.append(torch.stack(steps).mean(0).reshape(2, count))
    whole = mlp.sharpness[mlp.steps <= params.steps_filter, row, :count]
    return Filtered(
        steps=np.arange(sharp[0].shape[1]) * gap * params.refresh,
        sharpness=torch.stack(sharp).cpu().double().numpy() * params.lr / 2,
        whole_steps=mlp.steps[mlp.steps <= params.steps_filter],
        whole=whole * params.lr / 2,
        cosine=cosine,
        output_step=torch.stack(moved).cpu().double().numpy(),
    )


@dataclass(frozen=True)
class Map:
    """The reduced model for decays around the critical one."""

    model: ReducedModel
    """Its constants."""
    ratio: np.ndarray
    """Decay over the critical decay, ``(L,)``."""
    x: np.ndarray
    """Displacements of some decays at the start, ``(T, L)``."""
    y: np.ndarray
    """Sharpness above the edge there, ``(T, L)``."""
    energy: np.ndarray
    """Mean of x^2 over the second half of the run, with the alignment and without, ``(2, L)``."""
    plateau: np.ndarray
    """Mean sharpness there, ``(2, L)``."""
    swing: np.ndarray
    """Standard deviation of y there, ``(2, L)``."""


@experiment
def reduced(params: Parameters) -> Map:
    """Decay in the reduced model, and in the same model without alignment."""
    model = ReducedModel()
    ratio = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 1.2, 1.5, 2, 3])
    # A start of its own for each seed: the cycles, not their averages, depend on it.
    start = np.random.default_rng([params.seed, 4]).uniform(-0.25, -0.15)
    runs = [one.iterate(ratio * model.critical, ORBIT, y=start) for one in (model, replace(model, c=0.0))]
    later = ORBIT // 2
    x, y = (np.stack([run[k][later:] for run in runs]) for k in range(2))
    return Map(model, ratio, runs[0][0][:SHOWN], runs[0][1][:SHOWN], np.square(x).mean(1), 2 / model.lr + y.mean(1),
               y.std(1))  # fmt: skip


def _tail_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the tail of ``(T, S)``."""
    return values[-max(2, int(TAIL * len(values))) :].mean(0)
