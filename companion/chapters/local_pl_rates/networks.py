"""Small networks with exact derivatives, many at once, and the linear recursion that their residuals end in.

A network is ``F(x) = sum_k v_k tanh(w_k . x)``; the loss of N samples is ``f = sum_i r_i^2 / (2 N)`` with the residuals
``r_i = F(x_i) - y_i``. R networks are the rows of ``theta``, ``(R, P)`` with ``P = width (d + 1)``: first the weights
w, then v. Inputs are ``(R, N, d)``, targets ``(R, N)``: every network has data of its own.
"""

from dataclasses import dataclass

import numpy as np
import torch

from companion.models.stepping import Stepper


@dataclass(frozen=True)
class Task:
    """Data of R networks of one width."""

    inputs: torch.Tensor
    targets: torch.Tensor
    width: int

    @property
    def samples(self) -> int:
        """N."""
        return self.targets.shape[1]

    def layers(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights ``w (R, width, d)`` and ``v (R, width, 1)``."""
        split = theta.shape[1] - self.width
        return theta[:, :split].reshape(len(theta), self.width, -1), theta[:, split:, None]

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """``r``, ``(R, N)``."""
        w, v = self.layers(theta)
        return (torch.tanh(self.inputs @ w.mT) @ v)[..., 0] - self.targets

    def loss(self, theta: torch.Tensor) -> torch.Tensor:
        """``f``, ``(R,)``."""
        return self.residuals(theta).square().mean(-1) / 2

    def pull(self, theta: torch.Tensor, chosen: torch.Tensor | None = None) -> torch.Tensor:
        """``mean_i r_i grad r_i``, ``(R, P)``, over all samples or over those at ``chosen (R, B)``."""
        x, y = self.inputs, self.targets
        if chosen is not None:
            x = x.gather(1, chosen[..., None].expand(*chosen.shape, x.shape[2]))
            y = y.gather(1, chosen)
        w, v = self.layers(theta)
        z = torch.tanh(x @ w.mT)
        r = (z @ v) - y[..., None]
        hidden = r * v.mT * (1 - z.square())
        scale = 1 / r.shape[1]
        return torch.cat([(hidden.mT @ x).flatten(1), (z.mT @ r)[..., 0]], dim=1) * scale

    def kernel(self, theta: torch.Tensor) -> torch.Tensor:
        """``J J^T``, ``(R, N, N)``, J the derivatives of the residuals."""
        w, v = self.layers(theta)
        z = torch.tanh(self.inputs @ w.mT)
        slope = v.mT * (1 - z.square())
        return z @ z.mT + (slope @ slope.mT) * (self.inputs @ self.inputs.mT)

    def trace(self, theta: torch.Tensor) -> torch.Tensor:
        """The trace of :meth:`kernel`, ``(R,)``, without its other entries."""
        w, v = self.layers(theta)
        z = torch.tanh(self.inputs @ w.mT)
        slope = v.mT * (1 - z.square())
        return (z.square().sum(-1) + slope.square().sum(-1) * self.inputs.square().sum(-1)).sum(-1)

    def noise(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``f``, and ``E |xi|^2`` of the gradient of one random sample, each ``(R,)``."""
        r, kernel = self.residuals(theta), self.kernel(theta)
        whole = (r[:, None] @ kernel @ r[..., None])[:, 0, 0] / self.samples**2
        each = (r.square() * kernel.diagonal(dim1=-2, dim2=-1)).mean(-1)
        return r.square().mean(-1) / 2, each - whole


def draw_task(
    rng: np.random.Generator,
    nets: int,
    samples: int,
    width: int,
    inputs: int,
    init_scale: float,
    target_scale: float,
    device: str = "cpu",
) -> tuple[Task, torch.Tensor]:
    """Standard normal inputs, normal targets and weights; the task and the start ``theta``."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.tensor(rng.normal(size=shape), device=device)

    task = Task(normal(nets, samples, inputs), target_scale * normal(nets, samples), width)
    w, v = init_scale * normal(nets, width * inputs), init_scale / width**0.5 * normal(nets, width)
    return task, torch.cat([w, v], dim=1)


@dataclass(frozen=True)
class Training:
    """Gradient descent with a step that follows the sharpness."""

    #: ``(R, P)``: each network where its loss fell below the goal, or where it was at the end
    theta: torch.Tensor
    #: values, noise: f and E |xi|^2 before every block of steps and at the end, ``(blocks + 1, R)``
    values: np.ndarray
    noise: np.ndarray


BLOCK = 100  # steps of training between two measurements of the sharpness


def train(task: Task, theta: torch.Tensor, steps: int, goal: float, fraction: float = 0.5) -> Training:
    """Gradient descent with step ``fraction / L``, L the largest eigenvalue of ``J J^T / N``.

    L is measured every BLOCK steps; in between it is taken to change like the trace. A network whose loss is below
    ``goal`` stands still from then on.
    """

    def step(theta: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        moving = scale / task.trace(theta) * (task.loss(theta) > goal)
        return theta - moving[:, None] * task.pull(theta)

    stepper, kept, made = Stepper(step, (theta,)), [], 0
    while True:
        at = stepper.state[0]
        kept.append([part.cpu().numpy() for part in task.noise(at)])
        if made >= steps or (kept[-1][0] <= goal).all():
            break
        scale = fraction * task.trace(at) / extremes(task.kernel(at) / task.samples)[1]
        block = min(BLOCK, steps - made)
        stepper.run(block, scale.expand(block, -1))
        made += block
    return Training(at, *map(np.array, zip(*kept, strict=True)))


def extremes(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Least and largest eigenvalues of symmetric matrices ``(R, N, N)``."""
    values = torch.linalg.eigvalsh(matrices)
    return values[:, 0], values[:, -1]


def descend(
    task: Task, theta: torch.Tensor, lr: torch.Tensor, steps: int, chosen: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient descent, or SGD on the samples ``chosen (steps, R, B)``.

    Returns
    -------
    theta : at the end
    values : the loss after each step, ``(steps, R)``
    """

    def step(theta: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        return theta - lr[:, None] * task.pull(theta, *batch)

    stepper = Stepper(step, (theta,), record=task.loss)
    values = stepper.run(steps, *(() if chosen is None else (chosen,)))
    return stepper.state[0], values


def linearized(
    kernel: torch.Tensor,
    r: torch.Tensor,
    lr: torch.Tensor,
    steps: int,
    chosen: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss under the linear recursion with a fixed kernel, ``(steps, R)``.

    ``r <- (I - lr K / N) r`` for gradient descent, ``r <- r - lr / B K[:, b] r[b]`` for
    a batch b of B samples.

    Parameters
    ----------
    kernel : ``K = J J^T``, ``(R, N, N)``
    r : residuals at the start, ``(R, N)``
    lr : ``(R,)``
    chosen : the batches, ``(steps, R, B)``, repetition allowed
    """

    def step(r: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        if not batch:
            return r - lr[:, None] * (kernel @ r[..., None])[..., 0] / r.shape[1]
        (b,) = batch
        columns = kernel.gather(2, b[:, None].expand(-1, r.shape[1], -1))
        return r - lr[:, None] * (columns * r.gather(1, b)[:, None]).mean(-1)

    batches = () if chosen is None else (chosen,)
    stepper = Stepper(step, (r,), record=lambda r: r.square().mean(-1) / 2)
    return stepper.run(steps, *batches)
