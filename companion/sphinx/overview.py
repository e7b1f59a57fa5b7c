"""What speaks of whole chapters: lists of them, what ran at the paper's scale, what was checked."""

from typing import Any

from docutils import nodes

from companion.catalogue import Chapter
from companion.mutants import CHECKED, recorded
from companion.parameters import PROFILES
from companion.sphinx.cards import duration, names
from companion.sphinx.records import Reader, note_files


class PaperRecord(Reader):
    """Says what ran at the paper's scale: device, duration, versions; nothing where there is no record."""

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        record = self.record(chapter, PROFILES[1])
        if record is None:
            return []
        origin = record.provenance
        versions = [f"{name} {version}" for name, version in origin.get("packages", {}).items() if version]
        text = f"Run on {origin['device']} in {duration(origin.get('duration_seconds', 0))}, "
        text += ", ".join([f"Python {origin['python']}", *versions])
        if origin.get("revision"):
            text += f", revision {origin['revision']}"
        link = self.link("The executed notebook", f"records/{chapter.slug}")
        paragraph = nodes.paragraph("", text + ". ", link, nodes.Text(" is part of the book."))
        return [nodes.admonition("", nodes.title("", "Paper profile"), paragraph, classes=["note"])]


class RecordOnly(Reader):
    """Content that is shown only where there is a record at the paper's scale."""

    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        if self.record(chapter, PROFILES[1]) is None:
            return []
        shown = nodes.container("", classes=["record-only"])
        self.state.nested_parse(self.content, self.content_offset, shown)
        return list(shown.children)


class ChapterList(Reader):
    """The finished chapters, of one part if its name is given, with paper and tally of claims."""

    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        wanted = self.arguments[0] if self.arguments else None
        items = [self._item(chapter) for chapter in self.records.chapters if wanted in (None, chapter.part)]
        return [nodes.bullet_list("", *items, classes=["chapter-list"])]

    def _item(self, chapter: Chapter) -> nodes.list_item:
        self.record(chapter, PROFILES[0])
        note_files(self.env, chapter.page)
        verdicts = list(self.records.verdicts(chapter, PROFILES[0]).values())
        paper = chapter.paper
        title = nodes.reference(
            "", "", nodes.strong("", self.records.titles[chapter.slug]), refuri=self.uri(f"book/{chapter.slug}")
        )
        about = [nodes.emphasis("", paper.title), nodes.Text(f". {names(paper)}. {paper.venue} {paper.year}.")]
        return nodes.list_item(
            "",
            nodes.paragraph("", "", title),
            nodes.paragraph("", "", *about),
            nodes.paragraph("", _tally(verdicts), classes=["tally"]),
        )


def _tally(verdicts: list[Any]) -> str:
    sound = sum(verdict.decided and verdict.sound for verdict in verdicts)
    undecided = sum(not verdict.decided for verdict in verdicts)
    line = f"{len(verdicts)} claims: {sound} hold for their stance with the control refuted"
    return line + (f", {undecided} undecided." if undecided else ".")


class PlantedBugs(Reader):
    """How many bugs were planted on purpose, and what noticed them, in a sentence."""

    def run(self) -> list[nodes.Node]:
        note_files(self.env, self.root / CHECKED)
        counts = planted(recorded(self.root))
        if not counts["planted"]:
            return []
        text = (
            f"{counts['planted']} bugs are planted in {counts['chapters']} chapters: the claims notice "
            f"{counts['claims']} of them, the tests of the code {counts['tests']} more"
        )
        if counts["time"]:
            text += f", and {counts['time']} run without end"
        return [nodes.paragraph("", text + "; none goes unnoticed.")]  # else the chapter would not be recorded


def planted(record: dict[str, Any]) -> dict[str, int]:
    """Totals over the record of the chapters whose planted bugs were all noticed."""
    entries = [entry["mutants"] for entry in record.values() if entry.get("mutants")]
    return {"chapters": len(entries)} | {
        key: sum(entry[key] for entry in entries) for key in ("planted", "claims", "tests", "time")
    }
