"""The files behind a lab or a module: what it imports of ``companion``, and hashes that change when any of it does.

Nothing here imports what it looks at, and nothing heavier than the standard library.
"""

import ast
import codecs
import hashlib
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from pathlib import Path

BINARY = (".npz",)


def code_behind(path: Path, root: Path, neutral: Collection[str] = ()) -> list[Path]:
    """What decides what a lab or a module computes: itself and all it imports of ``companion``, sorted.

    The closure is read from the text of the files; nothing is imported. A package through which a name is merely
    reached does not count, so that the package of a chapter, which imports its claims, is not behind the chapter's
    experiments. Data files in the same folder as a module count with it.

    Parameters
    ----------
    path : the file to start from
    root : folder that holds ``companion``
    neutral : names of modules that do not count, and through which nothing is sought
    """
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [file for name, file in imported_modules(module, root) if name not in neutral]
    data = {file for module in found for file in module.parent.glob("*.npz")}
    return sorted(found | data)


def library_files(source: Path, root: Path) -> list[Path]:
    """The files of ``companion`` that must be there for a source to be imported or run, sorted.

    To :func:`code_behind` this adds the packages on the way, and what these import.
    """
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        for file in code_behind(waiting.pop(), root):
            if file not in found and file != source:
                found.add(file)
                inside = file.relative_to(root / "companion").parents
                packages = (root.joinpath("companion", folder, "__init__.py") for folder in inside)
                waiting += [package for package in packages if package.is_file() and package not in found]
    return sorted(found)


def imported_modules(path: Path, root: Path) -> list[tuple[str, Path]]:
    """Name and file of each module of ``companion`` that a module names in an import, sorted.

    ``from companion.a.b import c`` is ``companion.a.b.c`` where that is a module; where ``companion.a.b`` is a package
    that has ``c`` from elsewhere, the module that it has it from; else ``companion.a.b``.
    """
    found = set()
    for node in _import_statements(path.read_text("utf-8-sig"), str(path)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, _module_file(alias.name, root)) for alias in node.names}
        else:
            found |= {_origin(_module_named(node, path, root), alias.name, root) for alias in node.names}
    return sorted((name, file) for name, file in found if file)


def _origin(module: str, name: str, root: Path) -> tuple[str, Path | None]:
    """The module that ``from module import name`` takes the name from."""
    inner = f"{module}.{name}"
    if file := _module_file(inner, root):
        return inner, file
    file = _module_file(module, root)
    if file and file.name == "__init__.py":
        for node in _import_statements(file.read_text("utf-8-sig"), str(file)):
            if isinstance(node, ast.ImportFrom):
                source = _module_named(node, file, root)
                for alias in node.names:
                    if name == (alias.asname or alias.name) and (source, alias.name) != (module, name):
                        return _origin(source, alias.name, root)
    return module, file


def _module_named(node: ast.ImportFrom, path: Path, root: Path) -> str:
    """The absolute name of the module in a ``from … import``."""
    package = path.relative_to(root).parent.parts if path.is_relative_to(root) else ()
    parent = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
    return ".".join(part for part in (parent, node.module) if part)


@lru_cache(maxsize=1024)
def _import_statements(text: str, name: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """The imports of a module; read once for as long as its text is the same, since most modules are behind many."""
    return tuple(node for node in ast.walk(ast.parse(text, name)) if isinstance(node, ast.Import | ast.ImportFrom))


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
    core = root / "companion"
    behind = [path for path in code_behind(source, root) if path != source]
    return {
        "source": source_hash(source),
        "library": digest(behind, root, lambda path: meaning(path) if path.parent == core else content(path))[:16],
        "lock": _sha256(content(root / "requirements.lock")),
    }


def digest(files: Iterable[Path], root: Path, read: Callable[[Path], bytes] | None = None) -> str:
    """A hash of files by their names within ``root`` and what ``read`` (:func:`meaning`) makes of them."""
    found = hashlib.sha256()
    for path in files:
        name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        found.update(name.as_posix().encode() + b"\0" + (read or meaning)(path) + b"\0")
    return found.hexdigest()


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
