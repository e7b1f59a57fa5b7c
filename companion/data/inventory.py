"""What is there: the datasets, and which of them this machine has."""

from dataclasses import dataclass

from companion.data.errors import DatasetCorruptError, DatasetError, DatasetNotFoundError
from companion.data.loader import find
from companion.data.sources import SOURCES, Source


@dataclass(frozen=True)
class Entry:
    """One line of the list.

    Attributes
    ----------
    name : as ``load_dataset`` takes it
    status : ``"bundled with …"``, ``"found at …"``, ``"downloadable"``, ``"corrupt: …"``, or ``"unusable: …"``
    size : number and shape of the examples, and megabytes to download
    licence : in words
    """

    name: str
    status: str
    size: str
    licence: str


def available() -> list[Entry]:
    """Every dataset the library knows, with its status on this machine, each in one line.

    Files that are found are verified. Whatever is wrong with one dataset is its status and does not end the list.
    """
    return [Entry(source.name, _status(source), source.size, source.licence) for source in SOURCES.values()]


def _status(source: Source) -> str:
    try:
        parts, label = find(source, download=False)
    except DatasetNotFoundError:
        return "downloadable"
    except DatasetCorruptError as error:
        return f"corrupt: {_first_line(error)}"
    except DatasetError as error:
        return f"unusable: {_first_line(error)}"
    except Exception as error:  # a list of what is there must not end where something is broken in a new way
        return f"unusable: {type(error).__name__}: {_first_line(error)}"
    if parts.path:
        return f"found at {_one_line(parts.path)}"
    return label if label.startswith("bundled") else f"bundled with {label}"


def _first_line(error: Exception) -> str:
    return _one_line((str(error).splitlines() or ["no reason given"])[0])


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
