"""Heads and feet of pages and labs: the paper, how to get and rerun the code, where the numbers come from."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from companion.catalogue import Chapter
from companion.ledger import Record
from companion.paper import Paper
from companion.parameters import PROFILES
from companion.provenance import revision
from companion.sphinx.downloads import ARCHIVES, first_steps
from companion.sphinx.records import PageError, link, note_files, note_record, records_of

BIBLIOGRAPHY = Path("book") / "references.bib"

logger = logging.getLogger(__name__)


def add_cards(app: Sphinx, doctree: nodes.document) -> None:
    """Give a chapter's page its card and its foot, and a lab its head."""
    env = app.env
    records = records_of(app)
    folder, _, slug = env.docname.rpartition("/")
    top = next(iter(doctree.findall(nodes.section)), None)
    if top is None:
        return
    after_title = 1 + next((k for k, child in enumerate(top) if isinstance(child, nodes.title)), -1)
    if folder == "book" and (chapter := records.page_of(env.docname)):
        top.insert(after_title, chapter_card(env, chapter))
        record = note_record(env, chapter, PROFILES[0])
        if record is not None:
            doctree += foot(env, chapter, record)
    elif folder in ("notebooks", "records"):
        chapter = records.chapter(slug)
        profile = PROFILES[0] if folder == "notebooks" else PROFILES[1]
        top.insert(after_title, lab_head(env, chapter, note_record(env, chapter, profile)))


# --- chapters -------------------------------------------------------------------------------------------------------


def chapter_card(env: Any, chapter: Chapter) -> nodes.Node:
    """The paper, the lab, the command, the code."""
    paper = chapter.paper
    note_files(env, chapter.root / BIBLIOGRAPHY)
    title: nodes.Node = nodes.emphasis("", paper.title)
    if paper.arxiv:
        title = nodes.reference("", "", title, refuri=f"https://arxiv.org/abs/{paper.arxiv}", internal=False)
    source = f"{paper.venue} {paper.year}" + (f", arXiv:{paper.arxiv}" if paper.arxiv else "")
    lab = link(env, "lab", f"notebooks/{chapter.slug}")
    archive = nodes.reference("", "its code as a zip", refuri=_archive_uri(env, chapter), classes=["download"])
    return nodes.container(
        "",
        nodes.paragraph("", "", title, classes=["card-title"]),
        nodes.paragraph("", f"{names(paper)}. {source}.", classes=["card-authors"]),
        nodes.paragraph(
            "",
            "",
            nodes.Text("Rerun it: the "),
            lab,
            nodes.Text(", "),
            archive,
            nodes.Text(", or in a clone "),
            nodes.literal("", f"companion run {chapter.slug}"),
            nodes.Text("."),
            classes=["card-rerun"],
        ),
        *folded("How to run it", [console(first_steps(chapter, env.config.companion_repository))], "card-get"),
        *_bibtex(env, chapter),
        classes=["chapter-card"],
    )


def names(paper: Paper) -> str:
    """The authors in a line."""
    return paper.authors[0] if len(paper.authors) == 1 else f"{', '.join(paper.authors[:-1])} and {paper.authors[-1]}"


def _archive_uri(env: Any, chapter: Chapter) -> str:
    # The page's own address ends in a suffix that a file has not.
    page = env.app.builder.get_relative_uri(env.docname, f"{ARCHIVES}/{chapter.slug}")
    return page.removesuffix(".html") + ".zip"


def _bibtex(env: Any, chapter: Chapter) -> list[nodes.Node]:
    path = chapter.root / BIBLIOGRAPHY
    try:
        entry = bibtex_entry(path.read_text("utf-8") if path.is_file() else "", chapter.paper.key)
    except PageError as error:
        logger.warning("%s", error, location=env.docname)
        return []
    return folded("BibTeX of the paper", [nodes.literal_block(entry, entry, language="bibtex")], "card-bibtex")


