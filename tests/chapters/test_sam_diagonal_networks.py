import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from companion.chapters import sam_diagonal_networks as chapter
from companion.chapters.sam_diagonal_networks import (
    claims,
    data,
    experiments,
    figures,
    networks,
    parameters,
    runs,
    sam,
    theory,
)
from companion.chapters.sam_diagonal_networks.experiments import long_run, many_examples, on_the_way
from companion.models.diagonal import DiagonalNet
from companion.optim import SAM

MU = np.array([1.0, 2.0, 3.0, 4.0])
TINY = {
    "grid": 2,
    "random_problems": 1,
    "dimensions": [2],
    "datasets": 1,
    "steps": 2000,
    "steps_depth_one": 2000,
    "steps_depth_two": 1000,
    "digit_pairs": [[0, 1]],
    "vertex_fractions": [0.31, 0.45],
    "steps_digits": 1000,
    "mlp_seeds": 2,
    "cnn_seeds": 2,
}
SHORT = TINY | {"steps": 200, "steps_depth_one": 100, "steps_depth_two": 100, "steps_digits": 100}
EXTREMES = [
    SHORT | {"mu": [0.1, 10.0], "lr": 0.005, "scales": [4.0], "rho": 1.0},
    SHORT | {"scales": [0.05], "rho": 1e-3, "radii": [1e-3], "record_every": 200},
    SHORT | {"mu_gates": [1.0, 1.1], "rho_linf": 0.05, "rho_depth_one": 0.0},
    SHORT | {"rho_digits": 1.0, "vertex_fractions": [0.01, 1.0]},
    # Some runs on digits reach the loss, others do not.
    SHORT | {"steps_digits": 800, "vertex_fractions": [0.31, 0.8]},
    # The loss vanishes at the start, so that nothing moves and rounding would decide.
    TINY | {"mu": np.linspace(1, 10, 16).tolist(), "lr": 0.005, "rho": 1.0, "scales": [0.8, 1.0], "steps": 500},
    # Entries of very different size, which take more steps than there are to part.
    SHORT | {"mu_gates": [0.01, 10.0], "mu": [0.01, 0.02], "lr": 1e-6},
]
REFUSED = [
    ({"mu": [2.0, 1.0]}, "mu: got"),
    ({"lr": 0.04}, "lr: got 0.04, allowed: at most 0.0125"),
    ({"digit_pairs": [[3, 3]]}, "digit_pairs: got"),
    ({"record_every": 500, "steps": 400}, "record_every: got 500, allowed: at most steps = 400"),
    ({"rho": 0.0}, "rho: got 0.0, allowed: a number from 0.001 to 1"),
    ({"record_every": 1, "grid": 1000}, "record_every: got 1, allowed: at least"),
    ({"grid": 1000, "dimensions": [64] * 8, "radii": [0.1] * 8, "steps": 1000}, "grid: got 1000, allowed: at most"),
    (
        {"steps": 1_000_000, "grid": 1000, "record_every": 1000, "dimensions": [2, 64], "radii": [0.1, 0.2]},
        "steps: got 1000000, allowed: at most",
    ),
    (
        {"steps_digits": 100_000, "digit_pairs": [[0, 1]] * 45, "vertex_fractions": [0.1, 0.2, 0.3, 0.4, 0.5]},
        "steps_digits: got 100000, allowed: at most",
    ),
]
SMALL = TINY | {"random_problems": 3, "datasets": 2, "steps": 10_000, "steps_depth_one": 6000, "steps_depth_two": 2000}
SMALL |= {"steps_digits": 3000}


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
    radii = sam.Radii.of(norms, [0.3] * 4)
    w = starts[:, None].repeat(1, depth, 1)
    nets = [DiagonalNet(depth, start) for start in starts]
    optimizers = [
        SAM(net.parameters(), torch.optim.SGD, rho=rho, norm=norm, lr=0.05)
        for net, norm, rho in zip(nets, ["l2", *norms[1:]], [0.0, 0.3, 0.3, 0.3], strict=True)
    ]
    for _ in range(50):
        w = w - 0.05 * sam.sam_gradient(w, z, radii)[0]
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
    w, radii = on_the_way._stack(np.full((1, 1, 4), alpha), np.array([rho]), "cpu")
    steps, beta, s, A, _ = runs.amplify(w, torch.from_numpy(MU[None, None]), radii, lr, 300, 100)
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
    radii = sam.Radii.of(["l2", "linf", "none"], [1.0] * 3)
    zero = torch.zeros(3, 2, 4, dtype=torch.float64)
    assert not sam.perturbation(zero, sam.joint_norm(zero), radii).any()


