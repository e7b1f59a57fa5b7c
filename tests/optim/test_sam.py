import copy

import numpy as np
import pytest
import torch

from companion.chapters.sam_diagonal_networks import theory
from companion.models.diagonal import DiagonalNet
from companion.optim import SAM


def reference_sam(theta, gradient, rho, norm, lr, momentum, velocity):
    """SAM with heavy-ball SGD as the formulas say it, on one flat vector."""
    g = gradient(theta)
    if norm == "l2":
        size = np.sqrt(np.sum(g * g))
        eps = rho * g / size if size > 0 else 0 * g
    elif norm == "linf":
        eps = rho * np.sign(g)
    else:
        eps = rho * g
    velocity = momentum * velocity + gradient(theta + eps)
    return theta - lr * velocity, velocity


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("norm", ["l2", "linf", "none"])
def test_optimizer_follows_the_formulas_for_a_hundred_steps(norm, foreach):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 7))
    y = np.sign(X @ rng.normal(size=7))  # separable: the gradient stays away from zero, where its direction is noise
    theta = rng.normal(size=7)

    def gradient(w):
        return -(X * y[:, None]).T @ (1 / (1 + np.exp(y * (X @ w)))) / len(y)

    parts = [torch.nn.Parameter(torch.tensor(theta[:4])), torch.nn.Parameter(torch.tensor(theta[4:]))]
    optimizer = SAM(parts, torch.optim.SGD, rho=0.3, norm=norm, lr=0.5, momentum=0.8, foreach=foreach)

    def closure():
        optimizer.zero_grad()
        margins = torch.tensor(y) * (torch.tensor(X) @ torch.cat(list(parts)))
        loss = torch.nn.functional.softplus(-margins).mean()
        loss.backward()
        return loss

    velocity = np.zeros(7)
    for _ in range(100):
        optimizer.step(closure)
        theta, velocity = reference_sam(theta, gradient, 0.3, norm, 0.5, 0.8, velocity)
        # A hundred steps of roundings of float64 on numbers of order one.
        assert np.allclose(torch.cat(list(parts)).detach().numpy(), theta, rtol=1e-11, atol=1e-12)


def diagonal_run(alpha, mu, rho, norm, depth, lr, steps):
    """``SAM(SGD)`` on a diagonal network and one example: predictors and the clocks ``s`` and ``A``."""
    net = DiagonalNet(depth, torch.tensor(alpha))
    z = torch.tensor(mu)[None]
    optimizer = SAM(net.parameters(), torch.optim.SGD, rho=rho, norm=norm, lr=lr)
    betas, clock, area = [], [0.0], [0.0]
    for _ in range(steps):
        slopes = []
        for half in (optimizer.first_step, optimizer.second_step):
            optimizer.zero_grad()
            margin = net(z)[0]
            torch.nn.functional.softplus(-margin).backward()
            slopes.append(torch.sigmoid(-margin).item())
            if half == optimizer.first_step:
                norm_of_all = torch.linalg.vector_norm(torch.cat([p.grad for p in net.parameters()])).item()
            half()
        clock.append(clock[-1] + lr * slopes[1])
        area.append(area[-1] + lr * slopes[1] * slopes[0] / norm_of_all)
        betas.append(net.beta().detach().numpy())
    return np.array(betas), np.array(clock[1:]), np.array(area[1:])


@pytest.mark.parametrize("depth", [2, 3])
def test_linf_sam_matches_the_closed_form_of_the_gates(depth):
    alpha, mu, rho = np.array([0.3, 0.6, 0.8]), np.array([1.0, 2.0, 3.0]), 0.5
    beta, s, _ = diagonal_run(alpha, mu, rho, "linf", depth, lr=1e-3, steps=1250)
    exact = theory.linf_weights(s, alpha, mu, rho, depth) ** depth
    # First-order discretization: 1e-3 times rates of up to 3 over time of order one.
    assert np.abs(beta - exact).max() < 1e-2
    assert np.abs(beta - theory.linf_weights(s, alpha, mu, 0.0, depth) ** depth).max() > 0.1


