import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from companion.chapters import sam_diagonal_networks as chapter
from companion.chapters.sam_diagonal_networks import claims, setting, theory, trajectories
from companion.models.diagonal import DiagonalNet
from companion.optim import SAM
from companion.parameters import ParameterError

MU = np.array([1.0, 2.0, 3.0, 4.0])
SMALL = {
    "grid": 2,
    "random_problems": 3,
    "dimensions": [2],
    "datasets": 2,
    "steps": 20_000,
    "steps_depth_one": 6000,
    "steps_depth_two": 2000,
    "digit_pairs": [[0, 1]],
    "vertex_fractions": [0.31, 0.45],
    "mlp_seeds": 2,
}


@pytest.fixture(scope="module")
def params():
    return chapter.Parameters.resolve(device="cpu", **SMALL)


@pytest.fixture(scope="module")
def results(params):
    return chapter.run(params)


# --- the theory against a second method -------------------------------------------------------------------------------


def full_flow(alpha, mu, rho, s):
    """Brute force: the flow of all layers and coordinates in rescaled time, straight from the definition of SAM."""
    d = len(mu)

    def velocity(_, theta):
        u, v = theta[:d], theta[d:]
        gradient = -np.concatenate([mu * v, mu * u])  # the scalar |l'| drops out of direction and clock
        eps = rho * gradient / np.linalg.norm(gradient)
        ahead = theta + eps
        return np.concatenate([mu * ahead[d:], mu * ahead[:d]])

    return solve_ivp(velocity, (0, s[-1]), np.tile(alpha, 2), t_eval=s, rtol=1e-10, atol=1e-14).y.T


@settings(max_examples=15, deadline=None)
@given(
    gaps=st.lists(st.floats(0.2, 1.2), min_size=2, max_size=5),
    rho=st.floats(0.03, 1.0),
    scale=st.floats(0.72, 1.5),
    tilt=st.floats(-0.3, 0.3),
)
def test_scalar_reduction_matches_the_full_flow(gaps, rho, scale, tilt):
    mu = np.cumsum(gaps)
    alpha = rho * scale * np.exp(tilt * np.linspace(-1, 1, len(mu))) * np.exp(abs(tilt))
    flow = theory.l2_flow(alpha[None], mu, rho, until=1e3 * rho * mu[-1])
    keep = np.linspace(0, len(flow.s) - 1, 12).astype(int)
    theta = full_flow(alpha, mu, rho, flow.s[keep, 0])
    beta = theta[:, : len(mu)] * theta[:, len(mu) :]
    assert np.allclose(flow.log_beta[keep, 0], np.log(beta), atol=1e-5)
    assert np.allclose(np.exp(flow.log_n[keep, 0]), np.sqrt(2 * (mu**2 * beta).sum(-1)), rtol=1e-5)


def test_physical_time_of_the_flow_matches_the_full_flow_in_physical_time():
    alpha, rho = np.full(4, 0.045), 0.1

    def velocity(_, w):
        n = np.sqrt(2) * np.linalg.norm(MU * w)
        ahead = w * (1 - rho * MU / n)
        return MU * ahead / (1 + np.exp((MU * ahead**2).sum()))

    flow = theory.l2_flow(alpha[None], MU, rho)
    keep = np.flatnonzero(flow.t[:, 0] < 80)[::20]
    exact = solve_ivp(velocity, (0, 80), alpha, t_eval=flow.t[keep, 0], rtol=1e-10, atol=1e-14).y.T
    assert np.allclose(flow.log_beta[keep, 0], 2 * np.log(exact), atol=1e-5)