def bibtex_entry(bibliography: str, key: str) -> str:
    """The entry of a key as it stands in a bibliography.

    Raises
    ------
    PageError
        If there is none.
    """
    start = re.search(rf"@\w+\{{\s*{re.escape(key)}\s*,", bibliography)
    if not start:
        raise PageError(f"{BIBLIOGRAPHY} has no entry {key!r}")
    depth = 0
    for position in range(start.start(), len(bibliography)):
        depth += {"{": 1, "}": -1}.get(bibliography[position], 0)
        if depth == 0 and bibliography[position] == "}":
            return bibliography[start.start() : position + 1]
    raise PageError(f"{BIBLIOGRAPHY}: the entry {key!r} does not end")


# --- labs -----------------------------------------------------------------------------------------------------------


def lab_head(env: Any, chapter: Chapter, record: Record | None) -> nodes.Node:
    """How to run a lab, and where what it shows comes from."""
    archive = nodes.reference("", "zip", refuri=_archive_uri(env, chapter), classes=["download"])
    about = nodes.paragraph(
        "",
        "",
        nodes.Text("A notebook, shown as it was executed. To run it with your own parameters, get its code as a "),
        archive,
        nodes.Text(". The theorems are in "),
        link(env, "the chapter", f"book/{chapter.slug}"),
        nodes.Text("."),
    )
    steps = [console(first_steps(chapter, env.config.companion_repository))]
    shown = [about, *folded("How to run it", steps, "card-get")]
    if record is not None and record.verdicts is not None:
        shown += folded("Where it comes from", [facts(chapter, record)], "card-origin")
    return nodes.container("", *shown, classes=["lab-head"])


# --- provenance -----------------------------------------------------------------------------------------------------


def foot(env: Any, chapter: Chapter, record: Record) -> nodes.Node:
    """Where the numbers of a page come from."""
    if record.verdicts is None:
        return nodes.container("", classes=["page-foot"])
    paragraph = nodes.paragraph(
        "", "", nodes.Text("The numbers on this page are read from "), link(env, "the lab", f"notebooks/{chapter.slug}")
    )
    paragraph += nodes.Text(", executed thus:")
    return nodes.container("", paragraph, facts(chapter, record), classes=["page-foot"])


def facts(chapter: Chapter, record: Record) -> nodes.Node:
    """Profile, seed, device, versions, hash of the source, revision, claims that hold."""
    origin, verdicts = record.provenance, record.verdicts
    versions = {"Python": origin.get("python")} | origin.get("packages", {})
    entries = {
        "Profile": f"{verdicts.profile}, seed {verdicts.seed}",
        "Device": origin.get("device", verdicts.device),
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "Source": _source(chapter, record),
        "Claims": verdicts.tally(),
    }
    if origin.get("duration_seconds"):
        entries["Duration"] = duration(origin["duration_seconds"])
    fields = [
        nodes.field("", nodes.field_name("", name), nodes.field_body("", nodes.paragraph("", text)))
        for name, text in entries.items()
    ]
    return nodes.field_list("", *fields, classes=["provenance"])


def _source(chapter: Chapter, record: Record) -> str:
    stamp = record.stamp
    hashes = ", ".join(f"{name} {stamp[name]}" for name in ("source", "library", "lock") if name in stamp)
    of_run = record.provenance.get("revision")
    where = f"revision {of_run}" if of_run else f"this book was built from revision {_revision(chapter.root)}"
    return f"{chapter.source.relative_to(chapter.root).as_posix()}, hashes: {hashes}; {where}"


@cache
def _revision(root: Path) -> str:
    """The revision that is being built; git is asked once."""
    return revision(root)


def duration(seconds: float) -> str:
    """A duration in words."""
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.1f} minutes"


# --- elements -------------------------------------------------------------------------------------------------------


def folded(summary: str, content: list[nodes.Node], classes: str) -> list[nodes.Node]:
    """Content that opens on a click."""
    return [
        nodes.raw("", f'<details class="{classes}"><summary>{summary}</summary>', format="html"),
        *content,
        nodes.raw("", "</details>", format="html"),
    ]


def console(commands: str) -> nodes.literal_block:
    """Commands to copy."""
    return nodes.literal_block(commands, commands, language="bash")