def test_rescaled_runs_equal_the_optimizer_with_the_scalar_divided_out():
    alpha, rho, lr = np.array([[0.05, 0.06, 0.04, 0.05]]), 0.1, 2e-3
    w = torch.from_numpy(alpha)[:, None].repeat(1, 2, 1)
    beta, leader, n = runs.rescale(w, torch.from_numpy(MU[None]), sam.Radii.of(["l2"], [rho]), lr, 100)
    u = alpha[0].copy()
    for step in range(100):
        gradient = -np.concatenate([MU * u, MU * u])
        assert n[step, 0] == pytest.approx(np.linalg.norm(gradient))
        u = u + lr * MU * (u + rho * gradient[:4] / np.linalg.norm(gradient))
        assert leader[step, 0] == (u * u).argmax()
    assert np.allclose(beta[0], u * u, rtol=1e-10)


def steps_of_the_optimizer(net, z, norm, rho, lr, steps):
    optimizer = SAM(net.parameters(), torch.optim.SGD, rho=rho, norm=norm, lr=lr)

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.softplus(-net(z)).mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return net.beta().detach().numpy()


METHODS = {
    "GD": ("l2", 0.0),
    "l2-SAM": ("l2", 0.1),
    "linf-SAM": ("linf", 0.1),
    "unnormalized SAM": ("none", 0.1),
    "unnormalized SAM, radius 1": ("none", 1.0),
}


def test_every_method_of_the_amplification_is_the_optimizers():
    params = chapter.Parameters.resolve(device="cpu", **SHORT | {"scales": [1.2], "steps": 100, "record_every": 100})
    found = experiments.amplification(params)
    run = found.shown[0]
    for k, method in enumerate(on_the_way.METHODS):
        net = DiagonalNet(2, torch.full((4,), 0.12, dtype=torch.float64))
        beta = steps_of_the_optimizer(net, torch.from_numpy(MU[None]), *METHODS[method], params.lr, 100)
        assert np.allclose(found.beta[k, 0, run], beta, rtol=1e-9), method


@pytest.mark.parametrize("position", [0, 1])
def test_every_method_on_digits_is_the_optimizers(params, position):
    """Of the two pairs one has fewer images, and is padded."""
    few = params.model_copy(update={"steps_digits": 6, "digit_pairs": [[0, 1], [3, 8]]})
    found = experiments.digits(few)
    pair = data.digit_pair(*few.digit_pairs[position])
    z, rho = torch.from_numpy(pair.z), few.rho_digits
    alpha = np.sqrt(2) * rho * few.vertex_fractions[0] * pair.strength.max() / np.linalg.norm(pair.strength)
    for k, method in enumerate(many_examples.ON_DIGITS):
        norm, scale = METHODS[method]
        net = DiagonalNet(2, torch.from_numpy(alpha * pair.varies))
        beta = steps_of_the_optimizer(net, z, norm, rho if scale else 0.0, 0.2, 5)
        assert found.loss[5, position, k, 0] == pytest.approx(np.logaddexp(0, -pair.z @ beta).mean(), rel=1e-9)
        strength = (beta * pair.strength).sum() / beta.sum() / pair.strength[pair.varies].mean()
        assert found.effective[5, position, k, 0] == pytest.approx(strength, rel=1e-9), method


