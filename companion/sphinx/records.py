"""What the pages read: chapters, records and verdicts, each looked up once in a build."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from companion import catalogue, ledger
from companion.catalogue import Chapter
from companion.claims import Claim, Verdict
from companion.parameters import PROFILES


class PageError(ValueError):
    """A page asks for something that does not exist; fails the build."""


class Records:
    """The book's chapters and records. To find a record is to hash what it comes from, so it is done once."""

    def __init__(self, root: Path):
        self.root = root
        self._found: dict[tuple[str, str], ledger.Record | None] = {}

    @cached_property
    def chapters(self) -> list[Chapter]:
        """The finished chapters in the book's order."""
        return catalogue.chapters(self.root)

    @cached_property
    def _by_slug(self) -> dict[str, Chapter]:
        return {chapter.slug: chapter for chapter in self.chapters}

    def chapter(self, slug: str) -> Chapter:
        """A chapter by name, drafts included."""
        return self._by_slug.get(slug) or catalogue.find(slug, self.root)

    def page_of(self, docname: str) -> Chapter | None:
        """The finished chapter whose page this document is."""
        return self._by_slug.get(docname.removeprefix("book/")) if docname.startswith("book/") else None

    def find(self, chapter: Chapter, profile: str) -> ledger.Record | None:
        """A chapter's record at a profile, as :func:`companion.ledger.find_record` gives it."""
        key = chapter.slug, profile
        if key not in self._found:
            self._found[key] = ledger.find_record(chapter, profile)
        return self._found[key]

    def verdicts(self, chapter: Chapter, profile: str) -> dict[str, Verdict]:
        """The verdicts of a record by claim; none where there is no record."""
        record = self.find(chapter, profile)
        return {verdict.claim: verdict for verdict in record.verdicts} if record and record.verdicts else {}

    def claim(self, chapter: Chapter, name: str) -> Claim:
        """A chapter's claim by name.

        Raises
        ------
        PageError
            If the chapter declares no such claim.
        """
        known = {claim.id: claim for claim in chapter.claims}
        if name not in known:
            raise PageError(f"{name}: {chapter.slug} has no such claim, there are: {', '.join(known)}")
        return known[name]

    @cached_property
    def ledger(self) -> list[ledger.Row]:
        """All claims of all finished chapters."""
        return ledger.read_ledger(self.root, self.find)

    @cached_property
    def titles(self) -> dict[str, str]:
        """The first heading of each chapter's page."""
        return {chapter.slug: page_title(chapter.page) for chapter in self.chapters}

    def sources(self, chapter: Chapter) -> list[str]:
        """The modules of a chapter's own package."""
        return [str(file) for file in chapter.package.rglob("*.py")]


_builds: WeakKeyDictionary[Any, Records] = WeakKeyDictionary()


def records_of(app: Any) -> Records:
    """The records that this build reads."""
    if app not in _builds:
        _builds[app] = Records(Path(app.srcdir))
    return _builds[app]


def note_record(env: Any, chapter: Chapter, profile: str) -> ledger.Record | None:
    """A chapter's record, noted so that the page is built again when it changes."""
    records = records_of(env.app)
    record = records.find(chapter, profile)
    seen = env.temp_data.setdefault("companion-noted", set())
    if (chapter.slug, profile) not in seen:
        seen.add((chapter.slug, profile))
        places = (
            [chapter.record]
            if profile != PROFILES[0]
            else [chapter.notebook, chapter.root / ledger.EXECUTED / chapter.notebook.name]
        )
        note_files(env, *places, *records.sources(chapter))
    return record


def note_files(env: Any, *files: Path | str) -> None:
    """Build the page again when one of these files changes, is removed, or comes to be."""
    for file in map(Path, files):
        if file.is_file():
            env.note_dependency(str(file))
        else:
            _waiting(env).setdefault(env.docname, set()).add(str(file))


def _waiting(env: Any) -> dict[str, set[str]]:
    """Documents to the files that they would read if these existed; kept with the environment."""
    if not hasattr(env, "companion_waiting"):
        env.companion_waiting = {}
    return env.companion_waiting


def forget_waiting(app: Any, env: Any, docname: str) -> None:
    """A document that is read anew waits for nothing yet."""
    _waiting(env).pop(docname, None)


def no_longer_waiting(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """The documents for which a file has come to be."""
    return [name for name, files in _waiting(env).items() if any(Path(file).is_file() for file in files)]


def page_title(page: Path) -> str:
    """The first heading of a page."""
    lines = page.read_text("utf-8").splitlines() if page.is_file() else []
    return next((line[2:].strip() for line in lines if line.startswith("# ")), page.stem)


def claim_anchor(claim: str) -> str:
    """The id of a claim's row in its chapter's table."""
    return claim.lower()


class Reader(SphinxDirective):
    """What all directives share: root, chapter, and the record as a dependency of the page."""

    option_spec: ClassVar = {"chapter": directives.unchanged, "profile": lambda text: directives.choice(text, PROFILES)}
    has_content = True
    optional_arguments = 1

    @property
    def root(self) -> Path:
        """The repository."""
        return Path(self.env.srcdir)

    @property
    def records(self) -> Records:
        """The records of this build."""
        return records_of(self.env.app)

    @property
    def chapter(self) -> Chapter:
        """The chapter that the directive speaks of: the one named, else the page's own."""
        return self.records.chapter(self.options.get("chapter") or Path(self.env.docname).name)

    def record(self, chapter: Chapter, profile: str) -> ledger.Record | None:
        """A chapter's record, noted as a dependency."""
        return note_record(self.env, chapter, profile)

    def read_all(self) -> None:
        """Note the records of all chapters as dependencies of this page."""
        for chapter in self.records.chapters:
            for profile in PROFILES:
                self.record(chapter, profile)

    def uri(self, document: str, anchor: str = "") -> str:
        """Address of a document, as seen from this page."""
        return relative_uri(self.env, document, anchor)

    def link(self, text: str, document: str, anchor: str = "", **attributes: Any) -> nodes.reference:
        """A link to a document of the book."""
        return link(self.env, text, document, anchor, **attributes)


def relative_uri(env: Any, document: str, anchor: str = "") -> str:
    """Address of a document as seen from the page that is being read; on that page itself the anchor alone."""
    page = "" if document == env.docname else env.app.builder.get_relative_uri(env.docname, document)
    return page + (f"#{anchor}" if anchor else "")


def link(env: Any, text: str, document: str, anchor: str = "", **attributes: Any) -> nodes.reference:
    """A link to a document of the book."""
    return nodes.reference("", text, refuri=relative_uri(env, document, anchor), internal=True, **attributes)
