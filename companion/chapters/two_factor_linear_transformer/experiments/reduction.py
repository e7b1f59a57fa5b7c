"""The transformer itself, trained by autograd, beside the product map."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.two_factor_linear_transformer.attention import (
    LinearAttention,
    Prompts,
    Reduction,
    common_steepness,
    draw_prompts,
    reduce_batch,
    reduce_prompt,
    train,
)
from companion.chapters.two_factor_linear_transformer.parameters import Parameters
from companion.chapters.two_factor_linear_transformer.product_map import product_step
from companion.results import experiment

START = (0.5, 0.9)  # factors, inside every ellipse
STEPS = 10  # more would only show how chaos amplifies rounding
MU = (0.4, 0.9, 1.4, 1.9)
SIZES = (1, 2)  # prompts in a mini-batch, in turn


@dataclass(frozen=True)
class Trained:
    """Models trained by gradient descent, and the product map from the same start, for each run and MU."""

    #: factors of the models, ``(runs, MU, STEPS + 1, 2)``
    model: np.ndarray
    #: of the map
    map: np.ndarray
    #: by how much the part of W that should not move did, ``(runs, MU)``
    moved: np.ndarray


@dataclass(frozen=True)
class Transformer:
    """The runs of every kind."""

    one: Trained
    together: Trained
    scalar: Trained
    whitened: Trained
    unwhitened: Trained
    #: loss of ``scalar`` less its constant, over what the factors give, minus one: largest distance from zero
    floor: float


def _follow(model: LinearAttention, how: Reduction, batches: list[Prompts], lr: float, mu: list[float]) -> tuple:
    """Factors of the trained model and of the map with these steps, and how far the rest of W moved."""
    u, v = how.factors(model)
    rest, moved, found, expected = how.rest(model), 0.0, [], [(u, v)]
    for state in train(model, batches, lr):
        found.append(how.factors(state))
        moved = max(moved, float((how.rest(state) - rest).abs().max()))
    for step in mu:
        expected.append(product_step(*expected[-1], step))
    return np.array(found), np.array(expected), moved


def _collect(runs: list[tuple], shape: tuple[int, ...]) -> Trained:
    model, of_map, moved = (np.array(values) for values in zip(*runs, strict=True))
    steps = model.shape[1:]
    return Trained(model.reshape(*shape, *steps), of_map.reshape(*shape, *steps), moved.reshape(shape))


@experiment
def transformer(params: Parameters) -> Transformer:
    """Gradient descent on one prompt, on all at once with a free W and with ``W = b I``, and on mini-batches."""
    rng = params.rng(1)
    n, shape = params.n_prompts, (params.context, params.dim)
    plain, white = (draw_prompts(rng, n, *shape, whitened=whitened, device=params.device) for whitened in (False, True))
    free = torch.tensor(rng.normal(size=(params.dim, params.dim)), device=params.device)
    free = free / free.norm()

    one, together = [], []
    for k in range(n):
        alone = plain[k : k + 1]
        how = reduce_prompt(alone)
        rest = free - (free * how.direction).sum() * how.direction
        for mu in MU:
            lr = mu / how.steepness
            one.append(_follow(how.model(*START, rest), how, [alone] * STEPS, lr, [mu] * STEPS))
    how = reduce_prompt(plain)
    steepest = max(reduce_prompt(plain[k : k + 1]).steepness for k in range(n))
    for mu in MU:
        lr = mu / steepest / 4  # far from where several prompts together would diverge
        batches = [plain] * STEPS
        together.append(_follow(how.model(*START, 0 * free), how, batches, lr, [lr * how.steepness] * STEPS))

    how = reduce_batch(plain)
    scalar = []
    for mu in MU:
        scalar.append(_follow(how.model(*START), how, [plain] * STEPS, mu / how.steepness, [mu] * STEPS))

    noisy = []
    for prompts, share in ((white, 1), (plain, 0.25)):  # large steps on batches that disagree would diverge
        chosen = [torch.tensor(rng.choice(n, size=SIZES[t % 2], replace=False)) for t in range(STEPS)]
        batches = [prompts[which.to(params.device)] for which in chosen]
        how = reduce_batch(prompts)
        steep = [common_steepness(batch, prompts) for batch in batches]
        most = max(*steep, *(reduce_batch(batch).steepness for batch in batches))
        for mu in MU:
            lr = share * mu / most
            noisy.append(_follow(how.model(*START), how, batches, lr, [lr * one_batch for one_batch in steep]))
    return Transformer(
        one=_collect(one, (n, len(MU))),
        together=_collect(together, (1, len(MU))),
        scalar=_collect(scalar, (1, len(MU))),
        whitened=_collect(noisy[: len(MU)], (1, len(MU))),
        unwhitened=_collect(noisy[len(MU) :], (1, len(MU))),
        floor=_floor(plain),
    )


def _floor(prompts: Prompts) -> float:
    """How far the loss with ``W = b I`` is from a square of ``u v - 1`` and a constant, relative."""
    how = reduce_batch(prompts)
    s, y = (prompts.summary * prompts.query).sum(1), prompts.target
    w = float((s * y).mean() / (s * s).mean())
    worst = 0.0
    for u, v in ((0.5, 0.9), (1.3, -0.4), (2.0, 1.5)):
        loss = float(((how.model(u, v)(prompts) - y) ** 2).mean().detach() / 2)
        expected = float((s * s).mean()) / 2 * (w * (u * v - 1)) ** 2 + float(((y - w * s) ** 2).mean()) / 2
        worst = max(worst, abs(loss / expected - 1))
    return worst
