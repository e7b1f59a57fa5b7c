"""A small network to be tuned: an autoencoder of digits under changing light, and people who judge the drawing."""

import itertools

import torch

from companion.chapters.individual_fairness_bradley_terry.triplets import (
    Triplets,
    answers,
    distinct_rows,
    triplet_design,
)

HIDDEN, WIDTH, PRETRAIN_STEPS, BATCH, LEARNING_RATE = 48, 12, 400, 128, 5e-3
VEIL = 0.5  # strongest light: a pixel p becomes p + a (1 - p) with a up to this
RANK, LOGIT_STD = 5, 3.0  # of the annotators' metric, and of their logits


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


def class_directions(x: torch.Tensor, y: torch.Tensor, rank: int) -> torch.Tensor:
    """The leading directions of the class means against the spread within classes, ``(64, rank)``."""
    means = torch.stack([x[y == k].mean(0) for k in range(10)])
    within = (x - means[y]).mT @ (x - means[y]) / len(x)
    within = within + 0.05 * within.diagonal().mean() * torch.eye(len(within), dtype=x.dtype, device=x.device)
    values, vectors = torch.linalg.eigh(within)
    whiten = vectors * values.rsqrt() @ vectors.mT
    centred = (means - means.mean(0)) @ whiten
    return whiten @ torch.linalg.svd(centred, full_matrices=False).Vh[:rank].mT


def questions(
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
