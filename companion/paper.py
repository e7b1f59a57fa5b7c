"""The paper that a chapter accompanies."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """Bibliographic identity of a chapter's paper.

    Attributes
    ----------
    slug : the chapter's name in file names and commands, e.g. ``"lazy-training"``
    title, authors, venue, year : as published
    arxiv : arXiv identifier, or ``None``
    key : the paper's key in ``book/references.bib``
    """

    slug: str
    title: str
    authors: tuple[str, ...]
    venue: str
    year: int
    key: str
    arxiv: str | None = None
