"""A chapter's code to take away: notebook, modules and lock in one archive beside the page."""

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import nbformat
from sphinx.application import Sphinx

from companion.catalogue import Chapter
from companion.execution import read_source
from companion.sources import library_files
from companion.sphinx.records import records_of

ARCHIVES = "book/code"
ROOT_FILES = ("requirements.lock", "requirements-lab.lock", "LICENSE", "CITATION.cff")
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files give the same archive

README = """\
# {title}

The lab `{slug}.ipynb` and the code behind it, from the book "{book}".

Needs Python 3.11.5 to 3.13. In this folder:

```
python3 -m venv .venv && .venv/bin/pip install -r requirements.lock
.venv/bin/python -m companion.cli run {slug}
```

The first command makes the environment that the book was built with; the second runs the lab and prints the verdict of
each claim. To change a parameter, add `-p NAME=VALUE`; `.venv/bin/python -m companion.cli show {slug}` lists them. To
work in the notebook itself, install Jupyter beside it and open the notebook from this folder:

```
.venv/bin/pip install -r requirements-lab.lock
.venv/bin/jupyter lab {slug}.ipynb
```
"""


def first_steps(chapter: Chapter, repository: str) -> str:
    """The commands from nothing to a verdict: from the archive, or from a clone where the repository has an address."""
    if repository:
        get = f"git clone {repository} && cd {repository.rstrip('/').removesuffix('.git').rsplit('/', 1)[-1]}"
    else:
        get = f"unzip {chapter.slug}.zip && cd {chapter.slug}"
    install = "python3 -m venv .venv && .venv/bin/pip install -r requirements.lock"
    return f"{get}\n{install}\n.venv/bin/python -m companion.cli run {chapter.slug}"


def archive_files(chapter: Chapter, title: str, book: str) -> dict[str, bytes]:
    """Path in the archive to content."""
    root = chapter.root
    toc = {
        "format": "jb-book",
        "root": "README",
        "parts": [{"caption": chapter.part, "chapters": [{"file": f"notebooks/{chapter.slug}"}]}],
    }
    readme = README.format(title=title, slug=chapter.slug, book=book)
    files = {
        "README.md": readme.encode(),
        "_toc.yml": (json.dumps(toc, indent=1) + "\n").encode(),
        # Beside the package, so that Jupyter finds it.
        f"{chapter.slug}.ipynb": _unexecuted(chapter),
        f"notebooks/{chapter.slug}.py": chapter.source.read_bytes(),
    }
    code = _code(chapter)
    for path in [*code, *(root / name for name in ROOT_FILES)]:
        if path.is_file():
            files[path.relative_to(root).as_posix()] = path.read_bytes()
    return files


def _unexecuted(chapter: Chapter) -> bytes:
    executed = chapter.notebook
    if executed.is_file():
        return executed.read_bytes()
    return nbformat.writes(read_source(chapter.source)).encode()


def _code(chapter: Chapter) -> Iterable[Path]:
    """The chapter's package, the core that runs it, what these import; a packaged data set where its name occurs."""
    root = chapter.root
    own = {*chapter.package.rglob("*.py"), chapter.source}
    core = {*(root / "companion").glob("*.py")}
    # The command imports the core, all but what is started as a program of its own.
    starts = [chapter.source, *(root / "companion" / name for name in ("cli.py", "kernel.py"))]
    behind = {file for start in starts if start.is_file() for file in library_files(start, root)}
    said = "".join(file.read_text("utf-8") for file in own)
    unused = {file for file in behind if file.suffix == ".npz" and file.stem.replace("_", "-") not in said}
    return sorted((own | core | behind) - unused)


def make_archive(files: dict[str, bytes], folder: str) -> bytes:
    """A zip archive of one folder, the same bytes for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(f"{folder}/{name}", LONG_AGO)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    return packed.getvalue()


def write_archives(app: Sphinx, error: Exception | None) -> None:
    """Write every chapter's archive beside the pages of its code."""
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / ARCHIVES
    folder.mkdir(parents=True, exist_ok=True)
    records = records_of(app)
    for chapter in records.chapters:
        files = archive_files(chapter, records.titles[chapter.slug], app.config.html_title)
        (folder / f"{chapter.slug}.zip").write_bytes(make_archive(files, chapter.slug))
