import math
from types import SimpleNamespace

import pytest
import torch

from companion.optim import Muon, muon
from companion.optim.muon import batches, newton_schulz_, stack, working_dtype
from companion.optim.orthogonalize import CONVERGENT, MUON, newton_schulz

SHAPES = [(8, 8), (8, 24), (24, 8), (8, 8), (24, 8), (5, 1)]


def start(dtype=torch.float64, shapes=SHAPES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) / math.sqrt(s[-1]))
        for s in shapes
    ]


def gradients(steps, dtype=torch.float64, shapes=SHAPES, seed=1):
    generator = torch.Generator().manual_seed(seed)
    drift = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    for _ in range(steps):
        yield [(d + torch.randn(d.shape, generator=generator, dtype=torch.float64)).to(dtype) for d in drift]


def step(optimizer, params, grads):
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()
    optimizer.step()


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


FACTORS = {
    "original": lambda m, n: math.sqrt(max(1, m / n)),
    "match_rms_adamw": lambda m, n: 0.2 * math.sqrt(max(m, n)),
    None: lambda m, n: 1.0,
}


@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("adjust_lr", FACTORS)
def test_optimizer_follows_the_formulas(adjust_lr, nesterov, foreach):
    params = start()
    optimizer = Muon(
        params, lr=0.02, momentum=0.9, nesterov=nesterov, weight_decay=0.1, adjust_lr=adjust_lr, foreach=foreach
    )
    weights = [p.detach().clone() for p in params]
    means = [torch.zeros_like(w) for w in weights]
    for grads in gradients(30):
        step(optimizer, params, grads)
        for i, g in enumerate(grads):
            means[i] = 0.9 * means[i] + 0.1 * g
            u = 0.9 * means[i] + 0.1 * g if nesterov else means[i]
            weights[i] = (1 - 0.02 * 0.1) * weights[i] - 0.02 * FACTORS[adjust_lr](*g.shape) * newton_schulz(u)
        # Five steps multiply roundings by up to 3.4445^5, which is 500.
        assert torch.allclose(flat(params), flat(weights), rtol=0, atol=1e-11)


def test_a_batch_on_a_cpu_is_not_larger_than_its_cache(monkeypatch):
    params = start()
    for p in params:
        p.grad = torch.ones_like(p)
    assert [len(batch) for batch in batches(params, None)] == [2, 1, 2, 1]
    monkeypatch.setattr(muon, "CPU_BLOCK", 100)
    assert [len(batch) for batch in batches(params, None)] == [1, 1, 1, 1, 1, 1]
    assert [len(batch) for batch in batches(params, False)] == [1] * 6
    assert [len(batch) for batch in batches(params, True)] == [2, 1, 2, 1]


@pytest.mark.parametrize("coefficients", [MUON, CONVERGENT])
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 9), (3, 9, 4), (1, 9, 4), (2, 1, 5), (2, 3, 3)])
@pytest.mark.parametrize("steps", [0, 1, 5, 8])
def test_batched_iteration_is_newton_schulz_of_each(shape, coefficients, steps):
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack([newton_schulz(m, steps, coefficients) for m in batch])
    assert torch.allclose(newton_schulz_(batch.clone(), steps, coefficients), expected, rtol=1e-10, atol=1e-10)


def test_zero_and_tiny_matrices_are_not_blown_up():
    assert torch.equal(newton_schulz_(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))
    tiny = torch.full((2, 3, 4), 1e-12)
    assert newton_schulz_(tiny).abs().max() < 1e-2


def run(optimizer, params, steps, dtype=torch.float32, shapes=SHAPES):
    for grads in gradients(steps, dtype, shapes):
        step(optimizer, params, grads)
    return flat(params)


OPTIONS = [
    {"nesterov": True, "weight_decay": 0.1},
    {"nesterov": False, "weight_decay": 0.0, "momentum": 0.8},
    {"weight_decay": 0.0, "ns_steps": 3},
]


