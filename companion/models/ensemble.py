"""Many small language models trained at once: decoder-only transformers whose members share one batch of kernels.

The weights of M members are a dictionary of tensors with M as their first axis, and the loss is a function of them:

    losses(shape, weights, symbols) -> (M,),     entry m depends on member m alone,

so that one pass backwards through the sum of the losses is every member's own gradient. A block is

    h <- h + out(attention(qkv(norm(h)))),     h <- h + down(relu(up(norm(h)))),

with causal attention, RMS norms without gains (the matrix behind each could absorb them), learned positions, no biases,
and an output matrix of its own. Symbols are those of :mod:`companion.data.text`.

>>> import torch
>>> shape = Shape(width=8, blocks=1, heads=2, context=4)
>>> weights = initial(shape, members=3, generator=torch.Generator().manual_seed(0))
>>> losses(shape, weights, torch.zeros(2, 5, dtype=torch.long)).shape
torch.Size([3])
>>> [name for name in weights if hidden(name)]
['block0.qkv', 'block0.out', 'block0.up', 'block0.down']
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from companion.data.text import ALPHABET

Weights = dict[str, torch.Tensor]

SYMBOLS = len(ALPHABET)
EMBEDDING_STD = 0.02  # of embeddings, positions and head
RESIDUAL = 0.7  # factor on the matrices that write to the residual stream


@dataclass(frozen=True)
class Shape:
    """Sizes of one member."""

    width: int = 32
    """Of the residual stream, a multiple of ``heads``."""
    blocks: int = 1
    heads: int = 4
    context: int = 32
    """The most symbols that a prediction may look back on."""

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(f"width: got {self.width}, allowed: a multiple of heads ({self.heads})")

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of every matrix, in the order of the dictionaries; ``(out, in)`` for linear maps."""
        d = self.width
        sizes = {"embedding": (SYMBOLS, d), "positions": (self.context, d)}
        for k in range(self.blocks):
            sizes |= {
                f"block{k}.qkv": (3 * d, d),
                f"block{k}.out": (d, d),
                f"block{k}.up": (4 * d, d),
                f"block{k}.down": (d, 4 * d),
            }
        return sizes | {"head": (SYMBOLS, d)}

    @property
    def numbers(self) -> int:
        """Weights of one member."""
        return sum(rows * columns for rows, columns in self.sizes().values())


def hidden(name: str) -> bool:
    """Whether a matrix is one of a block's four, those that Muon takes; not an embedding, nor the head."""
    return name.startswith("block")


def initial(
    shape: Shape, members: int, generator: torch.Generator, *, distinct: bool = False, dtype: torch.dtype | None = None
) -> Weights:
    """Initial weights, ``(members, rows, columns)`` each, on the generator's device.

    Embeddings, positions and head are ``N(0, 0.02^2)``; other matrices ``N(0, 1 / columns)``, times 0.7 where they
    write to the residual stream.

    Parameters
    ----------
    generator : of the random numbers
    distinct : an own start for each member; by default all have the same one, so that they differ by what is done to
        them alone
    """
    weights = {}
    for name, (rows, columns) in shape.sizes().items():
        std = columns**-0.5 if hidden(name) else EMBEDDING_STD
        if name.endswith((".out", ".down")):
            std *= RESIDUAL
        draws = members if distinct else 1
        drawn = std * torch.randn(draws, rows, columns, generator=generator, device=generator.device, dtype=dtype)
        weights[name] = drawn.expand(members, rows, columns).clone()
    return weights


def flatten(weights: Weights) -> torch.Tensor:
    """All weights of each member in one row, ``(M, shape.numbers)``: where one rule moves them all, it moves this."""
    return torch.cat([matrix.flatten(1) for matrix in weights.values()], dim=1)


def unflatten(shape: Shape, rows: torch.Tensor) -> Weights:
    """The matrices as views of the rows that :func:`flatten` made."""
    sizes = shape.sizes()
    parts = rows.split([a * b for a, b in sizes.values()], dim=1)
    return {name: part.unflatten(1, size) for (name, size), part in zip(sizes.items(), parts, strict=True)}


