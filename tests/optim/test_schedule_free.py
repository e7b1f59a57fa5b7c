import copy
import math
import shutil
import sys
import warnings

import pytest
import pytorch_optimizer
import schedulefree
import torch

from companion.optim import ScheduleFreeAdamW, ScheduleFreeSGD, averaging_weights, schedule_free

# A few hundred roundings of float64 on numbers of order one.
ROUNDING = {"rtol": 0, "atol": 1e-12}
SHAPES = [(4, 3), (5,), (2, 2, 2)]


@pytest.fixture(autouse=True)
def path_of_imports(monkeypatch):
    """The compiler's imports put setuptools' own packages on it, which are not this environment's."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def start(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64)) for s in SHAPES]


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


def gradients(steps, seed=1):
    """The same for every optimizer, whatever it does to them: peers overwrite what they are given."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield [torch.randn(s, generator=generator, dtype=torch.float64) + 0.3 for s in SHAPES]


def step(optimizer, params, grads):
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()
    optimizer.step()


class Reference:
    """The three sequences as the papers write them."""

    def __init__(self, start, lr, beta, beta2=None, eps=1e-8, decay=0.0, warmup=0, r=0.0, power=2.0, C=None):
        self.x = self.y = self.z = flat(start)
        self.v = torch.zeros_like(self.x)
        self.t, self.total, self.largest = 0, 0.0, 0.0
        self.options = (lr, beta, beta2, eps, decay, warmup, r, power, C)

    def step(self, grads):
        lr, beta, beta2, eps, decay, warmup, r, power, C = self.options
        self.t += 1
        g = flat(grads)
        rate = lr * min(1, self.t / max(warmup, 1))
        if beta2 is not None:
            self.v = beta2 * self.v + (1 - beta2) * g**2
            g = g / (torch.sqrt(self.v / (1 - beta2**self.t)) + eps)
        self.z = self.z - rate * (g + decay * self.y)
        self.largest = max(self.largest, rate)
        weight = self.t**r * self.largest**power
        self.total += weight
        c = weight / self.total if C is None else min(1, (1 - beta) * C * weight / self.total)
        self.x = (1 - c) * self.x + c * self.z
        self.y = (1 - beta) * self.z + beta * self.x


OPTIONS = [
    {},
    {"warmup_steps": 10, "weight_decay": 0.1},
    {"r": 1.5, "weight_lr_power": 1.0, "warmup_steps": 7},
    {"C": 3.0, "warmup_steps": 10},
    {"C": 20.0, "weight_decay": 0.01},
]


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["SGD", "AdamW", "AdamW, one pass"])
def test_optimizer_follows_the_formulas_at_x_y_and_z(kind, options, beta, foreach, monkeypatch):
    monkeypatch.setattr(schedule_free, "_compiled_pass", lambda: schedule_free.adamw_pass)  # what is compiled
    params = start()
    names = {"weight_decay": "decay", "warmup_steps": "warmup", "weight_lr_power": "power"}
    formula = {names.get(name, name): value for name, value in options.items()}
    if kind == "SGD":
        optimizer = ScheduleFreeSGD(params, lr=0.1, momentum=beta, foreach=foreach, **options)
        reference = Reference(params, 0.1, beta, **formula)
    else:
        optimizer = ScheduleFreeAdamW(
            params, lr=0.1, betas=(beta, 0.97), foreach=foreach, **options, compiled="pass" in kind
        )
        reference = Reference(params, 0.1, beta, 0.97, **formula)
    for t, grads in enumerate(gradients(60)):
        step(optimizer, params, grads)
        reference.step(grads)
        assert torch.allclose(flat(params), reference.y, **ROUNDING)
        if t % 7 == 3:
            optimizer.eval()
            assert torch.allclose(flat(params), reference.x, **ROUNDING)
            optimizer.train()
    xyz = [flat(column) for column in zip(*map(optimizer.iterates, params), strict=True)]
    expected = [reference.x, reference.y, reference.z]
    assert all(torch.allclose(a, b, **ROUNDING) for a, b in zip(xyz, expected, strict=True))
    optimizer.eval()
    xyz = [flat(column) for column in zip(*map(optimizer.iterates, params), strict=True)]
    assert all(torch.allclose(a, b, **ROUNDING) for a, b in zip(xyz, expected, strict=True))


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="no compiler for torch.compile")
def test_compiled_step_is_the_same_step():
    params, others = start(), start()
    options = {"lr": 0.05, "weight_decay": 0.1, "warmup_steps": 5, "C": 3.0}
    compiled, plain = ScheduleFreeAdamW(params, **options, compiled=True), ScheduleFreeAdamW(others, **options)
    torch._dynamo.utils.counters.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for grads in gradients(20):
            step(compiled, params, grads)
            step(plain, others, grads)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1, "one pass, compiled once"
    assert not torch._dynamo.utils.counters["graph_break"]
    assert torch.allclose(flat(params), flat(others), **ROUNDING)
    compiled.eval()
    plain.eval()
    assert torch.allclose(flat(params), flat(others), **ROUNDING)


