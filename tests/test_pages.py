"""What holds for the page of every chapter: it can be read, and says where it comes from."""

import ast
import re
from pathlib import Path

import pytest

from companion.catalogue import chapters, find
from companion.ledger import find_record
from companion.parameters import PROFILES
from companion.sphinx.exercises import exercises, expected_outputs
from companion.sphinx.figures import figures_on_page
from companion.sphinx.values import lookup

COLUMNS = 88  # of code; more than that scrolls or wraps on the page
SERIES = 3  # measured values in one sentence; more are a table or a figure
MEASURED = re.compile(r"\{measured\}`(?:[a-z0-9-]+:)?([^`|@]+)(?:\|[^`@]*)?(@\w+)?`")
FENCE = re.compile(r"^ *(`{3,}|:{3,})")
OF_PROSE = ("record-only", "prf:", "exercise", "solution", "admonition", "note", "tip", "dropdown", "important")


@pytest.fixture(params=[chapter.slug for chapter in chapters()])
def chapter(request, root):
    return find(request.param, root)


@pytest.fixture
def text(chapter):
    return chapter.page.read_text("utf-8")


def blocks(text):
    """Top-level blocks of a page: fenced ones whole, else paragraphs, list items, headings and tables."""
    found, block, fence = [], [], None
    for line in [*text.splitlines(), ""]:
        opened = FENCE.match(line)
        if fence is None and opened:
            found.append("\n".join(block))
            block, fence = [line], opened[1]
        elif fence is not None:
            block.append(line)
            if line.strip() == fence:
                found.append("\n".join(block))
                block, fence = [], None
        elif not line.strip() or line.startswith(("#", "* ", "- ")) or re.match(r"\d+\. ", line):
            found.append("\n".join(block))
            block = [line]
        else:
            block.append(line)
    return [block for block in map(str.strip, found) if block]


def paragraphs(text):
    """The prose of a page, that within theorems, proofs and exercises included; no code, formulas, tables, options."""
    found = []
    for block in blocks(text):
        opened = FENCE.match(block)
        if opened:
            name = re.match(r" *[`:]+\{([\w:-]+)\}", block)
            if name and name[1].startswith(OF_PROSE):
                inner = block.splitlines()[1:-1]
                found += paragraphs("\n".join(line for line in inner if not re.match(r":[\w-]+:", line)))
        elif not block.startswith(("|", "#", "$$", "\\begin")):
            found.append(re.sub(r"\s+", " ", block))
    return found


def sentences(text):
    return [one for block in paragraphs(text) for one in re.split(r"(?<=[.!?])\s+(?=[^a-z\s])", block)]


def plain(sentence):
    """A sentence without roles, code and formulas."""
    return re.sub(r"\{[\w:]+\}`[^`]*`|`[^`]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)", " ", sentence)


