"""One battery for all optimizers of the library: a new optimizer is one more line in ``OPTIMIZERS``."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import companion.optim
from companion.optim import SAM, Signum


@dataclass(frozen=True)
class Case:
    """An optimizer under test: ``make(params, **options)`` builds it, ``bad`` are options that it must refuse."""

    name: str
    make: Callable[..., torch.optim.Optimizer]
    bad: dict[str, Any] = field(default_factory=dict)
    maximize: bool = True


SGD, ADAM = torch.optim.SGD, torch.optim.Adam
OPTIMIZERS = [
    Case("SAM", lambda p, **o: SAM(p, SGD, **{"rho": 0.05, "lr": 0.1, "momentum": 0.9} | o), {"rho": -0.5}),
    Case("SAM linf", lambda p, **o: SAM(p, SGD, **{"norm": "linf", "rho": 0.05, "lr": 0.1} | o), {"rho": math.nan}),
    Case("SAM none", lambda p, **o: SAM(p, SGD, **{"norm": "none", "rho": 0.05, "lr": 0.1} | o), {"norm": "l1"}),
    Case("Signum", lambda p, **o: Signum(p, **{"lr": 0.05, "beta": 0.9} | o), {"beta": 1.0}),
    Case("SAM Adam", lambda p, **o: SAM(p, ADAM, **{"rho": 0.05, "lr": 0.05} | o), {"lr": -1.0}),
]

each_optimizer = pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)


def problem(dtype=torch.float64, seed=0):
    """Two parameters of different shape and a smooth convex loss of both."""
    generator = torch.Generator().manual_seed(seed)
    params = [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        for shape in ((3, 2), (4,))
    ]
    targets = [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(dtype) for p in params]

    def loss():
        return sum(((p - t) ** 2).sum() for p, t in zip(params, targets, strict=True)) / 2

    return params, loss


def closure_of(optimizer, loss, sign=1.0):
    def closure():
        optimizer.zero_grad()
        value = sign * loss()
        value.backward()
        return value

    return closure


def train(optimizer, loss, steps, sign=1.0):
    values = [optimizer.step(closure_of(optimizer, loss, sign)).item() for _ in range(steps)]
    return values


def copies(params):
    return [p.detach().clone() for p in params]


def test_every_optimizer_of_the_library_is_on_the_list():
    tested = {type(case.make(problem()[0])).__name__ for case in OPTIMIZERS}
    offered = {
        name
        for name in companion.optim.__all__
        if isinstance(getattr(companion.optim, name), type)
        and issubclass(getattr(companion.optim, name), torch.optim.Optimizer)
    }
    assert offered <= tested, f"add to OPTIMIZERS: {sorted(offered - tested)}"


@each_optimizer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_closure_step_returns_the_loss_lowers_it_and_keeps_the_dtype(case, dtype):
    params, loss = problem(dtype)
    first = loss().item()
    values = train(case.make(params), loss, 60)
    assert values[0] == first
    assert loss().item() < 0.2 * first
    assert all(p.dtype == dtype and torch.isfinite(p).all() for p in params)


@each_optimizer
def test_parameter_groups_have_their_own_learning_rate(case):
    params, loss = problem()
    before = copies(params)
    optimizer = case.make([{"params": [params[0]]}, {"params": [params[1]], "lr": 0.0}])
    train(optimizer, loss, 3)
    assert not torch.equal(params[0], before[0])
    assert torch.equal(params[1], before[1])


@each_optimizer
def test_group_added_later_is_trained_too(case):
    params, loss = problem()
    before = copies(params)
    optimizer = case.make([params[0]])
    optimizer.add_param_group({"params": [params[1]]})
    train(optimizer, loss, 3)
    assert not torch.equal(params[1], before[1])


@each_optimizer
def test_state_dict_round_trip_continues_the_same_run(case):
    params, loss = problem()
    optimizer = case.make(params)
    train(optimizer, loss, 5)
    stored = io.BytesIO()
    torch.save(optimizer.state_dict(), stored)
    stored.seek(0)
    others, other_loss = problem()
    for mine, other in zip(params, others, strict=True):
        other.data.copy_(mine.data)
    restored = case.make(others, lr=0.77)  # overwritten by what is loaded
    restored.load_state_dict(torch.load(stored))
    assert train(optimizer, loss, 5) == train(restored, other_loss, 5)
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))


@each_optimizer
def test_foreach_on_and_off_agree(case):
    ends = []
    for foreach in (True, False):
        params, loss = problem()
        train(case.make(params, foreach=foreach), loss, 20)
        ends.append(params)
    # The same operations in another order of memory: equal up to a few roundings of float64.
    assert all(torch.allclose(a, b, rtol=1e-13, atol=1e-13) for a, b in zip(*ends, strict=True))


@each_optimizer
def test_parameter_without_gradient_is_left_alone(case):
    params, loss = problem()
    idle = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    train(case.make([*params, idle]), loss, 3)
    assert torch.equal(idle, torch.ones_like(idle))
    assert idle.grad is None


@each_optimizer
def test_step_without_any_gradient_changes_nothing(case):
    params, _ = problem()
    before = copies(params)
    constant = torch.zeros((), dtype=torch.float64)
    case.make(params).step(lambda: constant)
    assert all(torch.equal(a, b) for a, b in zip(params, before, strict=True))


@each_optimizer
def test_bad_hyper_parameter_is_refused_with_its_value(case):
    for name, value in case.bad.items():
        with pytest.raises(ValueError) as error:
            case.make(problem()[0], **{name: value})
        assert str(value) in str(error.value)


@each_optimizer
def test_maximizing_equals_minimizing_the_negative(case):
    if not case.maximize:
        pytest.skip("maximize is not offered")
    params, loss = problem()
    others, other_loss = problem()
    up = train(case.make(params, maximize=True), loss, 5, sign=-1.0)
    down = train(case.make(others), other_loss, 5)
    assert up == [-value for value in down]
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))
