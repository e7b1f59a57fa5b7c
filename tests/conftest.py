import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples at every run, and no deadline: a machine may be busy.
settings.register_profile("book", derandomize=True, deadline=None)
settings.load_profile("book")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _nothing_is_kept_of_patched_code(request):
    """A test that patches code must neither read results of the code as it is nor leave any for it."""
    if "monkeypatch" in request.fixturenames:
        request.getfixturevalue("monkeypatch").setenv("COMPANION_FRESH", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@dataclass(frozen=True)
class TinyBook:
    """A copy of the library with a book of one scaffolded chapter, whose command runs in its own process."""

    root: Path

    def companion(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PYTHONPATH": str(self.root), "COMPANION_ROOT": str(self.root)} | environment
        command = [sys.executable, "-m", "companion.cli", *arguments]
        return subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True, timeout=300)

    @property
    def package(self) -> Path:
        return self.root / "companion" / "chapters" / "demo_chapter"

    @property
    def experiments(self) -> Path:
        return self.package / "experiments.py"

    @property
    def lab(self) -> Path:
        return self.root / "notebooks" / "demo-chapter.py"

    def edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text, f"{old!r} is not in {path.name}"
        path.write_text(text.replace(old, new))


TOC = """\
format: jb-book
root: book/intro
parts:
  - caption: Orders and rates
    chapters:
      - file: book/demo-chapter
        sections:
          - file: notebooks/demo-chapter
"""


def make_tiny_book(folder: Path) -> TinyBook:
    """Scaffold the book; its one claim holds and its control is refuted."""
    book = TinyBook(folder)
    shutil.copytree(ROOT / "companion", book.root / "companion", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("book", "notebooks", "tests", "records"):
        (book.root / name).mkdir()
    (book.root / "requirements.lock").write_text("numpy==2.4.6\n")
    (book.root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nparts: []\n")
    made = book.companion("new", "demo-chapter", "--part", "Orders and rates")
    assert made.returncode == 0, made.stderr
    (book.root / "_toc.yml").write_text(TOC)
    book.edit(book.package / "claims.py", 'criterion="mean > 1"', 'criterion="abs(mean) < 1"')
    book.edit(book.experiments, "algorithm(noise, 0.0)])", "algorithm(noise, 5.0)])")
    return book


@pytest.fixture(scope="session")
def _template(tmp_path_factory) -> TinyBook:
    return make_tiny_book(tmp_path_factory.mktemp("tiny") / "book-of-one")


@pytest.fixture(scope="session")
def _executed_template(_template, tmp_path_factory) -> TinyBook:
    book = TinyBook(tmp_path_factory.mktemp("tiny") / "book-of-one")
    shutil.copytree(_template.root, book.root)
    done = book.companion("execute")
    assert done.returncode == 0, done.stderr
    return book


@pytest.fixture
def tiny_book(_template, tmp_path) -> TinyBook:
    """A fresh tiny book, not executed."""
    return TinyBook(Path(shutil.copytree(_template.root, tmp_path / "book-of-one")))


@pytest.fixture
def executed_book(_executed_template, tmp_path) -> TinyBook:
    """A fresh tiny book whose notebook is executed."""
    return TinyBook(Path(shutil.copytree(_executed_template.root, tmp_path / "book-of-one")))
