"""Training at and below the edge of stability: sharpness, forces on it, and motion in function space."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from companion.analysis.curvature import Loss
from companion.chapters.weight_decay_stability.alignment import Tracker, forces
from companion.chapters.weight_decay_stability.descent import descend
from companion.chapters.weight_decay_stability.kernels import kernel_step, output_step
from companion.chapters.weight_decay_stability.networks import (
    CNN,
    MLP,
    Activation,
    LossName,
    Network,
    Normalized,
    mean_loss,
    start,
    typical_lengths,
)
from companion.chapters.weight_decay_stability.parameters import Parameters
from companion.chapters.weight_decay_stability.samples import CLASSES, SIDES, draw
from companion.results import experiment

TAIL = 0.4  # share of a run that is its plateau
FORCES = 4  # moments of the tail at which forces and motion in function space are measured
NORMALIZED = "normalized"


@dataclass(frozen=True)
class Edge:
    """Runs of one architecture for some decays and seeds, L x S of them."""

    lam: np.ndarray
    """Decays, increasing, the first of them zero, ``(L,)``."""
    lr: float
    """Step size."""
    steps: np.ndarray
    """Where the sharpness was measured, ``(T,)``."""
    sharpness: np.ndarray
    """``(T, L, S)``."""
    losses: np.ndarray
    """Before each step, ``(steps, L, S)``."""
    sharpening: np.ndarray
    """``alpha`` at moments of the tail, ``(F, L, S)``."""
    pull: np.ndarray
    """``theta . grad S`` across the top eigenvector there, ``(F, L, S)``."""
    alignment: np.ndarray
    """``theta . grad S`` there, ``(F, L, S)``."""
    cosine: np.ndarray
    """Cosine of the angle between theta and grad S there, ``(F, L, S)``."""
    sharp: np.ndarray
    """S there, ``(F, L, S)``."""
    output_step: np.ndarray
    """How far one step moves the outputs on probes, relative, ``(F, L, S)``."""
    kernel_step: np.ndarray
    """How far one step moves the tangent kernel, relative, of some seeds without decay and with the common one,
    ``(F, 2, s)``; s is zero where it was not measured."""
    common: float
    """The decay at which runs are compared."""

    @property
    def plateau(self) -> np.ndarray:
        """Mean of ``S lr / 2`` over the tail, ``(L, S)``; one is the edge of stability."""
        return self._tail.mean(0)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of the same, ``(L, S)``."""
        return self._tail.std(0)

    @property
    def oscillation(self) -> np.ndarray:
        """Mean of ``|L_{t+1} - L_t| / L_t`` over the tail, ``(L, S)``."""
        tail = self.losses[-max(2, int(TAIL * len(self.losses))) :]
        with np.errstate(all="ignore"):  # runs that have diverged
            return (np.abs(np.diff(tail, axis=0)) / tail[:-1]).mean(0)

    @property
    def critical(self) -> np.ndarray:
        """``alpha`` over the pull, means over the tail, ``(L, S)``: the decay that would balance sharpening."""
        with np.errstate(all="ignore"):
            return self.sharpening.mean(0) / self.pull.mean(0)

    @property
    def force(self) -> np.ndarray:
        """Progressive sharpening over the decay's pull, ``(L - 1, S)``, for all decays but zero."""
        return self.critical[1:] / self.lam[1:, None]

    @property
    def ratio(self) -> np.ndarray:
        """``theta . grad S / S`` at moments of the tail, ``(F, L, S)``."""
        with np.errstate(all="ignore"):  # the Hessian of a network that has died is zero
            return self.alignment / self.sharp

    def at(self, lam: float) -> int:
        """Row of a decay."""
        return int(np.flatnonzero(self.lam == lam)[0])

    @property
    def _tail(self) -> np.ndarray:
        return self.sharpness[-max(2, int(TAIL * len(self.sharpness))) :] * self.lr / 2