def test_every_method_at_depth_one_is_what_its_name_says():
    from companion.analysis.max_margin import max_margin

    params = chapter.Parameters.resolve(device="cpu", **SHORT)
    found = experiments.depth_one(params)
    rng = np.random.default_rng([0, 1])
    z = data.signed_gaussians(rng, 1)[0]
    start = rng.normal(size=12)
    ends = []
    for method in long_run.DEPTH_ONE:
        w = start.copy()
        for _ in range(100):
            gradient = -(z.T @ (1 / (1 + np.exp(z @ w)))) / len(z)
            eps = {"l2-SAM": gradient / np.linalg.norm(gradient), "linf-SAM": np.sign(gradient)}.get(method, 0 * w)
            slopes = 1 / (1 + np.exp(z @ (w + params.rho_depth_one * eps)))
            step = -(z.T @ slopes) / slopes.sum()
            w = w - 0.05 * (np.sign(step) if method == "sign-GD" else step)
        ends.append(w)
    best = max_margin(z, 2).margin
    assert np.allclose(found.ratio[-1, 0], [(z @ w).min() / np.linalg.norm(w) / best for w in ends], rtol=1e-6)
    apart = [np.linalg.norm(w - ends[0]) / np.linalg.norm(ends[0] - start) for w in ends]
    assert np.allclose(found.apart[-1, 0], apart, rtol=1e-6)


def test_every_method_on_several_examples_is_what_its_name_says():
    """The runs behind the limits, their margins, and how far they are from GD, by formulas on one dataset at a time."""
    from companion.analysis.max_margin import max_margin, normalized_margin

    params = chapter.Parameters.resolve(device="cpu", **SHORT)
    found, rho, d = experiments.limits(params), 0.1, 6
    sets = data.within_and_out_of_reach(parameters.random_stream(params, "several examples"), 1, long_run.SIGNED)
    half_dead = rho * np.where(np.arange(d) % 2, long_run.LOW, long_run.HIGH)
    apart, equal = (rho * np.ones(d), rho / 2 * np.ones(d)), (rho * np.ones(d),) * 2
    starts = {"GD": apart, "l2-SAM": apart, "linf-SAM": (half_dead,) * 2}
    starts |= {"GD from equal layers": equal, "l2-SAM from equal layers": equal}
    for row, z in enumerate(sets):
        ends = []
        for method in long_run.MANY:
            u, v = starts[method]
            for step in range(1, 101):
                g = -(z.T @ (1 / (1 + np.exp(z @ (u * v)))))
                gradient = np.concatenate([g * v, g * u])
                name = method.split(" ")[0]
                eps = {"l2-SAM": gradient / np.linalg.norm(gradient), "linf-SAM": np.sign(gradient)}.get(name)
                a, b = (u, v) if eps is None else (u + rho * eps[:d], v + rho * eps[d:])
                slopes = 1 / (1 + np.exp(z @ (a * b)))
                g, size = -(z.T @ slopes) / slopes.sum(), 0.05 / np.sqrt(1 + step / 100)
                u, v = u - size * g * b, v - size * g * a
            ends.append(u * v)
        best = max_margin(z, 1).margin
        ratio = [(z @ beta).min() / np.abs(beta).sum() / best for beta in ends]
        assert np.allclose(found.history[-1, row], ratio, rtol=1e-6)
        shares = [beta / np.abs(beta).sum() for beta in ends]
        assert found.apart[-1, row] == pytest.approx(np.abs(shares[1] - shares[0]).sum(), rel=1e-6)
        assert found.ratio_l2[row] == pytest.approx(normalized_margin(max_margin(z, 2).w, z, 1) / best)
        alive = data.l1_margin(z[:, ::2])
        assert np.isnan(alive) or found.ratio_alive[row] == pytest.approx(ratio[2] * best / alive, rel=1e-6)


def test_every_method_in_the_plane_is_the_optimizers():
    found = experiments.plane(chapter.Parameters.resolve(device="cpu", **SHORT))
    rng = parameters.random_stream(chapter.Parameters.resolve(device="cpu"), "plane")
    z = torch.from_numpy(rng.normal([1.0, 2.0], 0.3, size=(30, 2)))
    for k, method in enumerate(many_examples.PAIR):
        for column, scale in enumerate(found.scales):
            net = DiagonalNet(2, torch.full((2,), 0.1 * scale, dtype=torch.float64))
            beta = steps_of_the_optimizer(net, z, *METHODS[method], 8e-3, int(found.steps[0]))
            assert found.share[0, 0, k, column] == pytest.approx(beta[1] / beta.sum(), rel=1e-9), (method, scale)


def test_runs_have_collapsed_from_scales_below_the_critical_one_and_from_no_other(results):
    runs_ = results.amplification
    assert np.array_equal(runs_.collapsed[-1], runs_.scales < runs_.alpha_c)


