"""Many small networks trained at once: replicas along a leading axis, one optimizer, one kernel call for all.

A batched model holds ``R`` independent replicas and maps ``(R, b, ...)`` inputs to ``(R, b, classes)`` logits. The loss
that is minimized is the *sum* over replicas of their mean cross-entropies, so every replica gets exactly its own
gradient.

>>> import torch
>>> generator = torch.Generator().manual_seed(0)
>>> seeds = BatchedMLP((4, 8, 3), replicas=2, generator=generator)
>>> seeds(torch.zeros(2, 5, 4)).shape
torch.Size([2, 5, 3])
>>> seeds.select([0, 0, 1]).replicas          # two methods that start from seed 0's weights, one from seed 1's
3
"""

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch.optim.sgd import sgd


class Batched(torch.nn.Module):
    """Base class: parameters have the replicas as their first axis.

    Attributes
    ----------
    replicas : number of independent networks, ``R``
    """

    replicas: int

    def select(self, replicas: Sequence[int]) -> "Batched":
        """A new batched model made of copies of the given replicas, in this order, repetition allowed."""
        chosen = torch.as_tensor(replicas, dtype=torch.long)
        model = copy.deepcopy(self)
        for parameter in model.parameters():
            parameter.data = parameter.data[chosen.to(parameter.device)].clone()
        model.replicas = len(chosen)
        return model


