"""Nonlinear networks on images: difficulty, depth, batch size and step size, where no closed form is known."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.progressive_sharpening import networks
from companion.chapters.progressive_sharpening.parameters import Parameters
from companion.chapters.progressive_sharpening.samples import drawn, flipped, reduced, two_classes
from companion.results import experiment

EDGE_STEPS = 2000  # at least, of the runs with a step too large
PRODUCTS = 25  # with the Hessian, for its largest eigenvalue


@dataclass(frozen=True)
class Images:
    """Nested data sets of the largest size, and their labels."""

    #: images in rows, ``(draws, N, d)``
    rows: np.ndarray
    #: the classes as ±1, ``(draws, N)``
    clean: np.ndarray
    #: the same with wrong signs, ``(draws, N)``
    noisy: np.ndarray


def _images(params: Parameters) -> Images:
    rng = params.rng(10)
    pool, classes = two_classes(params.dataset, params.mlp_classes, centre=True)
    chosen = drawn(rng, len(pool), max(params.mlp_samples), params.mlp_draws)
    clean = classes[chosen]
    return Images(pool[chosen], clean, flipped(clean, params.label_flip, rng.random(clean.shape)))


def _starts(params: Parameters, depth: int, size: int, images: Images) -> tuple[networks.Weights, torch.Tensor]:
    """A network for each data set, and the images in coordinates of their row space."""
    X, _, _ = reduced(images.rows[:, :size])
    sizes = (X.shape[-1], *[params.mlp_width] * (depth - 1), 1)
    start = networks.starts(params.mlp_draws, sizes, images.rows.shape[-1], params.generator(11, depth))
    return tuple(W.to(params.device) for W in start), torch.tensor(X, device=params.device)


@dataclass(frozen=True)
class Growth:
    """Sharpness after gradient descent with a small step, all at the same share of the loss."""

    #: ``("noisy", "clean")``
    labels: tuple[str, ...]
    #: depths D, ``(depths,)``
    depths: np.ndarray
    #: sizes N, ``(sizes,)``
    sizes: np.ndarray
    #: sharpness at the start, ``(depths, sizes, draws)``
    start: np.ndarray
    #: sharpness at the end, ``(labels, depths, sizes, draws)``
    sharpness: np.ndarray
    #: kernel difficulty at the start, ``(labels, depths, sizes, draws)``
    difficulty: np.ndarray
    #: sharpness at the end where the smallest noisy sets have small labels, ``(depths, draws)``
    small: np.ndarray
    #: largest eigenvalue of the whole Hessian at the end, noisy labels, largest size, ``(depths, draws)``
    hessian: np.ndarray
    #: whether all of these networks came down to the loss
    reached: bool


@experiment
def growth(params: Parameters) -> Growth:
    """Every depth and size, noisy and clean labels."""
    images, draws = _images(params), params.mlp_draws
    depths, sizes = sorted(set(params.mlp_depths)), sorted(set(params.mlp_samples))
    start, sharpness, difficulty = [], [], []
    small, hessian, reached = [], [], True
    for depth in depths:
        for size in sizes:
            weights, X = _starts(params, depth, size, images)
            labels = [images.noisy[:, :size], images.clean[:, :size]]
            if size == sizes[0]:
                labels.append(params.easy * labels[0])
            kinds = len(labels)
            y = torch.tensor(np.concatenate(labels), device=params.device)
            X, weights = X.repeat(kinds, 1, 1), tuple(W.repeat(kinds, 1, 1) for W in weights)
            lr = torch.full((len(y),), params.mlp_lr, device=params.device)
            target = params.mlp_loss * y.square().mean(-1) / 2
            trained = networks.train(weights, X, y, lr, target, params.mlp_steps, check=params.check)
            reached = reached and bool(trained.reached.all())
            ends = networks.kernel_sharpness(trained.weights, X).reshape(kinds, draws).cpu().numpy()
            start.append(networks.kernel_sharpness(weights, X)[:draws].cpu().numpy())
            sharpness.append(ends[:2])
            difficulty.append(networks.kernel_difficulty(weights, X, y).reshape(kinds, draws)[:2].cpu().numpy())
            if size == sizes[0]:
                small.append(ends[2])
            if size == sizes[-1]:
                noisy = tuple(W[:draws] for W in trained.weights)
                hessian.append(networks.hessian_sharpness(noisy, X[:draws], y[:draws], PRODUCTS).cpu().numpy())
    grid = (len(depths), len(sizes))
    return Growth(
        labels=("noisy", "clean"),
        depths=np.array(depths),
        sizes=np.array(sizes),
        start=np.array(start).reshape(*grid, draws),
        sharpness=np.moveaxis(np.array(sharpness).reshape(*grid, 2, draws), 2, 0),
        difficulty=np.moveaxis(np.array(difficulty).reshape(*grid, 2, draws), 2, 0),
        small=np.array(small),
        hessian=np.array(hessian),
        reached=reached,
    )


@dataclass(frozen=True)
class Noise:
    """One depth and size, noisy labels, trained with several batch and step sizes."""

    depth: int
    size: int
    #: the batch size between one and all
    batch: int
    #: step sizes, the larger first, ``(2,)``
    lr: np.ndarray
    #: sharpness at the end with the full batch and with single samples, ``(2, steps, draws)``
    sharpness: np.ndarray
    #: the same with the batch size between and the larger step, ``(draws,)``
    middle: np.ndarray
    #: steps between two entries of the following paths
    look: int
    #: step sizes of the runs at the edge, ``(draws,)``
    edge_lr: np.ndarray
    #: their sharpness, and that of gradient descent with the larger of the small steps, over time: ``(looks, draws)``,
    #: as it was at the end where a run has ended
    edge_path: np.ndarray
    small_path: np.ndarray
    #: whether all runs but those at the edge came down to the loss
    reached: bool


@experiment
def noise(params: Parameters) -> Noise:
    """From one start for each data set: all batch and step sizes, then gradient descent beyond the edge."""
    images, draws = _images(params), params.mlp_draws
    depths, size = sorted(set(params.mlp_depths)), max(params.mlp_samples)
    depth = depths[len(depths) // 2]
    weights, X = _starts(params, depth, size, images)
    y = torch.tensor(images.noisy, device=params.device)
    target, generator = params.mlp_loss * y.square().mean(-1) / 2, params.generator(12)
    look = params.check
    rates = np.array([params.mlp_lr, params.mlp_lr / 3])
    lr = torch.tensor(np.repeat(rates, draws), device=params.device)
    twice = tuple(W.repeat(2, 1, 1) for W in weights), X.repeat(2, 1, 1), y.repeat(2, 1)
    full = networks.train(*twice, lr, target.repeat(2), params.mlp_steps, watch=True, check=look)
    single = networks.train(*twice, lr, target.repeat(2), params.mlp_steps, 1, generator, check=look)
    middle = networks.train(
        weights, X, y, lr[:draws], target, params.mlp_steps, params.mlp_batch, generator, check=look
    )
    ends = [networks.kernel_sharpness(runs.weights, twice[1]).reshape(2, draws) for runs in (full, single)]
    sharpness = torch.stack(ends).cpu().numpy()
    edge_lr = torch.tensor(2 / (params.beyond * sharpness[0, 0]), device=params.device)
    # At the edge the sharpness swings while there is loss left, so these runs go on.
    steps = max(EDGE_STEPS, (len(full.path) - 1) * look // 3)
    beyond = networks.train(weights, X, y, edge_lr, torch.zeros_like(target), steps, watch=True, check=look)
    return Noise(
        depth=depth,
        size=size,
        batch=params.mlp_batch,
        lr=rates,
        sharpness=sharpness,
        middle=networks.kernel_sharpness(middle.weights, X).cpu().numpy(),
        look=look,
        edge_lr=edge_lr.cpu().numpy(),
        edge_path=beyond.path.cpu().numpy(),
        small_path=full.path[:, :draws].cpu().numpy(),
        reached=all(bool(runs.reached.all()) for runs in (full, single, middle)),
    )
