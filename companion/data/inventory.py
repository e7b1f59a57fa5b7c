"""What is there: the datasets, and which of them this machine has."""

from dataclasses import dataclass

from companion.data.errors import DatasetCorruptError, DatasetNotFoundError
from companion.data.loader import find
from companion.data.sources import SOURCES, Source


@dataclass(frozen=True)
class Entry:
    """One line of the list.

    Attributes
    ----------
    name : as ``load_dataset`` takes it
    status : ``"bundled with …"``, ``"found at …"``, ``"downloadable"``, or ``"corrupt: …"``
    size : number and shape of the examples, and megabytes to download
    licence : in words
    """

    name: str
    status: str
    size: str
    licence: str


def available() -> list[Entry]:
    """Every dataset the library knows, with its status on this machine. Files that are found are verified."""
    return [Entry(source.name, _status(source), source.size, source.licence) for source in SOURCES.values()]


def _status(source: Source) -> str:
    try:
        parts, label = find(source, download=False)
    except DatasetNotFoundError:
        return "downloadable"
    except DatasetCorruptError as error:
        return f"corrupt: {str(error).splitlines()[0]}"
    if parts.path:
        return f"found at {parts.path}"
    return label if label.startswith("bundled") else f"bundled with {label}"
