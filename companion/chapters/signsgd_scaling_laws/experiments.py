"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

import numpy as np

from companion.analysis.rates import loglog_slope
from companion.chapters.signsgd_scaling_laws.equations import (
    METHODS,
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
    programmed_exponents,
)
from companion.chapters.signsgd_scaling_laws.features import (
    Sketch,
    Spectrum,
    approximation_error,
    equivalent_spectrum,
    kept_error,
    sketch,
    sketched_spectrum,
    sketches,
)
from companion.chapters.signsgd_scaling_laws.frontier import (
    Frontier,
    best_constant,
    constant_frontier,
    decayed_frontier,
    local_exponent,
    window_exponent,
)
from companion.chapters.signsgd_scaling_laws.parameters import Parameters
from companion.chapters.signsgd_scaling_laws.runs import simulate
from companion.results import experiment

RACED = ((0.4, 0.3), (1.0, 0.3), (1.0, 1.3))
TERMS = ((1.0, 0.3), (1.0, 0.7), (1.0, 1.3), (0.75, 1.0), (0.4, 0.3), (0.4, 0.9))
DRIFTING = ((1.0, 0.3), (1.0, 0.6))
POINTS = (
    (1.0, 0.3), (1.0, 0.7), (1.0, 1.3), (0.75, 1.0), (0.75, 1.25), (0.6, 1.1), (0.4, 0.3), (0.4, 0.9), (0.6, 1.4),
)  # fmt: skip
NOISY = ((1.0, 1.3), (0.75, 1.0), (0.75, 1.25), (0.6, 1.1))  # of phase III, where the exponents differ
QUIET = ((1.0, 0.3), (1.0, 0.7), (0.4, 0.3))
SCHEDULED = ((1.0, 0.3), (1.0, 0.7), (0.6, 1.4), (0.4, 0.3))
SKETCHED = ((1.0, 0.3), (0.4, 0.3))
STABLE = 0.2  # step sizes of the plain residual, as a share of the largest stable one
FITTED_FROM = 256  # width from which exponents of the approximation error are fitted
CLOCK = (-4, 12)  # decades of the clock for runs on sketches
WINDOW = (0.2, 0.02)  # shares of the first risk between which simulated drifts are fitted
NEAR_WINDOW = (1e5, 1e9)  # of compute
DECAYED_FACTOR = 4  # step size of the runs that decay, in units of gamma_sim: noise has to be felt


def _spectra(problems: list[Sketch]) -> dict[bool, list[Spectrum]]:
    return {signed: [sketched_spectrum(p, signed) for p in problems] for signed in (False, True)}


def _rates(spectra: dict[bool, list[Spectrum]], lr: float) -> dict[str, np.ndarray]:
    """Step sizes of the four methods on the sketches.

    With the residual's sign they are chosen for equal noise floors where noise dominates; with the plain residual
    they are a fixed share of the largest stable one.
    """
    reach = {m: np.array([m.speed / s.noise_sum for s in spectra[m.signed_features]]) for m in METHODS}
    return {m.name: lr * reach[m] / reach[SIGN] if m.signed_residual else STABLE * reach[m] for m in METHODS}


@dataclass(frozen=True)
class Races:
    """Simulated mean risks beside the equations. P points (α, β), T times."""

    #: ``(P, 2)``
    points: np.ndarray
    #: ``(T,)``
    steps: np.ndarray
    #: by method: mean over chains and sketches, ``(P, T)``
    simulated: dict[str, np.ndarray]
    #: the spread of single runs, their 10 and 90 % quantiles, ``(2, P, T)``
    spread: dict[str, np.ndarray]
    #: the equations of the modes; for SGD the exact recursion, ``(P, T)``
    equation: dict[str, np.ndarray]
    #: for signSGD with the exact drift, ``(P, T)``
    arcsine: np.ndarray
    #: mean over sketches of simulated over predicted risk, ``(P, T)``, by method; and for signSGD with exact drift
    ratio: dict[str, np.ndarray]
    arcsine_ratio: np.ndarray
    #: the runs of SGD over the equation of signSGD, ``(P, T)``
    mistaken: np.ndarray