def architecture(name: str, params: Parameters, activation: Activation | None = None) -> Network:
    """The MLP or CNN of these parameters."""
    side = SIDES[params.dataset]
    if name == "CNN":
        return CNN(side, (params.channels, 2 * params.channels), CLASSES, activation or params.activation)
    hidden = (params.width,) * (params.depth - 1)
    return MLP((side * side, *hidden, CLASSES), activation or params.activation)


@experiment
def edge(params: Parameters, name: str) -> Edge:
    """Both architectures at one step size."""
    few = name == "CNN"
    return _trained(
        params,
        architecture(name, params),
        params.loss,
        params.lr,
        params.decays(params.lams_cnn if few else params.lams_mlp),
        params.n_seeds_few if few else params.n_seeds,
        params.steps_cnn if few else params.steps_mlp,
        common=params.lam,
        kernels=True,
    )


@dataclass(frozen=True)
class Plateaus:
    """The MLP at several step sizes, each for the same steps times step size, with and without decay."""

    lrs: np.ndarray
    """Step sizes, ``(K,)``."""
    lam: np.ndarray
    """No decay and the common one, ``(2,)``."""
    sharpness: np.ndarray
    """Mean over the tail, ``(K, 2, S)``."""


@experiment
def plateaus(params: Parameters) -> Plateaus:
    """Does the sharpness of the plateau depend on the step size?"""
    network, lams, lrs = architecture("MLP", params), [0.0, params.lam], sorted(set(params.lrs))
    means = []
    for lr in lrs:
        steps = max(100, round(params.time_lrs / lr))
        found = _trained(params, network, params.loss, lr, lams, params.n_seeds_few, steps, tail_only=True)
        means.append(found.plateau * 2 / lr)
    return Plateaus(np.array(lrs), np.array(lams), np.stack(means))


@dataclass(frozen=True)
class Sharpening:
    """Sharpness below the edge for several networks, decays and seeds."""

    names: tuple[str, ...]
    """Of the networks; the last is the one with normalized layers."""
    lam: np.ndarray
    """Decays, the first of them zero, ``(L,)``."""
    time: np.ndarray
    """Steps times step size at the measurements, ``(T,)``."""
    sharpness: np.ndarray
    """``(N, T, L, S)``."""
    ratio: np.ndarray
    """``theta . grad S / S`` at the end, ``(N, L, S)``."""

    def drops(self, names: tuple[str, ...]) -> np.ndarray:
        """By which share of S one decay's S falls short of the next smaller one's, at the end, ``(n, L - 1, S)``."""
        last = self.sharpness[[self.names.index(name) for name in names], -1]
        with np.errstate(all="ignore"):
            return 1 - last[:, 1:] / last[:, :-1]