def test_l2_sam_matches_the_parabola():
    alpha, mu, rho = np.array([0.05, 0.06, 0.045]), np.array([1.0, 2.0, 3.0]), 0.1
    beta, s, A = diagonal_run(alpha, mu, rho, "l2", 2, lr=1e-3, steps=1500)
    exact = theory.log_beta(s, A, alpha, mu, rho)
    # log(1 + x) against x for steps of relative size 1e-3 mu, summed over 1500 steps.
    assert np.abs(np.log(beta) - exact).max() < 1e-2
    layerwise = theory.log_beta(s, np.sqrt(2) * A, alpha, mu, rho)  # a norm per layer instead of one for all
    assert np.abs(np.log(beta) - layerwise).max() > 0.1


def test_perturbation_uses_one_norm_for_all_groups_and_each_group_its_radius():
    a, b = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(2))
    optimizer = SAM([{"params": [a]}, {"params": [b], "rho": 10.0}], torch.optim.SGD, rho=1.0, lr=0.1)
    a.grad, b.grad = torch.tensor([3.0]), torch.tensor([0.0, 4.0])
    _, (first, second) = optimizer.perturbation()
    assert torch.allclose(first, torch.tensor([0.6]))
    assert torch.allclose(second, torch.tensor([0.0, 8.0]))


@pytest.mark.parametrize("norm", ["l2", "linf", "none"])
@pytest.mark.parametrize("foreach", [True, False])
def test_zero_gradient_gives_zero_perturbation_and_no_nan(norm, foreach):
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = SAM([p], torch.optim.SGD, rho=1.0, norm=norm, lr=0.1, foreach=foreach)
    p.grad = torch.zeros(3)
    optimizer.first_step()
    assert torch.equal(p.data, torch.ones(3))
    optimizer.second_step()
    assert torch.equal(p.data, torch.ones(3))


def test_radius_zero_is_the_base_optimizer():
    ends = []
    for build in (lambda p: SAM(p, torch.optim.Adam, rho=0.0, lr=0.1), lambda p: torch.optim.Adam(p, lr=0.1)):
        p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
        optimizer = build([p])

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (p**4).sum()
            loss.backward()
            return loss

        for _ in range(20):
            optimizer.step(closure)
        ends.append(p.data)
    assert torch.equal(*ends)


def test_weights_come_back_exactly_from_a_perturbation_that_swallows_them():
    p = torch.nn.Parameter(torch.tensor([1e-8, 1.0]))
    optimizer = SAM([p], torch.optim.SGD, rho=1e6, norm="linf", lr=0.0)
    p.grad = torch.ones(2)
    optimizer.first_step()
    optimizer.second_step()
    assert torch.equal(p.data, torch.tensor([1e-8, 1.0]))


def test_scheduler_changes_the_rate_of_the_base_optimizer():
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = SAM([p], torch.optim.SGD, rho=0.0, lr=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)

    def closure():
        optimizer.zero_grad()
        loss = p.sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        scheduler.step()
    assert p.item() == pytest.approx(1 - (1 + 0.5 + 0.25))


def test_halves_out_of_order_are_refused():
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = SAM([p], torch.optim.SGD, lr=0.1)
    with pytest.raises(RuntimeError, match="without first_step"):
        optimizer.second_step()
    optimizer.first_step()
    with pytest.raises(RuntimeError, match="twice"):
        optimizer.first_step()


@pytest.mark.parametrize("arguments", [(), (None,)])
def test_step_without_closure_says_what_to_do(arguments):
    optimizer = SAM([torch.nn.Parameter(torch.ones(1))], torch.optim.SGD, lr=0.1)
    with pytest.raises(TypeError, match=r"needs a closure.*first_step\(\) and second_step\(\)"):
        optimizer.step(*arguments)


