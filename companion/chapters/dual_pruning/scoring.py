"""Scoring runs: train on all data, note what the networks say of each sample, and count what that took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from companion.analysis import pruning
from companion.models import batched


@dataclass(frozen=True)
class Run:
    """What was seen of every sample in a scoring run, and what the run cost."""

    dynamics: pruning.TrainingDynamics  #: at each epoch that was run, arrays (T, S, N)
    operations: float  #: floating-point operations of matrix products and convolutions, for one network


def watch(
    network: batched.Batched,
    x: torch.Tensor,
    rows: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    horizon: int,
    lr: float,
    batch: int,
    record: str,
    generator: torch.Generator,
    streams: Sequence[int],
    augment: Callable | None = None,
) -> Run:
    """Train one network for each row of ``rows``, stop after ``epochs``, and keep the dynamics.

    The learning rate falls along a cosine over ``horizon`` epochs also when the run stops earlier: a cosine squeezed
    into the early epochs would be another training.

    Parameters
    ----------
    network : one replica for each row; trained in place
    x, rows, labels : pool ``(M, ...)``, which of it each network trains on ``(R, N)``, and the labels ``(R, N)``
    record : ``"eval"`` notes all samples after each epoch, ``"train"`` the training batches before each update
    streams : networks of the same number see their samples in the same order
    """
    rows, labels = torch.from_numpy(rows).to(x.device), torch.from_numpy(labels).to(x.device)
    recorder = pruning.Recorder(labels, epochs)
    everything = torch.arange(rows.shape[1], device=x.device).expand(rows.shape)
    forward, backward = operations_per_sample(network, x[:1])
    evaluated = 0

    def after_epoch(epoch: int, network: batched.Batched) -> None:
        nonlocal evaluated
        recorder.note(epoch, everything, batched.predict(network, x, rows))
        evaluated += rows.numel()

    work = batched.fit_many(
        network,
        x,
        rows,
        labels,
        steps=epochs * -(-rows.shape[1] // batch),
        horizon=horizon * -(-rows.shape[1] // batch),
        batch=batch,
        lr=lr,
        generator=generator,
        streams=streams,
        augment=augment,
        on_batch=recorder.note if record == "train" else None,
        on_epoch=after_epoch if record == "eval" else None,
    )
    operations = work.trained * (forward + backward) + evaluated * forward
    return Run(recorder.dynamics(), operations / len(rows))


def operations_per_sample(network: batched.Batched, x: torch.Tensor) -> tuple[float, float]:
    """Floating-point operations of one sample forward, and of its gradient backward, counted in a pass.

    Parameters
    ----------
    x : one sample of the pool, ``(1, ...)``
    """
    single = network.select([0])  # torch counts the backward pass of grouped convolutions once too often for a group
    inputs = x.expand(1, 2, *x.shape[1:])  # two, so that normalization over a batch has a spread
    with FlopCounterMode(display=False) as forward:
        logits = single(inputs)
    with FlopCounterMode(display=False) as backward:
        F.log_softmax(logits, -1).sum().backward()
    return forward.get_total_flops() / 2, backward.get_total_flops() / 2


def split(run: Run, parts: int) -> list[Run]:
    """A run of several scenarios side by side, as one run for each."""
    arrays = [np.split(array, parts, axis=1) for array in vars(run.dynamics).values()]
    return [Run(pruning.TrainingDynamics(*part), run.operations) for part in zip(*arrays, strict=True)]
