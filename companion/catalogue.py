"""The chapters of the book, in the order of ``_toc.yml``.

The table of contents is the only list of finished chapters. A chapter whose module exists but which the table does not
name is a draft: it can be run and checked by name, and shows up nowhere else.
"""

import difflib
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from companion.claims import Claim, Verdicts
from companion.paper import Paper
from companion.parameters import Parameters

# The eight parts of the book and the names of their pages, in order; the table of contents names those that are begun.
PARTS = {
    "Implicit bias": "implicit-bias",
    "Matrix factorization": "matrix-factorization",
    "Sharpness and stability": "sharpness-and-stability",
    "Optimizers": "optimizers",
    "Scaling, sampling and second order": "scaling-sampling-second-order",
    "Orders and rates": "orders-and-rates",
    "Features and expressivity": "features-and-expressivity",
    "Data and preferences": "data-and-preferences",
}


class UnknownChapterError(LookupError):
    """No chapter has this name. The message is one line with the nearest names."""

    def __str__(self):
        return self.args[0]


class ChapterModule(Protocol):
    """What every package ``companion.chapters.<slug>`` exposes, and nothing else.

    Its modules are of one shape: ``parameters`` (``PAPER``, ``Parameters``, random streams); the mathematics, in
    modules named for what they hold, which never take parameters of the chapter; ``experiments``, functions of the
    parameters marked :func:`companion.results.experiment` that return frozen dataclasses of arrays, ``Results`` and
    ``run`` last; ``claims``; ``figures``, functions from such a dataclass to a Figure, with ``COLOURS``.
    """

    PAPER: Paper
    Parameters: type[Parameters]
    CLAIMS: tuple[Claim, ...]
    Results: type
    """A frozen dataclass with one field per experiment."""

    def run(self, params: Parameters) -> Any:
        """Every experiment: an instance of ``Results``."""

    def verify(self, params: Parameters, results: Any) -> Verdicts:
        """Judge the claims on the results."""


# The names of that contract, and the modules that every chapter has.
EXPOSED = ("CLAIMS", "PAPER", "Parameters", "Results", "run", "verify")
MODULES = ("parameters", "experiments", "claims", "figures")


@dataclass(frozen=True)
class Chapter:
    """Where a chapter's files are, and its module, imported when first asked for."""

    slug: str
    part: str | None
    root: Path

    @property
    def draft(self) -> bool:
        """Whether the table of contents does not name it yet."""
        return self.part is None

    @property
    def page(self) -> Path:
        """The theory page."""
        return self.root / "book" / f"{self.slug}.md"

    @property
    def source(self) -> Path:
        """The lab as people edit it (jupytext's percent format)."""
        return self.root / "notebooks" / f"{self.slug}.py"

    @property
    def notebook(self) -> Path:
        """The lab executed at ``quick``, as committed."""
        return self.root / "notebooks" / f"{self.slug}.ipynb"

    @property
    def record(self) -> Path:
        """The lab executed at ``paper``, where somebody ran it."""
        return self.root / "records" / f"{self.slug}.ipynb"

    @property
    def package(self) -> Path:
        """The folder of its package."""
        return self.root / "companion" / "chapters" / module_name(self.slug)

    @property
    def mutants(self) -> Path:
        """The bugs that its claims and tests must notice."""
        return self.root / "tests" / "mutants" / f"{self.slug}.toml"

    @property
    def tests(self) -> Path:
        """Its tests."""
        return self.root / "tests" / "chapters" / f"test_{module_name(self.slug)}.py"

    @property
    def module(self) -> ChapterModule:
        """``companion.chapters.<slug>``."""
        return importlib.import_module(f"companion.chapters.{module_name(self.slug)}")

    @property
    def paper(self) -> Paper:
        """The paper it accompanies."""
        return self.module.PAPER

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Its claims, in order."""
        return tuple(self.module.CLAIMS)

    @property
    def parameters(self) -> type[Parameters]:
        """Its parameters."""
        return self.module.Parameters


def module_name(slug: str) -> str:
    """``"lazy-training"`` to ``"lazy_training"``."""
    return slug.replace("-", "_")


def find_root() -> Path:
    """The repository: ``COMPANION_ROOT``, else the nearest folder above this one that holds the book, else this file's.

    Raises
    ------
    FileNotFoundError
        If none of these holds a ``_toc.yml``.
    """
    given = os.environ.get("COMPANION_ROOT")
    here = Path.cwd()
    candidates = [Path(given)] if given else [here, *here.parents, Path(__file__).resolve().parents[1]]
    for folder in candidates:
        if (folder / "_toc.yml").is_file() and (folder / "companion").is_dir():
            return folder.resolve()
    raise FileNotFoundError("no book here: run this in a clone of the repository, or set COMPANION_ROOT to one")


def read_toc(root: Path) -> dict[str, list[str]]:
    """Caption of each part to the documents under it, sections included, as the table of contents gives them."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8-sig"))
    return {part["caption"]: _documents(part["chapters"]) for part in toc.get("parts", [])}


def _documents(entries: list[dict]) -> list[str]:
    return [name for entry in entries for name in [entry["file"], *_documents(entry.get("sections", []))]]


def chapters(root: Path | None = None) -> list[Chapter]:
    """The finished chapters in the book's order."""
    root = root or find_root()
    return [
        Chapter(Path(document).name, part, root)
        for part, documents in read_toc(root).items()
        for document in documents
        if document.startswith("notebooks/")
    ]


def drafts(root: Path | None = None) -> list[Chapter]:
    """Chapters that have a lab and a package but no place in the table of contents yet.

    A file among the labs that has no package is somebody's scratch paper.
    """
    root = root or find_root()
    finished = {chapter.slug for chapter in chapters(root)}
    packages = root / "companion" / "chapters"
    labs = (lab for lab in sorted((root / "notebooks").glob("*.py")) if (packages / module_name(lab.stem)).is_dir())
    return [Chapter(lab.stem, None, root) for lab in labs if lab.stem not in finished]


def find(slug: str, root: Path | None = None) -> Chapter:
    """A chapter, finished or draft, by name.

    Raises
    ------
    UnknownChapterError
        If there is none.
    """
    known = [*chapters(root), *drafts(root)]
    for chapter in known:
        if chapter.slug == slug:
            return chapter
    names = [chapter.slug for chapter in known]
    close = difflib.get_close_matches(slug, names, n=1, cutoff=0.4)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise UnknownChapterError(f"{slug}: no such chapter{hint}, there are: {', '.join(names)}")
