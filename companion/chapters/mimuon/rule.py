"""The update of MiMuon: the momentum, orthogonalized where a test of its singular values allows it.

    M_t = beta g_t + (1 - beta) M_{t-1},        W_t = (1 - eta lambda) W_{t-1} - eta D(M_t),

    D(M) = U V^T  where the test passes,  M  where it does not,          M = U S V^T.

``beta`` is the weight of the *new* gradient. Muon passes always, SGD with momentum never.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from companion.chapters.mimuon.spectrum import clipped, newton_schulz, singular_values, smallest_gap, smallest_value

TESTS = ("always", "never", "gap", "sigma_min", "fro", "clip")


@dataclass(frozen=True)
class Rule:
    """A method: which momenta it orthogonalizes, and its step size."""

    name: str
    test: str
    """One of :data:`TESTS`; ``"clip"`` is the continuous mix, which has no branches."""
    tau: float = 0.0
    """The threshold."""
    lr: float | None = None
    """Its own step size; ``None`` for the one of the comparison."""

    def __post_init__(self):
        if self.test not in TESTS:
            raise ValueError(f"test: got {self.test!r}, allowed: {', '.join(TESTS)}")


def passes(momentum: torch.Tensor, test: str, tau: float) -> torch.Tensor:
    """Which of the matrices ``(..., m, n)`` are to be orthogonalized, ``(...)``.

    ===========  ========================================
    always       all
    never, clip  none
    gap          ``min |s_i - s_j| >= tau``
    sigma_min    ``min s_i >= tau``
    fro          ``||M||_F >= tau``
    ===========  ========================================

    Minima are over the nonzero singular values.
    """
    if test == "gap":
        return smallest_gap(singular_values(momentum)) >= tau
    if test == "sigma_min":
        return smallest_value(singular_values(momentum)) >= tau
    if test == "fro":
        return torch.linalg.matrix_norm(momentum) >= tau
    shape = momentum.shape[:-2]
    return torch.full(shape, test == "always", device=momentum.device)


def direction(
    momentum: torch.Tensor,
    rules: Sequence[Rule],
    orthogonalize: Callable[[torch.Tensor], torch.Tensor] = newton_schulz,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each rule subtracts, before the step size.

    Parameters
    ----------
    momentum : ``(K, ..., m, n)``, the matrices of rule k at ``momentum[k]``
    rules : K of them
    orthogonalize : for example ``polar``

    Returns
    -------
    direction ``(K, ..., m, n)``, and which matrices were orthogonalized, ``(K, ...)``
    """
    pairs = zip(momentum, rules, strict=True)
    chosen = torch.stack([passes(each, rule.test, rule.tau) for each, rule in pairs])
    mixed = momentum.clone()
    mixed[chosen] = orthogonalize(momentum[chosen])
    for k, rule in enumerate(rules):
        if rule.test == "clip":
            mixed[k] = clipped(momentum[k], rule.tau)
    return mixed, chosen