def test_the_collapse_boundary_moves_in_proportion_to_the_step_size(results):
    boundary = results.boundary
    assert np.allclose(boundary.lr[0] / boundary.lr, [1, 2, 4])
    shift = boundary.found - 1
    assert np.allclose(shift, shift[0] * boundary.lr / boundary.lr[0], atol=1.01 * boundary.resolution)
    assert abs(shift[0]) > 4 * boundary.resolution


def test_networks_are_compared_by_sams_strength_over_gds_at_the_radius_on_digits(params, monkeypatch):
    strength = np.array([[[[2.0, 4.0], [1.0, np.nan]]]])
    networks_ = many_examples.Networks(np.array([0.5]), strength, strength, strength)
    assert networks_.ratio(0.5).tolist() == [0.5]
    asked = []
    monkeypatch.setattr(many_examples, "train", lambda *given: asked.append(given) or (strength.repeat(2, 0),) * 3)
    few = params.model_copy(update={"rho_digits": 0.123, "run_cnn": True})
    for run in (experiments.relu_mlp, experiments.cnn):
        run(few)
    assert [(given[0], given[3]) for given in asked] == [("ReLU", 0.123), ("convolutional", 0.123)]


def test_runs_on_many_examples_differ_and_start_where_they_should(results):
    history = results.limits.history[0]
    for a in range(5):
        for b in range(a):
            assert not np.allclose(history[:, a], history[:, b], rtol=1e-3), (a, b)
    share = results.plane.share
    assert np.allclose(share[0], 0.5, atol=0.02)
    assert (share[0, :, 0] > share[0, :, 1]).all()


def test_streams_are_independent_and_depend_on_the_seed():
    first, second = (chapter.Parameters.resolve(device="cpu", seed=seed) for seed in (0, 1))
    draws = [parameters.random_stream(p, name).random() for p in (first, second) for name in parameters.STREAMS]
    draws += [torch.rand(1, generator=parameters.initial_weights(p)).item() for p in (first, second)]
    assert len(set(draws)) == len(draws)


# --- theorems on a case computed by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "alpha", "expected"), [(4, [0.9, 3.0], 0.65592), (3, [0.3, 3.0], 0.06607)])
def test_a_coordinate_below_its_gate_stays_where_it_is_when_another_blows_up(depth, alpha, expected):
    """The flow ends at the first blow-up: the dying coordinate has not arrived at 0 or at rho by then."""
    mu, rho = np.array([1.0, 2.0]), 1.0
    end = theory.blow_up_times(np.array(alpha), mu, rho, depth).min()
    assert theory.linf_weights(np.array([end * (1 - 1e-9)]), np.array(alpha), mu, rho, depth)[0, 0] ** depth == (
        pytest.approx(expected, abs=1e-5)
    )


def test_sam_margins_are_those_of_gradient_descent_moved_by_the_shift():
    mu, shift = np.array([1.0, 2.0]), 0.7
    moved = theory.sam_margins(0.3, mu, shift, 0.1, 50)
    assert np.allclose(moved, theory.sam_margins(0.3 - shift, mu, 0.0, 0.1, 50) + shift)
    far = theory.sam_margins(0.0, mu, shift, 0.1, 20_000) - theory.sam_margins(0.0, mu, 0.0, 0.1, 20_000)
    assert far[-1] == pytest.approx(shift, abs=0.01)  # the lead tends to the shift


def test_the_gate_starts_tell_the_exponent_of_depth_three():
    mu, rho = np.array([1.0, 2.0, 3.0]), 0.5
    alpha = rho * (1 + mu[0] / mu * long_run.EXCESS[:3])[None]
    above = alpha[0] - rho
    winners = [int(np.argmax(mu * above**power)) for power in (0, 1, 2)]
    assert len(set(winners)) == 3
    assert theory.linf_limit(alpha, mu, rho, 3)[0] == winners[1]


def test_the_largest_non_negative_margin_matches_an_independent_solver():
    import cvxpy as cp

    from companion.analysis.max_margin import max_margin

    rng = np.random.default_rng(0)
    for _ in range(5):
        z = rng.normal([1.0, 0.5, -1.0], 0.5, size=(8, 3))
        w, t = cp.Variable(3, nonneg=True), cp.Variable()
        cp.Problem(cp.Maximize(t), [z @ w >= t, cp.sum(w) == 1]).solve()
        assert data.nonnegative_margin(z) == pytest.approx(float(t.value), abs=1e-6)
        assert data.nonnegative_margin(z) <= max_margin(z, 1).margin + 1e-9