class BatchedMLP(Batched):
    """ReLU networks of the same widths: layer weights ``(R, out, in)``, biases ``(R, out, 1)``.

    Parameters
    ----------
    sizes : widths from the input to the number of classes, e.g. ``(784, 64, 10)``
    replicas : number of networks
    generator : CPU generator of the initial weights, normal with variance ``2 / fan_in``; biases start at zero
    """

    def __init__(self, sizes: Sequence[int], replicas: int, *, generator: torch.Generator):
        super().__init__()
        self.replicas = replicas
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(sizes):
            self.weights.append(_normal((replicas, fan_out, fan_in), fan_in, generator))
            self.biases.append(torch.nn.Parameter(torch.zeros(replicas, fan_out, 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``(R, b, classes)`` of inputs ``(R, b, ...)``; everything behind ``b`` is flattened."""
        # Samples go last inside: the softmax over few classes is then vectorized along the samples.
        x = x.flatten(2).transpose(1, 2)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, weight, x)
            if layer < last:
                x = torch.relu(x)
        return x.transpose(1, 2)


class GroupedCNN(Batched):
    """Two 3×3 convolutions, each with ReLU and 2×2 max-pooling, and a linear head.

    Replicas are groups of channels of one convolution.

    Parameters
    ----------
    image_shape : ``(channels, side, side)``
    classes, replicas : sizes
    channels : widths of the two convolutions
    generator : CPU generator of the initial weights, normal with variance ``2 / fan_in``; biases start at zero
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int,
        replicas: int,
        *,
        channels: tuple[int, int] = (8, 16),
        generator: torch.Generator,
    ):
        super().__init__()
        self.replicas = replicas
        self.image_shape = tuple(image_shape)
        inputs, side, _ = image_shape
        self.kernels, self.offsets = torch.nn.ParameterList(), torch.nn.ParameterList()
        for outputs in channels:
            self.kernels.append(_normal((replicas, outputs, inputs, 3, 3), 9 * inputs, generator))
            self.offsets.append(torch.nn.Parameter(torch.zeros(replicas, outputs)))
            inputs, side = outputs, side // 2
        features = inputs * side * side
        self.head = _normal((replicas, features, classes), features, generator)
        self.bias = torch.nn.Parameter(torch.zeros(replicas, 1, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``(R, b, classes)`` of images ``(R, b, ...)`` that reshape to ``image_shape``."""
        replicas, samples = x.shape[:2]
        x = x.reshape(replicas, samples, *self.image_shape).transpose(0, 1).flatten(1, 2)
        for kernel, offset in zip(self.kernels, self.offsets, strict=True):
            x = F.conv2d(x, kernel.flatten(0, 1), offset.flatten(), padding=1, groups=replicas)
            # The rectifier and a maximum commute, and fewer numbers are left to rectify behind it. A CPU looks for
            # maxima several times faster where channels are innermost.
            x = torch.relu(F.max_pool2d(x if x.is_cuda else x.contiguous(memory_format=torch.channels_last), 2))
        x = x.reshape(samples, replicas, -1).transpose(0, 1)
        return torch.baddbmm(self.bias, x, self.head)


@dataclass(frozen=True)
class Work:
    """What a training run did, in samples summed over replicas: forward-and-backward passes and forward-only passes."""

    trained: int
    evaluated: int = 0


def fit_many(
    model: torch.nn.Module,
    x: torch.Tensor,
    rows: torch.Tensor,
    labels: torch.Tensor,
    *,
    steps: int,
    batch: int,
    lr: float,
    generator: torch.Generator,
    horizon: int | None = None,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    streams: Sequence[int] | None = None,
    augment: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None,
    on_batch: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
    on_epoch: Callable[[int, torch.nn.Module], None] | None = None,
) -> Work:
    """Train every replica on its own rows of a shared pool: SGD with Nesterov momentum and a cosine learning rate.

    At step ``t`` the learning rate is ``lr * (1 + cos(pi * t / horizon)) / 2``. A horizon beyond ``steps`` is a run
    that is stopped early without squeezing its schedule.

    Parameters
    ----------
    model : maps ``(R, b, ...)`` to ``(R, b, classes)``; trained in place
    x : pool of inputs, shape ``(M, ...)``, on the model's device
    rows : which pool rows each replica trains on, shape ``(R, n)``
    labels : the label of each of these rows, shape ``(R, n)``
    steps, batch, lr : updates in all, samples in each (the last batch of an epoch may be smaller), initial learning
        rate
    generator : CPU generator of the orders in which samples are seen
    horizon : length of the cosine in steps, by default ``steps``
    streams : replicas with the same number see their positions in the same order (methods that are to be compared on
        one seed); by default each has its own
    augment : applied to each batch of inputs ``(R, b, ...)``
    on_batch : called with the epoch, the positions ``(R, b)`` and the detached logits ``(R, b, classes)``, before the
        update
    on_epoch : called with the number of the epoch that ended, from 0, and the model

    Returns
    -------
    The samples that were processed.
    """
    device = x.device
    rows, labels = rows.to(device), labels.to(device)
    replicas, n = rows.shape
    streams = torch.arange(replicas) if streams is None else torch.as_tensor(streams)
    horizon = horizon or steps
    params = list(model.parameters())
    velocities = [torch.zeros_like(p) for p in params]
    # What torch.optim.SGD calls; to make one imports a compiler, which takes a second.
    rule = partial(
        sgd,
        momentum=momentum,
        nesterov=momentum > 0,
        weight_decay=weight_decay,
        dampening=0,
        maximize=False,
        fused=True,
    )
    # On a GPU convolutions are to give the same bits at every run.
    exact = partial(torch.backends.cudnn.flags, enabled=True, benchmark=False, deterministic=True, allow_tf32=True)
    exactly = exact if x.is_cuda else nullcontext
    trained, step, epoch = 0, 0, 0
    model.train()
    while step < steps:
        order = torch.rand(int(streams.max()) + 1, n, generator=generator).argsort(1)[streams].to(device)
        batches = order.split(batch, dim=1)
        for positions in batches:
            inputs = x.index_select(0, rows.gather(1, positions).flatten()).view(*positions.shape, *x.shape[1:])
            logits = model(inputs if augment is None else augment(inputs, generator))
            loss = F.cross_entropy(logits.transpose(1, 2), labels.gather(1, positions), reduction="sum")
            if on_batch:
                on_batch(epoch, positions, logits.detach())
            with exactly():
                (loss / positions.shape[1]).backward()  # which lays gradients out in memory as parameters are
            gradients = [p.grad for p in params]
            model.zero_grad(set_to_none=True)
            rate = lr * (1 + math.cos(math.pi * step / horizon)) / 2
            with torch.no_grad():
                rule(params, gradients, velocities, lr=rate)
            trained += positions.numel()
            step += 1
            if step == steps:
                break
        complete = positions is batches[-1]
        if on_epoch and complete:
            on_epoch(epoch, model)
            model.train()
        epoch += 1
    return Work(trained)


@torch.no_grad()
def predict(model: torch.nn.Module, x: torch.Tensor, rows: torch.Tensor, chunk: int = 1024) -> torch.Tensor:
    """Logits ``(R, n, classes)`` of the pool rows ``(R, n)``, in evaluation mode.

    ``chunk`` samples of each replica are computed at a time.
    """
    model.eval()
    parts = [
        model(x.index_select(0, part.flatten()).view(*part.shape, *x.shape[1:])) for part in rows.split(chunk, dim=1)
    ]
    return torch.cat(parts, dim=1)


@torch.no_grad()
def accuracy(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, chunk: int = 1024) -> torch.Tensor:
    """Share of right answers of each replica, shape ``(R,)``, on common inputs ``(n, ...)`` with labels ``(n,)``."""
    model.eval()
    replicas = model.replicas
    right = torch.zeros(replicas, dtype=torch.float64, device=x.device)
    for inputs, targets in zip(x.split(chunk), y.split(chunk), strict=True):
        logits = model(inputs.expand(replicas, *inputs.shape))
        right += (logits.argmax(-1) == targets).sum(1)
    return right / len(x)


def _normal(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(shape, generator=generator) * math.sqrt(2 / fan_in))
