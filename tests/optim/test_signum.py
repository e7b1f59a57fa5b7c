import numpy as np
import pytest
import torch

from companion.optim import Signum


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_optimizer_follows_the_formulas_for_a_hundred_steps(beta, decay, foreach):
    rng = np.random.default_rng(0)
    w, m = rng.normal(size=6), np.zeros(6)
    parts = [torch.nn.Parameter(torch.tensor(w[:2])), torch.nn.Parameter(torch.tensor(w[2:].reshape(2, 2)))]
    optimizer = Signum(parts, lr=0.03, beta=beta, weight_decay=decay, foreach=foreach)
    for _ in range(100):
        g = rng.normal(size=6)
        parts[0].grad, parts[1].grad = torch.tensor(g[:2]), torch.tensor(g[2:].reshape(2, 2))
        optimizer.step()
        m = beta * m + (1 - beta) * g
        w = (1 - 0.03 * decay) * w - 0.03 * np.sign(m)
        # A hundred roundings of float64 on numbers of order one.
        assert np.allclose(torch.cat([p.detach().flatten() for p in parts]).numpy(), w, rtol=0, atol=1e-13)


def test_sign_sgd_keeps_no_state():
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = Signum([p], lr=0.1, beta=0.0)
    p.grad = torch.tensor([3.0, -1e-30])
    optimizer.step()
    assert torch.allclose(p.data, torch.tensor([0.9, 1.1]))
    assert not optimizer.state[p]


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_scale_of_the_gradients_does_not_matter(factor):
    ends = []
    for scale in (1.0, factor):
        p = torch.nn.Parameter(torch.ones(4, dtype=torch.float64))
        optimizer = Signum([p], lr=0.1, beta=0.9)
        generator = torch.Generator().manual_seed(0)
        for _ in range(30):
            p.grad = scale * torch.randn(4, generator=generator, dtype=torch.float64)
            optimizer.step()
        ends.append(p.data)
    assert torch.equal(*ends)


@pytest.mark.parametrize("foreach", [True, False])
def test_coordinate_without_gradient_stays(foreach):
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = Signum([p], lr=0.1, foreach=foreach)
    p.grad = torch.tensor([0.0, 1.0])
    optimizer.step()
    assert p[0] == 1
    assert p[1] < 1


@pytest.mark.parametrize("foreach", [True, False])
def test_gradients_are_left_as_they_are(foreach):
    p = torch.nn.Parameter(torch.ones(2))
    for beta in (0.0, 0.9):
        optimizer = Signum([p], beta=beta, maximize=True, foreach=foreach)
        p.grad = torch.tensor([2.0, -1.0])
        optimizer.step()
        assert torch.equal(p.grad, torch.tensor([2.0, -1.0]))


@pytest.mark.parametrize(
    "bad", [{"lr": -0.1}, {"lr": float("nan")}, {"beta": -0.1}, {"beta": 1.5}, {"weight_decay": -1.0}]
)
def test_bad_options_are_refused_for_groups_too(bad):
    ((name, value),) = bad.items()
    p = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=f"{name}: got {value!r}"):
        Signum([p], **bad)
    with pytest.raises(ValueError, match=f"{name}: got"):
        Signum([{"params": [p], **bad}])
