import math

import pytest
import torch

from companion.models.ensemble import (
    SYMBOLS,
    Shape,
    evaluate,
    flatten,
    gradients,
    hidden,
    initial,
    logits,
    losses,
    spread,
    unflatten,
    windows,
)

SMALL = Shape(width=12, blocks=2, heads=3, context=6)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def members(count=3, shape=SMALL, **kwargs):
    return initial(shape, count, generator(), distinct=True, dtype=torch.float64, **kwargs)


def some_symbols(*size, seed=1):
    return torch.randint(SYMBOLS, size, generator=generator(seed))


def plain_loss(shape, weights, symbols):
    """One member's loss on ``(batch, positions + 1)``, a position at a time, a head at a time."""

    def normed(v):
        return v / torch.sqrt((v**2).mean() + 1e-6)

    total, count = 0, 0
    for row in symbols.tolist():
        stream = [weights["embedding"][s] + weights["positions"][t] for t, s in enumerate(row[:-1])]
        for k in range(shape.blocks):
            q, key, value = zip(*[(weights[f"block{k}.qkv"] @ normed(v)).chunk(3) for v in stream], strict=True)
            size = shape.width // shape.heads
            after = []
            for t, v in enumerate(stream):
                parts = []
                for h in range(shape.heads):
                    of_head = slice(h * size, (h + 1) * size)
                    scores = torch.stack([q[t][of_head] @ key[s][of_head] for s in range(t + 1)]) / math.sqrt(size)
                    shares = scores.softmax(0)
                    parts.append(sum(shares[s] * value[s][of_head] for s in range(t + 1)))
                after.append(v + weights[f"block{k}.out"] @ torch.cat(parts))
            stream = [
                v + weights[f"block{k}.down"] @ torch.clamp(weights[f"block{k}.up"] @ normed(v), min=0) for v in after
            ]
        for t, v in enumerate(stream):
            scores = weights["head"] @ normed(v)
            total = total + torch.logsumexp(scores, 0) - scores[row[t + 1]]
            count += 1
    return total / count


@pytest.mark.parametrize("shared", [True, False])
def test_losses_and_gradients_are_those_of_a_plain_transformer(shared):
    weights = members()
    symbols = some_symbols(2, 7) if shared else some_symbols(3, 2, 7)
    found, slopes = gradients(SMALL, weights, symbols)
    for m in range(3):
        alone = {name: matrix[m].clone().requires_grad_(True) for name, matrix in weights.items()}
        loss = plain_loss(SMALL, alone, symbols if shared else symbols[m])
        expected = torch.autograd.grad(loss, list(alone.values()))
        assert float(found[m]) == pytest.approx(loss.item(), abs=1e-12)
        for (name, slope), wanted in zip(slopes.items(), expected, strict=True):
            assert torch.allclose(slope[m], wanted, atol=1e-12), name


def test_a_member_sees_nothing_of_the_others():
    weights, symbols = members(), some_symbols(2, 7)
    before, slopes = gradients(SMALL, weights, symbols)
    changed = {name: matrix.clone() for name, matrix in weights.items()}
    for matrix in changed.values():
        matrix[1] += 1
    after, others = gradients(SMALL, changed, symbols)
    assert float(before[1]) != float(after[1])
    for m in (0, 2):
        assert float(before[m]) == float(after[m])
        assert all(torch.equal(slopes[name][m], others[name][m]) for name in slopes)


def test_a_prediction_looks_back_only():
    weights, symbols = members(), some_symbols(2, 6)
    changed = symbols.clone()
    changed[:, 4] = (changed[:, 4] + 1) % SYMBOLS
    before, after = logits(SMALL, weights, symbols), logits(SMALL, weights, changed)
    assert torch.equal(before[:, :, :4], after[:, :, :4])
    assert not torch.allclose(before[:, :, 4:], after[:, :, 4:])


def test_order_of_symbols_matters():
    weights, symbols = members(), some_symbols(1, 6)
    swapped = symbols[:, [1, 0, 2, 3, 4, 5]]
    assert not torch.allclose(logits(SMALL, weights, symbols)[:, :, 5], logits(SMALL, weights, swapped)[:, :, 5])


def test_initial_weights_have_the_scales_said_and_a_uniform_guess():
    shape = Shape(width=64, blocks=2, heads=4, context=64)
    weights = initial(shape, 2, generator(), distinct=True)
    assert [name for name in weights if hidden(name)] == [
        f"block{k}.{part}" for k in range(2) for part in ("qkv", "out", "up", "down")
    ]
    for name, matrix in weights.items():
        std = 0.02 if not hidden(name) else matrix.shape[-1] ** -0.5 * (0.7 if name.endswith(("out", "down")) else 1)
        assert float(matrix.std()) == pytest.approx(std, rel=0.05), name
        assert not torch.equal(matrix[0], matrix[1])
    assert sum(matrix[0].numel() for matrix in weights.values()) == shape.numbers
    assert float(losses(shape, weights, some_symbols(8, 33))[0]) == pytest.approx(math.log(SYMBOLS), abs=0.1)


def test_members_start_alike_unless_asked_otherwise_and_own_their_weights():
    weights = initial(SMALL, 3, generator())
    for matrix in weights.values():
        assert torch.equal(matrix[0], matrix[2])
        matrix[0] += 1  # an expanded tensor would move all of them
        assert not torch.equal(matrix[0], matrix[2])


def test_flat_rows_hold_the_same_weights():
    weights = members()
    rows = flatten(weights)
    assert rows.shape == (3, SMALL.numbers)
    again = unflatten(SMALL, rows)
    assert list(again) == list(weights)
    assert all(torch.equal(again[name], matrix) for name, matrix in weights.items())
    rows[1] = 0
    assert not any(matrix[1].any() for matrix in again.values())


def test_evaluation_is_the_mean_over_windows():
    weights, symbols = members(), some_symbols(7, 7)
    found = evaluate(SMALL, weights, symbols, at_once=3)
    assert torch.allclose(found, losses(SMALL, weights, symbols), atol=1e-12)


def test_windows_are_pieces_of_the_text_from_first_to_last():
    text = torch.arange(20, dtype=torch.uint8)
    drawn = windows(text, 400, 4, generator())
    assert drawn.shape == (400, 5)
    assert bool((drawn.diff(dim=1) == 1).all())
    assert set(drawn[:, 0].tolist()) == set(range(16))
    assert torch.equal(windows(text, 5, 4, generator(3)), windows(text, 5, 4, generator(3)))
    fixed = spread(text, 3, 4)
    assert fixed[:, 0].tolist() == [0, 7, 15]
    assert bool((fixed.diff(dim=1) == 1).all())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="width: got 10"):
        Shape(width=10, heads=4)
    for make in (lambda text: windows(text, 1, 4, generator()), lambda text: spread(text, 1, 4)):
        with pytest.raises(ValueError, match="text: got 4 symbols"):
            make(torch.zeros(4, dtype=torch.uint8))


def test_steps_down_the_gradients_lower_every_members_loss():
    shape = Shape(width=16, heads=2, context=8)
    weights = initial(shape, 2, generator(), distinct=True)
    symbols = some_symbols(4, 9)
    first, _ = gradients(shape, weights, symbols)
    for _ in range(20):
        _, slopes = gradients(shape, weights, symbols)
        weights = {name: matrix - 0.5 * slopes[name] for name, matrix in weights.items()}
    assert bool((losses(shape, weights, symbols) < first - 0.5).all())
