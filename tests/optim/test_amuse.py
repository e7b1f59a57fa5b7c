import copy
import math

import pytest
import schedulefree
import torch

from companion.optim import AMUSE, amuse
from companion.optim.orthogonalize import newton_schulz

MATRICES = [(6, 6), (6, 12), (12, 6), (6, 6)]
VECTORS = [(5,), ()]
# A few hundred roundings of float64, which Newton-Schulz multiplies by up to 3.4445^5, that is 500.
ROUNDING = {"rtol": 0, "atol": 1e-10}


def start(shapes=(*MATRICES, *VECTORS), dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype)) for s in shapes]


def gradients(steps, shapes=(*MATRICES, *VECTORS), dtype=torch.float64, seed=1):
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


class Reference:
    """One parameter, its three sequences and its moments, as the paper writes them."""

    def __init__(self, p, lr, momentum, nesterov, beta1, rho, T0, decay, beta2=0.999, muon=True):
        self.x = self.y = self.z = p.detach().clone()
        self.M, self.v = torch.zeros_like(self.x), torch.zeros_like(self.x)
        self.t, self.total, self.beta, self.odds = 0, 0.0, beta1, None
        self.options = (lr, momentum, nesterov, beta1, rho, T0, decay, beta2, muon)

    def step(self, g):
        lr, mu, nesterov, beta1, rho, T0, decay, beta2, muon = self.options
        self.t += 1
        eta = lr * min(1, self.t / T0)
        if muon:
            self.M = mu * self.M + (1 - mu) * g
            U = mu * self.M + (1 - mu) * g if nesterov else self.M
            direction = 0.2 * math.sqrt(max(g.shape)) * newton_schulz(U)
        else:
            self.v = beta2 * self.v + (1 - beta2) * g**2
            direction = g / (torch.sqrt(self.v / (1 - beta2**self.t)) + 1e-10)
        self.z = (1 - eta * decay) * self.z - eta * direction
        self.total += eta**2
        c = eta**2 / self.total
        self.x = (1 - c) * self.x + c * self.z
        if self.t == T0:
            self.odds = c / (1 - c)
        self.beta = beta1 if self.t <= T0 else 1 - (c / (1 - c) / self.odds) ** rho * (1 - beta1)
        self.y = (1 - self.beta) * self.z + self.beta * self.x


@pytest.mark.parametrize("foreach", [None, False, True])
@pytest.mark.parametrize(("beta1", "rho"), [(0.6, 0.3), (0.0, 0.5), (0.3, 0.0), (0.9, 1.0)])
@pytest.mark.parametrize(("nesterov", "decay"), [(True, 0.0), (False, 0.1)])
def test_optimizer_follows_the_formulas_at_x_y_and_z(beta1, rho, nesterov, decay, foreach):
    params = start()
    optimizer = AMUSE(
        params,
        lr=0.05,
        momentum=0.9,
        nesterov=nesterov,
        beta1=beta1,
        rho=rho,
        warmup_steps=7,
        weight_decay=decay,
        foreach=foreach,
    )
    references = [
        Reference(p, 0.05, 0.9, nesterov, beta1, rho, 7, decay, muon=i < len(MATRICES)) for i, p in enumerate(params)
    ]
    for t, grads in enumerate(gradients(40)):
        step(optimizer, params, grads)
        for reference, g in zip(references, grads, strict=True):
            reference.step(g)
        assert torch.allclose(flat(params), flat(r.y for r in references), **ROUNDING)
        if t % 7 == 3:
            optimizer.eval()
            assert torch.allclose(flat(params), flat(r.x for r in references), **ROUNDING)
            optimizer.train()
    for p, reference in zip(params, references, strict=True):
        x, y, z = optimizer.iterates(p)
        assert torch.allclose(x, reference.x, **ROUNDING)
        assert torch.allclose(y, reference.y, **ROUNDING)
        assert torch.allclose(z, reference.z, **ROUNDING)
    assert optimizer.param_groups[0]["beta"] == pytest.approx(references[0].beta)


@pytest.mark.parametrize(("beta1", "rho", "T0"), [(0.6, 0.3, 5), (0.3, 0.8, 2), (0.5, 0.0, 10), (0.5, 1.0, 10)])
def test_coefficient_and_window_have_their_closed_forms_where_steps_weigh_alike(beta1, rho, T0):
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = AMUSE([p], lr=0.1, beta1=beta1, rho=rho, warmup_steps=T0, weight_lr_power=0)
    x = p.detach().clone()
    for t, (g,) in enumerate(gradients(60, [(3,)]), start=1):
        step(optimizer, [p], [g])
        beta = optimizer.param_groups[0]["beta"]
        if t > T0:
            assert beta == pytest.approx(1 - ((T0 - 1) / (t - 1)) ** rho * (1 - beta1))
            window = 1 + (1 - beta1) * (T0 - 1) ** rho * (t - 1) ** (1 - rho)
            x = x + (p.detach() - x) / window
            assert torch.allclose(optimizer.iterates(p)[0], x, **ROUNDING)
        else:
            assert beta == pytest.approx(beta1)
            x = optimizer.iterates(p)[0]


