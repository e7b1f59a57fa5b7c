import pytest
import torch

from companion.models.decoder import Decoder, next_symbol_loss
from companion.models.lora import LoRALinear, adapt


def test_an_adapted_layer_starts_as_its_base_and_learns_its_product_alone():
    base = torch.nn.Linear(6, 4)
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    before = base(x).detach()
    layer = LoRALinear(base, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(layer(x), before)
    torch.nn.init.normal_(layer.B, generator=torch.Generator().manual_seed(2))
    merged = torch.nn.functional.linear(x, base.weight + layer.delta(), base.bias)
    assert torch.allclose(layer(x), merged, atol=1e-5)
    layer(x).sum().backward()
    assert base.weight.grad is None
    assert layer.A.grad.abs().max() > 0
    with pytest.raises(ValueError, match="rank: got 5"):
        LoRALinear(torch.nn.Linear(6, 4), 5)
    wide = LoRALinear(torch.nn.Linear(400, 64), 32, generator=torch.Generator().manual_seed(3))
    assert float(wide.A.detach().var()) == pytest.approx(1 / 400, rel=0.05)


def test_all_linear_layers_of_a_decoder_are_adapted():
    model = Decoder(width=16, blocks=2, heads=2, context=8, generator=torch.Generator().manual_seed(0))
    symbols = torch.randint(96, (2, 9), generator=torch.Generator().manual_seed(1))
    before = next_symbol_loss(model, symbols)
    layers = adapt(model, 2, generator=torch.Generator().manual_seed(2))
    assert len(layers) == 12
    assert torch.allclose(next_symbol_loss(model, symbols), before)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {f"{name}.{factor}" for name in layers for factor in "AB"}
