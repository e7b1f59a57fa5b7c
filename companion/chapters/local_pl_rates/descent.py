"""Gradient descent with and without noise or momentum, many runs at once, and the rate read off a run."""

from collections.abc import Callable

import numpy as np
import torch

from companion.chapters.local_pl_rates.valleys import Bowl, Valley

Problem = Valley | Bowl
Directions = Callable[[Problem, torch.Tensor], torch.Tensor]

CHECK_EVERY = 32  # steps after which a run looks whether all its replicas are at the bottom


def sgd(
    problem: Problem,
    x: torch.Tensor,
    lr: torch.Tensor,
    steps: int,
    *,
    sigma: torch.Tensor | float = 0.0,
    directions: Directions | None = None,
    additive: float | None = None,
    momentum: torch.Tensor | float = 0.0,
    until: float = 0.0,
) -> tuple[torch.Tensor, np.ndarray]:
    """SGD, with noise that vanishes with ``f``, and heavy ball.

    ``x <- x - lr (grad f(x) + xi) + momentum (x - x_before)``. The noise
    ``xi = sqrt(sigma f(x)) z``, ``E |z|^2 = 1``, obeys ``E |xi|^2 = sigma (f - f*)``.

    Parameters
    ----------
    problem : with ``f* = 0``
    x : starts, ``(runs, m, c)``
    lr, sigma, momentum : ``(runs,)``, or a number
    steps : at most so many
    directions : draws ``z`` at ``x``; without it there is no noise
    additive : noise of this second moment for ever, in place of ``sigma f``
    until : stop where all runs have ``f`` below it

    Returns
    -------
    x : the last iterates
    values : ``f`` from the start on, ``(steps made + 1, runs)``
    """
    lr, momentum = (
        torch.as_tensor(one, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
        for one in (lr, momentum)
    )  # fmt: skip
    heavy, before, values = bool((momentum != 0).any()), x, []
    for step in range(steps + 1):
        value, direction = problem.value_and_gradient(x)
        values.append(value)
        looks = step % CHECK_EVERY == 0
        if step == steps or (looks and bool((value < until).all())):
            break
        if directions is not None:
            second = additive + 0 * value if additive is not None else sigma * value
            xi = second.sqrt()[:, None, None] * directions(problem, x)
            direction = direction + xi
        moved = x - lr * direction
        if heavy:
            moved, before = moved + momentum * (x - before), x
        x = moved
    return x, torch.stack(values).cpu().numpy()


def on_sphere(
    generator: torch.Generator,
    block: int,
    *,
    tangential: int = 0,
    along: float = 0.0,
) -> Directions:
    """Noise in the first ``block`` normal directions: uniform on their unit sphere.

    Parameters
    ----------
    generator : of the random numbers, on the device of the runs
    block : number of directions; for one of them it is a fair sign
    tangential : in so many of the last runs along the circles instead
    along : second moment of additional Gaussian noise along the first circle
    """

    def draw(problem: Problem, x: torch.Tensor) -> torch.Tensor:
        z = torch.randn((len(x), block), generator=generator, dtype=x.dtype, device=x.device)
        z = z / z.norm(dim=-1, keepdim=True)
        radial = len(x) - tangential
        frame = problem.normals(x[:radial, :block])
        if tangential:
            frame = torch.cat([frame, problem.tangents(x[radial:, :block])])
        noise = z[..., None] * frame
        if along:
            extra = torch.randn((len(x), 1, 1), generator=generator, dtype=x.dtype, device=x.device)
            first = noise[:, :1] + along**0.5 * extra * problem.tangents(x[:, :1])
            noise = torch.cat([first, noise[:, 1:]], dim=1)
        return torch.cat([noise, torch.zeros_like(x[:, block:])], dim=1)

    return draw


def asymptotic_rate(values: np.ndarray, high: float, low: float, least: int = 20) -> np.ndarray:
    """The factor per step, a least-squares slope of ``log f`` while f falls from ``high`` to ``low``.

    Parameters
    ----------
    values : positive, ``(steps + 1, ...)``; at the start the quadratic regime may not be reached, at the end rounding
        rules, hence the window: from the first value below ``high`` to the last above ``low``
    least : steps that the window must have

    Returns
    -------
    Array of shape ``(...)``, NaN where the window is too short or has no end within the run
    """
    values = np.asarray(values)
    inside = (values < high) & (values > low)
    ended = (values <= low).any(0) & inside.any(0)
    first, last = inside.argmax(0), len(values) - 1 - inside[::-1].argmax(0)
    step = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    weight = (step >= first) & (step <= last)
    offset = np.where(weight, step - (first + last) / 2, 0.0)
    logs = np.log(np.where(weight & (values > 0), values, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (offset * logs).sum(0) / (offset**2).sum(0)
    return np.where(ended & (last - first >= least), np.exp(slope), np.nan)
