"""Signum and signSGD: steps of one size in every coordinate, along the sign of the averaged gradient.

Bernstein, Wang, Azizzadenesheli and Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018,
arXiv:1802.04434. With the gradient ``g`` at the weights ``w``, one step is

    m <- beta m + (1 - beta) g,        w <- w - lr sign(m),

and ``beta = 0`` is signSGD. The sign of zero is zero: a coordinate without gradient stays where it is.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from companion.optim.state import own_state_only


class Signum(Optimizer):
    """Signum, and with ``beta=0`` signSGD.

    Parameters
    ----------
    params : parameters or parameter groups
    lr : step in every coordinate, at least 0
    beta : momentum, at least 0 and below 1
    weight_decay : decoupled, as in AdamW: weights shrink by ``lr * weight_decay`` before the step
    maximize : whether to go uphill
    foreach : whether to use torch's multi-tensor operations; ``None`` uses them for parameters on a GPU

    Raises
    ------
    ValueError
        If ``lr`` or ``weight_decay`` is negative or not finite, or ``beta`` is outside [0, 1).

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.0]))
    >>> optimizer = Signum([weight], lr=0.1, beta=0.0)
    >>> (0.5 * (weight**2).sum()).backward()
    >>> optimizer.step()
    >>> weight.data
    tensor([ 0.9000, -1.9000,  0.0000])

    Notes
    -----
    Not to be confused with Lion, whose sign is that of a mixture in which the newest gradient counts for more than in
    the momentum that is kept. Adam with ``beta1 = beta2 = eps = 0`` is signSGD; with other rates it is not Signum,
    since a root of averaged squares is not the size of the average.

    Only signs count, so a gradient may be as small or as large as its type can hold; ``(1 - beta) g`` has to be
    representable too. A complex weight moves as a pair of real ones.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        beta: float = 0.9,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        foreach: bool | None = None,
    ):
        defaults = {"lr": lr, "beta": beta, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach}
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its options are checked."""
        options = self.defaults | (param_group if isinstance(param_group, dict) else {})
        for name in ("lr", "weight_decay"):
            if not (math.isfinite(options[name]) and options[name] >= 0):
                raise ValueError(f"{name}: got {options[name]!r}, allowed: a finite number of at least 0")
        if not 0 <= options["beta"] < 1:
            raise ValueError(f"beta: got {options['beta']!r}, allowed: at least 0, below 1")
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises
        ------
        ValueError
            If it is another optimizer's, or holds momenta of other shapes; nothing is changed then.
        """
        with own_state_only(self, state_dict):
            super().load_state_dict(state_dict)
            for p in (p for group in self.param_groups for p in group["params"]):
                kept = self.state.get(p)
                if kept and ("momentum" not in kept or kept["momentum"].shape != p.shape):
                    raise ValueError(f"load_state_dict: the state has no momentum of shape {tuple(p.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One step; with a closure, which computes loss and gradients, returns the loss before it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if any(p.grad.layout != torch.strided for p in params):
                raise RuntimeError("Signum does not support sparse gradients: its momentum moves every weight")
            if group["beta"] > 0:
                for p in params:
                    if "momentum" not in self.state[p]:
                        self.state[p]["momentum"] = torch.zeros_like(p, memory_format=torch.preserve_format)
            many = all(p.is_cuda for p in params) if group["foreach"] is None else group["foreach"]
            if params:
                (self._step_many if many else self._step_each)(params, group)
        return loss

    def _step_each(self, params: list[torch.Tensor], group: dict[str, Any]) -> None:
        lr, beta = group["lr"], group["beta"]
        for p in params:
            average = -p.grad if group["maximize"] else p.grad
            if beta > 0:
                momentum = self.state[p]["momentum"]
                average = momentum.mul_(beta).add_(average, alpha=1 - beta)
            p.mul_(1 - lr * group["weight_decay"])
            p.sub_(lr * _sign(average))

    def _step_many(self, params: list[torch.Tensor], group: dict[str, Any]) -> None:
        lr, beta = group["lr"], group["beta"]
        averages = [p.grad for p in params]
        if group["maximize"]:
            averages = torch._foreach_neg(averages)
        if beta > 0:
            momenta = [self.state[p]["momentum"] for p in params]
            torch._foreach_mul_(momenta, beta)
            torch._foreach_add_(momenta, averages, alpha=1 - beta)
            averages = momenta
        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        signs = [_sign(a) for a in averages] if any(a.is_complex() for a in averages) else torch._foreach_sign(averages)
        torch._foreach_sub_(params, torch._foreach_mul(signs, lr))


def _sign(t: torch.Tensor) -> torch.Tensor:
    """Sign of real numbers; of real and imaginary parts, each by itself, of complex ones."""
    return torch.view_as_complex(torch.view_as_real(t).sign()) if t.is_complex() else t.sign()
