"""One battery for all optimizers of the library: a new optimizer is one more line in ``OPTIMIZERS``.

The second half asks what users of ``torch.optim`` take for granted: copies, pickles, schedulers, hooks, odd gradients,
states of other optimizers, closures that fail.
"""

import copy
import io
import math
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import companion.optim
from companion.optim import AMUSE, SAM, MiMuon, Muon, ScheduleFreeAdamW, ScheduleFreeSGD, Signum


@dataclass(frozen=True)
class Case:
    """An optimizer under test.

    ``make(params, **options)`` builds it, ``bad`` are options that it must refuse, ``scale_free`` options with which
    the places where it evaluates the loss do not depend on the gradient's scale, ``None`` where there are none;
    ``calls`` of the closure in a step. ``shapes`` are the two parameters of the problem, ``extra`` of one more.
    ``anchor`` is what a rate of zero leaves in place: the parameter, unless that averages what came before.
    """

    name: str
    make: Callable[..., torch.optim.Optimizer]
    bad: dict[str, Any] = field(default_factory=dict)
    maximize: bool = True
    scale_free: dict[str, Any] | None = field(default_factory=dict)
    calls: int = 2
    complex: bool = True
    checks_shapes: bool = True
    shapes: tuple[tuple[int, ...], ...] = ((3, 2), (4,))
    extra: tuple[int, ...] = (2,)
    anchor: Callable[..., torch.Tensor] = lambda optimizer, p: p.detach()

    def problem(self, dtype=torch.float64):
        return problem(dtype, shapes=self.shapes)

    def anchors(self, optimizer, params):
        return [self.anchor(optimizer, p).clone() for p in params]


def z_of(optimizer, p):
    """The sequence that takes the steps, where the parameter is a mixture with its average."""
    return optimizer.iterates(p)[2]


SGD, ADAM = torch.optim.SGD, torch.optim.Adam
still = {"lr": 0.0}
matrices = {"shapes": ((3, 2), (2, 2)), "extra": (3, 2)}
OPTIMIZERS = [
    Case(
        "SAM",
        lambda p, **o: SAM(p, SGD, **{"rho": 0.05, "lr": 0.1, "momentum": 0.9} | o),
        {"rho": -0.5},
        scale_free=still,
        checks_shapes=False,
    ),
    Case(
        "SAM linf",
        lambda p, **o: SAM(p, SGD, **{"norm": "linf", "rho": 0.05, "lr": 0.1} | o),
        {"rho": math.nan},
        scale_free=still,
        checks_shapes=False,
    ),
    Case(
        "SAM none",
        lambda p, **o: SAM(p, SGD, **{"norm": "none", "rho": 0.05, "lr": 0.1} | o),
        {"norm": "l1"},
        scale_free=None,
        checks_shapes=False,
    ),
    Case("Signum", lambda p, **o: Signum(p, **{"lr": 0.05, "beta": 0.9} | o), {"beta": 1.0}, calls=1),
    Case(
        "SAM Adam",
        lambda p, **o: SAM(p, ADAM, **{"rho": 0.05, "lr": 0.05} | o),
        {"lr": -1.0},
        scale_free=still,
        checks_shapes=False,
    ),
    Case(
        "SAM Signum",
        lambda p, **o: SAM(p, Signum, **{"rho": 0.05, "lr": 0.05} | o),
        {"beta": -1.0},
        scale_free=still,
        checks_shapes=False,
    ),
    Case(
        "ScheduleFreeSGD",
        lambda p, **o: ScheduleFreeSGD(p, **{"lr": 0.2, "momentum": 0.8} | o),
        {"momentum": 1.0, "C": -3.0},
        scale_free=None,
        calls=1,
        anchor=z_of,
    ),
    Case(
        "ScheduleFreeAdamW",
        lambda p, **o: ScheduleFreeAdamW(p, **{"lr": 0.2, "C": 5.0} | o),
        {"lr": -2.0, "eps": math.nan},
        scale_free=None,
        calls=1,
        anchor=z_of,
    ),
    Case(
        "Muon",
        lambda p, **o: Muon(p, **{"lr": 0.05} | o),
        {"momentum": 1.0, "adjust_lr": "rms"},
        scale_free=None,
        calls=1,
        complex=False,
        **matrices,
    ),
    Case(
        "AMUSE",
        lambda p, **o: AMUSE(p, **{"lr": 0.2, "warmup_steps": 3, "rho": 0.5} | o),
        {"rho": 1.5, "beta1": -0.5, "warmup_steps": 1},
        scale_free=None,
        calls=1,
        anchor=z_of,
    ),
    Case(
        "MiMuon",
        lambda p, **o: MiMuon(p, **{"lr": 0.1, "tau": 0.5} | o),
        {"tau": -0.5, "criterion": "rank", "sgd_lr": math.nan},
        scale_free=None,
        calls=1,
        complex=False,
        **matrices,
    ),
]

