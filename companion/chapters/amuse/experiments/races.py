"""Races: every method on the same text and on the same images, looked at all along one run."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.amuse import networks
from companion.chapters.amuse.parameters import Parameters
from companion.chapters.amuse.training import RULES, Ensemble, Recipe, timetable, train
from companion.data import load_dataset
from companion.models import ensemble as language_models
from companion.models.ensemble import Shape
from companion.results import experiment

LOOKS = 16
LOOKED_AT = 64  # windows of text
SECOND = 0.99  # AdamW's average of squares on text
IMAGES_SECOND = 0.999
IMAGES_WARMUP = 0.05
TRAINING_SHARE = 0.9  # of the text
SCHEDULE_FREE = 0.9  # coefficient of Schedule-Free AdamW


@dataclass(frozen=True)
class Entrants:
    """Who ran."""

    #: method of each member, ``(M,)``
    names: tuple[str, ...]
    #: its learning rate, ``(M,)``
    lr: np.ndarray
    #: first coefficient and exponent; NaN where nothing is averaged, ``(M,)``
    beta1: np.ndarray
    rho: np.ndarray

    def of(self, name: str) -> list[int]:
        """Where the runs of a method are."""
        return [k for k, other in enumerate(self.names) if other == name]


def _entrants(recipes: list[Recipe]) -> Entrants:
    missing = [np.nan if r.beta1 is None else r.beta1 for r in recipes]
    rho = [np.nan if r.beta1 is None else r.rho for r in recipes]
    return Entrants(tuple(r.name for r in recipes), np.array([r.lr for r in recipes]), np.array(missing), np.array(rho))


@dataclass(frozen=True)
class Language:
    """Language models."""

    entrants: Entrants
    #: steps looked at, ``(n,)``
    t: np.ndarray
    #: loss on text that was held back, in nats, at the answer X, ``(n, M)``
    loss: np.ndarray
    #: the same at Z, at the end, ``(M,)``
    moving_loss: np.ndarray
    #: coefficient at the end, ``(M,)``
    last_beta: np.ndarray
    #: weights of one model
    numbers: int
    #: where the text is from
    source: str


def _language_recipes(params: Parameters) -> list[Recipe]:
    """The methods at their rates, then the coefficients that are compared, at the last rate of AMUSE."""
    recipes = [Recipe("Muon", "Muon", lr) for lr in params.muon_lrs]
    recipes += [Recipe("Muon, cosine", "Muon", lr, cosine=True) for lr in params.muon_lrs]
    recipes += [Recipe("AMUSE", "Muon", lr, params.beta1, params.rho) for lr in params.amuse_lrs]
    recipes += [Recipe("Schedule-Free AdamW", "Adam", lr, SCHEDULE_FREE) for lr in params.sf_lrs]
    recipes += [Recipe("AdamW", "Adam", lr, cosine=True) for lr in params.adamw_lrs]
    lr = params.amuse_lrs[-1]
    recipes += [Recipe("rising", "Muon", lr, start, params.rho) for start in params.starts]
    recipes += [Recipe("fixed", "Muon", lr, start) for start in params.starts]
    recipes += [Recipe("searched", "Muon", lr, beta) for beta in params.searched]
    return sorted(recipes, key=lambda recipe: RULES.index(recipe.rule))


@experiment
def language(params: Parameters) -> Language:
    """All members in one batch, from the same weights, on the same windows of text."""
    data = load_dataset("text", split=False, normalize="none")
    text = torch.from_numpy(data.x_train[: params.text_bytes].astype(np.int64))
    cut = int(TRAINING_SHARE * len(text))
    shape = Shape(params.width, params.blocks, 4, params.context)
    held_back = language_models.spread(text[cut:], LOOKED_AT, shape.context).to(params.device)
    entered = _language_recipes(params)
    recipes, same = _distinct(entered)
    generator = params.torch_rng(40)
    start = language_models.initial(shape, len(recipes), generator)
    names = list(start)
    weights = [w.to(params.device) for w in start.values()]
    ensemble = Ensemble(recipes, [language_models.hidden(name) for name in names], params.momentum, SECOND)
    steps = params.language_steps
    table = timetable(recipes, steps, max(2, round(params.warmup * steps)), weights[0])

    def gradients(points: list[torch.Tensor], k: int) -> list[torch.Tensor]:
        windows = language_models.windows(text[:cut], params.batch, shape.context, generator)
        found = language_models.gradients(shape, dict(zip(names, points, strict=True)), windows.to(params.device))
        return list(found[1].values())

    def looked_at(tensors: tuple[torch.Tensor, ...]) -> np.ndarray:
        found = language_models.evaluate(shape, dict(zip(names, tensors, strict=True)), held_back)
        return found.double().cpu().numpy()[same]

    looks, marks = [], _marks(steps)
    for t, _, _, state in train(ensemble, weights, table, gradients):
        if t in marks:
            looks.append(looked_at(ensemble.answers(state)))
    return Language(
        _entrants(entered),
        np.array(marks),
        np.stack(looks),
        looked_at(ensemble.moving(state)),
        table.beta[-1].double().cpu().numpy()[same],
        shape.numbers,
        data.source,
    )


def _marks(steps: int) -> list[int]:
    return [round(steps * k / LOOKS) for k in range(1, LOOKS + 1)]


def _distinct(recipes: list[Recipe]) -> tuple[list[Recipe], list[int]]:
    """Recipes that differ in more than their names, and for each given one which of these it is."""
    kept: dict[tuple, int] = {}
    same = []
    for r in recipes:
        key = (r.rule, r.lr, r.beta1, r.rho, r.cosine)
        same.append(kept.setdefault(key, len(kept)))
    firsts = [same.index(k) for k in range(len(kept))]
    return [recipes[k] for k in firsts], same


@dataclass(frozen=True)
class Images:
    """Networks on images."""

    entrants: Entrants
    #: steps looked at, ``(n,)``
    t: np.ndarray
    #: accuracy and loss on test images at the answer X, ``(n, M, R)``
    accuracy: np.ndarray
    loss: np.ndarray
    #: pixels of an image as the networks see it
    pixels: int


def _image_recipes(params: Parameters) -> list[Recipe]:
    """Hidden matrices by Muon, the head by AdamW or its Schedule-Free twin, at half AdamW's first rate."""
    head = params.image_adamw_lrs[0] / 2
    given = {"other_lr": head}
    recipes = [Recipe("Muon", "Muon", lr, **given) for lr in params.image_muon_lrs]
    recipes += [Recipe("Muon, cosine", "Muon", lr, cosine=True, **given) for lr in params.image_muon_lrs]
    recipes += [
        Recipe("AMUSE", "Muon", lr, params.image_beta1, params.image_rho, **given) for lr in params.image_amuse_lrs
    ]
    recipes += [Recipe("Schedule-Free AdamW", "Adam", lr, SCHEDULE_FREE) for lr in params.image_sf_lrs]
    recipes += [Recipe("AdamW", "Adam", lr, cosine=True) for lr in params.image_adamw_lrs]
    return recipes


