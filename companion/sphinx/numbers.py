"""Numbers by chapter: chapters are counted through all parts, theorems, equations and figures within their chapter.

Sphinx numbers whatever stands in a numbered table of contents, which would give the pages that open a part a number,
too, and start anew in each part. Here the chapters of the catalogue are numbered, and nothing else.
"""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles
from sphinx_proof.proof_type import PROOF_TYPES

from companion import catalogue


def number_chapters(_: TocTreeCollectorWithStyles, env: BuildEnvironment) -> list[str]:
    """Give each chapter its number; returns the documents whose number has changed, as Sphinx's own method does."""
    before, env.toc_secnumbers = env.toc_secnumbers, {}
    for docname, toc in env.tocs.items():
        _mark(toc, env.titles.get(docname), None)
    for number, chapter in enumerate(catalogue.chapters(Path(env.srcdir)), start=1):
        docname = f"book/{chapter.slug}"
        if docname in env.tocs:
            # Sections say that they have none; otherwise each would show its chapter's.
            anchors = [entry["anchorname"] for entry in env.tocs[docname].findall(nodes.reference)]
            env.toc_secnumbers[docname] = dict.fromkeys(anchors) | {"": (number,)}
            _mark(env.tocs[docname], env.titles.get(docname), [number])
    documents = before.keys() | env.toc_secnumbers.keys()
    return sorted(name for name in documents if before.get(name) != env.toc_secnumbers.get(name) and name in env.tocs)


def _mark(toc: nodes.Element, title: nodes.title | None, number: list[int] | None) -> None:
    """The number on a document's first entry in the table of contents and on its title, where Sphinx looks for it."""
    entry = next(toc.findall(nodes.reference), None)
    for node in (entry, title):
        if node is not None:
            node["secnumber"] = number


def setup(app: Sphinx) -> None:
    """Replace Sphinx's numbering and let theorems, equations and figures follow it."""
    TocTreeCollectorWithStyles.assign_section_numbers = number_chapters
    app.config.numfig = True
    app.config.math_numfig = True
    # Everything that is stated in a chapter shares one count: Theorem 2.1, Lemma 2.2, Definition 2.3.
    app.config.prf_realtyp_to_countertyp = dict.fromkeys(PROOF_TYPES, "theorem")