@pytest.mark.parametrize("mu", [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0], [0.5, 0.7, 3.0]])
def test_critical_scale_separates_collapse_from_growth_in_the_full_flow(mu):
    mu = np.array(mu)
    alpha_c = theory.critical_scale(mu)
    low, high = theory.critical_bounds(mu)
    assert low <= alpha_c <= high

    def decided(scale):
        def below(_, w):
            return np.sqrt(2) * np.linalg.norm(mu * w) - 0.9 * mu[0]

        def above(_, w):
            return np.sqrt(2) * np.linalg.norm(mu * w) - 4 * mu[-1]

        below.terminal = above.terminal = True

        def velocity(_, w):
            return mu * w * (1 - mu / (np.sqrt(2) * np.linalg.norm(mu * w)))

        run = solve_ivp(velocity, (0, 200), np.full(len(mu), scale), events=(below, above), rtol=1e-10, atol=1e-14)
        return "collapse" if len(run.t_events[0]) else "growth"

    assert decided(alpha_c * (1 - 1e-4)) == "collapse"
    assert decided(alpha_c * (1 + 1e-4)) == "growth"


def test_published_thresholds_of_the_two_examples():
    assert theory.critical_scale(np.array([1.0, 2.0])) == pytest.approx(0.5213, abs=1e-4)
    assert theory.critical_scale(MU) == pytest.approx(0.3840, abs=1e-4)
    assert theory.gd_like_scale(np.array([1.0, 2.0])) == pytest.approx(3 / np.sqrt(10))


@settings(max_examples=10, deadline=None)
@given(gaps=st.lists(st.floats(0.1, 1.5), min_size=2, max_size=6), scale=st.floats(0.05, 1.3))
def test_vertex_falls_then_rises_and_leaders_change_by_one(gaps, scale):
    mu = np.cumsum(gaps)
    flow = theory.l2_flow(np.full((1, len(mu)), scale), mu, 1.0, until=1e9, max_steps=3000, keep=1)
    m = flow.s[1:, 0] / (2 * flow.A[1:, 0])
    changes = np.sign(np.where(np.abs(np.diff(m)) < 1e-9 * m[1:], 0, np.diff(m)))
    assert (np.diff(changes[changes != 0]) >= 0).all()  # never up, then down
    sequence = theory.visits(flow.log_beta[1:, 0].argmax(-1))
    assert (np.abs(np.diff(sequence)) == 1).all()
    if flow.grown[0]:
        assert claims.is_minor_first(sequence)


@settings(max_examples=40, deadline=None)
@given(
    depth=st.integers(2, 5),
    alpha=st.floats(0.05, 2.0),
    mu=st.floats(0.2, 3.0),
    rho=st.floats(0.0, 1.5),
    share=st.floats(0.1, 0.9),
)
def test_gate_closed_form_solves_its_equation(depth, alpha, mu, rho, share):
    blow_up = theory.blow_up_times(np.array([alpha]), np.array([mu]), rho, depth)[0]
    s = share * min(blow_up, 2.0)

    def velocity(_, w):
        return mu * (w - rho) ** (depth - 1)

    def dead(_, w):
        return w[0] - 1e-9

    dead.terminal = True
    run = solve_ivp(velocity, (0, s), [alpha], rtol=1e-10, atol=1e-13, events=dead, method="DOP853")
    found = theory.linf_weights(np.array([s]), np.array([alpha]), np.array([mu]), rho, depth)[0, 0]
    expected = 0.0 if len(run.t_events[0]) else run.y[0, -1]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_limit_axis_is_the_first_to_blow_up():
    rng = np.random.default_rng(0)
    alpha, mu = rng.uniform(0.1, 2, size=(200, 5)), np.sort(rng.uniform(0.1, 3, size=5))
    for depth in (3, 4):
        times = theory.blow_up_times(alpha, mu, 0.5, depth)
        expected = np.where(np.isfinite(times).any(-1), times.argmin(-1), -1)
        assert np.array_equal(theory.linf_limit(alpha, mu, 0.5, depth), expected)


