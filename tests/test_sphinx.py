import csv
import io
import json
import re
import subprocess
import sys
import zipfile

import pytest

from companion import ledger
from companion.catalogue import chapters, find
from companion.claims import Claim, Control, Verdicts, judge
from companion.ledger import code_stamp, find_record, read_ledger, read_seeds, totals
from companion.parameters import Parameters
from companion.sphinx.cards import bibtex_entry
from companion.sphinx.chapter_map import draw, library, shared_modules
from companion.sphinx.code import claims_file, measure_lines
from companion.sphinx.downloads import archive_files, make_archive
from companion.sphinx.exercises import Expected, exercises, expected_outputs
from companion.sphinx.figures import figure_anchor, figures_on_page
from companion.sphinx.notation import Symbol, symbols
from companion.sphinx.overview import planted
from companion.sphinx.records import PageError, Records, claim_anchor, page_title
from companion.sphinx.theorems import Statement, statements
from companion.sphinx.values import compute, format_value, lookup


def measured(results, run):
    return results[run]


def judged(holding, failing, **quantities):
    claim = Claim(
        id="C1a",
        says="a claim",
        criterion="slope > 0",
        reason="an example",
        measure=measured,
        on="run",
        control=Control("its control", on="control"),
        figure="glance",
    )
    runs = {"run": holding, "control": failing}
    return judge([claim], runs, "demo", Parameters.resolve(device="cpu"), quantities=quantities)


BUNDLE = judged(
    {"slope": 0.873, "ratios": [3.8, 12.2], "lost": float("nan"), "gap": None, "pairs": [1.0, float("nan")]},
    {"slope": -0.1, "ratios": []},
    accuracy={"digits": 0.971},
).as_dict()


# --- values ---------------------------------------------------------------------------------------------------------


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
    "path",
    [
        "C2.slope",
        "C1a.slop",
        "C1a.ratios[2]",
        "C1a.control.x",
        "quantities.loss",
        "C1a.slope.x",
        "C1a",
        "C1a.control",
        "quantities",
        "quantities.accuracy",
        "C1a.lost",
        "C1a.gap",
        "C1a.pairs",
    ],
)
def test_what_is_missing_no_number_or_several_values_fails_the_build_with_its_name(path):
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
        ("inf", None, "∞"),
        ("-inf", ".2f", "−∞"),
    ],
)
def test_values_are_set_as_prose_expects(value, style, text):
    assert format_value(value, style) == text


@pytest.mark.parametrize(("value", "style"), [(10**400, None), (10**400, ".2f"), (1.5, "d"), (2, "nonsense")])
def test_a_value_that_cannot_be_written_is_an_error_of_the_page(value, style):
    with pytest.raises(PageError):
        format_value(value, style)


@pytest.fixture
def importable(executed_book, monkeypatch):
    """The tiny book's chapter, importable in this process."""
    from companion import chapters as package

    monkeypatch.setattr(package, "__path__", [*package.__path__, str(executed_book.package.parent)])
    yield find("demo-chapter", executed_book.root)
    for name in [name for name in sys.modules if name.startswith("companion.chapters.demo_chapter")]:
        del sys.modules[name]


@pytest.fixture
def theory(importable, executed_book):
    """The same with functions to compute with."""
    (executed_book.package / "theory.py").write_text(
        "from math import sqrt\n\ndef scale(x, power=1):\n    return 2.0 * x**power\n\ndef rows():\n    return {}\n"
    )
    return importable


def test_a_constant_of_the_theory_is_computed_by_the_chapters_own_function(theory):
    assert compute(theory, "theory.scale(1.5)") == 3.0
    assert compute(theory, "theory.scale(3.0, power=2)") == 18.0


@pytest.mark.parametrize(
    "expression",
    [
        "theory.scale",
        "scale(1.0)",
        "theory.scale(x)",
        "theory.scale(__import__('os'))",
        "theory.sqrt(4.0)",
        "theory.__class__.mro()",
        "theory.rows()",
        "theory.scale('a', power=2)",
        "theory.nothing(1)",
        "theory.scale(1.0); 2",
        "os.getcwd()",
    ],
)
def test_nothing_else_is_computed(theory, expression):
    with pytest.raises(PageError, match=re.escape(expression)):
        compute(theory, expression)


# --- records --------------------------------------------------------------------------------------------------------


