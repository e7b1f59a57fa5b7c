"""Fairness for a metric: the transfer bound, and predictors trained to be fair, all of them at once."""

from dataclasses import dataclass

import torch

from companion.chapters.individual_fairness_bradley_terry.learning import aligned

FISTA_STEPS = 200
RIDGE = 1e-3  # penalty of ridge regression, relative to the mean square of the representation


@dataclass(frozen=True)
class Slack:
    """How far a learned metric may be from the truth, in the two forms that the transfer bound offers."""

    #: ``sqrt(delta)``, ``delta = ||U U' - M*||_op``, shape ``(...)``
    root: torch.Tensor
    #: ``||U R - U*||_op`` with the Procrustes rotation ``R``, which is at least the minimum over all ``R``
    factor: torch.Tensor

    @property
    def best(self) -> torch.Tensor:
        """The smaller one."""
        return torch.minimum(self.root, self.factor)


def transfer_slack(factor: torch.Tensor, truth: torch.Tensor) -> Slack:
    """The slack in ``|f - f'| <= L d_{M*} + L slack ||x - x'||``, true if ``f`` is L-Lipschitz for ``U U'``.

    Parameters
    ----------
    factor, truth : ``(..., d, r)``
    """
    delta = torch.linalg.matrix_norm(factor @ factor.mT - truth @ truth.mT, 2)
    return Slack(delta.sqrt(), torch.linalg.matrix_norm(aligned(factor, truth), 2))


def lipschitz_functions(z: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Functions of a representation with Lipschitz constant 1 in the Euclidean norm, ``(J, ..., n)``.

    From J anchors ``a_j``: a third of the functions are linear along ``a_j``, a third are the distance to ``a_j``,
    a third the distance to the nearest of the first j + 1 anchors.

    Parameters
    ----------
    z : ``(..., n, r)``
    anchors : ``(J, r)``
    """
    third = max(1, len(anchors) // 3)
    values = []
    for j, anchor in enumerate(anchors):
        if j < third:
            values.append(z @ (anchor / anchor.norm().clamp_min(1e-12)))
        elif j < 2 * third:
            values.append((z - anchor).norm(dim=-1))
        else:
            values.append(torch.stack([(z - other).norm(dim=-1) for other in anchors[: j + 1]]).amin(0))
    return torch.stack(values)


def project(c: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Nearest points in balls: columns ``c`` ``(..., d, R)``, radii ``(R,)``."""
    return c * (radius / c.norm(dim=-2).clamp_min(1e-300)).clamp_max(1.0)[..., None, :]


@dataclass(frozen=True)
class Predictors:
    """Linear scores ``w'x + b`` of R predictors for each batch entry: ``w`` ``(B, d, R)``, ``b`` ``(B, R)``."""

    w: torch.Tensor
    b: torch.Tensor

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, n, R)`` for individuals ``(B, n, d)``."""
        return x @ self.w + self.b[..., None, :]

    def probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """The logistic of the scores."""
        return torch.sigmoid(self.scores(x))


def fair_logistic(
    x: torch.Tensor,
    y: torch.Tensor,
    factors: torch.Tensor,
    lipschitz: torch.Tensor,
    steps: int = FISTA_STEPS,
) -> Predictors:
    """Logistic regression among the predictors that are L-Lipschitz for ``U U'``.

    These are ``w = U c`` with ``||c|| <= 4 L``. The program is convex in ``(c, b)``;
    accelerated projected gradient with the step size ``1/(lambda_max/4)``.

    Parameters
    ----------
    x, y : ``(B, n, d)`` and labels 0, 1 ``(B, n)``
    factors : ``(R, B, d, k)``, narrower ones padded with zero columns
    lipschitz : ``L`` of each, ``(R,)``; infinite for no constraint
    """
    n = x.shape[1]
    U = factors.permute(1, 0, 2, 3)  # (B, R, d, k)
    radius = 4 * lipschitz
    ones = torch.cat([x, torch.ones_like(x[..., :1])], -1)
    gram = ones.mT @ ones / n
    wide = x.new_zeros(*U.shape[:2], U.shape[2] + 1, U.shape[3] + 1)
    wide[..., :-1, :-1], wide[..., -1, -1] = U, 1.0
    eta = 4 / torch.linalg.matrix_norm(wide.mT @ gram[:, None] @ wide, 2)  # (B, R)
    c = torch.zeros(x.shape[0], U.shape[3], U.shape[1], dtype=x.dtype, device=x.device)
    b = torch.zeros_like(c[:, 0])
    c_ahead, b_ahead, momentum = c, b, 1.0
    for _ in range(steps):
        w = torch.einsum("brdk,bkr->bdr", U, c_ahead)
        residual = (torch.sigmoid(x @ w + b_ahead[:, None]) - y[..., None]) / n
        slope = torch.einsum("brdk,bdr->bkr", U, x.mT @ residual)
        c_new = project(c_ahead - eta[:, None] * slope, radius)
        b_new = b_ahead - eta * residual.sum(1)
        ahead = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        weight = (momentum - 1) / ahead
        c_ahead, b_ahead = c_new + weight * (c_new - c), b_new + weight * (b_new - b)
        c, b, momentum = c_new, b_new, ahead
    return Predictors(torch.einsum("brdk,bkr->bdr", U, c), b)


def twin_gap(predictors: Predictors, x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Mean ``|f(x + p) - f(x - p)|`` over individuals, ``(B, R)``: twins on both sides of ``x``.

    Parameters
    ----------
    x : ``(B, n, d)``
    direction : ``p``, ``(B, d, 1)``
    """
    step = direction.mT
    return (predictors.probabilities(x + step) - predictors.probabilities(x - step)).abs().mean(1)


