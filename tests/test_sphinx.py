import json
import re

import pytest

from companion.catalogue import chapters, find
from companion.claims import Claim, Control, Verdicts, judge
from companion.ledger import find_record, read_ledger, totals
from companion.parameters import Parameters
from companion.sphinx import PageError, format_value, lookup


def claim_of(id, measured, control, criterion="slope > 0"):
    return Claim(
        id=id,
        says="a claim",
        criterion=criterion,
        reason="an example",
        measure=lambda _: measured,
        control=Control("its control", lambda _: control),
    )


BUNDLE = judge(
    [claim_of("C1a", measured={"slope": 0.873, "ratios": [3.8, 12.2]}, control={"slope": -0.1, "ratios": []})],
    None,
    "demo",
    Parameters.resolve(device="cpu"),
    quantities={"accuracy": {"digits": 0.971}},
).as_dict()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("C1a.slope", 0.873),
        ("C1a.ratios[1]", 12.2),
        ("C1a.control.slope", -0.1),
        ("quantities.accuracy.digits", 0.971),
    ],
)
def test_a_role_finds_its_value(path, value):
    assert lookup(BUNDLE, path) == value


@pytest.mark.parametrize(
    "path", ["C2.slope", "C1a.slop", "C1a.ratios[2]", "C1a.control.x", "quantities.loss", "C1a.slope.x"]
)
def test_a_role_that_finds_nothing_fails_the_build(path):
    with pytest.raises(PageError, match=re.escape(path)):
        lookup(BUNDLE, path)


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.8734, None, "0.873"),
        (0.8734, ".1f", "0.9"),
        (0.135, ".0%", "14%"),
        (-2.5, None, "−2.5"),
        (41, None, "41"),
        (3.2e-7, None, "3.2 × 10⁻⁷"),
        (2.2e9, None, "2.2 × 10⁹"),
        (1234.5, "sci", "1.2 × 10³"),
        (12345.6, ",.0f", "12,346"),
        (0.0, None, "0"),
        ([1.0, 2.0], ".1f", "1.0, 2.0"),
        (True, None, "yes"),
        ("inf", None, "inf"),
    ],
)
def test_values_are_set_as_prose_expects(value, style, text):
    assert format_value(value, style) == text


def test_the_ledger_holds_every_declared_claim_once_and_nothing_fails(root):
    rows = read_ledger(root)
    declared = [(chapter.slug, claim.id) for chapter in chapters(root) for claim in chapter.claims]
    assert [(row.chapter, row.claim) for row in rows] == declared
    counts = totals(rows)
    assert counts["failing"] == 0
    assert counts["claims"] == sum(counts[stance] for stance in ("reproduced", "restated", "refuted", "undecided"))


def test_pages_type_no_measured_number(root):
    """A decimal in plain prose that equals a measured one should be a role; constants of theorems stand in maths."""
    for chapter in chapters(root):
        text = chapter.page.read_text()
        record = find_record(chapter, "quick").verdicts.as_dict()
        prose = re.sub(r"```.*?```|:::.*?:::|\$\$.*?\$\$|\$[^$]*\$|\{[a-z:]+\}`[^`]*`|`[^`]*`", " ", text, flags=re.S)
        prose = re.sub(r"^\|.*$", " ", prose, flags=re.M)  # tables hold settings
        typed = set(re.findall(r"(?<![\w.])(?:[1-9]\d*\.\d{2,}|0\.\d{3,})(?!\w)", prose))
        measured = {f"{value:.{digits}f}" for value in _numbers(record) for digits in (2, 3, 4)}
        assert typed & measured == set(), f"{chapter.slug} types what it should read from its record"


def _numbers(value):
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, float) else []


def test_a_record_is_the_notebook_executed_here_only_while_it_is_current(executed_book):
    assert executed_book.companion("execute", "--into", "_build/executed").returncode == 0
    chapter = find("demo-chapter", executed_book.root)
    assert find_record(chapter, "quick").path == executed_book.root / "_build" / "executed" / "demo-chapter.ipynb"
    executed_book.edit(executed_book.lab, "What to see in it.", "What one sees.")
    assert find_record(chapter, "quick").path == chapter.notebook
    assert find_record(chapter, "paper") is None


def test_verdicts_of_a_record_are_readable_json(root):
    for chapter in chapters(root):
        verdicts = find_record(chapter, "quick").verdicts
        assert Verdicts.from_dict(json.loads(json.dumps(verdicts.as_dict()))) == verdicts
