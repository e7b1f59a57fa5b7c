import dataclasses

import numpy as np
import pytest
import torch

from companion.chapters.newton_nntk import CLAIMS, Parameters, run, verify
from companion.chapters.newton_nntk.dense import dense_hessian
from companion.chapters.newton_nntk.kernels import (
    erf_kernel,
    frequency_amplitudes,
    limit_outputs,
    newton_kernel,
    quadrature_kernel,
    spectrum,
    tangent_kernel,
)
from companion.chapters.newton_nntk.network import (
    ACTIVATIONS,
    Network,
    circle,
    initial_weights,
    jacobian,
    second_order_blocks,
)
from companion.chapters.newton_nntk.newton import LOST, least_eigenvalue, newton_direction, solve_blocks, train

# tests/test_chapters.py runs these: a small set, the ends of the ranges, and what must be refused.
TINY = {
    "widths": [40, 80, 160], "map_widths": [40, 80], "n_seeds": 2, "map_seeds": 1, "steps": 8, "long_steps": 20,
    "dense_width": 40,
}  # fmt: skip
EXTREMES = [
    TINY | {"M": 6, "target_freqs": [1, 2], "s": 10.0, "s_b": 10.0, "lam0": 100.0, "lam_fixed": 100.0, "noise": 5.0},
    TINY | {"s": 0.5, "s_b": 0.1, "lam0": 0.01, "lam_fixed": 0.01, "eta": 1.0, "map_decays": [0.5, 1.0]},
    TINY | {"activation": "tanh", "M": 10, "target_freqs": [1, 5], "eta": 0.05, "exponents": [0.8], "noise": 0.05},
    TINY | {"M": 64, "target_freqs": [1, 32], "dense_width": 130, "lam_decay": 0.05, "map_decays": [0.0, 0.1]},
    TINY | {"eta": 1.0, "long_steps": 1000, "lam0": 0.01, "widths": [20, 40, 60], "lam_decay": 0.49},
]
REFUSED = [
    ({"widths": [100, 101, 200]}, "widths: got 101"),
    ({"widths": [400, 100, 1600]}, "widths: got [400, 100, 1600], allowed: increasing values"),
    ({"target_freqs": [1, 7]}, "target_freqs: got [1, 7], allowed: at most M/2 = 6"),
    ({"dense_width": 40, "M": 20}, "dense_width: got 40, allowed: more than 2 M = 40"),
    ({"eta": 1.5}, "eta: got 1.5"),
    ({"widths": [100, 200, 10**6], "n_seeds": 64}, "n_seeds: got 64, allowed: at most 62"),
]

M = 8
ANGLES = 2 * np.pi * np.arange(M) / M
X = torch.tensor(circle(ANGLES))
Y = np.cos(ANGLES) + 0.7 * np.cos(3 * ANGLES) + 0.3 * np.sin(2 * ANGLES)


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu")


@pytest.fixture(scope="module")
def results(params):
    return run(params)


def some_networks(runs=2, width=10, b=0.6, activation="erf", antisymmetric=False, seed=0, s=1.5):
    c, w = initial_weights(runs, width, s, 1.0, antisymmetric, np.random.default_rng(seed))
    scale = torch.full((runs,), float(width**-b), dtype=torch.float64)
    return Network(torch.tensor(c), torch.tensor(w), scale, ACTIVATIONS[activation])


def loss_of(network, row):
    """The loss of one network as a function of all its weights, unit by unit."""
    width = network.c.shape[1]

    def loss(theta):
        c, w = theta.reshape(width, 4)[:, 0], theta.reshape(width, 4)[:, 1:]
        g = network.scale[row] * (c @ network.activation.value(w @ X.T))
        return 0.5 * ((g - torch.tensor(Y)) ** 2).mean()

    return loss, torch.cat([network.c[row][:, None], network.w[row]], dim=1).reshape(-1)


# --- the step -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["erf", "tanh"])
def test_hessian_and_step_are_those_of_automatic_differentiation(activation):
    network = some_networks(activation=activation)
    lam = torch.tensor([0.3, 0.8], dtype=torch.float64)
    u = network.w @ X.T
    residual = network.outputs(X) - torch.tensor(Y)
    B = second_order_blocks(network, u, X, residual)
    H, J = dense_hessian(network, u, X, B)
    direction, Q = newton_direction(J, B, residual, lam)
    for row in range(2):
        loss, theta = loss_of(network, row)
        exact = torch.func.hessian(loss)(theta)
        assert torch.allclose(H[row], exact, atol=1e-13)
        step = torch.linalg.solve(
            exact + lam[row] * torch.eye(len(theta), dtype=torch.float64), torch.func.grad(loss)(theta)
        )
        assert torch.allclose(direction[row].reshape(-1), step, atol=1e-12)
        rows = J[:, row].permute(1, 0, 2).reshape(-1, M)
        A = torch.block_diag(*B[row]) + lam[row] * torch.eye(len(theta), dtype=torch.float64)
        assert torch.allclose(Q[row], rows.T @ torch.linalg.solve(A, rows), atol=1e-11)


