"""Low-rank adaptation of two small networks, and the spectra of what is learned.

A network is trained on one task, frozen, and adapted to another one by products ``B A`` of thin matrices that are
added to its weights. ``B`` starts at zero and ``A`` is normal with variance one over the width of its input.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from companion.analysis.spectra import product_singular_values
from companion.chapters.spectral_gradient_flow_lora.muon import Muon
from companion.data import load_dataset
from companion.data.text import decode, encode
from companion.models.batched import BatchedMLP
from companion.models.decoder import Decoder, next_symbol_loss

METHODS = ("Muon", "AdamW", "SGD")


def optimizer(method: str, factors: Sequence[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """One of :data:`METHODS`: Muon and SGD with momentum 0.95 and 0.9, AdamW as torch sets it; no weight decay."""
    if method == "Muon":
        return Muon(factors, lr=lr)
    if method == "AdamW":
        return torch.optim.AdamW(factors, lr=lr, weight_decay=0.0)
    return torch.optim.SGD(factors, lr=lr, momentum=0.9)


@dataclass(frozen=True)
class Adaptation:
    """One optimizer's run, of several replicas at once."""

    #: updates made at each look, ``(looks,)``
    steps: np.ndarray
    #: loss on fixed examples of the new task, ``(looks, replicas)``
    losses: np.ndarray
    #: singular values of ``B A``, largest first, ``(looks, replicas, layers, rank)``
    values: np.ndarray
    #: loss at which spectra are compared, ``(replicas,)``
    level: np.ndarray

    def arrivals(self) -> np.ndarray:
        """The first look at which each replica's loss is at most the level; -1 where there is none, ``(replicas,)``."""
        below = self.losses <= self.level
        return np.where(below.any(0), below.argmax(0), -1)

    def spectra(self) -> np.ndarray:
        """Singular values at the arrival, ``(replicas, layers, rank)``; NaN where there is none."""
        look = self.arrivals()
        found = self.values[look, np.arange(len(look))]
        return np.where((look >= 0)[:, None, None], found, np.nan)

    def growth(self) -> np.ndarray:
        """What singular values gain over the second half of the way to the arrival, as :meth:`spectra`."""
        look = self.arrivals()
        middle = np.searchsorted(self.steps, self.steps[look] / 2)
        return self.spectra() - self.values[middle, np.arange(len(look))]


def follow(
    factors: Sequence[tuple[torch.Tensor, torch.Tensor]],
    training_loss: Callable[[], torch.Tensor],
    evaluate: Callable[[], np.ndarray],
    rule: torch.optim.Optimizer,
    *,
    level: np.ndarray,
    steps: int,
    every: int,
) -> Adaptation:
    """Train until the losses of all replicas have fallen to their levels, looking every so many steps.

    Parameters
    ----------
    factors : pairs ``B``, ``A`` of each layer, ``(out, rank)`` and ``(rank, in)``, or with the replicas in front
    training_loss : draws a batch; a scalar
    evaluate : losses on fixed examples, ``(replicas,)``
    rule : optimizer of the factors
    level, steps, every : see :class:`Adaptation`; the most steps; steps between two looks
    """
    looks = [(0, evaluate(), _spectra(factors))]
    for step in range(1, steps + 1):
        rule.zero_grad()
        training_loss().backward()
        rule.step()
        if step % every == 0:
            looks.append((step, evaluate(), _spectra(factors)))
            if (looks[-1][1] <= level).all() or not np.isfinite(looks[-1][1]).all():
                break
    made, losses, values = (np.array(part) for part in zip(*looks, strict=True))
    return Adaptation(made, losses, values, level)


