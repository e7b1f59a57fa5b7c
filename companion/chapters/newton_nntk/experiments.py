"""The experiments: parameters in, arrays out, batched over networks and regularizations."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.newton_nntk.dense import dense_hessian
from companion.chapters.newton_nntk.kernels import (
    frequency_amplitudes,
    limit_outputs,
    newton_kernel,
    spectrum,
    tangent_kernel,
)
from companion.chapters.newton_nntk.network import ACTIVATIONS, Network, circle, initial_weights, second_order_blocks
from companion.chapters.newton_nntk.newton import Training, newton_direction, train
from companion.chapters.newton_nntk.parameters import Parameters
from companion.results import experiment

GD_STEPS = {"GD": 1.0, "GD, large step": 1.9}  # times M over the kernel's largest eigenvalue; beyond 2 it diverges
LARGE = 10.0  # a regularization far above the kernel's eigenvalues
TOO_LARGE = 10.0  # times the regularization that a run has, in a limit that must not fit it


def _kernel_at_points(params: Parameters) -> np.ndarray:
    """The tangent kernel between all points, training points first, and the training points: ``(2 M, M)``."""
    everywhere = np.concatenate([params.angles, params.between])
    return tangent_kernel(everywhere, params.angles, params.s, params.s_b, params.activation)


def _largest(params: Parameters) -> float:
    """The largest eigenvalue of the tangent kernel on the training inputs."""
    return spectrum(_kernel_at_points(params)).max()


def _start(params, runs, width, rng, b=0.5, antisymmetric=True, repeats=1):
    """``runs`` networks of one width, the whole batch repeated for several methods; ``b`` may be given for each run."""
    c, w = initial_weights(runs, width, params.s, params.s_b, antisymmetric, rng)
    c, w = np.tile(c, (repeats, 1)), np.tile(w, (repeats, 1, 1))
    scale = np.broadcast_to(width ** -np.asarray(b, dtype=float), len(c)).copy()
    return Network(*(torch.tensor(a, device=params.device) for a in (c, w, scale)), ACTIVATIONS[params.activation])


def _fit(params, network, y, steps, eta, lam, curved=None) -> Training:
    """:func:`train` on the chapter's inputs, from arrays."""

    def tensor(values):
        values = np.broadcast_to(np.asarray(values, dtype=float), len(network.c)).copy()
        return torch.tensor(values, device=params.device)

    points = (torch.tensor(circle(a), device=params.device) for a in (params.angles, params.between))
    x, others = points
    labels = torch.tensor(np.broadcast_to(y, (len(network.c), params.M)).copy(), device=params.device)
    return train(
        network, x, labels, others, steps, tensor(eta),
        None if lam is None else tensor(lam), None if curved is None else tensor(curved),
    )  # fmt: skip


# --- the limit ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convergence:
    """Networks of growing width beside the limit equation."""

    #: widths N, ``(widths,)``
    widths: np.ndarray
    #: training and other angles, ``(2 M,)``
    angles: np.ndarray
    #: regularization, ``(2, widths)``: fixed, vanishing
    lam: np.ndarray
    #: largest distance over steps and points from the limit with this regularization, ``(2, widths, seeds)``
    error: np.ndarray
    #: the same from the limit with ten times the regularization, ``(2, widths, seeds)``
    error_wrong: np.ndarray
    #: gradient descent's distance from Newton's limit of the fixed regularization, ``(widths, seeds)``
    error_gd: np.ndarray
    #: least eigenvalue of the Newton kernel over all steps, ``(2, widths, seeds)``
    least: np.ndarray
    #: the same in the limit, ``(2, widths)``
    least_limit: np.ndarray
    #: outputs of one network of each width with the vanishing regularization, ``(widths, steps + 1, 2 M)``
    outputs: np.ndarray
    #: the limit of these, ``(widths, steps + 1, 2 M)``
    limit: np.ndarray