@experiment
def races(params: Parameters) -> Races:
    """All four methods on sampled sketches, against their equations."""
    rng = params.rng(0)
    problems = [sketch(params.M_sim, *point, rng) for point in RACED for _ in range(params.sketches)]
    spectra = _spectra(problems)
    lr = _rates(spectra, params.gamma_sim)
    steps = np.unique(np.geomspace(10, params.N_sim, 13).astype(int))
    runs = simulate(problems, lr, steps, params.chains, params.generator(1))
    shape = (len(RACED), params.sketches)
    times = np.repeat(steps[None].astype(float), len(problems), 0)
    equation = {}
    for method in METHODS[1:]:
        curves = risk_curves(spectra[method.signed_features], method, lr[method.name][:, None], CLOCK)
        equation[method.name] = curves.at(times)[:, 0]
    sgd = zip(problems, lr[SGD.name], strict=True)
    equation[SGD.name] = np.stack([sgd_recursion(p, rate, params.N_sim)[steps] for p, rate in sgd])
    arcsine = arcsine_risk(problems, spectra[True], lr[SIGN.name], params.N_sim)[:, steps]
    mean = {name: risk.mean(1) for name, risk in runs.risk.items()}

    def by_point(values: np.ndarray) -> np.ndarray:
        return values.reshape(*shape, -1).mean(1)

    def spread(values: np.ndarray) -> np.ndarray:
        return np.quantile(values.reshape(shape[0], -1, len(steps)), (0.1, 0.9), axis=1)

    return Races(
        points=np.array(RACED),
        steps=steps,
        simulated={name: by_point(values) for name, values in mean.items()},
        spread={name: spread(values) for name, values in runs.risk.items()},
        equation={name: by_point(values) for name, values in equation.items()},
        arcsine=by_point(arcsine),
        ratio={name: by_point(mean[name] / equation[name]) for name in mean},
        arcsine_ratio=by_point(mean[SIGN.name] / arcsine),
        mistaken=by_point(mean[SGD.name] / equation[SIGN.name]),
    )


@dataclass(frozen=True)
class Terms:
    """How approximation error and noise sum depend on the width."""

    #: ``(P, 2)``
    points: np.ndarray
    #: widths of the deterministic equivalent, ``(W,)``
    widths: np.ndarray
    #: least risk of M random features; of the M largest coordinates, ``(P, W)``
    sketched: np.ndarray
    kept: np.ndarray
    #: widths of the sampled sketches, ``(V,)``
    sampled_widths: np.ndarray
    #: their least risk, mean over sketches, ``(P, V)``
    sampled: np.ndarray
    #: decays α of the noise sums, ``(A,)``
    alphas: np.ndarray
    #: ``(sum sqrt(K_ii))^2`` for signed features, ``tr(K)^2`` for plain ones, means over sketches, ``(A, V)``
    signed_noise: np.ndarray
    plain_noise: np.ndarray

    def approximation_slopes(self, which: str) -> np.ndarray:
        """Exponents of the least risk in 1/M over the greater widths, ``(P,)``."""
        great = self.widths >= FITTED_FROM
        return -loglog_slope(self.widths[great], {"sketched": self.sketched, "kept": self.kept}[which][:, great])

    def noise_slopes(self, which: str) -> np.ndarray:
        """Exponents of the noise sums in M, ``(A,)``."""
        return loglog_slope(self.sampled_widths, {"signed": self.signed_noise, "plain": self.plain_noise}[which])

    @property
    def approximation_theory(self) -> np.ndarray:
        """Predicted exponents of the least risk, ``(P,)``."""
        return np.array([approximation_exponent(*point) for point in self.points])

    @property
    def noise_theory(self) -> np.ndarray:
        """Predicted exponents of the noise sum, ``(A,)``."""
        return np.array([noise_exponent(alpha) for alpha in self.alphas])


