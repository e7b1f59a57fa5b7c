"""Optimizers as torch.optim.Optimizer subclasses, one file each."""

from companion.optim.sam import SAM
from companion.optim.signum import Signum

__all__ = ["SAM", "Signum"]
