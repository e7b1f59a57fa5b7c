import pytest
import torch

from companion.models.decoder import Decoder, next_symbol_loss


def test_a_decoder_sees_no_symbol_that_is_still_to_come():
    model = Decoder(width=16, blocks=2, heads=4, context=8, generator=torch.Generator().manual_seed(0))
    symbols = torch.randint(96, (1, 8), generator=torch.Generator().manual_seed(1))
    changed = symbols.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 96
    same = (model(symbols) - model(changed)).abs().amax(-1)[0]
    assert same[:5].max() == 0
    assert same[5:].min() > 0
    with pytest.raises(ValueError, match="width: got 10"):
        Decoder(width=10, blocks=1, heads=4, context=8)


def test_the_loss_is_that_of_the_next_symbol():
    class Copy(torch.nn.Module):
        def forward(self, symbols):
            return 50.0 * torch.nn.functional.one_hot(symbols, 96).float()

    repeated, counted = torch.full((1, 6), 7), torch.arange(6)[None]
    assert next_symbol_loss(Copy(), repeated) < 1e-6
    assert next_symbol_loss(Copy(), counted) > 40