# --- data and networks that are not diagonal --------------------------------------------------------------------------


def test_digit_pairs_are_signed_by_class_and_by_pixel():
    pair = data.digit_pair(3, 8)
    images = data.digit_images([[0, 1], [3, 8]])
    x, y = images.x[1, :, 0].flatten(1).double().numpy(), images.labels[1].numpy()
    real = y != 0
    assert real.sum() == len(pair.z) == int(images.count[1])
    assert not x[~real].any()
    mean = (y[real, None] * x[real]).mean(0)
    assert np.allclose(pair.strength, np.abs(mean), atol=1e-6)
    assert np.allclose(images.strength[1], pair.strength, atol=1e-6)
    assert np.allclose(np.abs(pair.z), x[real] * pair.varies, atol=1e-6)
    assert (pair.z.mean(0) >= 0).all()
    assert np.array_equal(pair.varies, x[real].std(0) > 0)
    from sklearn.datasets import load_digits

    digits = load_digits()
    assert np.array_equal(y[real] > 0, digits.target[np.isin(digits.target, (3, 8))] == 8)
    assert not images.dark[1, ~real].any()


def test_a_pixel_that_varies_about_zero_keeps_its_weight(monkeypatch):
    """Its strength is zero, but it is no constant pixel."""

    class Two:
        data = np.array([[16.0, 8.0, 4.0], [16.0, 0.0, 4.0]])
        target = np.array([0, 1])

    monkeypatch.setattr(data, "load_digits", Two)
    pair = data.digit_pair(0, 1)
    assert pair.varies.tolist() == [False, True, False]
    assert pair.z.tolist() == [[0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]


class Torch(torch.nn.Module):
    """One network of a kind out of torch's own layers."""

    def __init__(self, kind, weights):
        super().__init__()
        if kind == "ReLU":
            first, second = torch.nn.Linear(64, 32, bias=False), torch.nn.Linear(32, 1, bias=False)
            self.net = torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.ReLU(), second)
            given = [weights[0].T, weights[1].T]
        else:
            first, second = torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1)
            layers = (first, torch.nn.ReLU(), second, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(512, 1))
            self.net = torch.nn.Sequential(*layers)
            given = [*weights[:4], weights[4].T, weights[5]]
        for parameter, value in zip(self.net.parameters(), given, strict=True):
            parameter.data.copy_(value)

    def forward(self, x):
        return self.net(x)[:, 0]


@pytest.mark.parametrize(("kind", "steps"), [("ReLU", 12), ("convolutional", 3)])
def test_networks_train_as_the_optimizer_trains_torchs_own_layers(kind, steps, monkeypatch):
    images = data.digit_images([[0, 1], [2, 7]])
    drawn = networks.KINDS[kind].draw(2, torch.Generator().manual_seed(5))
    seen = []
    right = networks.loss_and_gradients

    def watched(logits, weights, x, images):
        seen.append([w.detach().clone() for w in weights])
        return right(logits, weights, x, images)

    monkeypatch.setattr(networks, "loss_and_gradients", watched)
    networks.train(kind, drawn, images, 0.3, steps, (1e-9,))
    x, y = images.x[1][images.labels[1] != 0], images.labels[1][images.labels[1] != 0]
    for run, rho in ((1, 0.0), (3, 0.3)):  # the second seed, under GD and under SAM
        net = Torch(kind, [part[1] for part in drawn])
        optimizer = SAM(net.parameters(), torch.optim.SGD, rho=rho, lr=networks.LR)
        for step in range(steps):

            def closure(net=net, optimizer=optimizer):
                optimizer.zero_grad()
                loss = torch.nn.functional.softplus(-y * net(x)).mean()
                loss.backward()
                return loss

            mine = Torch(kind, [part[1, run] for part in seen[2 * step]])
            for a, b in zip(mine.parameters(), net.parameters(), strict=True):
                assert torch.allclose(a, b, rtol=1e-4, atol=1e-5), step
            optimizer.step(closure)