each_optimizer = pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)


def problem(dtype=torch.float64, seed=0, shapes=((3, 2), (4,))):
    """Two parameters of different shape and a smooth convex loss of both."""
    generator = torch.Generator().manual_seed(seed)
    params = [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)) for shape in shapes
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


def assert_close(tensors, others):
    """Equal up to a few roundings of float64."""
    assert all(torch.allclose(a, b, rtol=1e-13, atol=1e-13) for a, b in zip(tensors, others, strict=True))


def test_every_optimizer_of_the_library_is_on_the_list():
    tested = {type(case.make(case.problem()[0])).__name__ for case in OPTIMIZERS}
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
    params, loss = case.problem(dtype)
    first = loss().item()
    values = train(case.make(params), loss, 60)
    assert values[0] == first
    assert loss().item() < 0.2 * first
    assert all(p.dtype == dtype and torch.isfinite(p).all() for p in params)


@each_optimizer
def test_parameter_groups_have_their_own_learning_rate(case):
    params, loss = case.problem()
    before = copies(params)
    optimizer = case.make([{"params": [params[0]]}, {"params": [params[1]], "lr": 0.0}])
    train(optimizer, loss, 3)
    assert not torch.equal(params[0], before[0])
    assert torch.equal(params[1], before[1])


@each_optimizer
def test_group_added_later_is_trained_too(case):
    params, loss = case.problem()
    before = copies(params)
    optimizer = case.make([params[0]])
    optimizer.add_param_group({"params": [params[1]]})
    train(optimizer, loss, 3)
    assert not torch.equal(params[1], before[1])


@each_optimizer
def test_state_dict_round_trip_continues_the_same_run(case):
    params, loss = case.problem()
    optimizer = case.make(params)
    train(optimizer, loss, 5)
    stored = io.BytesIO()
    torch.save(optimizer.state_dict(), stored)
    stored.seek(0)
    others, other_loss = case.problem()
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
        params, loss = case.problem()
        train(case.make(params, foreach=foreach), loss, 20)
        ends.append(params)
    assert_close(*ends)  # the same operations in another order of memory


@each_optimizer
def test_parameter_without_gradient_is_left_alone(case):
    params, loss = case.problem()
    idle = torch.nn.Parameter(torch.ones(case.extra, dtype=torch.float64))
    train(case.make([*params, idle]), loss, 3)
    assert torch.equal(idle, torch.ones_like(idle))
    assert idle.grad is None


@each_optimizer
def test_step_without_any_gradient_changes_nothing(case):
    params, _ = case.problem()
    before = copies(params)
    constant = torch.zeros((), dtype=torch.float64)
    case.make(params).step(lambda: constant)
    assert all(torch.equal(a, b) for a, b in zip(params, before, strict=True))


@each_optimizer
def test_bad_hyper_parameter_is_refused_with_its_value(case):
    for name, value in case.bad.items():
        with pytest.raises(ValueError) as error:
            case.make(case.problem()[0], **{name: value})
        assert str(value) in str(error.value)


@each_optimizer
def test_maximizing_equals_minimizing_the_negative(case):
    if not case.maximize:
        pytest.skip("maximize is not offered")
    params, loss = case.problem()
    others, other_loss = case.problem()
    up = train(case.make(params, maximize=True), loss, 5, sign=-1.0)
    down = train(case.make(others), other_loss, 5)
    assert up == [-value for value in down]
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))


def same_run(optimizer, loss, params, other, other_loss, others, steps=5):
    """Whether both go on alike, weight for weight."""
    values = train(optimizer, loss, steps) == train(other, other_loss, steps)
    return values and all(torch.equal(a, b) for a, b in zip(params, others, strict=True))


class Model(torch.nn.Module):
    """The problem as a module, which can be copied and pickled together with its optimizer."""

    def __init__(self, shapes):
        super().__init__()
        params, _ = problem(shapes=shapes)
        self.params = torch.nn.ParameterList(params)

    def forward(self):
        return sum((p**4).sum() for p in self.params)


@each_optimizer
@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"])
@pytest.mark.parametrize("steps_before", [0, 4])
def test_a_copy_of_model_and_optimizer_continues_the_same_run_by_itself(case, how, steps_before):
    model = Model(case.shapes)
    optimizer = case.make(list(model.params), lr=0.01)
    train(optimizer, model, steps_before)
    other, other_optimizer = how((model, optimizer))
    before = copies(other.params)
    train(optimizer, model, 3)
    assert all(torch.equal(a, b) for a, b in zip(other.params, before, strict=True)), "the copy is not separate"
    train(other_optimizer, other, 3)
    assert same_run(optimizer, model, model.params, other_optimizer, other, other.params)
    for group in other_optimizer.param_groups:  # one set of groups, in a copy too
        group["lr"] = 0.0
    before = case.anchors(other_optimizer, other.params)
    train(other_optimizer, other, 1)
    assert_close(case.anchors(other_optimizer, other.params), before)
    assert repr(other_optimizer)


