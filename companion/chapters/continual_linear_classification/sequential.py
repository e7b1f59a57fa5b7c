"""Gradient descent on a sequence of linear classification tasks, for a batch of sequences at once.

A batch holds B sequences. Sequence b has M tasks of n signed examples (labels absorbed, ``x`` stands for ``y x``); its
iterate is one row of ``w``. Whatever may differ between the sequences is an array over b: the data, the order of the
tasks, the budget of steps per task, the step size. So cyclic, random and permuted orders, unequal budgets and the run
that trains on one task alone are rows of one array, and one loop over steps serves them all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from companion.models.stepping import Stepper

GRAPH, CHUNK = 3000, 1000  # kernels in a graph, and cycles whose orders are sent to the device together

Stage = tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]
Orders = np.ndarray | Callable[[int], np.ndarray]


def log_spaced(first: int, last: int, count: int) -> np.ndarray:
    """Whole numbers from ``first`` to ``last``, evenly spaced on a logarithmic axis."""
    return np.unique(np.geomspace(min(first, last), last, count).round().astype(int))


def unequal(K: int, M: int) -> np.ndarray:
    """Budgets around K that differ by a factor of 4 from the first task to the last, ``(M,)``."""
    return np.maximum(1, np.round(K * 4.0 ** (np.arange(M) / (M - 1) - 0.5))).astype(int)


@dataclass(frozen=True)
class Run:
    """What a run leaves behind at the recorded cycles, all of it in double precision."""

    #: number of completed cycles at each record, ``(R,)``; a record made after J + 1 cycles describes cycle J
    cycles: np.ndarray
    #: iterate at the end of the cycle, ``(R, B, d)``
    w: np.ndarray
    #: joint loss of that iterate, ``(R, B)``
    loss: np.ndarray
    #: largest joint loss along the cycle's iterates, its start included, ``(R, B)``
    highest: np.ndarray
    #: loss of the task of each stage right after the stage, ``(R, B, S)``
    after: np.ndarray
    #: loss of the same task at the end of the cycle, ``(R, B, S)``
    end: np.ndarray
    #: the cycle's iterates one by one, its start first, ``(R, 1 + S K, B, d)``; ``None`` unless asked for
    path: np.ndarray | None = None

    @property
    def forgetting(self) -> np.ndarray:
        """Cycle-averaged forgetting: loss at the end of the cycle minus loss right after training, ``(R, B)``."""
        return (self.end - self.after).mean(-1)


def cyclic(B: int, M: int) -> np.ndarray:
    """The order 0, 1, …, M - 1 in every sequence, ``(B, M)``."""
    return np.tile(np.arange(M), (B, 1))


def random_order(B: int, M: int, seed: Sequence[int], draw_from: int | None = None) -> Callable[[int], np.ndarray]:
    """Independent uniform draws: a function from the cycle's number to its stages, ``(B, M)``.

    Parameters
    ----------
    seed : of the generator, which is used in the order of the cycles
    draw_from : draw among the first so many tasks only; all M by default
    """
    rng = np.random.default_rng(seed)
    block, drawn = np.empty((0, B, M), dtype=np.int64), 0

    def order(cycle: int) -> np.ndarray:
        nonlocal block, drawn
        if cycle - drawn >= len(block):
            drawn += len(block)
            block = rng.integers(0, draw_from or M, size=(256, B, M))
        return block[cycle - drawn]

    return order


def sequential_gd(
    tasks: np.ndarray,
    *,
    eta: float | np.ndarray,
    budget: int | np.ndarray,
    cycles: int,
    record: np.ndarray,
    order: Orders | None = None,
    present: np.ndarray | None = None,
    keep_path: bool = False,
    device: str = "cpu",
    graphs: bool | None = None,
) -> Run:
    """Run ``budget`` steps ``w <- w - eta grad L_m(w)`` on one task after the other.

    It starts at ``w = 0``. ``L_m(w) = sum_i log(1 + exp(-<x_i, w>))`` is a sum over the
    task's examples, not a mean.

    Parameters
    ----------
    tasks : signed examples, ``(B, M, n, d)``
    eta : step size, one for all or ``(B,)``
    budget : steps per stage, one for all, or by sequence and task, ``(B, M)``; zero
        skips a task
    cycles : cycles to run
    record : numbers of completed cycles at which to record, increasing
    order : tasks of a cycle's stages, ``(B, S)``, or a function from the cycle to it;
        cyclic by default
    present : which examples are there, ``(B, M, n)``; the others must be zero vectors,
        and add nothing to the loss
    keep_path : whether to keep every iterate of the recorded cycles
    graphs : whether the cycles between the recorded ones become graphs of kernels; on a
        GPU by default
    """
    B, M, n, d = tasks.shape
    X = torch.tensor(tasks, dtype=torch.float64, device=device)
    weight = torch.ones(B, M, n, dtype=torch.float64, device=device)
    if present is not None:
        weight = torch.tensor(present, dtype=torch.float64, device=device)
    step = torch.as_tensor(eta, dtype=torch.float64).expand(B).to(device)
    steps = torch.as_tensor(budget).expand(B, M).to(device)
    longest = int(steps.max())
    uneven, ends = bool((steps != longest).any()), set(steps.unique().tolist())
    rows = torch.arange(B, device=device)
    w = torch.zeros(B, d, 1, dtype=torch.float64, device=device)

    def losses(w: torch.Tensor) -> torch.Tensor:
        margins = (X.reshape(B, M * n, d) @ w).reshape(B, M, n)
        return (torch.nn.functional.softplus(-margins, threshold=1e6) * weight).sum(-1)

    def stage(task: torch.Tensor) -> Stage:
        x = X[rows, task]
        pull = (x * step[:, None, None]).mT.contiguous()
        if not uneven:
            return task, -x, [pull] * longest
        mine, pulls = steps[rows, task], []
        for k in range(longest):  # a row whose budget is spent is not pulled any more
            if k == 0 or k in ends:
                pull = pull * (k < mine)[:, None, None]
            pulls.append(pull)
        return task, -x, pulls

    def stages(order: np.ndarray) -> list[Stage]:
        columns = np.ascontiguousarray(order.T)
        return [stage(torch.as_tensor(column, device=device)) for column in columns]

    def whole(w: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """A cycle as a function of iterate and order ``(B, S)``, for a graph."""
        for column in order.T:
            _, minus_x, pulls = stage(column)
            for pull in pulls:
                w = torch.baddbmm(w, pull, torch.bmm(minus_x, w).sigmoid())
        return w

    def advance(w: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """The cycles from ``first`` to before ``last``, which nobody wants to see."""
        size = max(1, GRAPH // (3 * M * longest))
        stepper = Stepper(whole, (w,), steps_per_graph=size)
        same = None if callable(order) else torch.as_tensor(sequence, device=device)
        chunk = max(size, min(CHUNK, 2**25 // (B * M)))
        for start in range(first, last, chunk):
            end = min(start + chunk, last)
            if same is None:
                drawn = np.stack([order(cycle) for cycle in range(start, end)])
                rows_of = torch.as_tensor(drawn, device=device)
            else:
                rows_of = same.expand(end - start, *same.shape)
            stepper.run(end - start, rows_of)
        return stepper.state[0]

    sequence = cyclic(B, M) if order is None else order
    skipping = w.device.type == "cuda" if graphs is None else graphs
    recorded, found = set(np.asarray(record).tolist()), []
    slope = torch.empty(B, n, 1, dtype=w.dtype, device=device)
    with torch.inference_mode():
        fixed = None if callable(order) else stages(sequence)
        cycle = 0
        while cycle < cycles:
            watched = cycle + 1 in recorded
            if skipping and not watched:
                until = min((k for k in recorded if k > cycle), default=cycles + 1) - 1
                w, cycle = advance(w, cycle, min(until, cycles)), min(until, cycles)
                continue
            plan = stages(order(cycle)) if fixed is None else fixed
            if watched:
                path, after = [w[..., 0].clone()], []
                highest = losses(w).sum(-1)
            for task, minus_x, pulls in plan:
                for pull in pulls:
                    torch.bmm(minus_x, w, out=slope)
                    slope.sigmoid_()  # |l'(<x, w>)|, positive
                    w.baddbmm_(pull, slope)
                    if watched:
                        highest = torch.maximum(highest, losses(w).sum(-1))
                        if keep_path:
                            path.append(w[..., 0].clone())
                if watched:
                    after.append(losses(w)[rows, task])
            if watched:
                final = losses(w)
                end = torch.stack([final[rows, task] for task, _, _ in plan], -1)
                kept = [w[..., 0].clone(), final.sum(-1), highest]
                kept += [torch.stack(after, -1), end]
                found.append([*kept, torch.stack(path)] if keep_path else kept)
            cycle += 1
        columns = [torch.stack(one).cpu().numpy() for one in zip(*found, strict=True)]
    return Run(np.asarray(record), *columns)
