"""Notation: symbols noted where a page introduces them, and a list of all."""

import re
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from companion.catalogue import Chapter
from companion.sphinx.records import Reader, link, note_files

NOTED = re.compile(r"\{notation\}`([^`|]+)\|([^`]+)`")
SETTING = re.compile(r"^## +(.*(?:[Ss]etting|[Nn]otation).*?) *$", flags=re.M)


@dataclass(frozen=True)
class Symbol:
    """A symbol in TeX and what it stands for."""

    tex: str
    meaning: str

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        letters = re.sub(r"[^A-Za-z0-9]+", "-", self.tex).strip("-")
        return f"notation-{letters}"


def symbols(page: Path) -> list[Symbol]:
    """The symbols that a page notes, in order."""
    text = page.read_text("utf-8") if page.is_file() else ""
    return [Symbol(tex.strip(), meaning.strip()) for tex, meaning in NOTED.findall(text)]


class Notation(SphinxRole):
    r"""``{notation}`\rho|radius of the perturbation```: the symbol, where it is introduced."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The symbol as mathematics."""
        tex, separator, meaning = self.text.partition("|")
        if not separator or not meaning.strip():
            message = self.inliner.reporter.error(f"notation: {self.text}: write TEX|MEANING", line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]
        symbol = Symbol(tex.strip(), meaning.strip())
        formula = nodes.math(symbol.tex, symbol.tex)
        return [nodes.inline("", "", formula, ids=[symbol.anchor], classes=["notation"])], []


class NotationList(Reader):
    """By chapter: where its setting is described, and the symbols that it notes."""

    def run(self) -> list[nodes.Node]:
        items = []
        for chapter in self.records.chapters:
            note_files(self.env, chapter.page)
            line = nodes.paragraph("", "", self._setting(chapter))
            for k, symbol in enumerate(symbols(chapter.page)):
                line += nodes.Text(", " if k else ": ")
                reference = link(self.env, "", f"book/{chapter.slug}", symbol.anchor)
                reference += nodes.math(symbol.tex, symbol.tex)
                line += [reference, nodes.Text(f" {symbol.meaning}")]
            items.append(nodes.list_item("", line))
        return [nodes.bullet_list("", *items, classes=["notation-list"])]

    def _setting(self, chapter: Chapter) -> nodes.Node:
        found = SETTING.search(chapter.page.read_text("utf-8")) if chapter.page.is_file() else None
        anchor = nodes.make_id(found[1]) if found else ""
        return self.link(self.records.titles[chapter.slug], f"book/{chapter.slug}", anchor)