def violation(change: torch.Tensor, distance: torch.Tensor, lipschitz: torch.Tensor) -> torch.Tensor:
    """Mean of the positive part of ``|f - f'| - L d`` over pairs, for each predictor.

    Parameters
    ----------
    change : ``|f - f'|``, ``(n, R)``
    distance : ``(n,)``
    lipschitz : ``L``, ``(R,)``
    """
    return (change - lipschitz * distance[:, None]).clamp_min(0).mean(0)


def split(batch: int, n: int, held_out: int, source: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rows for training and the ``held_out`` others for testing, ``(batch, n - held_out)`` and the rest."""
    order = torch.rand(batch, n, generator=source, device=source.device).argsort(-1)
    return order[:, held_out:], order[:, :held_out]


def pad(factor: torch.Tensor, width: int) -> torch.Tensor:
    """``factor`` with zero columns up to ``width``."""
    return torch.nn.functional.pad(factor, (0, width - factor.shape[-1]))


def leakage(w: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """``||P w||`` with ``P`` the projection on ``ker M*``: the part of a predictor that the truth gives no licence for.

    Parameters
    ----------
    w : ``(B, d, R)``
    truth : ``U*``, ``(B, d, r)``
    """
    frame = torch.linalg.qr(truth).Q
    return (w - frame @ (frame.mT @ w)).norm(dim=-2)


def least_squares_in_ball(x: torch.Tensor, y: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Least squares with ``||w|| <= radius``, ``(B, d)``: ridge regression whose penalty is found by bisection."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(x.mT @ x / x.shape[1])
    b = (vectors.mT @ (x.mT @ y[..., None] / x.shape[1]))[..., 0]
    low, high = torch.full_like(radius, 1e-9), torch.full_like(radius, 1e6)
    for _ in range(100):
        middle = (low * high).sqrt()
        outside = (b / (values + middle[:, None])).norm(dim=-1) > radius
        low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
    return (vectors @ (b / (values + high[:, None]))[..., None])[..., 0]


def ridge(x: torch.Tensor, y: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Ridge regression on ``U'x``, as a coefficient vector for ``x``: ``(B, n, d)``, ``(B, n)`` to ``(B, d)``."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    z = x @ factor
    z_scale = z.square().sum((1, 2)).div(z.shape[1] * z.shape[2]).clamp_min(1e-300)
    eye = torch.eye(z.shape[-1], dtype=x.dtype, device=x.device)
    gram = z.mT @ z / z.shape[1] + RIDGE * z_scale[:, None, None] * eye
    return (factor @ torch.linalg.solve(gram, z.mT @ y[..., None] / z.shape[1]))[..., 0]
