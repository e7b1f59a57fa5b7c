"""What the search page searches: the prose of every page by section, with formulas as they are read.

Sphinx's own index knows words without their place: it cannot rank a chapter before a how-to page, finds no phrase and
no Greek letter, shows excerpts with their markup and needs a server. Here the text itself goes into one script, which
the search page alone loads; ``search.js`` looks through it.
"""

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from companion import catalogue
from companion.sphinx.tex import readable

# What is not prose.
LEFT_OUT = (
    nodes.literal_block, nodes.comment, nodes.raw, nodes.system_message, nodes.footnote, nodes.citation, nodes.image,
    nodes.footnote_reference, nodes.citation_reference, nodes.target, nodes.substitution_definition, addnodes.toctree,
)  # fmt: skip
CELLS = {"cell_input", "cell_output"}  # their text is code or what it printed
# Parts of a table's cell that the style sheet puts on lines of their own.
SHOWN_AS_BLOCKS = {"reason", "control-says", "measured-values", "control-values", "verdict", "claim-see"}
# Longer ones cannot be read without being typeset.
LONGEST_FORMULA = 32


def text_of(node: nodes.Node) -> str:
    """The text of a node as it is read: formulas in plain characters, references by their words, no code blocks."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, nodes.math | nodes.math_block):
        formula = readable(node.astext())
        return formula if len(formula) <= LONGEST_FORMULA else "…"
    if isinstance(node, LEFT_OUT) or CELLS.intersection(node.get("classes", ())):
        return ""
    if isinstance(node, addnodes.pending_xref) and not node.get("refexplicit") and node.get("reftype") in ("ref", "eq"):
        return ""
    inner = "".join(text_of(child) for child in node.children)
    inside = isinstance(node, nodes.Inline) and not SHOWN_AS_BLOCKS.intersection(node.get("classes", ()))
    return inner if inside else f" {inner}\n"


def tidy(text: str) -> str:
    """One line, single spaces, none before punctuation."""
    return re.sub(r"\s+([,.;:!?)])", r"\1", re.sub(r"\s+", " ", text)).strip()


def sections_of(doctree: nodes.document) -> list[tuple[str, str, str]]:
    """Anchor, heading and text of each section of a page; the first one is the page itself, without an anchor."""
    found = []
    for section in doctree.findall(nodes.section):
        title = next((child for child in section.children if isinstance(child, nodes.title)), None)
        if title is None:
            continue
        inner = [child for child in section.children if not isinstance(child, nodes.section | nodes.title)]
        anchor = section["ids"][0] if found and section["ids"] else ""
        found.append((anchor, tidy(text_of(title)), tidy(" ".join(map(text_of, inner)))))
    return found


def terms_of(doctree: nodes.document) -> list[str]:
    """The terms that the page gives to the index."""
    entries = [entry for node in doctree.findall(addnodes.index) for entry in node["entries"]]
    return sorted({part.strip() for entry in entries for part in re.split("[;!]", entry[1])})


def kind_of(docname: str, slugs: set[str]) -> str:
    """Whether a page is a chapter, a lab, a part or a page about the book."""
    folder, _, name = docname.rpartition("/")
    if name in slugs:
        return "chapter" if folder == "book" else "lab" if folder == "notebooks" else "record"
    return "part" if folder == "book/parts" else "about"


def remember(app: Sphinx, doctree: nodes.document) -> None:
    """Keep a page's text as it is read, so that pages that did not change need not be read again."""
    kept = app.env.__dict__.setdefault("companion_search", {})
    kept[app.env.docname] = {"s": sections_of(doctree), "x": terms_of(doctree)}


def forget(_: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """A page that is read anew or gone."""
    env.__dict__.get("companion_search", {}).pop(docname, None)


def merge(_: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    """What a parallel reader kept."""
    theirs = other.__dict__.get("companion_search", {})
    env.__dict__.setdefault("companion_search", {}).update({name: theirs[name] for name in docnames if name in theirs})


def search_data(app: Sphinx) -> list[dict[str, Any]]:
    """All pages of the book for ``search.js``, chapters first."""
    chapters = catalogue.chapters(Path(app.srcdir))
    number = {f"book/{chapter.slug}": position for position, chapter in enumerate(chapters, start=1)}
    slugs = {chapter.slug for chapter in chapters}
    papers = {chapter.slug: f"{chapter.paper.title}. {', '.join(chapter.paper.authors)}" for chapter in chapters}
    pages = []
    for docname, kept in app.env.__dict__.get("companion_search", {}).items():
        if not kept["s"]:
            continue
        page = {"u": app.builder.get_target_uri(docname), "k": kind_of(docname, slugs), **kept}
        if docname in number:
            page |= {"n": number[docname], "p": papers[Path(docname).name]}
        pages.append(page)
    order = ["chapter", "lab", "record", "part", "about"]
    return sorted(pages, key=lambda page: (order.index(page["k"]), page.get("n", 0), page["u"]))


BODY = """\
<h1>Search</h1>
<form class="book-search" role="search" action="search.html" method="get">
  <input type="search" name="q" class="form-control" aria-label="Search the book" autocomplete="off"
         placeholder="max margin, sharpness, ρ …" />
</form>
<noscript><p>The search runs in your browser and needs JavaScript.</p></noscript>
<p id="search-count" role="status"></p>
<ol id="search-results"></ol>
<script src="_static/search-data.js"></script>
<script src="_static/search.js"></script>
"""


def search_page(app: Sphinx):
    """The page itself and, beside it, its data."""
    if app.builder.format == "html":
        data = json.dumps(search_data(app), ensure_ascii=False, separators=(",", ":"))
        folder = Path(app.outdir) / "_static"
        folder.mkdir(exist_ok=True)
        # As a script and not as JSON, which a page opened from a file may not fetch.
        (folder / "search-data.js").write_text(f"window.BOOK={data};\n", encoding="utf-8")
        yield "search", {"title": "Search", "body": BODY}, "page.html"


def replace_sphinx_search(app: Sphinx) -> None:
    """Sphinx shall make no index of its own."""
    app.builder.search = False


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.connect("builder-inited", replace_sphinx_search)
    app.connect("doctree-read", remember)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("html-collect-pages", search_page)
