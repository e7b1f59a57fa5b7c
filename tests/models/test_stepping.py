"""Three ways of making steps give the numbers of a naive loop.

``cpu`` is the plain loop, ``cuda`` the graphs on a GPU, ``taped`` the graphs' bookkeeping on a CPU: a recording there
is the list of torch's operations with the tensors that they read and wrote, and a replay makes the same operations on
the same memory, as CUDA does. Whatever Python decided while recording is frozen in both.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from companion.models import stepping
from companion.models.stepping import Stepper, run_steps


class Tape(TorchDispatchMode):
    """Notes every operation that torch makes."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, out))
        return out

    def replay(self):
        for func, args, kwargs, out in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(out), tensors(again), strict=True):
                if old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():  # neither in place nor a view
                    old.copy_(new)


def tensors(value):
    return [t for t in (value if isinstance(value, (tuple, list)) else [value]) if isinstance(t, torch.Tensor)]


class TapedGraphs(stepping._Graphs):
    """Graphs without a GPU; ``written`` are the tensors that a body may change, as recording must not change them."""

    def __init__(self, written):
        self.written, self.recorded, self.beside, self.replays = written, [], 0, 0
        super().__init__(torch.device("cpu"))

    def _prepare(self):
        pass

    def _run_beside(self, body):
        self.beside += 1
        body()

    def _recorded(self, body):
        before = [t.clone() for t in self.written()]
        with Tape() as tape:
            body()
        for t, old in zip(self.written(), before, strict=True):
            t.copy_(old)
        self.recorded.append(len(tape.operations))

        def replay():
            self.replays += 1
            tape.replay()

        return replay


