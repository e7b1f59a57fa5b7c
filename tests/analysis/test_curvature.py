import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from companion.analysis.curvature import (
    dense_hessian,
    gradient,
    hessian_operator,
    jacobian,
    lanczos,
    sharpness,
    sharpness_gradient,
    split,
)

SHAPES = [(5, 3), (4, 5), (1, 4)]
P = 39


@pytest.fixture(scope="module")
def networks():
    """Three tanh networks in float64 with data of their own: parameters, and each one's loss of all and of one."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(3, P, generator=generator, dtype=torch.float64)
    x = torch.randn(3, 3, 7, generator=generator, dtype=torch.float64)
    y = torch.randn(3, 1, 7, generator=generator, dtype=torch.float64)

    def outputs(theta, x):
        for layer, weight in enumerate(split(theta, SHAPES)):
            x = weight @ (torch.tanh(x) if layer else x)
        return x

    def loss(theta):
        return 0.5 * ((outputs(theta, x) - y) ** 2).mean(dim=(1, 2))

    def loss_of(run):
        return lambda row: 0.5 * ((outputs(row[None], x[run : run + 1]) - y[run]) ** 2).mean()

    return theta, loss, loss_of, lambda theta: outputs(theta, x)[:, 0]


def test_every_run_has_its_own_gradient_and_hessian(networks):
    theta, loss, loss_of, _ = networks
    hessians = dense_hessian(loss, theta)
    for run in range(3):
        assert torch.allclose(gradient(loss, theta)[run], torch.func.grad(loss_of(run))(theta[run]), atol=1e-12)
        assert torch.allclose(hessians[run], torch.func.hessian(loss_of(run))(theta[run]), atol=1e-12)
    v = torch.randn(3, P, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(hessian_operator(loss, theta)(v), (hessians @ v[..., None])[..., 0], atol=1e-12)


def test_the_jacobian_is_that_of_autograd(networks):
    theta, _, _, outputs = networks
    expected = torch.autograd.functional.jacobian(outputs, theta)
    ours = jacobian(outputs, theta)
    assert ours.shape == (3, 7, P)
    for run in range(3):
        assert torch.allclose(ours[run], expected[run, :, run], atol=1e-12)
        others = [other for other in range(3) if other != run]
        assert not bool(expected[run][:, others].any())


def test_leading_eigenpairs_are_those_of_the_dense_hessian(networks):
    theta, loss, _, _ = networks
    values, vectors = torch.linalg.eigh(dense_hessian(loss, theta))
    start = torch.randn(3, P, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    top = lanczos(hessian_operator(loss, theta), start, 30, k=3)
    assert torch.allclose(top.values, values.flip(-1)[:, :3], rtol=1e-8)
    overlaps = (top.vectors * vectors.flip(-1)[:, :, :3].mT).sum(-1).abs()
    assert torch.allclose(overlaps, torch.ones_like(overlaps), atol=1e-6)
    assert bool((top.residuals < 1e-4 * top.values[:, :1]).all())


def test_residuals_are_those_of_the_pairs(networks):
    theta, loss, _, _ = networks
    product = hessian_operator(loss, theta)
    start = torch.randn(3, P, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    rough = sharpness(loss, theta, start, steps=4)
    assert torch.allclose((product(rough.vector) - rough.value[:, None] * rough.vector).norm(dim=1), rough.residual)
    assert bool((rough.residual > 1e-6).any())
    exact = torch.linalg.eigvalsh(dense_hessian(loss, theta))
    distance = (exact - rough.value[:, None]).abs().amin(dim=1)
    assert bool((distance <= rough.residual + 1e-12).all())


def test_scipy_finds_the_same_sharpness(networks):
    theta, loss, loss_of, _ = networks
    found = sharpness(loss, theta, torch.ones_like(theta), steps=P)
    for run in range(3):
        one = hessian_operator(lambda row, run=run: loss_of(run)(row[0])[None], theta[run : run + 1])
        operator = LinearOperator(
            (P, P), matvec=lambda v, one=one: one(torch.as_tensor(v.reshape(1, P))).numpy()[0], dtype=np.float64
        )
        assert float(found.value[run]) == pytest.approx(eigsh(operator, k=1, which="LA")[0][0], rel=1e-9)


def test_the_largest_is_meant_not_the_largest_in_size():
    scales = torch.tensor([1.0, -7.0, 3.0, 0.0], dtype=torch.float64)
    found = lanczos(lambda v: scales * v, torch.ones(1, 4, dtype=torch.float64), 4, k=4)
    assert torch.allclose(found.values, torch.tensor([[3.0, 1.0, 0.0, -7.0]], dtype=torch.float64))


def test_a_start_from_an_eigenvector_and_a_repeated_eigenvalue_do_no_harm():
    scales = torch.tensor([2.0, 5.0, 5.0, 1.0], dtype=torch.float64)
    start = torch.eye(4, dtype=torch.float64)[[0, 3]]
    found = lanczos(lambda v: scales * v, start, 4, k=2)
    assert torch.allclose(found.values, torch.full((2, 2), 5.0, dtype=torch.float64))
    assert torch.allclose(found.vectors @ found.vectors.mT, torch.eye(2, dtype=torch.float64).expand(2, 2, 2))
    flat = sharpness(lambda theta: theta.sum(-1), start, start, steps=3)
    assert flat.value.tolist() == [0.0, 0.0]


def test_the_gradient_of_the_sharpness_is_that_of_differences(networks):
    theta, loss, _, _ = networks
    start = torch.ones_like(theta)
    top = sharpness(loss, theta, start, steps=P)
    slope = sharpness_gradient(loss, theta, top.vector)
    direction = torch.randn(3, P, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    step = 1e-5
    up, down = (sharpness(loss, theta + sign * step * direction, start, steps=P).value for sign in (1, -1))
    assert torch.allclose((slope * direction).sum(1), (up - down) / (2 * step), rtol=1e-5)


def test_homogeneous_networks_have_a_sharpness_of_known_degree():
    """Euler: with ``L(c theta) = c^m L(theta)`` the Hessian has degree m - 2."""
    theta = torch.randn(2, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    def loss(theta):
        return (theta[:, :3].prod(1) * theta[:, 3:].sum(1)) ** 2

    top = sharpness(loss, theta, torch.ones_like(theta), steps=6)
    slope = sharpness_gradient(loss, theta, top.vector)
    assert torch.allclose((theta * slope).sum(1), 6 * top.value, rtol=1e-8)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="shapes: they hold 4 numbers, theta has 5"):
        split(torch.zeros(1, 5), [(2, 2)])
    for k in (0, 3):
        with pytest.raises(ValueError, match=f"k: got {k}"):
            lanczos(lambda v: v, torch.ones(1, 4), 2, k=k)
    for bad in (0.0, float("nan")):
        with pytest.raises(ValueError, match="start: a row"):
            lanczos(lambda v: v, torch.full((1, 4), bad), 2)
