import pytest
import torch

from companion.models.diagonal import DiagonalNet, diagonal_gradient


def autograd(w, z, count=None):
    """Brute force: one network after the other, through autograd."""
    w = w.clone().requires_grad_()
    margins = w.prod(-2) @ z.mT
    losses = torch.nn.functional.softplus(-margins)
    total = (losses.sum(-1) / (z.shape[-2] if count is None else count[..., 0])).sum()
    return torch.autograd.grad(total, w)[0]


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_gradient_of_a_batch_matches_autograd(depth):
    generator = torch.Generator().manual_seed(depth)
    w = torch.randn(3, 5, depth, 6, generator=generator, dtype=torch.float64)
    w[0, 0, 0, 0] = 0.0  # a product with a zero factor must not divide by it
    z = torch.randn(3, 7, 6, generator=generator, dtype=torch.float64)
    gradient, slope = diagonal_gradient(w, z)
    assert torch.allclose(gradient, autograd(w, z), rtol=1e-12, atol=1e-14)
    assert slope.shape == (3, 5, 7)
    normalized, share = diagonal_gradient(w, z, normalized=True)
    mean = slope.mean(-1)[..., None, None]
    assert torch.allclose(normalized, gradient / mean, rtol=1e-12, atol=1e-14)
    assert torch.allclose(share, slope / slope.sum(-1, keepdim=True))


def test_padding_rows_do_not_count():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(2, 2, 4, generator=generator, dtype=torch.float64)
    z = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    padded = torch.cat([z, torch.zeros(3, 4, dtype=torch.float64)])
    exact, _ = diagonal_gradient(w, z)
    found, _ = diagonal_gradient(w, padded, torch.tensor([[5.0]], dtype=torch.float64))
    assert torch.allclose(found, exact, rtol=1e-12)


def test_normalized_gradient_survives_margins_at_which_the_loss_underflows():
    w = torch.full((1, 2, 2), 40.0, dtype=torch.float64)  # margins of 1600 and 3200
    z = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    plain, slope = diagonal_gradient(w, z)
    assert not slope.any()
    assert not plain.any()
    normalized, share = diagonal_gradient(w, z, normalized=True)
    assert share[0].tolist() == [1.0, 0.0]
    assert torch.equal(normalized[0, 0], torch.tensor([-40.0, 0.0], dtype=torch.float64))


def test_module_computes_the_product_of_its_layers():
    net = DiagonalNet(3, torch.tensor([1.0, 2.0]))
    assert torch.equal(net.beta(), torch.tensor([1.0, 8.0]))
    assert torch.equal(net(torch.tensor([[1.0, 1.0], [2.0, 0.0]])), torch.tensor([9.0, 2.0]))
    assert len(list(net.parameters())) == 3


@pytest.mark.parametrize(("depth", "init", "name"), [(0, torch.ones(2), "depth"), (2, torch.ones(2, 2), "init")])
def test_bad_shapes_are_refused(depth, init, name):
    with pytest.raises(ValueError, match=name):
        DiagonalNet(depth, init)