def logits(shape: Shape, weights: Weights, symbols: torch.Tensor) -> torch.Tensor:
    """Scores of the next symbol at every position, ``(M, batch, positions, 96)``.

    Parameters
    ----------
    symbols : integers ``(batch, positions)``, the same for all members, or ``(M, batch, positions)``; at most
        ``shape.context`` positions
    """
    embedding = weights["embedding"]
    members, width = len(embedding), shape.width
    symbols = symbols.expand(members, *symbols.shape[-2:])
    batch, positions = symbols.shape[1:]
    offsets = SYMBOLS * torch.arange(members, device=symbols.device)[:, None, None]
    h = F.embedding(symbols + offsets, embedding.flatten(0, 1)) + weights["positions"][:, None, :positions]
    h = h.flatten(1, 2)  # (M, tokens, width)
    for k in range(shape.blocks):
        qkv = _norm(h) @ weights[f"block{k}.qkv"].mT
        # (3, M batch, heads, positions, width / heads)
        heads = qkv.view(members * batch, positions, 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2)
        h = h + mixed.reshape(members, batch * positions, width) @ weights[f"block{k}.out"].mT
        inner = torch.relu(_norm(h) @ weights[f"block{k}.up"].mT)
        h = h + inner @ weights[f"block{k}.down"].mT
    scores = _norm(h) @ weights["head"].mT
    return scores.view(members, batch, positions, SYMBOLS)


def losses(shape: Shape, weights: Weights, symbols: torch.Tensor) -> torch.Tensor:
    """Each member's mean cross-entropy, in nats, of every symbol after the first given those before it: ``(M,)``.

    Parameters
    ----------
    symbols : integers ``(batch, positions + 1)``, the same for all members, or ``(M, batch, positions + 1)``
    """
    scores = logits(shape, weights, symbols[..., :-1])
    targets = symbols[..., 1:].expand(scores.shape[:-1])
    each = F.cross_entropy(scores.flatten(0, 2), targets.reshape(-1), reduction="none")
    return each.view(len(scores), -1).mean(1)


def gradients(shape: Shape, weights: Weights, symbols: torch.Tensor) -> tuple[torch.Tensor, Weights]:
    """The losses ``(M,)`` and the gradient of each member's loss by its own weights."""
    with torch.enable_grad():
        leaves = {name: matrix.detach().requires_grad_(True) for name, matrix in weights.items()}
        found = losses(shape, leaves, symbols)
        slopes = torch.autograd.grad(found.sum(), list(leaves.values()))
    return found.detach(), dict(zip(leaves, slopes, strict=True))


@torch.no_grad()
def evaluate(shape: Shape, weights: Weights, symbols: torch.Tensor, at_once: int = 32) -> torch.Tensor:
    """The losses ``(M,)`` on many windows ``(count, positions + 1)``, ``at_once`` at a time."""
    parts = [losses(shape, weights, some).double() * len(some) for some in symbols.split(at_once)]
    return torch.stack(parts).sum(0) / len(symbols)


def windows(text: torch.Tensor, count: int, context: int, generator: torch.Generator) -> torch.Tensor:
    """``count`` windows ``(count, context + 1)`` of a text of symbols ``(n,)``, their starts drawn uniformly.

    Raises
    ------
    ValueError
        If the text is shorter than one window.
    """
    _long_enough(text, context)
    starts = torch.randint(len(text) - context, (count, 1), generator=generator, device=generator.device)
    return text[starts + torch.arange(context + 1, device=starts.device)].long()


def spread(text: torch.Tensor, count: int, context: int) -> torch.Tensor:
    """``count`` windows ``(count, context + 1)`` at equal distances from the first place to the last: to evaluate on.

    Raises
    ------
    ValueError
        If the text is shorter than one window.
    """
    _long_enough(text, context)
    starts = torch.linspace(0, len(text) - context - 1, count, dtype=torch.float64).long()[:, None]
    return text[starts + torch.arange(context + 1)].long()


def _norm(h: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(h, h.shape[-1:], eps=1e-6)


def _long_enough(text: torch.Tensor, context: int) -> None:
    if len(text) <= context:
        raise ValueError(f"text: got {len(text)} symbols, allowed: at least {context + 1}")
