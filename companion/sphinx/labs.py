"""Labs as pages: shown as this machine executed them, with addresses for their figures and links from verdicts."""

import html
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from companion.catalogue import Chapter
from companion.claims import MIME
from companion.parameters import PROFILES
from companion.sphinx.code import code_page, line_anchor, measure_lines
from companion.sphinx.figures import figure_anchor
from companion.sphinx.records import claim_anchor, note_record, records_of

FIGURE_CLASS = "record-figure-"


def use_executed_notebook(app: Sphinx, docname: str, source: list[str]) -> None:
    """Show a lab as this machine executed it, if that is current; name its figures and link its verdicts."""
    if not docname.startswith(("notebooks/", "records/")):
        return
    chapter = records_of(app).chapter(Path(docname).name)
    profile = PROFILES[0] if docname.startswith("notebooks/") else PROFILES[1]
    record = note_record(app.env, chapter, profile)
    if record is not None and profile == PROFILES[0]:
        source[0] = record.path.read_text("utf-8")
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            _describe(cell, output)
            if MIME in output.get("data", {}):
                _link_verdicts(app, docname, chapter, output["data"])
    source[0] = json.dumps(notebook)


def _describe(cell: dict[str, Any], output: dict[str, Any]) -> None:
    """Give a picture its alternative text, and its name as a class, by which :func:`name_figures` finds it."""
    metadata = output.get("metadata", {})
    alt = metadata.get("image/png", {}).get("alt")
    if alt:
        image = {"alt": alt}
        name = metadata.get("companion", {}).get("figure")
        if name:
            image["classes"] = f"{FIGURE_CLASS}{name}"
        cell["metadata"].setdefault("mystnb", {})["image"] = image


def name_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Give each named figure of a lab its address."""
    if not app.env.docname.startswith(("notebooks/", "records/")):
        return
    taken = set()
    for image in doctree.findall(nodes.image):
        for name in image.get("classes", []):
            anchor = figure_anchor(name.removeprefix(FIGURE_CLASS))
            if name.startswith(FIGURE_CLASS) and anchor not in taken:
                taken.add(anchor)
                image["ids"] = [anchor]


def _link_verdicts(app: Sphinx, docname: str, chapter: Chapter, data: dict[str, Any]) -> None:
    """Link each claim in the table of verdicts to its row on the page, to its figure and to its code."""
    markup = data.get("text/html")
    if not markup:
        return
    whole = markup if isinstance(markup, str) else "".join(markup)
    page = app.builder.get_relative_uri(docname, f"book/{chapter.slug}")
    code = app.builder.get_relative_uri(docname, code_page(chapter))
    lines = measure_lines(chapter)
    for claim in chapter.claims:
        links = [f'<a href="{page}#{claim_anchor(claim.id)}">{html.escape(claim.id)}</a>']
        if claim.figure:
            links.append(f'<a href="#{figure_anchor(claim.figure)}">figure</a>')
        if claim.theorem:
            links.append(f'<a href="{page}#{html.escape(claim.theorem)}">theorem</a>')
        if claim.id in lines:
            links.append(f'<a href="{code}#{line_anchor(lines[claim.id])}">code</a>')
        first, *others = links
        see = f'<span class="claim-see">{" ".join(others)}</span>' if others else ""
        cell = rf"(<td[^>]*>)\s*{re.escape(html.escape(claim.id))}\s*(</td>)"
        whole = re.sub(cell, lambda match, first=first, see=see: f"{match[1]}{first}{see}{match[2]}", whole, count=1)
    data["text/html"] = whole