def test_without_a_compiler_one_warning_is_given_and_the_step_made_as_ever(monkeypatch):
    def fails(*_):
        raise torch._dynamo.exc.TorchDynamoException("No working C++ compiler\nand a long story")

    monkeypatch.setattr(schedule_free, "_compiled_pass", lambda: fails)
    monkeypatch.setattr(schedule_free, "_no_compiler", [])
    ends = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for compiled in (True, True, False):
            params = start()
            optimizer = ScheduleFreeAdamW(params, lr=0.05, compiled=compiled)
            for grads in gradients(5):
                step(optimizer, params, grads)
            ends.append(flat(params))
    assert [str(w.message) for w in caught] == [
        "ScheduleFreeAdamW: compiled=True needs a compiler that works (No working C++ compiler); "
        "it steps by foreach instead"
    ]
    assert torch.allclose(ends[0], ends[2], **ROUNDING)
    assert torch.allclose(ends[1], ends[2], **ROUNDING)


def test_tensors_of_several_types_are_compiled_apart(monkeypatch):
    seen = []
    monkeypatch.setattr(schedule_free, "_no_compiler", [])
    monkeypatch.setattr(schedule_free, "_compiled_pass", lambda: lambda *lists: seen.append(lists))
    params = [torch.nn.Parameter(torch.ones(2, dtype=t)) for t in (torch.float32, torch.float64, torch.float32)]
    for p in params:
        p.grad = torch.ones_like(p)
    ScheduleFreeAdamW(params, compiled=True).step()
    assert [(len(ys), numbers.dtype) for ys, _, _, _, numbers in seen] == [(2, torch.float32), (1, torch.float64)]


def both(ours, mine, peer, theirs, steps=200):
    """Largest difference at ``y``, after every step, and at ``x``, after some; relative to the largest weight."""
    at_y, at_x = 0.0, 0.0
    if hasattr(peer, "train"):
        peer.train()
    for t, grads in enumerate(gradients(steps)):
        step(ours, mine, grads)
        step(peer, theirs, grads)
        at_y = max(at_y, ((flat(mine) - flat(theirs)).abs().max() / flat(theirs).abs().max()).item())
        if t % 20 == 19:
            ours.eval()
            peer.eval()
            at_x = max(at_x, ((flat(mine) - flat(theirs)).abs().max() / flat(theirs).abs().max()).item())
            ours.train()
            peer.train()
    return at_x, at_y


PEER_OPTIONS = [
    {},
    {"warmup_steps": 30, "weight_decay": 0.05},
    {"r": 1.0, "weight_lr_power": 1.0, "warmup_steps": 20},
]


# The bound asked for is 1e-6; both round some ten times a step, two hundred times.
@pytest.mark.parametrize("options", PEER_OPTIONS, ids=str)
def test_sgd_equals_schedulefree_over_two_hundred_steps(options):
    mine, theirs = start(), start()
    peer = schedulefree.SGDScheduleFree(theirs, lr=0.05, momentum=0.9, **options)
    assert max(both(ScheduleFreeSGD(mine, lr=0.05, momentum=0.9, **options), mine, peer, theirs)) < 1e-12