def test_blocks_are_solved_as_by_a_library():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(2, 5, 4, 4))
    A = torch.tensor(A + np.swapaxes(A, -1, -2))
    J = torch.tensor(rng.normal(size=(4, 2, 5, 3)))
    expected = torch.linalg.solve(A, J.permute(1, 2, 0, 3)).permute(2, 0, 1, 3)
    assert torch.allclose(solve_blocks(A, J), expected, atol=1e-9)


def test_least_eigenvalue_is_that_of_all_blocks():
    rng = np.random.default_rng(1)
    B = rng.normal(size=(5, 300, 4, 4)) * rng.lognormal(size=(5, 300, 1, 1))
    B = B + np.swapaxes(B, -1, -2)
    B[..., 0, 0] = 0
    B[3:, :, 1:, 1:] = np.abs(B[3:, :, 1:, 1:])
    assert np.allclose(least_eigenvalue(torch.tensor(B)).numpy(), np.linalg.eigvalsh(B).min((1, 2)), atol=1e-12)
    # One block whose least eigenvalue comes from its mixed entries alone, among many with a negative inner part.
    B = np.zeros((1, 50, 4, 4))
    B[0, :, 1:, 1:] = -0.7 * np.eye(3)
    B[0, :16, 1:, 1:] = -0.9 * np.eye(3)
    B[0, 20] = 0
    B[0, 20, 0, 1] = B[0, 20, 1, 0] = 1
    assert least_eigenvalue(torch.tensor(B)).item() == pytest.approx(-1)


def test_a_run_of_training_is_plain_newton_and_plain_gradient_descent():
    eta, lam = torch.tensor([0.5, 0.25], dtype=torch.float64), torch.tensor([0.4, 0.9], dtype=torch.float64)
    y = torch.tensor(np.tile(Y, (2, 1)))
    others = torch.tensor(circle(ANGLES + 0.1))
    network = some_networks()
    newton, descent = (train(network, X, y, others, 3, eta, chosen) for chosen in (lam, None))
    for method, done in (("newton", newton), ("descent", descent)):
        for row in range(2):
            loss, theta = loss_of(network, row)
            start, last = theta.reshape(-1, 4), theta
            for k in range(3):
                step = torch.func.grad(loss)(theta)
                if method == "newton":
                    H = torch.func.hessian(loss)(theta)
                    step = torch.linalg.solve(H + lam[row] * torch.eye(len(theta), dtype=torch.float64), step)
                last, theta = theta, theta - eta[row] * step
                assert done.update[row, k] == pytest.approx(float((theta - last).reshape(-1, 4).norm(dim=1).max()))
            moved = theta.reshape(-1, 4)
            points = torch.cat([X, others])
            g = network.scale[row] * (moved[:, 0] @ network.activation.value(moved[:, 1:] @ points.T))
            assert np.allclose(done.outputs[row, 3], g, atol=1e-12)
            assert done.displacement[row, 2] == pytest.approx(float((moved - start).norm(dim=1).max()))
            u = network.w @ points.T
            rows = jacobian(network, u, points)[:, row].permute(1, 0, 2).reshape(-1, len(points))
            linear = network.outputs(points)[row] + (moved - start).reshape(-1) @ rows
            assert done.nonlinearity[row] == pytest.approx(float((g - linear).abs().max()), rel=1e-9)
    assert np.isnan(descent.least).all()


def test_without_curvature_the_step_is_gauss_and_newtons():
    network, lam = some_networks(), torch.tensor([0.2, 0.2], dtype=torch.float64)
    one = torch.ones(2, dtype=torch.float64)
    done = train(network, X, torch.tensor(np.tile(Y, (2, 1))), X, 1, one, lam, 0 * one)
    J = jacobian(network, network.w @ X.T, X).permute(1, 2, 0, 3).flatten(1, 2)
    residual = network.outputs(X) - torch.tensor(Y)
    eye = torch.eye(J.shape[1], dtype=torch.float64)
    step = torch.linalg.solve(J @ J.mT / M + lam[0] * eye, (J @ residual[..., None]) / M)[..., 0].unflatten(1, (-1, 4))
    assert np.allclose(done.outputs[:, 1, :M], network.moved(-step).outputs(X), atol=1e-12)
    assert np.allclose(done.least, 0)