@each_optimizer
def test_a_copy_can_be_stored_loaded_and_given_more_parameters(case):
    optimizer = copy.deepcopy(case.make(case.problem()[0]))
    optimizer.load_state_dict(optimizer.state_dict())
    extra = torch.nn.Parameter(torch.ones(case.extra, dtype=torch.float64))
    optimizer.add_param_group({"params": [extra]})
    extra.grad = torch.ones_like(extra)
    optimizer.step(lambda: torch.zeros(()))
    assert not torch.equal(extra, torch.ones_like(extra))
    optimizer.load_state_dict(optimizer.state_dict())
    others = [*case.problem()[0], torch.nn.Parameter(torch.ones(case.extra, dtype=torch.float64))]
    never_copied = case.make([{"params": others[:2]}, {"params": others[2:]}])
    optimizer.load_state_dict(never_copied.state_dict())


@each_optimizer
@pytest.mark.parametrize("call", [1, 2])
def test_a_closure_that_raises_leaves_the_weights_and_a_usable_optimizer(case, call):
    params, loss = case.problem()
    optimizer = case.make(params)
    train(optimizer, loss, 3)
    before, closure, calls = copies(params), closure_of(optimizer, loss), []

    def failing():
        calls.append(None)
        if len(calls) == call:
            raise KeyboardInterrupt
        return closure()

    if call > case.calls:
        pytest.skip("calls the closure once")
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(failing)
    assert all(torch.equal(a, b) for a, b in zip(params, before, strict=True))
    train(optimizer, loss, 3)
    assert not any(torch.equal(a, b) for a, b in zip(params, before, strict=True))


@each_optimizer
@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize(("dtype", "factor"), [(torch.float32, 1e-30), (torch.float32, 1e30), (torch.float64, 1e-200)])
def test_gradients_whose_squares_underflow_or_overflow_have_their_direction(case, foreach, dtype, factor):
    if case.scale_free is None:
        pytest.skip("moves with the gradient's length")
    seen = {}
    for scale in (1.0, factor):
        params, loss = case.problem(dtype)
        optimizer = case.make(params, foreach=foreach, **case.scale_free)
        places = seen[scale] = []

        def closure(params=params, loss=loss, optimizer=optimizer, places=places, scale=scale):
            places.append(torch.cat([p.detach().flatten() for p in params]))
            optimizer.zero_grad()
            value = scale * loss()
            value.backward()
            return value

        for _ in range(3):
            optimizer.step(closure)
    first, other = (torch.stack(seen[scale]) for scale in (1.0, factor))
    # The quotient by the largest entry, and the factor itself, are rounded: some units of the last place.
    assert torch.allclose(first, other, rtol=0, atol=20 * torch.finfo(dtype).eps)
    assert not torch.allclose(first[0], first[1], rtol=0, atol=1e-3)


@each_optimizer
@pytest.mark.parametrize("foreach", [True, False])
def test_complex_weights_are_pairs_of_real_ones(case, foreach):
    params, _ = problem(shapes=((6,), (4,)))
    if not case.complex:
        with pytest.raises(ValueError, match="complex"):
            case.make([torch.nn.Parameter(torch.ones(2, 2, dtype=torch.complex128))])
        return
    pairs = [torch.nn.Parameter(torch.view_as_complex(p.detach().clone().reshape(-1, 2))) for p in params]

    def loss_of(numbers):
        return sum(((x - 1) ** 2).sum() for x in numbers)

    values = train(case.make(params, foreach=foreach, lr=0.01), lambda: loss_of(params), 5)
    of_pairs = train(case.make(pairs, foreach=foreach, lr=0.01), lambda: loss_of(map(torch.view_as_real, pairs)), 5)
    assert of_pairs == pytest.approx(values)
    for real, pair in zip(params, pairs, strict=True):
        assert torch.allclose(torch.view_as_real(pair.detach()).flatten(), real.detach().flatten())


@each_optimizer
def test_empty_parameter_is_no_obstacle(case):
    params, loss = case.problem()
    empty = torch.nn.Parameter(torch.empty(0, 3, dtype=torch.float64))
    before = copies(params)
    train(case.make([*params, empty]), lambda: loss() + empty.sum(), 2)
    assert not torch.equal(params[0], before[0])


@each_optimizer
def test_sparse_gradients_are_refused_by_name_before_anything_moves(case):
    weight = torch.nn.Parameter(torch.ones(4, 2))
    optimizer = case.make([weight])

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.embedding(torch.tensor([1, 1]), weight, sparse=True).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match=f"{type(optimizer).__name__} does not support sparse gradients"):
        optimizer.step(closure)
    assert torch.equal(weight, torch.ones_like(weight))


