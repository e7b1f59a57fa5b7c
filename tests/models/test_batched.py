import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from companion.chapters.dual_pruning.resnet import BatchedResNet18, crop_and_flip
from companion.models.batched import BatchedMLP, GroupedCNN, accuracy, fit_many, predict


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def single_mlp(model, replica):
    layers = []
    for weight, bias in zip(model.weights, model.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[2], weight.shape[1]).to(weight.dtype)
        linear.weight.data, linear.bias.data = weight.data[replica].clone(), bias.data[replica, :, 0].clone()
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(torch.nn.Flatten(), *layers[:-1])


def single_cnn(model, replica):
    layers = []
    for kernel, offset in zip(model.kernels, model.offsets, strict=True):
        conv = torch.nn.Conv2d(kernel.shape[2], kernel.shape[1], 3, padding=1).to(kernel.dtype)
        conv.weight.data, conv.bias.data = kernel.data[replica].clone(), offset.data[replica].clone()
        layers += [conv, torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    head = torch.nn.Linear(model.head.shape[1], model.head.shape[2]).to(model.head.dtype)
    head.weight.data, head.bias.data = model.head.data[replica].T.clone(), model.bias.data[replica, 0].clone()
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), head)


def mlp():
    return BatchedMLP((64, 16, 5), 3, generator=generator()).double(), single_mlp


def cnn():
    return GroupedCNN((1, 8, 8), 5, 3, channels=(4, 6), generator=generator()).double(), single_cnn


@pytest.mark.parametrize("make", [mlp, cnn])
def test_many_replicas_trained_at_once_equal_each_trained_alone(make):
    model, single = make()
    x = torch.randn(100, 1, 8, 8, generator=generator(1), dtype=torch.float64)
    y = torch.randint(5, (100,), generator=generator(2))
    rows = torch.stack([torch.randperm(100, generator=generator(s))[:50] for s in range(3)])
    alone = [single(model, r) for r in range(3)]
    batches = []
    fit_many(
        model, x, rows, y[rows], steps=20, batch=16, lr=0.1, generator=generator(3), horizon=30,
        on_batch=lambda epoch, positions, logits: batches.append((positions.clone(), logits.clone())),
    )  # fmt: skip
    assert len(batches) == 20
    for r, network in enumerate(alone):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        for step, (positions, logits) in enumerate(batches):
            optimizer.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / 30))
            picked = rows[r, positions[r]]
            out = network(x[picked])
            torch.testing.assert_close(out, logits[r], rtol=1e-9, atol=1e-11)
            optimizer.zero_grad()
            F.cross_entropy(out, y[picked]).backward()
            optimizer.step()
    answers = predict(model, x, torch.arange(100).expand(3, 100), chunk=33)
    torch.testing.assert_close(answers, torch.stack([network(x) for network in alone]), rtol=1e-8, atol=1e-10)
    right = torch.stack([(network(x).argmax(1) == y).double().mean() for network in alone])
    torch.testing.assert_close(accuracy(model, x, y, chunk=40), right)


def test_every_epoch_visits_every_position_once():
    model = BatchedMLP((4, 3, 2), 2, generator=generator())
    seen, ends = [], []
    work = fit_many(
        model, torch.randn(30, 4), torch.arange(30).expand(2, 30), torch.zeros(2, 30, dtype=torch.long),
        steps=3 * 4, batch=8, lr=0.01, generator=generator(),
        on_batch=lambda epoch, positions, logits: seen.append((epoch, positions)),
        on_epoch=lambda epoch, network: ends.append(epoch),
    )  # fmt: skip
    assert ends == [0, 1, 2]
    assert work.trained == 2 * 30 * 3
    for epoch in range(3):
        positions = torch.cat([p for e, p in seen if e == epoch], dim=1)
        np.testing.assert_array_equal(positions.sort(1).values, torch.arange(30).expand(2, 30))


def test_an_incomplete_last_epoch_is_not_reported():
    ends = []
    fit_many(
        BatchedMLP((4, 2), 1, generator=generator()), torch.randn(30, 4), torch.arange(30)[None],
        torch.zeros(1, 30, dtype=torch.long), steps=6, batch=8, lr=0.01, generator=generator(),
        on_epoch=lambda epoch, network: ends.append(epoch),
    )  # fmt: skip
    assert ends == [0]


def test_replicas_of_one_stream_with_equal_weights_and_rows_stay_equal():
    model = BatchedMLP((4, 8, 3), 2, generator=generator()).select([0, 0, 1])
    x, y = torch.randn(40, 4, generator=generator(1)), torch.randint(3, (3, 40), generator=generator(2))
    rows = torch.arange(40).expand(3, 40)
    fit_many(model, x, rows, y[:1].expand(3, 40), steps=15, batch=8, lr=0.1, generator=generator(), streams=[0, 0, 1])
    torch.testing.assert_close(model.weights[0][0], model.weights[0][1], rtol=0, atol=0)
    assert not torch.equal(model.weights[0][0], model.weights[0][2])


def test_select_copies():
    model = BatchedMLP((4, 8, 3), 2, generator=generator())
    chosen = model.select([1])
    chosen.weights[0].data.zero_()
    assert model.weights[0].abs().sum() > 0
    assert (chosen.replicas, model.replicas) == (1, 2)


def test_initial_variance_is_two_over_fan_in():
    model = BatchedMLP((500, 400, 10), 2, generator=generator())
    assert abs(model.weights[0].var().item() * 500 / 2 - 1) < 0.02
    assert all(not bias.any() for bias in model.biases)


def test_resnet_replicas_are_the_networks_one_by_one_and_learn():
    model = BatchedResNet18(1, 3, 2, width=4, generator=generator())
    assert not torch.equal(model.networks[0][0].weight, model.networks[1][0].weight)
    chosen = model.select([1, 1])
    assert (chosen.replicas, model.replicas) == (2, 2)
    y = torch.arange(24) % 3
    x = torch.randn(24, 1, 8, 8, generator=generator(1)) + 2 * y.view(-1, 1, 1, 1)
    before = copy.deepcopy(model.networks[1].state_dict())
    rows = torch.arange(24).expand(2, 24)
    fit_many(chosen, x, rows, y.expand(2, 24), steps=60, batch=12, lr=0.02, generator=generator())
    assert accuracy(chosen, x, y).min() > 0.8
    for name, value in model.networks[1].state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_crop_and_flip_shifts_and_mirrors_only():
    images = torch.arange(1.0, 65.0).view(1, 1, 1, 8, 8).expand(2, 50, 1, 8, 8)
    moved = crop_and_flip(images, generator(), margin=2).view(100, 8, 8)
    padded = F.pad(images[0, 0, 0], (2, 2, 2, 2))
    allowed = [padded[i : i + 8, j : j + 8] for i in range(5) for j in range(5)]
    allowed += [window.flip(1) for window in allowed]
    hits = {next(k for k, window in enumerate(allowed) if torch.equal(image, window)) for image in moved}
    assert len(hits) > 30
