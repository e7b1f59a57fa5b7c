"""Coordinate descent itself, all runs at once, and the coordinates that it is given."""

from collections.abc import Iterable, Iterator

import torch


def uniform(n: int, runs: int, epochs: int, seed: int, device: str) -> Iterator[torch.Tensor]:
    """RCD's coordinates, drawn uniformly and independently: for each epoch ``(runs, n)``."""
    generator = torch.Generator(device).manual_seed(seed)
    for _ in range(epochs):
        yield torch.randint(n, (runs, n), generator=generator, device=device)


def coordinate_descent(
    A: torch.Tensor,
    x: torch.Tensor,
    passes: Iterable[torch.Tensor],
) -> Iterator[torch.Tensor]:
    """Exact coordinate minimization of ``x^T A x / 2``, all runs at once.

    Parameters
    ----------
    A : unit diagonal, ``(..., n, n)``
    x : starts, ``(..., runs, n)``; changed in place
    passes : for each epoch the coordinates of every run, ``(runs, n)``

    Yields
    ------
    The iterates after each epoch; scaling them in place rescales the run.
    """
    for coordinates in passes:
        for i in coordinates.T:
            gradient = (A[..., i, :] * x).sum(-1, keepdim=True)
            x.scatter_add_(-1, i[:, None].expand(*gradient.shape), -gradient)
        yield x
