"""The build itself: sound pages pass, and each kind of fault fails it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INTRO = """\
# A book of one

```{ledger-totals}
```

```{chapter-list}
```

The mean is {measured}`demo-chapter:C1.mean|.2f`, at scale {measured}`demo-chapter:C1.mean@paper`.
"""


@pytest.fixture
def buildable(executed_book, root):
    shutil.copy(root / "_config.yml", executed_book.root)
    shutil.copytree(root / "book" / "_static", executed_book.root / "book" / "_static")
    shutil.copy(root / "book" / "references.bib", executed_book.root / "book")
    (executed_book.root / "book" / "intro.md").write_text(INTRO)
    return executed_book


def build(book):
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "-n", "-W", "--keep-going", "."]
    env = os.environ | {"PYTHONPATH": str(book.root), "COMPANION_ROOT": str(book.root)}
    return subprocess.run(command, cwd=book.root, env=env, capture_output=True, text=True, timeout=300)


def html(book, document):
    return (book.root / "_build" / "html" / f"{document}.html").read_text()


def test_a_sound_book_builds_and_pages_follow_the_record(buildable):
    built = build(buildable)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "No record at the paper profile exists yet" in html(buildable, "book/demo-chapter")
    assert "(no record yet)" in html(buildable, "book/intro")
    before = html(buildable, "book/intro")
    buildable.edit(
        buildable.module, "rng.normal(size=(2, params.samples))", "0.25 + rng.random((2, params.samples)) * 0"
    )
    assert buildable.companion("execute").returncode == 0
    assert build(buildable).returncode == 0
    assert html(buildable, "book/intro") != before
    assert ">0.25<" in html(buildable, "book/intro")


def test_pages_load_nothing_from_elsewhere(buildable):
    assert build(buildable).returncode == 0
    text = html(buildable, "notebooks/demo-chapter")
    assert "unpkg.com" not in text
    assert "cdn" not in text.lower()


FAULTS = {
    "{measured}`C1.median`": "no 'median' in it",
    "{measured}`C9.mean`": "no such claim",
    "```{record-figure} glimpse\n```": "shows no figure named 'glimpse'",
    "See {prf:ref}`thm-nowhere`.": "thm-nowhere",
    "See {footcite:p}`nobody1900nothing`.": "nobody1900nothing",
    "See [there](no-such-page.md).": "no-such-page",
}


def test_every_kind_of_fault_in_a_page_fails_the_build(buildable):
    buildable.edit(buildable.root / "book" / "demo-chapter.md", "Notation.", "\n\n".join(FAULTS))
    built = build(buildable)
    assert built.returncode != 0
    for complaint in FAULTS.values():
        assert complaint in built.stdout + built.stderr


def test_a_notebook_that_fails_stops_make_before_the_build(buildable, root):
    """`make book` is `companion execute` and then the build; the first must not pass over a failure."""
    recipe = (root / "Makefile").read_text()
    assert "book: executed html" in recipe
    buildable.edit(buildable.lab, "verdicts = chapter", "1 / 0\nverdicts = chapter")
    assert buildable.companion("execute", "--into", "_build/executed").returncode == 3