@pytest.mark.parametrize("adjust_lr", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_arithmetic_as_torch_gives_its_bits_over_two_hundred_steps(options, adjust_lr):
    mine, theirs = start(torch.float32), start(torch.float32)
    peer = torch.optim.Muon(theirs, lr=0.02, adjust_lr_fn=adjust_lr, **options)
    ours = Muon(mine, lr=0.02, adjust_lr=adjust_lr, dtype=torch.bfloat16, foreach=False, **options)
    assert torch.equal(run(ours, mine, 200), run(peer, theirs, 200))


def test_stacking_rounds_as_one_matrix_at_a_time_does_or_within_bfloat16():
    """A library may multiply a batch in another order; here, too, no more than a rounding of bfloat16 per step."""
    mine, theirs = start(torch.float32), start(torch.float32)
    peer = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.0)
    ends = run(Muon(mine, lr=0.02, dtype=torch.bfloat16), mine, 200), run(peer, theirs, 200)
    assert torch.linalg.vector_norm(ends[0] - ends[1]) < 0.01 * torch.linalg.vector_norm(ends[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_precision_is_within_a_percent_of_torch_after_two_hundred_steps(dtype):
    """Steps that add up, as in training: bfloat16's roundings are half a percent each, and partly cancel."""
    mine, theirs, origin = start(dtype), start(dtype), flat(start(dtype))
    peer = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.0)
    ends = run(Muon(mine, lr=0.02), mine, 200, dtype), run(peer, theirs, 200, dtype)
    assert torch.linalg.vector_norm(ends[0] - ends[1]) < 0.015 * torch.linalg.vector_norm(ends[1] - origin)


def test_convolution_is_the_matrix_of_its_filters():
    shape = [(6, 2, 3, 3)]
    filters, matrix = start(shapes=shape), start(shapes=shape)
    matrix = [torch.nn.Parameter(matrix[0].detach().flatten(1))]
    (grad,) = next(gradients(1, shapes=shape))
    step(Muon(filters, lr=0.1), filters, [grad])
    step(Muon(matrix, lr=0.1), matrix, [grad.flatten(1)])
    assert torch.allclose(filters[0].flatten(1), matrix[0])


@pytest.mark.parametrize("foreach", [None, False])
def test_gradients_are_left_as_they_are_and_memory_formats_kept(foreach):
    params = [torch.nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))]
    optimizer = Muon(params, nesterov=False, maximize=True, foreach=foreach)
    grad = torch.randn(4, 3, 2, 2)
    for _ in range(2):
        step(optimizer, params, [grad])
        assert torch.equal(params[0].grad, grad)
        assert params[0].is_contiguous(memory_format=torch.channels_last)


def test_momentum_is_not_overwritten_by_the_iteration():
    params = start()
    optimizer = Muon(params, nesterov=False, momentum=0.5, foreach=False)
    (grads,) = gradients(1)
    step(optimizer, params, grads)
    assert torch.allclose(optimizer.state[params[0]]["momentum_buffer"], 0.5 * grads[0])


def test_types_of_the_iteration():
    single, double, half = (torch.ones(2, 2, dtype=t) for t in (torch.float32, torch.float64, torch.bfloat16))
    assert [working_dtype(None, t) for t in (single, double, half)] == [torch.float32, torch.float64, torch.float32]
    on_gpu = [SimpleNamespace(is_cuda=True, dtype=t) for t in (torch.float32, torch.float64, torch.bfloat16)]
    assert [working_dtype(None, t) for t in on_gpu] == [torch.bfloat16, torch.float64, torch.bfloat16]
    assert working_dtype(torch.bfloat16, double) == torch.bfloat16
    assert stack([single, single], torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "bad",
    [
        {"lr": -0.1},
        {"momentum": 1.0},
        {"weight_decay": math.inf},
        {"adjust_lr": "rms"},
        {"ns_steps": -1},
        {"ns_steps": 100},
        {"coefficients": (1.0, 2.0)},
        {"dtype": torch.int8},
        {"eps": -1.0},
    ],
    ids=str,
)
def test_bad_options_are_refused(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name}: got") as error:
        Muon(start(), **bad)
    assert str(value) in str(error.value)


@pytest.mark.parametrize("p", [torch.ones(3), torch.ones(()), torch.ones(2, 2, dtype=torch.complex64)], ids=str)
def test_what_is_no_matrix_is_refused_and_its_group_left_out(p):
    optimizer = Muon(start())
    with pytest.raises(ValueError, match="params: got"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(p)]})
    assert len(optimizer.param_groups) == 1
