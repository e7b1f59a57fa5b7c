"""One loop for two array libraries: numpy on a CPU, faster for small arrays, and torch, in CUDA graphs on a GPU."""

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

CHUNK = 256  # steps whose inputs are in memory at once
LAUNCHES = 512  # sub-steps in one CUDA graph


def arrays(device: str) -> tuple[ModuleType, Any, Any]:
    """The array library for a device, and how arrays get there and come back."""
    if device == "cpu":
        return np, lambda a: np.array(a), lambda a: a.copy()
    import torch

    target = device.removeprefix("torch:")  # "torch:cpu" is torch without a GPU, for tests
    return torch, lambda a: torch.tensor(a, device=target), lambda a: a.cpu().numpy().copy()


def march(
    step: Callable[..., tuple],
    state: Sequence[Any],
    keep: Sequence[int],
    inputs: Callable[[int, int], Sequence[Any]] = lambda first, last: (),
    substeps: int = 1,
) -> Iterator[tuple]:
    """Iterate ``step`` and yield the state after each number of steps in ``keep``.

    Parameters
    ----------
    step : ``(*state, *rows of inputs) -> state``; it writes to none of its arguments
    state : arrays of numpy or of torch
    keep : increasing
    inputs : ``(first, last) -> arrays`` of ``last - first`` rows, what steps ``first`` to ``last`` see
    substeps : how much work is in a step, to size the graphs on a GPU
    """
    advance = _plain if isinstance(state[0], np.ndarray) else _graphs(step, state, max(1, LAUNCHES // substeps))
    done = 0
    for end in keep:
        while done < end:
            last = min(end, done + CHUNK)
            state = advance(step, state, last - done, inputs(done, last))
            done = last
        yield tuple(state)


def _plain(step: Callable[..., tuple], state: Sequence[Any], steps: int, rows: Sequence[Any]) -> tuple:
    for t in range(steps):
        state = step(*state, *(x[t] for x in rows))
    return state


def _graphs(step: Callable[..., tuple], state: Sequence[Any], steps_per_graph: int) -> Callable[..., tuple]:
    from companion.models.stepping import Stepper

    stepper = Stepper(step, state, steps_per_graph=steps_per_graph)

    def advance(_: Callable, __: Sequence[Any], steps: int, rows: Sequence[Any]) -> tuple:
        stepper.run(steps, *rows)
        return stepper.state

    return advance
