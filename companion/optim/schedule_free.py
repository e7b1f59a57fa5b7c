"""Schedule-Free SGD and AdamW: no schedule of rates, and weights that are good at every moment.

Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled", NeurIPS 2024, arXiv:2405.15682. Three
sequences: ``z`` takes the steps, ``x`` is its average and what one evaluates, ``y`` between them is where gradients are
taken. With a base direction ``D`` (the gradient; for AdamW the gradient over the root of its averaged squares), step
``t = 1, 2, ...`` is

    z <- z - lr_t D(y)
    x <- (1 - c_t) x + c_t z,        c_t = w_t / (w_1 + ... + w_t),   w_t = t^r max(lr_1, ..., lr_t)^p
    y <- (1 - beta) z + beta x.

A constant rate makes ``c_t = 1/t``: ``x`` is the mean of the ``z`` after each step, the starting point left out. The
refined rule of Song, Baek, Ahn and Yun, "Through the River", NeurIPS 2025, arXiv:2507.09846, separates the momentum
``beta`` from the length of the average by a constant ``C``:

    c_t = min(1, (1 - beta) C w_t / (w_1 + ... + w_t)),        C = 1 / (1 - beta) being the rule above.

What is kept
------------
Parameters hold ``y`` in training mode and ``x`` in evaluation mode. Of the three sequences one more tensor is kept,
the offset ``d = x - z`` (times ``1 / lr`` it is the momentum of "Through the River", section 4.4):

    x = y + (1 - beta) d,        z = y - beta d
    y <- y - (1 - beta (1 - c)) lr D - beta c d
    d <- (1 - c) (d + lr D).

Unlike ``x = (y - (1 - beta) z) / beta`` from a stored ``z`` this divides by nothing: ``beta`` may be zero, and may
change from step to step, as in :class:`~companion.optim.amuse.AMUSE`.

>>> averaging_weights(4, beta=0.5)
tensor([0.1000, 0.2000, 0.3000, 0.4000], dtype=torch.float64)
"""

import functools
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch.optim import Optimizer

from companion.optim.checks import as_real, at_least, below_one, state_of_shape, with_gradient
from companion.optim.state import own_state_only

Params = Iterable[torch.Tensor] | Iterable[dict[str, Any]]


def averaging_weights(steps: int, beta: float, C: float | None = None) -> torch.Tensor:
    """Weights of the gradient points in the average: ``x_T = sum_t alpha_t y_t`` at a constant rate.

    With ``c_t = min(1, (1 - beta) C / t)``, and ``1 / t`` without ``C``,

        alpha_t = a_t prod_{s > t} (1 - a_s),        a_t = c_t / ((1 - beta) (1 - c_t) + c_t),

    where ``y_t`` is the point after step ``t``. Weights grow like ``t^(C - 1)``, so ``C`` alone sets how much of the
    past counts; without it ``C`` is ``1 / (1 - beta)``. With ``C`` below that the starting point is averaged too, and
    its weight is in the first entry. "Through the River", arXiv:2507.09846.

    Parameters
    ----------
    steps : ``T``, at least 1
    beta : at least 0 and below 1
    C : positive, or ``None``

    Returns
    -------
    Tensor ``(T,)``, float64, not negative, with sum one.

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """
    at_least("steps", steps, 1)
    below_one("beta", beta)
    _check_C(C)
    t = torch.arange(1, steps + 1, dtype=torch.float64)
    c = 1 / t if C is None else ((1 - beta) * C / t).clamp(max=1)
    a = c / ((1 - beta) * (1 - c) + c)
    a[0] = 1  # with the starting point
    later = (1 - a).flip(0).cumprod(0).flip(0)
    return a * torch.cat([later[1:], later.new_ones(1)])