def pairs(optimizer, mine, peer, theirs, steps, lr, warmup, dtype, shapes=MATRICES):
    """Both run on the same gradients, the peer's rate warmed up by hand."""
    for t, grads in enumerate(gradients(steps, shapes, dtype), start=1):
        for group in peer.param_groups:
            group["lr"] = lr * min(1, t / warmup)
        step(optimizer, mine, grads)
        step(peer, theirs, grads)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("beta1", [0.6, 0.9])
def test_fixed_coefficient_is_the_schedule_free_wrapper_around_torchs_muon(beta1, decay):
    mine, theirs = start(MATRICES, torch.float32), start(MATRICES, torch.float32)
    ours = AMUSE(
        mine, lr=0.02, beta1=beta1, rho=0, warmup_steps=10, weight_decay=decay, dtype=torch.bfloat16, foreach=False
    )
    base = torch.optim.Muon(theirs, lr=0.02, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    peer = schedulefree.ScheduleFreeWrapper(base, momentum=beta1)
    peer.train()
    origin = flat(mine).clone()
    pairs(ours, mine, peer, theirs, 200, 0.02, 10, torch.float32)
    # Roundings of float32 differ, and now and then one of bfloat16 goes the other way.
    for _ in range(2):
        assert torch.linalg.vector_norm(flat(mine) - flat(theirs)) < 0.002 * torch.linalg.vector_norm(
            flat(mine) - origin
        )
        ours.eval()
        peer.eval()


def test_in_full_precision_it_is_within_a_percent_of_the_wrapper():
    mine, theirs = start(MATRICES), start(MATRICES)
    ours = AMUSE(mine, lr=0.02, rho=0, warmup_steps=10)
    base = torch.optim.Muon(theirs, lr=0.02, weight_decay=0, adjust_lr_fn="match_rms_adamw")
    peer = schedulefree.ScheduleFreeWrapper(base, momentum=0.6)
    peer.train()
    origin = flat(mine).clone()
    pairs(ours, mine, peer, theirs, 200, 0.02, 10, torch.float64)
    assert torch.linalg.vector_norm(flat(mine) - flat(theirs)) < 0.015 * torch.linalg.vector_norm(flat(mine) - origin)


def test_coefficient_of_zero_is_torchs_muon():
    mine, theirs = start(MATRICES, torch.float32), start(MATRICES, torch.float32)
    ours = AMUSE(mine, lr=0.02, beta1=0, rho=0, warmup_steps=10, weight_decay=0.1, dtype=torch.bfloat16, foreach=False)
    peer = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    origin = flat(mine).clone()
    pairs(ours, mine, peer, theirs, 200, 0.02, 10, torch.float32)
    assert torch.linalg.vector_norm(flat(mine) - flat(theirs)) < 0.002 * torch.linalg.vector_norm(flat(mine) - origin)


def test_without_orthogonalization_and_momentum_it_is_schedule_free_sgd(monkeypatch):
    monkeypatch.setattr(amuse, "orthogonalized", lambda updates, group, eps: [u.clone() for u in updates])
    mine, theirs = start(MATRICES), start(MATRICES)
    ours = AMUSE(mine, lr=0.05, momentum=0, nesterov=False, beta1=0.9, rho=0, warmup_steps=10, adjust_lr=None)
    peer = schedulefree.SGDScheduleFree(theirs, lr=0.05, momentum=0.9, warmup_steps=10)
    peer.train()
    for grads in gradients(200, MATRICES):
        step(ours, mine, grads)
        step(peer, theirs, grads)
    for _ in range(2):
        assert torch.allclose(flat(mine), flat(theirs), rtol=0, atol=1e-12)
        ours.eval()
        peer.eval()


def test_other_parameters_move_as_schedule_free_adamw():
    mine, theirs = start(), start()
    ours = AMUSE(mine, lr=0.05, beta1=0.9, rho=0, warmup_steps=10, beta2=0.99, eps=1e-8)
    ours.param_groups[0]["use_muon"] = False
    peer = schedulefree.AdamWScheduleFree(theirs, lr=0.05, betas=(0.9, 0.99), warmup_steps=10)
    peer.train()
    for grads in gradients(200):
        step(ours, mine, grads)
        step(peer, theirs, grads)
    assert torch.allclose(flat(mine), flat(theirs), rtol=0, atol=1e-12)
    assert all(set(ours.state[p]) == {"offset", "exp_avg_sq"} for p in mine)


def test_groups_say_what_muon_takes():
    params = start()
    optimizer = AMUSE([{"params": params[:2], "use_muon": False}, {"params": params[2:]}], lr=0.05)
    (grads,) = gradients(1)
    step(optimizer, params, grads)
    kinds = ["momentum_buffer" in optimizer.state[p] for p in params]
    assert kinds == [False, False, True, True, False, False]
    with pytest.raises(ValueError, match="params: got one of 1 axes"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(3))], "use_muon": True})
    with pytest.raises(ValueError, match="params: got a complex one"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2, 2) + 0j)], "use_muon": True})
    assert len(optimizer.param_groups) == 2