def test_a_bar_within_a_cell_of_a_table_is_escaped(text):
    """Else it ends the cell, and the role is left raw."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row for row in rows if re.search(r"\{[a-z]+\}`[^`]*(?<!\\)\|[^`]*`", row)] == []


# --- figures --------------------------------------------------------------------------------------------------------


def unexplained(text):
    """The figures of a page that no paragraph follows."""
    listed = blocks(text)
    missing = []
    for k, block in enumerate(listed):
        figure = re.match(r"[`:]{3,}\{record-figure\} +(\S+)", block)
        after = listed[k + 1] if k + 1 < len(listed) else "#"
        if figure and (after.startswith(("#", "|", "$$")) or FENCE.match(after)):
            missing.append(figure[1])
    return missing


def test_after_a_figure_a_paragraph_says_what_to_see(text):
    assert unexplained(text) == []


def test_the_best_figure_stands_at_the_head(chapter, text):
    assert figures_on_page(chapter)[:1] == ["glance"]
    assert text.index("{record-figure} glance") < text.index("\n## ")


# --- numbers --------------------------------------------------------------------------------------------------------


def series(text, bundle):
    """Sentences that hold a series of measured values."""
    found = []
    for sentence in sentences(text):
        count = 0
        for path, profile in MEASURED.findall(sentence):
            value = lookup(bundle, path.strip()) if not profile or profile[1:] == PROFILES[0] else 0.0
            # A list of integers, such as the sizes that were tried, reads as one.
            fractions = isinstance(value, list) and any(isinstance(item, float) for item in value)
            count += len(value) if fractions else 1
        if count > SERIES:
            found.append(f"{count} values: {sentence}")
    return found


def test_a_series_of_measured_values_is_a_table_or_a_figure(chapter, text):
    assert series(text, find_record(chapter, PROFILES[0]).bundle) == []


def test_pages_type_no_measured_number(chapter, text):
    """A decimal in plain prose that equals a measured one should be a role; constants of theorems stand in maths."""
    prose = " ".join(plain(sentence) for sentence in sentences(text))
    typed = set(re.findall(r"(?<![\w.])(?:[1-9]\d*\.\d{2,}|0\.\d{3,})(?!\w)", prose))
    measured = {f"{n:.{d}f}" for n in _numbers(find_record(chapter, PROFILES[0]).bundle) for d in (2, 3, 4)}
    assert typed & measured == set(), f"{chapter.slug} types what it should read from its record"


def _numbers(value):
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, float) else []


# --- claims ---------------------------------------------------------------------------------------------------------


def bare_claims(text):
    return [f"{name[0]} in: {one}" for one in sentences(text) for name in re.finditer(r"\bC\d+[a-z]?\b", plain(one))]


def test_prose_names_claims_by_the_role(text):
    assert bare_claims(text) == []


def test_the_claims_stand_in_one_table_and_the_page_has_its_sections(text):
    assert len(re.findall(r"\{claims-table\}", text)) == 1
    assert len(re.findall(r"\{parameters-table\}", text)) == 1
    assert len(re.findall(r"\{paper-record\}", text)) == 1
    assert len(re.findall(r"\{footbibliography\}", text)) == 1


# --- code -----------------------------------------------------------------------------------------------------------


def shown_code(page: Path):
    """(where, lines) of all code that a page shows."""
    text = page.read_text("utf-8")
    for block in re.finditer(
        r"^(`{3,})(?:\{literalinclude\} +(\S+)|(\{expected\}.*|[a-z]+) *)\n(.*?)^\1", text, re.M | re.S
    ):
        _, included, _, body = block.groups()
        if included is None:
            yield f"{page.name}: a block of code", [line for line in body.splitlines() if not line.startswith(":")]
            continue
        lines = (page.parent / included).read_text("utf-8").splitlines()
        wanted = re.search(r":pyobject: *(\S+)", body)
        span = re.search(r":lines: *(\d+)-(\d+)", body)
        if wanted:
            node = ast.parse("\n".join(lines))
            for name in wanted[1].split("."):
                node = next(child for child in ast.walk(node) if getattr(child, "name", None) == name)
            lines = lines[node.lineno - 1 : node.end_lineno]
        elif span:
            lines = lines[int(span[1]) - 1 : int(span[2])]
        yield f"{included} {wanted[1] if wanted else ''}", lines


def test_shown_code_is_no_wider_than_a_page(chapter):
    for where, lines in shown_code(chapter.page):
        wide = [line.strip() for line in lines if len(line) > COLUMNS]
        assert wide == [], where


# --- to be found, and to go on --------------------------------------------------------------------------------------


def test_the_chapter_can_be_found_by_its_terms(text):
    terms = {term.partition("<")[0].strip() for term in re.findall(r"\{index\}`([^`]+)`", text)}
    assert len(terms) >= 5, f"`{{index}}` terms: {', '.join(sorted(terms)) or 'none'}"


def test_a_chapter_ends_in_three_exercises_with_answers(chapter, text):
    labels = exercises(chapter.page)
    assert len(labels) == 3
    for label in labels:
        assert label.startswith(f"ex-{chapter.slug}-")
        assert f"{{solution}} {label}\n" in text, f"{label} has no solution"
    assert len(expected_outputs(chapter.page)) >= 3
    assert text.index(f":label: {labels[-1]}") < text.index("## References")


def test_every_statement_can_be_referred_to(text):
    statements = re.findall(r"^(:{3,}\{prf:(?!proof)\w+\}.*\n(?::\w+:.*\n)*)", text, flags=re.M)
    assert statements
    assert [statement for statement in statements if ":label:" not in statement] == []


# --- the rules themselves -------------------------------------------------------------------------------------------

PAGE = """\
# Title

```{record-figure} good
Caption.
```

What to see.

```{record-figure} bad
Caption.
```

## Section

By C3c this is {measured}`C1.ratios|.2f` and {claim}`C3c` more. Then `C4` in code, $C5$ in a formula, {measured}`C1.x`.

| C6 in a table | {measured}`C1.ratios` {measured}`C1.ratios` |
| --- | --- |

:::{prf:theorem} Name
:label: thm

A theorem about C7.
:::
"""


def test_the_rules_see_what_breaks_them():
    verdict = {"claim": "C1", "measured": {"ratios": [1.0, 2.0, 3.0, 4.0], "x": 1.0}, "control": None}
    assert unexplained(PAGE) == ["bad"]
    (found,) = series(PAGE, {"verdicts": [verdict]})
    assert found.startswith("4 values: By C3c")
    assert [fault.split()[0] for fault in bare_claims(PAGE)] == ["C3c", "C7"]
