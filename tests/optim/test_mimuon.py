import copy
import math

import pytest
import torch

from companion.optim import MiMuon, Muon
from companion.optim.mimuon import CRITERIA, spread
from companion.optim.orthogonalize import newton_schulz, polar

SHAPES = [(6, 6), (6, 10), (10, 6), (6, 6), (10, 6), (1, 4)]


def start(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype)) for s in SHAPES]


def gradients(steps, dtype=torch.float64, seed=1):
    """Shrinking, as in training, so that a threshold is met early and missed late."""
    generator = torch.Generator().manual_seed(seed)
    for t in range(steps):
        yield [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) * 0.95**t for s in SHAPES]


def step(optimizer, params, grads):
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()
    optimizer.step()


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


def naive_spread(matrix, criterion):
    if criterion == "fro":
        return matrix.square().sum().sqrt().item()
    values = [s for s in torch.linalg.svd(matrix).S.tolist() if s > 1e-6 * torch.linalg.svd(matrix).S.max().item()]
    if criterion == "sigma_min":
        return min(values, default=math.inf)
    return min((abs(a - b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j), default=math.inf)


@pytest.mark.parametrize("foreach", [None, False])
@pytest.mark.parametrize("orthogonalizer", ["newton_schulz", "polar"])
@pytest.mark.parametrize(("criterion", "tau"), [("gap", 0.05), ("sigma_min", 0.05), ("fro", 0.8)])
def test_optimizer_follows_the_formulas_on_both_branches(criterion, tau, orthogonalizer, foreach):
    params = start()
    optimizer = MiMuon(
        params,
        lr=0.05,
        momentum=0.8,
        tau=tau,
        criterion=criterion,
        weight_decay=0.1,
        orthogonalizer=orthogonalizer,
        adjust_lr="original",
        sgd_lr=0.2,
        foreach=foreach,
    )
    factor = {"newton_schulz": newton_schulz, "polar": polar}[orthogonalizer]
    weights = [p.detach().clone() for p in params]
    means = [torch.zeros_like(w) for w in weights]
    orthogonal = [0] * len(weights)
    for grads in gradients(40):
        step(optimizer, params, grads)
        for i, g in enumerate(grads):
            means[i] = 0.8 * means[i] + 0.2 * g
            weights[i] = (1 - 0.05 * 0.1) * weights[i]
            if naive_spread(means[i], criterion) >= tau:
                weights[i] = weights[i] - 0.05 * math.sqrt(max(1, g.shape[0] / g.shape[1])) * factor(means[i])
                orthogonal[i] += 1
            else:
                weights[i] = weights[i] - 0.2 * means[i]
        # Newton-Schulz multiplies roundings by up to 3.4445^5, which is 500.
        assert torch.allclose(flat(params), flat(weights), rtol=0, atol=1e-11)
    assert [optimizer.state[p]["n_orth"] for p in params] == orthogonal
    assert all(optimizer.state[p]["n_steps"] == 40 for p in params)
    assert 20 < sum(orthogonal) < 40 * len(params) - 20, "both branches are to be seen"


@pytest.mark.parametrize("criterion", CRITERIA)
def test_threshold_of_zero_is_muon_to_the_bit(criterion):
    mine, theirs = start(torch.float32), start(torch.float32)
    ours = MiMuon(
        mine, lr=0.05, tau=0.0, criterion=criterion, adjust_lr="original", dtype=torch.bfloat16, foreach=False
    )
    peer = torch.optim.Muon(theirs, lr=0.05, momentum=0.9, nesterov=False, weight_decay=0.0)
    for grads in gradients(200, torch.float32):
        step(ours, mine, grads)
        step(peer, theirs, grads)
    assert torch.equal(flat(mine), flat(theirs))


def test_threshold_of_zero_is_our_muon_without_nesterov():
    mine, theirs = start(), start()
    ours, other = MiMuon(mine, lr=0.05), Muon(theirs, lr=0.05, momentum=0.9, nesterov=False, adjust_lr=None)
    for grads in gradients(50):
        step(ours, mine, grads)
        step(other, theirs, grads)
    assert torch.equal(flat(mine), flat(theirs))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_infinite_threshold_is_momentum_sgd_from_zero_momentum(criterion):
    mine, theirs = start(), start()
    ours = MiMuon(mine, lr=0.05, momentum=0.9, tau=math.inf, criterion=criterion)
    peer = torch.optim.SGD(theirs, lr=0.05, momentum=0.9, dampening=0.9)
    for p in theirs:  # torch would start from the first gradient, undamped
        peer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    for grads in gradients(200):
        step(ours, mine, grads)
        step(peer, theirs, grads)
    assert torch.allclose(flat(mine), flat(theirs), rtol=0, atol=1e-12)
    assert all(ours.state[p]["n_orth"] == 0 for p in mine)


def test_criterion_sees_what_float64_does():
    """Two singular values that float32 could not tell apart."""
    p = torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
    optimizer = MiMuon([p], momentum=0.0, tau=1e-10)
    p.grad = torch.diag(torch.tensor([1.0, 1 - 1e-9], dtype=torch.float64))
    optimizer.step()
    assert optimizer.state[p]["n_orth"] == 1


def test_spread_of_matrices_that_one_knows():
    diagonal = torch.diag(torch.tensor([5.0, 2.0, 1.5, 0.0]))
    assert spread(diagonal).item() == pytest.approx(0.5)
    assert spread(diagonal, "sigma_min").item() == pytest.approx(1.5)
    assert spread(diagonal, "fro").item() == pytest.approx(math.sqrt(25 + 4 + 2.25))
    assert spread(torch.eye(3)).item() == pytest.approx(0, abs=1e-6)
    assert spread(torch.diag(torch.tensor([2.0, 1e-9]))).item() == math.inf
    assert spread(torch.ones(3, 1)).item() == math.inf
    assert spread(torch.zeros(2, 3, 3), "sigma_min").tolist() == [math.inf] * 2
    assert spread(torch.diag(torch.tensor([2.0, 1e-3])), rtol=1e-2).item() == math.inf


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_matrix_that_diverged_moves_by_its_momentum_and_stops_no_other(criterion, bad):
    params = [torch.nn.Parameter(torch.eye(2)) for _ in range(2)]
    optimizer = MiMuon(params, lr=0.1, momentum=0.0, tau=0.1, criterion=criterion)
    step(optimizer, params, [torch.full((2, 2), bad), torch.diag(torch.tensor([3.0, 1.0]))])
    assert optimizer.state[params[1]]["n_orth"] == 1
    assert torch.isfinite(params[1]).all()
    assert not torch.isfinite(params[0]).any()


@pytest.mark.parametrize("bad", [{"criterion": "rank"}, {"rtol": 1.0}])
def test_spread_refuses_what_is_out_of_range(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}: got"):
        spread(torch.eye(2), **bad)


def test_state_of_muon_is_refused():
    params = start()
    muon, optimizer = Muon(params), MiMuon(params, tau=0.1)
    (grads,) = gradients(1)
    step(muon, params, grads)
    with pytest.raises(ValueError):
        optimizer.load_state_dict(muon.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    state["state"] = muon.state_dict()["state"]
    with pytest.raises(ValueError, match="counts no steps"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    "bad",
    [
        {"lr": -0.1},
        {"momentum": 1.0},
        {"tau": -1.0},
        {"tau": math.nan},
        {"criterion": "rank"},
        {"orthogonalizer": "svd"},
        {"adjust_lr": "rms"},
        {"sgd_lr": -1.0},
        {"rtol": 1.0},
        {"weight_decay": -1.0},
    ],
    ids=str,
)
def test_bad_options_are_refused(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name}: got") as error:
        MiMuon(start(), **bad)
    assert str(value) in str(error.value)


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="params: got one of 1 axes"):
        MiMuon([torch.nn.Parameter(torch.ones(3))])