def test_groups_with_proportional_rates_share_their_coefficients():
    params = start()
    optimizer = AMUSE([{"params": params[:3]}, {"params": params[3:], "lr": 0.001}], lr=0.05, warmup_steps=5)
    for grads in gradients(20):
        step(optimizer, params, grads)
    first, second = (group["beta"] for group in optimizer.param_groups)
    assert first == pytest.approx(second, rel=1e-12)
    assert first > 0.7


@pytest.mark.parametrize("steps", [3, 12])
@pytest.mark.parametrize("mode", [True, False])
def test_state_round_trips_in_either_mode_before_and_after_the_warm_up(steps, mode):
    params, others = start(), start(seed=5)
    optimizer, restored = AMUSE(params, warmup_steps=7), AMUSE(others, lr=7.0, warmup_steps=70)
    for grads in gradients(steps):
        step(optimizer, params, grads)
    optimizer.train(mode)
    for p, q in zip(params, others, strict=True):
        q.data.copy_(p.data)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.train()
    restored.train()
    for grads in gradients(6, seed=2):
        step(optimizer, params, grads)
        step(restored, others, grads)
    assert torch.equal(flat(params), flat(others))


def test_a_rate_that_rises_again_does_not_lower_the_coefficient_below_its_start():
    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = AMUSE([p], lr=0.01, beta1=0.6, rho=1, warmup_steps=3)
    for t in range(12):
        optimizer.param_groups[0]["lr"] = 0.0 if t < 4 else 0.01 * 10 ** (t // 6)
        step(optimizer, [p], [torch.ones(3)])
        assert 0.6 <= optimizer.param_groups[0]["beta"] <= 1
    assert torch.isfinite(p).all()


def test_a_falling_rate_weighs_less_in_the_average():
    p = start([(3,)])[0]
    optimizer = AMUSE([p], lr=0.1, warmup_steps=2)
    z, rates, x = [], [], None
    for t, (g,) in enumerate(gradients(20, [(3,)]), start=1):
        optimizer.param_groups[0]["lr"] = 0.1 * 0.8**t
        step(optimizer, [p], [g])
        rates.append(0.1 * 0.8**t * min(1, t / 2))
        x, _, newest = optimizer.iterates(p)
        z.append(newest)
    weights = torch.tensor(rates, dtype=torch.float64) ** 2
    assert torch.allclose(x, weights @ torch.stack(z) / weights.sum(), **ROUNDING)


def test_gradients_are_left_as_they_are():
    params = start()
    optimizer = AMUSE(params, weight_decay=0.1, maximize=True, nesterov=False)
    for grads in gradients(2):
        step(optimizer, params, grads)
        assert torch.equal(flat([p.grad for p in params]), flat(grads))


def test_decay_is_not_rounded_with_the_orthogonal_factor():
    """Half the weights in one step, and next to nothing else."""
    p = torch.nn.Parameter(torch.full((4, 4), 1.2345678))
    optimizer = AMUSE([p], lr=1e-3, beta1=0.0, warmup_steps=2, weight_decay=1e3, dtype=torch.bfloat16)
    step(optimizer, [p], [torch.zeros(4, 4)])
    assert torch.allclose(p, torch.full((4, 4), 1.2345678 / 2), rtol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        {"lr": -0.1},
        {"momentum": 1.0},
        {"beta1": 1.0},
        {"rho": -0.1},
        {"rho": math.nan},
        {"warmup_steps": 1},
        {"weight_decay": -1.0},
        {"beta2": 1.0},
        {"eps": -1.0},
        {"adjust_lr": "rms"},
        {"ns_steps": -1},
    ],
    ids=str,
)
def test_bad_options_are_refused(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name}: got") as error:
        AMUSE(start(), **bad)
    assert str(value) in str(error.value)