# --- the batched arrays against the optimizer -------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_batched_runs_equal_the_optimizer_on_the_module_step_by_step(depth):
    rng = np.random.default_rng(depth)
    z = torch.from_numpy(rng.normal(0.5, 1.0, size=(9, 4)))
    starts = torch.from_numpy(rng.uniform(0.2, 0.9, size=(4, 4)))
    norms = ["gd", "l2", "linf", "none"]
    radii = setting.Radii.of(norms, [0.3] * 4)
    w = starts[:, None].repeat(1, depth, 1)
    nets = [DiagonalNet(depth, start) for start in starts]
    optimizers = [
        SAM(net.parameters(), torch.optim.SGD, rho=rho, norm=norm, lr=0.05)
        for net, norm, rho in zip(nets, ["l2", *norms[1:]], [0.0, 0.3, 0.3, 0.3], strict=True)
    ]
    for _ in range(50):
        w = w - 0.05 * setting.sam_gradient(w, z, radii)[0]
        for run, (net, optimizer) in enumerate(zip(nets, optimizers, strict=True)):

            def closure(net=net, optimizer=optimizer):
                optimizer.zero_grad()
                loss = torch.nn.functional.softplus(-net(z)).mean()
                loss.backward()
                return loss

            optimizer.step(closure)
            layers = torch.stack([layer.data for layer in net.layers])
            assert torch.allclose(w[run], layers, rtol=1e-10, atol=1e-12)


def test_amplify_equals_the_optimizer_and_its_clocks():
    alpha, rho, lr = 0.05, 0.1, 4e-3
    w, radii = trajectories._stack(np.full((1, 1, 4), alpha), np.array([rho]), "cpu")
    steps, beta, s, A, _ = trajectories.amplify(w, torch.from_numpy(MU[None, None]), radii, lr, 300, 100)
    net = DiagonalNet(2, torch.full((4,), alpha, dtype=torch.float64))
    optimizer = SAM(net.parameters(), torch.optim.SGD, rho=rho, lr=lr)
    x, clock, area, found = torch.from_numpy(MU[None]), 0.0, 0.0, []
    for step in range(1, 301):
        slopes = []

        def closure(slopes=slopes):
            optimizer.zero_grad()
            margin = net(x)
            loss = torch.nn.functional.softplus(-margin).sum()
            loss.backward()
            size = torch.cat([p.grad for p in net.parameters()]).norm().item()
            slopes.append((torch.sigmoid(-margin).item(), size))
            return loss

        optimizer.step(closure)
        clock += lr * slopes[1][0]
        area += lr * slopes[1][0] * slopes[0][0] / slopes[0][1]
        if step in steps:
            found.append(net.beta().detach().numpy())
    assert np.allclose(beta[:, 0, 0], found, rtol=1e-10)
    assert s[-1, 0, 0] == pytest.approx(clock)
    assert A[-1, 0, 0] == pytest.approx(area)


def test_zero_gradient_gives_zero_perturbation():
    radii = setting.Radii.of(["l2", "linf", "none"], [1.0] * 3)
    zero = torch.zeros(3, 2, 4, dtype=torch.float64)
    assert not setting.perturbation(zero, setting.joint_norm(zero), radii).any()


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_verdicts_are_sound(params, results):
    verdicts = chapter.verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert [v.claim for v in verdicts if not v.decided] == ["C8d"]


def test_swaps_come_within_one_record_of_the_prediction(params, results):
    quantities = chapter.verify(params, results).quantities
    assert quantities["swaps_checked"] >= 8
    assert quantities["swap_error"] <= params.record_every


def test_same_seed_gives_the_same_verdicts_and_another_seed_other_data(params, results):
    again = chapter.depth_one(params)
    assert np.array_equal(again.ratio, results.depth_one.ratio)
    other = chapter.depth_one(chapter.Parameters.resolve(device="cpu", **SMALL | {"seed": 1}))
    assert not np.array_equal(other.ratio, results.depth_one.ratio)


@pytest.mark.parametrize("broken", ["descent instead of ascent", "no normalization"])
def test_broken_perturbation_makes_the_amplification_claims_fail(params, results, monkeypatch, broken):
    right = trajectories.perturbation

    def wrong(gradient, norm, radii):
        return -right(gradient, norm, radii) if broken.startswith("descent") else radii.l2 * gradient

    monkeypatch.setattr(trajectories, "perturbation", wrong)
    few = params.model_copy(update={"steps": 2000})
    verdicts = chapter.verify(few, claims.Results(**vars(results) | {"amplification": chapter.amplification(few)}))
    for claim in ("C5a", "C5b", "C6"):
        assert not verdicts[claim].holds, claim