@experiment
def convergence(params: Parameters) -> Convergence:
    """Train networks of all widths with both regularizations and compare with the limit equation."""
    widths, seeds, M = np.array(params.widths), params.n_seeds, params.M
    K, y = _kernel_at_points(params), params.target(params.angles)
    lam = np.stack([np.full(len(widths), params.lam_fixed), params.lam0 * widths**-params.lam_decay])
    limit = limit_outputs(newton_kernel(K, M, lam), y, params.eta, params.steps)
    wrong = limit_outputs(newton_kernel(K, M, TOO_LARGE * lam), y, params.eta, params.steps)
    found = {name: [] for name in ("error", "error_wrong", "least")}
    error_gd, outputs = [], []
    for k, width in enumerate(widths):
        network = _start(params, seeds, width, params.rng(1, int(width)), repeats=2)
        done = _fit(params, network, y, params.steps, params.eta, np.repeat(lam[:, k], seeds))
        paths = done.outputs.reshape(2, seeds, *done.outputs.shape[1:])
        found["error"].append(np.abs(paths - limit[:, k, None]).max((-2, -1)))
        found["error_wrong"].append(np.abs(paths - wrong[:, k, None]).max((-2, -1)))
        found["least"].append(done.kernel.min((1, 2)).reshape(2, seeds))
        outputs.append(paths[1, 0])
        descent = _fit(params, network.chosen(slice(0, seeds)), y, params.steps, M / _largest(params), None)
        error_gd.append(np.abs(descent.outputs - limit[0, k]).max((-2, -1)))
    least = spectrum(K[:M]).min()
    return Convergence(
        widths=widths,
        angles=np.concatenate([params.angles, params.between]),
        lam=lam,
        error_gd=np.array(error_gd),
        least_limit=least / (least + M * lam),
        outputs=np.array(outputs),
        limit=limit[1],
        **{name: np.stack(values, axis=1) for name, values in found.items()},
    )


# --- speed --------------------------------------------------------------------------------------------------------

METHODS = ("Newton", "Newton, λ = 10", *GD_STEPS)


@dataclass(frozen=True)
class Speed:
    """One wide network trained to the end by four methods, frequency by frequency."""

    #: width N and its vanishing regularization
    width: int
    lam: float
    #: frequencies of the target, ``(frequencies,)``
    freqs: np.ndarray
    #: loss, ``(methods, steps + 1)``, methods as in METHODS
    loss: np.ndarray
    #: amplitude of the residual at each frequency over that at the start, ``(methods, steps + 1, frequencies)``
    left: np.ndarray
    #: the limit's: what a step leaves of each frequency, ``(methods, frequencies)``
    factor: np.ndarray
    #: what a step leaves of the slowest frequency in the target in the limit, ``(methods,)``
    slowest: np.ndarray
    #: the kernel's eigenvalue for each frequency, over M: ``(M/2 + 1,)``
    mu: np.ndarray
    #: steps of the comparison with the limit
    steps: int

    def rates(self) -> np.ndarray:
        """Minus log amplitude for each step, until it is below 0.05 or the comparison ends: ``(methods, frequencies)``.

        The fastest frequencies reach what the finite width leaves of them within a few steps.
        """
        left = self.left[:, : self.steps + 1]
        below = left < 0.05
        last = np.where(below.any(1), below.argmax(1), left.shape[1] - 1)
        reached = np.take_along_axis(left, last[:, None], axis=1)[:, 0]
        return -np.log(np.maximum(reached, np.finfo(float).tiny)) / last


@experiment
def speed(params: Parameters) -> Speed:
    """Newton's method with a small and with a large regularization, and gradient descent with two steps."""
    width, M = params.widths[-1], params.M
    K, y, freqs = _kernel_at_points(params), params.target(params.angles), np.array(params.target_freqs)
    mu, lam = spectrum(K[:M]) / M, params.lam0 * width**-params.lam_decay
    network = _start(params, 1, width, params.rng(2))
    outputs, factors = [], []
    for value in (lam, LARGE):
        outputs.append(_fit(params, network, y, params.long_steps, params.eta, value).outputs)
        factors.append(1 - params.eta * mu / (mu + value))
    for times in GD_STEPS.values():
        outputs.append(_fit(params, network, y, params.long_steps, times / mu.max(), None).outputs)
        factors.append(1 - times * mu / mu.max())
    residual = np.concatenate(outputs)[..., :M] - y
    amplitude, factors = frequency_amplitudes(residual)[..., freqs], np.stack(factors)[:, freqs]
    return Speed(
        width=width, lam=lam, freqs=freqs, loss=0.5 * (residual**2).mean(-1), left=amplitude / amplitude[:, :1],
        factor=factors, slowest=np.abs(factors).max(1), mu=mu, steps=min(params.steps, params.long_steps),
    )  # fmt: skip


# --- spectra ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spectra:
    """Eigenvalues of both kernels in the limit, in closed form."""

    #: numbers of training points, ``(sizes,)``
    M: np.ndarray
    #: mu_k / M for k = 0, ..., M/2, a row for each size, NaN beyond: ``(sizes, longest)``
    mu: np.ndarray
    #: regularizations for which the Newton kernel is drawn, ``(lams,)``
    lam: np.ndarray
    #: widths of the schedule lam0 N^-delta, ``(schedule,)``
    widths: np.ndarray
    #: least eigenvalue of the Newton kernel at these widths, for the chapter's M: ``(schedule,)``
    schedule: np.ndarray
    #: least eigenvalue at a fixed regularization, over M: ``(sizes,)``
    fixed: np.ndarray


