"""Optimizers as torch.optim.Optimizer subclasses, one file each."""
