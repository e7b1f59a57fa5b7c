"""Which pages were audited: an audit looks at a page's elements, so it is repeated where these changed.

``tests/audited.json`` holds a hash of each page's outline as it was when axe found nothing to mend. A passed audit
leaves a mark under ``_build/axe``; ``python -m tests.audits``, which is what `make audits` ends with, takes the marks
into the record.
"""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
RECORD = ROOT / "tests" / "audited.json"
MARKS = ROOT / "_build" / "axe"
# What decides how elements look and behave, and the audit's own version.
STYLES = ("companion.css", "styles/pydata-sphinx-theme.css", "styles/sphinx-book-theme.css")
BEHIND = [HTML / "_static" / name for name in (*STYLES, "look.js", "search.js", "ledger.js")]
BEHIND.append(ROOT / "package.json")
_TOLD = re.compile(r"class|role|aria-|tabindex|type|for|style|alt|title|scope|lang|hidden|open")


class _Outline(HTMLParser):
    """The elements of an article with the attributes that an audit reads; no text and no numbers, which runs change."""

    def __init__(self):
        super().__init__()
        self.depth, self.lines = 0, []

    def handle_starttag(self, tag, attrs):
        self.depth += tag == "article"
        if self.depth:
            told = sorted((name, re.sub(r"\d+", "0", value or "")[:40]) for name, value in attrs if _TOLD.match(name))
            self.lines.append(f"{tag} {told}")

    def handle_endtag(self, tag):
        self.depth -= tag == "article"


def outline(document: str, html: Path = HTML) -> str:
    """A hash of a built page's elements, of the styles and scripts, and of the audit's version."""
    reader = _Outline()
    reader.feed((html / f"{document}.html").read_text("utf-8"))
    digest = hashlib.sha256("\n".join(reader.lines).encode())
    for file in BEHIND:
        digest.update(file.read_bytes() if file.is_file() else b"none")
    return digest.hexdigest()[:16]


def recorded() -> dict[str, str]:
    """Outlines that were audited, by page."""
    return json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}


def mark_of(document: str) -> Path:
    """The file that says which outline of a page passed its audit here."""
    return MARKS / f"{document.replace('/', '--')}.txt"


def main() -> None:
    """Take the marks of pages that are as they were audited into the record, and drop pages that are gone."""
    pages = {str(page.relative_to(HTML).with_suffix("")).replace("\\", "/") for page in HTML.rglob("*.html")}
    marked = {page: mark_of(page).read_text() for page in pages if mark_of(page).is_file()}
    known = {page: found for page, found in (recorded() | marked).items() if page in pages}
    RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")
    print(f"{len(marked)} audits taken into {RECORD.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
