"""Claims, the checks that can refute them, and the verdicts that come of it.

A chapter declares its claims before it runs anything. Each claim has one *criterion*, an expression over named
measured values, and two measurements: of the run in which it should hold, and of the *control*, a run in which it
must not. The same criterion judges both, and what is printed is what is evaluated:

>>> def slope(results, run):
...     return {"slope": results[run]}
>>> gap = Claim(
...     id="C1", says="The gap falls like 1/K", criterion="-1.1 <= slope <= -0.9", reason="the theorem's exponent",
...     measure=slope, on="GD", control=Control("with noise", on="noisy GD"), figure="gaps")
>>> verdicts = judge([gap], {"GD": -1.02, "noisy GD": -0.5}, "demo", Parameters.resolve(device="cpu"))
>>> print(verdicts.summary())
C1 reproduced, control refuted
"""

import ast
import html
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from simpleeval import SimpleEval
from tabulate import tabulate

from companion.parameters import Parameters

MIME = "application/vnd.companion.verdicts+json"

Stance = Literal["reproduced", "restated", "added", "refuted", "undecided"]
Measured = Mapping[str, Any]
Measure = Callable[..., Measured]


class Undecided(Exception):
    """Raised by a measurement that cannot be made here; its message is the reason, e.g. which data are missing."""


@dataclass(frozen=True)
class Control:
    """A run on which the claim's criterion must come out false.

    Attributes
    ----------
    says : what is different in this run, e.g. ``"with-replacement SGD"``
    on : the name of that run, given to the claim's own ``measure``
    measure : where the run cannot be had by a name, a measure of its own: results to the same measured values
    why : why the control needs a measure of its own
    """

    says: str
    on: str | None = None
    measure: Measure | None = None
    why: str | None = None


@dataclass(frozen=True)
class Claim:
    """One falsifiable sentence about a paper, with the check that decides it.

    Attributes
    ----------
    id : ``C1``, ``C2a``, …
    says : the sentence
    criterion : comparison over the measured names, e.g. ``"0.7 <= slope <= 1"``; evaluated as written. A function of
        the parameters where the theory's threshold depends on them. For an undecided claim, the reason.
    reason : why this criterion and no looser one: a theorem's constant, a measured margin
    measure : the chapter's results, and the name of a run where ``on`` gives one, to ``{name: value}``; values are
        numbers, booleans or strings, or lists of these (lists are shown, and may be used in a criterion through
        ``min``, ``max``, ``len``, ``all`` and ``any``)
    on : the name of the run in which the claim should hold: ``measure(results, on)``. The control is the same measure
        on another run
    control : the run that must be refuted; only an undecided claim may go without
    stance : ``reproduced`` (as the abstract words it), ``restated`` (a corrected or narrower form of a sentence of the
        abstract), ``added`` (a statement that the abstract does not make), ``refuted`` (the check is the
        counterexample), ``undecided`` (nobody here has the data or the scale)
    changed : for a restated claim, what differs from the abstract's sentence
    figure : the name of the lab's figure in which one sees it
    unseen : where no figure shows it, why
    theorem : label of the statement on the chapter's page that proves it, e.g. ``"thm-sam-gates"``
    """

    id: str
    says: str
    criterion: str | Callable[[Any], str]
    reason: str
    measure: Measure | None = None
    control: Control | None = None
    stance: Stance = "reproduced"
    on: str | None = None
    changed: str | None = None
    figure: str | None = None
    unseen: str | None = None
    theorem: str | None = None

    def __post_init__(self):
        fault = self._fault()
        if fault:
            raise ValueError(f"{self.id}: {fault}")

    def _fault(self) -> str | None:
        """What is wrong with the declaration, in words."""
        if self.stance not in get_args(Stance):
            return f"stance {self.stance!r} is not one of {', '.join(get_args(Stance))}"
        if self.stance == "undecided":
            if self.measure is not None or self.control is not None:
                return "an undecided claim measures nothing; give the reason as its criterion"
            return None
        if self.measure is None or self.control is None:
            return f"a {self.stance} claim needs a measure and a control"
        if (self.control.on is None) == (self.control.measure is None):
            return "a control names the run that it is measured on, or has a measure of its own"
        if self.control.on is not None and self.control.on == self.on:
            return f"claim and control are both measured on {self.on!r}"
        if self.control.on is not None and self.on is None:
            return "a control that names its run needs a claim that does (on=…)"
        if self.control.measure is not None and self.control.why is None:
            return "a control with a measure of its own says why"
        if (self.changed is not None) != (self.stance == "restated"):
            return "a restated claim, and no other, says what was changed"
        if (self.figure is None) == (self.unseen is None):
            return "a claim names the figure that shows it, or says why none does"
        return None

    def measured(self, results: Any) -> Measured:
        """What the claim measures."""
        return self.measure(results) if self.on is None else self.measure(results, self.on)

    def measured_in_control(self, results: Any) -> Measured:
        """What its control measures."""
        return self.control.measure(results) if self.control.on is None else self.measure(results, self.control.on)

    def criterion_for(self, params: Any) -> str:
        """The criterion that applies under these parameters."""
        return self.criterion(params) if callable(self.criterion) else self.criterion


