"""Optimizers as torch.optim.Optimizer subclasses, one file each."""

from companion.optim.sam import SAM

__all__ = ["SAM"]
