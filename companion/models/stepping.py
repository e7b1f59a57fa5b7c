"""Many small steps of one function of tensors: a plain loop on a CPU, CUDA graphs on a GPU.

A step of a few small kernels takes a GPU less time than Python takes to launch them. A CUDA graph is a recording of
launches, with the addresses that they read and write, that is launched as a whole. :class:`Stepper` records several
steps in one graph and replays it:

    state <- step(*state, *(x[t] for x in inputs)),      t = 0, 1, ..., steps - 1.

On any other device it is this loop and nothing else, so a CPU gives the numbers of the loop bit for bit; a GPU gives
those of the same kernels in the same order.

What a step may do, since a recording knows no Python:

- depend on its arguments and on tensors that do not change, never on numbers that Python changes from step to step:
  step sizes of a schedule, random numbers and orders are tensors with one row for each step, the ``inputs``;
- not write to its arguments or to anything else; return new tensors (or its arguments) of the same shapes and types;
- not look at values: no ``.item()``, ``.cpu()``, ``if tensor``, boolean masks as indices, ``nonzero``, nor what looks
  at them inside, such as ``torch.linalg.solve`` and ``svd``, which check that they succeeded; ``torch.where`` takes the
  place of branches;
- not create tensors from Python lists or numpy arrays on a GPU: ``torch.tensor(0.1, device="cuda")`` is a copy from the
  host. ``torch.zeros_like`` and Python numbers in formulas are fine;
- not draw random numbers.

Steps run without autograd. One that differentiates uses ``torch.func.grad`` or a ``torch.enable_grad()`` of its own.

>>> import torch
>>> def heavy_ball(w, before, lr):
...     return w - lr * w + 0.5 * (w - before), w
>>> w = torch.tensor([1.0, 2.0])
>>> rates = torch.full((4,), 0.25)
>>> (w, before), path = run_steps(heavy_ball, (w, w), 4, (rates,), record=lambda w, before: w.sum(), every=2)
>>> path.shape, bool(path[-1] == w.sum())
(torch.Size([2]), True)
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch

State = tuple[torch.Tensor, ...]
Kept = torch.Tensor | tuple[torch.Tensor, ...] | None

# Steps one by one before a recording: libraries set themselves up in their first calls, which a graph must not hold.
_WARM_UP = 3


class Stepper:
    """A state and the function that moves it; each :meth:`run` goes on from where the last one ended.

    Parameters
    ----------
    step : ``(*state, *rows of inputs) -> state``, within the limits above; one tensor where the state is one tensor
    state : tensors on one device; they are copied and never written to
    record : ``(*state) -> tensor or tuple of tensors``, under the same limits: what to keep
    every : after every so many steps
    steps_per_graph : steps in one graph; the last graph of a run, or one that ends where something is kept, may have
        fewer
    capture : ``False`` for a plain loop on a GPU too, e.g. to find out what a graph cannot record

    Raises
    ------
    TypeError
        If the state is not made of tensors.
    ValueError
        If tensors lie on several devices, or a count is not positive.

    Notes
    -----
    A length of graph is recorded when it comes the second time; the first time its steps are made one by one. So a
    short run costs no recording, and later runs of the same stepper use the graphs of earlier ones: where a loop ends
    by what it finds, or the inputs of all steps do not fit into memory, call ``run`` for some hundreds of steps a time.

    ``record`` is called once more at the start of each run, to learn the shapes of what it gives.
    """

    def __init__(
        self,
        step: Callable[..., State | torch.Tensor],
        state: Sequence[torch.Tensor],
        *,
        record: Callable[..., torch.Tensor | tuple[torch.Tensor, ...]] | None = None,
        every: int = 1,
        steps_per_graph: int = 32,
        capture: bool = True,
    ):
        if isinstance(state, torch.Tensor) or not state or not all(isinstance(part, torch.Tensor) for part in state):
            raise TypeError("state: got what is not a sequence of tensors")
        for name, count in (("every", every), ("steps_per_graph", steps_per_graph)):
            if not isinstance(count, int) or count < 1:
                raise ValueError(f"{name}: got {count!r}, allowed: an integer of at least 1")
        self._step, self._record, self._every, self._steps_per_graph = step, record, every, steps_per_graph
        self.device = state[0].device
        _check_device("state", state, self.device)
        self._state: State = tuple(part.detach().clone() for part in state)
        self._checked = self._one_kept = False
        self._graphs = _Graphs(self.device) if capture and self.device.type == "cuda" else None
        self._rows: list[torch.Tensor] = []  # of inputs, at the addresses that the graphs read
        self._marks: list[torch.Tensor] = []  # what was kept, at the addresses that the graphs write

    @property
    def state(self) -> State:
        """Copies of the state's tensors."""
        return tuple(part.clone() for part in self._state)

    @torch.no_grad()
    def run(self, steps: int, *inputs: torch.Tensor) -> Kept:
        """Make ``steps`` steps.

        Parameters
        ----------
        steps : at least 0
        inputs : tensors of shape ``(steps, ...)`` on the state's device; step ``t`` of this run sees row ``t`` of each

        Returns
        -------
        What ``record`` gave after ``every``, ``2 every``, … steps of this run, shape ``(steps // every, ...)``; a tuple
        if it gives a tuple; ``None`` without ``record``.
        """
        if not isinstance(steps, int) or steps < 0:
            raise ValueError(f"steps: got {steps!r}, allowed: an integer of at least 0")
        _check_device("inputs", inputs, self.device)
        for x in inputs:
            if not x.ndim or len(x) != steps:
                raise ValueError(f"inputs: got shape {tuple(x.shape)}, allowed: ({steps}, ...), a row for each step")
        count, samples = steps // self._every, self._kept(self._state)
        kept = [torch.empty((count, *sample.shape), dtype=sample.dtype, device=self.device) for sample in samples]
        if self._graphs is None:
            self._state = self._advance(self._state, inputs, steps, 0, kept)
        else:
            self._replay(inputs, steps, kept)
        if self._record is None:
            return None
        return kept[0] if self._one_kept else tuple(kept)

    def _advance(
        self, state: State, inputs: Sequence[torch.Tensor], steps: int, done: int, kept: Sequence[torch.Tensor]
    ) -> State:
        """The loop: ``steps`` steps after ``done`` others, with what is to be kept written to the rows of ``kept``."""
        row = 0
        for t in range(steps):
            state = self._next(state, tuple(x[t] for x in inputs))
            if kept and (done + t + 1) % self._every == 0:
                for rows, value in zip(kept, self._kept(state), strict=True):
                    rows[row].copy_(value)
                row += 1
        return state

    def _next(self, state: State, row: State) -> State:
        if self._checked:
            result = self._step(*state, *row)
            return (result,) if isinstance(result, torch.Tensor) else tuple(result)
        arguments = (*state, *row)
        versions = _versions(arguments)
        result = self._step(*arguments)
        result = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        _check_step(state, result)
        if versions != _versions(arguments):
            raise ValueError("step: writes to its arguments, allowed: new tensors only")
        self._checked = True
        return result

    def _kept(self, state: State) -> State:
        if self._record is None:
            return ()
        values = self._record(*state)
        self._one_kept = isinstance(values, torch.Tensor)
        return (values,) if self._one_kept else tuple(values)

    def _replay(self, inputs: Sequence[torch.Tensor], steps: int, kept: Sequence[torch.Tensor]) -> None:
        """The loop in pieces of a few lengths, each a graph that moves the state where it lies."""
        most = self._steps_per_graph
        if self._every <= most:
            most -= most % self._every  # whole periods, so that all pieces keep at the same places
        if [(x.shape[1:], x.dtype) for x in inputs] != [(x.shape[1:], x.dtype) for x in self._rows]:
            self._rows = [torch.empty((most, *x.shape[1:]), dtype=x.dtype, device=self.device) for x in inputs]
            self._graphs.forget()
        if not self._marks:
            count = max(1, most // self._every)
            self._marks = [torch.empty((count, *k.shape[1:]), dtype=k.dtype, device=k.device) for k in kept]
        done = row = 0
        while done < steps:
            to_mark = self._every - done % self._every
            length = min(most, steps - done, to_mark if self._every > most else most)
            for rows, x in zip(self._rows, inputs, strict=True):
                rows[:length].copy_(x[done : done + length])
            # Pieces of one length that keep at the same places are the same work, wherever in the run they are.
            self._graphs.run((length, to_mark if to_mark <= length else 0), partial(self._move, length, done))
            marks = (done + length) // self._every - done // self._every
            for target, source in zip(kept, self._marks, strict=True):
                target[row : row + marks].copy_(source[:marks])
            done, row = done + length, row + marks

    def _move(self, length: int, done: int) -> None:
        """``length`` steps from the state's tensors back into them."""
        state = self._advance(self._state, self._rows, length, done, self._marks)
        places = {part.untyped_storage().data_ptr() for part in self._state}
        # A step may return its arguments in other places (momentum keeps the last iterate): copy before writing there.
        ready = [part.clone() if part.untyped_storage().data_ptr() in places else part for part in state]
        for place, part in zip(self._state, ready, strict=True):
            place.copy_(part)


def run_steps(
    step: Callable[..., State | torch.Tensor],
    state: Sequence[torch.Tensor],
    steps: int,
    inputs: Sequence[torch.Tensor] = (),
    *,
    record: Callable[..., torch.Tensor | tuple[torch.Tensor, ...]] | None = None,
    every: int = 1,
    steps_per_graph: int = 32,
    capture: bool = True,
) -> tuple[State, Kept]:
    """One run of a :class:`Stepper`.

    Parameters
    ----------
    step, state, record, every, steps_per_graph, capture : see :class:`Stepper`
    steps, inputs : see :meth:`Stepper.run`

    Returns
    -------
    state : after the last step
    kept : what ``record`` gave, rows ``(steps // every, ...)``, or ``None``
    """
    stepper = Stepper(step, state, record=record, every=every, steps_per_graph=steps_per_graph, capture=capture)
    kept = stepper.run(steps, *inputs)
    return stepper.state, kept


class _Graphs:
    """Recordings by key: what comes the first time is only run, what comes again is recorded once and then replayed."""

    def __init__(self, device: torch.device):
        self._device = device
        self._recordings: dict[object, Callable[[], None]] = {}
        self._runs: dict[object, int] = {}
        self._prepare()

    def _prepare(self) -> None:
        with torch.cuda.device(self._device):
            self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def forget(self) -> None:
        """Drop all recordings: addresses have changed."""
        self._recordings.clear()
        self._runs.clear()

    def run(self, key: tuple[int, int], body: Callable[[], None]) -> None:
        """Run the body, or its recording under this key, whose first entry is its number of steps."""
        if key not in self._recordings:
            if self._runs.get(key, 0) * key[0] < _WARM_UP:
                self._runs[key] = self._runs.get(key, 0) + 1
                self._run_beside(body)
                return
            self._recordings[key] = self._recorded(body)
        self._recordings[key]()

    def _run_beside(self, body: Callable[[], None]) -> None:
        """Run it now, on the stream that records later: what libraries keep for each stream is then in place."""
        with torch.cuda.device(self._device):
            here = torch.cuda.current_stream()
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                body()
            here.wait_stream(self._stream)

    def _recorded(self, body: Callable[[], None]) -> Callable[[], None]:
        """A function that replays the body; nothing is computed yet."""
        device, graph = self._device, torch.cuda.CUDAGraph()
        try:
            # The outer context puts the caller's stream back even where the end of a failed recording raises.
            with (
                torch.cuda.device(device),
                torch.cuda.stream(self._stream),
                torch.cuda.graph(graph, pool=self._pool, stream=self._stream),
            ):
                body()
        except RuntimeError as error:
            raise RuntimeError(
                "step: cannot be recorded as a CUDA graph; it looks at values, copies from the host or draws random "
                "numbers (see companion.models.stepping), or pass capture=False"
            ) from error

        def replay() -> None:
            with torch.cuda.device(device):
                graph.replay()

        return replay


def _check_device(name: str, tensors: Sequence[torch.Tensor], device: torch.device) -> None:
    for tensor in tensors:
        if tensor.device != device:
            raise ValueError(f"{name}: got a tensor on {tensor.device}, allowed: all on {device}")


def _versions(tensors: Sequence[torch.Tensor]) -> list[int]:
    """How often each was written to; tensors of inference mode do not count."""
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


def _check_step(state: State, result: State) -> None:
    if len(result) != len(state):
        raise ValueError(f"step: returned {len(result)} tensors for a state of {len(state)}")
    for k, (old, new) in enumerate(zip(state, result, strict=True)):
        if (new.shape, new.dtype, new.device) != (old.shape, old.dtype, old.device):
            got, wanted = ((tuple(t.shape), t.dtype, str(t.device)) for t in (new, old))
            raise ValueError(f"step: returned {got} for state[{k}], allowed: {wanted}")