def test_a_record_is_looked_up_once_in_a_build(executed_book, monkeypatch):
    looked = []
    monkeypatch.setattr(ledger, "find_record", lambda *given: looked.append(given) or find_record(*given))
    records = Records(executed_book.root)
    chapter = records.chapter("demo-chapter")
    for _ in range(3):
        assert records.find(chapter, "quick").verdicts["C1"].holds
        assert records.find(chapter, "paper") is None
        assert [row.claim for row in records.ledger] == ["C1"]
    assert len(looked) == 2


def test_an_unknown_claim_is_named_with_those_there_are(importable):
    with pytest.raises(PageError, match=r"C7: demo-chapter has no such claim, there are: C1"):
        Records(importable.root).claim(importable, "C7")


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


# --- the ledger -----------------------------------------------------------------------------------------------------


def test_the_ledger_holds_every_declared_claim_once_and_nothing_fails(root):
    rows = read_ledger(root)
    declared = [(chapter.slug, claim.id) for chapter in chapters(root) for claim in chapter.claims]
    assert [(row.chapter, row.claim) for row in rows] == declared
    counts = totals(rows)
    assert counts["failing"] == 0
    stances = ("reproduced", "restated", "refuted", "undecided", "added")
    assert counts["claims"] == sum(counts[stance] for stance in stances)


def test_the_ledger_as_files_says_the_same_as_the_ledger(executed_book):
    rows = read_ledger(executed_book.root)
    whole = json.loads(ledger.as_json(rows))
    assert whole["totals"]["claims"] == len(whole["claims"]) == 1
    entry = whole["claims"][0]
    assert (entry["chapter"], entry["part"], entry["claim"]) == ("demo-chapter", "Orders and rates", "C1")
    assert entry["quick"]["holds"] is True
    assert entry["quick"]["control"]["holds"] is False
    assert entry["paper"] is None
    (line,) = csv.DictReader(io.StringIO(ledger.as_csv(rows)))
    assert line["claim"] == "C1"
    assert line["quick_verdict"] == "reproduced"
    assert line["quick_holds"] == "True"
    assert line["quick_control_holds"] == "False"
    assert json.loads(line["quick_measured"]) == entry["quick"]["measured"]
    assert line["paper_verdict"] == ""


def test_fresh_seeds_count_for_the_code_that_they_were_run_with(executed_book):
    chapter = find("demo-chapter", executed_book.root)
    assert read_seeds(chapter) is None
    entry = {"stamp": code_stamp(chapter), "seeds": "100:120", "claims": {"C1": [20, 20]}, "controls": {"C1": [19, 20]}}
    (executed_book.root / ledger.SEEDS).write_text(json.dumps({"demo-chapter": entry}))
    seeds = read_seeds(chapter)
    assert (seeds.claims["C1"], seeds.controls["C1"], seeds.current) == ((20, 20), (19, 20), True)
    figures = executed_book.package / "figures.py"
    figures.write_text(figures.read_text() + "\n# drawn otherwise\n")
    assert read_seeds(chapter).current
    executed_book.edit(executed_book.experiments, "algorithm(noise, 5.0)", "algorithm(noise, 6.0)")
    assert not read_seeds(chapter).current


def test_totals_of_planted_bugs():
    record = {
        "a": {"stamp": "x", "mutants": {"planted": 9, "claims": 5, "tests": 4, "time": 0}},
        "b": {"stamp": "y", "mutants": {"planted": 8, "claims": 7, "tests": 0, "time": 1}},
    }
    assert planted(record) == {"chapters": 2, "planted": 17, "claims": 12, "tests": 4, "time": 1}
    assert planted({})["planted"] == 0


# --- pages ----------------------------------------------------------------------------------------------------------

