"""The ledger: every claim of every chapter, filtered on the page, and as files to take away."""

from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx

from companion import ledger
from companion.catalogue import Chapter
from companion.ledger import Row, Seeds
from companion.parameters import PROFILES
from companion.sphinx.records import Reader, claim_anchor, note_files, records_of
from companion.sphinx.tables import badge, permalink, row_mark, see, table

FILES = {"ledger.json": ledger.as_json, "ledger.csv": ledger.as_csv}
FOLDER = Path("book")  # where in the built book the files lie, beside the page


class LedgerTable(Reader):
    """Every claim of every chapter with its verdicts, a section for each chapter."""

    def run(self) -> list[nodes.Node]:
        self.read_all()
        note_files(self.env, self.root / ledger.SEEDS)
        self.env.metadata[self.env.docname]["companion-ledger"] = True  # this page loads the script that filters
        rows = self.records.ledger
        shown = {PROFILES[0]: True, PROFILES[1]: any(row.paper for row in rows)}
        parts = list(dict.fromkeys(row.part for row in rows))
        sections = [
            self._section(chapter, [row for row in rows if row.chapter == chapter.slug], shown)
            for chapter in self.records.chapters
        ]
        return [self._filter(rows, parts), self._files(), *sections]

    def _section(self, chapter: Chapter, rows: list[Row], shown: dict[str, bool]) -> nodes.section:
        title = self.records.titles[chapter.slug]
        seeds = ledger.read_seeds(chapter)
        section = nodes.section(ids=[f"ledger-{chapter.slug}"], classes=["ledger-chapter"])
        section += nodes.title("", title)
        links = [
            self.link("chapter", f"book/{chapter.slug}"),
            nodes.Text(", "),
            self.link("lab", f"notebooks/{chapter.slug}"),
            nodes.Text(f". {chapter.part}."),
        ]
        if seeds:
            links.append(nodes.Text(f" {_seeds_line(seeds)}"))
        section += nodes.paragraph("", "", *links, classes=["ledger-about"])
        declared = {claim.id: claim for claim in chapter.claims}
        body, marks = [], []
        for row in rows:
            anchor = f"{chapter.slug}-{claim_anchor(row.claim)}"
            name = self.link(row.claim, f"book/{chapter.slug}", claim_anchor(row.claim))
            says = [
                permalink(row.claim, anchor),
                nodes.Text(" "),
                nodes.strong("", "", name),
                nodes.Text(" " + row.says),
            ]
            if row.claim in declared:
                says += [nodes.Text(" "), see(self.env, chapter, declared[row.claim])]
            cells: list[Any] = [says, badge(row.quick)]
            cells += [badge(row.paper)] if shown[PROFILES[1]] else []
            cells += [_held(seeds, row.claim)] if seeds else []
            body.append(cells)
            mark, classes = row_mark(anchor, declared.get(row.claim, row), row.quick)
            marks.append((mark, [*classes, f"part-{nodes.make_id(chapter.part)}"]))
        header = ["Claim", PROFILES[0], *([PROFILES[1]] if shown[PROFILES[1]] else []), *(["seeds"] if seeds else [])]
        widths = [100 - 16 * (len(header) - 1), *[16] * (len(header) - 1)]
        section += table(header, body, "ledger-table", widths, marks)
        return section

    def _filter(self, rows: list[Row], parts: list[str]) -> nodes.Node:
        """Chips and a text box, which the script shows; without it there is nothing to press and all is visible."""
        stances = dict.fromkeys(verdict.stance for row in rows if (verdict := row.quick or row.paper))
        groups = {
            "Stance": [(stance, f"stance-{stance}") for stance in stances],
            "Part": [(part, f"part-{nodes.make_id(part)}") for part in parts],
            "Verdict": [("holds", "is-sound"), ("fails", "is-unsound"), ("undecided", "is-none")],
        }
        chips = "".join(
            f'<div class="chips" role="group" aria-label="{group}"><span class="chips-label">{group}</span>'
            + "".join(
                f'<button type="button" class="chip" aria-pressed="false" data-class="{name}">{text}</button>'
                for text, name in entries
            )
            + "</div>"
            for group, entries in groups.items()
        )
        markup = (
            f'<div class="ledger-filter" hidden>{chips}'
            '<label class="ledger-search-label">Text <input class="ledger-search" type="search" '
            'placeholder="words of a claim"></label>'
            '<button type="button" class="ledger-reset">Show all</button>'
            '<p class="ledger-count" role="status"></p></div>'
        )
        return nodes.raw("", markup, format="html")

    def _files(self) -> nodes.Node:
        links: list[nodes.Node] = [nodes.Text("As files: ")]
        for k, name in enumerate(FILES):
            links += [nodes.Text(", ")] if k else []
            # On this page the address is that of the file beside it.
            links.append(nodes.reference("", name, refuri=name, classes=["download"]))
        return nodes.paragraph("", "", *links, nodes.Text("."), classes=["ledger-files"])


def _seeds_line(seeds: Seeds) -> str:
    first, _, end = seeds.seeds.partition(":")
    which = f"seeds {first} to {int(end) - 1}" if end else f"seeds {seeds.seeds}"
    older = "" if seeds.current else ", on an older version of the code"
    return f"Fresh {which}, on which nobody developed{older}."


def _held(seeds: Seeds | None, claim: str) -> list[nodes.Node]:
    """On how many of the fresh seeds a claim held and its control was refuted."""
    if seeds is None or claim not in seeds.claims:
        return [nodes.Text("–")]
    held, of = seeds.claims[claim]
    refuted, controls = seeds.controls.get(claim, (0, 0))
    text = f"{held} of {of}" + (f", control {refuted} of {controls}" if controls else "")
    return [nodes.inline("", text, classes=["seeds"] if seeds.current else ["seeds", "seeds-older"])]


class LedgerTotals(Reader):
    """The ledger in one row of numbers."""

    LABELS: ClassVar = {
        "chapters": "chapters",
        "claims": "claims",
        "reproduced": "reproduced",
        "restated": "restated",
        "refuted": "refuted",
        "undecided": "undecided",
        "added": "added by us",
        "controls_refuted": "controls refuted",
        "at_paper_profile": "also at paper scale",
    }

    def run(self) -> list[nodes.Node]:
        self.read_all()
        counts = ledger.totals(self.records.ledger)
        tiles = [
            nodes.container(
                "",
                nodes.paragraph("", "", nodes.inline("", str(counts[key]), classes=["total-count"])),
                nodes.paragraph("", "", nodes.inline("", label, classes=["total-label"])),
                classes=["total", f"total-{key}"],
            )
            for key, label in self.LABELS.items()
            if counts[key] or key in ("chapters", "claims")
        ]
        return [nodes.container("", *tiles, classes=["ledger-totals"])]


def load_filter(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the filter's script where the ledger stands, and only there."""
    if "companion-ledger" in (context.get("meta") or {}):
        app.add_js_file("ledger.js", loading_method="defer")


def write_files(app: Sphinx, error: Exception | None) -> None:
    """Write the ledger as files beside its page."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in FILES.items():
            (folder / name).write_text(write(records_of(app).ledger), "utf-8")
