"""The build itself: sound pages pass, what is generated is there and linked, and each kind of fault fails it."""

import html as markup
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from urllib.parse import unquote, urldefrag

import pytest

INTRO = """\
# A book of one

```{ledger-totals}
```

```{chapter-list}
```

```{chapter-map}
```

The mean is {measured}`demo-chapter:C1.mean|.2f`, and {claim}`demo-chapter:C1` holds.
"""

LEDGER = "# The ledger\n\n```{ledger-table}\n```\n"
INDICES = """\
# Indices

```{theorem-list}
```

```{notation-list}
```

{ref}`Terms <genindex>`.

```{planted-bugs}
```
"""
BIBLIOGRAPHY = "@misc{author2026word,\n  title = {Title of the paper},\n  author = {An Author},\n  year = {2026},\n}\n"


@pytest.fixture
def buildable(executed_book, root):
    folder = executed_book.root / "book"
    shutil.copy(root / "_config.yml", executed_book.root)
    shutil.copytree(root / "book" / "_static", folder / "_static")
    (folder / "references.bib").write_text(BIBLIOGRAPHY)
    for name, text in {"intro": INTRO, "ledger": LEDGER, "indices": INDICES}.items():
        (folder / f"{name}.md").write_text(text)
    toc = executed_book.root / "_toc.yml"
    toc.write_text(
        toc.read_text()
        + "  - caption: The book\n    chapters:\n      - file: book/ledger\n      - file: book/indices\n"
    )
    return executed_book


def build(book):
    main = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", main, "build", "-n", "-W", "--keep-going", "."]
    env = os.environ | {"PYTHONPATH": str(book.root), "COMPANION_ROOT": str(book.root)}
    return subprocess.run(command, cwd=book.root, env=env, capture_output=True, text=True, timeout=300)


def html(book, document):
    return (book.root / "_build" / "html" / f"{document}.html").read_text()


def article(book, document):
    return re.search(r"<article.*</article>", html(book, document), flags=re.S)[0]


def broken_links(site):
    """Links from any page to what does not exist within the site, addresses within pages included."""
    pages = {path: path.read_text() for path in site.rglob("*.html")}
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    broken = []
    for path, text in pages.items():
        for raw in re.findall(r'<a\b[^>]*?\bhref="([^"]+)"', text):
            target, anchor = urldefrag(markup.unescape(raw))
            if re.match(r"[a-z]+:|/", target):  # the page for a wrong address speaks of the root
                continue
            file = (path.parent / unquote(target)).resolve() if target else path
            if not file.is_file() or (anchor and file in ids and unquote(anchor) not in ids[file]):
                broken.append(f"{path.relative_to(site)}: {raw}")
    return broken


def test_a_sound_book_builds_and_all_its_parts_are_linked(buildable):
    claims = buildable.package / "claims.py"
    buildable.edit(claims, '    figure="glance",', '    figure="glance",\n    theorem="thm-demo-chapter-main",')
    assert buildable.companion("execute").returncode == 0
    built = build(buildable)
    assert built.returncode == 0, built.stdout + built.stderr
    site = buildable.root / "_build" / "html"
    assert broken_links(site) == []
    page = article(buildable, "book/demo-chapter")

    # A claim has an address, and leads to theorem, figure and code; these lead back.
    assert re.search(r'<tr class="[^"]*claim-row[^"]*" id="c1"', page)
    (row,) = re.findall(r'<tr[^>]*id="c1".*?</tr>', page, flags=re.S)
    assert 'href="#c1"' in row
    assert 'href="#thm-demo-chapter-main"' in row
    assert 'href="#figure-glance"' in row
    assert 'href="../notebooks/demo-chapter.html#figure-glance"' in row
    line = re.search(r'href="code/demo-chapter.html#line-(\d+)"', row)[1]
    assert f'id="line-{line}"' in html(buildable, "book/code/demo-chapter")
    assert re.search(r'<figure[^>]*id="figure-glance".*?href="#c1"', page, flags=re.S)
    assert re.search(r'<div[^>]*id="thm-demo-chapter-main".*?href="#c1"', page, flags=re.S)
    lab = article(buildable, "notebooks/demo-chapter")
    assert re.search(r'<img[^>]*id="figure-glance"', lab)
    assert 'href="../book/demo-chapter.html#c1"' in lab
    assert 'href="../book/code/demo-chapter.html#line-' in lab

    # Prose: a claim shows its verdict, a measured number its claim, profile and seed.
    intro = article(buildable, "book/intro")
    assert re.search(r'<a class="[^"]*claim-ref[^"]*" href="demo-chapter.html#c1".*?>reproduced</span></a>', intro)
    assert re.search(r'<a class="measured[^"]*" href="demo-chapter.html#c1" title="C1, quick, seed 0">', intro)
    assert "no record" not in page + intro

    # Card, head and foot.
    assert "Title of the paper" in page
    assert "@misc{author2026word" in markup.unescape(re.sub(r"<[^>]+>", "", page))
    assert "companion run demo-chapter" in re.sub(r"<[^>]+>", "", page)
    for text in (page, lab):
        for fact in ("quick, seed 0", "cpu", "Python 3", "notebooks/demo-chapter.py", "1 of 1 claims hold"):
            assert fact in text
    with zipfile.ZipFile(site / "book" / "code" / "demo-chapter.zip") as archive:
        assert "demo-chapter/demo-chapter.ipynb" in archive.namelist()
    assert json.loads((site / "book" / "ledger.json").read_text())["totals"]["claims"] == 1
    assert (site / "book" / "ledger.csv").read_text().startswith("chapter,")

    # The ledger: a section per chapter, no column for a profile that nobody ran, the script on its page alone.
    ledger = article(buildable, "book/ledger")
    assert 'id="demo-chapter-c1"' in ledger
    assert re.findall(r'<th class="head">.*?<p>(.*?)</p>', ledger) == ["Claim", "quick"]
    assert "ledger.js" in html(buildable, "book/ledger")
    assert "ledger.js" not in html(buildable, "book/intro")
    assert "also at paper scale" not in intro

    # Nothing is loaded from elsewhere.
    for document in ("notebooks/demo-chapter", "book/ledger", "book/code/demo-chapter"):
        text = html(buildable, document)
        assert "unpkg.com" not in text
        assert "cdn" not in text.lower()
    indices = article(buildable, "book/indices")
    assert 'href="demo-chapter.html#thm-demo-chapter-main"' in indices


