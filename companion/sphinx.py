"""The book's own directives and roles. They read records; nothing that we measured is typed in a page.

Directives: ``claims-table``, ``parameters-table``, ``paper-record``, ``record-figure``, ``chapter-list``,
``ledger-table``, ``ledger-totals``. Role: ``measured``. On a chapter's page the chapter is the page's own; elsewhere
``:chapter: SLUG`` names it (in the role, ``SLUG:C1.slope``).
"""

import base64
import filecmp
import hashlib
import json
import re
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from companion import catalogue, ledger
from companion.catalogue import Chapter
from companion.claims import Verdict, format_measured, format_number, mark, refutation

PROFILES = ("quick", "paper")


class PageError(ValueError):
    """A page asks for something that the records do not hold; fails the build."""


# --- looking up ---------------------------------------------------------------------------------------------------


def chapter_of(docname: str, given: str | None, root: Path) -> Chapter:
    """The chapter that a directive speaks of: the one named, else the page's own."""
    return catalogue.find(given or Path(docname).name, root)


def lookup(bundle: dict[str, Any], path: str) -> Any:
    """A measured value of a verdicts bundle.

    ``C1a.slope`` is claim C1a's measured ``slope``, ``C1a.control.slope`` its control's, ``quantities.name`` a further
    quantity; ``[k]`` picks from a list and ``[key]`` from a mapping.

    Raises
    ------
    PageError
        If there is no such value.
    """
    parts = re.findall(r"[^.\[\]]+", path)
    known = {verdict["claim"]: verdict for verdict in bundle["verdicts"]}
    if parts[0] == "quantities":
        value: Any = bundle.get("quantities", {})
        rest = parts[1:]
    elif parts[0] in known:
        verdict = known[parts[0]]
        rest = parts[1:]
        value = verdict["measured"]
        if rest and rest[0] == "control":
            value, rest = (verdict["control"] or {}).get("measured", {}), rest[1:]
    else:
        raise PageError(f"{path}: no such claim, there are: {', '.join(known)}, quantities")
    for part in rest:
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            has = (
                ", ".join(value)
                if isinstance(value, dict)
                else f"{len(value)} entries"
                if isinstance(value, list)
                else value
            )
            raise PageError(f"{path}: no {part!r} in it, there is: {has}") from None
    return value


def format_value(value: Any, style: str | None = None) -> str:
    """A measured value for prose. ``style`` is a Python format such as ``.2f`` or ``.0%``, or ``sci``."""
    if isinstance(value, list):
        return ", ".join(format_value(item, style) for item in value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return format_number(value)
    if style and style != "sci":
        return format(value, style).replace("-", "−")
    if isinstance(value, int) and style is None and abs(value) < 10**6:
        return str(value).replace("-", "−")
    if style == "sci" or (value and not 1e-3 <= abs(value) < 1e5):
        mantissa, exponent = f"{value:.1e}".split("e")
        superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa.replace('-', '−')} × 10{superscript}"
    return f"{value:.3g}".replace("-", "−")


class _Reader(SphinxDirective):
    """What all directives share: the root, the chapter, and the record as a dependency of the page."""

    option_spec: ClassVar = {"chapter": directives.unchanged, "profile": lambda text: directives.choice(text, PROFILES)}
    has_content = True
    optional_arguments = 1

    @property
    def root(self) -> Path:
        return Path(self.env.srcdir)

    @property
    def chapter(self) -> Chapter:
        return chapter_of(self.env.docname, self.options.get("chapter"), self.root)

    def record(self, chapter: Chapter, profile: str) -> ledger.Record | None:
        return note_record(self.env, chapter, profile)

    def table(self, header: list[str], rows: list[list[Any]], classes: str, widths: list[int]) -> nodes.Node:
        """A table; a cell is text or a list of inline nodes."""
        group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in widths], cols=len(header))
        head, body = nodes.thead(), nodes.tbody()
        head += _row(header)
        for row in rows:
            body += _row(row)
        group += [head, body]
        table = nodes.table("", group, classes=[*classes.split(), "companion-table", "colwidths-given"])
        # On a narrow screen the table scrolls inside its container, not the page.
        return nodes.container("", table, classes=["companion-scroll"])