def _spectra(factors: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> np.ndarray:
    """Singular values of the products, ``(replicas, layers, rank)``."""
    pairs = [[factor.detach().double() for factor in pair] for pair in factors]
    values = torch.stack([product_singular_values(B, A) for B, A in pairs], dim=-2).cpu().numpy()
    return values if values.ndim == 3 else values[None]


# --- digits ------------------------------------------------------------------------------------------------------


def digit_tasks(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Handwritten digits, upright and turned by 90 degrees, ``(n, 64)`` each, and their labels ``(n,)``."""
    data = load_dataset("digits", seed=seed)
    turned = np.ascontiguousarray(np.rot90(data.x_train, axes=(1, 2)))
    images = (torch.from_numpy(x).flatten(1) for x in (data.x_train, turned))
    return (*images, torch.from_numpy(data.y_train))


class AdaptedMLP:
    """Replicas of a ReLU network whose first two weight matrices are changed by ``B A``.

    Parameters
    ----------
    base : the trained networks; frozen
    rank : of the products
    generator : of ``A``
    """

    def __init__(self, base: BatchedMLP, rank: int, generator: torch.Generator):
        self.base = base.requires_grad_(False)
        self.factors = []
        for weight in base.weights[:2]:
            replicas, out, fan_in = weight.shape
            A = torch.randn((replicas, rank, fan_in), generator=generator).to(weight.device) * fan_in**-0.5
            B = torch.zeros((replicas, out, rank), device=weight.device)
            self.factors.append((torch.nn.Parameter(B), torch.nn.Parameter(A)))

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of each replica, ``(R,)``, on ``(R, b, 64)`` with labels ``(R, b)``."""
        names = (f"weights.{k}" for k in range(2))
        changed = {
            name: weight + B @ A
            for name, weight, (B, A) in zip(names, self.base.weights[:2], self.factors, strict=True)
        }
        logits = torch.func.functional_call(self.base, changed, (x,))
        return F.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(1)


def train_digits(model: BatchedMLP, x: torch.Tensor, y: torch.Tensor, steps: int, generator: torch.Generator) -> None:
    """Adam, learning rate 0.002, batches of 64 of its own for every replica; in place."""
    rule = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        rows = torch.randint(len(x), (model.replicas, 64), generator=generator).to(x.device)
        loss = F.cross_entropy(model(x[rows]).transpose(1, 2), y[rows], reduction="none").mean(1).sum()
        rule.zero_grad()
        loss.backward()
        rule.step()


# --- text --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Texts:
    """Symbols of two texts, one to learn and one to adapt to."""

    home: torch.Tensor
    away: torch.Tensor
    #: what they are, in words
    names: tuple[str, str]


def texts(length: int) -> Texts:
    """The sources of Python's standard library, and the C++ headers that torch ships, ``length`` bytes of each at most.

    Where there are no headers, the second text is the first one with capitals and small letters exchanged.
    """
    data = load_dataset("text", split=False, normalize="none")
    home = data.x_train[:length]
    headers = sorted((Path(torch.__file__).parent / "include" / "ATen").rglob("*.h"))
    read, parts = 0, []
    for path in headers:
        parts.append(path.read_bytes())
        read += len(parts[-1])
        if read >= length:
            break
    name = "C++ headers of torch"
    away = encode(b"\n".join(parts)[:length])
    if len(away) < min(length, 100_000):
        name, away = f"{data.source}, capitals and small letters exchanged", encode(decode(home).swapcase().encode())
    return Texts(*(torch.from_numpy(x.astype(np.int64)) for x in (home, away)), names=(data.source, name))


def windows(text: torch.Tensor, count: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """``count`` pieces of ``length + 1`` successive symbols from random places, ``(count, length + 1)``."""
    starts = torch.randint(len(text) - length, (count, 1), generator=generator)
    return text[(starts + torch.arange(length + 1)).to(text.device)]


def train_language(
    model: Decoder, text: torch.Tensor, *, steps: int, batch: int, lr: float, generator: torch.Generator
) -> None:
    """AdamW without decay, cosine learning rate, gradients clipped to norm one; in place."""
    rule = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    for step in range(steps):
        for group in rule.param_groups:
            group["lr"] = lr * (1 + math.cos(math.pi * step / steps)) / 2
        loss = next_symbol_loss(model, windows(text, batch, model.context, generator))
        rule.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rule.step()
