import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.claims import MIME, Claim, Control, Undecided, Verdicts, evaluate, judge, plain
from companion.parameters import Parameters

CONTEXT = {"chapter": "demo", "params": Parameters.resolve(device="cpu", seed=5)}


def claim(**changes):
    fields = {
        "id": "C1",
        "says": "small",
        "criterion": "x < 1",
        "reason": "by definition",
        "measure": lambda results, run: {"x": results[run]},
        "on": "x",
        "control": Control("large", on="y"),
        "figure": "sizes",
    }
    return Claim(**(fields | changes))


def test_a_claim_that_holds_and_a_refuted_control_are_sound():
    verdicts = judge([claim()], {"x": 0.5, "y": 2.0}, **CONTEXT)
    assert verdicts.sound
    assert verdicts.summary() == "C1 reproduced, control refuted"


def test_a_claim_that_fails_is_unsound():
    verdicts = judge([claim()], {"x": 1.5, "y": 2.0}, **CONTEXT)
    assert not verdicts.sound
    assert verdicts.summary() == "C1 not reproduced, control refuted"


def test_a_control_that_passes_is_unsound_though_the_claim_holds():
    verdicts = judge([claim()], {"x": 0.5, "y": 0.5}, **CONTEXT)
    assert verdicts["C1"].holds
    assert not verdicts.sound
    assert verdicts.summary() == "C1 reproduced, control NOT refuted"


def test_a_measurement_that_cannot_be_made_is_visible_as_undecided_with_its_reason():
    def measure(results, run):
        raise Undecided("needs CIFAR-10")

    verdict = judge([claim(measure=measure)], {"x": 0, "y": 2}, **CONTEXT)["C1"]
    assert verdict.holds is None
    assert verdict.criterion == "needs CIFAR-10"
    assert verdict.summary() == "C1 undecided"


def test_a_criterion_may_depend_on_the_parameters():
    verdicts = judge([claim(criterion=lambda params: f"x < {params.seed}")], {"x": 3, "y": 9}, **CONTEXT)
    assert verdicts["C1"].criterion == "x < 5"
    assert verdicts.sound


@pytest.mark.parametrize("missing", ["measure", "control"])
def test_a_decided_claim_needs_a_measure_and_a_control(missing):
    with pytest.raises(ValueError, match="needs a measure and a control"):
        claim(**{missing: None})


def test_a_control_with_a_measure_of_its_own_is_judged_by_the_same_criterion():
    own = Control("large", measure=lambda results: {"x": 10 * results["y"]}, why="another unit")
    verdict = judge([claim(control=own)], {"x": 0.5, "y": 0.2}, **CONTEXT)["C1"]
    assert verdict.control == {"says": "large", "measured": {"x": 2.0}, "holds": False}


def test_a_control_that_measured_nothing_refutes_nothing():
    for nothing in (math.nan, None, [1.0, math.nan]):
        verdicts = judge([claim(criterion="x != 7")], {"x": 0.5, "y": nothing}, **CONTEXT)
        assert verdicts["C1"].holds
        assert verdicts["C1"].control["holds"] is None
        assert not verdicts.sound
        assert verdicts.summary() == "C1 reproduced, control UNMEASURED"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"control": Control("large")}, "names the run"),
        ({"control": Control("large", on="y", measure=lambda results: {})}, "names the run"),
        ({"control": Control("large", on="x")}, "both measured on 'x'"),
        ({"on": None}, "needs a claim that does"),
        ({"control": Control("large", measure=lambda results: {})}, "says why"),
        ({"stance": "restated"}, "says what was changed"),
        ({"changed": "narrower"}, "says what was changed"),
        ({"figure": None}, "names the figure"),
        ({"unseen": "a number"}, "names the figure"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        claim(**changes)


def test_an_undecided_claim_measures_nothing():
    with pytest.raises(ValueError, match="measures nothing"):
        claim(stance="undecided")


def test_an_unknown_stance_is_refused_by_name():
    with pytest.raises(ValueError, match="'probable'"):
        claim(stance="probable")


def test_a_criterion_over_a_value_that_was_not_measured_is_an_error():
    with pytest.raises(ValueError, match="uses slope, measured: x"):
        evaluate("slope < 1", {"x": 1.0})


def test_a_criterion_must_be_a_truth_value():
    with pytest.raises(ValueError, match="not true or false"):
        evaluate("x + 1", {"x": 1.0})


@pytest.mark.parametrize("criterion", ["x < 1", "x > 1", "x == x", "not x < 1", "max(x, 0) >= 0"])
def test_nan_satisfies_no_criterion(criterion):
    assert not evaluate(criterion, {"x": math.nan})


def test_lists_are_judged_through_min_and_max():
    assert evaluate("min(x) > 0 and max(x) < 4 and len(x) == 3", {"x": np.array([1.0, 2.0, 3.0])})
    assert not evaluate("max(x) < 4", {"x": [1.0, math.nan]})


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_chained_comparisons_mean_what_python_means(low, x, high):
    assert evaluate("low <= x < high", {"low": low, "x": x, "high": high}) == (low <= x < high)


def test_no_code_runs_in_a_criterion():
    with pytest.raises(Exception, match=r"__import__|not measured|uses"):
        evaluate("__import__('os').getcwd() == x", {"x": 1})


def test_verdicts_survive_json_and_come_back_equal():
    verdicts = judge([claim()], {"x": np.float64(0.123456789), "y": np.inf}, quantities={"n": np.arange(3)}, **CONTEXT)
    bundle = json.loads(json.dumps(verdicts._repr_mimebundle_()[MIME], allow_nan=False))
    assert Verdicts.from_dict(bundle) == verdicts
    assert bundle["verdicts"][0]["measured"] == {"x": 0.123457}
    assert bundle["verdicts"][0]["control"]["measured"] == {"x": "inf"}
    assert bundle["quantities"] == {"n": [0, 1, 2]}


def test_the_bundle_has_an_html_twin_and_the_fields_of_the_contract():
    bundle = judge([claim()], {"x": 0.5, "y": 2.0}, **CONTEXT)._repr_mimebundle_()
    assert set(bundle) == {MIME, "text/html", "text/plain"}
    assert set(bundle[MIME]) == {"chapter", "profile", "seed", "device", "verdicts"}
    assert set(bundle[MIME]["verdicts"][0]) == {"claim", "stance", "says", "measured", "criterion", "holds", "control"}


def test_html_in_a_claim_is_escaped():
    verdicts = judge([claim(says="a < b & c")], {"x": 0.5, "y": 2.0}, **CONTEXT)
    assert "a &lt; b &amp; c" in verdicts._repr_mimebundle_()["text/html"]


@given(st.floats())
def test_plain_floats_are_json_safe(value):
    json.dumps(plain(value), allow_nan=False)
