"""Executable companions to papers on the theory of training."""

__version__ = "0.1.0"
