"""Sharpness-aware minimization (SAM): a base optimizer that is fed the gradient of a worse place near by.

Foret, Kleiner, Mobahi and Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving Generalization",
ICLR 2021, arXiv:2010.01412. With the gradient ``g`` at the weights ``theta`` and a radius ``rho``, one step is

    theta_hat = theta + eps,      eps = rho * g / ||g||_2    (norm="l2", SAM as published)
                                  eps = rho * sign(g)        (norm="linf")
                                  eps = rho * g              (norm="none", the un-normalized variant)
    theta    <- base step from theta with the gradient at theta_hat.

The norm is that of *all* parameters together, of every layer and every parameter group. Norms taken layer by layer are
another algorithm: on two equal layers their perturbation is larger by a factor of the square root of two.
"""

import functools
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from companion.optim.state import own_state_only

Norm = Literal["l2", "linf", "none"]
NORMS = ("l2", "linf", "none")


class SAM(Optimizer):
    """SAM around any first-order optimizer of ``torch.optim``.

    Parameters
    ----------
    params : parameters or parameter groups; a group may set its own ``rho``
    base_optimizer : class of the optimizer that makes the step, e.g. ``torch.optim.SGD``
    rho : radius of the perturbation; zero gives the base optimizer itself
    norm : ball over which the loss is made worse, ``"l2"`` or ``"linf"``, or ``"none"`` for ``eps = rho * g``
    foreach : whether to use torch's multi-tensor operations; ``None`` uses them for parameters on one GPU
    base : options of the base optimizer (``lr``, ``momentum``, ``weight_decay``, ``maximize``, …)

    Raises
    ------
    ValueError
        If ``rho`` is negative or not finite, or ``norm`` is unknown.
    TypeError
        If the base optimizer is not a class of optimizers, or needs a closure itself, as L-BFGS does.

    Examples
    --------
    With a closure that clears the gradients, computes the loss, calls ``backward`` and returns the loss:

    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = SAM([weight], torch.optim.SGD, rho=1.0, lr=0.1)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = 0.5 * (weight**2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure)  # the gradient at (3, 4) + (3, 4) / 5 is (3.6, 4.8)
    tensor(12.5000, grad_fn=<MulBackward0>)
    >>> weight.data
    tensor([2.6400, 3.5200])

    Or in two halves, each after a ``backward`` of its own: ``first_step()`` at the weights, ``second_step()`` at the
    perturbed weights. Between them ``restore()`` gives the step up.

    Notes
    -----
    A zero gradient is a stationary point: there the perturbation is zero, not 0/0. A gradient whose squares underflow
    or overflow has the direction that it has: it is scaled by its largest entry first.

    Weights come back from the perturbed place by copy, not by subtraction, so no rounding stays behind; they come back
    too if the second call of the closure raises.

    A model with batch normalization updates its running statistics in both forward passes, the second time with those
    of the perturbed weights. To keep these out, set the ``momentum`` of such layers to zero for the second pass; the
    statistics of the batch, which normalize while training, are those of the place that is evaluated either way.

    Step hooks and schedulers count one step, whether by a closure or in two halves. The base optimizer is an optimizer
    of its own, ``base_optimizer``: hooks for all optimizers are called for it too. ``state_dict`` holds the state of
    the base optimizer; save it between steps, not between their halves.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        base_optimizer: type[Optimizer],
        rho: float = 0.05,
        norm: Norm = "l2",
        *,
        foreach: bool | None = None,
        **base: Any,
    ):
        _check_rho(rho)
        if norm not in NORMS:
            raise ValueError(f"norm: got {norm!r}, allowed: {', '.join(NORMS)}")
        _check_base(base_optimizer)
        self.norm = norm
        self.foreach = foreach
        self.base_optimizer: Optimizer | None = None
        self._unperturbed: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        super().__init__(params, {"rho": rho, **base})
        if foreach is not None and "foreach" in inspect.signature(base_optimizer).parameters:
            base["foreach"] = foreach
        self.base_optimizer = base_optimizer(self.param_groups, **base)
        self.defaults = self.base_optimizer.defaults | self.defaults
        self._share()

    def _share(self) -> None:
        """One set of groups and one state: what a scheduler or a caller changes here, the base optimizer sees."""
        self.param_groups = self.base_optimizer.param_groups
        self.state = self.base_optimizer.state

    def __getstate__(self) -> dict[str, Any]:
        own = ("norm", "foreach", "base_optimizer", "_unperturbed")
        return super().__getstate__() | {name: self.__dict__[name] for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "base_optimizer" not in state:  # what load_state_dict read, not a copy or a pickle of the whole
            self.base_optimizer.__setstate__(state)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its ``rho`` is checked, and the base optimizer checks its own options."""
        if isinstance(param_group, dict):
            _check_rho(param_group.get("rho", self.defaults["rho"]))
        if self.base_optimizer is None:
            super().add_param_group(param_group)
        else:
            self.base_optimizer.add_param_group({"rho": self.defaults["rho"]} | param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises
        ------
        ValueError
            If it is another optimizer's; nothing is changed then.
        """
        with own_state_only(self, state_dict):
            super().load_state_dict(state_dict)

    @torch.no_grad()
    def perturbation(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The parameters that have a gradient, and ``eps`` for each."""
        params, grads, radii = self._gradients()
        if not params:
            return [], []
        foreach = self._use_foreach(params)
        if self.norm == "l2":
            directions = _unit(grads, foreach)
        elif self.norm == "linf":
            directions = torch._foreach_sign(grads) if foreach else [g.sign() for g in grads]
        else:
            directions = grads
        return params, torch._foreach_mul(directions, radii) if foreach else [
            direction * rho for direction, rho in zip(directions, radii, strict=True)
        ]

    @torch.no_grad()
    def first_step(self) -> None:
        """Go to the perturbed place; the gradients must be those at the weights."""
        if self._unperturbed is not None:
            raise RuntimeError("first_step: called twice without second_step between")
        params, eps = self.perturbation()
        self._unperturbed = [(p, p.clone()) for p in params]
        for p, move in zip(params, eps, strict=True):
            p.add_(move)

    def second_step(self) -> None:
        """Go back and make the base optimizer's step; the gradients must be those at the perturbed place."""
        if self._unperturbed is None:
            raise RuntimeError("second_step: called without first_step before")
        self.step()

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the weights without a step; where nothing is perturbed, nothing happens."""
        for p, weights in self._unperturbed or ():
            p.copy_(weights)
        self._unperturbed = None

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One step of SAM: the closure is called twice; returns the loss before the step.

        Without a closure it is the second half of a step whose first was :meth:`first_step`.
        """
        loss = None
        if closure is not None:
            if self._unperturbed is not None:
                raise RuntimeError("step: called with a closure after first_step; second_step or restore comes first")
            with torch.enable_grad():
                loss = closure()
            try:
                self.first_step()
                with torch.enable_grad():
                    closure()
            except BaseException:
                self.restore()
                raise
        elif self._unperturbed is None:
            raise TypeError(
                "step: SAM needs a closure that recomputes loss and gradients; or use its halves, "
                "first_step() and second_step(), each after a backward()"
            )
        self.restore()
        self.base_optimizer.step()
        return loss

    def _gradients(self) -> tuple[list[torch.Tensor], list[torch.Tensor], list[float]]:
        """Parameters with a gradient, uphill directions, radii; complex tensors as pairs of real numbers."""
        params, grads, radii = [], [], []
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None or not p.numel():
                    continue
                if p.grad.layout != torch.strided:
                    raise RuntimeError("SAM does not support sparse gradients: its perturbation moves every weight")
                place, grad = (torch.view_as_real(t) if t.is_complex() else t for t in (p, p.grad))
                params.append(place)
                grads.append(-grad if group.get("maximize", False) else grad)
                radii.append(group["rho"])
        return params, grads, radii

    def _use_foreach(self, tensors: list[torch.Tensor]) -> bool:
        if len({t.device for t in tensors}) > 1:
            return False
        return tensors[0].is_cuda if self.foreach is None else self.foreach


def _unit(grads: list[torch.Tensor], foreach: bool) -> list[torch.Tensor]:
    """``g / ||g||_2`` with the norm of all gradients together; zero if they are zero.

    In float32 at least, as squares of bfloat16 lose too much, and divided by the largest entry before anything is
    squared.
    """
    device = grads[0].device
    dtype = functools.reduce(torch.promote_types, (g.dtype for g in grads), torch.float32)
    grads = [g.to(dtype) for g in grads]
    largest = torch.stack([g.abs().amax().to(device) for g in grads]).amax()
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    scaled = torch._foreach_div(grads, largest) if foreach else [g / largest.to(g.device) for g in grads]
    norms = torch._foreach_norm(scaled) if foreach else [torch.linalg.vector_norm(g) for g in scaled]
    norm = torch.linalg.vector_norm(torch.stack([n.to(device) for n in norms])).clamp_min(1)  # it is 0 or at least 1
    return torch._foreach_div(scaled, norm) if foreach else [g / norm.to(g.device) for g in scaled]


def _check_rho(rho: float) -> None:
    if not (math.isfinite(rho) and rho >= 0):
        raise ValueError(f"rho: got {rho!r}, allowed: a finite number of at least 0")


def _check_base(base_optimizer: type[Optimizer]) -> None:
    if not (isinstance(base_optimizer, type) and issubclass(base_optimizer, Optimizer)):
        raise TypeError(f"base_optimizer: got {base_optimizer!r}, allowed: a class of optimizers, e.g. torch.optim.SGD")
    closure = inspect.signature(base_optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise TypeError(f"base_optimizer: got {base_optimizer.__name__}, which needs a closure of its own")