@each_optimizer
@pytest.mark.parametrize("stranger", ["SGD", "Adam", "model", "fewer", "other shapes", "a list"])
def test_a_foreign_state_is_refused_when_it_is_loaded(case, stranger):
    params, loss = case.problem()
    optimizer = case.make(params)
    train(optimizer, loss, 3)
    if stranger in ("SGD", "Adam"):
        others, other_loss = case.problem()
        other = getattr(torch.optim, stranger)(others)
        train(other, other_loss, 1)
        state = other.state_dict()
    elif stranger == "model":
        state = torch.nn.Linear(2, 2).state_dict()
    elif stranger == "a list":
        state = [optimizer.state_dict()]
    else:
        larger = [tuple(n + 2 for n in shape) for shape in case.shapes]
        sizes = larger[:1] if stranger == "fewer" else larger
        others = [torch.nn.Parameter(torch.ones(size)) for size in sizes]
        other = case.make(others)
        train(other, lambda: sum((p**2).sum() for p in others), 1)
        state = other.state_dict()
        if stranger == "other shapes" and not case.checks_shapes:
            pytest.skip("the base optimizer's business: torch's own do not look at shapes")
    twins = copies(params)
    kept = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError):
        optimizer.load_state_dict(state)
    assert str(optimizer.state_dict()) == str(kept)
    assert all(torch.equal(a, b) for a, b in zip(params, twins, strict=True))
    fresh, fresh_loss = case.problem()
    for mine, other in zip(params, fresh, strict=True):
        other.data.copy_(mine.data)
    restored = case.make(fresh)
    restored.load_state_dict(kept)
    assert same_run(optimizer, loss, params, restored, fresh_loss, fresh)


@each_optimizer
def test_a_state_is_loaded_though_a_scheduler_has_left_its_marks_on_either_side(case):
    optimizer = case.make(case.problem()[0])
    plain = optimizer.state_dict()
    torch.optim.lr_scheduler.StepLR(optimizer, 10)
    marked = optimizer.state_dict()
    optimizer.load_state_dict(plain)
    case.make(case.problem()[0]).load_state_dict(marked)


def steps_of(optimizer, loss, halves):
    """One step, by a closure or, where the optimizer has them, in two halves."""
    closure = closure_of(optimizer, loss)
    if halves:
        closure()
        optimizer.first_step()
        closure()
        optimizer.second_step()
    else:
        optimizer.step(closure)


@each_optimizer
@pytest.mark.parametrize("halves", [False, True], ids=["closure", "halves"])
def test_scheduler_sees_the_step_and_sets_its_rate(case, halves):
    params, loss = case.problem()
    optimizer = case.make(params, lr=0.1)
    if halves and not hasattr(optimizer, "first_step"):
        pytest.skip("has no halves")
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns if the scheduler's step comes before the optimizer's
        steps_of(optimizer, loss, halves)
        scheduler.step()
    before = case.anchors(optimizer, params)
    steps_of(optimizer, loss, halves)
    assert_close(case.anchors(optimizer, params), before)


@each_optimizer
@pytest.mark.parametrize("halves", [False, True], ids=["closure", "halves"])
def test_step_hooks_are_called_once_around_each_step(case, halves):
    params, loss = case.problem()
    optimizer = case.make(params)
    if halves and not hasattr(optimizer, "first_step"):
        pytest.skip("has no halves")
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(("before", params[0].detach().clone())))
    optimizer.register_step_post_hook(lambda *_: seen.append(("after", params[0].detach().clone())))
    for _ in range(2):
        steps_of(optimizer, loss, halves)
    assert [when for when, _ in seen] == ["before", "after"] * 2
    assert torch.equal(seen[-1][1], params[0])
    assert not torch.equal(seen[1][1], seen[3][1])


@each_optimizer
def test_hooks_of_saving_and_loading_are_called(case):
    optimizer, seen = case.make(case.problem()[0]), []
    optimizer.register_state_dict_pre_hook(lambda *_: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda *_: seen.append("saved"))
    optimizer.register_load_state_dict_pre_hook(lambda *_: seen.append("load"))
    optimizer.register_load_state_dict_post_hook(lambda *_: seen.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["save", "saved", "load", "loaded"]


@each_optimizer
def test_bad_option_of_a_group_added_later_is_refused_and_the_group_left_out(case):
    for name, value in case.bad.items():
        if name == "norm":
            continue  # not an option of groups
        optimizer = case.make(case.problem()[0])
        if name == "lr" and case.name == "SAM Adam":
            continue  # torch's Adam looks at its options when it is made, not when a group is added
        with pytest.raises(ValueError, match=name):
            optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(case.extra))], name: value})
        assert len(optimizer.param_groups) == 1
