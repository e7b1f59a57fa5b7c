import pytest
import torch

from companion.optim.orthogonalize import CONVERGENT, MUON, newton_schulz, polar, smoothed_polar

SHAPES = [(7, 3), (3, 7), (5, 5), (2, 4, 6, 3), (3, 1, 6)]


def gaussian(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def with_values(m, n, values, seed=0):
    """A matrix with given singular values, and its singular vectors."""
    left = torch.linalg.qr(gaussian(m, len(values), seed=seed)).Q
    right = torch.linalg.qr(gaussian(n, len(values), seed=seed + 1)).Q
    return (left * torch.tensor(values, dtype=torch.float64)) @ right.mT, left, right


@pytest.mark.parametrize("shape", SHAPES)
def test_polar_factor_is_orthogonal_on_the_short_side_and_leaves_a_semidefinite_factor(shape):
    g = gaussian(*shape)
    t = polar(g)
    short = t @ t.mT if shape[-2] < shape[-1] else t.mT @ t
    assert torch.allclose(short, torch.eye(min(shape[-2:]), dtype=torch.float64), atol=1e-12)
    stretch = t.mT @ g
    assert torch.allclose(stretch, stretch.mT, atol=1e-12)
    assert torch.linalg.eigvalsh(stretch).min() > -1e-12
    # The largest inner product over the ball of the spectral norm is the nuclear norm.
    assert torch.allclose((t * g).sum((-2, -1)), torch.linalg.svdvals(g).sum(-1), rtol=1e-12)


@pytest.mark.parametrize(("m", "n"), [(6, 4), (4, 6)])
def test_directions_of_zero_stay_zero(m, n):
    g, left, right = with_values(m, n, [5.0, 0.1])
    assert torch.allclose(polar(g), left @ right.mT, atol=1e-12)
    # Rounding in the Gram matrix is of order 1e-16, its square root 1e-8: small beside beta.
    smooth = left @ torch.diag(
        torch.tensor([5.0, 0.1]).double() / (torch.tensor([5.0, 0.1]).double() ** 2 + 1e-4) ** 0.5
    )
    assert torch.allclose(smoothed_polar(g, 1e-2), smooth @ right.mT, atol=1e-11)
    assert torch.linalg.svdvals(newton_schulz(g))[2:].max() < 1e-12
    for zero in (polar(0 * g), smoothed_polar(0 * g, 0.1), newton_schulz(0 * g)):
        assert torch.equal(zero, torch.zeros(m, n, dtype=torch.float64))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", [1e-4, 0.3, 10.0])
def test_smoothed_factor_has_the_singular_values_of_its_formula(shape, beta):
    g = gaussian(*shape, seed=1)
    left, values, right = torch.linalg.svd(g, full_matrices=False)
    expected = (left * (values / (values**2 + beta**2).sqrt())[..., None, :]) @ right
    assert torch.allclose(smoothed_polar(g, beta), expected, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_smoothed_factor_tends_to_the_exact_one_and_to_the_gradient(shape):
    g = gaussian(*shape, seed=2)
    assert torch.allclose(smoothed_polar(g, 1e-7), polar(g), atol=1e-9)
    assert torch.allclose(1e6 * smoothed_polar(g, 1e6), g, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_newton_schulz_acts_on_singular_values_as_its_polynomial(shape):
    g = gaussian(*shape, seed=3)
    left, values, right = torch.linalg.svd(g, full_matrices=False)
    x = values / values.square().sum(-1, keepdim=True).sqrt()
    for _ in range(5):
        x = MUON[0] * x + MUON[1] * x**3 + MUON[2] * x**5
    assert torch.allclose(newton_schulz(g), (left * x[..., None, :]) @ right, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_newton_schulz_converges_to_the_polar_factor_with_convergent_coefficients(shape):
    g = gaussian(*shape, seed=4)
    assert torch.allclose(newton_schulz(g, 40, CONVERGENT), polar(g), atol=1e-10)


def test_five_steps_of_muon_bring_singular_values_near_one_but_not_to_it():
    g, left, right = with_values(8, 6, [1.0, 0.5, 0.2, 0.05, 0.02, 0.01])
    values = torch.diag(left.mT @ newton_schulz(g) @ right)
    assert values.min() > 0.68
    assert values.max() < 1.21
    assert (values - 1).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
@pytest.mark.parametrize("nesterov", [True, False])
def test_torchs_muon_takes_the_same_direction(shape, nesterov):
    p = torch.nn.Parameter(torch.zeros(shape))
    optimizer = torch.optim.Muon([p], lr=1.0, weight_decay=0.0, nesterov=nesterov, adjust_lr_fn=None)
    buffer = torch.zeros(shape)
    for step in range(3):
        g = gaussian(*shape, seed=step, dtype=torch.float32)
        before, p.grad = p.detach().clone(), g.clone()
        optimizer.step()
        buffer = 0.95 * buffer + 0.05 * g  # its scale does not matter, its mixture with the gradient does
        mixed = 0.05 * g + 0.95 * buffer if nesterov else buffer
        moved = (before - p.detach()) / max(1, shape[0] / shape[1]) ** 0.5
        # bfloat16 keeps three digits, and five steps of a polynomial with slope 3.4 at zero enlarge the error.
        assert torch.allclose(moved, newton_schulz(mixed), atol=0.06)
        inner = torch.nn.functional.cosine_similarity(moved.flatten(), polar(mixed).flatten(), dim=0)
        assert inner > 0.95


def test_a_batch_is_its_members():
    g = gaussian(4, 6, 3, seed=5)
    for function in (polar, newton_schulz, lambda x: smoothed_polar(x, 0.2)):
        assert torch.allclose(function(g), torch.stack([function(one) for one in g]), atol=1e-12)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_scale_of_the_matrix_does_not_matter(scale):
    g = gaussian(6, 3, seed=6)
    assert torch.allclose(polar(scale * g), polar(g), atol=1e-12)
    assert torch.allclose(newton_schulz(scale * g, eps=0.0), newton_schulz(g), atol=1e-12)
    assert torch.allclose(smoothed_polar(scale * g, scale * 0.1), smoothed_polar(g, 0.1), atol=1e-11)


def test_each_matrix_of_a_batch_may_have_its_own_smoothing():
    g, betas = gaussian(3, 4, 2, seed=7), torch.tensor([0.1, 1.0, 5.0], dtype=torch.float64)
    apart = torch.stack([smoothed_polar(one, float(beta)) for one, beta in zip(g, betas, strict=True)])
    assert torch.allclose(smoothed_polar(g, betas), apart, atol=1e-12)


def test_bad_arguments_are_refused():
    g = gaussian(3, 2)
    for function in (polar, newton_schulz, lambda x: smoothed_polar(x, 0.1)):
        with pytest.raises(ValueError, match="matrix: got 1 axes"):
            function(g[0])
    for beta in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="beta: got"):
            smoothed_polar(g, beta)
    with pytest.raises(ValueError, match="rtol: got 1"):
        polar(g, rtol=1.0)
    with pytest.raises(ValueError, match="steps: got -1"):
        newton_schulz(g, -1)
