"""A small language model: a causal transformer over the symbols of :mod:`companion.data.text`.

Pre-norm blocks of causal self-attention (four square matrices, no biases) and a GELU network four times as wide,
learned positions, and an output that shares its matrix with the embedding.

>>> import torch
>>> model = Decoder(width=16, blocks=1, heads=2, context=8)
>>> model(torch.zeros(3, 8, dtype=torch.long)).shape
torch.Size([3, 8, 96])
"""

import torch
import torch.nn.functional as F

SYMBOLS = 96


class Attention(torch.nn.Module):
    """Causal self-attention: ``softmax(Q K^T / sqrt(width / heads)) V`` for each head, then an output matrix."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (torch.nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, positions, width)`` to the same shape."""
        heads = [
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        ]
        return self.out(F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2))


class Block(torch.nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.before_attention, self.before_mlp = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, positions, width)`` to the same shape."""
        x = x + self.attention(self.before_attention(x))
        return x + self.down(F.gelu(self.up(self.before_mlp(x))))


class Decoder(torch.nn.Module):
    """Logits of the next symbol at every position.

    Parameters
    ----------
    width : a multiple of ``heads``
    blocks, heads : counts
    context : the most positions of an input
    generator : CPU generator of the initial weights: normal, with standard deviation ``1/sqrt(fan_in)`` for matrices,
        divided by ``sqrt(2 blocks)`` where a matrix writes to the residual stream; 0.02 for embeddings; biases zero

    Raises
    ------
    ValueError
        If ``width`` is no multiple of ``heads``.
    """

    def __init__(self, width: int, blocks: int, heads: int, context: int, *, generator: torch.Generator | None = None):
        super().__init__()
        if width % heads:
            raise ValueError(f"width: got {width}, allowed: a multiple of heads ({heads})")
        self.context = context
        self.embedding, self.positions = torch.nn.Embedding(SYMBOLS, width), torch.nn.Embedding(context, width)
        self.blocks = torch.nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm = torch.nn.LayerNorm(width)
        for module in (self.embedding, self.positions):
            torch.nn.init.normal_(module.weight, std=0.02, generator=generator)
        for name, module in self.named_modules():
            if isinstance(module, torch.nn.Linear):
                writes = name.endswith(("out", "down"))
                std = (module.in_features * (2 * blocks if writes else 1)) ** -0.5
                torch.nn.init.normal_(module.weight, std=std, generator=generator)
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        """Logits ``(batch, positions, 96)`` of symbols ``(batch, positions)``, at most ``context`` positions."""
        x = self.embedding(symbols) + self.positions.weight[: symbols.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.embedding.weight)


def next_symbol_loss(model: torch.nn.Module, symbols: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy, in nats, of each symbol after the first given those before it; ``(batch, positions + 1)``."""
    logits = model(symbols[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), symbols[:, 1:].flatten())