@pytest.mark.parametrize("options", PEER_OPTIONS, ids=str)
def test_adamw_equals_schedulefree_over_two_hundred_steps(options):
    mine, theirs = start(), start()
    peer = schedulefree.AdamWScheduleFree(theirs, lr=0.05, betas=(0.9, 0.99), **options)
    assert max(both(ScheduleFreeAdamW(mine, lr=0.05, betas=(0.9, 0.99), **options), mine, peer, theirs)) < 1e-12


def test_a_falling_rate_weighs_in_the_average_as_the_largest_does():
    mine, theirs = start(), start()
    ours, peer = ScheduleFreeSGD(mine, lr=0.1), schedulefree.SGDScheduleFree(theirs, lr=0.1)
    peer.train()
    for grads in gradients(40):
        for optimizer in (ours, peer):
            optimizer.param_groups[0]["lr"] *= 0.9
        step(ours, mine, grads)
        step(peer, theirs, grads)
    assert torch.allclose(flat(mine), flat(theirs), **ROUNDING)


@pytest.mark.parametrize("C", [None, 3, 20])
@pytest.mark.parametrize("options", PEER_OPTIONS, ids=str)
def test_refined_adamw_equals_pytorch_optimizer_over_two_hundred_steps(options, C):
    mine, theirs = start(), start()
    peer = pytorch_optimizer.ScheduleFreeAdamW(theirs, lr=0.05, betas=(0.9, 0.99), decoupling_c=C or 0, **options)
    ours = ScheduleFreeAdamW(mine, lr=0.05, betas=(0.9, 0.99), C=C, **options)
    assert max(both(ours, mine, peer, theirs)) < 1e-12


def test_the_constant_of_the_original_rule_is_the_original_rule():
    ends = []
    for C in (None, 1 / (1 - 0.9), 5.0):
        params = start()
        optimizer = ScheduleFreeSGD(params, lr=0.1, momentum=0.9, C=C)
        for grads in gradients(50):
            step(optimizer, params, grads)
        optimizer.eval()
        ends.append(flat(params))
    assert torch.allclose(ends[0], ends[1], **ROUNDING)
    assert not torch.allclose(ends[0], ends[2], rtol=0, atol=1e-3)


@pytest.mark.parametrize(("beta", "C"), [(0.9, None), (0.0, None), (0.5, 2.0), (0.9, 3.0), (0.5, 30.0)])
def test_average_weighs_the_gradient_points_as_the_closed_form_says(beta, C):
    params = start()
    origin, points = flat(params), []
    optimizer = ScheduleFreeSGD(params, lr=0.1, momentum=beta, C=C)
    for grads in gradients(40):
        step(optimizer, params, grads)
        points.append(flat(params))
    optimizer.eval()
    weights = averaging_weights(40, beta, C)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    if C is None or 1 / (1 - beta) <= C:
        assert torch.allclose(weights @ torch.stack(points), flat(params), **ROUNDING)
    else:  # the first point's weight is shared with the starting point
        rest = flat(params) - weights[1:] @ torch.stack(points[1:])
        c = (1 - beta) * C
        first = c / ((1 - beta) * (1 - c) + c)
        assert torch.allclose(rest, weights[0] * ((1 - first) * origin + first * points[0]), **ROUNDING)


def test_refined_weights_grow_as_the_power_of_the_constant():
    t = torch.arange(1, 4001, dtype=torch.float64)
    weights = averaging_weights(4000, 0.5, C=5.0)
    expected = (t / 4000) ** 4 * 5 / 4000
    # a_t = C / (t + beta C): corrections of order C^2 / t.
    assert torch.allclose(weights[2000:], expected[2000:], rtol=0.02)