class ScheduleFree(Optimizer):
    """What Schedule-Free optimizers share: modes, counters, averaging; subclasses say how the base steps."""

    _state_names: tuple[frozenset[str], ...] = (frozenset({"offset"}),)
    _largest_rate_weighs = True

    def __init__(self, params: Params, defaults: dict[str, Any]):
        super().__init__(params, defaults | {"k": 0, "weight_sum": 0.0, "lr_max": 0.0, "train_mode": True})

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "weight_decay", "r", "weight_lr_power", "warmup_steps"):
            at_least(name, group[name])
        _check_C(group.get("C"))

    def _beta(self, group: dict[str, Any]) -> float:
        """The interpolation with which the group's ``y`` was built."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        """One step of a group, of which these parameters have gradients."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, in the mode of the others; its options are checked."""
        if isinstance(param_group, dict):
            self._check(self.defaults | param_group)
            if self.param_groups:
                param_group = param_group | {"train_mode": self.param_groups[0]["train_mode"]}
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned, its mode included: the parameters should be those of that moment.

        Raises
        ------
        ValueError
            If it is another optimizer's, or holds tensors of other shapes; nothing is changed then.
        """
        with own_state_only(self, state_dict):
            super().load_state_dict(state_dict)
            state_of_shape(self, self._state_names)

    def train(self, mode: bool = True) -> Self:
        """Put ``y``, where gradients are taken, into the parameters; with ``mode=False`` it is :meth:`eval`."""
        self._switch(mode)
        return self

    def eval(self) -> Self:
        """Put the average ``x``, what training is for, into the parameters: to evaluate, to stop, to keep."""
        return self.train(False)

    @torch.no_grad()
    def _switch(self, mode: bool) -> None:
        for group in self.param_groups:
            if group["train_mode"] != mode:
                share = (self._beta(group) - 1) if mode else (1 - self._beta(group))
                for p in group["params"]:
                    if "offset" in self.state.get(p, {}):
                        p.add_(self.state[p]["offset"], alpha=share)
                group["train_mode"] = mode

    @torch.no_grad()
    def iterates(self, p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Copies of ``x``, ``y`` and ``z`` of one parameter, in either mode.

        Raises
        ------
        ValueError
            If it is not a parameter of this optimizer.
        """
        group = next((g for g in self.param_groups if any(p is q for q in g["params"])), None)
        if group is None:
            raise ValueError(f"iterates: got a tensor of shape {tuple(p.shape)} that is no parameter of this optimizer")
        offset = self.state.get(p, {}).get("offset", torch.zeros((), dtype=p.dtype, device=p.device))
        beta = self._beta(group)
        y = p - (0 if group["train_mode"] else 1 - beta) * offset
        return y + (1 - beta) * offset, y, y - beta * offset

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One step; with a closure, which computes loss and gradients, returns the loss before it.

        Raises
        ------
        RuntimeError
            In evaluation mode, where the parameters are not those to take gradients at; if a gradient is sparse.
        """
        name = type(self).__name__
        if not all(group["train_mode"] for group in self.param_groups):
            raise RuntimeError(f"{name}: step in evaluation mode; call train() before the gradients are taken")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, params in zip(self.param_groups, with_gradient(self), strict=True):
            self._update(group, params)
        return loss

    def _advance(self, group: dict[str, Any]) -> tuple[float, float]:
        """Count one more step of a group: its rate and the weight ``c`` of the new ``z`` in ``x``."""
        group["k"] += 1
        lr = self._warm(group)
        group["lr_max"] = max(lr, group["lr_max"])
        weighing = group["lr_max"] if self._largest_rate_weighs else lr
        weight = group["k"] ** group["r"] * weighing ** group["weight_lr_power"]
        group["weight_sum"] += weight
        c = weight / group["weight_sum"] if group["weight_sum"] > 0 else 0.0
        if group.get("C") is not None:
            c = min(1.0, (1 - self._beta(group)) * group["C"] * c)
        return lr, c

    @staticmethod
    def _warm(group: dict[str, Any]) -> float:
        return float(group["lr"]) * (min(1.0, group["k"] / group["warmup_steps"]) if group["warmup_steps"] else 1.0)

    def _gather(
        self, group: dict[str, Any], params: list[torch.Tensor], names: tuple[str, ...], together: bool | None
    ) -> list[tuple[list[torch.Tensor], ...]]:
        """Lists that the arithmetic takes in one go: parameters, gradients, named states, of one device and type.

        One tensor at a time where ``together`` is ``False``, and by default on a CPU, whose cache a tensor may fit.
        """
        for p in params:
            for name in names:
                if name not in self.state[p]:
                    self.state[p][name] = torch.zeros_like(p, memory_format=torch.preserve_format)
        grads = [-p.grad if group["maximize"] else p.grad for p in params]
        columns = [as_real(c) for c in (params, grads, *([self.state[p][name] for p in params] for name in names))]
        lists: dict[Any, list[tuple[torch.Tensor, ...]]] = {}
        for row in zip(*columns, strict=True):
            y = row[0]
            alone = not (y.is_cuda if together is None else together)
            lists.setdefault(len(lists) if alone else (y.device, y.dtype), []).append(row)
        return [tuple(map(list, zip(*rows, strict=True))) for rows in lists.values()]


class ScheduleFreeSGD(ScheduleFree):
    """Schedule-Free SGD, with ``C`` its refined form.

    The base direction is ``D = g + weight_decay * y`` with the gradient ``g`` at ``y``.

    Parameters
    ----------
    params : parameters or parameter groups
    lr : rate, at least 0; larger than one would give SGD with a schedule
    momentum : ``beta``, at least 0 and below 1: how near to the average gradients are taken
    weight_decay : at least 0, acts at ``y``
    warmup_steps : the rate rises linearly over as many steps
    r : the average weighs step ``t`` by ``t ** r``; at least 0
    weight_lr_power : and by this power of the largest rate so far; at least 0
    C : length of the average, positive; ``None`` ties it to ``momentum``. A fraction ``1 / (1 + C)`` of the run is
        how far ``x`` lags behind ``y``
    maximize : whether to go uphill
    foreach : whether to use torch's multi-tensor operations; ``None`` uses them for parameters on a GPU

    Raises
    ------
    ValueError
        If an option is outside its range.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> optimizer = ScheduleFreeSGD([weight], lr=0.5, momentum=0.9)
    >>> for _ in range(20):
    ...     optimizer.zero_grad()
    ...     (0.5 * (weight**2).sum()).backward()
    ...     optimizer.step()
    >>> _ = optimizer.eval()  # the average; train() before the next step
    >>> weight.data.norm() < 0.2
    tensor(True)

    Notes
    -----
    It starts in training mode, as modules do; that of the package schedulefree does not. Save model and optimizer in
    the same mode: the mode is part of ``state_dict``. Statistics of batch normalization
    belong to the weights of the forward passes, which are ``y``: refresh them in evaluation mode by some passes.
    With ``C``, the first ``(1 - momentum) C`` steps do not average at all and are plain SGD of rate ``lr``: warm up
    for as long.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        C: float | None = None,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
    ):
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "warmup_steps": warmup_steps, "r": r}
        options |= {"weight_lr_power": weight_lr_power, "C": C, "maximize": maximize, "foreach": foreach}
        super().__init__(params, options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        below_one("momentum", group["momentum"])

    def _beta(self, group: dict[str, Any]) -> float:
        return group["momentum"]

    def _update(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        lr, c = self._advance(group)
        for ys, directions, offsets in self._gather(group, params, ("offset",), group["foreach"]):
            if group["weight_decay"]:
                directions = torch._foreach_add(directions, ys, alpha=group["weight_decay"])
            move(ys, offsets, directions, lr, c, group["momentum"], group["momentum"])


class ScheduleFreeAdamW(ScheduleFree):
    """Schedule-Free AdamW, with ``C`` its refined form.

    With the gradient ``g`` at ``y``, and its squares averaged, the base direction is

        v <- beta2 v + (1 - beta2) g^2,        D = g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * y;

    the first of ``betas`` is the interpolation ``beta``, there is no other momentum. As much is kept as by AdamW.

    Parameters
    ----------
    params : parameters or parameter groups
    lr : rate, at least 0; three to ten times that of AdamW
    betas : ``(beta, beta2)``, both at least 0 and below 1
    eps : at least 0
    weight_decay : at least 0, acts at ``y``
    warmup_steps : the rate rises linearly over as many steps
    r : the average weighs step ``t`` by ``t ** r``; at least 0
    weight_lr_power : and by this power of the largest rate so far; at least 0
    C : length of the average, positive; ``None`` ties it to ``beta``
    maximize : whether to go uphill
    foreach : whether to use torch's multi-tensor operations; ``None`` uses them for parameters on a GPU
    compiled : whether to compile the step, which then reads and writes every weight once, as ``fused=True`` does in
        torch: the first step takes as long as the compiler does, a second per tensor or so, and so does the first of
        every other list of shapes, of which a process compiles eight. Where ``torch.compile`` finds no compiler, one
        warning says so, and the step is as without it

    Raises
    ------
    ValueError
        If an option is outside its range.

    Examples
    --------
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = ScheduleFreeAdamW(model.parameters(), lr=0.05, warmup_steps=5)
    >>> inputs = torch.eye(3)
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     ((model(inputs) - 1) ** 2).mean().backward()
    ...     optimizer.step()
    >>> _ = optimizer.eval()  # the average; train() before the next step
    >>> bool(((model(inputs) - 1) ** 2).mean() < 0.05)
    True

    Notes
    -----
    As for :class:`ScheduleFreeSGD`. Equal to ``AdamWScheduleFree`` of the package schedulefree, up to rounding, except
    that gradients are left as they are.
    """

    _state_names = (frozenset({"offset", "exp_avg_sq"}),)

    def __init__(
        self,
        params: Params,
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        C: float | None = None,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        compiled: bool = False,
    ):
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "warmup_steps": warmup_steps}
        options |= {"r": r, "weight_lr_power": weight_lr_power, "C": C, "maximize": maximize, "foreach": foreach}
        super().__init__(params, options | {"compiled": compiled})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        at_least("eps", group["eps"])
        for beta in group["betas"]:
            below_one("betas", beta)

    def _beta(self, group: dict[str, Any]) -> float:
        return group["betas"][0]

    def _update(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        lr, c = self._advance(group)
        beta, beta2 = group["betas"]
        compiled = group["compiled"] and bool(params) and _can_compile()
        together = True if compiled else group["foreach"]
        for lists in self._gather(group, params, ("offset", "exp_avg_sq"), together):
            if compiled:
                scale = 1 / math.sqrt(1 - beta2 ** group["k"])
                numbers = [beta2, 1 - beta2, scale, group["eps"], group["weight_decay"]]
                if _one_pass(*lists, [*numbers, lr, lr * (beta * (1 - c) - 1), -beta * c, 1 - c]):
                    continue
            ys, grads, offsets, squares = lists
            directions = normalized(grads, squares, beta2, group["k"], group["eps"])
            if group["weight_decay"]:
                torch._foreach_add_(directions, ys, alpha=group["weight_decay"])
            move(ys, offsets, directions, lr, c, beta, beta)


def normalized(
    grads: list[torch.Tensor], squares: list[torch.Tensor], beta2: float, k: int, eps: float
) -> list[torch.Tensor]:
    """Adam's direction without momentum, ``g / (sqrt(v / (1 - beta2^k)) + eps)``; ``v``, the squares, are updated."""
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, grads, grads, value=1 - beta2)
    roots = torch._foreach_sqrt(squares)
    torch._foreach_div_(roots, math.sqrt(1 - beta2**k))
    torch._foreach_add_(roots, eps)
    return torch._foreach_div(grads, roots)


def move(
    ys: list[torch.Tensor],
    offsets: list[torch.Tensor],
    directions: list[torch.Tensor],
    lr: float,
    c: float,
    beta: float,
    next_beta: float,
) -> None:
    """Step ``z`` by ``-lr D``, average it into ``x`` with weight ``c``, put ``y`` between them by ``next_beta``.

    In place, on ``y`` (built with ``beta``) and ``d = x - z``:

        y <- y - (1 - beta' (1 - c)) lr D - (beta - beta' (1 - c)) d
        d <- (1 - c) (d + lr D).
    """
    kept = next_beta * (1 - c)
    torch._foreach_add_(ys, directions, alpha=-lr * (1 - kept))
    torch._foreach_add_(ys, offsets, alpha=kept - beta)
    torch._foreach_add_(offsets, directions, alpha=lr)
    torch._foreach_mul_(offsets, 1 - c)


def adamw_pass(
    ys: list[torch.Tensor],
    grads: list[torch.Tensor],
    offsets: list[torch.Tensor],
    squares: list[torch.Tensor],
    numbers: torch.Tensor,
) -> None:
    """What :func:`normalized` and :func:`move` do, with numbers in a tensor: a compiler makes one pass of it.

    ``numbers`` are ``beta2``, ``1 - beta2``, ``1 / sqrt(1 - beta2^k)``, ``eps``, ``weight_decay``, ``lr``, the factors
    of ``D`` and ``d`` in ``y``, and ``1 - c``: numbers of Python would be compiled in, and anew at every step.
    """
    beta2, rest, scale, eps, decay, lr, of_direction, of_offset, kept = numbers.unbind()
    torch._foreach_mul_(squares, beta2)
    torch._foreach_add_(squares, torch._foreach_mul(torch._foreach_mul(grads, grads), rest))
    roots = torch._foreach_mul(torch._foreach_sqrt(squares), scale)
    torch._foreach_add_(roots, [eps] * len(roots))  # one tensor for all would be read out, and break the graph
    directions = torch._foreach_div(grads, roots)
    torch._foreach_add_(directions, torch._foreach_mul(ys, decay))
    torch._foreach_add_(ys, torch._foreach_mul(directions, of_direction))
    torch._foreach_add_(ys, torch._foreach_mul(offsets, of_offset))
    torch._foreach_add_(offsets, torch._foreach_mul(directions, lr))
    torch._foreach_mul_(offsets, kept)


_no_compiler: list[str] = []
"""Why this process cannot compile; empty as long as nothing has failed."""


@functools.cache
def _compiled_pass() -> Callable[..., None]:
    return torch.compile(adamw_pass, dynamic=False)


def _can_compile() -> bool:
    return not _no_compiler


def _one_pass(
    ys: list[torch.Tensor],
    grads: list[torch.Tensor],
    offsets: list[torch.Tensor],
    squares: list[torch.Tensor],
    numbers: list[float],
) -> bool:
    """Whether the compiled step was made; where none can be compiled nothing has changed, and one warning is given."""
    exact = torch.float64 if ys[0].dtype == torch.float64 else torch.float32
    on_device = torch.tensor(numbers, dtype=exact).to(ys[0].device, non_blocking=True)
    try:
        _compiled_pass()(ys, grads, offsets, squares, on_device)
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = str(getattr(error, "inner_exception", error)).partition("\n")[0]
        _no_compiler.append(reason)
        warnings.warn(
            f"ScheduleFreeAdamW: compiled=True needs a compiler that works ({reason}); it steps by foreach instead",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def _check_C(C: float | None) -> None:
    if C is not None and not (math.isfinite(C) and C > 0):
        raise ValueError(f"C: got {C!r}, allowed: a positive number, or None")
