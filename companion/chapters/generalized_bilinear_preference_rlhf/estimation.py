"""Estimating a skew-symmetric matrix from duels: maximum likelihood on counts, plain and with a nuclear norm.

Duels enter through counts alone, ``(N, C, K, K)``: how often action ``a`` met ``b`` in a context, and how often it won.
The cost of a fit does not grow with the number of rounds.
"""

import torch

from companion.chapters.generalized_bilinear_preference_rlhf.duels import Counts


def upper(features: torch.Tensor) -> torch.Tensor:
    """Design of all pairs: ``w_ab . theta = phi_a^T Theta phi_b`` for ``theta`` the upper triangle of ``Theta``.

    ``(N, C, K, d)`` to ``(N, C K (K - 1) / 2, d (d - 1) / 2)``.
    """
    actions, d = features.shape[-2:]
    a, b = torch.triu_indices(actions, actions, 1, device=features.device)
    i, j = torch.triu_indices(d, d, 1, device=features.device)
    first, second = features[..., a, :], features[..., b, :]
    return (first[..., i] * second[..., j] - first[..., j] * second[..., i]).flatten(1, 2)


def pairs(counts: torch.Tensor) -> torch.Tensor:
    """Entries above the diagonal, ``(N, C, K, K)`` to ``(N, C K (K - 1) / 2)``."""
    a, b = torch.triu_indices(*counts.shape[-2:], 1, device=counts.device)
    return counts[..., a, b].flatten(1, 2)


def skew(theta: torch.Tensor, d: int) -> torch.Tensor:
    """The skew-symmetric matrices with the given upper triangles, ``(N, d (d - 1) / 2)`` to ``(N, d, d)``."""
    i, j = torch.triu_indices(d, d, 1, device=theta.device)
    matrix = torch.zeros(*theta.shape[:-1], d, d, dtype=theta.dtype, device=theta.device)
    matrix[..., i, j] = theta
    return matrix - matrix.mT


def skew_mle(
    design: torch.Tensor,
    counts: Counts,
    ridge: float,
    start: torch.Tensor,
    tolerance: float = 1e-3,
    iterations: int = 8,
) -> torch.Tensor:
    """Ridge logistic regression over skew matrices by damped Newton on counts.

    Minimizes ``sum over duels of log(1 + exp(-+logit)) + ridge / 2 |theta|^2``. A step that would move some logit by
    ``rho`` is shortened by ``log(1 + rho) / rho``, which for the logistic loss always decreases the objective. A duel
    of ``b`` against ``a`` that ``b`` wins is one of ``a`` against ``b`` that ``a`` loses, so only pairs are kept.

    Parameters
    ----------
    design : of :func:`upper`, ``(N, pairs, p)``
    start : ``(N, p)``
    tolerance : stop when no logit moved further in the last step
    """
    duels = pairs(counts.duels + counts.duels.mT)
    wins = pairs(counts.wins + (counts.duels - counts.wins).mT)
    theta = start
    eye = ridge * torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)
    for _ in range(iterations):
        chance = torch.sigmoid((design @ theta[..., None])[..., 0])
        gradient = (design.mT @ (duels * chance - wins)[..., None])[..., 0] + ridge * theta
        hessian = design.mT @ ((duels * chance * (1 - chance))[..., None] * design) + eye
        step = torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky(hessian))[..., 0]
        moved = (design @ step[..., None]).abs().amax((-2, -1))
        theta = theta - (torch.log1p(moved) / moved.clamp_min(1e-300))[:, None].clamp_max(1.0) * step
        if float(moved.max()) < tolerance:
            break
    return theta


def shrink(matrix: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Soft-threshold the singular values: the proximal map of the nuclear norm. Skew matrices stay skew.

    The singular values of a skew matrix come in equal pairs, of which both are shrunk alike.
    """
    u, s, vh = torch.linalg.svd(matrix)
    shrunk = (u * (s - threshold[..., None]).clamp_min(0)[..., None, :]) @ vh
    return (shrunk - shrunk.mT) / 2


def curvature(features: torch.Tensor, share: torch.Tensor, iterations: int = 30) -> torch.Tensor:
    """Largest curvature of the mean logistic loss over skew matrices, by power iteration, a tenth to spare, ``(N,)``.

    ``share`` is each pair's share of all duels, symmetric, ``(N, C, K, K)``.
    """
    d = features.shape[-1]
    flat = features.flatten(1, 2)
    matrix = torch.triu(torch.ones(d, d, dtype=features.dtype, device=features.device), 1)
    matrix = (matrix - matrix.mT).expand(len(features), d, d)
    size = matrix.new_ones(len(features))
    for _ in range(iterations):
        matrix = matrix / size.clamp_min(1e-300)[:, None, None]
        seen = share * (features @ matrix[:, None] @ features.mT)
        matrix = flat.mT @ (seen @ features).flatten(1, 2)
        size = matrix.norm(dim=(-2, -1))
    return 1.1 * size / 4


def nuclear_norm_mle(
    features: torch.Tensor, counts: Counts, weight: torch.Tensor, iterations: int = 100
) -> torch.Tensor:
    """Minimize mean logistic loss + ``weight`` * nuclear norm over skew matrices.

    FISTA, its momentum restarted where it points uphill (O'Donoghue and Candes).

    Parameters
    ----------
    features : ``(N, C, K, d)``
    weight : ``lambda``, ``(N,)``

    Returns
    -------
    ``(N, d, d)``
    """
    total = counts.duels.sum((-3, -2, -1))[:, None, None, None]
    # Duels of (a, b) and (b, a) say the same; shared, they make the gradient skew.
    share = (counts.duels + counts.duels.mT) / (2 * total)
    lead = (counts.wins + (counts.duels - counts.wins).mT) / (2 * total) - share / 2
    bound = curvature(features, share).clamp_min(1e-12)
    flat = features.flatten(1, 2)
    theta = features.new_zeros(len(features), features.shape[-1], features.shape[-1])
    ahead, momentum = theta, features.new_ones(len(features))
    for _ in range(iterations):
        logits = features @ ahead[:, None] @ features.mT
        residual = share * torch.tanh(logits / 2) / 2 - lead
        gradient = flat.mT @ (residual @ features).flatten(1, 2)
        following = shrink(ahead - gradient / bound[:, None, None], weight / bound)
        moved = following - theta
        uphill = ((ahead - following) * moved).sum((-2, -1)) > 0
        momentum = torch.where(uphill, 1.0, momentum)
        grown = (1 + (1 + 4 * momentum**2).sqrt()) / 2
        ahead = following + ((momentum - 1) / grown)[:, None, None] * moved
        theta, momentum = following, grown
    return theta
