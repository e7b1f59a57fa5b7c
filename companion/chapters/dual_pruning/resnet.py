"""ResNet-18 for 32×32 images, and replicas of it behind the interface of the batched models."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from companion.models.batched import Batched


class _Block(torch.nn.Module):
    """Two 3×3 convolutions with batch normalization around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.first = torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm2d(outputs) for _ in range(2)])
        self.shortcut = torch.nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = torch.nn.Sequential(
                torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False), torch.nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(inner)) + self.shortcut(x))


class _Mean(torch.nn.Module):
    """Mean over the image plane; unlike adaptive pooling its gradient is deterministic on a GPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def resnet18(channels: int, classes: int, width: int = 64) -> torch.nn.Module:
    """ResNet-18 with a 3×3 stem and no initial pooling, as used for CIFAR."""
    layers: list[torch.nn.Module] = [
        torch.nn.Conv2d(channels, width, 3, 1, 1, bias=False),
        torch.nn.BatchNorm2d(width),
        torch.nn.ReLU(),
    ]
    inputs = width
    for stage in range(4):
        for block in range(2):
            outputs = width * 2**stage
            layers.append(_Block(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    return torch.nn.Sequential(*layers, _Mean(), torch.nn.Linear(inputs, classes))


class BatchedResNet18(Batched):
    """Independent ResNet-18s run one after another: each of them fills a GPU by itself.

    Parameters
    ----------
    channels, classes, replicas : sizes
    width : channels of the first stage
    generator : CPU generator from which the initial weights are seeded
    """

    def __init__(self, channels: int, classes: int, replicas: int, *, width: int = 64, generator: torch.Generator):
        super().__init__()
        self.replicas = replicas
        networks = []
        for _ in range(replicas):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
                networks.append(resnet18(channels, classes, width))
        self.networks = torch.nn.ModuleList(networks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``(R, b, classes)`` of images ``(R, b, channels, side, side)``."""
        return torch.stack([network(part) for network, part in zip(self.networks, x, strict=True)])

    def select(self, replicas: Sequence[int]) -> "BatchedResNet18":
        """A new batched model made of copies of the given replicas."""
        model = copy.copy(self)
        model._modules = {"networks": torch.nn.ModuleList(copy.deepcopy(self.networks[int(r)]) for r in replicas)}
        model.replicas = len(replicas)
        return model


def crop_and_flip(
    images: torch.Tensor, generator: torch.Generator, streams: Sequence[int] | None = None, margin: int = 4
) -> torch.Tensor:
    """Shift each image by up to ``margin`` pixels, zeros moving in, and mirror every second one at random.

    Parameters
    ----------
    images : ``(R, b, channels, side, side)``
    generator : CPU generator
    streams : replicas of the same number are treated alike; by default each has its own draws
    """
    replicas, batch, _, side, _ = images.shape
    chosen = torch.arange(replicas) if streams is None else torch.as_tensor(streams)
    draws = int(chosen.max()) + 1, batch
    top, left = torch.randint(2 * margin + 1, (2, *draws), generator=generator)
    mirror = torch.rand(draws, generator=generator) < 0.5
    top, left, mirror = (a[chosen].flatten()[:, None].to(images.device) for a in (top, left, mirror))
    padded = F.pad(images.flatten(0, 1), (margin,) * 4)
    steps = torch.arange(side, device=images.device)
    cols = left + torch.where(mirror, steps.flip(0), steps)
    rows = top + steps
    pick = torch.arange(len(padded), device=images.device)[:, None, None]
    seen = padded.permute(0, 2, 3, 1)[pick, rows[:, :, None], cols[:, None, :]]
    return seen.permute(0, 3, 1, 2).reshape(images.shape)
