"""Networks without biases as functions of flat parameters, many runs at once.

The parameters of R runs are the rows of ``theta (R, P)``, see :mod:`companion.analysis.curvature`. Samples are the last
axis of all arrays inside, so that a layer is one batched product of matrices.

Without biases a network with D layers and ReLU is *positively homogeneous* of degree D: ``f(c theta) = c^D f(theta)``
for c > 0. A *normalized* network sees only the direction of each layer's weights and has degree 0.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F

from companion.analysis.curvature import Loss, split

Activation = Literal["relu", "gelu", "tanh"]
LossName = Literal["mse", "ce"]

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
}

GAIN = 2.0  # variance of an initial weight times its fan-in


class Network(Protocol):
    """Layers of given shapes, and a function of them."""

    shapes: list[tuple[int, int]]
    """A matrix for each layer; of a convolution, a row for each pair of channels."""
    fan_in: list[int]
    """Inputs to one unit of each layer."""

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs ``(R, d, n)`` in the form that :meth:`outputs` takes; needed once for each set of inputs."""

    def outputs(self, layers: Sequence[torch.Tensor], prepared: torch.Tensor) -> torch.Tensor:
        """Outputs ``(R, classes, n)`` of layers ``(R, *shape)``."""


@dataclass(frozen=True)
class MLP:
    """Fully connected layers: ``W_D phi(W_{D-1} ... phi(W_1 x))``.

    Attributes
    ----------
    sizes : widths from the inputs to the classes
    activation : ``phi``, between the layers
    """

    sizes: tuple[int, ...]
    activation: Activation = "relu"

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """A matrix for each layer."""
        return [(after, before) for before, after in itertools.pairwise(self.sizes)]

    @property
    def fan_in(self) -> list[int]:
        """Inputs to one unit of each layer."""
        return list(self.sizes[:-1])

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """The inputs as they are."""
        return x

    def outputs(self, layers: Sequence[torch.Tensor], prepared: torch.Tensor) -> torch.Tensor:
        """Outputs ``(R, classes, n)``."""
        phi = ACTIVATIONS[self.activation]
        hidden = prepared
        for weight in layers[:-1]:
            hidden = phi(weight @ hidden)
        return layers[-1] @ hidden


@dataclass(frozen=True)
class CNN:
    """Two 3×3 convolutions, each followed by the activation and 2×2 mean pooling, and a linear layer: three layers.

    A convolution is a product of matrices here: the first with the patches of the images, which are cut once; the
    second, whose inputs change, as the matrix from all its inputs to all its outputs, whose entries are those of the
    kernel. On images this small that is faster than a library's convolution, and it differentiates as often as one
    likes.

    Attributes
    ----------
    side : height and width of the images, a multiple of 4
    channels : widths of the two convolutions
    classes : number of outputs
    activation : after each convolution
    """

    side: int
    channels: tuple[int, int] = (4, 8)
    classes: int = 10
    activation: Activation = "relu"

    def __post_init__(self):
        if self.side % 4:
            raise ValueError(f"side: got {self.side}, allowed: a multiple of 4")

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Both kernels, with a row for each pair of channels (the second), and the linear layer."""
        first, second = self.channels
        return [(first, 9), (second * first, 9), (self.classes, self.fan_in[2])]

    @property
    def fan_in(self) -> list[int]:
        """Inputs to one unit of each layer."""
        first, second = self.channels
        return [9, 9 * first, second * (self.side // 4) ** 2]

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """Patches ``(R, 9, side * side * n)`` of images ``(R, side * side, n)``, places of a pooled block first."""
        runs, _, n = x.shape
        side, half = self.side, self.side // 2
        padded = F.pad(x.reshape(runs, side, side, n), (0, 0, 1, 1, 1, 1))
        patches = torch.stack(
            [padded[:, a : a + side, b : b + side] for a in range(3) for b in range(3)], dim=1
        )  # fmt: skip
        blocks = patches.reshape(runs, 9, half, 2, half, 2, n).permute(0, 1, 3, 5, 2, 4, 6)
        return blocks.reshape(runs, 9, -1).contiguous()

    def outputs(self, layers: Sequence[torch.Tensor], prepared: torch.Tensor) -> torch.Tensor:
        """Outputs ``(R, classes, n)``."""
        phi = ACTIVATIONS[self.activation]
        first, second = self.channels
        places, pooled = (self.side // 2) ** 2, (self.side // 4) ** 2
        hidden = phi(layers[0] @ prepared)
        runs, n = hidden.shape[0], hidden.shape[2] // (4 * places)
        hidden = hidden.view(runs, first, 4, places * n).mean(2).view(runs, first * places, n)
        wiring = _convolution(self.side // 2, hidden.dtype, hidden.device)
        kernel = (layers[1] @ wiring).view(runs, second, first, places, places)
        matrix = kernel.transpose(2, 3).reshape(runs, second * places, first * places)
        hidden = phi(matrix @ hidden).view(runs, second, 4, pooled * n).mean(2)
        return layers[2] @ hidden.view(runs, second * pooled, n)


@dataclass(frozen=True)
class Normalized:
    """Another network that sees only the direction of each layer's weights: ``W -> g W / ||W||``, g fixed.

    Scaling any layer changes nothing, as with normalization of the layers' outputs: degree 0.

    Attributes
    ----------
    network : the one whose layers are normalized
    gains : length ``g`` of each layer as the network sees it
    """

    network: Network
    gains: tuple[float, ...]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Those of the network."""
        return self.network.shapes

    @property
    def fan_in(self) -> list[int]:
        """Those of the network."""
        return self.network.fan_in

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """As the network does."""
        return self.network.prepare(x)

    def outputs(self, layers: Sequence[torch.Tensor], prepared: torch.Tensor) -> torch.Tensor:
        """Outputs of the network with normalized layers."""
        lengths = [layer.flatten(1).norm(dim=1)[:, None, None] for layer in layers]
        seen = [g * layer / length for g, layer, length in zip(self.gains, layers, lengths, strict=True)]
        return self.network.outputs(seen, prepared)


