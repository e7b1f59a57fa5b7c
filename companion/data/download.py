"""Fetching the files of a dataset into our cache. Only the loader calls this, and only where the user allowed it."""

import logging
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from companion.data.errors import DatasetArgumentError, DatasetCorruptError, DatasetNotFoundError
from companion.data.sources import Source

VARIABLE, MIRROR = "COMPANION_DOWNLOAD", "COMPANION_DATA_URL"


def allowed(download: bool | None) -> bool:
    """Whether to download: as the argument says, else as ``COMPANION_DOWNLOAD`` says, else no."""
    if download is not None:
        return download
    return os.environ.get(VARIABLE, "").strip().lower() in ("1", "true", "yes", "on")


def base_url(source: Source) -> str:
    """Where the files are: the publisher's address, or the dataset's folder under ``COMPANION_DATA_URL``.

    Raises
    ------
    DatasetArgumentError
        If that variable holds no address.
    """
    mirror = os.environ.get(MIRROR, "").strip().rstrip("/")
    if mirror:
        _check_address(mirror)
    return f"{mirror}/{source.name}" if mirror else str(source.base)


def fetch(source: Source, folder: Path) -> list[Path]:
    """Download what ``folder`` lacks of a dataset's files; returns the new ones.

    The hash of an archive is checked here. Compressed IDX files differ between distributors, so theirs is checked on
    the uncompressed content by whoever reads them.

    Raises
    ------
    DatasetNotFoundError
        If the network or the disk fails, with the cause attached.
    DatasetCorruptError
        If an archive arrived with another hash than the table's; it is not kept.
    """
    import pooch

    fresh = []
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # it would advise on hashes, on stderr
    try:
        for name in source.remote:
            url, expected = f"{base_url(source)}/{name}", source.hashes.get(name)
            if not (folder / name).exists():
                fresh.append(folder / name)
            elif not (folder / name).is_file():
                raise DatasetNotFoundError(f"{source.name!r} could not be downloaded: {folder / name} is not a file")
            try:
                pooch.retrieve(
                    url,
                    known_hash=expected and f"sha256:{expected}",
                    fname=name,
                    path=folder,
                    progressbar=sys.stderr.isatty(),
                )
            except OSError as error:  # requests' exceptions among them
                raise DatasetNotFoundError(
                    f"{source.name!r} could not be downloaded from {url}: {_reason(error)}"
                ) from error
            except ValueError as error:
                raise DatasetCorruptError(
                    f"{source.name!r} was not kept: what {url} sent is not the dataset's file.\n  {error}"
                ) from error
    finally:
        logger.setLevel(level)
    return fresh


def _check_address(mirror: str) -> None:
    try:
        parts = urlsplit(mirror)
        complete = parts.scheme in ("http", "https", "ftp") and bool(parts.hostname)
    except ValueError:  # e.g. a bracket that is not closed
        complete = False
    if not complete:
        raise DatasetArgumentError(
            f"{MIRROR}: got {mirror!r}, allowed: an address with its scheme (https, http or ftp) and host"
        )


def _reason(error: OSError) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
