import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from companion.models.linear import (
    gaussian_factors,
    gradient,
    gradient_flow,
    losses,
    norm_bound,
    prefixes,
    product,
    step_size,
    suffixes,
    tangent_kernel,
)


def factors(depth, dim=4, replicas=3, seed=0):
    return torch.randn(
        replicas, depth, dim, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )  # fmt: skip


def multiplied(W):
    """Brute force: one network's factors, multiplied one after the other from the left."""
    found = torch.eye(W.shape[-1], dtype=W.dtype)
    for factor in W:
        found = factor @ found
    return found


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_partial_products_are_those_of_the_factors(depth):
    W = factors(depth)
    for k in range(3):
        for layer in range(depth):
            assert torch.allclose(prefixes(W)[layer][k], multiplied(W[k, : layer + 1]), atol=1e-13)
            assert torch.allclose(suffixes(W)[layer][k], multiplied(W[k, layer:]), atol=1e-13)
    assert torch.equal(product(W), prefixes(W)[-1])


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_gradient_of_a_batch_is_that_of_autograd(depth):
    W = factors(depth).requires_grad_()
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    mask = (torch.rand(3, 4, 4, generator=generator) < 0.5).double()
    expected = torch.autograd.grad(losses(W, target, mask).sum(), W)[0]
    with torch.no_grad():
        found = gradient(W, mask * (product(W) - target))
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_tangent_kernel_is_that_of_autograd(depth):
    W, rows, columns = factors(depth, replicas=2), [0, 2, 2, 3], [1, 1, 0, 3]
    for k in range(2):
        one = W[k].clone().requires_grad_()
        whole = product(one)
        slopes = [
            torch.autograd.grad(whole[a, b], one, retain_graph=True)[0].flatten()
            for a, b in zip(rows, columns, strict=True)
        ]
        slopes = torch.stack(slopes)
        assert torch.allclose(tangent_kernel(W, rows, columns)[k], slopes @ slopes.T, rtol=1e-12, atol=1e-12)


def test_norm_bound_lies_between_the_spectral_norm_and_its_multiple():
    W = factors(3, dim=6)
    largest = torch.linalg.matrix_norm(W, 2).amax(-1)
    assert (norm_bound(W) >= largest).all()
    assert (norm_bound(W) <= 6**0.125 * largest).all()
    W = torch.diag_embed(torch.full((1, 2, 6), 3.0, dtype=torch.float64))
    assert norm_bound(W).item() == pytest.approx(3 * 6**0.125)


def test_step_is_the_smaller_of_stability_and_relative_change():
    W = torch.stack([torch.diag(torch.tensor([size, 0.0], dtype=torch.float64)) for size in (2.0, 2.0, 2.0)])[None]
    near = torch.zeros(1, 2, 2, dtype=torch.float64)
    near[0, 0, 0] = 1e-3
    assert step_size(W, near, 0.3, 0.1).item() == pytest.approx(0.3 / (3 * 2**4))
    assert step_size(W, 3e4 * near, 0.3, 0.1).item() == pytest.approx(0.1 / (30 * 2))


@pytest.mark.parametrize("depth", [2, 3])
def test_flow_follows_an_adaptive_solver(depth):
    W = factors(depth, dim=3, replicas=2) * 0.5
    target, mask = torch.ones(3, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    found = gradient_flow(W, target, mask, tol=1e-9, most=40_000, stable=0.02, relative=0.002)
    assert found.converged.all()
    for k in range(2):

        def slope(_, flat):
            one = torch.tensor(flat).view(depth, 3, 3)
            return -gradient(one, mask * (product(one) - target)).flatten().numpy()

        solved = solve_ivp(
            slope, (0, float(found.time[k])), W[k].flatten().numpy(), method="LSODA", rtol=1e-10, atol=1e-12
        )
        assert np.abs(solved.y[:, -1] - found.W[k].flatten().numpy()).max() < 5e-3  # Euler, of the order of its step


def test_a_batch_goes_as_its_networks_go_alone():
    W = gaussian_factors(5, 3, 3, 0.05, torch.Generator().manual_seed(0))
    target = torch.ones(3, 3, dtype=torch.float64)
    masks = torch.stack([torch.eye(3)] * 3 + [torch.eye(3).roll(1, 0) + torch.eye(3)] * 2).double()
    together = gradient_flow(W, target, masks, tol=1e-5, most=3000)
    assert together.converged.all()
    for k in range(5):
        alone = gradient_flow(W[k : k + 1], target, masks[k], tol=1e-5, most=3000)
        assert torch.allclose(alone.W[0], together.W[k], atol=1e-12)
        assert alone.steps.item() == together.steps[k].item()
        assert alone.time.item() == pytest.approx(together.time[k].item())
    assert len(set(together.steps.tolist())) > 1


def test_flow_stops_at_its_cap_and_says_so_and_records_what_it_is_asked_to():
    W = gaussian_factors(2, 2, 3, 0.1, torch.Generator().manual_seed(0))
    target = torch.eye(3, dtype=torch.float64)
    found = gradient_flow(W, target, target, tol=0.0, most=300, step=0.01, record=product, every=50)
    assert found.steps.tolist() == [300, 300]
    assert not found.converged.any()
    assert torch.allclose(found.times[:, 0], 0.5 * torch.arange(1, 7, dtype=torch.float64))
    assert torch.allclose(found.recorded[-1], product(found.W))
    by_hand = W.clone()
    for _ in range(50):
        by_hand = by_hand - 0.01 * gradient(by_hand, target * (product(by_hand) - target))
    assert torch.allclose(found.recorded[0], product(by_hand), atol=1e-14)
    wild = gradient_flow(W, target, target, tol=1e-6, most=400, step=100.0)
    assert not wild.converged.any()


def test_padding_with_zeros_makes_rectangular_factors():
    first, second = factors(1, replicas=1)[0, 0][:2, :3], factors(1, replicas=1, seed=1)[0, 0][:4, :2]
    W = torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    W[0, 0, :2, :3], W[0, 1, :4, :2] = first, second
    # of rank two, like the network: a direction that the target lacks would decay only algebraically
    target = torch.zeros(4, 4, dtype=torch.float64)
    target[:, :3] = factors(1, seed=2)[0, 0][:, :2] @ factors(1, seed=3)[0, 0][:2, :3]
    mask = torch.zeros(4, 4, dtype=torch.float64)
    mask[:, :3] = 1.0
    ended = gradient_flow(W, target, mask, tol=1e-8, most=5000)
    assert ended.converged.all()
    assert ended.W[0, 0, 2:].abs().max() == 0
    assert ended.W[0, 0, :, 3:].abs().max() == 0
    assert ended.W[0, 1, :, 2:].abs().max() == 0
    assert torch.linalg.matrix_rank(product(ended.W)[0]) <= 2


def test_gaussian_factors_have_the_scale_asked_for():
    W = gaussian_factors(50, 4, 30, 1e-4, torch.Generator().manual_seed(0))
    assert W.std().item() == pytest.approx(0.1 / 30**0.5, rel=0.01)
    same = gaussian_factors(2, 3, 5, 1e-4, torch.Generator().manual_seed(0), equal=True)
    assert torch.equal(same[:, 0], same[:, 2])
    assert not torch.equal(same[0], same[1])
