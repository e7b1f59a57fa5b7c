"""Where a dataset may lie: the user's folders, the system, another package, our cache. All but the last are read-only.

The cache is a folder of its own: a download never goes into a folder that a user named.
"""

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from companion.data.errors import DatasetNotFoundError
from companion.data.sources import Source

VARIABLE = "COMPANION_DATA"
SYSTEM_PREFIXES = tuple(dict.fromkeys((sys.prefix, "/usr/local", "/usr")))


@dataclass(frozen=True)
class Place:
    """A folder to look in, and what to call it in a notebook, where the machine's paths have no business."""

    label: str
    folder: Path


def places(source: Source, data_dir: str | os.PathLike | None = None) -> list[Place]:
    """The folders that may hold a dataset, in the order in which they are tried.

    Raises
    ------
    DatasetNotFoundError
        If ``data_dir`` is given and is not a folder.
    """
    folders = (source.name, *source.folders, *([""] if source.flat else []))
    found = [Place(label, root / folder) for label, root in _user_roots(data_dir) for folder in folders]
    if source.system:
        found += [Place(f"found in {source.system}", Path(prefix) / source.system) for prefix in SYSTEM_PREFIXES]
    if source.package:
        name, _, folder = source.package.partition("/")
        spec = find_spec(name)  # finds a top-level package without importing it
        found += [
            Place(f"package {name}", Path(root) / folder) for root in (spec and spec.submodule_search_locations) or ()
        ]
    if source.remote:
        found.append(Place("download cache", cache_folder(source.name)))
    return found


def cache_folder(name: str) -> Path:
    """Where we keep what was downloaded or converted of one dataset; it need not exist."""
    import pooch

    return Path(pooch.os_cache("companion-book")) / name


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; no for a name that no file system takes, or a loop of links.

    Raises
    ------
    PermissionError
        If that may not be looked up.
    """
    try:
        return path.is_dir()
    except PermissionError:
        raise
    except OSError:
        return False


def _user_roots(data_dir: str | os.PathLike | None) -> list[tuple[str, Path]]:
    if data_dir is not None:
        root = _expanded(data_dir)
        try:
            found = is_folder(root)
        except PermissionError:
            raise DatasetNotFoundError(f"data_dir: got {str(data_dir)!r}, which may not be looked into") from None
        if not found:
            raise DatasetNotFoundError(f"data_dir: got {str(data_dir)!r}, which is not a folder")
        return [("found in data_dir", root)]
    entries = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [(f"found in {VARIABLE}", _expanded(entry)) for entry in entries if entry]


def _expanded(entry: str | os.PathLike) -> Path:
    """With the home folder for ``~``; where there is none, the entry as it stands, which is then no folder."""
    try:
        return Path(entry).expanduser()
    except RuntimeError:
        return Path(entry)
