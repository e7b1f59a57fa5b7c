"""Record how the claims fare on seeds that nobody developed on, in the small committed file ``book/seeds.json``.

One entry per chapter, written by ``companion check --seeds … --record`` and read by :mod:`companion.ledger`::

    {"some-chapter": {"stamp": "…", "seeds": "1000:1020",
                      "claims": {"C1a": [20, 20]}, "controls": {"C1a": [20, 20]}}}

The stamp is a hash of the code behind the chapter's claims. Of each pair the first number says on how many seeds the
claim held (or its control was refuted), the second on how many it was decided. A claim that was decided on no seed is
left out.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from companion.catalogue import Chapter, chapters
from companion.claims import Verdicts
from companion.execution import InputError, ensure_writable, write_atomically
from companion.ledger import SEEDS
from companion.processes import locked


def record(chapter: Chapter, seeds: str, found: Sequence[Verdicts], stamp: str) -> None:
    """Put the outcome of a chapter's runs, one for each seed, into the file; the other chapters' entries stay.

    ``stamp`` is that of the code before they began, see :func:`companion.ledger.code_stamp`.

    Raises
    ------
    InputError
        If the file holds something else than what this writes.
    """
    path = chapter.root / SEEDS
    with locked(chapter.root / "_build" / "seeds.lock"):  # two runs may end at once
        _enter(path, chapter, {"stamp": stamp, "seeds": seeds} | _counts(found))


def _enter(path: Path, chapter: Chapter, entry: dict[str, Any]) -> None:
    try:
        entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        entries = None
    if not isinstance(entries, dict):
        raise InputError(f"{SEEDS}: cannot be read, allowed: what `companion check --record` writes")
    ensure_writable(path.parent)
    entries[chapter.slug] = entry
    order = {known.slug: k for k, known in enumerate(chapters(chapter.root))}
    ordered = sorted(entries, key=lambda slug: (order.get(slug, len(order)), slug))
    lines = (f"{json.dumps(slug)}: {json.dumps(entries[slug], ensure_ascii=False)}" for slug in ordered)
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _counts(found: Sequence[Verdicts]) -> dict[str, dict[str, list[int]]]:
    claims, controls = {}, {}
    for claim in dict.fromkeys(verdict.claim for verdicts in found for verdict in verdicts):
        decided = [v for verdicts in found for v in verdicts if v.claim == claim and v.decided]
        if decided:
            claims[claim] = [sum(bool(v.holds) for v in decided), len(decided)]
            controls[claim] = [sum(v.control["holds"] is False for v in decided), len(decided)]
    return {"claims": claims, "controls": controls}