def test_pages_follow_the_records_and_what_waits_for_one_is_shown_once_there_is_one(buildable):
    waiting = ":::{record-only}\nAt scale the mean is {measured}`C1.mean|.1f@paper`.\n:::\n"
    buildable.edit(buildable.root / "book" / "demo-chapter.md", "Notation; name", waiting + "\nNotation; name")
    address = "https://example.org/some/where"
    config = buildable.root / "_config.yml"
    text = re.sub(r"^ *companion_repository:.*\n", "", config.read_text(), flags=re.M)
    config.write_text(text.replace("\n  config:\n", f"\n  config:\n    companion_repository: {address}\n"))
    built = build(buildable)
    assert built.returncode == 0, built.stdout + built.stderr
    page = html(buildable, "book/demo-chapter")
    assert "At scale" not in page
    assert f'href="{address}"' in page
    assert f"git clone {address}" in markup.unescape(re.sub(r"<[^>]+>", "", page))
    assert ">0.25<" not in html(buildable, "book/intro")

    buildable.edit(buildable.experiments, "normal(size=params.samples)", "random(params.samples) * 0 + 0.25")
    assert buildable.companion("execute").returncode == 0
    done = buildable.companion("run", "demo-chapter", "--profile", "paper", "--out", "records")
    assert done.returncode == 0, done.stderr
    lab = "          - file: notebooks/demo-chapter\n"
    buildable.edit(buildable.root / "_toc.yml", lab, lab + "          - file: records/demo-chapter\n")
    built = build(buildable)
    assert built.returncode == 0, built.stdout + built.stderr
    page = article(buildable, "book/demo-chapter")
    assert re.search(r"At scale the mean is <a [^>]*paper, seed 0", page)
    assert "Run on" in page
    assert ">0.25<" in html(buildable, "book/intro")
    ledger = article(buildable, "book/ledger")
    assert re.findall(r'<th class="head">.*?<p>(.*?)</p>', ledger) == ["Claim", "quick", "paper"]
    assert "also at paper scale" in article(buildable, "book/intro")


FAULTS = {
    "{measured}`C1.median`": "no 'median' in it",
    "{measured}`C9.mean`": "C9.mean: no such claim",
    "{measured}`C1`": "C1: several values",
    "{measured}`C1.mean|d`": "C1.mean: ",
    "{measured}`C1.mean@paper`": "C1.mean: demo-chapter has no record at paper",
    "{claim}`C8`": "C8: demo-chapter has no such claim",
    "{claim}`nowhere:C1`": "nowhere: no such chapter",
    "{computed}`algorithm.nothing(1)`": "algorithm.nothing(1)",
    "```{record-figure} glimpse\n```": "shows no figure named 'glimpse'",
    "See {prf:ref}`thm-nowhere`.": "thm-nowhere",
    "See {footcite:p}`nobody1900nothing`.": "nobody1900nothing",
    "See [there](no-such-page.md).": "no-such-page",
}


def test_every_kind_of_fault_in_a_page_fails_the_build(buildable):
    buildable.edit(buildable.root / "book" / "demo-chapter.md", "Notation; name", "\n\n".join(FAULTS) + "\n\nNotation;")
    claims = buildable.package / "claims.py"
    buildable.edit(claims, '    figure="glance",', '    figure="glance",\n    theorem="thm-no-theorem",')
    assert buildable.companion("execute").returncode == 0
    (buildable.root / "book" / "references.bib").write_text("")
    built = build(buildable)
    assert built.returncode != 0
    for complaint in [*FAULTS.values(), "thm-no-theorem", "no entry 'author2026word'"]:
        assert complaint in built.stdout + built.stderr, complaint


def test_a_notebook_that_fails_stops_make_before_the_build(buildable, root):
    """`make book` is `companion execute` and then the build; the first must not pass over a failure."""
    recipe = (root / "Makefile").read_text()
    assert "book: executed html" in recipe
    buildable.edit(buildable.lab, "verdicts = verify", "1 / 0\nverdicts = verify")
    assert buildable.companion("execute", "--into", "_build/executed").returncode == 3