@pytest.mark.parametrize("bad", [{"steps": 0}, {"beta": 1.0}, {"beta": -0.1}, {"C": 0.0}, {"C": math.nan}])
def test_weights_refuse_what_is_out_of_range(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        averaging_weights(**{"steps": 3, "beta": 0.5} | bad)


@pytest.mark.parametrize("make", [ScheduleFreeSGD, ScheduleFreeAdamW])
@pytest.mark.parametrize("mode", [True, False])
def test_state_round_trips_in_either_mode(make, mode):
    params, others = start(), start(5)
    optimizer, restored = make(params, lr=0.05), make(others, lr=7.0)
    for grads in gradients(5):
        step(optimizer, params, grads)
    optimizer.train(mode)
    for p, q in zip(params, others, strict=True):
        q.data.copy_(p.data)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.train()
    restored.train()
    for grads in gradients(5, seed=2):
        step(optimizer, params, grads)
        step(restored, others, grads)
    assert torch.equal(flat(params), flat(others))
    assert torch.equal(flat([*optimizer.eval().iterates(params[0])]), flat([*restored.eval().iterates(others[0])]))


@pytest.mark.parametrize("make", [ScheduleFreeSGD, ScheduleFreeAdamW])
def test_modes_switch_once_and_a_step_outside_training_is_refused(make):
    params = start()
    optimizer = make(params, lr=0.05)
    for grads in gradients(3):  # it starts in training mode
        step(optimizer, params, grads)
    y = flat(params)
    optimizer.train()
    assert torch.equal(flat(params), y)
    optimizer.eval()
    x = flat(params)
    optimizer.eval()
    assert torch.equal(flat(params), x)
    assert not torch.allclose(x, y)
    with pytest.raises(RuntimeError, match=r"evaluation mode.*train\(\)"):
        optimizer.step(lambda: pytest.fail("the closure is not called"))
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    assert [group["train_mode"] for group in optimizer.param_groups] == [False, False]
    assert torch.allclose(flat(params), x)
    optimizer.train()
    assert torch.allclose(flat(params), y, **ROUNDING)


@pytest.mark.parametrize("make", [ScheduleFreeSGD, ScheduleFreeAdamW])
@pytest.mark.parametrize("foreach", [True, False])
def test_gradients_are_left_as_they_are(make, foreach):
    params = start()
    optimizer = make(params, lr=0.05, weight_decay=0.1, maximize=True, foreach=foreach)
    for grads in gradients(2):
        step(optimizer, params, grads)
        assert torch.equal(flat([p.grad for p in params]), flat(grads))


def test_group_that_has_not_moved_yet_has_no_average_of_its_own():
    params = start()
    optimizer = ScheduleFreeSGD(params, lr=0.0)
    before = flat(params)
    for grads in gradients(3):
        step(optimizer, params, grads)
    optimizer.eval()
    assert torch.equal(flat(params), before)
    x, y, z = optimizer.iterates(params[0])
    assert torch.equal(x, y)
    assert torch.equal(x, z)
    with pytest.raises(ValueError, match="iterates"):
        optimizer.iterates(torch.ones(3))


@pytest.mark.parametrize(
    "bad",
    [
        {"lr": -0.1},
        {"lr": math.nan},
        {"weight_decay": -1.0},
        {"warmup_steps": -1},
        {"r": -1.0},
        {"weight_lr_power": -1.0},
        {"C": 0.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [ScheduleFreeSGD, ScheduleFreeAdamW])
def test_bad_options_are_refused_for_groups_too(make, bad):
    ((name, value),) = bad.items()
    p = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=f"{name}: got {value!r}"):
        make([p], **bad)
    with pytest.raises(ValueError, match=f"{name}: got"):
        make([{"params": [p], **bad}])


@pytest.mark.parametrize(
    "make", [lambda p, b: ScheduleFreeSGD(p, momentum=b), lambda p, b: ScheduleFreeAdamW(p, 1, (b, 0))]
)
@pytest.mark.parametrize("beta", [-0.1, 1.0])
def test_interpolation_is_at_least_zero_and_below_one(make, beta):
    with pytest.raises(ValueError, match=str(beta)):
        make([torch.nn.Parameter(torch.ones(1))], beta)
