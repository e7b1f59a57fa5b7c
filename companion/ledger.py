"""Read the records into one table: every claim of every chapter, with its verdicts at both profiles."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from nbformat import NotebookNode

from companion.catalogue import Chapter, chapters
from companion.claims import Stance, Verdict, Verdicts, mark
from companion.execution import InputError, foreign, read_notebook, read_verdicts, staleness
from companion.mutants import chapter_code
from companion.parameters import PROFILES
from companion.sources import digest

EXECUTED = Path("_build") / "executed"
SEEDS = Path("book") / "seeds.json"


@dataclass(frozen=True)
class Record:
    """An executed notebook: where it is, what it holds."""

    path: Path

    @cached_property
    def notebook(self) -> NotebookNode:
        """The notebook."""
        return read_notebook(self.path)

    @cached_property
    def verdicts(self) -> Verdicts | None:
        """Its verdicts."""
        return read_verdicts(self.notebook)

    @cached_property
    def bundle(self) -> dict[str, Any]:
        """Its verdicts as plain data."""
        return self.verdicts.as_dict() if self.verdicts else {"verdicts": []}

    @property
    def stamp(self) -> dict[str, str]:
        """Hashes of what it was executed from."""
        return self.notebook.metadata.get("companion", {}).get("stamp", {})

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, device, parameters, and for a run that kept its clock the duration and revision."""
        return self.notebook.metadata.get("companion", {}).get("provenance", {})


def find_record(chapter: Chapter, profile: str) -> Record | None:
    """The executed notebook of a chapter at a profile.

    At ``quick`` the one that was executed on this machine while the book was built, if it is still what the source
    gives, else the committed one; at ``paper`` the committed record. ``None`` if there is none.

    Raises
    ------
    InputError
        If another run was written over the committed notebook.
    """
    if profile != PROFILES[0]:
        return Record(chapter.record) if chapter.record.is_file() else None
    here = chapter.root / EXECUTED / f"{chapter.slug}.ipynb"
    if here.is_file() and not staleness(here, chapter.source, chapter.root):
        return Record(here)
    if not chapter.notebook.is_file():
        return None
    record = Record(chapter.notebook)
    if other := foreign(record.notebook):
        raise InputError(
            f"notebooks/{chapter.notebook.name}: not the lab's run at {profile} ({other[0]}); "
            f"`companion execute {chapter.slug} --force` makes it anew"
        )
    return record


@dataclass(frozen=True)
class Row:
    """One claim of the ledger."""

    chapter: str
    part: str
    claim: str
    says: str
    stance: str
    quick: Verdict | None
    paper: Verdict | None


def read_ledger(root: Path | None = None, find: Callable[[Chapter, str], Record | None] = find_record) -> list[Row]:
    """All claims of all finished chapters, in the book's order; ``find`` looks up the records."""
    rows = []
    for chapter in chapters(root):
        quick, paper = (_by_claim(find(chapter, profile)) for profile in PROFILES)
        rows += [
            Row(chapter.slug, chapter.part, claim, verdict.says, verdict.stance, quick.get(claim), paper.get(claim))
            for claim, verdict in (paper | quick).items()
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
        "failing": sum(v.decided and not v.sound for row in rows for v in (row.quick, row.paper) if v is not None),
        "at_paper_profile": sum(row.paper is not None for row in rows),
    }


def export(rows: list[Row]) -> list[dict[str, Any]]:
    """The ledger as plain data, one entry per claim: what ``ledger.json`` and ``companion ledger --json`` hold."""
    return [
        {
            "chapter": row.chapter,
            "part": row.part,
            "claim": row.claim,
            "stance": row.stance,
            "says": row.says,
            **{
                profile: verdict and {"verdict": mark(verdict), **_plain(verdict)}
                for profile, verdict in zip(PROFILES, (row.quick, row.paper), strict=True)
            },
        }
        for row in rows
    ]


def _plain(verdict: Verdict) -> dict[str, Any]:
    keys = ("criterion", "measured", "holds", "control")
    return {key: getattr(verdict, key) for key in keys}


def as_json(rows: list[Row]) -> str:
    """Totals and claims as JSON."""
    return json.dumps({"totals": totals(rows), "claims": export(rows)}, indent=1, ensure_ascii=False) + "\n"


def as_csv(rows: list[Row]) -> str:
    """One line per claim; measured values as JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("verdict", "holds", "control_holds", "measured")
    head = [f"{profile}_{column}" for profile in PROFILES for column in columns]
    writer.writerow(["chapter", "part", "claim", "stance", "says", "criterion", *head])
    for row in rows:
        judged = (row.quick, row.paper)
        criterion = next((verdict.criterion for verdict in judged if verdict), "")
        cells = [cell for verdict in judged for cell in _cells(verdict)]
        writer.writerow([row.chapter, row.part, row.claim, row.stance, row.says, criterion, *cells])
    return text.getvalue()


def _cells(verdict: Verdict | None) -> list[Any]:
    if verdict is None:
        return ["", "", "", ""]
    control = (verdict.control or {}).get("holds")
    measured = json.dumps(verdict.measured, ensure_ascii=False)
    return [mark(verdict), verdict.holds, control, measured]


@dataclass(frozen=True)
class Seeds:
    """On how many seeds that nobody developed on a chapter's claims held, as ``companion check --seeds`` recorded it.

    Attributes
    ----------
    seeds : which, e.g. ``"1000:1020"``
    claims, controls : claim to how often it held, or its control was refuted, and of how many
    current : whether the chapter is still what it was then
    """

    seeds: str
    claims: dict[str, tuple[int, int]]
    controls: dict[str, tuple[int, int]]
    current: bool


def read_seeds(chapter: Chapter) -> Seeds | None:
    """What is recorded of a chapter's fresh seeds, if anything."""
    path = chapter.root / SEEDS
    entry = json.loads(path.read_text("utf-8")).get(chapter.slug) if path.is_file() else None
    if entry is None:
        return None
    counts = [{claim: tuple(pair) for claim, pair in entry.get(key, {}).items()} for key in ("claims", "controls")]
    return Seeds(entry["seeds"], *counts, current=entry["stamp"] == code_stamp(chapter))


def code_stamp(chapter: Chapter) -> str:
    """A hash of the code that decides a chapter's claims: its package without figures, and what is below."""
    return digest(chapter_code(chapter.slug, chapter.root), chapter.root)[:16]
