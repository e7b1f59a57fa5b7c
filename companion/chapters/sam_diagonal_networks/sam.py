"""The algorithm for whole batches of diagonal networks: SAM's perturbation and its gradient."""

from dataclasses import dataclass

import torch

from companion.models.diagonal import diagonal_gradient

TINY = 1e-300


@dataclass(frozen=True)
class Radii:
    """Radius of each run's perturbation, ``(R, 1, 1)``; one of the three is non-zero, none for gradient descent."""

    l2: torch.Tensor
    linf: torch.Tensor
    none: torch.Tensor

    @classmethod
    def of(cls, norms: list[str], radii: list[float], device: str = "cpu") -> "Radii":
        """One run per entry; the norm is ``"l2"``, ``"linf"``, ``"none"`` or, for gradient descent, ``"gd"``."""
        rows = {
            name: [r if norm == name else 0.0 for norm, r in zip(norms, radii, strict=True)]
            for name in ("l2", "linf", "none")
        }
        return cls(
            **{name: torch.tensor(row, dtype=torch.float64, device=device)[:, None, None] for name, row in rows.items()}
        )


def joint_norm(gradient: torch.Tensor) -> torch.Tensor:
    """Euclidean norm over all layers together: ``(..., L, d)`` to ``(..., 1, 1)``."""
    return torch.linalg.vector_norm(gradient, dim=(-2, -1), keepdim=True)


def perturbation(
    gradient: torch.Tensor,
    norm: torch.Tensor,
    radii: Radii,
) -> torch.Tensor:
    """SAM's ascent step from a gradient ``(..., R, L, d)``; zero where that is zero."""
    along = radii.l2 / norm.clamp_min(TINY) + radii.none
    return torch.addcmul(gradient * along, radii.linf, gradient.sign())


def sam_gradient(
    w: torch.Tensor,
    z: torch.Tensor,
    radii: Radii,
    count: torch.Tensor | None = None,
    *,
    normalized: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient and slopes ``-l'`` at the perturbed weights of a batch of networks.

    The networks may differ in their norm and radius. ``normalized`` divides by the
    slopes' mean, which is the change of clock to rescaled time.
    """
    gradient, _ = diagonal_gradient(w, z, count, normalized=normalized)
    ahead = w + perturbation(gradient, joint_norm(gradient), radii)
    return diagonal_gradient(ahead, z, count, normalized=normalized)
