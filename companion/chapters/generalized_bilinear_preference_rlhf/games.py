"""Regularized symmetric games: regularizers, best responses, Nash equilibria and dual gaps, for whole batches.

Policies are stored by *dual variables* ``y``: ``pi_a = ref_a g(y_a)``, ``g`` the inverse of ``f'`` for the regularizer
``psi(pi) = sum_a ref_a f(pi_a / ref_a)``. For KL these are log-ratios, and nothing underflows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

Map = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Regularizer:
    """``psi(pi) = sum_a ref_a f(pi_a / ref_a)``, convex, with ``f(1) = f'(1) = 0``."""

    #: as in the parameters
    name: str
    #: ``psi`` is ``1/beta``-strongly convex in the 1-norm, for every reference policy
    beta: float
    #: on ratios ``x >= 0``
    f: Map
    #: ``f'(x)``
    dual: Map
    #: ``g(y)``, the ratio with ``f'(x) = y``, or 0 where ``y`` lies below ``f'(0)``
    ratio: Map
    #: ``g'(y)``
    slope: Map
    #: ``f(x) - f(x') - f'(x') (x - x')`` of two dual variables, without cancellation
    bregman: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    #: ``f'(0)``; an action whose dual variable lies below it is not played
    floor: float = -math.inf

    def centre(self, v: torch.Tensor, ref: torch.Tensor) -> torch.Tensor:
        """Dual variables ``y = v - tau`` of a policy: ``tau`` makes ``sum_a ref_a g(v_a - tau) = 1``.

        In closed form for KL. Otherwise Newton's method from the left, where the sum is at least one; the sum is convex
        in ``tau``, so it never overshoots.
        """
        if self.name == "kl":
            return v - torch.logsumexp(v + ref.log(), -1, keepdim=True)
        tau = v.amax(-1, keepdim=True) - self.dual(1 / ref.min())
        for _ in range(100):
            y = v - tau
            excess = (ref * self.ratio(y)).sum(-1, keepdim=True) - 1
            tau = tau + excess / (ref * self.slope(y)).sum(-1, keepdim=True).clamp_min(1e-300)
            if float(excess.abs().max()) < 1e-15:
                break
        return v - tau


def _kl_bregman(y, y_from):
    gap, x = y - y_from, y.exp()
    near = gap.clamp(-1, 1)
    return torch.where(gap.abs() < 1, x * (near + torch.expm1(-near)), x * (gap - 1) + y_from.exp())


# f(x) = x log x - x + 1: the reverse KL divergence to the reference policy.
KL = Regularizer(
    "kl",
    beta=1.0,
    f=lambda x: torch.xlogy(x, x) - x + 1,
    dual=torch.log,
    ratio=torch.exp,
    slope=torch.exp,
    bregman=_kl_bregman,
)


def _root(y):
    return (1 + y / 2).clamp_min(0)


# f(x) = (4 x^{3/2} - 6 x + 2) / 3, half way from KL to chi-square: f''(x) = x^{-1/2}.
TSALLIS = Regularizer(
    "tsallis",
    beta=1.0,
    f=lambda x: (4 * x**1.5 - 6 * x + 2) / 3,
    dual=lambda x: 2 * (x.sqrt() - 1),
    ratio=lambda y: _root(y) ** 2,
    slope=_root,
    bregman=lambda y, y_from: (_root(y) - _root(y_from)) ** 2 * (4 * _root(y) + 2 * _root(y_from)) / 3,
    floor=-2.0,
)

# f(x) = (x - 1)^2 / 2; the best response is a projection to the simplex.
CHI2 = Regularizer(
    "chi2",
    beta=1.0,
    f=lambda x: (x - 1) ** 2 / 2,
    dual=lambda x: x - 1,
    ratio=lambda y: (1 + y).clamp_min(0),
    slope=lambda y: (y > -1).to(y.dtype),
    bregman=lambda y, y_from: ((1 + y).clamp_min(0) - (1 + y_from).clamp_min(0)) ** 2 / 2,
    floor=-1.0,
)


def _log_ratio(y):
    """``t`` with ``t + e^t = y + 1``, by Newton's method from a start close enough for it."""
    z = y + 1
    t = torch.where(z < 1, z, z.clamp_min(1).log())
    for _ in range(7):
        t = t - (t + t.exp() - z) / (1 + t.exp())
    return t


