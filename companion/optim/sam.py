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

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch.optim import Optimizer

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
    foreach : whether to use torch's multi-tensor operations; ``None`` uses them for parameters on a GPU
    base : options of the base optimizer (``lr``, ``momentum``, ``weight_decay``, ``maximize``, …)

    Raises
    ------
    ValueError
        If ``rho`` is negative or not finite, or ``norm`` is unknown.

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
    perturbed weights.

    Notes
    -----
    A zero gradient is a stationary point: there the perturbation is zero, not 0/0. Weights come back from the perturbed
    place by copy, not by subtraction, so no rounding stays behind. ``state_dict`` holds the base optimizer's state;
    save it between steps, not between their halves.
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
        self.norm = norm
        self.foreach = foreach
        self._unperturbed: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        super().__init__(params, {"rho": rho, **base})
        if foreach is not None:
            base["foreach"] = foreach
        self.base_optimizer = base_optimizer(self.param_groups, **base)
        self.defaults = self.base_optimizer.defaults | self.defaults
        self._share()

    def _share(self) -> None:
        """One set of groups and one state: what a scheduler or a caller changes here, the base optimizer sees."""
        self.param_groups = self.base_optimizer.param_groups
        self.state = self.base_optimizer.state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its ``rho`` is checked."""
        super().add_param_group(param_group)
        _check_rho(self.param_groups[-1]["rho"])

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state and all parameter groups, ``rho`` included."""
        return self.base_optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.base_optimizer.load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def perturbation(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The parameters that have a gradient, and ``eps`` for each."""
        params, grads, radii = [], [], []
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    params.append(p)
                    grads.append(-p.grad if group.get("maximize", False) else p.grad)
                    radii.append(group["rho"])
        if not params:
            return [], []
        foreach = self._use_foreach(params)
        if self.norm == "l2":
            norm = _joint_norm(grads, foreach)
            scale = torch.where(norm > 0, 1 / norm, torch.zeros_like(norm))
            directions = torch._foreach_mul(grads, scale) if foreach else [g * scale.to(g.device) for g in grads]
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

    @torch.no_grad()
    def second_step(self) -> None:
        """Go back and make the base optimizer's step; the gradients must be those at the perturbed place."""
        if self._unperturbed is None:
            raise RuntimeError("second_step: called without first_step before")
        for p, weights in self._unperturbed:
            p.copy_(weights)
        self._unperturbed = None
        self.base_optimizer.step()

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:
        """One step of SAM: the closure is called twice; returns the loss before the step."""
        if closure is None:
            raise TypeError("step: SAM needs a closure that recomputes loss and gradients; or use its two halves")
        with torch.enable_grad():
            loss = closure()
        self.first_step()
        with torch.enable_grad():
            closure()
        self.second_step()
        return loss

    def _use_foreach(self, tensors: list[torch.Tensor]) -> bool:
        return all(t.is_cuda for t in tensors) if self.foreach is None else self.foreach


def _joint_norm(grads: list[torch.Tensor], foreach: bool) -> torch.Tensor:
    """Euclidean norm of all gradients together, in float32 at least: squares of bfloat16 lose too much."""
    device = grads[0].device
    dtype = torch.promote_types(grads[0].dtype, torch.float32)
    wide = [grad.to(dtype) for grad in grads]
    norms = torch._foreach_norm(wide) if foreach else [torch.linalg.vector_norm(grad) for grad in wide]
    return torch.linalg.vector_norm(torch.stack([norm.to(device) for norm in norms]))


def _check_rho(rho: float) -> None:
    if not (math.isfinite(rho) and rho >= 0):
        raise ValueError(f"rho: got {rho!r}, allowed: a finite number of at least 0")
