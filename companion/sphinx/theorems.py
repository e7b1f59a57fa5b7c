"""Theorems: what checks each of them, and a list of all."""

import re
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from companion.catalogue import Chapter
from companion.sphinx.records import Reader, claim_anchor, link, note_files, records_of
from companion.sphinx.tables import theorem_link

OPENING = re.compile(r"^:{3,}\{prf:(?!proof\b)(\w+)\} *(.*)\n(?::\w+:.*\n)*?:label: *(\S+)", flags=re.M)


@dataclass(frozen=True)
class Statement:
    """A theorem, lemma, … of a page."""

    kind: str
    title: str
    label: str


def statements(page: Path) -> list[Statement]:
    """The labelled statements of a page, in order."""
    text = page.read_text("utf-8") if page.is_file() else ""
    return [Statement(*match.groups()) for match in OPENING.finditer(text)]


def name_checks(app: Sphinx, doctree: nodes.document) -> None:
    """Say under each statement of a chapter's page which claims check it."""
    env = app.env
    chapter = records_of(app).page_of(env.docname)
    if chapter is None:
        return
    for node in list(doctree.findall(lambda node: isinstance(node, nodes.Element) and "realtype" in node)):
        label = node.get("label")
        checked = [claim for claim in chapter.claims if claim.theorem == label]
        if not checked:
            continue
        line = nodes.paragraph("", "Checked by ", classes=["theorem-claims"])
        for k, claim in enumerate(checked):
            line += [nodes.Text(", ")] if k else []
            line += link(env, claim.id, env.docname, claim_anchor(claim.id), reftitle=claim.says)
        line += nodes.Text(".")
        node += line


class TheoremList(Reader):
    """All labelled statements of all chapters, by chapter, with the claims that check them."""

    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        for chapter in self.records.chapters:
            note_files(self.env, chapter.page)
            note_files(self.env, *self.records.sources(chapter))
            listed = statements(chapter.page)
            if listed:
                title = self.link(self.records.titles[chapter.slug], f"book/{chapter.slug}")
                found.append(nodes.paragraph("", "", nodes.strong("", "", title), classes=["theorem-chapter"]))
                items = [self._item(chapter, statement) for statement in listed]
                found.append(nodes.bullet_list("", *items, classes=["theorem-list"]))
        return found

    def _item(self, chapter: Chapter, statement: Statement) -> nodes.list_item:
        line = nodes.paragraph("", "", theorem_link(self.env, statement.label))
        if statement.title:
            inlines, _ = self.state.inline_text(statement.title, self.lineno)
            line += [nodes.Text(" "), *inlines]
        checked = [claim for claim in chapter.claims if claim.theorem == statement.label]
        for k, claim in enumerate(checked):
            line += nodes.Text(", " if k else ": ")
            line += self.link(claim.id, f"book/{chapter.slug}", claim_anchor(claim.id), reftitle=claim.says)
        return nodes.list_item("", line)


def labels(page: Path) -> set[str]:
    """The labels of a page's statements."""
    return {statement.label for statement in statements(page)}
