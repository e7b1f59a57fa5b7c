"""Muon: momentum whose singular values are all set to one, for the matrices of a network.

Jordan, Jin, Boza, You, Cesista, Newhouse and Bernstein, "Muon: An optimizer for hidden layers in neural networks",
2024. With the gradient ``G`` at the matrix ``W``, one step is

    M <- mu M + (1 - mu) G,        U = mu M + (1 - mu) G  (Nesterov),  or  U = M,
    W <- (1 - lr weight_decay) W - lr s O(U),

where ``O`` is :func:`~companion.optim.orthogonalize.newton_schulz`, some products of matrices in place of the
orthogonal factor of the singular value decomposition, and ``s`` depends on the shape ``(rows, columns)`` alone:

    adjust_lr="original"           s = sqrt(max(1, rows / columns))
    adjust_lr="match_rms_adamw"    s = 0.2 sqrt(max(rows, columns)), entries as large as AdamW's are
                                   (Liu and others, arXiv:2502.16982)
    adjust_lr=None                 s = 1.

A network has many matrices of few shapes. Those of one shape are stacked, so that a layer more costs no launch more:
every product of the iteration is one call for all of them.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from companion.optim.checks import at_least, below_one, one_of, state_of_shape, with_gradient
from companion.optim.orthogonalize import MUON
from companion.optim.state import own_state_only

Adjust = Literal["original", "match_rms_adamw"]
ADJUST = ("original", "match_rms_adamw", None)
CPU_BLOCK = 2**18
"""Entries of one batch on a CPU: what stays in its cache from one operation to the next."""
DTYPES = (None, torch.bfloat16, torch.float16, torch.float32, torch.float64)


class Muon(Optimizer):
    """Muon, with the matrices of one shape in one batch.

    Parameters
    ----------
    params : parameters or parameter groups, real and of at least two axes; those with more, as convolutions have, are
        matrices ``(out, everything else)``. Embeddings, heads, gains and biases belong to another optimizer
    lr : rate, at least 0
    momentum : ``mu``, at least 0 and below 1
    nesterov : whether the newest gradient counts once more
    weight_decay : decoupled, at least 0: matrices shrink by ``lr * weight_decay`` before the step
    adjust_lr : factor of the rate by shape, ``"original"``, ``"match_rms_adamw"`` or ``None``
    ns_steps : iterations, at least 0 and below 100
    coefficients : ``(a, b, c)`` of ``a x + b x^3 + c x^5``
    dtype : type of the iteration. ``None`` is bfloat16 on a GPU, and on a CPU, as for parameters in float64 anywhere,
        the parameter's own, at least float32. A CPU that multiplies bfloat16 itself (AMX) is faster with it
    eps : Frobenius norms below it are not divided by
    maximize : whether to go uphill
    foreach : whether to stack all matrices of one shape: ``True``, and ``None`` on a GPU; on a CPU ``None`` stacks as
        many as fit its cache. ``False`` takes one at a time, and less memory

    Raises
    ------
    ValueError
        If an option is outside its range, or a parameter is complex or has fewer than two axes.

    Examples
    --------
    >>> model = torch.nn.Sequential(*(torch.nn.Linear(4, 4, bias=False) for _ in range(3)))
    >>> optimizer = Muon(model.parameters(), lr=0.02)
    >>> inputs = torch.eye(4)
    >>> for _ in range(200):
    ...     optimizer.zero_grad()
    ...     ((model(inputs) - inputs) ** 2).sum().backward()
    ...     optimizer.step()
    >>> bool(((model(inputs) - inputs) ** 2).sum() < 0.1)
    True

    Notes
    -----
    With ``dtype=torch.bfloat16`` it is ``torch.optim.Muon``, whose ``weight_decay`` is 0.1 unless said otherwise, and
    where ``adjust_lr_fn=None`` means ``"original"``. The moving average ``M`` and the sum ``mu M + G`` of other
    versions have one direction, and the step depends on that alone. Gradients of norm below ``eps`` are not blown up.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        adjust_lr: Adjust | None = "original",
        ns_steps: int = 5,
        coefficients: tuple[float, float, float] = MUON,
        dtype: torch.dtype | None = None,
        *,
        eps: float = 1e-7,
        maximize: bool = False,
        foreach: bool | None = None,
    ):
        options = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        options |= {"adjust_lr": adjust_lr, "ns_steps": ns_steps, "coefficients": coefficients, "dtype": dtype}
        super().__init__(params, options | {"eps": eps, "maximize": maximize, "foreach": foreach})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its options and its parameters are checked."""
        if isinstance(param_group, dict):
            check_options(self.defaults | param_group)
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

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One step; with a closure, which computes loss and gradients, returns the loss before it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, params in zip(self.param_groups, with_gradient(self), strict=True):
            for alike in batches(params, group["foreach"]):
                directions = orthogonalized(momenta(self, group, alike), group, group["eps"])
                if group["weight_decay"]:
                    torch._foreach_mul_(alike, 1 - float(group["lr"]) * group["weight_decay"])
                lr = float(group["lr"]) * shape_factor(group["adjust_lr"], alike[0].shape)
                torch._foreach_add_(alike, directions, alpha=-lr)
        return loss


def check_options(group: dict[str, Any]) -> None:
    """Refuse options of momentum and orthogonalization that are outside their ranges."""
    for name in ("lr", "weight_decay", "eps"):
        at_least(name, group[name])
    below_one("momentum", group["momentum"])
    one_of("adjust_lr", group["adjust_lr"], ADJUST)
    one_of("dtype", group["dtype"], DTYPES)
    if group["ns_steps"] not in range(100):
        raise ValueError(f"ns_steps: got {group['ns_steps']!r}, allowed: a whole number of at least 0, below 100")
    if len(group["coefficients"]) != 3:
        raise ValueError(f"coefficients: got {group['coefficients']!r}, allowed: three numbers")


def refuse_others_than_matrices(optimizer: Optimizer, wanted: Callable[..., bool] = lambda group, p: True) -> None:
    """Take back the newest group if a parameter that is ``wanted`` as a matrix is none, and say why."""
    group = optimizer.param_groups[-1]
    for p in group["params"]:
        if wanted(group, p) and (p.is_complex() or p.ndim < 2):
            optimizer.param_groups.pop()
            kind = "a complex one" if p.is_complex() else f"one of {p.ndim} axes"
            name = type(optimizer).__name__
            raise ValueError(
                f"params: got {kind}, {tuple(p.shape)}, allowed: {name} takes real parameters of two axes or more"
            )


def batches(params: list[torch.Tensor], foreach: bool | None) -> list[list[torch.Tensor]]:
    """The parameters that are stacked, list by list, as :class:`Muon` documents."""
    alike: dict[Any, list[torch.Tensor]] = {}
    for p in params:
        alike.setdefault((p.shape, p.dtype, p.device, p.grad.dtype), []).append(p)
    lists = []
    for same in alike.values():
        length = len(same) if foreach or same[0].is_cuda else max(1, CPU_BLOCK // same[0].numel())
        length = 1 if foreach is False else length
        lists += [same[i : i + length] for i in range(0, len(same), length)]
    return lists


def momenta(optimizer: Optimizer, group: dict[str, Any], params: list[torch.Tensor]) -> list[torch.Tensor]:
    """``U`` of each parameter: its momentum is updated, and with ``nesterov`` the gradient mixed in once more."""
    grads = [p.grad for p in params]
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    for p in params:
        if "momentum_buffer" not in optimizer.state[p]:
            optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p.grad, memory_format=torch.preserve_format)
    buffers = [optimizer.state[p]["momentum_buffer"] for p in params]
    torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
    return torch._foreach_lerp(grads, buffers, group["momentum"]) if group["nesterov"] else buffers


def orthogonalized(updates: list[torch.Tensor], group: dict[str, Any], eps: float) -> list[torch.Tensor]:
    """``O(U)`` of updates of one shape, in their type; computed in one batch, in the type that the group asks for."""
    first = updates[0]
    matrices = stack(updates, working_dtype(group["dtype"], first))
    factors = newton_schulz_(matrices, group["ns_steps"], group["coefficients"], eps)
    return list(factors.to(first.dtype).view(len(updates), *first.shape).unbind(0))


def working_dtype(dtype: torch.dtype | None, tensor: torch.Tensor) -> torch.dtype:
    """The type of the iteration, where none is asked for the one that :class:`Muon` documents."""
    if dtype is not None:
        return dtype
    if tensor.is_cuda and tensor.dtype != torch.float64:
        return torch.bfloat16
    return torch.promote_types(tensor.dtype, torch.float32)


def stack(tensors: list[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """Tensors of one shape as matrices ``(count, rows, columns)``, copied into one block of another type."""
    first = tensors[0]
    block = torch.empty((len(tensors), *first.shape), dtype=dtype, device=first.device)
    torch._foreach_copy_(list(block.unbind(0)), tensors)
    return block.flatten(2)


def newton_schulz_(
    x: torch.Tensor, steps: int = 5, coefficients: tuple[float, float, float] = MUON, eps: float = 1e-7
) -> torch.Tensor:
    """:func:`~companion.optim.orthogonalize.newton_schulz` of a batch ``(count, rows, columns)``, which it overwrites.

    Three products a step, with the sums in them: ``A = X X^T``, ``B = b A + c A A``, ``X <- a X + B X``; on the other
    side where there are more rows than columns, so that nothing is turned around.
    """
    a, b, c = coefficients
    tall = x.shape[-2] > x.shape[-1]
    single = len(x) == 1
    x = x[0] if single else x
    x.div_(torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp_(min=eps))
    product = torch.addmm if single else torch.baddbmm
    for _ in range(steps):
        gram = x.mT @ x if tall else x @ x.mT
        polynomial = product(gram, gram, gram, beta=b, alpha=c)
        x = product(x, x, polynomial.mT, beta=a) if tall else product(x, polynomial, x, beta=a)
    return x[None] if single else x


def shape_factor(adjust_lr: Adjust | None, shape: torch.Size) -> float:
    """``s``, by which the rate of parameters of a shape is multiplied."""
    rows, columns = shape[0], math.prod(shape[1:])
    if adjust_lr == "original":
        return math.sqrt(max(1.0, rows / columns))
    return 0.2 * math.sqrt(max(rows, columns)) if adjust_lr == "match_rms_adamw" else 1.0
