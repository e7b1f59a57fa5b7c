"""The files behind a lab or a module: what it imports of ``companion``, and hashes that change when any of it does.

Nothing here imports what it looks at, and nothing heavier than the standard library.
"""

import ast
import codecs
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

BINARY = (".npz",)


def library_files(source: Path, root: Path) -> list[Path]:
    """The modules of ``companion`` that a source imports, directly or through others, sorted.

    The closure is read from the text of the files; nothing is imported. Data files in the same folder as a module
    count with it.
    """
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        path = waiting.pop()
        for name in _imports(path, root):
            for module in _module_files(name, root):
                if module not in found:
                    found.add(module)
                    waiting.append(module)
    data = {file for module in found for file in module.parent.glob("*.npz")}
    return sorted(found | data)


@lru_cache(maxsize=1024)
def _import_statements(text: str, name: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """The imports of a module; read once for as long as its text is the same, since most modules are behind many."""
    return tuple(node for node in ast.walk(ast.parse(text, name)) if isinstance(node, ast.Import | ast.ImportFrom))


def _imports(path: Path, root: Path) -> Iterable[str]:
    package = path.relative_to(root).parent.parts if path.suffix == ".py" and path.is_relative_to(root) else ()
    for node in _import_statements(path.read_text("utf-8-sig"), str(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            parent = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (parent, node.module) if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _module_files(name: str, root: Path) -> Iterable[Path]:
    parts = name.split(".")
    if parts[0] != "companion":
        return
    for end in range(1, len(parts) + 1):
        stem = root.joinpath(*parts[:end])
        for candidate in (stem / "__init__.py", stem.with_suffix(".py")):
            if candidate.is_file():
                yield candidate


def imported_modules(path: Path, root: Path) -> list[tuple[str, Path]]:
    """Name and file of each module of ``companion`` that a module names in an import.

    Unlike for :func:`library_files`, the packages on the way to a name do not count: ``from companion.a.b import c`` is
    ``companion.a.b.c`` where that is a module, else ``companion.a.b``.
    """
    package = path.relative_to(root).parent.parts if path.is_relative_to(root) else ()
    named = set()
    for node in _import_statements(path.read_text("utf-8-sig"), str(path)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        else:
            parent = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (parent, node.module) if part)
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                named.add(inner if _module_file(inner, root) else module)
    return [(name, file) for name in sorted(named) if (file := _module_file(name, root))]


def _module_file(name: str, root: Path) -> Path | None:
    parts = name.split(".")
    if parts[0] != "companion":
        return None
    stem = root.joinpath(*parts)
    return next((file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()), None)


def stamp(source: Path, root: Path) -> dict[str, str]:
    """Hashes of a lab's source, of the library behind it and of the lock file.

    A lab may show the text of what it runs, but not that of the modules that all labs share: these count by their code.
    """
    library, core = hashlib.sha256(), root / "companion"
    for path in library_files(source, root):
        shown = meaning(path) if path.parent == core else content(path)
        library.update(path.relative_to(root).as_posix().encode() + b"\0" + shown + b"\0")
    return {
        "source": source_hash(source),
        "library": library.hexdigest()[:16],
        "lock": _sha256(content(root / "requirements.lock")),
    }


def source_hash(source: Path) -> str:
    """The hash of a lab's source, as its stamp has it."""
    return _sha256(content(source))


def content(path: Path) -> bytes:
    """A file as it counts for a hash: line ends and a byte order mark, which git and editors change, are left out."""
    read = path.read_bytes()
    return read if path.suffix in BINARY else read.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")


def meaning(path: Path) -> bytes:
    """What a file computes, for a hash: a module without its comments, docstrings and layout; else its content."""
    read = content(path)
    return _code(read.decode(), str(path)) if path.suffix == ".py" else read


@lru_cache(maxsize=1024)
def _code(text: str, name: str) -> bytes:
    tree = ast.parse(text, name)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree).encode()


def same_code(package: Path, other: Path) -> bool:
    """Whether two folders hold the same package."""

    def held(folder: Path) -> dict[str, Path]:
        files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".ipynb"))
        return {path.relative_to(folder).as_posix(): path for path in files}

    mine, theirs = held(package), held(other)
    return mine.keys() == theirs.keys() and all(content(mine[name]) == content(theirs[name]) for name in mine)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
