"""Linear diagonal networks: a linear classifier whose weights are an entrywise product of layers.

A network of depth ``L`` has weights ``w^(1), …, w^(L)`` in ``R^d`` and computes ``f(x) = <beta, x>`` with the predictor
``beta = w^(1) * … * w^(L)`` (entrywise). :class:`DiagonalNet` is the network as a module;
:func:`diagonal_gradient` is the gradient of its logistic loss as a formula, for whole batches of networks at once.

>>> import torch
>>> net = DiagonalNet(depth=2, init=torch.tensor([1.0, 3.0]))
>>> net.beta()
tensor([1., 9.], grad_fn=<ProdBackward1>)
>>> net(torch.tensor([[2.0, 1.0]]))
tensor([11.], grad_fn=<MvBackward0>)
"""

import torch


class DiagonalNet(torch.nn.Module):
    """A linear diagonal network of which all layers start at the same vector.

    Parameters
    ----------
    depth : number of layers, ``L >= 1``; depth 1 is a plain linear model
    init : the vector ``alpha`` that every layer starts from, ``(d,)``

    Attributes
    ----------
    layers : the ``L`` weight vectors, each a parameter of shape ``(d,)``
    """

    def __init__(self, depth: int, init: torch.Tensor):
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth: got {depth}, allowed: an integer of at least 1")
        if init.ndim != 1:
            raise ValueError(f"init: got shape {tuple(init.shape)}, allowed: (d,)")
        self.layers = torch.nn.ParameterList(init.detach().clone() for _ in range(depth))

    def beta(self) -> torch.Tensor:
        """The predictor, the entrywise product of the layers, ``(d,)``."""
        return torch.stack(tuple(self.layers)).prod(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``<beta, x>`` for inputs ``(N, d)``: shape ``(N,)``."""
        return x @ self.beta()


def diagonal_gradient(
    w: torch.Tensor, z: torch.Tensor, count: torch.Tensor | None = None, *, normalized: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of ``(1/N) sum_i log(1 + exp(-<beta, z_i>))`` with respect to every layer, for ``R`` networks at once.

    Parameters
    ----------
    w : weights of the networks, ``(..., R, L, d)``
    z : signed examples ``y_i x_i`` that the ``R`` networks share, ``(..., N, d)``; rows of zeros are padding
    count : number of examples without the padding, ``(..., 1, 1)``; by default ``N``
    normalized : divide the gradient by ``sum_i |l'_i| / N``, in the log domain: right even where ``l'`` underflows

    Returns
    -------
    gradient : ``(..., R, L, d)``
    slope : ``-l'(<beta, z_i>) = 1 / (1 + exp(<beta, z_i>))``, ``(..., R, N)``; if normalized, its share of the sum
    """
    depth = w.shape[-2]
    if depth == 1:
        beta, others = w[..., 0, :], None
    elif depth == 2:
        beta, others = w[..., 0, :] * w[..., 1, :], w.flip(-2)
    else:
        beta = w.prod(-2)
        others = w.roll(1, -2)
        for shift in range(2, depth):
            others = others * w.roll(shift, -2)
    margins = beta @ z.mT
    if normalized:
        slope = torch.nn.functional.logsigmoid(-margins).softmax(-1)
        gradient = (slope @ z).neg_().unsqueeze(-2)
    else:
        slope = torch.sigmoid(-margins)
        gradient = (slope @ z).div_(-z.shape[-2] if count is None else -count).unsqueeze(-2)
    return (gradient if others is None else gradient * others), slope