@experiment
def sharpening(params: Parameters) -> Sharpening:
    """Progressive sharpening far below the edge, with and without decay."""
    mlp = architecture("MLP", params, "relu")
    deeper = MLP((mlp.sizes[0], *(params.width,) * 3, CLASSES))
    cases: dict[str, tuple[Network, LossName]] = {
        "MLP": (mlp, "mse"),
        "tanh": (architecture("MLP", params, "tanh"), "mse"),
        "GELU": (architecture("MLP", params, "gelu"), "mse"),
        "four layers": (deeper, "mse"),
        "cross-entropy": (mlp, "ce"),
        "CNN": (architecture("CNN", params, "relu"), "mse"),
    }
    cases = {name: case for name, case in cases.items() if name in params.below}
    cases[NORMALIZED] = Normalized(mlp, typical_lengths(mlp)), "mse"
    lams = sorted({0.0, *params.lams_below})
    steps = max(20, round(params.time_below / params.lr_below))
    runs = [
        _trained(
            params, network, loss, params.lr_below, lams, params.n_seeds_few, steps, every=max(5, steps // 5), looks=1
        )
        for network, loss in cases.values()
    ]
    return Sharpening(
        names=tuple(cases),
        lam=np.array(lams),
        time=runs[0].steps * params.lr_below,
        sharpness=np.stack([run.sharpness for run in runs]),
        ratio=np.stack([run.ratio[-1] for run in runs]),
    )


@experiment
def smooth(params: Parameters) -> Edge:
    """A GELU network, whose kernel has no kinks, at a large step size."""
    network = architecture("MLP", params, "gelu")
    lams = [0.0, params.lam_kernel]
    steps, lr = params.steps_kernel, params.lr_kernel
    return _trained(params, network, "mse", lr, lams, params.n_seeds_few, steps, tail_only=True, common=lams[1],
                    kernels=True)  # fmt: skip


def _trained(
    params: Parameters,
    network: Network,
    kind: LossName,
    lr: float,
    lams: list[float],
    seeds: int,
    steps: int,
    *,
    every: int | None = None,
    looks: int = FORCES,
    tail_only: bool = False,
    common: float | None = None,
    kernels: bool = False,
) -> Edge:
    """All decays and seeds in one batch.

    ``looks`` is how often forces are measured, in the tail; ``tail_only`` measures nothing before; ``common`` is the
    decay at which runs are compared, by default the last; ``kernels`` measures tangent kernels.
    """
    loss, theta, lam, probes = problem(network, params, kind, lams, seeds)
    track = Tracker(loss, random_like(theta, params), params.products)
    every = every or params.every
    marks = list(range(0, steps + 1, every))
    tail = marks[-max(2, int(TAIL * len(marks))) :]
    closer = set(np.array(tail)[np.linspace(len(tail) - 1, 0, looks).round().astype(int)].tolist())
    common = lams[-1] if common is None else common
    few = range(min(seeds, params.n_seeds_few)) if kernels else []
    chosen = [lams.index(one) * seeds + k for one in (0.0, common) for k in few]
    at, sharp, losses, found, turned = [], [], [], [], []
    if not tail_only:
        at, sharp = [0], [track(theta).value]
    for moment in descend(loss, theta, lr, lam, steps, every):
        losses.append(moment.losses)
        if tail_only and moment.step < tail[0]:
            continue
        top = track(moment.theta)
        at.append(moment.step)
        sharp.append(top.value)
        if moment.step in closer:
            now = forces(loss, moment.theta, top.vector)
            moved = output_step(network, moment.theta, moment.before, probes)
            found.append((now.sharpening, now.pull, now.alignment, now.cosine, top.value, moved))
            if chosen:
                turned.append(kernel_step(network, moment.theta[chosen], moment.before[chosen], probes[chosen]))

    def shaped(rows: Sequence[torch.Tensor], count: int = len(lams)) -> np.ndarray:
        stacked = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows]).cpu().double().numpy()
        return stacked.reshape(len(stacked), count, -1)

    return Edge(
        np.array(lams), lr, np.array(at), shaped(sharp), shaped(losses), *map(shaped, zip(*found, strict=True)),
        kernel_step=shaped(turned, 2) if chosen else np.empty((looks, 2, 0)), common=common,
    )  # fmt: skip


def problem(
    network: Network, params: Parameters, kind: LossName, lams: list[float], seeds: int
) -> tuple[Loss, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss, start, decays and probes of all runs: seeds vary fastest."""
    samples = draw(
        params.dataset, params.n_samples, params.label_noise, params.n_probes, params.seeds(seeds), params.device
    )
    row = torch.arange(seeds, device=params.device).repeat(len(lams))
    loss = mean_loss(network, network.prepare(samples.inputs)[row], samples.targets[row], kind)
    theta = start(network, params.generators(seeds)).to(params.device)[row]
    lam = torch.tensor(lams, dtype=theta.dtype, device=theta.device).repeat_interleave(seeds)[:, None]
    return loss, theta, lam, network.prepare(samples.probes)[row]


def random_like(theta: torch.Tensor, params: Parameters) -> torch.Tensor:
    """The same random vector for every run: where a search for eigenvectors starts."""
    generator = torch.Generator().manual_seed(params.child_seed(3))
    return torch.randn(theta.shape[1], generator=generator).to(theta).expand_as(theta)
