"""AMUSE: Muon's steps, Schedule-Free averaging, and gradients taken ever nearer to the average.

Kim, Shin, Yun, Beomhan Baek, Song and Chulhee Yun, "AMUSE: Anytime Muon with Stable Gradient Evaluation", 2026,
arXiv:2605.22432. The three sequences are those of :mod:`~companion.optim.schedule_free`; step ``t = 1, 2, ...`` is

    Z <- (1 - lr_t weight_decay) Z - lr_t s O(U),    lr_t = lr min(1, t / T0)
    X <- (1 - c_t) X + c_t Z,                        c_t = lr_t^2 / (lr_1^2 + ... + lr_t^2)
    Y <- (1 - beta_t) Z + beta_t X,

with Muon's ``O``, ``s`` and ``U``, the momentum of gradients at ``Y``, of :mod:`~companion.optim.muon`, and the
coefficient

    beta_t = beta1                                   up to the end ``T0`` of the warm-up
    beta_t = 1 - S_t^rho (1 - beta1)                 after it,   S_t = (c_t / (1 - c_t)) / (c_T0 / (1 - c_T0)).

At a rate that is constant from the start ``c_t = 1/t`` and ``S_t = (T0 - 1) / (t - 1)``: ``X`` averages the points
``Y`` over a window that grows as ``t^(1 - rho)``. Parameters that are no matrices of hidden layers move by
Schedule-Free AdamW, ``D = G / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay Z``, with the same ``c_t`` and
``beta_t``.

``Y`` is read with the coefficient with which it was built, ``beta_{t-1}``, when the step undoes it; the authors'
program reads it with ``beta_t``.
"""

from typing import Any

import torch

from companion.optim.checks import at_least, below_one
from companion.optim.muon import (
    Adjust,
    batches,
    check_options,
    momenta,
    orthogonalized,
    refuse_others_than_matrices,
    shape_factor,
)
from companion.optim.orthogonalize import MUON
from companion.optim.schedule_free import Params, ScheduleFree, move, normalized


