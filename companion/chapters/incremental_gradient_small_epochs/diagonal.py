"""Finite sums whose Hessians are all diagonal: a pass is a scalar affine map of each coordinate."""

import numpy as np
import torch

from companion.analysis.finite_sum import FiniteSumQuadratic

_ENTRIES = {"cpu": 2**18, "cuda": 2**26}  # factors held at once; a CPU's caches want few, a GPU many


class DiagonalQuadratic(FiniteSumQuadratic):
    """:class:`FiniteSumQuadratic` with ``H_i = diag(h_i)``; its passes are multiplied out some ten times as fast.

    Parameters
    ----------
    curvatures : the diagonals ``h_i``, ``(n, d)``
    b : linear terms, ``(n, d)``
    """

    def __init__(self, curvatures: np.ndarray, b: np.ndarray, device: str = "cpu"):
        super().__init__(curvatures[:, :, None] * np.eye(curvatures.shape[1]), b, device)
        self.curvatures = torch.tensor(curvatures, device=self.device)
        self.noise = torch.tensor(self.b, device=self.device)

    def epoch_map(self, etas: np.ndarray, order: np.ndarray | torch.Tensor) -> torch.Tensor:
        """The affine map of one pass, for every step size and every order, as in the base class.

        A pass over ``m`` components maps a coordinate ``y`` to ``p_0 y + eta (p_1 b_1 + ... + p_m b_m)`` with the
        products ``p_i = (1 - eta h_{i+1}) ... (1 - eta h_m)`` of what comes after.
        """
        etas = torch.tensor(np.asarray(etas, dtype=float), device=self.device)
        order = torch.as_tensor(order, device=self.device)
        flat = order.reshape(-1, order.shape[-1])
        at_once = max(1, _ENTRIES[self.device.type] // (flat.shape[1] * self.d))
        steps = min(len(etas), at_once)
        maps = torch.zeros((len(flat), len(etas), self.d + 1, self.d + 1), dtype=etas.dtype, device=self.device)
        maps[..., self.d, self.d] = 1
        for rows, into in zip(flat.split(max(1, at_once // steps)), maps.split(max(1, at_once // steps)), strict=True):
            last_first = rows.flip(-1)
            curvatures = self.curvatures[last_first].transpose(-1, -2)[:, None]  # (rows, 1, d, m)
            noise = self.noise[last_first].transpose(-1, -2)[:, None]
            for part, target in zip(etas.split(steps), into.split(steps, dim=1), strict=True):
                products = (1 - part[:, None, None] * curvatures).cumprod(-1)
                after = torch.nn.functional.pad(products[..., :-1], (1, 0), value=1.0)
                target.diagonal(dim1=-2, dim2=-1)[..., : self.d] = products[..., -1]
                target[..., : self.d, self.d] = part[:, None] * (after * noise).sum(-1)
        return maps.reshape(*order.shape[:-1], len(etas), self.d + 1, self.d + 1)
