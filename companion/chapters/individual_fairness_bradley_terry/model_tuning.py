"""Extension: tune a small network's head on a representation learned from answers of people who ignore the light."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from companion.chapters.individual_fairness_bradley_terry import fairness, learning
from companion.chapters.individual_fairness_bradley_terry.learning import numpy
from companion.chapters.individual_fairness_bradley_terry.setting import Parameters
from companion.chapters.individual_fairness_bradley_terry.triplets import (
    Triplets,
    answers,
    distinct_rows,
    generator,
    triplet_design,
)
from companion.data import load_dataset

HEADS = ("unconstrained", "Euclidean metric", "random metric", "learned metric", "light removed")
HIDDEN, WIDTH, PRETRAIN_STEPS, BATCH, LEARNING_RATE = 48, 12, 400, 128, 5e-3
VEIL = 0.5  # strongest light: a pixel p becomes p + a (1 - p) with a up to this
RANK, LOGIT_STD = 5, 3.0  # of the annotators' metric, and of their logits
STEPS, BALL = 100, 1.0


@dataclass(frozen=True)
class Tuning:
    """Heads on a small network's embedding: the task, the light, and what the heads make of it.

    Attributes
    ----------
    heads : as in ``HEADS``, ``(H,)``
    accuracy : on images whose light says nothing about the label, ``(H, R)``
    biased : on images whose light agrees with the label as often as in the tuning data, ``(H, R)``
    sensitivity : mean ``|f(bright) - f(dark)|`` of the same image, ``(H, R)``
    answered : share of fresh questions that the learned metric and the Euclidean one answer as the annotators' own
        distances would without noise, ``(2, R)``
    shown : bright and dark pictures of one image, ``(2, 8, 8)``
    scores : probabilities of test images of the first replica: dark, bright, ``(H, 2, n)``
    """

    heads: tuple[str, ...]
    accuracy: np.ndarray
    biased: np.ndarray
    sensitivity: np.ndarray
    answered: np.ndarray
    shown: np.ndarray
    scores: np.ndarray


def veiled(x: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """Images under a light: ``x + a (1 - x)``, ``light`` of shape ``(..., n)``."""
    return x + light[..., None] * (1 - x)


def pretrain(x: torch.Tensor, replicas: int, source: torch.Generator) -> list[torch.Tensor]:
    """Autoencoders 64-48-12-48-64 with tanh, trained on images under random light; weights and biases, batched."""
    sizes = (x.shape[1], HIDDEN, WIDTH, HIDDEN, x.shape[1])
    weights = []
    for a, b in itertools.pairwise(sizes):
        draw = torch.randn(replicas, a, b, generator=source, dtype=torch.float32, device=x.device)
        weights += [draw / a**0.5, torch.zeros(replicas, 1, b, dtype=torch.float32, device=x.device)]
    weights = [w.requires_grad_() for w in weights]
    adam, single = torch.optim.Adam(weights, lr=LEARNING_RATE), x.float()
    for _ in range(PRETRAIN_STEPS):
        rows = torch.randint(len(x), (replicas, BATCH), generator=source, device=x.device)
        light = VEIL * torch.rand(replicas, BATCH, generator=source, dtype=torch.float32, device=x.device)
        image = veiled(single[rows], light)
        hidden = torch.tanh(encode(weights, image) @ weights[4] + weights[5])
        error = (hidden @ weights[6] + weights[7] - image).square().mean((1, 2)).sum()
        adam.zero_grad()
        error.backward()
        adam.step()
    return [w.detach().to(x.dtype) for w in weights]


def encode(weights: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Embeddings ``(R, n, 12)`` of images ``(R, n, 64)`` or ``(n, 64)``."""
    return torch.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3]


def tuning(params: Parameters) -> Tuning:
    """C7: a pretrained embedding, a task with a spurious cue, annotators who do not see the cue."""
    source = generator(params.device, params.seed, 9)
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
    asked, _ = _questions(z, content, params.tuning_triplets, params.label_flip, source)
    learned = learning.learn(asked, RANK, STEPS)
    fresh, clear = _questions(z, content, 4000, 0.0, source)
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


def class_directions(x: torch.Tensor, y: torch.Tensor, rank: int) -> torch.Tensor:
    """The leading directions of the class means against the spread within classes, ``(64, rank)``."""
    means = torch.stack([x[y == k].mean(0) for k in range(10)])
    within = (x - means[y]).mT @ (x - means[y]) / len(x)
    within = within + 0.05 * within.diagonal().mean() * torch.eye(len(within), dtype=x.dtype, device=x.device)
    values, vectors = torch.linalg.eigh(within)
    whiten = vectors * values.rsqrt() @ vectors.mT
    centred = (means - means.mean(0)) @ whiten
    return whiten @ torch.linalg.svd(centred, full_matrices=False).Vh[:rank].mT


def _questions(
    z: torch.Tensor, content: torch.Tensor, m: int, flip: float, source: torch.Generator
) -> tuple[Triplets, torch.Tensor]:
    """Triplets of embeddings ``(R, n, k)``, answered by distances of content; and the logits, ``(R, m)``."""
    rows = distinct_rows(len(z), m, z.shape[1], source)
    i, j, k = content[rows].unbind(2)
    u, v = triplet_design(i, j, k)
    clear = (u * v).sum(-1)
    clear = clear * (LOGIT_STD / clear.std())
    chosen = torch.take_along_dim(z, rows.reshape(len(z), -1, 1), dim=1).unflatten(1, (m, 3))
    u, v = triplet_design(*chosen.unbind(2))
    return Triplets(u, v, answers(clear, flip, source)), clear