@experiment
def images(params: Parameters) -> Images:
    """All methods and networks in one batch, on the same images."""
    data = load_dataset(params.images, seed=0)
    inputs, tests = (_small(x).to(params.device) for x in (data.x_train, data.x_test))
    labels, answers = (torch.from_numpy(y).to(params.device) for y in (data.y_train, data.y_test))
    recipes, generator = _image_recipes(params), params.torch_rng(50)
    width, seeds = params.image_width, params.image_seeds
    start = networks.initial((inputs.shape[1], width, width, 10), seeds, len(recipes), generator)
    start = [w.to(params.device) for w in start]
    ensemble = Ensemble(recipes, [True, True, False], params.momentum, IMAGES_SECOND)
    steps = params.image_steps
    table = timetable(recipes, steps, max(2, round(IMAGES_WARMUP * steps)), start[0])

    def gradients(points: list[torch.Tensor], k: int) -> tuple[torch.Tensor, ...]:
        rows = torch.randint(len(inputs), (seeds, params.image_batch), generator=generator).to(params.device)
        return networks.gradients(points, inputs[rows], labels[rows])

    looks, marks = [], _marks(steps)
    for t, _, _, state in train(ensemble, start, table, gradients):
        if t in marks:
            looks.append(_tested(ensemble.answers(state), tests, answers))
    accuracy, loss = (torch.stack(part).double().cpu().numpy() for part in zip(*looks, strict=True))
    return Images(_entrants(recipes), np.array(marks), accuracy, loss, inputs.shape[1])


@torch.no_grad()
def _tested(weights: tuple[torch.Tensor, ...], tests: torch.Tensor, answers: torch.Tensor, at_once: int = 1000):
    """Accuracy and loss ``(M, R)`` on all test images."""
    right, loss = 0, 0
    for x, y in zip(tests.split(at_once), answers.split(at_once), strict=True):
        right = right + (networks.scores(weights, x[None]).argmax(-1) == y).float().sum(-1)
        loss = loss + networks.losses(weights, x[None], y[None]) * len(y)
    return right / len(tests), loss / len(tests)


def _small(images: np.ndarray) -> torch.Tensor:
    """Standardized rows of pixels; images of 14 x 14 are halved, for speed."""
    x = torch.from_numpy(images).float()
    if x.shape[-1] == 14:
        x = x.unflatten(1, (7, 2)).unflatten(3, (7, 2)).mean((2, 4))
    x = x.flatten(1)
    return (x - x.mean()) / x.std()