# The sum of KL and chi-square, f'(x) = log x + x - 1: twice as strongly convex as either.
MIXED = Regularizer(
    "mixed",
    beta=0.5,
    f=lambda x: KL.f(x) + CHI2.f(x),
    dual=lambda x: x.log() + x - 1,
    ratio=lambda y: _log_ratio(y).exp(),
    slope=lambda y: torch.sigmoid(_log_ratio(y)),
    bregman=lambda y, y_from: (
        _kl_bregman(_log_ratio(y), _log_ratio(y_from)) + (_log_ratio(y).exp() - _log_ratio(y_from).exp()) ** 2 / 2
    ),
)

REGULARIZERS = {regularizer.name: regularizer for regularizer in (KL, TSALLIS, CHI2, MIXED)}


def policy(y: torch.Tensor, ref: torch.Tensor, regularizer: Regularizer) -> torch.Tensor:
    """The policy of dual variables ``y``, which are centred."""
    return ref * regularizer.ratio(y)


def best_response(
    payoff: torch.Tensor, pi: torch.Tensor, eta: torch.Tensor, ref: torch.Tensor, regularizer: Regularizer
) -> torch.Tensor:
    """Dual variables of ``argmax_q <q, M pi> - psi(q) / eta``; for KL ``q`` is proportional to ``ref e^{eta M pi}``."""
    return regularizer.centre(eta[..., None] * (payoff @ pi[..., None])[..., 0], ref)


def dual_gap(
    payoff: torch.Tensor, y: torch.Tensor, eta: torch.Tensor, ref: torch.Tensor, regularizer: Regularizer
) -> torch.Tensor:
    """``DGap(pi) = 1/2 - min_q J_eta(pi, q)`` as ``D_psi(pi, BR(pi)) / eta``, for KL ``KL(pi || BR(pi)) / eta``.

    Parameters
    ----------
    payoff : ``P - 1/2``, skew-symmetric, ``(..., K, K)``
    y : dual variables of the policy, ``(..., K)``
    eta : ``(...)``
    ref : reference policy, ``(K,)``

    Notes
    -----
    Both terms are sums of non-negative numbers: the Bregman divergence, and the price of actions that the best response
    leaves out entirely. Differences of ``J`` would lose every digit below 1e-8.
    """
    pi = policy(y, ref, regularizer)
    response = best_response(payoff, pi, eta, ref, regularizer)
    divergence = ref * regularizer.bregman(y, response)
    left_out = pi * (regularizer.floor - response).clamp_min(0) if regularizer.floor > -math.inf else 0.0
    return (divergence + left_out).sum(-1) / eta


@dataclass(frozen=True)
class Equilibrium:
    """Symmetric Nash equilibria: centred dual variables ``y``, ``(..., K)``, and residuals, ``(...)``.

    The residual is the largest entry of ``z - eta M pi(z)``; ``z = eta M pi`` is what the solver iterates on.
    """

    y: torch.Tensor
    z: torch.Tensor
    residual: torch.Tensor


def symmetric_equilibrium(
    payoff: torch.Tensor,
    eta: torch.Tensor,
    ref: torch.Tensor,
    regularizer: Regularizer,
    start: torch.Tensor | None = None,
    tolerance: float = 1e-10,
) -> Equilibrium:
    """Solve ``pi = BR(pi)`` by damped Newton, by homotopy in ``eta`` where that fails.

    Parameters
    ----------
    payoff : ``P - 1/2``, skew-symmetric, ``(..., K, K)``
    eta : inverse regularization strength, ``(...)``
    ref : reference policy, ``(K,)``
    start : ``z`` of a nearby game
    tolerance : for the residual, relative to ``max(1, eta / 100)``, for rounding
    """
    shape = payoff.shape[:-1]
    m = payoff.reshape(-1, *payoff.shape[-2:])
    goal = eta.expand(shape[:-1]).reshape(-1)
    z = m.new_zeros(m.shape[:-1]) if start is None else start.reshape(m.shape[:-1])
    residual = torch.full_like(goal, torch.inf)
    direct = torch.ones_like(goal, dtype=torch.bool) if start is not None else goal <= 4
    rows = torch.nonzero(direct)[:, 0]
    if len(rows):
        z = z.clone()
        game, goals = m[rows], goal[rows]
        found = _newton(game, goals, z[rows], ref, regularizer, tolerance, 12)
        z[rows], residual[rows] = found
    limit = tolerance * (goal / 100).clamp_min(1)
    rows = torch.nonzero(residual > limit)[:, 0]
    if len(rows):
        z = z.clone()
        found = _homotopy(m[rows], goal[rows], ref, regularizer, tolerance)
        z[rows], residual[rows] = found
    y = regularizer.centre(z, ref).reshape(shape)
    return Equilibrium(y, z.reshape(shape), residual.reshape(shape[:-1]))