def test_step_without_closure_is_the_second_half_and_with_one_is_refused_there():
    ends = []
    for finish in (SAM.second_step, SAM.step):
        p = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        optimizer = SAM([p], torch.optim.SGD, rho=1.0, lr=0.1)
        p.grad = p.detach().clone()
        optimizer.first_step()
        with pytest.raises(RuntimeError, match="after first_step"):
            optimizer.step(lambda p=p: p.sum())
        p.grad = p.detach().clone()
        finish(optimizer)
        ends.append(p.data)
    assert torch.equal(*ends)
    assert torch.allclose(ends[0], torch.tensor([2.64, 3.52]))


def test_restore_gives_the_step_up():
    p = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SAM([p], torch.optim.SGD, rho=1.0, lr=0.1)
    optimizer.restore()
    p.grad = torch.ones(2)
    optimizer.first_step()
    assert not torch.equal(p.data, torch.tensor([3.0, 4.0]))
    optimizer.restore()
    assert torch.equal(p.data, torch.tensor([3.0, 4.0]))
    optimizer.first_step()  # as if nothing had been


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("size", [1e-45, 1e-40, 1.0, 3e38])
def test_perturbation_has_its_length_for_the_smallest_and_the_largest_gradients(size, foreach):
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = SAM([p], torch.optim.SGD, rho=2.0, lr=0.1, foreach=foreach)
    p.grad = torch.tensor([size, size, -size, size])
    _, (eps,) = optimizer.perturbation()
    assert torch.allclose(eps, torch.tensor([1.0, 1.0, -1.0, 1.0]))


def test_parameters_of_several_types_share_one_norm():
    a, b, c = (torch.nn.Parameter(torch.zeros(1, dtype=t)) for t in (torch.float16, torch.float64, torch.bfloat16))
    optimizer = SAM([a, b, c], torch.optim.SGD, rho=9.0, lr=0.1, foreach=False)
    for p, g in ((a, 2.0**-23), (b, -(2.0**-22)), (c, 2.0**-22)):
        p.grad = torch.full_like(p, g)
    _, eps = optimizer.perturbation()
    assert [e.item() for e in eps] == pytest.approx([3.0, -6.0, 6.0])


def test_a_copy_made_between_the_halves_finishes_the_step():
    p = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SAM([p], torch.optim.SGD, rho=1.0, lr=0.1)
    p.grad = p.detach().clone()
    optimizer.first_step()
    other, q = copy.deepcopy((optimizer, p))
    for weights, one in ((p, optimizer), (q, other)):
        weights.grad = weights.detach().clone()
        one.second_step()
    assert torch.equal(p, q)
    assert q.tolist() == pytest.approx([2.64, 3.52])


@pytest.mark.parametrize("base", [torch.optim.LBFGS, "SGD", torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])])
def test_a_base_optimizer_that_cannot_serve_is_refused(base):
    with pytest.raises(TypeError, match="base_optimizer: got"):
        SAM([torch.nn.Parameter(torch.ones(1))], base)


def test_base_optimizer_without_foreach_is_not_given_any():
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = SAM([p], torch.optim.SparseAdam, foreach=False, lr=0.1)
    assert not optimizer.foreach


def test_running_statistics_of_batch_norm_are_updated_twice_unless_momentum_is_zero():
    for momentum, passes in ((0.5, 2), (0.0, 1)):
        layer = torch.nn.BatchNorm1d(1, momentum=0.5)
        optimizer = SAM(layer.parameters(), torch.optim.SGD, rho=0.1, lr=0.1)
        x = torch.tensor([[1.0], [3.0]])
        (layer(x) ** 3).sum().backward()
        optimizer.first_step()
        layer.momentum = momentum
        (layer(x) ** 3).sum().backward()
        optimizer.second_step()
        assert layer.running_mean.item() == pytest.approx(2 * (1 - 0.5**passes))


def test_bad_radius_of_a_group_is_refused():
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "rho": -2.0}]
    with pytest.raises(ValueError, match=r"-2\.0"):
        SAM(groups, torch.optim.SGD, lr=0.1)
