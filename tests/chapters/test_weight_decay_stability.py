import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from companion.analysis.curvature import dense_hessian, gradient, split
from companion.chapters.weight_decay_stability import Parameters, run, verify
from companion.chapters.weight_decay_stability.alignment import Tracker, at_angle, forces
from companion.chapters.weight_decay_stability.claims import (
    C6,
    CLAIMS,
    C1a,
    C1b,
    C3a,
    C3b,
    C3c,
    C4b,
    C4c,
    C4d,
    C5a,
    C5b,
)
from companion.chapters.weight_decay_stability.descent import Filter, descend, filtered_decay
from companion.chapters.weight_decay_stability.experiments import (
    Edge,
    Plateaus,
    edge,
    filtered,
    identity,
    plateaus,
    reduced,
    sharpening,
    training,
)
from companion.chapters.weight_decay_stability.homogeneity import (
    gauss_newton_alignment,
    gauss_newton_sharpness,
    label_curvature,
)
from companion.chapters.weight_decay_stability.kernels import kernel_step, output_step, tangent_kernel
from companion.chapters.weight_decay_stability.networks import (
    CNN,
    MLP,
    Normalized,
    mean_loss,
    predict,
    start,
    typical_lengths,
)
from companion.chapters.weight_decay_stability.reduced import ReducedModel
from companion.chapters.weight_decay_stability.samples import LENGTH, draw

SMALL = {
    "n_samples": 40, "steps_mlp": 200, "steps_cnn": 120, "steps_filter": 120, "steps_kernel": 120, "n_seeds": 2,
    "n_seeds_few": 2, "n_probes": 10, "products": 2, "width": 8, "time_lrs": 100, "lrs": [1.0, 2.0],
}  # fmt: skip

# tests/test_chapters.py runs these.
TINY = SMALL | {
    "below": ["MLP", "CNN"],
    "time_below": 10,
    "lams_mlp": [0.01],
    "every": 20,
    "refresh": 20,
    "channels": 2,
}
LEAST = TINY | {"steps_mlp": 100, "steps_cnn": 100, "steps_filter": 100, "steps_kernel": 100, "time_lrs": 50,
                "every": 50, "time_below": 5}  # fmt: skip
EXTREMES = [
    LEAST | {"lr": 4.0, "lr_kernel": 4.0, "lrs": [0.5, 4.0], "lam": 0.1, "lams_cnn": [0.1, 0.1], "loss": "ce"},
    LEAST | {"lr": 0.1, "lam": 1e-5, "depth": 6, "width": 4, "label_noise": 0, "n_samples": 20, "activation": "tanh"},
    LEAST | {"depth": 2, "dataset": "fashion-mini", "refresh": 1, "every": 5, "products": 40, "below": ["GELU"]},
    LEAST | {"lams_below": [0.1], "lr_below": 0.5, "activation": "gelu", "label_noise": 0.9, "lams_mlp": [0.005]},
]
REFUSED = [
    ({"lams_mlp": []}, "lams_mlp: got []"),
    ({"lam": 0.2}, "lam: got 0.2, allowed: a number from 1e-05 to 0.1"),
    ({"activation": "selu"}, "activation: got 'selu'"),
    ({"width": 256, "depth": 6, "n_seeds": 100, "n_samples": 1000}, "n_seeds: got 100, allowed: at most"),
]

DOUBLE = torch.float64


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(k) for k in range(count)]


