"""Muon: momentum, orthogonalized, for matrices and for batches of them."""

from collections.abc import Iterable

import torch

from companion.optim.orthogonalize import newton_schulz


def muon_step(
    average: torch.Tensor, gradient: torch.Tensor, momentum: float = 0.95
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next average of gradients, and the direction to move against.

    ``average <- momentum average + (1 - momentum) gradient``; then Nesterov's mixture
    ``momentum average + (1 - momentum) gradient``, orthogonalized by five Newton-Schulz
    steps. All shapes ``(..., m, n)``.
    """
    average = torch.lerp(gradient, average, momentum)
    return average, newton_schulz(torch.lerp(gradient, average, momentum), eps=1e-30)


class Muon(torch.optim.Optimizer):
    """Muon without weight decay, for parameters ``(..., m, n)``, each matrix orthogonalized by itself.

    The same step as ``torch.optim.Muon`` (step sizes multiplied by ``sqrt(max(1, m / n))`` included), which takes
    single matrices only and orthogonalizes in bfloat16.

    Parameters
    ----------
    matrices : parameters, single matrices or batches of them
    lr : step size
    momentum : in [0, 1)
    """

    def __init__(self, matrices: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95):
        if not (lr >= 0 and 0 <= momentum < 1):
            raise ValueError(f"lr, momentum: got {lr!r}, {momentum!r}, allowed: lr at least 0, momentum in [0, 1)")
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """One update; ``closure``, if given, computes the loss that is returned."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                average = state.get("average", torch.zeros_like(p))
                state["average"], direction = muon_step(average, p.grad, group["momentum"])
                p.sub_(direction, alpha=group["lr"] * max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5)
        return loss
