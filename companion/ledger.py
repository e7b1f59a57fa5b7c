"""Read the records into one table: every claim of every chapter, with its verdicts at both profiles."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import nbformat
from nbformat import NotebookNode

from companion.catalogue import Chapter, chapters
from companion.claims import Stance, Verdict, Verdicts
from companion.execution import read_verdicts, staleness

EXECUTED = Path("_build") / "executed"


@dataclass(frozen=True)
class Record:
    """An executed notebook: where it is, what it holds."""

    path: Path

    @cached_property
    def notebook(self) -> NotebookNode:
        """The notebook."""
        return nbformat.read(self.path, as_version=4)

    @cached_property
    def verdicts(self) -> Verdicts | None:
        """Its verdicts."""
        return read_verdicts(self.notebook)

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, device, parameters, and for a run that kept its clock the duration and revision."""
        return self.notebook.metadata.get("companion", {}).get("provenance", {})


def find_record(chapter: Chapter, profile: str) -> Record | None:
    """The executed notebook of a chapter at a profile.

    At ``quick`` the one that was executed on this machine while the book was built, if it is still what the source
    gives, else the committed one; at ``paper`` the committed record. ``None`` if there is none.
    """
    if profile == "paper":
        return Record(chapter.record) if chapter.record.is_file() else None
    here = chapter.root / EXECUTED / f"{chapter.slug}.ipynb"
    if here.is_file() and not staleness(here, chapter.source, chapter.root):
        return Record(here)
    return Record(chapter.notebook) if chapter.notebook.is_file() else None


@dataclass(frozen=True)
class Row:
    """One claim of the ledger."""

    chapter: str
    claim: str
    says: str
    stance: str
    quick: Verdict | None
    paper: Verdict | None


def read_ledger(root: Path | None = None) -> list[Row]:
    """All claims of all finished chapters, in the book's order."""
    rows = []
    for chapter in chapters(root):
        records = {profile: find_record(chapter, profile) for profile in ("quick", "paper")}
        found = {profile: _by_claim(record) for profile, record in records.items()}
        rows += [
            Row(chapter.slug, claim, verdict.says, verdict.stance, found["quick"].get(claim), found["paper"].get(claim))
            for claim, verdict in (found["paper"] | found["quick"]).items()
        ]
    return rows


def _by_claim(record: Record | None) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in record.verdicts} if record and record.verdicts else {}


def totals(rows: list[Row]) -> dict[str, int]:
    """Counts over the ledger: chapters, claims, claims by stance, controls refuted, and what fails its check.

    A claim whose stance is decided but which this machine's data or parameters leave open counts as undecided.
    """
    stances = Counter(row.stance if row.quick is None or row.quick.decided else "undecided" for row in rows)
    decided = [row.quick for row in rows if row.quick is not None and row.quick.decided]
    return {
        "chapters": len({row.chapter for row in rows}),
        "claims": len(rows),
        **{stance: stances.get(stance, 0) for stance in get_args(Stance)},
        "controls_refuted": sum(verdict.control["holds"] is False for verdict in decided),
        "failing": sum(not verdict.sound for verdict in decided),
        "at_paper_profile": sum(row.paper is not None for row in rows),
    }