@pytest.mark.parametrize("kind", ["ReLU", "convolutional"])
def test_strength_and_background_are_what_their_formulas_say(kind):
    images = data.digit_images([[2, 7], [0, 1]])
    weights = networks.KINDS[kind].draw(2, torch.Generator().manual_seed(1))
    stacked = [part.expand(2, *part.shape) for part in weights]
    found = networks.explain(networks.KINDS[kind].logits, stacked, images)
    real = images.labels[0] != 0
    x = images.x[0][real].clone().requires_grad_()
    net = Torch(kind, [part[1] for part in weights])
    logits = net(x)
    J = torch.autograd.grad(logits.sum(), x, retain_graph=True)[0].abs().mean(0).flatten()
    assert found[0, 0, 1] == pytest.approx(float((J * images.strength[0]).sum() / J.sum()), rel=1e-4)
    if kind == "ReLU":
        assert np.isnan(found[1]).all()
        return
    features = net.net[:4](x)
    logits = net.net[4:](features)[:, 0]
    slope = torch.autograd.grad(logits.sum(), features)[0].mean((-2, -1))
    maps = torch.relu((slope[..., None, None] * features).sum(1) * logits.sign()[:, None, None])
    dark = images.dark[0][real]
    assert found[1, 0, 1] == pytest.approx(((maps * dark).sum() / maps.sum()).item(), rel=1e-4)


def test_networks_are_looked_at_the_first_time_that_they_reach_a_loss(params):
    """Steps and strengths of one network, by running it alone."""
    drawn = networks.KINDS["ReLU"].draw(2, torch.Generator().manual_seed(3))
    images = data.digit_images([[0, 1]])
    strength, _, steps = networks.train("ReLU", drawn, images, 0.3, 200, (0.5, 0.1))
    assert (steps[0] < steps[1]).any()
    assert not (steps[0] >= steps[1]).any()
    weights, x = [part[None, :1] for part in drawn], images.x[:, None]
    for step in range(int(steps[0, 0, 1, 0]) + 1):
        loss, gradients = networks.loss_and_gradients(networks.KINDS["ReLU"].logits, weights, x, images)
        assert (loss.item() <= 0.5) == (step == steps[0, 0, 1, 0])
        moves = networks.ascent(gradients, torch.tensor([[0.3]]))
        ahead = [w + move for w, move in zip(weights, moves, strict=True)]
        if step < steps[0, 0, 1, 0]:
            _, gradients = networks.loss_and_gradients(networks.KINDS["ReLU"].logits, ahead, x, images)
            weights = [w - networks.LR * g for w, g in zip(weights, gradients, strict=True)]
    assert strength[0, 0, 1, 0] == pytest.approx(
        float(networks.explain(networks.KINDS["ReLU"].logits, weights, images)[0, 0, 0]), rel=1e-4
    )


def test_digits_are_compared_at_equal_loss(results):
    digits = results.digits
    for method in range(3):
        at = int((digits.loss[:, 0, method, 0] <= digits.target).argmax())
        assert digits.loss[at - 1, 0, method, 0] > digits.target
        assert digits.equal[0, method, 0] == digits.effective[at, 0, method, 0]
        strength = (digits.maps[0, method, 0] * digits.strength[0]).sum()
        assert strength / digits.equal[0, method, 0] == pytest.approx(
            digits.strength[0][data.digit_pair(0, 1).varies].mean(), rel=1e-9
        )


def test_the_vertex_of_a_pair_of_digits_starts_at_the_given_fraction(params, results):
    pair = data.digit_pair(*params.digit_pairs[0])
    few = params.model_copy(update={"steps_digits": 1})
    loss = experiments.digits(few).loss[0, 0, 0]
    for fraction, first in zip(params.vertex_fractions, loss, strict=True):
        alpha = np.sqrt(2) * params.rho_digits * fraction * pair.strength.max() / np.linalg.norm(pair.strength)
        assert theory.initial_vertex(alpha * np.ones(64), pair.strength, params.rho_digits) == pytest.approx(
            fraction * pair.strength.max()
        )
        margins = alpha**2 * pair.z[:, pair.varies].sum(-1)
        assert first == pytest.approx(np.logaddexp(0, -margins).mean(), rel=1e-9)


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_verdicts_are_sound(params, results):
    verdicts = chapter.verify(params, results)
    assert verdicts.sound, str(verdicts)
    assert [v.claim for v in verdicts if not v.decided] == ["C8d"]


