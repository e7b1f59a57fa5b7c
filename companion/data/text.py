"""A text for models of characters: the sources of Python's standard library, or the user's own.

Symbols are the newline and the 95 printable characters of ASCII, numbered 0 to 95; everything else counts as a space.
The bytes change with the version of Python, so no hash is prescribed: it is recorded, with the number of files.
"""

import importlib
import inspect
import os
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from companion.data.errors import NotHere
from companion.data.parts import Parts, digest, read_at_most, too_large, without_mark
from companion.data.sources import Source

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
FIRST_MODULES = (
    *("argparse", "ast", "calendar", "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "difflib"),
    *("email", "enum", "fractions", "functools", "heapq", "inspect", "json", "logging", "pathlib", "pprint", "random"),
    *("shutil", "statistics", "string", "tarfile", "textwrap", "threading", "typing", "unittest", "zipfile"),
)
MOST_BYTES = 10**9  # of the user's own text
_OWN = "the user's own text"
_MACHINE = ("config-", "_sysconfigdata")  # how this very Python was built
_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}

_SYMBOL_OF_BYTE = np.full(256, ALPHABET.index(" "), np.uint8)
_SYMBOL_OF_BYTE[np.frombuffer(ALPHABET.encode(), np.uint8)] = np.arange(len(ALPHABET))


def encode(text: bytes) -> np.ndarray:
    r"""Symbols 0 to 95 of a text, one for each byte.

    >>> encode(b"a\n~").tolist()
    [66, 0, 95]
    """
    return _SYMBOL_OF_BYTE[np.frombuffer(text, np.uint8)]


def decode(symbols: np.ndarray) -> str:
    """The text that symbols stand for."""
    return "".join(ALPHABET[symbol] for symbol in symbols)


def read_folder(source: Source, folder: Path) -> Parts:
    """The user's own text: the folder's files ``*.txt``, in the order of their names, without byte order marks.

    Raises
    ------
    NotHere
        If there is none, or hardly anything in them.
    DatasetCorruptError
        If they are too long, or one is in UTF-16, of which every other byte would count as a space.
    """
    paths = sorted(path for path in folder.glob("*.txt") if path.is_file())
    if not paths:
        raise NotHere("no *.txt")
    if sum(path.stat().st_size for path in paths) > MOST_BYTES:
        raise too_large(source.name, "what its *.txt hold together", MOST_BYTES, folder)
    contents = [(path, read_at_most(source, path, MOST_BYTES)) for path in paths]
    text = b"\n".join(without_mark(source, path.name, path, content) for path, content in contents)
    if len(text) < 3:  # a training symbol, a test symbol, and what follows it
        raise NotHere("*.txt of fewer than 3 bytes")
    return _parts(text, path=folder, licence=_OWN, citation=_OWN)


def read_standard_library() -> Parts:
    """The sources of Python's standard library; the docstrings of some modules if only those are installed.

    Thirty modules that change little come first, then all others by path; tests are left out.
    """
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    paths = _sources(Path(sysconfig.get_path("stdlib")))
    if paths:
        text = b"\n".join(path.read_bytes() for path in paths)
        return _parts(text, source=f"standard library of {version}, {len(paths)} files")
    label = f"docstrings of {len(FIRST_MODULES)} modules of {version}, which is installed without sources"
    return _parts(_docstrings(), source=label)


def _parts(text: bytes, **about: Any) -> Parts:
    symbols = encode(text)
    return Parts(symbols[:-1], symbols[1:], None, None, digest(text), **about)


def _sources(root: Path) -> list[Path]:
    found = []
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if name not in _LEFT_OUT and not name.startswith(_MACHINE)]
        found += [
            Path(folder, name) for name in names if name.endswith(".py") and not name.startswith("_sysconfigdata")
        ]

    found = [path for path in found if path.is_file() and os.access(path, os.R_OK)]

    def place(path: Path) -> tuple[int, str]:
        inside = path.relative_to(root)
        module = inside.parts[0].removesuffix(".py")
        first = FIRST_MODULES.index(module) if module in FIRST_MODULES else len(FIRST_MODULES)
        return first, inside.as_posix()

    return sorted(found, key=place)


def _docstrings() -> bytes:
    texts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of members that are only looked at
        for name in FIRST_MODULES:
            module = importlib.import_module(name)
            members = [value for _, value in sorted(vars(module).items()) if getattr(value, "__module__", None) == name]
            texts += [inspect.getdoc(item) or "" for item in (module, *members)]
    return "\n".join(texts).encode()
