"""Low-rank adaptation: a frozen linear layer plus a trained product of two thin matrices.

>>> import torch
>>> layer = LoRALinear(torch.nn.Linear(6, 4), rank=2)
>>> layer(torch.ones(3, 6)).shape, [name for name, p in layer.named_parameters() if p.requires_grad]
(torch.Size([3, 4]), ['A', 'B'])
"""

import torch


class LoRALinear(torch.nn.Module):
    """``x -> W x + b + B A x`` with ``W`` and ``b`` frozen (Hu and others 2022, without their factor ``alpha / r``).

    Parameters
    ----------
    base : the layer ``(W, b)``, ``W`` of shape ``(out, in)``; its parameters no longer ask for gradients
    rank : ``r``, at most ``in`` and ``out``
    generator : CPU generator of ``A``, normal with variance ``1 / in``; ``B`` is zero at the start

    Raises
    ------
    ValueError
        If ``rank`` is out of range.
    """

    def __init__(self, base: torch.nn.Linear, rank: int, *, generator: torch.Generator | None = None):
        super().__init__()
        out, fan_in = base.weight.shape
        if not 1 <= rank <= min(out, fan_in):
            raise ValueError(f"rank: got {rank}, allowed: an integer from 1 to {min(out, fan_in)}")
        self.base = base.requires_grad_(False)
        like = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.A = torch.nn.Parameter(torch.randn(rank, fan_in, generator=generator).to(**like) * fan_in**-0.5)
        self.B = torch.nn.Parameter(torch.zeros(out, rank, **like))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., in)`` to ``(..., out)``."""
        return self.base(x) + (x @ self.A.mT) @ self.B.mT

    def delta(self) -> torch.Tensor:
        """What is added to ``W``: the product ``B A``, shape ``(out, in)``."""
        return (self.B @ self.A).detach()


def adapt(model: torch.nn.Module, rank: int, *, generator: torch.Generator | None = None) -> dict[str, LoRALinear]:
    """Freeze a model and put a :class:`LoRALinear` in the place of every linear layer; the model is changed in place.

    Returns
    -------
    The new layers by name, in the model's order.
    """
    model.requires_grad_(False)
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    layers = {name: LoRALinear(module, rank, generator=generator) for name, module in linear}
    for name, layer in layers.items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer)
    return layers