def typical_lengths(network: Network) -> tuple[float, ...]:
    """Root mean square of each layer's length at the start: what makes a normalized network start as the plain one."""
    return tuple(math.sqrt(GAIN * a * b / fan) for (a, b), fan in zip(network.shapes, network.fan_in, strict=True))


def start(network: Network, generators: Sequence[torch.Generator], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Initial parameters ``(R, P)``, a run for each generator: normal, of variance ``GAIN / fan_in``."""
    rows = [
        torch.cat(
            [
                torch.randn(math.prod(shape), generator=generator, dtype=torch.float64) * math.sqrt(GAIN / fan)
                for shape, fan in zip(network.shapes, network.fan_in, strict=True)
            ]
        )
        for generator in generators
    ]
    return torch.stack(rows).to(dtype)


def predict(network: Network, theta: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
    """Outputs ``(R, classes, n)`` of the networks with parameters ``theta (R, P)``."""
    return network.outputs(split(theta, network.shapes), prepared)


def mean_loss(network: Network, prepared: torch.Tensor, targets: torch.Tensor, kind: LossName = "mse") -> Loss:
    """The loss ``(R, P) -> (R,)`` on fixed data: the mean over samples, without any penalty.

    ``"mse"`` is ``|o - y|^2 / 2``, ``"ce"`` the cross-entropy.

    Parameters
    ----------
    network, prepared : see :class:`Network`
    targets : one-hot, ``(R, classes, n)``
    """

    def squared(theta: torch.Tensor) -> torch.Tensor:
        return 0.5 * (predict(network, theta, prepared) - targets).square().sum(1).mean(1)

    def cross_entropy(theta: torch.Tensor) -> torch.Tensor:
        return -(F.log_softmax(predict(network, theta, prepared), 1) * targets).sum(1).mean(1)

    return {"mse": squared, "ce": cross_entropy}[kind]


@functools.cache
def _convolution(side: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """``(9, side^2 * side^2)``: which output of a 3×3 convolution sees which input through which entry of the kernel.

    Outputs are listed by their place in a 2×2 block first, so that pooling is a mean over a leading axis.
    """
    pooled = side // 2
    wiring = torch.zeros(3, 3, side * side, side, side)
    for i in range(side):
        for j in range(side):
            output = (2 * (i % 2) + j % 2) * pooled**2 + (i // 2) * pooled + j // 2
            for a in range(3):
                for b in range(3):
                    if 0 <= i + a - 1 < side and 0 <= j + b - 1 < side:
                        wiring[a, b, output, i + a - 1, j + b - 1] = 1
    return wiring.view(9, -1).to(device, dtype)