class AMUSE(ScheduleFree):
    """AMUSE: Muon without a schedule, good at every moment.

    Parameters
    ----------
    params : parameters or parameter groups. A group's ``use_muon`` says whether its parameters are matrices for Muon:
        ``True``, ``False``, or ``None`` for those of two axes or more. Put embeddings and heads into a group with
        ``use_muon=False``; its ``lr`` may be its own
    lr : rate, at least 0
    momentum : ``mu``, at least 0 and below 1
    nesterov : whether the newest gradient counts once more in ``U``
    beta1 : coefficient up to the end of the warm-up, at least 0 and below 1
    rho : how fast it rises afterwards, from 0, not at all, to 1
    warmup_steps : ``T0``, at least 2; where the averaging window starts to grow more slowly than the run
    weight_decay : decoupled, at least 0, acts at ``Z``
    beta2, eps : of AdamW for the other parameters
    adjust_lr : factor of Muon's rate by shape, as for :class:`~companion.optim.Muon`; ``"match_rms_adamw"`` lets one
        ``lr`` serve both kinds of parameters
    r, weight_lr_power : the average weighs step ``t`` by ``t ** r * lr_t ** weight_lr_power``
    ns_steps, coefficients, dtype : of Newton-Schulz, as for :class:`~companion.optim.Muon`
    maximize : whether to go uphill
    foreach : whether to stack matrices, as for :class:`~companion.optim.Muon`, and to use torch's multi-tensor
        operations for the other parameters; ``None`` does so on a GPU

    Raises
    ------
    ValueError
        If an option is outside its range, or ``use_muon=True`` is said of a parameter that is no real matrix.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    >>> hidden, head = model[0].parameters(), model[2].parameters()
    >>> groups = [{"params": hidden}, {"params": head, "use_muon": False}]
    >>> optimizer = AMUSE(groups, lr=0.05, warmup_steps=10)
    >>> inputs = torch.eye(4)
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     ((model(inputs) - 1) ** 2).mean().backward()
    ...     optimizer.step()
    >>> _ = optimizer.eval()  # the average; train() before the next step
    >>> bool(((model(inputs) - 1) ** 2).mean() < 0.05)
    True

    Notes
    -----
    With ``rho=0`` it is Schedule-Free around Muon. Fresh steps enter the gradient point damped by ``1 - beta_t``: the
    best rate is one to three times Muon's. Save model and optimizer in the same mode, and refresh statistics of batch
    normalization in evaluation mode, as for :class:`~companion.optim.ScheduleFreeSGD`.

    Groups whose rates are proportional at all times have the same ``c_t`` and ``beta_t``. Where a rate rises again
    after the warm-up, the coefficient does not fall below ``beta1``.
    """

    _state_names = (frozenset({"offset", "momentum_buffer"}), frozenset({"offset", "exp_avg_sq"}))
    _largest_rate_weighs = False

    def __init__(
        self,
        params: Params,
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        beta1: float = 0.6,
        rho: float = 0.3,
        warmup_steps: int = 100,
        weight_decay: float = 0.0,
        beta2: float = 0.999,
        eps: float = 1e-10,
        adjust_lr: Adjust | None = "match_rms_adamw",
        *,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        ns_steps: int = 5,
        coefficients: tuple[float, float, float] = MUON,
        dtype: torch.dtype | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
    ):
        options = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "beta1": beta1, "rho": rho}
        options |= {"warmup_steps": warmup_steps, "weight_decay": weight_decay, "beta2": beta2, "eps": eps}
        options |= {"adjust_lr": adjust_lr, "r": r, "weight_lr_power": weight_lr_power, "ns_steps": ns_steps}
        options |= {"coefficients": coefficients, "dtype": dtype, "maximize": maximize, "foreach": foreach}
        super().__init__(params, options | {"use_muon": None, "beta": None, "odds": None})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_options(group)
        at_least("warmup_steps", group["warmup_steps"], 2)
        below_one("beta1", group["beta1"])
        below_one("beta2", group["beta2"])
        if not 0 <= group["rho"] <= 1:
            raise ValueError(f"rho: got {group['rho']!r}, allowed: from 0 to 1")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, in the mode of the others; its options, and its matrices, are checked."""
        super().add_param_group(param_group)
        refuse_others_than_matrices(self, lambda group, p: group["use_muon"] is True)

    def _beta(self, group: dict[str, Any]) -> float:
        return group["beta1"] if group["beta"] is None else group["beta"]

    def _update(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        beta = self._beta(group)
        lr, c = self._advance(group)
        group["beta"] = _coefficient(group, c)
        hidden = [p for p in params if _by_muon(group, p)]
        for alike in batches(hidden, group["foreach"]):
            self._update_matrices(group, alike, lr, c, beta)
        others = [p for p in params if not _by_muon(group, p)]
        for ys, grads, offsets, squares in self._gather(group, others, ("offset", "exp_avg_sq"), group["foreach"]):
            directions = normalized(grads, squares, group["beta2"], group["k"], group["eps"])
            _add_z(directions, ys, offsets, beta, group["weight_decay"])
            move(ys, offsets, directions, lr, c, beta, group["beta"])

    def _update_matrices(
        self, group: dict[str, Any], params: list[torch.Tensor], lr: float, c: float, beta: float
    ) -> None:
        directions = orthogonalized(momenta(self, group, params), group, eps=1e-7)
        for p in params:
            if "offset" not in self.state[p]:
                self.state[p]["offset"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        offsets = [self.state[p]["offset"] for p in params]
        factor = shape_factor(group["adjust_lr"], params[0].shape)
        _add_z(directions, params, offsets, beta, group["weight_decay"] / factor)
        move(params, offsets, directions, lr * factor, c, beta, group["beta"])


def _by_muon(group: dict[str, Any], p: torch.Tensor) -> bool:
    return (p.ndim >= 2 and not p.is_complex()) if group["use_muon"] is None else group["use_muon"]


def _coefficient(group: dict[str, Any], c: float) -> float:
    """``beta_t`` after the step that averaged with weight ``c``; the odds ``c / (1 - c)`` of step ``T0`` are kept."""
    odds = c / (1 - c) if c < 1 else 0.0
    if group["odds"] is None and group["k"] >= group["warmup_steps"] and odds > 0:
        group["odds"] = odds
    if group["odds"] is None:
        return group["beta1"]
    return 1 - min(1.0, odds / group["odds"]) ** group["rho"] * (1 - group["beta1"])


def _add_z(
    directions: list[torch.Tensor], ys: list[torch.Tensor], offsets: list[torch.Tensor], beta: float, decay: float
) -> None:
    """Add ``decay Z`` to directions, ``Z = Y - beta (X - Z)``."""
    if decay:
        torch._foreach_add_(directions, ys, alpha=decay)
        torch._foreach_add_(directions, offsets, alpha=-decay * beta)