def test_layerwise_norm_misses_the_predicted_swaps(params, results, monkeypatch):
    def layerwise(gradient):
        return (gradient * gradient).sum(-1, keepdim=True).sqrt()

    monkeypatch.setattr(trajectories, "joint_norm", layerwise)
    few = params.model_copy(update={"steps": 2000})
    changed = claims.Results(**vars(results) | {"amplification": chapter.amplification(few)})
    assert claims._swap_error(changed) > 10 * params.record_every


def test_dead_coordinates_make_the_l1_margin_claim_fail(params, results):
    ratio = results.limits.ratio[:, [0, 2, 2]]
    limits = type(results.limits)(**vars(results.limits) | {"ratio": ratio})
    verdicts = chapter.verify(params, claims.Results(**vars(results) | {"limits": limits}))
    assert not verdicts["C4b"].holds


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [((2, 1, 2, 3), True), ((3,), True), ((1, 0), True), ((1, 3), False), ((1, 2, 1), False), ((3, 1, 2), True)],
)
def test_minor_first_means_down_then_up_by_one(sequence, expected):
    assert claims.is_minor_first(sequence) is expected


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mu": [2.0, 1.0]}, "mu: got"),
        ({"lr": 0.04}, "lr: got 0.04, allowed: at most 0.0125"),
        ({"digit_pairs": [[3, 3]]}, "digit_pairs: got"),
        ({"record_every": 500, "steps": 400}, "record_every: got 500, allowed: at most steps = 400"),
        ({"rho": 0.0}, "rho: got 0.0, allowed: a number from 0.001 to 1"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(given, message):
    with pytest.raises(ParameterError) as error:
        chapter.Parameters.resolve(device="cpu", **given)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("extreme", "experiments"),
    [
        ({"mu": [0.1, 10.0], "lr": 0.005, "scales": [4.0], "rho": 1.0}, ("limits", "amplification", "boundary")),
        ({"scales": [0.05], "rho": 1e-3, "radii": [1e-3]}, ("limits", "amplification", "sweep", "boundary")),
        (
            {"mu_gates": [1.0, 1.1], "rho_linf": 0.05, "rho_depth_one": 0.0, "datasets": 1},
            ("depth_one", "gates", "plane"),
        ),
        ({"rho_digits": 1.0, "vertex_fractions": [0.01, 1.0], "mlp_seeds": 2}, ("digits", "relu_mlp")),
    ],
    ids=["huge start", "everything collapses", "close coordinates", "digits"],
)
def test_extreme_parameters_run_to_the_end(results, extreme, experiments, recwarn):
    short = {"steps": 200, "steps_depth_one": 100, "steps_depth_two": 100, "steps_digits": 100, "random_problems": 1}
    params = chapter.Parameters.resolve(device="cpu", **SMALL | short | extreme)
    changed = {name: getattr(chapter, name)(params) for name in experiments}
    found = claims.Results(**vars(results) | changed)
    chapter.verify(params, found).summary()
    for draw in (chapter.figure_phase, chapter.figure_parabola, chapter.figure_heat, chapter.figure_ablation):
        draw(found.amplification)
    assert not [str(warning.message) for warning in recwarn if "companion" in str(warning.filename)]


def test_the_largest_non_negative_margin_matches_an_independent_solver():
    import cvxpy as cp

    from companion.analysis.max_margin import max_margin
    from companion.chapters.sam_diagonal_networks.experiments import nonnegative_margin

    rng = np.random.default_rng(0)
    for _ in range(5):
        data = rng.normal([1.0, 0.5, -1.0], 0.5, size=(8, 3))
        w, t = cp.Variable(3, nonneg=True), cp.Variable()
        cp.Problem(cp.Maximize(t), [data @ w >= t, cp.sum(w) == 1]).solve()
        assert nonnegative_margin(data) == pytest.approx(float(t.value), abs=1e-6)
        assert nonnegative_margin(data) <= max_margin(data, 1).margin + 1e-9
