"""Networks near interpolation: multiplicative noise, and residuals that obey a linear recursion."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from companion.analysis.curvature import dense_hessian
from companion.chapters.local_pl_rates.networks import descend, draw_task, extremes, linearized, train
from companion.chapters.local_pl_rates.parameters import Parameters
from companion.results import experiment

START, GOAL = 1e-10, 1e-13  # of the loss: where the comparison begins, and what counts as the limit
FLOOR = 1e-24  # of the loss: where the comparison ends at the latest
NEAR = 1e-3  # of f - f*: from there on the noise is held to its bound
SHORTEST = 5  # steps of the comparison
FEW_WIDTH, MANY_SAMPLES = 2, 30  # of the networks that cannot interpolate
MOST_WEIGHTS = 200  # of a network whose Hessian is made
STEPS = ("1/L", "2/(μ + L)", "0.6/(μ + L)")


@dataclass(frozen=True)
class Noise:
    """The gradient noise of one sample along training."""

    #: what is left of the loss before every block of steps, f - f*, ``(blocks, R)``, NaN where it is not known
    gap: np.ndarray
    #: E |xi|^2 there, ``(blocks, R)``
    noise: np.ndarray
    #: the bound 2 max_i |grad r_i|^2 on their ratio at the end, ``(R,)``
    bound: np.ndarray


@dataclass(frozen=True)
class Networks:
    """Over-parameterized networks, each with its own data, and networks with too few weights."""

    #: loss where the comparison begins, and at the limit, ``(R,)``
    start: np.ndarray
    limit: np.ndarray
    #: condition number of the tangent kernel at the limit, ``(R,)``
    condition: np.ndarray
    #: eigenvalues of the Hessian, ascending, in units of the least of J J^T / N, at the limit and at the random start,
    #: ``(2, networks, P)``, and those of J J^T / N at the limit, ``(networks, N)``; fewer networks, none if too large
    hessian: np.ndarray
    kernel: np.ndarray
    #: over, under: noise of the over- and of the under-parameterized networks
    over: Noise
    under: Noise
    #: gd, gd_initial: log-decrease of the network over that of the linear recursion with the kernel at the limit, and
    #: with that at the random start, for STEPS, ``(3, R)``
    gd: np.ndarray
    gd_initial: np.ndarray
    #: batch sizes, ``(B,)``
    batches: np.ndarray
    #: sgd, sgd_initial: the same for SGD on the same samples, ``(B, R)``
    sgd: np.ndarray
    sgd_initial: np.ndarray
    #: losses of the first network under the first step of STEPS and under SGD with the first batch size: the network,
    #: the recursion at the limit, the one at the random start, ``(2, 3, steps)``
    curves: np.ndarray


@experiment
def networks(params: Parameters) -> Networks:
    """Train, go on to the limit, and compare from where the loss is small."""
    shape = params.d_in, params.init_scale, params.target_scale, params.device
    task, initial = draw_task(params.rng(11), params.n_nets, params.n_samples, params.width, *shape)
    few, few_initial = draw_task(params.rng(12), params.n_nets, MANY_SAMPLES, FEW_WIDTH, *shape)
    trained = train(task, initial, params.train_steps, START)
    ended = train(task, trained.theta, params.train_steps, GOAL)
    stuck = train(few, few_initial, min(params.train_steps, 6000), 0.0)

    kernel, kernel_initial = task.kernel(ended.theta), task.kernel(initial)
    mu, L = extremes(kernel / task.samples)
    r = task.residuals(trained.theta)
    steps = params.net_steps
    # gradient descent at all step sizes: a copy of every network for each
    lr = torch.cat([1 / L, 2 / (mu + L), 0.6 / (mu + L)])
    copies = replace(task, inputs=task.inputs.repeat(3, 1, 1), targets=task.targets.repeat(3, 1))
    _, losses = descend(copies, trained.theta.repeat(3, 1), lr, steps)
    linear, linear_initial = (
        linearized(K.repeat(3, 1, 1), r.repeat(3, 1), lr, steps) for K in (kernel, kernel_initial)
    )
    gd = [_ratio(losses, one).reshape(3, -1) for one in (linear, linear_initial)]

    rng, found, curves = params.rng(13), [], [(losses, linear, linear_initial)]
    for batch in params.batches:
        chosen = torch.tensor(rng.integers(task.samples, size=(steps, params.n_nets, batch)), device=params.device)
        rate = batch_step(kernel, batch)
        _, losses = descend(task, trained.theta, rate, steps, chosen)
        both = [linearized(K, r, rate, steps, chosen) for K in (kernel, kernel_initial)]
        found.append([_ratio(losses, one) for one in both])
        curves.append((losses, *both))
    found = np.array(found)

    weights = initial.shape[1]
    shown = slice(min(4, params.n_nets) if weights <= MOST_WEIGHTS else 0)
    part = replace(task, inputs=task.inputs[shown], targets=task.targets[shown])
    spectra = [
        torch.linalg.eigvalsh(dense_hessian(part.loss, theta[shown])) / mu[shown, None]
        if weights <= MOST_WEIGHTS
        else theta[shown]
        for theta in (ended.theta, initial)
    ]
    values = np.concatenate([trained.values, ended.values[1:]])
    noise = np.concatenate([trained.noise, ended.noise[1:]])
    return Networks(
        start=trained.values[-1],
        limit=ended.values[-1],
        condition=(L / mu).cpu().numpy(),
        hessian=torch.stack(spectra).cpu().numpy(),
        kernel=(torch.linalg.eigvalsh(kernel / task.samples) / mu[:, None])[shown].cpu().numpy(),
        over=Noise(values, noise, _bound(kernel)),
        under=Noise(_left(stuck.values), stuck.noise, _bound(few.kernel(stuck.theta))),
        gd=gd[0],
        gd_initial=gd[1],
        batches=np.array(params.batches),
        sgd=found[:, 0],
        sgd_initial=found[:, 1],
        curves=np.stack([[one[:, 0].cpu().numpy() for one in three] for three in curves[:2]]),
    )


def batch_step(kernel: torch.Tensor, batch: int) -> torch.Tensor:
    """``B / max_i K_ii``, but no more than ``1 / L`` of the whole sample: ``(R,)``."""
    single = 1 / kernel.diagonal(dim1=-2, dim2=-1).amax(-1)
    return torch.minimum(batch * single, kernel.shape[-1] / extremes(kernel)[1])


def _bound(kernel: torch.Tensor) -> np.ndarray:
    return 2 * kernel.diagonal(dim1=-2, dim2=-1).amax(-1).cpu().numpy()


def _left(values: np.ndarray) -> np.ndarray:
    """Losses above the last, which stands for f*; not known where little is left."""
    left = values - values[-1]
    return np.where(left > 1e-4, left, np.nan)


def _ratio(losses: torch.Tensor, linear: torch.Tensor) -> np.ndarray:
    """Log-decrease of the losses over that of the linear recursion, from a quarter of the window to its end.

    The window ends where either is below FLOOR, where rounding begins to count.
    """
    alive = (torch.minimum(losses, linear) > FLOOR).cumprod(0)
    last = (alive.sum(0) - 1).clamp_min(1)
    first = last // 4
    fall = [torch.log(one.gather(0, last[None])[0] / one.gather(0, first[None])[0]) for one in (losses, linear)]
    return torch.where((last - first) >= SHORTEST, fall[0] / fall[1], torch.nan).cpu().numpy()
