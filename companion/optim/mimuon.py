"""MiMuon: Muon where the momentum's singular values are far enough apart, momentum SGD where they are not.

Huang, Luo and Chen, "MiMuon: Mixed Muon Optimizer with Improved Generalization for Large Models", 2026,
arXiv:2605.19619. With the gradient ``G`` at the matrix ``W`` and the singular values ``s`` of the momentum ``M``,

    M <- mu M + (1 - mu) G,
    W <- (1 - lr weight_decay) W - lr O(M)   if the smallest difference of two nonzero s is at least tau,
    W <- (1 - lr weight_decay) W - lr M      otherwise,

matrix by matrix; ``O(M) = U V^T`` of the singular value decomposition, or its approximation by Newton-Schulz. The paper
weighs the new gradient by a ``beta`` that is ``1 - mu`` here, as in ``torch.optim.Muon``. What makes ``U V^T`` jump is
a small singular value, not a small difference of two: besides the paper's criterion there are two more,

    "gap"          smallest difference of two nonzero singular values >= tau
    "sigma_min"    smallest nonzero singular value >= tau
    "fro"          Frobenius norm >= tau, which takes no decomposition.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from companion.optim.checks import at_least, one_of, state_of_shape, with_gradient
from companion.optim.muon import (
    Adjust,
    batches,
    check_options,
    momenta,
    orthogonalized,
    refuse_others_than_matrices,
    shape_factor,
    stack,
)
from companion.optim.orthogonalize import MUON, polar
from companion.optim.state import own_state_only

Criterion = Literal["gap", "sigma_min", "fro"]
Orthogonalizer = Literal["newton_schulz", "polar"]
CRITERIA = ("gap", "sigma_min", "fro")
ORTHOGONALIZERS = ("newton_schulz", "polar")


def spread(matrix: torch.Tensor, criterion: Criterion = "gap", rtol: float = 1e-6) -> torch.Tensor:
    """What MiMuon compares with ``tau``: a gap, the smallest singular value, or the Frobenius norm.

    Parameters
    ----------
    matrix : ``(..., m, n)``
    criterion : ``"gap"``, ``"sigma_min"`` or ``"fro"``, see above
    rtol : singular values up to ``rtol`` times the largest count as zero, in [0, 1)

    Returns
    -------
    Tensor ``(...)``. Of fewer than two nonzero singular values the gap is infinite, of none the smallest is. A matrix
    that is not finite has none of them: not a number, which no threshold admits.

    Raises
    ------
    ValueError
        If ``criterion`` is unknown or ``rtol`` outside its range.
    """
    one_of("criterion", criterion, CRITERIA)
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol: got {rtol!r}, allowed: at least 0, below 1")
    if criterion == "fro":
        return torch.linalg.vector_norm(matrix, dim=(-2, -1))
    finite = matrix.isfinite().all(-1).all(-1)  # a decomposition would stop the run that diverges in one matrix
    values = torch.linalg.svdvals(matrix.where(finite[..., None, None], 0))
    nonzero = values > rtol * values[..., :1]
    if criterion == "sigma_min":
        least = values.where(nonzero, torch.inf).amin(-1)
    else:
        gaps = (values[..., :-1] - values[..., 1:]).where(nonzero[..., 1:], torch.inf)
        least = gaps.amin(-1) if gaps.shape[-1] else torch.full_like(values[..., 0], torch.inf)
    return least.where(finite, torch.nan)


class MiMuon(Optimizer):
    """MiMuon: orthogonalized momentum where that is safe, momentum where it is not.

    Parameters
    ----------
    params : parameters or parameter groups, real and of at least two axes, as for :class:`~companion.optim.Muon`
    lr : rate, at least 0
    momentum : ``mu``, weight of the old momentum, at least 0 and below 1
    tau : threshold of the criterion, at least 0; 0 is Muon, infinity is momentum SGD. It is absolute: it has the
        gradient's unit
    criterion : ``"gap"``, ``"sigma_min"`` or ``"fro"``
    weight_decay : decoupled, at least 0: matrices shrink by ``lr * weight_decay`` before the step
    orthogonalizer : ``"newton_schulz"`` with Muon's coefficients, or ``"polar"``, the exact factor
    adjust_lr : factor of the rate by shape where the momentum is orthogonalized, as for Muon; ``None`` is one
    sgd_lr : rate where it is not; ``None`` is ``lr``, as published
    rtol : singular values up to ``rtol`` times the largest count as zero, in [0, 1)
    ns_steps, coefficients, dtype, eps : of Newton-Schulz, as for Muon
    maximize : whether to go uphill
    foreach : whether to stack matrices of one shape, as for Muon

    Raises
    ------
    ValueError
        If an option is outside its range, or a parameter is complex or has fewer than two axes.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.diag(torch.tensor([3.0, 1.0])))
    >>> optimizer = MiMuon([weight], lr=0.1, momentum=0.0, tau=1.0, orthogonalizer="polar")
    >>> (0.5 * (weight**2).sum()).backward()
    >>> optimizer.step()  # singular values 3 and 1: a gap of two, the step is orthogonal
    >>> weight.data.diagonal()
    tensor([2.9000, 0.9000])
    >>> optimizer.state[weight]["n_orth"], optimizer.state[weight]["n_steps"]
    (1, 1)

    Notes
    -----
    Momentum starts from zero, as Muon's does; ``torch.optim.SGD`` starts from the first gradient, undamped. Report
    the fraction ``n_orth / n_steps`` with results: gradients shrink in training, so that a fixed ``tau`` makes Muon of
    the beginning and momentum SGD of the end, where the same ``lr`` makes small steps.

    The criteria ``"gap"`` and ``"sigma_min"`` take all singular values at every step, which costs more than
    Newton-Schulz; ``"fro"`` costs next to nothing, and saves the products where it says no.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        momentum: float = 0.9,
        tau: float = 0.0,
        criterion: Criterion = "gap",
        weight_decay: float = 0.0,
        orthogonalizer: Orthogonalizer = "newton_schulz",
        adjust_lr: Adjust | None = None,
        sgd_lr: float | None = None,
        *,
        rtol: float = 1e-6,
        ns_steps: int = 5,
        coefficients: tuple[float, float, float] = MUON,
        dtype: torch.dtype | None = None,
        eps: float = 1e-7,
        maximize: bool = False,
        foreach: bool | None = None,
    ):
        options = {"lr": lr, "momentum": momentum, "tau": tau, "criterion": criterion, "weight_decay": weight_decay}
        options |= {"orthogonalizer": orthogonalizer, "adjust_lr": adjust_lr, "sgd_lr": sgd_lr, "rtol": rtol}
        options |= {"ns_steps": ns_steps, "coefficients": coefficients, "dtype": dtype, "eps": eps, "nesterov": False}
        super().__init__(params, options | {"maximize": maximize, "foreach": foreach})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its options and its parameters are checked."""
        if isinstance(param_group, dict):
            group = self.defaults | param_group
            check_options(group)
            one_of("criterion", group["criterion"], CRITERIA)
            one_of("orthogonalizer", group["orthogonalizer"], ORTHOGONALIZERS)
            if not group["tau"] >= 0:
                raise ValueError(f"tau: got {group['tau']!r}, allowed: a number of at least 0, or infinity")
            if not 0 <= group["rtol"] < 1:
                raise ValueError(f"rtol: got {group['rtol']!r}, allowed: at least 0, below 1")
            if group["sgd_lr"] is not None:
                at_least("sgd_lr", group["sgd_lr"])
        super().add_param_group(param_group)
        refuse_others_than_matrices(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises
        ------
        ValueError
            If it is another optimizer's, or holds momenta of other shapes; nothing is changed then.
        """
        with own_state_only(self, state_dict):
            super().load_state_dict(state_dict)
            state_of_shape(self, (frozenset({"momentum_buffer"}),))
            counted = (s for s in self.state.values() if s)
            if not all({"n_orth", "n_steps"} <= set(s) for s in counted):
                raise ValueError("load_state_dict: the state counts no steps, it is another optimizer's")

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One step; with a closure, which computes loss and gradients, returns the loss before it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, params in zip(self.param_groups, with_gradient(self), strict=True):
            for alike in batches(params, group["foreach"]):
                self._update(group, alike)
        return loss

    def _update(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        buffers = momenta(self, group, params)
        orthogonal = self._orthogonal(group, buffers)
        for p, yes in zip(params, orthogonal, strict=True):
            state = self.state[p]
            state["n_steps"] = state.get("n_steps", 0) + 1
            state["n_orth"] = state.get("n_orth", 0) + yes
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - float(group["lr"]) * group["weight_decay"])
        sgd_lr = group["lr"] if group["sgd_lr"] is None else group["sgd_lr"]
        plain = [i for i, yes in enumerate(orthogonal) if not yes]
        if plain:
            torch._foreach_add_([params[i] for i in plain], [buffers[i] for i in plain], alpha=-float(sgd_lr))
        chosen = [i for i, yes in enumerate(orthogonal) if yes]
        if chosen:
            directions = self._factors(group, [buffers[i] for i in chosen])
            lr = float(group["lr"]) * shape_factor(group["adjust_lr"], params[0].shape)
            torch._foreach_add_([params[i] for i in chosen], directions, alpha=-lr)

    @staticmethod
    def _orthogonal(group: dict[str, Any], buffers: list[torch.Tensor]) -> list[int]:
        """One where the momentum is to be orthogonalized, zero where not."""
        if math.isinf(group["tau"]) or group["tau"] == 0:
            return [int(group["tau"] == 0)] * len(buffers)
        matrices = stack(buffers, torch.promote_types(buffers[0].dtype, torch.float32))
        return (spread(matrices, group["criterion"], group["rtol"]) >= group["tau"]).int().tolist()

    @staticmethod
    def _factors(group: dict[str, Any], buffers: list[torch.Tensor]) -> list[torch.Tensor]:
        if group["orthogonalizer"] == "newton_schulz":
            return orthogonalized(buffers, group, group["eps"])
        first = buffers[0]
        factors = polar(stack(buffers, torch.promote_types(first.dtype, torch.float32)))
        return list(factors.to(first.dtype).reshape(len(buffers), *first.shape).unbind(0))