def problem(network, inputs: int, n: int = 7, classes: int = 3, kind: str = "mse"):
    """Random data in double precision: parameters of two runs, prepared inputs, targets, the loss."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, inputs, n, generator=generator, dtype=DOUBLE)
    targets = torch.eye(classes, dtype=DOUBLE)[torch.randint(classes, (2, n), generator=generator)].mT
    theta, prepared = start(network, generators(2), DOUBLE), network.prepare(x)
    return theta, prepared, targets, mean_loss(network, prepared, targets, kind), x


BASE = MLP((5, 6, 4, 3))
NETWORKS = [
    pytest.param(MLP((5, 6, 3)), 5, 2, id="two layers"),
    pytest.param(BASE, 5, 3, id="three layers"),
    pytest.param(MLP((5, 6, 4, 4, 3)), 5, 4, id="four layers"),
    pytest.param(CNN(8, (2, 3), 3), 64, 3, id="CNN"),
    pytest.param(Normalized(BASE, typical_lengths(BASE)), 5, 0, id="normalized"),
]

# --- networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_the_cnn_is_that_of_a_librarys_convolutions(side, activation):
    network = CNN(side, (3, 5), 4, activation)
    theta, prepared, _, _, x = problem(network, side * side, classes=4)
    phi = {"relu": torch.relu, "gelu": F.gelu, "tanh": torch.tanh}[activation]
    for run_ in range(2):
        first, second, last = (layer[run_] for layer in split(theta, network.shapes))
        hidden = x[run_].T.reshape(-1, 1, side, side)
        hidden = F.avg_pool2d(phi(F.conv2d(hidden, first.view(3, 1, 3, 3), padding=1)), 2)
        hidden = F.avg_pool2d(phi(F.conv2d(hidden, second.view(5, 3, 3, 3), padding=1)), 2)
        expected = last @ hidden.flatten(1).T
        assert torch.allclose(predict(network, theta, prepared)[run_], expected, atol=1e-12)


def test_the_mlp_is_that_of_a_loop_over_layers():
    theta, x, _, _, _ = problem(BASE, 5)
    for run_ in range(2):
        first, second, third = (layer[run_] for layer in split(theta, BASE.shapes))
        expected = third @ torch.relu(second @ torch.relu(first @ x[run_]))
        assert torch.allclose(predict(BASE, theta, x)[run_], expected, atol=1e-14)


def test_a_normalized_network_starts_as_the_plain_one_and_does_not_see_lengths():
    network = Normalized(BASE, typical_lengths(BASE))
    theta, x, _, _, _ = problem(network, 5)
    layers = split(theta, BASE.shapes)
    lengths = [layer.flatten(1).norm(dim=1)[:, None, None] for layer in layers]
    exact = Normalized(BASE, tuple(float(length[0]) for length in lengths))
    assert torch.allclose(predict(exact, theta, x)[0], predict(BASE, theta, x)[0], atol=1e-13)
    longer = torch.cat([(k + 2) * layer.flatten(1) for k, layer in enumerate(layers)], dim=1)
    assert torch.allclose(predict(network, longer, x), predict(network, theta, x), atol=1e-13)
    many = start(BASE, generators(400), DOUBLE)
    squares = [layer.flatten(1).square().sum(1).mean() for layer in split(many, BASE.shapes)]
    assert np.sqrt(squares) == pytest.approx(typical_lengths(BASE), rel=0.05)


def test_losses_are_those_of_the_library():
    theta, x, targets, loss, _ = problem(BASE, 5)
    outputs = predict(BASE, theta, x)
    squared = 0.5 * F.mse_loss(outputs, targets, reduction="none").sum(1).mean(1)
    assert torch.allclose(loss(theta), squared, atol=1e-14)
    entropy = F.cross_entropy(outputs, targets.argmax(1), reduction="none").mean(1)
    assert torch.allclose(mean_loss(BASE, x, targets, "ce")(theta), entropy, atol=1e-13)


# --- samples ------------------------------------------------------------------------------------------------------


def test_samples_are_standardized_on_the_training_part_and_labels_are_wrong_as_often_as_told():
    samples = draw("digits", 200, 0.3, 30, [3, 4], "cpu", DOUBLE)
    assert samples.inputs.shape == (2, 64, 200)
    assert samples.probes.shape == (2, 64, 30)
    assert samples.inputs.mean(2).abs().max() < 1e-6
    assert samples.inputs.square().sum(1).mean(1).sqrt().tolist() == pytest.approx([LENGTH] * 2, rel=1e-6)
    deviation = samples.inputs.std(2, unbiased=False)
    assert all(row[row > 0].std() < 1e-6 for row in deviation)
    clean = draw("digits", 200, 0.0, 30, [3, 4], "cpu", DOUBLE)
    wrong = (samples.targets.argmax(1) != clean.targets.argmax(1)).double().mean()
    assert 0.2 < wrong < 0.4
    assert not torch.equal(samples.inputs[0], samples.inputs[1])
    assert torch.cdist(samples.probes.mT, samples.inputs.mT).min() > 1e-3  # test images, none of the training set
    assert draw("fashion-mini", 30, 0.0, 10, [0], "cpu").inputs.shape == (1, 256, 30)


# --- descent ------------------------------------------------------------------------------------------------------


def test_descent_is_that_of_torchs_sgd_with_weight_decay():
    theta, _, _, loss, _ = problem(BASE, 5)
    lam = torch.tensor([[0.0], [0.1]], dtype=DOUBLE)
    (moment,) = descend(loss, theta, 0.3, lam, 7, 7)
    for row, decay in enumerate((0.0, 0.1)):
        point = torch.nn.Parameter(theta.clone())
        optimizer = torch.optim.SGD([point], lr=0.3, weight_decay=decay)
        losses = []
        for _ in range(7):
            before = point.detach().clone()
            optimizer.zero_grad()
            value = loss(point)
            losses.append(value[row].item())
            value.sum().backward()
            optimizer.step()
        assert torch.allclose(moment.theta[row], point[row], atol=1e-13)
        assert torch.allclose(moment.before[row], before[row], atol=1e-13)
        assert moment.losses[:, row].tolist() == pytest.approx(losses)


def test_descent_stops_where_it_is_told():
    theta, _, _, loss, _ = problem(BASE, 5)
    lam = torch.zeros(2, 1, dtype=DOUBLE)
    assert [moment.step for moment in descend(loss, theta, 0.1, lam, 11, 4)] == [4, 8]


def test_the_parts_of_the_decay_are_a_right_angled_triangle():
    generator = torch.Generator().manual_seed(0)
    theta, n = torch.randn(3, 6, generator=generator), torch.randn(3, 6, generator=generator)
    n, lam, one, zero = n / n.norm(dim=1, keepdim=True), torch.full((3, 1), 0.1), torch.ones(3, 1), torch.zeros(3, 1)
    across, along = filtered_decay(theta, lam, n, one, zero), filtered_decay(theta, lam, n, zero, one)
    assert torch.allclose(across + along, 0.1 * theta, atol=1e-7)
    assert torch.allclose((across * n).sum(1), torch.zeros(3), atol=1e-7)
    assert torch.allclose((along * n).sum(1), 0.1 * (theta * n).sum(1), atol=1e-7)
    assert torch.allclose(filtered_decay(theta, lam, n, one, one), 0.1 * theta, atol=1e-7)


def test_a_filter_is_asked_before_each_stretch_and_used_in_all_its_steps():
    theta, _, _, loss, _ = problem(BASE, 5)
    lam, seen = torch.full((2, 1), 0.2, dtype=DOUBLE), []

    def direction(point):
        seen.append(point.clone())
        return point / point.norm(dim=1, keepdim=True)

    one, zero = torch.ones_like(lam), torch.zeros_like(lam)
    moments = list(descend(loss, theta, 0.1, lam, 6, 3, Filter(direction, zero, one)))
    assert len(seen) == 2
    assert torch.equal(seen[0], theta)
    assert torch.equal(seen[1], moments[0].theta)
    point, n = theta, theta / theta.norm(dim=1, keepdim=True)
    for _ in range(3):
        point = point - 0.1 * (gradient(loss, point) + 0.2 * (point * n).sum(1, keepdim=True) * n)
    assert torch.allclose(moments[0].theta, point, atol=1e-13)


# --- forces and alignment -----------------------------------------------------------------------------------------


def top_pair(loss, theta):
    values, vectors = torch.linalg.eigh(dense_hessian(loss, theta))
    return values[:, -1], vectors[..., -1].contiguous()


def test_one_step_changes_the_sharpness_by_the_forces():
    """Against the dense Hessian before and after a short step of the projected flow; a smooth network."""
    theta, _, _, loss, _ = problem(MLP((5, 6, 4, 3), "tanh"), 5)
    value, vector = top_pair(loss, theta)
    force = forces(loss, theta, vector)
    lam, lr = 0.3, 1e-5

    def across(v):
        return v - (v * vector).sum(1, keepdim=True) * vector

    moved = theta - lr * across(gradient(loss, theta) + lam * theta)
    change = (top_pair(loss, moved)[0] - value) / lr
    assert torch.allclose(change, force.sharpening - lam * force.pull, rtol=2e-3)
    shrunk = (top_pair(loss, (1 - lr) * theta)[0] - value) / lr
    assert torch.allclose(shrunk, -force.alignment, rtol=2e-3)
    assert (force.cosine.abs() < 1).all()


def test_at_rest_sharpening_and_pull_balance_exactly():
    """The loss has a minimum with its penalty added where its gradient is minus the decay."""
    center, lam = torch.tensor([[1.0, -2.0, 0.5]], dtype=DOUBLE), 0.4

    def loss(theta):
        return (theta**4).sum(1) / 4 + theta.prod(1) - (theta * (center**3 + lam * center)).sum(1)

    def shifted(theta):
        return loss(theta) - (theta * _products(center)).sum(1)

    def _products(point):
        return torch.stack([point[:, 1] * point[:, 2], point[:, 0] * point[:, 2], point[:, 0] * point[:, 1]], 1)

    assert torch.allclose(gradient(shifted, center), -lam * center, atol=1e-12)
    _, vector = top_pair(shifted, center)
    force = forces(shifted, center, vector)
    assert torch.allclose(force.sharpening, lam * force.pull, rtol=1e-10)
    assert not torch.allclose(force.pull, force.alignment, rtol=1e-3)


@pytest.mark.parametrize(("network", "inputs", "degree"), NETWORKS)
def test_alignment_identity_holds_for_every_homogeneous_network(network, inputs, degree):
    theta, prepared, targets, loss, _ = problem(network, inputs)
    value, vector = gauss_newton_sharpness(network, theta, prepared)
    found = gauss_newton_alignment(network, theta, vector, prepared)
    assert torch.allclose(found, 2 * (degree - 1) * value, rtol=1e-11)
    # The other identity holds for every w, the top eigenvector or not.
    w = F.normalize(torch.randn(theta.shape, generator=torch.Generator().manual_seed(2), dtype=DOUBLE), dim=1)
    curvature = (w * (dense_hessian(loss, theta) @ w[..., None])[..., 0]).sum(1)
    kappa = label_curvature(network, theta, w, prepared, targets)
    assert torch.allclose(
        forces(loss, theta, w).alignment, 2 * (degree - 1) * curvature + degree * kappa, rtol=1e-9, atol=1e-11
    )


def test_gauss_newton_sharpness_is_the_hessians_where_the_labels_are_fitted():
    theta, prepared, _, _, _ = problem(BASE, 5)
    fitted = mean_loss(BASE, prepared, predict(BASE, theta, prepared))
    value, vector = gauss_newton_sharpness(BASE, theta, prepared)
    expected, top = top_pair(fitted, theta)
    assert torch.allclose(value, expected, rtol=1e-10)
    assert torch.allclose((vector * top).sum(1).abs(), torch.ones(2, dtype=DOUBLE), atol=1e-8)


def test_a_tracker_finds_the_largest_eigenvalue_and_survives_runs_that_have_diverged():
    theta, _, _, loss, _ = problem(BASE, 5)
    begin = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    track = Tracker(loss, begin, 8)
    assert torch.allclose(track(theta).value, top_pair(loss, theta)[0], rtol=1e-6)
    lost = theta.clone()
    lost[0] = torch.nan
    value = track(lost).value
    assert value[0].isnan()
    assert torch.allclose(value[1], top_pair(loss, theta)[0][1], rtol=1e-6)


def test_a_direction_at_an_angle_has_that_angle():
    generator = torch.Generator().manual_seed(0)
    theta, aside = torch.randn(2, 9, generator=generator), torch.randn(2, 9, generator=generator)
    cosine = torch.tensor([[0.3], [-0.8]])
    n = at_angle(theta, aside, cosine)
    assert torch.allclose(n.norm(dim=1), torch.ones(2), atol=1e-6)
    assert torch.allclose(F.cosine_similarity(n, theta), cosine[:, 0], atol=1e-6)


# --- function space -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "inputs"), [(BASE, 5), (CNN(8, (2, 3), 3), 64)], ids=["MLP", "CNN"])
def test_tangent_kernel_is_that_of_one_gradient_at_a_time(network, inputs):
    theta, prepared, _, _, _ = problem(network, inputs, n=4)
    kernel = tangent_kernel(network, theta, prepared)
    for run_ in range(2):
        expected = torch.zeros(4, 4, dtype=DOUBLE)
        for c in range(3):
            rows = []
            for i in range(4):
                point = theta.clone().requires_grad_()
                predict(network, point, prepared)[run_, c, i].backward()
                rows.append(point.grad[run_])
            rows = torch.stack(rows)
            expected += rows @ rows.T
        assert torch.allclose(kernel[run_], expected, atol=1e-12)


def test_steps_in_function_space_are_relative():
    """Scaling all three layers by c multiplies outputs by c^3 and the kernel by c^4."""
    theta, prepared, _, _, _ = problem(BASE, 5)
    assert output_step(BASE, 2 * theta, theta, prepared).tolist() == pytest.approx([7 / 8] * 2)
    assert kernel_step(BASE, 2 * theta, theta, prepared).tolist() == pytest.approx([15 / 16] * 2)


# --- the reduced model --------------------------------------------------------------------------------------------


def test_fixed_point_jacobian_and_stability_of_the_reduced_model():
    model = ReducedModel()
    lam = 0.5 * model.critical
    x, y = np.sqrt(model.energy(np.array(lam))), -lam
    after = model.step(x, y, lam)
    assert after == pytest.approx((-x, y), abs=1e-12)
    step = 1e-6
    numeric = np.empty((2, 2))
    for column, (dx, dy) in enumerate(((step, 0), (0, step))):
        high, low = model.step(x + dx, y + dy, lam), model.step(x - dx, y - dy, lam)
        numeric[:, column] = [-(high[0] - low[0]) / (2 * step), (high[1] - low[1]) / (2 * step)]
    assert np.allclose(model.jacobian(lam), numeric, atol=1e-8)
    radius = [max(abs(np.linalg.eigvals(model.jacobian(share * model.critical)))) for share in (0.78, 0.82)]
    assert radius[0] > 1 > radius[1]
    assert model.alpha == pytest.approx(model.critical * model.c * (2 / model.lr - model.critical))
    assert model.critical == pytest.approx(model.alpha * model.lr / (2 * model.c), rel=1e-3)
    assert dataclasses.replace(model, c=0.0).critical == math.inf


def test_beyond_the_critical_decay_the_reduced_model_settles_at_the_balance():
    model = ReducedModel()
    lam = np.array([2.0, 4.0]) * model.critical
    x, y = model.iterate(lam, 20_000)
    assert np.abs(x[-1]).max() < 1e-9
    assert 2 / model.lr + y[-1] == pytest.approx(model.alpha / (lam * model.c), rel=1e-3)
    assert model.plateau(lam) == pytest.approx(model.alpha / (lam * model.c))


# --- experiments and claims ---------------------------------------------------------------------------------------


def runs(sharpness, losses=None, **given) -> Edge:
    """An edge made by hand: two decays, one seed."""
    sharpness = np.asarray(sharpness, dtype=float).reshape(-1, 2, 1)
    ones = np.ones((1, 2, 1))
    values = {
        "lam": np.array([0.0, 0.1]), "lr": 0.5, "steps": np.arange(len(sharpness)), "sharpness": sharpness,
        "losses": np.ones((4, 2, 1)) if losses is None else losses, "sharpening": ones, "pull": ones,
        "alignment": ones, "cosine": ones, "sharp": ones, "output_step": ones, "kernel_step": np.ones((1, 2, 1)),
        "common": 0.1,
    } | given  # fmt: skip
    return Edge(**values)


def test_plateau_oscillation_and_force_by_hand():
    made = runs(
        [[9, 9]] * 3 + [[4, 1], [4, 3]],
        np.array([[1.0, 1], [1, 1], [1, 1], [1, 1], [1, 1], [1, 1], [1, 1], [2, 1], [1, 2], [2, 3]]).reshape(-1, 2, 1),
        sharpening=np.full((1, 2, 1), 3.0),
        pull=np.full((1, 2, 1), 20.0),
    )
    assert made.plateau[:, 0].tolist() == [1.0, 0.5]
    assert made.spread[:, 0].tolist() == [0.0, 0.25]
    assert made.oscillation[:, 0].tolist() == pytest.approx([(1 + 0.5 + 1) / 3, (0 + 1 + 0.5) / 3])
    assert made.critical[:, 0].tolist() == pytest.approx([0.15, 0.15])
    assert made.force[:, 0].tolist() == pytest.approx([1.5])
    assert made.at(0.1) == 1


def test_seeds_vary_fastest_and_every_replica_is_the_run_made_alone():
    """One seed and one decay of the batch, by a loop of its own."""
    params = Parameters.resolve(device="cpu", **TINY)
    batch = edge(params, "MLP")
    network = MLP((64, 8, 8, 10))
    samples = draw("digits", 40, 0.3, 10, params.seeds(2), "cpu")
    theta = start(network, params.generators(2))[:1]
    loss = mean_loss(network, samples.inputs[:1], samples.targets[:1])
    for k in range(100):
        assert batch.losses[k, 2, 0] == pytest.approx(loss(theta).item(), rel=1e-3)
        theta = theta - params.lr * (gradient(loss, theta) + 0.01 * theta)
    assert batch.lam.tolist() == [0.0, 0.005, 0.01]
    at = list(batch.steps).index(100)
    assert batch.sharpness[at, 2, 0] == pytest.approx(top_pair(loss, theta)[0].item(), rel=0.05)


def test_filters_compare_with_the_common_decays_runs_and_keep_their_angle():
    params = Parameters.resolve(device="cpu", **LEAST)
    rows = np.array([0.1, 0.2, 0.3])[:, None] + np.array([0.0, 0.05])  # the common decay is the second of three
    made = runs(np.zeros((1, 2)), lam=np.array([0.0, params.lam, 0.01]), steps=np.array([0, 100, 150]), lr=params.lr)
    mlp = dataclasses.replace(made, sharpness=np.stack([rows, 2 * rows, 3 * rows]), cosine=np.stack([rows, rows + 0.2]))
    found = filtered.compute(params, mlp)
    assert found.cosine == pytest.approx([0.3, 0.35])
    assert found.whole_steps.tolist() == [0, 100]
    assert found.whole / (params.lr / 2) == pytest.approx(np.array([[0.2, 0.25], [0.4, 0.5]]))


def test_plateaus_are_sharpnesses_and_time_is_steps_times_their_own_step_size(monkeypatch):
    params = Parameters.resolve(device="cpu", **LEAST)
    asked = []

    def level(params, network, kind, lr, lams, seeds, steps, **given):
        asked.append((lr, steps, lams))
        return runs([[1 / lr, 2 / lr]] * 5, lr=lr)

    monkeypatch.setattr(training, "_trained", level)
    found = plateaus.compute(params)
    assert found.sharpness == pytest.approx(np.array([[[1], [2]], [[0.5], [1]]]))
    assert asked == [(1.0, 100, [0.0, params.lam]), (2.0, 100, [0.0, params.lam])]
    assert sharpening.compute(params).time == pytest.approx(np.arange(5) * params.lr_below)
    lr, steps, _ = asked[-1]
    assert (lr, lr * steps) == (params.lr_below, pytest.approx(params.time_below, rel=0.05))


def test_plateaus_count_where_the_edge_is_above_them():
    lrs = np.array([0.4, 0.8, 1.6])  # edges at 5, 2.5 and 1.25
    made = Plateaus(lrs, np.array([0, 0.1]), np.array([[[5.0], [1.5]], [[2.5], [1.2]], [[1.25], [0.4]]]))
    assert C3c.measured(_only(plateaus=made))["range"] == pytest.approx(1.25)
    assert C3c.measured_in_control(_only(plateaus=made))["range"] == pytest.approx(2)


def test_every_claim_can_be_measured_at_small_sizes():
    params = Parameters.resolve(device="cpu", **TINY)
    results = run(params)
    verdicts = verify(params, results)
    assert [verdict.claim for verdict in verdicts] == [claim.id for claim in CLAIMS]
    for verdict in verdicts:
        assert not verdict.decided or verdict.control["holds"] is not None


def test_identity_and_reduced_model_hold_whatever_the_seed():
    for seed in (5, 6):
        params = Parameters.resolve(device="cpu", seed=seed, n_seeds_few=2)
        results = _only(identity=identity(params), reduced=reduced(params))
        for claim in (C4b, C4d):
            assert verify_one(claim, params, results) == (True, False)


@dataclasses.dataclass(frozen=True)
class _Only:
    """Some of the results."""

    found: dict

    def __getattr__(self, name):
        return self.found[name]


def _only(**found):
    return _Only(found)


def verify_one(claim, params, results):
    """Outcome of a claim and of its control."""
    from companion.claims import evaluate

    criterion = claim.criterion_for(params)
    return evaluate(criterion, claim.measured(results)), evaluate(criterion, claim.measured_in_control(results))


def test_measures_of_the_claims_by_hand():
    made = runs([[4, 2]] * 5)
    still = runs([[4, 4]] * 5, sharpening=np.full((1, 2, 1), 0.3))
    results = _only(mlp=made, cnn=still, lam=0.1, smooth=runs([[4, 2]] * 5, kernel_step=np.array([[[2.0], [0.2]]])))
    assert C3a.measured(results)["middle"] == 0.5
    assert C3a.measured_in_control(results)["middle"] == 1.0
    assert C4c.measured(results)["force"].tolist() == pytest.approx([10])
    assert C4c.measured_in_control(results)["force"].tolist() == pytest.approx([3])
    assert C5b.measured(results)["ratio"] == pytest.approx(0.1)
    assert C5b.measured_in_control(results)["ratio"] == pytest.approx(1)


def test_critical_decays_are_those_of_runs_with_decay_and_the_limit_of_a_quadratic_is_lower_with_it():
    losses = np.array([1.0, 2, 1, 2]).repeat(2).reshape(4, 2, 1)
    mlp, cnn = (runs([[4, 2]] * 5, losses, sharpening=np.array([[[1.0], [rate]]])) for rate in (3.0, 12.0))
    results = _only(mlp=mlp, cnn=cnn, lam=0.1)
    assert C3b.measured(results)["factor"] == pytest.approx(4)
    assert C6.measured(results)["mlp"] == pytest.approx(0.5 / (1 - 0.1 * 0.5 / 2))
    assert C6.measured_in_control(results)["mlp"] == pytest.approx(1)


def test_drops_compare_one_decay_with_the_next():
    from companion.chapters.weight_decay_stability.experiments import Sharpening

    last = np.array([[[4.0], [2.0], [1.5]], [[4.0], [5.0], [10.0]]])
    made = Sharpening(
        ("MLP", "normalized"), np.array([0, 0.1, 0.2]), np.array([0.0, 1.0]),
        np.stack([np.full_like(last, 9.0), last], axis=1), np.full((2, 3, 1), -2.0),
    )  # fmt: skip
    results = _only(sharpening=made)
    assert C1a.measured(results)["drop"] == pytest.approx(0.25)
    assert C1a.measured_in_control(results)["drop"] == pytest.approx(-1)
    assert C1b.measured(results) == {"rise": pytest.approx(0.25), "off": 0.0}
    assert C5a.on == "along"


def test_streams_of_random_numbers_do_not_meet():
    params = Parameters.resolve(device="cpu")
    drawn = [params.child_seed(stream, part) for stream, part in itertools.product((1, 2, 3), range(5))]
    assert len(set(drawn)) == len(drawn)
    assert params.seeds(3) == params.seeds(5)[:3]
    assert params.decays([0.01, 0.005, 0.01]) == [0.0, 0.005, 0.01]