@experiment
def terms(params: Parameters) -> Terms:
    """Approximation error and noise sum against the width."""
    rng = params.rng(2)
    widths = np.array([16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0])
    sampled_widths = np.array([16, 32, 64, 128])
    alphas = sorted({alpha for alpha, _ in TERMS})
    sampled = {point: np.zeros(len(sampled_widths)) for point in TERMS}
    signed, plain = np.zeros((2, len(alphas), len(sampled_widths)))
    share = 1 / params.term_sketches
    for row, column in np.ndindex(signed.shape):
        betas = [beta for alpha, beta in TERMS if alpha == alphas[row]]
        for _ in range(params.term_sketches):
            problems = sketches(sampled_widths[column], alphas[row], betas, rng)
            for beta, problem in zip(betas, problems, strict=True):
                sampled[alphas[row], beta][column] += share * problem.floor
            signed[row, column] += share * problems[0].scale.sum() ** 2
            plain[row, column] += share * np.trace(problems[0].covariance) ** 2
    return Terms(
        points=np.array(TERMS),
        widths=widths,
        sketched=np.array([[approximation_error(width, *point) for width in widths] for point in TERMS]),
        kept=np.array([[kept_error(width, *point) for width in widths] for point in TERMS]),
        sampled_widths=sampled_widths,
        sampled=np.array([sampled[point] for point in TERMS]),
        alphas=np.array(alphas),
        signed_noise=signed,
        plain_noise=plain,
    )


@dataclass(frozen=True)
class Floors:
    """Late risk with constant step sizes. A decays α at β = 0.3, three step sizes g, 2g and 4g."""

    #: ``(A,)``
    alphas: np.ndarray
    #: step sizes of signSGD, ``(3,)``; SGD's are in the same proportion
    gammas: np.ndarray
    #: time-averaged risk, mean over sketches, by method ``(A, 3)``
    measured: dict[str, np.ndarray]
    #: closed form, mean over sketches, ``(A, 3)``
    closed: dict[str, np.ndarray]