PAGE = """\
# A title

```{record-figure} glance
Caption.
```

:::{record-figure} other
:chapter: elsewhere
:::

:::{prf:theorem} First $x$
:label: thm-first

Text with {notation}`\\rho|radius of a ball` in it.
:::

::::{prf:lemma}
:class: dropdown
:label: lem-second

:::{prf:proof}
:::
::::

:::{exercise} Which wins?
:label: ex-demo-1
:::

::::{solution} ex-demo-1
```{expected} companion check demo -p n=3
C1 reproduced,  control refuted

C2 not reproduced, control refuted
```
::::
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "demo.md"
    path.write_text(PAGE)
    return path


def test_what_a_page_holds_is_found_in_its_source(page, tmp_path, executed_book):
    assert page_title(page) == "A title"
    assert statements(page) == [
        Statement("theorem", "First $x$", "thm-first"),
        Statement("lemma", "", "lem-second"),
    ]
    assert symbols(page) == [Symbol("\\rho", "radius of a ball")]
    assert exercises(page) == ["ex-demo-1"]
    chapter = find("demo-chapter", executed_book.root)
    chapter.page.write_text(PAGE)
    assert figures_on_page(chapter) == ["glance"]
    assert figure_anchor("plane_data") == "figure-plane-data"
    assert claim_anchor("C3c") == "c3c"


def test_expected_lines_are_held_to_what_a_command_prints(page):
    (expected,) = expected_outputs(page)
    assert expected.command == "companion check demo -p n=3"
    assert expected.lines == ("C1 reproduced, control refuted", "C2 not reproduced, control refuted")
    printed = "demo\n\nC1 reproduced, control refuted\nC2 reproduced, control refuted\n"
    assert expected.missing(printed) == ["C2 not reproduced, control refuted"]
    assert expected.missing(printed.replace("C2 ", "C2 not ")) == []
    assert Expected("", ("b", "a")).missing("a\nb\n") == ["a"], "the order counts"


def test_a_claims_measure_is_found_in_its_code(executed_book):
    chapter = find("demo-chapter", executed_book.root)
    lines = claims_file(chapter).read_text().splitlines()
    assert lines[measure_lines(chapter)["C1"] - 1].startswith("def mean(")


def test_every_claim_of_the_book_has_a_line_of_code(root):
    for chapter in chapters(root):
        lines = measure_lines(chapter)
        for claim in chapter.claims:
            assert claim.id in lines, f"{chapter.slug}: write {claim.id} as Claim(id={claim.id!r}, …) in claims.py"


def test_bibtex_is_the_entry_as_it_stands():
    bibliography = "@article{one,\n title = {{A} thing},\n}\n\n@misc{two, note={x}}\n"
    assert bibtex_entry(bibliography, "one") == "@article{one,\n title = {{A} thing},\n}"
    assert bibtex_entry(bibliography, "two") == "@misc{two, note={x}}"
    for key in ("three", "on"):
        with pytest.raises(PageError, match=key):
            bibtex_entry(bibliography, key)


def test_every_paper_of_the_book_has_its_bibtex(root):
    text = (root / "book" / "references.bib").read_text("utf-8")
    for chapter in chapters(root):
        assert bibtex_entry(text, chapter.paper.key)


# --- the map --------------------------------------------------------------------------------------------------------


def test_the_map_reads_what_chapters_share_off_their_imports(executed_book):
    root = executed_book.root
    chapter = find("demo-chapter", root)
    assert library(chapter) == []
    algorithm = executed_book.package / "algorithm.py"
    algorithm.write_text("from companion.optim import SAM\n" + algorithm.read_text())
    assert ("optim", "sam") in library(chapter)
    assert ("optim", "signum") not in library(chapter), "a package's name is the module it takes it from"
    assert shared_modules([chapter]) == [], "what one chapter uses is not shared"
    twice = [chapter, chapter]
    shared = shared_modules(twice)
    markup = draw(twice, shared, {"demo-chapter": "A <title>"}, {"demo-chapter": "demo.html"})
    assert markup.count("<svg") == 1
    assert "A &lt;title&gt;" in markup
    assert "<title>A <title>" not in markup


# --- archives -------------------------------------------------------------------------------------------------------


def test_an_archive_runs_by_itself(executed_book, tmp_path):
    chapter = find("demo-chapter", executed_book.root)
    files = archive_files(chapter, "Demo", "The book")
    packed = make_archive(files, chapter.slug)
    assert packed == make_archive(files, chapter.slug), "the same files give the same bytes"
    zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path)
    folder = tmp_path / chapter.slug
    assert not (folder / "companion" / "sphinx").exists()
    assert not (folder / "companion" / "chapters" / "sam_diagonal_networks").exists()
    assert chapter.slug in (folder / "README.md").read_text()
    command = [sys.executable, "-m", "companion.cli", "check", chapter.slug]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env={"PATH": ""})
    assert done.returncode == 0, done.stderr
    assert "C1 reproduced, control refuted" in done.stdout
