"""Scaling laws of signSGD: equations against an integrator, exponents against a linear program, runs against both."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from companion.chapters.signsgd_scaling_laws import CLAIMS, Parameters, experiments, run, verify
from companion.chapters.signsgd_scaling_laws.equations import (
    FEATURES,
    METHODS,
    RESIDUAL,
    SGD,
    SIGN,
    arcsine_risk,
    decayed_risk,
    risk_curves,
    sgd_recursion,
    stationary_risk,
)
from companion.chapters.signsgd_scaling_laws.exponents import (
    approximation_exponent,
    drift_exponent,
    frontier_exponents,
    noise_exponent,
    phase,
    programmed_exponents,
)
from companion.chapters.signsgd_scaling_laws.features import (
    Sketch,
    approximation_error,
    equivalent_spectrum,
    kept_error,
    log_bins,
    sketch,
    sketched_spectrum,
    sketches,
)
from companion.chapters.signsgd_scaling_laws.frontier import best_constant, frontier_of, least, window_exponent
from companion.chapters.signsgd_scaling_laws.runs import _Adam, _schedule, _Signum, direction, simulate

TINY = {
    "M_sim": 32, "N_sim": 300, "chains": 4, "sketches": 2, "floor_steps": 300, "drift_M": 32, "drift_N": 300,
    "spectrum_M": 60, "term_sketches": 1, "widths_per_decade": 2, "rates_per_decade": 2, "far": 11, "map_points": 2,
    "sketch_widths": [8, 12, 16, 24], "sketch_groups": 2,
}  # fmt: skip
EXTREMES = [
    TINY | {"M_sim": 16, "N_sim": 200, "gamma_sim": 0.05, "chains": 2, "sketches": 1, "floor_gamma": 0.05},
    TINY | {"gamma_sim": 1e-5, "floor_gamma": 1e-3, "drift_gamma": 1e-5, "decay_fraction": 1.0, "drift_width": 3.0},
    TINY | {"drift_gamma": 0.02, "decay_fraction": 0.05, "drift_width": 9.0, "far": 18, "rates_per_decade": 3},
    TINY | {"sketch_widths": [4, 5, 6, 7], "sketch_groups": 3, "widths_per_decade": 3},
]
REFUSED = [
    ({"gamma_sim": 0.1}, "gamma_sim: got 0.1, allowed: a number from 1e-05 to 0.05"),
    ({"sketch_widths": [8, 8, 16, 32]}, "sketch_widths: got [8, 8, 16, 32], allowed: at least four different widths"),
    ({"chains": 1000, "sketches": 50, "M_sim": 2000}, "chains: got 1000, allowed: at most"),
    ({"far": 9}, "far: got 9, allowed: an integer from 11 to 18"),
]


@pytest.fixture(scope="module")
def params():
    return Parameters.resolve(device="cpu")


@pytest.fixture(scope="module")
def results(params):
    return run(params)


@pytest.fixture(scope="module")
def problem():
    return sketch(8, 1.0, 0.7, np.random.default_rng(0))


# --- the problem --------------------------------------------------------------------------------------------------


def test_a_sketch_is_the_least_squares_problem_of_its_features():
    alpha, betas, width = 0.8, [0.3, 1.1], 6
    problems = sketches(width, alpha, betas, np.random.default_rng(1))
    j = np.arange(1.0, 1001)
    S = np.random.default_rng(1).normal(size=(width, 1000)) / np.sqrt(width)
    K0 = np.diag(j ** (-2 * alpha))
    for beta, found in zip(betas, problems, strict=True):
        w = j**-beta
        assert np.allclose(found.covariance, S @ K0 @ S.T)
        theta = np.linalg.lstsq(np.sqrt(K0) @ S.T, np.sqrt(K0) @ w, rcond=None)[0]
        assert np.allclose(found.optimum, theta)
        miss = S.T @ theta - w
        assert found.floor == pytest.approx(miss @ K0 @ miss, rel=1e-9)
    assert len(S[0]) == 1000
    assert sketch(300, 0.4, 0.3, np.random.default_rng(0)).covariance.shape == (300, 300)


def test_noise_sums_are_the_traces_of_the_closed_form(problem):
    plain, signed = sketched_spectrum(problem, False), sketched_spectrum(problem, True)
    assert plain.noise_sum == pytest.approx(np.trace(problem.covariance))
    assert signed.noise_sum == pytest.approx(np.sqrt(np.diagonal(problem.covariance)).sum())
    for spectrum in (plain, signed):
        risk = problem.optimum @ problem.covariance @ problem.optimum
        assert spectrum.start.sum() == pytest.approx(risk)
        assert (np.diff(spectrum.rate) <= 0).all()


def test_bins_stand_for_all_integers():
    for largest in (5, 12, 13, 700, 10**5):
        j, weight = log_bins(largest)
        assert weight.sum() == pytest.approx(largest)
        assert (weight / j**2).sum() == pytest.approx((1 / np.arange(1.0, largest + 1) ** 2).sum(), rel=1e-3)


def test_deterministic_equivalent_is_the_mean_of_sketches():
    # single sketches spread the more, the faster features decay
    for alpha, beta, tolerance in ((0.4, 0.3, 0.1), (1.0, 0.3, 0.25), (0.75, 1.0, 0.3)):
        rng = np.random.default_rng(0)
        sampled = np.mean([sketch(96, alpha, beta, rng).floor for _ in range(12)])
        assert approximation_error(96, alpha, beta) == pytest.approx(sampled, rel=tolerance)
    j = np.arange(101.0, 10**6)
    assert kept_error(100, 1.0, 0.7) == pytest.approx((j**-3.4).sum(), rel=0.3)


def test_equivalent_spectrum_resembles_a_sketch():
    rng = np.random.default_rng(0)
    for signed in (False, True):
        sampled = np.mean([sketched_spectrum(sketch(200, 1.0, 0.3, rng), signed).noise_sum for _ in range(4)])
        assert equivalent_spectrum(200, 1.0, 0.3, signed).noise_sum == pytest.approx(sampled, rel=0.2)
    spectrum = equivalent_spectrum(200, 0.75, 1.0, True)
    j = np.arange(1.0, 201)
    distorted = (np.arange(1.0, 10**6) ** -2.0).sum() / 200
    start = (j**-1.5 * (j**-2 + distorted)).sum()
    assert (spectrum.weight * spectrum.start).sum() == pytest.approx(start, rel=0.02)
    assert (spectrum.weight * spectrum.noise / spectrum.rate).sum() == pytest.approx(
        np.sqrt(200 * (np.arange(1.0, 10**6) ** -1.5).sum()), rel=0.02
    )


# --- a step -------------------------------------------------------------------------------------------------------


def test_means_and_second_moments_of_the_four_directions(problem):
    rng, n = np.random.default_rng(0), 400_000
    K, e = problem.covariance[:3, :3], np.array([0.5, -1.0, 0.3])
    floor, D = 0.2, np.diagonal(problem.covariance[:3, :3])
    z = rng.normal(size=(n, 3)) @ np.linalg.cholesky(K).T
    r = z @ e + np.sqrt(floor) * rng.normal(size=n)
    P = floor + e @ K @ e
    rho = K @ e / np.sqrt(D * P)
    half = np.sqrt(2 / np.pi)
    expected = {
        SGD: K @ e, RESIDUAL: half * K @ e / np.sqrt(P), FEATURES: half * K @ e / np.sqrt(D),
        SIGN: 2 / np.pi * np.arcsin(rho),
    }  # fmt: skip
    sign_covariance = Sketch(K, e, floor).sign_covariance
    second = {RESIDUAL: K, SIGN: sign_covariance, SGD: P * K + 2 * np.outer(K @ e, K @ e)}
    for method, mean in expected.items():
        d = direction(method, torch.tensor(r), torch.tensor(z)).numpy()
        error = d.std(0) / np.sqrt(n)
        assert (np.abs(d.mean(0) - mean) < 5 * error).all(), method.name
        if method in second:
            assert np.allclose(d.T @ d / n, second[method], atol=0.02 * np.abs(second[method]).max())
        # to first order in rho the drift is half of the speed, so that squares decay at the whole of it
        scale = (np.sqrt(P) if method.signed_residual else 1) * (np.sqrt(D) if method.signed_features else 1)
        small = expected[method] if method is not SIGN else 2 / np.pi * rho
        assert np.allclose(small * scale, method.speed / 2 * (K @ e))


def test_adam_and_signum_are_torchs_and_the_definition():
    generator = torch.Generator().manual_seed(0)
    like = torch.zeros(2, 3, dtype=torch.float64)
    w = torch.nn.Parameter(like.clone())
    adam, signum = _Adam(like), _Signum(like)
    reference = torch.optim.Adam([w], lr=0.1, betas=(0.9, 0.99), eps=1e-12)
    moved, mean = like.clone(), like.clone()
    for _ in range(20):
        z = torch.randn(2, 3, dtype=torch.float64, generator=generator)
        r = torch.randn(2, dtype=torch.float64, generator=generator)
        w.grad = r[:, None] * z
        reference.step()
        moved = moved - 0.1 * adam(r, z)
        mean = 0.9 * mean + 0.1 * w.grad
        assert torch.equal(signum(r, z), mean.sign())
    assert torch.allclose(moved, w.detach(), atol=1e-12)


def test_schedule_is_constant_and_then_falls_linearly_to_zero():
    share = _schedule(10, np.array([5.0, 10.0]), 2, torch.device("cpu"))[..., 0, 0].numpy()
    assert np.allclose(share[:, 0], [1, 1, 1, 1, 1, 0.9, 0.7, 0.5, 0.3, 0.1])
    assert np.allclose(share[:, 1], 1)


# --- risk equations -----------------------------------------------------------------------------------------------


def by_integrator(spectrum, method, lr, steps, schedule=lambda t: 1.0):
    """The modes' equation in the time of steps, by a library's integrator."""
    s = float(method.signed_residual)

    def slope(t, Y):
        P, gamma = spectrum.floor + Y.sum(), lr * schedule(t)
        return -method.speed * gamma * spectrum.rate * Y / P ** (s / 2) + gamma**2 * spectrum.noise * P ** (1 - s)

    found = solve_ivp(slope, (0, steps[-1]), spectrum.start, t_eval=steps, method="LSODA", rtol=1e-8, atol=1e-12)
    return spectrum.floor + found.y.sum(0)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_clock_gives_the_solution_in_steps(problem, method):
    spectrum = sketched_spectrum(problem, method.signed_features)
    lr = 0.02 if method.signed_residual else 0.3 * method.speed / spectrum.noise_sum
    steps = np.array([3.0, 30.0, 300.0, 3000.0])
    found = risk_curves([spectrum], method, np.array([[lr]]), (-4, 8)).at(steps[None])[0, 0]
    assert np.allclose(found / by_integrator(spectrum, method, lr, steps), 1, atol=0.02)
    late = risk_curves([spectrum], method, np.array([[lr]]), (-4, 12)).risk[0, 0, -1]
    closed = stationary_risk(method, lr, spectrum.floor, spectrum.noise_sum)
    assert late == pytest.approx(float(closed), rel=1e-3)


def test_unstable_steps_have_no_stationary_risk():
    assert stationary_risk(SGD, 1.1, 0.1, 2.0) == np.inf
    assert stationary_risk(SGD, 0.5, 0.1, 2.0) == pytest.approx(0.2)
    assert stationary_risk(SIGN, 0.1, 0.0, 5.0) == pytest.approx((np.pi / 4 * 0.5) ** 2)


@pytest.mark.parametrize("method", [SGD, SIGN], ids=lambda m: m.name)
def test_decay_gives_the_solution_in_steps(problem, method):
    spectrum = sketched_spectrum(problem, method.signed_features)
    lr = 0.02 if method.signed_residual else 0.3 * method.speed / spectrum.noise_sum
    N, fraction = 60.0, 0.25  # drift is under way, so that the length of each phase tells
    exact = by_integrator(spectrum, method, lr, np.array([N]), lambda t: min(1, (N - t) / (fraction * N)))[0]
    found = decayed_risk([spectrum], method, np.array([[lr, lr / 2]]), np.array([N]), fraction, (-4, 8))
    assert found.shape == (1, 2)
    assert found[0, 0] == pytest.approx(exact, rel=0.03)


def test_sgd_recursion_is_that_of_the_second_moment(problem):
    K, lr, floor = problem.covariance, 0.4, problem.floor
    Q = np.outer(problem.optimum, problem.optimum)
    risks = []
    for _ in range(8):
        P = floor + np.trace(K @ Q)
        risks.append(P)
        Q = Q - lr * (K @ Q + Q @ K) + lr**2 * (2 * K @ Q @ K + P * K)
    assert np.allclose(sgd_recursion(problem, lr, 7), risks, rtol=1e-10)


def test_exact_drift_is_the_linear_one_where_correlations_are_small(problem):
    weak = dataclasses.replace(problem, floor=1e4)
    spectrum = sketched_spectrum(weak, True)
    lr = 0.05
    exact = arcsine_risk([weak], [spectrum], np.array([lr]), 500)[0] - weak.floor
    linear = by_integrator(spectrum, SIGN, lr, np.array([100.0, 500.0])) - weak.floor
    assert np.allclose(exact[[100, 500]], linear, rtol=0.02)
    assert exact[0] == pytest.approx(spectrum.start.sum())


def test_first_step_of_the_exact_drift_is_the_mean_step(problem):
    K, lr = problem.covariance, 1e-3
    found = arcsine_risk([problem], [sketched_spectrum(problem, True)], np.array([lr]), 1)[0]
    e = -problem.optimum
    P = problem.floor + e @ K @ e
    e = e - lr * 2 / np.pi * np.arcsin(K @ e / np.sqrt(np.diagonal(K) * P))
    assert found[1] == pytest.approx(problem.floor + e @ K @ e, rel=1e-4)


# --- runs ---------------------------------------------------------------------------------------------------------


def test_runs_start_where_they_should_and_follow_the_exact_recursion(problem):
    steps = np.array([0, 1, 20, 60])
    found = simulate([problem], {"SGD": np.array([0.1])}, steps, 4000, torch.Generator().manual_seed(0)).risk["SGD"]
    exact = sgd_recursion(problem, 0.1, 60)[steps]
    assert found.shape == (1, 4000, 4)
    assert np.allclose(found[:, :, 0], exact[0])
    assert np.allclose(found.mean((0, 1)), exact, rtol=0.06)
    still = simulate([problem], {"SGD": np.array([0.1])}, steps, 2, torch.Generator(), at_optimum=True).risk["SGD"]
    assert np.allclose(still[..., 0], problem.floor)


def test_methods_share_their_samples(problem):
    lr = {"sign of the residual only": np.array([0.01]), "signSGD": np.array([0.01])}
    both = simulate([problem], lr, np.array([5]), 3, torch.Generator().manual_seed(1)).risk
    alone = simulate([problem], {"signSGD": lr["signSGD"]}, np.array([5]), 3, torch.Generator().manual_seed(1)).risk
    assert np.array_equal(both["signSGD"], alone["signSGD"])


# --- exponents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [SGD, SIGN], ids=lambda m: m.name)
@pytest.mark.parametrize(
    ("alpha", "beta", "name"),
    [(1, 0.3, "Ia"), (0.7, 0.4, "Ia"), (0.4, 0.3, "Ib"), (1, 0.7, "II"), (1.5, 1.2, "II"), (1, 1.3, "III"),
     (0.6, 0.9, "III"), (0.6, 1.4, "III+"), (1, 1.8, "III+")],
)  # fmt: skip
def test_closed_forms_solve_the_linear_program(alpha, beta, name, method):
    assert phase(alpha, beta) == name
    eta, _ = programmed_exponents(alpha, beta, method)
    assert eta == pytest.approx(frontier_exponents(alpha, beta, method)[0], abs=1e-6)
    # the table's width is optimal: no term of the program is larger there
    x = frontier_exponents(alpha, beta, method)[1]
    assert -approximation_exponent(alpha, beta) * x <= -eta + 1e-6


def test_widths_of_the_table_are_the_programs_where_it_has_one_solution():
    for alpha, beta in ((1.0, 1.3), (0.75, 1.0), (0.6, 1.4)):
        for method in (SGD, SIGN):
            assert programmed_exponents(alpha, beta, method)[1] == pytest.approx(
                frontier_exponents(alpha, beta, method)[1], abs=1e-6
            )


def test_largest_gain_is_at_the_upper_border_of_phase_three():
    for alpha in (0.6, 1.0):
        gain = [
            frontier_exponents(alpha, beta, SIGN)[0] - frontier_exponents(alpha, beta, SGD)[0]
            for beta in (alpha, alpha + 0.3, alpha + 0.5, alpha + 0.9)
        ]
        assert gain[0] == pytest.approx(0)
        assert gain[2] == pytest.approx(1 / (4 * alpha * (4 * alpha + 1)))
        assert 0 < gain[1] < gain[2]
        assert gain[3] == pytest.approx(gain[2])
    assert np.isnan(frontier_exponents(0.4, 0.9, SIGN)[0])
    assert programmed_exponents(0.4, 0.9, SGD)[0] == pytest.approx(0.421, abs=1e-3)
    with pytest.raises(ValueError, match="sign of the residual only"):
        programmed_exponents(1.0, 1.0, RESIDUAL)


def test_exponents_of_the_terms():
    assert drift_exponent(1, 0.3, False) == pytest.approx(0.8)
    assert drift_exponent(1, 0.3, True) == pytest.approx(4 / 3)
    assert drift_exponent(1, 1.5, True) == np.inf
    assert [noise_exponent(a) for a in (0.3, 0.5, 2)] == [1.4, 1.0, 1.0]
    assert approximation_exponent(0.4, 0.3) == pytest.approx(0.4)


# --- frontiers ----------------------------------------------------------------------------------------------------


def test_least_is_a_parabolas_vertex_and_a_grids_minimum_at_ends_and_cliffs():
    x = np.linspace(-1, 1, 9)[:, None]
    value, place = least(np.exp((x - np.array([0.1, 3.0])) ** 2))
    assert value == pytest.approx(np.exp([0, 4.0]))
    assert place.tolist() == [4, 8]
    cliff, _ = least(np.array([[1e30], [1.0], [1.1], [1.4]]))
    assert cliff == pytest.approx([1.0])


def test_slope_of_a_known_frontier():
    compute = np.logspace(4, 8, 9)
    widths = np.logspace(0, 6, 61)
    risk = 1 / widths[:, None, None] + widths[:, None, None] / compute + np.array([1e-9, 0, 1e-9])[:, None]
    found = frontier_of(risk, widths, np.ones((61, 3)), compute)
    assert found.slope(1e4, 1e8) == pytest.approx(0.5, abs=1e-3)
    assert np.allclose(found.risk, 2 / np.sqrt(compute), rtol=1e-3)
    assert np.allclose(found.width, np.sqrt(compute), rtol=0.15)
    assert found.interior
    assert not frontier_of(risk[40:], widths[40:], np.ones((21, 3)), compute).interior


def test_frontier_is_the_least_over_step_sizes_and_widths():
    widths = np.array([8.0, 16.0, 32.0, 64.0, 128.0])
    spectra = [equivalent_spectrum(width, 1.0, 0.7, True) for width in widths]
    compute = np.array([1e4, 1e5])
    found = best_constant(spectra, widths, SIGN, compute, 10)
    lr = found.lr_by_width[2]
    single = risk_curves([spectra[2]], SIGN, lr[None], (-3, 17)).at(compute[None] / 32)[0]
    assert np.allclose(np.diagonal(single), found.by_width[2], rtol=0.02)
    assert (found.risk <= found.by_width.min(0) + 1e-15).all()


def test_window_of_an_exponent():
    steps = np.arange(1.0, 1000)
    assert window_exponent(steps, 3 * steps**-0.7, 0.5, 0.05) == pytest.approx(0.7)
    assert np.isnan(window_exponent(steps, np.ones(999), 2.0, 0.5))


# --- the whole ----------------------------------------------------------------------------------------------------


def test_verdicts_are_sound(params, results):
    verdicts = verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert {claim.id[:2] for claim in CLAIMS} == {f"C{k}" for k in range(1, 8)}


def test_equations_hold_for_all_four_methods(results):
    for name, ratio in results.races.ratio.items():
        assert np.abs(ratio[0] - 1).max() < 0.06, name
    assert np.abs(results.races.ratio["sign of the residual only"][:, :4] - 1).max() < 0.15


def test_simulated_decay_follows_the_equations(results):
    r = results.schedules
    assert np.allclose(r.simulated.mean(1), r.simulated_equation.mean(1), rtol=0.2)


def test_formula_of_the_spectrum_and_the_plane(results):
    r = results.spectra
    tail = slice(len(r.index) // 4, None)
    assert r.formula[tail].mean() == pytest.approx(r.signed[tail].mean(), rel=0.1)
    assert r.signed.sum() == pytest.approx(len(r.index))
    known = np.isfinite(results.plane.predicted)
    assert np.abs(results.plane.measured - results.plane.predicted)[known].max() < 0.08
    assert results.plane.measured[-1, 0] > 0.1


@pytest.mark.parametrize(
    ("claims", "name", "change"),
    [
        (["C1a"], "races", lambda r: {"ratio": r.ratio | {"signSGD": 1.1 * r.ratio["signSGD"]}}),
        (["C1b"], "terms", lambda r: {"sketched": r.kept}),
        (["C1c"], "terms", lambda r: {"signed_noise": r.plain_noise}),
        (["C1d"], "races", lambda r: {"arcsine_ratio": r.ratio["signSGD"]}),
        (["C2a"], "drifts", lambda r: {"equation": r.equation | {"signSGD": r.equation["SGD"]}}),
        (["C2b"], "drifts", lambda r: {"simulated": r.simulated | {"signSGD": r.simulated["SGD"]}}),
        (["C7"], "drifts", lambda r: {"simulated": r.simulated | {"Adam": r.simulated["SGD"]}}),
        (["C3a"], "floors", lambda r: {"measured": r.measured | {"signSGD": r.measured["SGD"]}}),
        (["C3b"], "spectra", lambda r: {"signed": r.plain}),
        (["C4", "C5a"], "frontiers", lambda r: {"slope": r.slope | {"signSGD": r.slope["SGD"]}}),
        (["C4"], "frontiers", lambda r: {"interior": r.interior & False}),
        (["C5b"], "frontiers", lambda r: {"slope": r.slope | {RESIDUAL.name: r.slope[FEATURES.name]}}),
        (["C6a"], "schedules", lambda r: {"sketched_risk": r.sketched_risk[:, [0, 0]]}),
        (["C6b"], "schedules", lambda r: {"gain": r.gain[:, [0, 0]]}),
        (["C6c"], "schedules", lambda r: {"simulated": r.simulated[::-1]}),
    ],
)
def test_broken_runs_make_the_verdict_unsound(params, results, claims, name, change):
    part = getattr(results, name)
    broken = dataclasses.replace(results, **{name: dataclasses.replace(part, **change(part))})
    verdicts = verify(params, broken)
    for claim in claims:
        assert verdicts[claim].holds is False


def test_too_few_steps_leave_the_simulated_drift_undecided(params, results):
    drifts = results.drifts
    cut = dataclasses.replace(drifts, simulated=drifts.simulated | {"SGD": np.full(3, np.nan)})
    verdicts = verify(params, dataclasses.replace(results, drifts=cut))
    assert verdicts["C2b"].holds is None
    assert verdicts["C2b"].criterion.startswith("drift_N")


def test_same_seed_gives_the_same_runs(params, results):
    again = experiments.floors(params)
    assert np.array_equal(again.measured["signSGD"], results.floors.measured["signSGD"])