@experiment
def floors(params: Parameters) -> Floors:
    """Runs of signSGD and SGD that start at the optimum and climb to their floors."""
    rng, alphas, factors = params.rng(3), (0.4, 1.0), np.array([0.5, 1.0, 2.0])
    problems = [sketch(64, alpha, 0.3, rng) for alpha in alphas for _ in range(params.sketches)]
    spectra = _spectra(problems)
    lr = _rates(spectra, params.floor_gamma)
    lr[SGD.name] = lr[SGD.name] / 2  # so that twice of it is far from unstable
    late = np.unique(np.linspace(params.floor_steps / 3, params.floor_steps, 100).astype(int))
    repeated = [p for p in problems for _ in factors]
    rates = {m.name: (lr[m.name][:, None] * factors).ravel() for m in (SIGN, SGD)}
    chains = max(params.chains // 3, 2)
    runs = simulate(repeated, rates, late, chains, params.generator(4), at_optimum=True)
    shape = (len(alphas), params.sketches, len(factors))
    closed = {
        m.name: np.array(
            [
                stationary_risk(m, rate * factors, p.floor, s.noise_sum)
                for p, s, rate in zip(problems, spectra[m.signed_features], lr[m.name], strict=True)
            ]
        )
        for m in (SIGN, SGD)
    }
    return Floors(
        alphas=np.array(alphas),
        gammas=params.floor_gamma * factors,
        measured={name: risk.mean((1, 2)).reshape(shape).mean(1) for name, risk in runs.risk.items()},
        closed={name: value.reshape(shape).mean(1) for name, value in closed.items()},
    )


@dataclass(frozen=True)
class Spectra:
    """Noise of a step in the eigenbasis of K, for one sketch with α = 1."""

    #: number of the eigenvalue, from the largest, ``(M,)``
    index: np.ndarray
    #: eigenvalues of K: the noise of plain features, ``(M,)``
    plain: np.ndarray
    #: diagonal of the sign covariance: the noise of signed features, ``(M,)``
    signed: np.ndarray
    #: ``2/pi M lam_j / tr K + 1 - 2/pi``, ``(M,)``
    formula: np.ndarray

    def tail(self, which: str) -> float:
        """Exponent of the spectrum in 1/j over the second and third quarter of the modes."""
        half = slice(len(self.index) // 4, 3 * len(self.index) // 4)
        return float(-loglog_slope(self.index[half], {"signed": self.signed, "plain": self.plain}[which][half]))

    @property
    def level(self) -> float:
        """Mean of the signed noise over that range."""
        half = slice(len(self.index) // 4, 3 * len(self.index) // 4)
        return float(self.signed[half].mean())


@experiment
def spectra(params: Parameters) -> Spectra:
    """The noise covariance of plain and of signed features."""
    problem = sketch(params.spectrum_M, 1.0, 0.3, params.rng(5))
    values, vectors = np.linalg.eigh(problem.covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    signed = (vectors * (problem.sign_covariance @ vectors)).sum(0)
    formula = 2 / np.pi * len(values) * values / values.sum() + 1 - 2 / np.pi
    return Spectra(np.arange(1, len(values) + 1), values, signed, formula)


@dataclass(frozen=True)
class Drifts:
    """Exponents in N of the risk before approximation and noise are felt."""

    #: points of the equations, ``(P, 2)``
    points: np.ndarray
    #: by method, ``(P,)``
    equation: dict[str, np.ndarray]
    #: predicted without and with normalization, ``(P,)``
    plain: np.ndarray
    normalized: np.ndarray
    #: steps and mean risk of simulated runs at α = 1, β = 0.3, by method, ``(T,)``
    steps: np.ndarray
    risk: dict[str, np.ndarray]
    #: exponents of their sketches, ``(sketches,)``
    simulated: dict[str, np.ndarray]


@experiment
def drifts(params: Parameters) -> Drifts:
    """Drift exponents: of the equations at a great width, and of simulated runs, Adam and Signum among them."""
    width, found = 10.0**params.drift_width, {m.name: [] for m in METHODS}
    for point in DRIFTING:
        for method in METHODS:
            spectrum = equivalent_spectrum(width, *point, method.signed_features)
            # so small a step that noise is not felt
            reach = method.speed / spectrum.noise_sum
            lr = reach * np.sqrt(spectrum.floor) if method.signed_residual else 0.01 * reach
            curves = risk_curves([spectrum], method, np.array([[lr]]), (-3, 12))
            low = max(3e-4, 30 * spectrum.floor)
            found[method.name].append(local_exponent(curves, 3e-2, low)[0, 0])
    rng = params.rng(6)
    problems = [sketch(params.drift_M, 1.0, 0.3, rng) for _ in range(params.sketches)]
    lr = _rates(_spectra(problems), params.drift_gamma)
    lr |= {"Adam": lr[SIGN.name], "Signum": lr[SIGN.name] / 3}
    steps = np.unique(np.geomspace(1, params.drift_N, 120).astype(int))
    runs = simulate(problems, lr, steps, max(params.chains // 3, 2), params.generator(7))
    mean = {name: risk.mean(1) for name, risk in runs.risk.items()}
    start = np.array([p.floor + p.optimum @ p.covariance @ p.optimum for p in problems])
    exponents = {
        name: np.array(
            [window_exponent(steps, r, high=WINDOW[0] * s, low=WINDOW[1] * s) for r, s in zip(risk, start, strict=True)]
        )
        for name, risk in mean.items()
    }
    return Drifts(
        points=np.array(DRIFTING),
        equation={name: np.array(values) for name, values in found.items()},
        plain=np.array([drift_exponent(*point, False) for point in DRIFTING]),
        normalized=np.array([drift_exponent(*point, True) for point in DRIFTING]),
        steps=steps,
        risk={name: risk.mean(0) for name, risk in mean.items()},
        simulated=exponents,
    )


@dataclass(frozen=True)
class Frontiers:
    """Compute-optimal frontiers of the deterministic equivalent. P points, F budgets."""

    #: ``(P, 2)``
    points: np.ndarray
    #: ``(F,)``
    compute: np.ndarray
    #: least risk by method, ``(P, F)``; NaN where the method was not run
    risk: dict[str, np.ndarray]
    #: best width, ``(P, F)``
    width: dict[str, np.ndarray]
    #: slopes over the near and the far window, ``(P, 2)``
    slope: dict[str, np.ndarray]
    #: whether grids held every optimum, ``(P,)``
    interior: np.ndarray
    #: predicted slopes of SGD and signSGD, by linear program in phase IV, ``(P, 2)``
    predicted: np.ndarray
    #: risk over compute for each width at the point (0.6, 1.1), by method, ``(W, F)``, and the widths
    by_width: dict[str, np.ndarray]
    widths: np.ndarray

    def rows(self, points: tuple) -> list[int]:
        """Where these points are."""
        return [int(np.flatnonzero((self.points == point).all(1))[0]) for point in points]


def _compute(far: int) -> np.ndarray:
    return np.logspace(5, far, 2 * (far - 5) + 1)


def _slopes(frontier: Frontier, far: int) -> list[float]:
    return [frontier.slope(*NEAR_WINDOW), frontier.slope(10.0 ** (far - 4), 10.0**far)]


def _predicted(point: tuple[float, float]) -> list[float]:
    pair = [frontier_exponents(*point, method)[0] for method in (SGD, SIGN)]
    return [programmed_exponents(*point, m)[0] if np.isnan(e) else e for m, e in zip((SGD, SIGN), pair, strict=True)]


@experiment
def frontiers(params: Parameters) -> Frontiers:
    """Frontiers of SGD and signSGD over the plane; in phase III of the two methods between, too."""
    compute = _compute(params.far)
    per_decade = (params.widths_per_decade, params.rates_per_decade)
    shape = (len(POINTS), len(compute))
    risk, width = ({m.name: np.full(shape, np.nan) for m in METHODS} for _ in range(2))
    slope = {m.name: np.full((len(POINTS), 2), np.nan) for m in METHODS}
    interior, by_width, widths = np.ones(len(POINTS), dtype=bool), {}, None
    for row, point in enumerate(POINTS):
        for method in METHODS if point in NOISY else (SGD, SIGN):
            frontier, _ = constant_frontier(*point, method, compute, per_decade)
            risk[method.name][row], width[method.name][row] = frontier.risk, frontier.width
            slope[method.name][row] = _slopes(frontier, params.far)
            interior[row] &= frontier.interior
            if point == (0.6, 1.1):
                by_width[method.name], widths = frontier.by_width, frontier.widths
    predicted = np.array([_predicted(point) for point in POINTS])
    return Frontiers(np.array(POINTS), compute, risk, width, slope, interior, predicted, by_width, widths)


@dataclass(frozen=True)
class Plane:
    """Measured difference of the slopes, signSGD's less SGD's, over the plane."""

    #: ``(A,)``
    alpha: np.ndarray
    #: ``(B,)``
    beta: np.ndarray
    #: far window, ``(B, A)``
    measured: np.ndarray
    #: from the closed forms, NaN in phase IV, ``(B, A)``
    predicted: np.ndarray


@experiment
def plane(params: Parameters) -> Plane:
    """Both frontiers on a grid of the plane, three budgets each."""
    alpha = np.linspace(0.55, 1.25, params.map_points)
    beta = np.linspace(0.2, 1.7, params.map_points)
    compute = np.logspace(params.far - 4, params.far, 3)
    measured, predicted = np.empty((2, len(beta), len(alpha)))
    for place in np.ndindex(measured.shape):
        point = alpha[place[1]], beta[place[0]]
        sgd, sign = (constant_frontier(*point, method, compute, (2, 6))[0] for method in (SGD, SIGN))
        measured[place] = sign.slope(compute[0], compute[-1]) - sgd.slope(compute[0], compute[-1])
        predicted[place] = frontier_exponents(*point, SIGN)[0] - frontier_exponents(*point, SGD)[0]
    return Plane(alpha, beta, measured, predicted)


@dataclass(frozen=True)
class Schedules:
    """signSGD with a decaying step size (WSD) against the best constant one."""

    #: points of the deterministic equivalent, ``(P, 2)``
    points: np.ndarray
    #: ``(F,)``
    compute: np.ndarray
    #: risk with decay over risk with constant steps, ``(P, F)``
    ratio: np.ndarray
    #: gain in slope over the near and the far window, ``(P, 2)``
    gain: np.ndarray
    #: slopes with decay, ``(P, 2)``
    slope: np.ndarray
    #: points of the sampled sketches, ``(Q, 2)``, and their budgets, ``(E,)``
    sketched_points: np.ndarray
    sketched_compute: np.ndarray
    #: geometric means over groups of sketches, constant and decayed, ``(Q, 2, E)``
    sketched_risk: np.ndarray
    #: gain in slope on sampled sketches, ``(Q,)``
    sketched_gain: np.ndarray
    #: simulated: final risk with decay over that with the same constant step size, ``(Q, sketches)``
    simulated: np.ndarray
    #: what the equations say, ``(Q, sketches)``
    simulated_equation: np.ndarray


def _sketched(params: Parameters, point: tuple[float, float], compute: np.ndarray, part: int) -> np.ndarray:
    """Frontiers on sampled sketches, constant and decayed, geometric means over groups, ``(2, E)``."""
    rng = params.rng(8, part)
    widths = np.array(sorted(set(params.sketch_widths)), dtype=float)
    logs = []
    for _ in range(params.sketch_groups):
        problems = [sketched_spectrum(sketch(int(width), *point, rng), True) for width in widths]
        constant = best_constant(problems, widths, SIGN, compute, 6)
        decayed = decayed_frontier(constant, problems, SIGN, params.decay_fraction, 5)
        logs.append(np.log([_smooth(constant), _smooth(decayed)]))
    return np.exp(np.mean(logs, axis=0))


def _smooth(frontier: Frontier) -> np.ndarray:
    """Least of a parabola through all widths that were tried: single sketches are rough. ``(F,)``."""
    found = []
    for column in frontier.by_width.T:
        tried = np.isfinite(column)
        x, y = np.log(frontier.widths[tried]), np.log(column[tried])
        near = np.argsort(np.abs(x - x[y.argmin()]))[:7]
        a, b, c = np.polyfit(x[near], y[near], 2)
        found.append(c - b**2 / (4 * a) if a > 0 and x.min() <= -b / (2 * a) <= x.max() else y.min())
    return np.exp(found)


@experiment
def schedules(params: Parameters) -> Schedules:
    """WSD on the deterministic equivalent, on sampled sketches and in simulation."""
    compute = np.logspace(5, params.far, params.far - 5 + 1)
    per_decade = (params.widths_per_decade, params.rates_per_decade)
    ratio, gain, slope = [], [], []
    for point in SCHEDULED:
        constant, problems = constant_frontier(*point, SIGN, compute, per_decade)
        decayed = decayed_frontier(constant, problems, SIGN, params.decay_fraction, params.rates_per_decade)
        ratio.append(decayed.risk / constant.risk)
        slope.append(_slopes(decayed, params.far))
        gain.append(np.subtract(slope[-1], _slopes(constant, params.far)))
    budgets = np.geomspace(1e3, 5e4, 4)
    on_sketches = np.array([_sketched(params, point, budgets, part) for part, point in enumerate(SKETCHED)])
    slopes = -loglog_slope(budgets, on_sketches)
    simulated, equation = _simulated_decay(params)
    return Schedules(
        np.array(SCHEDULED), compute, np.array(ratio), np.array(gain), np.array(slope), np.array(SKETCHED), budgets,
        on_sketches, slopes[:, 1] - slopes[:, 0], simulated, equation,
    )  # fmt: skip


def _simulated_decay(params: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Final risk with a decaying step size over that with a constant one, simulated and by the equations."""
    rng, N = params.rng(9), params.N_sim
    problems = [sketch(params.M_sim, *point, rng) for point in SKETCHED for _ in range(params.sketches)]
    start = np.repeat([(1 - params.decay_fraction) * N, N], len(problems))
    lr = np.full(len(problems), DECAYED_FACTOR * params.gamma_sim)
    runs = simulate(problems * 2, {SIGN.name: np.tile(lr, 2)}, np.array([N]), params.chains, params.generator(10),
                    decay_from=start)  # fmt: skip
    decayed, constant = runs.risk[SIGN.name].mean((1, 2)).reshape(2, len(SKETCHED), -1)
    signed = [sketched_spectrum(p, True) for p in problems]
    steps = np.full((len(problems), 1), float(N))
    falling = decayed_risk(signed, SIGN, lr[:, None], steps[:, 0], params.decay_fraction, CLOCK)[:, 0]
    level = risk_curves(signed, SIGN, lr[:, None], CLOCK).at(steps)[:, 0, 0]
    return decayed / constant, (falling / level).reshape(decayed.shape)


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    races: Races
    terms: Terms
    floors: Floors
    spectra: Spectra
    drifts: Drifts
    frontiers: Frontiers
    plane: Plane
    schedules: Schedules


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        races=races(params),
        terms=terms(params),
        floors=floors(params),
        spectra=spectra(params),
        drifts=drifts(params),
        frontiers=frontiers(params),
        plane=plane(params),
        schedules=schedules(params),
    )