def test_swaps_come_within_one_record_of_the_prediction(params, results):
    measured = chapter.verify(params, results)["C5e"].measured
    assert measured["swaps"] >= 8
    assert measured["off"] <= params.record_every


def test_where_nothing_moves_nothing_is_decided(results):
    params = chapter.Parameters.resolve(device="cpu", **EXTREMES[5])
    still = {"amplification": experiments.amplification(params), "limits": experiments.limits(params)}
    verdicts = chapter.verify(params, replaced(results, **still))
    for claim in ("C5a", "C5b", "C5e", "C6a", "C7b", "C9"):
        assert not verdicts[claim].decided, claim


def replaced(results, **changed):
    return chapter.Results(**vars(results) | changed)


@pytest.mark.parametrize("broken", ["descent instead of ascent", "no normalization"])
def test_broken_perturbation_makes_the_amplification_claims_fail(params, results, monkeypatch, broken):
    right = runs.perturbation

    def wrong(gradient, norm, radii):
        return -right(gradient, norm, radii) if broken.startswith("descent") else radii.l2 * gradient

    monkeypatch.setattr(runs, "perturbation", wrong)
    few = params.model_copy(update={"steps": 2000})
    verdicts = chapter.verify(few, replaced(results, amplification=experiments.amplification(few)))
    for claim in ("C5a", "C5b", "C5e", "C6a", "C7c"):
        assert not verdicts[claim].holds, claim


def test_layerwise_norm_misses_the_predicted_swaps(params, results, monkeypatch):
    def layerwise(gradient):
        return (gradient * gradient).sum(-1, keepdim=True).sqrt()

    monkeypatch.setattr(runs, "joint_norm", layerwise)
    few = params.model_copy(update={"steps": 2000})
    assert claims.swaps(replaced(results, amplification=experiments.amplification(few)), "l2-SAM")["late"] > 10


def test_gradient_descent_in_the_place_of_sam_makes_the_claims_about_limits_fail(params, results):
    one, found = results.depth_one, results.limits
    gd_first = one.margin[:, [0, 0, 0, 3]], one.apart[..., [0, 0, 0, 3]]
    depth_one = type(one)(**vars(one) | {"margin": gd_first[0], "apart": gd_first[1]})
    limits = type(found)(**vars(found) | {"lead": found.lead * [[1], [0], [1]], "apart": 0 * found.apart})
    verdicts = chapter.verify(params, replaced(results, depth_one=depth_one, limits=limits))
    for claim in ("C1a", "C1c", "C4a", "C4b"):
        assert not verdicts[claim].holds, claim


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ((2, 1, 2, 3), True),
        ((3,), True),
        ((1, 0), True),
        ((1, 3), False),
        ((1, 2, 1), False),
        ((3, 1, 2), True),
        ((1, 2, 0, 1), False),
    ],
)
def test_minor_first_means_down_then_up_by_one(sequence, expected):
    assert claims.is_minor_first(sequence) is expected


def test_figures_draw_what_odd_parameters_give(results, recwarn):
    params = chapter.Parameters.resolve(device="cpu", **EXTREMES[1])
    runs_ = experiments.amplification(params)
    for draw in (figures.phase, figures.parabola, figures.heat, figures.ablation):
        draw(runs_)
    figures.networks(results.relu_mlp, results.cnn)
    assert not [str(warning.message) for warning in recwarn if "companion" in str(warning.filename)]


def test_networks_are_trained_pair_after_pair_or_together_alike(params, monkeypatch):
    pairs = [[0, 1], [2, 7]]
    weights = networks.KINDS["ReLU"].draw(2, torch.Generator().manual_seed(0))
    alone = [networks.train("ReLU", weights, data.digit_images([pair]), 0.3, 300, (0.5,)) for pair in pairs]
    together = networks.train("ReLU", weights, data.digit_images(pairs), 0.3, 300, (0.5,))
    for k in (0, 2):
        joined = np.concatenate([part[k] for part in alone], axis=1)
        assert np.allclose(together[k], joined, rtol=1e-3)