def test_the_newton_kernel_says_how_the_linearized_outputs_move():
    network, lam = some_networks(width=40, antisymmetric=True), torch.tensor([0.4, 0.4], dtype=torch.float64)
    y = torch.tensor(np.tile(Y, (2, 1)))
    done = train(network, X, y, X, 1, torch.ones(2, dtype=torch.float64), lam)
    residual = network.outputs(X) - y
    u = network.w @ X.T
    _, Q = newton_direction(jacobian(network, u, X), second_order_blocks(network, u, X, residual), residual, lam)
    kernel = Q @ torch.linalg.inv(M * torch.eye(M, dtype=torch.float64) + Q)
    assert np.allclose(done.kernel[:, 0], torch.linalg.eigvalsh((kernel + kernel.mT) / 2), atol=1e-12)


def test_what_diverges_is_held_and_marked():
    network = some_networks()
    y = torch.tensor(np.tile(Y, (2, 1)))
    done = train(network, X, y, X, 30, torch.tensor([1e4, 0.1], dtype=torch.float64), None)
    assert np.isfinite(done.outputs).all()
    assert (done.outputs[0, -1] == LOST).all()
    assert np.abs(done.outputs[1]).max() < 10


def test_long_batches_are_cut_without_a_difference(monkeypatch):
    network, y = some_networks(runs=3), torch.tensor(np.tile(Y, (3, 1)))
    lam = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    whole = train(network, X, y, X, 2, 0.5 + 0 * lam, lam)
    monkeypatch.setattr("companion.chapters.newton_nntk.newton.MOST_NUMBERS", 1)
    assert np.allclose(train(network, X, y, X, 2, 0.5 + 0 * lam, lam).outputs, whole.outputs, atol=1e-13)


# --- kernels ------------------------------------------------------------------------------------------------------


def test_closed_form_of_the_kernel_is_quadrature_and_the_average_over_units():
    delta = np.linspace(0, np.pi, 5)
    exact = erf_kernel(delta, 1.3, 0.8)
    assert np.allclose(exact, quadrature_kernel(delta, 1.3, 0.8, "erf"), atol=1e-12)
    c, w = initial_weights(1, 400_000, 1.3, 0.8, False, np.random.default_rng(0))
    network = Network(torch.tensor(c), torch.tensor(w), torch.tensor([400_000**-0.5]), ACTIVATIONS["erf"])
    x = torch.tensor(circle(delta))
    J = jacobian(network, network.w @ x.T, x)[:, 0]
    found = sum(J[k].T @ J[k] for k in range(4))
    assert np.allclose(found[0], exact, atol=0.01)


def test_kernel_of_tanh_is_the_average_over_units():
    angles = np.array([0.0, 0.9, 2.2])
    c, w = initial_weights(1, 400_000, 1.3, 0.8, False, np.random.default_rng(0))
    network = Network(torch.tensor(c), torch.tensor(w), torch.tensor([400_000**-0.5]), ACTIVATIONS["tanh"])
    x = torch.tensor(circle(angles))
    J = jacobian(network, network.w @ x.T, x)[:, 0]
    found = sum(J[k].T @ J[k] for k in range(4))
    assert np.allclose(found, tangent_kernel(angles, angles, 1.3, 0.8, "tanh"), atol=0.01)


def test_spectra_of_both_kernels():
    K = erf_kernel(ANGLES[:, None] - ANGLES, 3.0, 3.0)
    mu = spectrum(K)
    assert np.allclose(np.sort(np.concatenate([mu, mu[1:-1]])), np.linalg.eigvalsh(K), atol=1e-12)
    lam = np.array([0.1, 0.01])
    kernels = newton_kernel(K, M, lam)
    for kernel, value in zip(kernels, lam, strict=True):
        assert np.allclose(kernel, K @ np.linalg.inv(K + M * value * np.eye(M)), atol=1e-12)
        assert np.allclose(spectrum(kernel), mu / (mu + M * value), atol=1e-12)


def test_the_limit_decays_frequency_by_frequency():
    K = erf_kernel(ANGLES[:, None] - ANGLES, 3.0, 3.0)
    mu, lam = spectrum(K), 0.05
    path = limit_outputs(newton_kernel(K, M, lam), Y, 0.3, 10)
    left = frequency_amplitudes(path - Y)[:, 1:4] / frequency_amplitudes(-Y)[1:4]
    expected = (1 - 0.3 * mu[1:4] / (mu[1:4] + M * lam)) ** np.arange(11)[:, None]
    assert np.allclose(left, expected, atol=1e-12)
    assert np.allclose(frequency_amplitudes(np.cos(2 * ANGLES)), [0, 0, 0.5, 0, 0], atol=1e-14)