@dataclass(frozen=True)
class Verdict:
    """A claim, what was measured, whether it holds, and the same for its control."""

    claim: str
    stance: Stance
    says: str
    measured: dict[str, Any]
    criterion: str
    holds: bool | None
    control: dict[str, Any] | None

    @property
    def decided(self) -> bool:
        """Whether anything was measured."""
        return self.holds is not None

    @property
    def sound(self) -> bool:
        """Undecided, or the claim holds for its stance and its control is measured and refuted."""
        return not self.decided or (self.holds and self.control["holds"] is False)

    def summary(self) -> str:
        """One line without numbers, stable between runs."""
        if not self.decided:
            return f"{self.claim} undecided"
        return f"{self.claim} {mark(self)}, control {refutation(self)}"


@dataclass(frozen=True)
class Verdicts:
    """All verdicts of one run of one chapter. In a notebook it shows as a table and carries itself as JSON."""

    chapter: str
    profile: str
    seed: int
    device: str
    verdicts: tuple[Verdict, ...]
    quantities: dict[str, Any] = field(default_factory=dict)

    def __iter__(self):
        return iter(self.verdicts)

    def __getitem__(self, claim: str) -> Verdict:
        for verdict in self.verdicts:
            if verdict.claim == claim:
                return verdict
        raise KeyError(f"{self.chapter} has no claim {claim}; it has {', '.join(v.claim for v in self.verdicts)}")

    @property
    def sound(self) -> bool:
        """Whether every decided claim holds and every control is refuted."""
        return all(verdict.sound for verdict in self.verdicts)

    def summary(self) -> str:
        """One line per claim, without numbers."""
        return "\n".join(verdict.summary() for verdict in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """The content of the MIME bundle."""
        bundle = {"chapter": self.chapter, "profile": self.profile, "seed": self.seed, "device": self.device}
        bundle["verdicts"] = [asdict(verdict) for verdict in self.verdicts]
        if self.quantities:
            bundle["quantities"] = self.quantities
        return bundle

    @classmethod
    def from_dict(cls, bundle: Mapping[str, Any]) -> "Verdicts":
        """Read the content of a MIME bundle."""
        verdicts = tuple(Verdict(**verdict) for verdict in bundle["verdicts"])
        return cls(
            bundle["chapter"],
            bundle["profile"],
            bundle["seed"],
            bundle["device"],
            verdicts,
            dict(bundle.get("quantities", {})),
        )

    def __str__(self) -> str:
        rows = [("claim", "verdict", "measured", "criterion", "control")]
        for v in self.verdicts:
            control = "" if v.control is None else f"{refutation(v)}: {format_measured(v.control['measured'])}"
            rows.append((v.claim, mark(v), format_measured(v.measured), v.criterion, control))
        return tabulate(rows[1:], headers=rows[0], tablefmt="plain", disable_numparse=True)

    def tally(self) -> str:
        """How the claims came out, in one line."""
        decided = [verdict for verdict in self.verdicts if verdict.decided]
        held = sum(bool(verdict.holds) for verdict in decided)
        refuted = sum(verdict.control["holds"] is False for verdict in decided)
        line = f"{held} of {len(decided)} claims hold for their stance, {refuted} of {len(decided)} controls refuted"
        undecided = len(self.verdicts) - len(decided)
        return line + (f", {undecided} undecided" if undecided else "")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {MIME: self.as_dict(), "text/html": self._html(), "text/plain": str(self)}

    def _html(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in ("Claim", "Says", "Measured", "Criterion", "Verdict", "Control"))
        rows = []
        for v in self.verdicts:
            cells = [v.claim, v.says, format_measured(v.measured), v.criterion, mark(v)]
            cells.append("" if v.control is None else _control_text(v))
            rows.append(
                f'<tr class="verdict-{"sound" if v.sound else "unsound"}">'
                + "".join(f"<td>{html.escape(c)}</td>" for c in cells)
                + "</tr>"
            )
        return (
            '<div class="verdicts-table"><table class="verdicts">'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )


def judge(
    claims: Iterable[Claim],
    results: Any,
    chapter: str,
    params: Parameters,
    quantities: Mapping[str, Any] | None = None,
) -> Verdicts:
    """Measure every claim and its control on ``results`` and apply the criterion to both.

    Parameters
    ----------
    claims : the chapter's claims
    results : what their ``measure`` functions take
    chapter : its name
    params : the parameters of the run; criteria may depend on them
    quantities : further measured values that the chapter's page quotes

    Raises
    ------
    ValueError
        If a criterion uses a name that was not measured, or is no comparison.
    """
    verdicts = []
    for claim in claims:
        criterion = claim.criterion_for(params)
        measured, holds, control = {}, None, None
        if claim.measure is not None:
            try:
                measured = claim.measured(results)
                control_measured = claim.measured_in_control(results)
            except Undecided as reason:
                measured, criterion = {}, str(reason)
            else:
                holds = bool(evaluate(criterion, measured))  # a claim of which nothing was measured does not hold
                control = {
                    "says": claim.control.says,
                    "measured": plain(control_measured),
                    "holds": evaluate(criterion, control_measured),
                }
        verdicts.append(Verdict(claim.id, claim.stance, claim.says, plain(measured), criterion, holds, control))
    return Verdicts(chapter, params.profile, params.seed, params.device, tuple(verdicts), plain(quantities or {}))


def evaluate(criterion: str, measured: Measured) -> bool | None:
    """Evaluate a criterion such as ``"0.7 <= slope <= 1 and ratio < 2"`` over measured values.

    ``None`` where a value that the criterion names is not a number: a diverged or empty run satisfies nothing and
    refutes nothing.

    Raises
    ------
    ValueError
        If the expression is not a truth value or names something that was not measured.
    """
    names = {node.id for node in ast.walk(ast.parse(criterion, mode="eval")) if isinstance(node, ast.Name)}
    missing = names - set(measured) - set(_FUNCTIONS)
    if missing:
        raise ValueError(f"criterion {criterion!r} uses {', '.join(sorted(missing))}, measured: {', '.join(measured)}")
    if any(_is_nan(measured[name]) for name in names if name in measured):
        return None
    plain_values = {name: _to_python(value) for name, value in measured.items()}
    outcome = SimpleEval(names=plain_values, functions=_FUNCTIONS).eval(criterion)
    if not isinstance(outcome, bool):
        raise ValueError(f"criterion {criterion!r} gives {outcome!r}, not true or false")
    return outcome


_FUNCTIONS = {"min": min, "max": max, "abs": abs, "len": len, "all": all, "any": any}


def _to_python(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _is_nan(value: Any) -> bool:
    value = _to_python(value)
    if isinstance(value, list | tuple):
        return any(_is_nan(v) for v in value)
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value: Any) -> Any:
    """JSON-ready copy: numpy and torch scalars to Python, floats to 6 significant digits, NaN and ±∞ to strings."""
    value = _to_python(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value


def format_number(value: Any) -> str:
    """A value as the tables show it: 3 significant digits, lists in brackets, long ones abridged."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        shown = [format_number(v) for v in value]
        return "[" + ", ".join(shown if len(shown) <= 8 else [*shown[:4], "…", *shown[-3:]]) + "]"
    return str(value)


def format_measured(measured: Measured) -> str:
    """``name value`` pairs, comma-separated."""
    return ", ".join(f"{name} = {format_number(value)}" for name, value in measured.items())


def mark(verdict: Verdict) -> str:
    """The verdict in a word or two."""
    if not verdict.decided:
        return "undecided"
    return verdict.stance if verdict.holds else f"not {verdict.stance}"


def refutation(verdict: Verdict) -> str:
    """Whether the control was refuted, in words."""
    return {True: "NOT refuted", False: "refuted", None: "UNMEASURED"}[verdict.control["holds"]]


def _control_text(verdict: Verdict) -> str:
    control = verdict.control
    return f"{control['says']}: {format_measured(control['measured'])} ({refutation(verdict)})"