def _homotopy(m, goal, ref, regularizer, tolerance):
    """Raise ``eta`` row by row, by a factor that shrinks where a step fails and recovers where it succeeds."""
    z = torch.zeros(m.shape[:-1], dtype=m.dtype, device=m.device)
    residual = torch.full_like(goal, torch.inf)
    done, factor = torch.zeros_like(goal), torch.full_like(goal, 4.0)
    ahead = goal.clamp_max(16.0)
    for _ in range(60):
        rows = torch.nonzero((done < goal) & (factor > 1.05))[:, 0]
        if not len(rows):
            break
        scale = torch.where(done[rows] > 0, ahead[rows] / done[rows].clamp_min(1e-300), 0.0)
        trial, left = _newton(m[rows], ahead[rows], z[rows] * scale[:, None], ref, regularizer, tolerance, 40)
        reached = left <= tolerance * (ahead[rows] / 100).clamp_min(1)
        good, bad = rows[reached], rows[~reached]
        z[good], residual[good], done[good] = trial[reached], left[reached], ahead[good]
        factor[good] = (factor[good] ** 1.5).clamp_max(4.0)
        factor[bad] = factor[bad] ** 0.5
        ahead[good] = torch.minimum(done[good] * factor[good], goal[good])
        ahead[bad] = torch.where(done[bad] > 0, torch.minimum(done[bad] * factor[bad], goal[bad]), ahead[bad] / 4)
    failed = torch.nonzero(done < goal)[:, 0]
    if len(failed):  # the last equilibrium that was reached, scaled, with its residual at the goal
        scale = goal[failed] / done[failed].clamp_min(1e-300)
        scale = torch.where(done[failed] > 0, scale, 0.0)
        z[failed], residual[failed] = _newton(
            m[failed], goal[failed], z[failed] * scale[:, None], ref, regularizer, tolerance, 40
        )
    return z, residual


def _newton(m, eta, z, ref, regularizer, tolerance, iterations):
    """Damped Newton on ``F(z) = z - eta M pi(z)``.

    Its Jacobian is ``I - eta M P`` with ``P = d pi / d z`` positive semidefinite; ``M P`` has the eigenvalues of the
    skew matrix ``P^{1/2} M P^{1/2}``, purely imaginary ones, so the Jacobian is invertible everywhere.
    """
    count, actions = z.shape
    eye = torch.eye(actions, dtype=z.dtype, device=z.device)
    eta = eta[:, None]

    def error(rows, z):
        y = regularizer.centre(z, ref)
        return z - eta[rows] * (m[rows] @ policy(y, ref, regularizer)[..., None])[..., 0], y

    rows = torch.arange(count, device=z.device)
    limit = tolerance * (eta[:, 0] / 100).clamp_min(1)
    z = z.clone()
    value, y = error(rows, z)
    norm = value.norm(dim=-1)
    worst = value.abs().amax(-1)
    for _ in range(iterations):
        rows = torch.nonzero(worst > limit)[:, 0]
        if not len(rows):
            break
        slope = ref * regularizer.slope(y[rows])
        total = slope.sum(-1, keepdim=True).clamp_min(1e-300)
        mp = (m[rows] - (m[rows] @ (slope / total)[..., None])) * slope[:, None, :]
        step = torch.linalg.solve(eye - eta[rows, :, None] * mp, value[rows])
        size = torch.ones(len(rows), 1, dtype=z.dtype, device=z.device)
        for _ in range(12):
            trial = z[rows] - size * step
            trial_value, trial_y = error(rows, trial)
            trial_norm = trial_value.norm(dim=-1)
            poor = ~(trial_norm <= (1 - 1e-4 * size[:, 0]) * norm[rows])
            if not bool(poor.any()):
                break
            size = torch.where(poor[:, None], size / 2, size)
        better = ~poor
        keep = rows[better]
        z[keep], y[keep], value[keep] = trial[better], trial_y[better], trial_value[better]
        norm[keep], worst[keep] = trial_norm[better], trial_value[better].abs().amax(-1)
        if not len(keep):
            break
    return z, worst