def test_the_start_is_zero_and_has_the_wanted_spread():
    c, w = initial_weights(3, 20_000, 2.0, 0.5, True, np.random.default_rng(0))
    network = Network(torch.tensor(c), torch.tensor(w), torch.ones(3), ACTIVATIONS["erf"])
    assert network.outputs(X).abs().max() < 1e-9
    assert np.allclose(w.std((0, 1)), [2.0, 2.0, 0.5], rtol=0.03)
    assert set(np.unique(c)) == {-1.0, 1.0}


# --- statements of the page ---------------------------------------------------------------------------------------


def test_eigenvalues_of_hessian_and_blocks_are_nested(results):
    r = results.definiteness
    least = r.eigenvalues[..., 0]
    assert (r.blocks_least <= least + 1e-12).all()
    assert (least <= r.blocks_next + 1e-12).all()


def test_the_blocks_share_of_the_regularization_is_a_power_of_the_width(results):
    r = results.regularization
    constant = -r.first.min(-1) * r.widths ** (0.5 - r.decays[:, None])
    assert np.allclose(constant / constant.mean(), 1, atol=0.05)


def test_runs_within_the_window_do_as_gauss_and_newtons(results):
    r = results.regularization
    assert (r.error[:3, -1] < 0.2).all()
    assert np.allclose(r.error[:3, -1], r.error_gauss[:3, -1], atol=0.05)


def test_speeds_are_those_of_the_limits(results):
    r = results.speed
    limit = -np.log(np.abs(r.factor))
    rows = [0, 2]
    assert np.allclose(r.rates()[rows] / limit[rows], 1, atol=0.1)
    assert r.loss[:, 0] == pytest.approx(r.loss[0, 0])
    assert r.loss[0, 0] == pytest.approx(0.5 * (0.5 + 0.5 + 0.25))


def test_expected_error_under_noise_is_the_average_over_draws(params, results):
    size, everywhere = params.M, np.concatenate([params.angles, params.between])
    K = tangent_kernel(everywhere, params.angles, params.s, params.s_b, params.activation)
    labels = np.cos(params.angles) + params.noise * np.random.default_rng(0).normal(size=(4000, size))
    g = limit_outputs(newton_kernel(K, size, results.noise.lam), labels, params.eta, 6)[..., size:]
    found = np.sqrt(((g - np.cos(params.between)) ** 2).mean((0, 2)))
    assert np.allclose(found, results.noise.noisy[0, :7], rtol=0.03)
    g = limit_outputs(K / np.linalg.eigvalsh(K[:size]).max(), np.cos(3 * params.angles), 1.0, 6)[..., size:]
    found = np.sqrt(((g - np.cos(3 * params.between)) ** 2).mean(-1))
    assert np.allclose(found, results.noise.clean[1, :7])


def test_quadrature_gives_the_spectra_of_erf(results):
    angles = 2 * np.pi * np.arange(16) / 16
    mu = np.linalg.eigvalsh(erf_kernel(angles[:, None] - angles, 3.0, 3.0))
    assert results.spectra.fixed[1] == pytest.approx(mu[0] / (mu[0] + 16 * 0.01), rel=1e-8)


# --- the whole ----------------------------------------------------------------------------------------------------


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {claim.id[:2] for claim in CLAIMS} == {"C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"}


@pytest.mark.parametrize(
    ("claims", "broken"),
    [
        (["C1a"], lambda r: {"convergence": dataclasses.replace(r.convergence, error=r.convergence.error * 0 + 0.05)}),
        (["C1b"], lambda r: {"convergence": dataclasses.replace(r.convergence, error=r.convergence.error_wrong)}),
        (["C3a"], lambda r: {"convergence": dataclasses.replace(r.convergence, least=r.convergence.least[::-1])}),
        (["C2", "C3b", "C7"], lambda r: {"speed": dataclasses.replace(r.speed, loss=r.speed.loss[[2, 1, 2, 3]],
                                                                      left=r.speed.left[[3, 1, 2, 3]])}),
        (["C4b"], lambda r: {"regularization": dataclasses.replace(
            r.regularization, error_gauss=r.regularization.error)}),
        (["C6a", "C6b"], lambda r: {"scales": dataclasses.replace(
            r.scales, update=r.scales.update[[3] * 4], nonlinearity=r.scales.nonlinearity[[3] * 4])}),
        (["C8"], lambda r: {"noise": dataclasses.replace(r.noise, noisy=r.noise.clean)}),
    ],
)  # fmt: skip
def test_broken_runs_make_the_verdict_unsound(params, results, claims, broken):
    verdicts = verify(params, dataclasses.replace(results, **broken(results)))
    for claim in claims:
        assert verdicts[claim].holds is False
