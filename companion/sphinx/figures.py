"""Figures: those that a lab drew, on any page."""

import base64
import hashlib
import re

from docutils import nodes

from companion.catalogue import Chapter
from companion.execution import read_figure
from companion.parameters import PROFILES
from companion.sphinx.records import Reader, claim_anchor


def figure_anchor(name: str) -> str:
    """The id of a figure, on its chapter's page and in the lab."""
    return f"figure-{nodes.make_id(name)}"


def figures_on_page(chapter: Chapter) -> list[str]:
    """The names of the chapter's own figures that its page shows, in order."""
    text = chapter.page.read_text("utf-8") if chapter.page.is_file() else ""
    return re.findall(r"^`{3,}\{record-figure\} +(\S+) *$(?!\n:chapter:)", text, flags=re.M)


class RecordFigure(Reader):
    """A figure that the chapter's notebook drew, by the name it has there; the content is the caption."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        chapter, name = self.chapter, self.arguments[0]
        profile = self.options.get("profile", PROFILES[0])
        record = self.record(chapter, profile)
        drawn = record and read_figure(record.notebook, name)
        if not drawn:
            raise self.error(f"record-figure: {chapter.slug} shows no figure named {name!r} at {profile}")
        content, alt = drawn
        png = base64.b64decode(content)
        # Sphinx copies images from the source folder; _build is inside it and ignored by git.
        folder = self.root / "_build" / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{chapter.slug}-{name}-{hashlib.sha256(png).hexdigest()[:10]}.png"
        if not path.is_file():
            path.write_bytes(png)
        image = nodes.image(uri="/" + path.relative_to(self.root).as_posix(), alt=alt)
        figure = nodes.figure("", image, classes=["record-figure"])
        figure["companion"] = {"slug": chapter.slug, "name": name, "profile": profile}
        self._name(figure, chapter, name)
        inlines: list[nodes.Node] = []
        if self.content:
            caption = nodes.caption()
            self.state.nested_parse(self.content, self.content_offset, caption)
            inlines = list(caption.children[0].children) if caption.children else []
        inlines += self._claims(chapter, name)
        if inlines:
            figure += nodes.caption("", "", *inlines)
        return [figure]

    def _name(self, figure: nodes.figure, chapter: Chapter, name: str) -> None:
        """Give the figure its address, unless the page has it already."""
        anchor = figure_anchor(name)
        if self.env.docname != f"book/{chapter.slug}":
            anchor = f"{anchor}-{chapter.slug}"
        taken = self.env.temp_data.setdefault("companion-figures", set())
        if anchor not in taken:
            taken.add(anchor)
            figure["ids"] = [anchor]

    def _claims(self, chapter: Chapter, name: str) -> list[nodes.Node]:
        """The claims that one sees in the figure, as links."""
        seen = [claim for claim in chapter.claims if claim.figure == name]
        if not seen or self.env.docname != f"book/{chapter.slug}":
            return []
        shown: list[nodes.Node] = [nodes.Text(" Seen here: ")]
        for k, claim in enumerate(seen):
            shown += [nodes.Text(", ")] if k else []
            shown.append(self.link(claim.id, f"book/{chapter.slug}", claim_anchor(claim.id), reftitle=claim.says))
        return [nodes.inline("", "", *shown, nodes.Text("."), classes=["figure-claims"])]