def _row(cells: list[Any]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        content = nodes.paragraph("", "", *([nodes.Text(str(cell))] if isinstance(cell, str | int) else cell))
        row += nodes.entry("", content)
    return row


def note_record(env: Any, chapter: Chapter, profile: str) -> ledger.Record | None:
    """A chapter's record, noted so that the page is rebuilt when it changes."""
    record = ledger.find_record(chapter, profile)
    if record is not None:
        env.note_dependency(str(record.path))
    for module in (chapter.root / "companion" / "chapters").glob(f"{catalogue.module_name(chapter.slug)}*"):
        for file in [module] if module.is_file() else module.glob("*.py"):
            env.note_dependency(str(file))
    return record


def _note(paragraph: nodes.paragraph) -> nodes.admonition:
    return nodes.admonition("", nodes.title("", "Paper profile"), paragraph, classes=["note"])


def _badge(verdict: Verdict | None) -> list[nodes.Node]:
    if verdict is None:
        return [nodes.inline("", "no record", classes=["verdict", "verdict-none"])]
    kind = "none" if not verdict.decided else "sound" if verdict.sound else "unsound"
    return [nodes.inline("", mark(verdict), classes=["verdict", f"verdict-{kind}", f"stance-{verdict.stance}"])]


def _outcome(verdict: Verdict | None) -> list[nodes.Node]:
    """Badge, measured values, control."""
    if verdict is None or not verdict.decided:
        return _badge(verdict)
    shown = [*_badge(verdict), nodes.inline("", format_measured(verdict.measured), classes=["measured-values"])]
    control = f"control {refutation(verdict)}: {format_measured(verdict.control['measured'])}"
    return [*shown, nodes.inline("", control, classes=["control-values"])]


# --- directives ---------------------------------------------------------------------------------------------------


class ClaimsTable(_Reader):
    """The chapter's claims with criterion, reason, control, and the verdicts of both profiles."""

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        found = {profile: self._verdicts(chapter, profile) for profile in PROFILES}
        header = ["Claim", "Criterion and control", "quick"] + (["paper"] if found["paper"] else [])
        rows = []
        for claim in chapter.claims:
            quick, paper = (found[profile].get(claim.id) for profile in PROFILES)
            criterion = (quick or paper).criterion if quick or paper else "not run yet"
            says = [nodes.strong("", claim.id), nodes.Text(" " + claim.says)]
            judged: list[nodes.Node] = [nodes.Text(criterion)]
            if claim.control is not None:
                judged = [
                    nodes.literal("", criterion),
                    nodes.inline("", claim.reason, classes=["reason"]),
                    nodes.inline("", f"Control: {claim.control.says}", classes=["control-says"]),
                ]
            rows.append([says, judged, _outcome(quick)] + ([_outcome(paper)] if found["paper"] else []))
        widths = [30, 35, 35] if not found["paper"] else [26, 28, 23, 23]
        return [self.table(header, rows, "claims-table", widths)]

    def _verdicts(self, chapter: Chapter, profile: str) -> dict[str, Verdict]:
        record = self.record(chapter, profile)
        return {verdict.claim: verdict for verdict in record.verdicts} if record and record.verdicts else {}


class ParametersTable(_Reader):
    """The chapter's parameters: meaning, type, valid values, value at each profile."""

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        self.record(chapter, "quick")
        rows = [
            [
                [nodes.literal("", row["name"])],
                row["description"],
                row["allowed"],
                format_number(row["quick"]),
                format_number(row["paper"]),
            ]
            for row in chapter.parameters.table()
        ]
        return [
            self.table(
                ["Parameter", "Meaning", "Allowed", "quick", "paper"], rows, "parameters-table", [23, 30, 19, 14, 14]
            )
        ]


class PaperRecord(_Reader):
    """Says what ran at the paper's scale: device, duration, versions; or that no record exists yet."""

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        record = self.record(chapter, "paper")
        if record is None:
            text = (
                "No record at the paper profile exists yet: nobody has run this chapter on a GPU and committed the "
                "result. The verdicts above are those of the quick profile."
            )
            return [_note(nodes.paragraph("", text))]
        origin = record.provenance
        minutes = origin.get("duration_seconds", 0) / 60
        text = f"Run on {origin['device']} in {minutes:.1f} minutes, Python {origin['python']}, "
        text += ", ".join(f"{name} {version}" for name, version in origin["packages"].items() if version)
        if origin.get("revision"):
            text += f", revision {origin['revision']}"
        link = nodes.reference(
            "",
            "The executed notebook",
            refuri=self.env.app.builder.get_relative_uri(self.env.docname, f"records/{chapter.slug}"),
        )
        paragraph = nodes.paragraph("", text + ". ", link, nodes.Text(" is part of the book."))
        return [_note(paragraph)]


class RecordFigure(_Reader):
    """A figure that the chapter's notebook drew, by the name it has there; the content is the caption."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        chapter, name = self.chapter, self.arguments[0]
        profile = self.options.get("profile", "quick")
        record = self.record(chapter, profile)
        from companion.execution import read_figure

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
        if self.content:
            caption = nodes.caption()
            self.state.nested_parse(self.content, self.content_offset, caption)
            inlines = caption.children[0].children if caption.children else []
            figure += nodes.caption("", "", *inlines)
        return [figure]


class ChapterList(_Reader):
    """The finished chapters, of one part if its name is given, with paper and tally of claims."""

    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        wanted = self.arguments[0] if self.arguments else None
        items = []
        for chapter in catalogue.chapters(self.root):
            if wanted in (None, chapter.part):
                items.append(self._item(chapter))
        return [nodes.bullet_list("", *items, classes=["chapter-list"])]

    def _item(self, chapter: Chapter) -> nodes.list_item:
        record = self.record(chapter, "quick")
        verdicts = list(record.verdicts) if record and record.verdicts else []
        paper = chapter.paper
        title = page_title(chapter.page)
        uri = self.env.app.builder.get_relative_uri(self.env.docname, f"book/{chapter.slug}")
        sound = sum(verdict.decided and verdict.sound for verdict in verdicts)
        undecided = sum(not verdict.decided for verdict in verdicts)
        tally = f"{len(verdicts)} claims: {sound} hold for their stance with the control refuted"
        tally += f", {undecided} undecided." if undecided else "."
        names = (
            paper.authors[0] if len(paper.authors) == 1 else ", ".join(paper.authors[:-1]) + " and " + paper.authors[-1]
        )
        line = nodes.paragraph("", "", nodes.reference("", "", nodes.strong("", title), refuri=uri))
        about = nodes.paragraph(
            "", "", nodes.emphasis("", paper.title), nodes.Text(f". {names}. {paper.venue} {paper.year}.")
        )
        return nodes.list_item("", line, about, nodes.paragraph("", tally, classes=["tally"]))


class LedgerTable(_Reader):
    """Every claim of every chapter with its verdict at both profiles."""

    def run(self) -> list[nodes.Node]:
        for chapter in catalogue.chapters(self.root):
            for profile in PROFILES:
                self.record(chapter, profile)
        rows = []
        previous = None
        for row in ledger.read_ledger(self.root):
            chapter = catalogue.find(row.chapter, self.root)
            uri = self.env.app.builder.get_relative_uri(self.env.docname, f"book/{row.chapter}")
            name: Any = [nodes.reference("", page_title(chapter.page), refuri=uri)] if row.chapter != previous else ""
            previous = row.chapter
            rows.append(
                [name, [nodes.strong("", row.claim), nodes.Text(" " + row.says)], _badge(row.quick), _badge(row.paper)]
            )
        return [self.table(["Chapter", "Claim", "quick", "paper"], rows, "ledger-table", [22, 50, 14, 14])]


class LedgerTotals(_Reader):
    """The ledger in one row of numbers."""

    LABELS: ClassVar = {
        "chapters": "chapters",
        "claims": "claims",
        "reproduced": "reproduced",
        "restated": "restated",
        "refuted": "refuted",
        "undecided": "undecided",
        "controls_refuted": "controls refuted",
        "at_paper_profile": "also at paper scale",
    }

    def run(self) -> list[nodes.Node]:
        for chapter in catalogue.chapters(self.root):
            for profile in PROFILES:
                self.record(chapter, profile)
        counts = ledger.totals(ledger.read_ledger(self.root))
        tiles = [
            nodes.container(
                "",
                nodes.paragraph("", "", nodes.inline("", str(counts[key]), classes=["total-count"])),
                nodes.paragraph("", "", nodes.inline("", label, classes=["total-label"])),
                classes=["total", f"total-{key}"],
            )
            for key, label in self.LABELS.items()
        ]
        return [nodes.container("", *tiles, classes=["ledger-totals"])]


class Measured(SphinxRole):
    """``{measured}`C1a.slope|.2f@paper```: a measured value from a record."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        match = re.fullmatch(r"(?:([a-z0-9-]+):)?([^|@]+?)(?:\|([^@]+))?(?:@(quick|paper))?", self.text.strip())
        try:
            if not match:
                raise PageError(f"{self.text}: write [CHAPTER:]CLAIM.NAME[|FORMAT][@PROFILE]")
            slug, path, style, profile = match.groups()
            chapter = chapter_of(self.env.docname, slug, Path(self.env.srcdir))
            record = note_record(self.env, chapter, profile or "quick")
            if record is None and profile == "paper":
                return [nodes.inline("", "(no record yet)", classes=["measured"])], []
            if record is None or record.verdicts is None:
                raise PageError(f"{chapter.slug} has not been executed: run `companion execute {chapter.slug}`")
            text = format_value(lookup(record.verdicts.as_dict(), path.strip()), style and style.strip())
        except (PageError, LookupError, ValueError) as error:
            message = self.inliner.reporter.error(f"measured: {error}", line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]
        return [nodes.inline("", text, classes=["measured"])], []


def page_title(page: Path) -> str:
    """The first heading of a page."""
    found = re.search(r"^# (.+)$", page.read_text(), flags=re.M) if page.is_file() else None
    return found.group(1).strip() if found else page.stem


# --- notebooks as this machine executed them ------------------------------------------------------------------------


def use_executed_notebook(app: Sphinx, docname: str, source: list[str]) -> None:
    """Show a lab as this machine executed it, if that is current, and give its figures their alternative text."""
    if not docname.startswith(("notebooks/", "records/")):
        return
    if docname.startswith("notebooks/"):
        chapter = catalogue.find(Path(docname).name, Path(app.srcdir))
        record = note_record(app.env, chapter, "quick")
        if record is not None:
            source[0] = record.path.read_text()
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt:
                cell["metadata"].setdefault("mystnb", {})["image"] = {"alt": alt}
    source[0] = json.dumps(notebook)


def rebuild_for_changed_styles(
    app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Sphinx copies style sheets only when some page is out of date; make one so when a style sheet has changed."""
    ours = [Path(app.confdir, folder) for folder in app.config.html_static_path if not Path(folder).is_absolute()]
    for folder in ours:
        for file in filter(Path.is_file, folder.glob("*")):
            built = Path(app.outdir) / "_static" / file.name
            if not built.is_file() or not filecmp.cmp(file, built, shallow=False):
                return [app.config.root_doc]
    return []


def keep_offline(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Drop the live-code scripts that jupyter-book adds to every page; they would be fetched from elsewhere."""
    context["script_files"] = [script for script in context.get("script_files", []) if not _is_thebe(script)]
    context["default_mode"] = context.get("default_mode") or "auto"


def _is_thebe(script: Any) -> bool:
    attributes = getattr(script, "attributes", {})
    return "thebe" in f"{getattr(script, 'filename', script)} {attributes.get('body', '')}".lower()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register everything with Sphinx."""
    for name, directive in {
        "claims-table": ClaimsTable,
        "parameters-table": ParametersTable,
        "paper-record": PaperRecord,
        "record-figure": RecordFigure,
        "chapter-list": ChapterList,
        "ledger-table": LedgerTable,
        "ledger-totals": LedgerTotals,
    }.items():
        app.add_directive(name, directive)
    app.add_role("measured", Measured())
    app.connect("env-get-outdated", rebuild_for_changed_styles)
    app.connect("source-read", use_executed_notebook)
    app.connect("html-page-context", keep_offline, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
