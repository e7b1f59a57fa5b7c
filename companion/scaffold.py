"""Start a new chapter from templates, so that its first test run fails for the right reasons."""

import importlib.util
import keyword
import re
import runpy
from importlib.resources import files
from pathlib import Path
from string import Template

from companion.catalogue import PARTS, find, module_name
from companion.execution import InputError, ensure_writable, write_atomically

LAB = "lab.py.txt"

# Template to the file that it becomes.
FILES = {
    "init.py.txt": "companion/chapters/{module}/__init__.py",
    "parameters.py.txt": "companion/chapters/{module}/parameters.py",
    "algorithm.py.txt": "companion/chapters/{module}/algorithm.py",
    "experiments.py.txt": "companion/chapters/{module}/experiments.py",
    "claims.py.txt": "companion/chapters/{module}/claims.py",
    "figures.py.txt": "companion/chapters/{module}/figures.py",
    LAB: "notebooks/{slug}.py",
    "page.md.txt": "book/{slug}.md",
    "test.py.txt": "tests/chapters/test_{module}.py",
    "mutants.toml.txt": "tests/mutants/{slug}.toml",
}

NEXT_STEPS = """
Next: write the experiment and its claims in the package, then `companion check {slug}` until all hold and every
control is refuted; `companion show {slug} --cell` writes the lab's cell of parameters anew; look at the figures in
the lab; write the page; plant bugs with `make mutants SLUG={slug}`; `companion execute {slug}`; at last name page
and lab in _toc.yml. CONTRIBUTING.md has the whole list."""


def create(slug: str, part: str | None, root: Path) -> list[Path]:
    """Write the files of a new chapter and return their paths.

    Raises
    ------
    InputError
        If the name is not lower-case words joined by hyphens, is taken or would hide a module, if the part does not
        exist, or if nothing can be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        raise InputError(f"slug: got {slug!r}, allowed: lower-case words joined by hyphens, e.g. lazy-training")
    if _means_something_else(module_name(slug)):
        raise InputError(f"slug: got {slug!r}, which is a word or a module of Python's, allowed: another name")
    if part is not None and part not in PARTS:
        raise InputError(f"part: got {part!r}, allowed: {', '.join(PARTS)}")
    names = {"slug": slug, "module": module_name(slug)}
    targets = {template: root / path.format(**names) for template, path in FILES.items()}
    taken = [path for path in targets.values() if path.exists()]
    if taken or _exists(slug, root):
        where = ", ".join(str(path.relative_to(root)) for path in taken)
        raise InputError(f"slug: got {slug!r}, which exists ({where}), allowed: a new name")
    for path in targets.values():
        ensure_writable(path.parent)
    names |= {"title": slug.replace("-", " ").capitalize()}
    for template, path in targets.items():
        if template == LAB:
            names["cell"] = _parameters_cell(targets["parameters.py.txt"])
        text = files("companion").joinpath("templates", template).read_text("utf-8")
        write_atomically(path, Template(text).substitute(names))
    return list(targets.values())


def _means_something_else(name: str) -> bool:
    """Whether a package of this name could not be imported, or the lab's file would hide a module from its kernel."""
    return keyword.iskeyword(name) or importlib.util.find_spec(name) is not None


def _parameters_cell(path: Path) -> str:
    """The lab's cell of parameters, from the file that declares them."""
    return runpy.run_path(str(path))["Parameters"].cell()


def _exists(slug: str, root: Path) -> bool:
    try:
        find(slug, root)
    except LookupError:
        return False
    return True