@experiment
def spectra(params: Parameters) -> Spectra:
    """The kernels' spectra for growing numbers of frequencies, and for a vanishing regularization."""
    sizes = np.array([8, 16, 32, 64])
    mu = np.full((len(sizes), sizes[-1] // 2 + 1), np.nan)
    for row, M in enumerate(sizes):
        angles = 2 * np.pi * np.arange(M) / M
        mu[row, : M // 2 + 1] = spectrum(tangent_kernel(angles, angles, params.s, params.s_b, params.activation)) / M
    mu = np.where(np.isnan(mu), np.nan, np.maximum(mu, 1e-16))  # rounding
    widths = 10.0 ** np.arange(2, 13)
    own = (spectrum(_kernel_at_points(params)[: params.M]) / params.M).min()
    least = np.nanmin(mu, axis=1)
    lam = np.array([1.0, 0.1, 0.01, 0.001])
    return Spectra(
        M=sizes, mu=mu, lam=lam, widths=widths, schedule=own / (own + params.lam0 * widths**-params.lam_decay),
        fixed=least / (least + lam[2]),
    )  # fmt: skip


# --- how little to regularize --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regularization:
    """Which regularizations lam0 N^-delta keep the Hessian definite, and what happens beyond."""

    #: widths N, ``(widths,)``
    widths: np.ndarray
    #: decays delta, ``(decays,)``
    decays: np.ndarray
    #: least eigenvalue of the blocks B_i over the regularization, at the start: ``(decays, widths, seeds)``
    first: np.ndarray
    #: the same, least over all steps: ``(decays, widths, seeds)``
    least: np.ndarray
    #: distance from the limit with the full Hessian, ``(decays, widths, seeds)``
    error: np.ndarray
    #: distance with Gauss and Newton's matrix, ``(decays, widths, seeds)``
    error_gauss: np.ndarray


@experiment
def regularization(params: Parameters) -> Regularization:
    """The map over widths and decays, for the full Hessian and for Gauss and Newton's matrix."""
    decays, seeds, M = np.array(params.map_decays), params.map_seeds, params.M
    K, y = _kernel_at_points(params), params.target(params.angles)
    columns = []
    for width in params.map_widths:
        lam = params.lam0 * width**-decays
        limit = limit_outputs(newton_kernel(K, M, lam), y, params.eta, params.steps)
        network = _start(params, seeds, width, params.rng(3, width), repeats=2 * len(decays))
        curved = np.repeat([1.0, 0.0], seeds * len(decays))
        done = _fit(params, network, y, params.steps, params.eta, np.tile(np.repeat(lam, seeds), 2), curved)
        shape = (2, len(decays), seeds)
        error = np.abs(done.outputs.reshape(*shape, *done.outputs.shape[1:]) - limit[:, None]).max((-2, -1))
        ratio = done.least.reshape(*shape, -1)[0] / lam[:, None, None]
        columns.append((ratio[..., 0], ratio.min(-1), *error))
    first, least, error, gauss = (np.stack(values, axis=1) for values in zip(*columns, strict=True))
    return Regularization(np.array(params.map_widths), decays, first, least, error, gauss)


@dataclass(frozen=True)
class Definiteness:
    """Eigenvalues of the whole Hessian of a small network during training; columns: within the window, beyond."""

    #: width N
    width: int
    #: training points M
    M: int
    #: decays of the two runs, and their regularizations: ``(2,)``
    decays: np.ndarray
    lam: np.ndarray
    #: eigenvalues of the Hessian at each step, increasing: ``(2, steps, 4 N)``
    eigenvalues: np.ndarray
    #: least, and M-th after the least, eigenvalue of the blocks alone: ``(2, steps)``
    blocks_least: np.ndarray
    blocks_next: np.ndarray


@experiment
def definiteness(params: Parameters) -> Definiteness:
    """Follow the dense Hessian along a few steps of training."""
    width, M, steps = params.dense_width, params.M, 6
    decays = np.array([params.lam_decay, 0.8])
    lam = params.lam0 * width**-decays
    network = _start(params, 1, width, params.rng(4), repeats=2)
    device = params.device
    x = torch.tensor(circle(params.angles), device=device)
    y = torch.tensor(params.target(params.angles), device=device)
    whole, least, following = [], [], []
    for _ in range(steps):
        residual = network.outputs(x) - y
        u = network.w @ x.T
        B = second_order_blocks(network, u, x, residual)
        H, J = dense_hessian(network, u, x, B)
        whole.append(torch.linalg.eigvalsh(H).cpu().numpy())
        own = torch.linalg.eigvalsh(B).flatten(1).sort(dim=1).values
        least.append(own[:, 0].cpu().numpy())
        following.append(own[:, M].cpu().numpy())
        direction, _ = newton_direction(J, B, residual, torch.tensor(lam, device=device))
        network = network.moved(-params.eta * direction.clamp(-1e3, 1e3))
    return Definiteness(width, M, decays, lam, *(np.stack(values, axis=1) for values in (whole, least, following)))


# --- the scale of the output --------------------------------------------------------------------------------------

MEAN_FIELD = 1.0  # the exponent b at which weights move however wide the network is


@dataclass(frozen=True)
class Scales:
    """Other scales N^-b of the output, each with the regularization N^(1 - 2b)."""

    #: widths N, ``(widths,)``
    widths: np.ndarray
    #: exponents b; the last is MEAN_FIELD: ``(exponents,)``
    b: np.ndarray
    #: largest update of a unit in a step, root mean square over the seeds: ``(exponents, widths)``
    update: np.ndarray
    #: largest displacement of a unit at the end, likewise
    displacement: np.ndarray
    #: distance at the end between network and linearization, likewise
    nonlinearity: np.ndarray
    #: distance from the limit at b = 1/2 with independent units, whose start is not zero, and with paired ones
    error_independent: np.ndarray
    error_paired: np.ndarray


@experiment
def scales(params: Parameters) -> Scales:
    """Networks with other scales of the output, and one whose start is not zero."""
    b, seeds, widths = np.array([*params.exponents, MEAN_FIELD]), params.n_seeds, params.map_widths
    K, y = _kernel_at_points(params), params.target(params.angles)
    limit = limit_outputs(newton_kernel(K, params.M, 1.0), y, params.eta, params.steps)
    columns = []
    for width in widths:
        each = np.repeat(b, seeds)
        scaled = _fit(params, _start(params, seeds, width, params.rng(5, width), each, repeats=len(b)), y, params.steps,
                     params.eta, width ** (1 - 2 * each))  # fmt: skip
        half = [
            _fit(params, _start(params, seeds, width, params.rng(6, width), antisymmetric=paired), y, params.steps,
                params.eta, 1.0)
            for paired in (False, True)
        ]  # fmt: skip
        values = [scaled.update.max(1), scaled.displacement[:, -1], scaled.nonlinearity]
        rows = [np.sqrt((value.reshape(len(b), seeds) ** 2).mean(1)) for value in values]
        rows += [np.sqrt((np.abs(done.outputs - limit).max((1, 2)) ** 2).mean()) for done in half]
        columns.append(rows)
    return Scales(np.array(widths), b, *(np.stack(values, axis=-1) for values in zip(*columns, strict=True)))


# --- noise --------------------------------------------------------------------------------------------------------

TINY_LAMBDA = 1e-3  # far below the kernel's eigenvalues: all frequencies at one speed


@dataclass(frozen=True)
class Noise:
    """Distance in the limit from the true function between the training points; methods: Newton, gradient descent."""

    #: regularization of Newton's method
    lam: float
    #: cos(angle) with noise on the labels: root of the expected mean square over these points, ``(2, steps + 1)``
    noisy: np.ndarray
    #: cos(3 angle) without noise, likewise
    clean: np.ndarray


@experiment
def noise(params: Parameters) -> Noise:
    """A slow function with noisy labels, and a fast one without noise; the expectation over the noise is exact."""
    K, M = _kernel_at_points(params), params.M
    newton, descent = newton_kernel(K, M, TINY_LAMBDA), K / _largest(params)
    # The outputs are linear in the labels: the images of the unit vectors give the mean and the variance.
    images = np.stack([
        np.stack([limit_outputs(kernel, e, eta, params.steps)[:, M:] for e in np.eye(M)], axis=-1)
        for kernel, eta in ((newton, params.eta), (descent, 1.0))
    ])  # fmt: skip
    found = []
    for k, size in ((1, params.noise), (3, 0.0)):
        bias = images @ np.cos(k * params.angles) - np.cos(k * params.between)
        found.append(np.sqrt((bias**2).mean(-1) + size**2 * (images**2).sum(-1).mean(-1)))
    return Noise(TINY_LAMBDA, *found)


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    convergence: Convergence
    speed: Speed
    spectra: Spectra
    regularization: Regularization
    definiteness: Definiteness
    scales: Scales
    noise: Noise


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        convergence=convergence(params),
        speed=speed(params),
        spectra=spectra(params),
        regularization=regularization(params),
        definiteness=definiteness(params),
        scales=scales(params),
        noise=noise(params),
    )