@pytest.fixture(params=["cpu", "taped", "cuda"])
def make(request):
    """Build a stepper the given way; tensors go to its device by ``make.device``."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")

    def build(*args, **options):
        stepper = Stepper(*args, **options)
        if request.param == "taped":
            stepper._graphs = TapedGraphs(lambda: [*stepper._state, *stepper._marks])
        return stepper

    build.device = "cuda" if request.param == "cuda" else "cpu"
    build.taped = request.param == "taped"
    return build


def naive(step, state, steps, inputs=(), record=None, every=1):
    kept = []
    for t in range(steps):
        state = step(*state, *(x[t] for x in inputs))
        state = (state,) if isinstance(state, torch.Tensor) else state
        if record and (t + 1) % every == 0:
            kept.append(record(*state))
    return state, kept


def same(a, b):
    # Products of matrices may round otherwise where the memory is aligned otherwise, or a GPU chooses another kernel.
    return torch.allclose(a, b, rtol=1e-12, atol=1e-12)


def numbers(*shape, device, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(device)


def momentum(matrix):
    def step(w, before, lr, noise):
        return w - lr * (matrix @ w) + 0.5 * (w - before) + noise, w  # the old place moves on to the second

    return step


def test_on_a_cpu_it_is_the_loop_bit_for_bit():
    step, w = momentum(numbers(4, 4, device="cpu") / 4), numbers(4, 3, device="cpu", seed=1)
    inputs = (numbers(50, 1, 1, device="cpu", seed=2) / 9, numbers(50, 4, 3, device="cpu", seed=3))
    state, kept = run_steps(step, (w, w), 50, inputs, record=lambda w, before: w, every=7)
    wanted, rows = naive(step, (w, w), 50, inputs, lambda w, before: w, 7)
    assert all(torch.equal(a, b) for a, b in zip(state, wanted, strict=True))
    assert torch.equal(kept, torch.stack(rows))


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 8, 9, 40, 101])
@pytest.mark.parametrize(("every", "per_graph"), [(1, 8), (3, 8), (8, 8), (11, 8), (50, 8), (2, 1), (500, 8), (1, 1)])
def test_steps_and_records_are_those_of_the_loop(make, steps, every, per_graph):
    device = make.device
    matrix, w = numbers(4, 4, device=device) / 4, numbers(4, 3, device=device, seed=1)
    inputs = (numbers(steps, 1, 1, device=device, seed=2) / 9, numbers(steps, 4, 3, device=device, seed=3))
    step = momentum(matrix)

    def record(w, before):
        return w.sum(0), (w - before).norm()

    stepper = make(step, (w, w), record=record, every=every, steps_per_graph=per_graph)
    kept = stepper.run(steps, *inputs)
    state, expected = naive(step, (w, w), steps, inputs, record, every)
    assert all(same(a, b) for a, b in zip(stepper.state, state, strict=True))
    assert [len(rows) for rows in kept] == [steps // every] * 2
    assert kept[0].shape[1:] == (3,)
    for rows, values in zip(kept, zip(*expected, strict=True), strict=False):
        assert same(rows, torch.stack(values))


def test_a_second_run_goes_on_and_reads_its_own_inputs(make):
    device = make.device
    step = momentum(numbers(4, 4, device=device) / 4)
    w = numbers(4, 3, device=device, seed=1)
    rates, noise = numbers(60, 1, 1, device=device, seed=2) / 9, numbers(60, 4, 3, device=device, seed=3)
    stepper = make(step, (w, w), record=lambda w, before: w, every=4, steps_per_graph=8)
    kept = [stepper.run(20, rates[a : a + 20], noise[a : a + 20]) for a in (0, 20, 40)]
    state, expected = naive(step, (w, w), 60, (rates, noise), lambda w, before: w, 4)
    assert all(same(a, b) for a, b in zip(stepper.state, state, strict=True))
    assert same(torch.cat(kept), torch.stack(expected))


@pytest.mark.parametrize(
    "step",
    [
        lambda a, b: (b, a),
        lambda a, b: (b.T, a.T),
        lambda a, b: (a, a + b),
        lambda a, b: (a.flip(0), a[:]),
        lambda a, b: (a + 1, b),
        lambda a, b: (a.mT.contiguous(), b),
    ],
    ids=["swap", "swap of views", "keep and add", "flip and view", "untouched", "transposed"],
)
@pytest.mark.parametrize("per_graph", [1, 3, 4])
def test_arguments_that_come_back_in_other_places(make, step, per_graph):
    a, b = numbers(3, 3, device=make.device), numbers(3, 3, device=make.device, seed=1)
    stepper = make(step, (a, b), steps_per_graph=per_graph)
    assert stepper.run(21) is None
    for got, wanted in zip(stepper.state, naive(step, (a, b), 21)[0], strict=True):
        assert same(got, wanted)


def test_steps_may_differentiate(make):
    def loss(w, x):
        return torch.nn.functional.softplus(-(x @ w.prod(0))).mean()

    def by_func(w, x):
        return w - 0.1 * torch.func.vmap(torch.func.grad(loss), in_dims=(0, None))(w, x)

    def by_autograd(w, x):
        with torch.enable_grad():
            leaf = w.detach().requires_grad_()
            total = sum(loss(one, x) for one in leaf)
            (gradient,) = torch.autograd.grad(total, leaf)
        return w - 0.1 * gradient

    w, x = numbers(5, 2, 4, device=make.device), numbers(30, 6, 4, device=make.device, seed=1)
    ends = []
    for step in (by_func, by_autograd):
        stepper = make(step, (w,), steps_per_graph=7)
        stepper.run(30, x)
        assert same(stepper.state[0], naive(step, (w,), 30, (x,))[0][0])
        ends.append(stepper.state[0])
    assert torch.allclose(*ends)
    assert not ends[1].requires_grad


def test_start_and_inputs_are_not_written_to(make):
    w, x = torch.ones(3, device=make.device), torch.ones(20, 3, device=make.device)
    stepper = make(lambda w, x: 2 * w + x, (w,), steps_per_graph=4)
    stepper.run(20, x)
    first = stepper.state[0]
    stepper.run(20, x)
    assert torch.equal(w, torch.ones_like(w))
    assert torch.equal(x, torch.ones_like(x))
    assert torch.equal(first, torch.full_like(first, 2**20 + 2**20 - 1))


def test_inference_mode_and_expanded_starts_are_fine(make):
    with torch.inference_mode():
        w = torch.ones(1, device=make.device).expand(3)
        stepper = make(lambda w: 0.5 * w, (w,), record=lambda w: w, steps_per_graph=2)
        assert stepper.run(4)[:, 0].tolist() == [0.5, 0.25, 0.125, 0.0625]


def test_inputs_of_another_shape_in_a_later_run(make):
    stepper = make(lambda w, x: w + x.sum(), (torch.zeros(1, device=make.device),), steps_per_graph=2)
    for width in (1, 3, 1):
        stepper.run(12, torch.ones(12, width, device=make.device))
    assert stepper.state[0].item() == 12 * 5


def test_long_runs_are_recorded_once_for_each_length_and_short_runs_not_at_all(make):
    if not make.taped:
        pytest.skip("looks at the bookkeeping")
    for steps, every, beside, recorded, replays in (
        (8, 1, 1, 0, 0),
        (16, 1, 1, 1, 1),
        (803, 1, 2, 1, 99),  # the last three steps are a length of their own, met once
        (800, 20, 2, 2, 118),  # pieces of 8, 8 and the 4 that end where something is kept
        (800, 24, 2, 2, 98),  # pieces of 8 that keep nothing or their last
    ):
        stepper = make(lambda w: w + 1, (torch.zeros(1),), record=lambda w: w, every=every, steps_per_graph=8)
        stepper.run(steps)
        graphs = stepper._graphs
        assert (graphs.beside, len(graphs.recorded), graphs.replays) == (beside, recorded, replays)
        assert stepper.state[0].item() == steps


def test_one_call_gives_state_and_records():
    (w,), kept = run_steps(
        lambda w, x: w + x, (torch.zeros(2),), 5, (torch.ones(5, 2),), record=lambda w: w[0], every=2
    )
    assert w.tolist() == [5, 5]
    assert kept.tolist() == [2, 4]


def test_a_step_that_breaks_the_contract_is_refused(make):
    w = torch.zeros(2, device=make.device)
    for step, says in (
        (lambda w: w[:1], r"returned \(\(1,\)"),
        (lambda w: w.double(), "float64"),
        (lambda w: (w, w), "returned 2 tensors"),
        (lambda w: w.add_(1), "writes to its arguments"),
    ):
        with pytest.raises(ValueError, match=says):
            make(step, (w,)).run(3)
    with pytest.raises(ValueError, match="writes to its arguments"):
        make(lambda w, x: w + x.mul_(2), (w,)).run(3, torch.ones(3, 2, device=make.device))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Stepper(lambda w: w, torch.zeros(2)), TypeError, "state"),
        (lambda: Stepper(lambda w: w, ()), TypeError, "state"),
        (lambda: Stepper(lambda w: w, (torch.zeros(2), 1.0)), TypeError, "state"),
        (lambda: Stepper(lambda *w: w, (torch.zeros(2), torch.zeros(2, device="meta"))), ValueError, "meta"),
        (lambda: Stepper(lambda w: w, (torch.zeros(2),), every=0), ValueError, "every: got 0"),
        (lambda: Stepper(lambda w: w, (torch.zeros(2),), steps_per_graph=0), ValueError, "steps_per_graph: got 0"),
        (lambda: run_steps(lambda w: w, (torch.zeros(2),), -1), ValueError, "steps: got -1"),
        (lambda: run_steps(lambda w, x: w, (torch.zeros(2),), 3, (torch.zeros(2),)), ValueError, "inputs: got"),
        (lambda: run_steps(lambda w, x: w, (torch.zeros(2),), 3, (torch.zeros(()),)), ValueError, "inputs: got"),
        (lambda: run_steps(lambda w, x: w, (torch.zeros(2),), 2, (torch.zeros(2, device="meta"),)), ValueError, "meta"),
    ],
)
def test_bad_arguments_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
class TestOnAGPU:
    def test_a_step_that_cannot_be_recorded_says_so_and_leaves_the_stream_usable(self):
        def looks(w):
            return w + 1 if w.sum().item() > 0 else w + 2

        stream = torch.cuda.current_stream()
        with pytest.raises(RuntimeError, match="cannot be recorded"):
            run_steps(looks, (torch.zeros(2, device="cuda"),), 40, steps_per_graph=4)
        assert torch.cuda.current_stream() == stream
        (w,), _ = run_steps(looks, (torch.zeros(2, device="cuda"),), 40, steps_per_graph=4, capture=False)
        assert w.tolist() == [41, 41]

    def test_graphs_are_replayed_not_relaunched(self):
        calls = []

        def step(w):
            calls.append(None)
            return 0.999 * w

        run_steps(step, (torch.ones(2, device="cuda"),), 6400)
        assert len(calls) == 64  # 32 run one by one, 32 recorded

    def test_a_side_stream_of_the_callers_is_respected(self):
        with torch.cuda.stream(torch.cuda.Stream()):
            w = torch.ones(1 << 20, device="cuda", dtype=torch.float64)
            for _ in range(50):
                w = w.sin()
            (end,), _ = run_steps(torch.cos, (w,), 200)
            expected = w
            for _ in range(200):
                expected = expected.cos()
            assert torch.equal(end, expected)

    def test_memory_is_given_back(self):
        def once():
            run_steps(lambda w: w @ w / 500, (torch.ones(500, 500, device="cuda"),), 200)
            torch.cuda.synchronize()
            return torch.cuda.memory_allocated()

        once()
        first = once()
        assert once() == first
