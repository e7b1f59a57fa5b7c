"""Extension: tune a small network's head on a representation learned from answers of people who ignore the light."""

from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.individual_fairness_bradley_terry import fairness, learning
from companion.chapters.individual_fairness_bradley_terry.learning import numpy
from companion.chapters.individual_fairness_bradley_terry.model_tuning import (
    RANK,
    VEIL,
    WIDTH,
    class_directions,
    encode,
    pretrain,
    questions,
    veiled,
)
from companion.chapters.individual_fairness_bradley_terry.parameters import Parameters, random_numbers
from companion.data import load_dataset
from companion.results import experiment

HEADS = ("unconstrained", "Euclidean metric", "random metric", "learned metric", "light removed")
STEPS, BALL = 100, 1.0


@dataclass(frozen=True)
class Tuning:
    """Heads on a small network's embedding: the task, the light, and what the heads make of it."""

    #: as in ``HEADS``, ``(H,)``
    heads: tuple[str, ...]
    #: on images whose light says nothing about the label, ``(H, R)``
    accuracy: np.ndarray
    #: on images whose light agrees with the label as often as in the tuning data, ``(H, R)``
    biased: np.ndarray
    #: mean ``|f(bright) - f(dark)|`` of the same image, ``(H, R)``
    sensitivity: np.ndarray
    #: share of fresh questions that the learned metric and the Euclidean one answer as the annotators' own distances
    #: would without noise, ``(2, R)``
    answered: np.ndarray
    #: dark and bright pictures of one image, ``(2, 8, 8)``
    shown: np.ndarray
    #: probabilities of test images of the first replica: dark, bright, ``(H, 2, n)``
    scores: np.ndarray


@experiment
def tuning(params: Parameters) -> Tuning:
    """C7: a pretrained embedding, a task with a spurious cue, annotators who do not see the cue."""
    source = random_numbers(params, 9)
    data = load_dataset("digits", normalize="none", dtype="float64", flatten=True)
    train, test = (
        torch.from_numpy(part / data.x_train.max()).to(params.device) for part in (data.x_train, data.x_test)
    )
    label, test_label = (torch.from_numpy(y >= 5).to(params.device) for y in (data.y_train, data.y_test))
    replicas, dtype, device = params.tuning_replicas, train.dtype, train.device

    def lights(labels: torch.Tensor, agree: float) -> torch.Tensor:
        """Half of the range for each side, on the label's side with chance ``agree``."""
        same = torch.rand(replicas, len(labels), generator=source, dtype=dtype, device=device) < agree
        place = torch.rand(replicas, len(labels), generator=source, dtype=dtype, device=device)
        return VEIL * (place + (labels == same)) / 2

    weights = pretrain(train, replicas, source)
    z = encode(weights, veiled(train, lights(label, 0.5)))
    centre = z.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh((z - centre).mT @ (z - centre) / z.shape[1])
    whiten = vectors * values.rsqrt()[:, None] @ vectors.mT

    def represent(images: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
        return (encode(weights, veiled(images, light)) - centre) @ whiten

    # annotators judge the drawing itself: the directions that tell the ten classes apart, in clean images
    content = (train - train.mean(0)) @ class_directions(train, torch.from_numpy(data.y_train).to(device), RANK)
    z = represent(train, lights(label, 0.5))
    asked, _ = questions(z, content, params.tuning_triplets, params.label_flip, source)
    learned = learning.learn(asked, RANK, STEPS)
    fresh, clear = questions(z, content, 4000, 0.0, source)
    euclidean = (fresh.u * fresh.v).sum(-1)
    own = ((fresh.u @ learned) * (fresh.v @ learned)).sum(-1)
    answered = torch.stack([((guess > 0) == (clear > 0)).to(dtype).mean(-1) for guess in (own, euclidean)])

    # heads, tuned on images whose light gives the label away
    z = represent(train, lights(label, params.spurious))
    eye = torch.eye(WIDTH, dtype=dtype, device=device).expand(replicas, WIDTH, WIDTH)
    size = learned.square().sum((-2, -1), keepdim=True)
    random = torch.linalg.qr(torch.randn(replicas, WIDTH, RANK, generator=source, dtype=dtype, device=device)).Q
    bright, dark = (torch.full((replicas, len(test)), light, dtype=dtype, device=device) for light in (VEIL, 0.0))
    direction = (represent(train, VEIL * torch.ones_like(z[..., 0])) - represent(train, 0 * z[..., 0])).mean(1)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    removed = eye - direction[..., :, None] * direction[..., None, :]
    factors = [
        eye,
        eye * (size / WIDTH).sqrt(),
        random * (size / RANK).sqrt(),
        learned,
        removed * (size / (WIDTH - 1)).sqrt(),
    ]
    limit = torch.tensor([torch.inf] + [BALL] * 4, dtype=dtype, device=device)
    heads = fairness.fair_logistic(
        z,
        label.to(dtype).expand(replicas, -1),
        torch.stack([fairness.pad(factor, WIDTH) for factor in factors]),
        limit,
    )
    ends = torch.stack([heads.probabilities(represent(test, light)) for light in (dark, bright)])
    right = [
        ((heads.scores(represent(test, lights(test_label, agree))) > 0) == test_label[:, None]).to(dtype).mean(1)
        for agree in (0.5, params.spurious)
    ]
    return Tuning(
        heads=HEADS,
        accuracy=numpy(right[0].mT),
        biased=numpy(right[1].mT),
        sensitivity=numpy((ends[1] - ends[0]).abs().mean(1).mT),
        answered=numpy(answered),
        shown=numpy(torch.stack([veiled(test[0], light[0, 0]) for light in (dark, bright)]).reshape(2, 8, 8)),
        scores=numpy(ends[:, 0].permute(2, 0, 1)),
    )
