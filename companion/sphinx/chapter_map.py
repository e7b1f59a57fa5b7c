"""A map of the chapters: which parts of the library they share, drawn when the book is built."""

import html
import re
import textwrap
from dataclasses import dataclass

from docutils import nodes

from companion.catalogue import Chapter
from companion.sources import code_behind
from companion.sphinx.records import Reader, note_files

LAYERS = {"optim": "Optimizers", "models": "Models", "analysis": "Analysis"}
SHOWN = re.compile(r"\{literalinclude\} +\.\./(companion/\S+\.py)")
WIDTH, LINE, LEFT, RIGHT = 760, 26, 330, 560


@dataclass(frozen=True)
class Shared:
    """A module of the library and the chapters that use it."""

    layer: str
    name: str
    chapters: tuple[str, ...]


def shared_modules(chapters: list[Chapter]) -> list[Shared]:
    """The modules of the library that two or more chapters use, directly or through others, by layer and name."""
    users: dict[tuple[str, str], list[str]] = {}
    for chapter in chapters:
        for module in library(chapter):
            users.setdefault(module, []).append(chapter.slug)
    order = list(LAYERS)
    found = [Shared(layer, name, tuple(slugs)) for (layer, name), slugs in users.items() if len(slugs) > 1]
    return sorted(found, key=lambda shared: (order.index(shared.layer), shared.name))


def library(chapter: Chapter) -> list[tuple[str, str]]:
    """The library's modules behind a chapter as (layer, name): what its package imports and its page shows as code."""
    starts = sorted(chapter.package.rglob("*.py"))
    page = chapter.page.read_text("utf-8") if chapter.page.is_file() else ""
    starts += [file for name in SHOWN.findall(page) if (file := chapter.root / name).is_file()]
    seen = {behind for start in starts for behind in code_behind(start, chapter.root)}
    inside = [file.relative_to(chapter.root / "companion").with_suffix("").parts for file in seen]
    return sorted({parts[:2] for parts in inside if parts[0] in LAYERS})


class ChapterMap(Reader):
    """The chapters on the left, what they share on the right; with the same in words."""

    def run(self) -> list[nodes.Node]:
        chapters = self.records.chapters
        for chapter in chapters:
            note_files(self.env, *self.records.sources(chapter), chapter.page)
        shared = shared_modules(chapters)
        if not shared:
            return []
        titles = self.records.titles
        links = {chapter.slug: self.uri(f"book/{chapter.slug}") for chapter in chapters}
        return [nodes.raw("", draw(chapters, shared, titles, links), format="html")]


def draw(chapters: list[Chapter], shared: list[Shared], titles: dict[str, str], links: dict[str, str]) -> str:
    """The map as HTML: an SVG with links, and a list that says the same."""
    left, left_labels = _column([(chapter.part or "", chapter.slug) for chapter in chapters])
    right, right_labels = _column([(LAYERS[one.layer], f"{one.layer}.{one.name}") for one in shared])
    height = LINE * (1 + max(max(left.values()), max(right.values()))) + 14
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" xmlns="http://www.w3.org/2000/svg" aria-label="Map of the chapters">'
    ]
    middle = (LEFT + RIGHT) / 2
    for one in shared:
        end = LINE * right[f"{one.layer}.{one.name}"] + 14
        for slug in one.chapters:
            start = LINE * left[slug] + 14
            line = f"M{LEFT},{start} C{middle},{start} {middle},{end} {RIGHT},{end}"
            parts.append(f'<path class="map-edge layer-{one.layer}" fill="none" stroke="currentColor" d="{line}"/>')
    parts += [_text(LEFT - 12, row, label, "map-group", "end") for row, label in left_labels]
    parts += [_text(RIGHT + 12, row, label, "map-group", "start") for row, label in right_labels]
    for chapter in chapters:
        text = _text(LEFT - 12, left[chapter.slug], _short(titles[chapter.slug]), "map-node", "end")
        dot = f'<circle class="map-dot" fill="currentColor" cx="{LEFT}" cy="{LINE * left[chapter.slug] + 14}" r="4"/>'
        whole = html.escape(titles[chapter.slug])
        parts.append(f'<a href="{links[chapter.slug]}"><title>{whole}</title>{text}{dot}</a>')
    for one in shared:
        row = right[f"{one.layer}.{one.name}"]
        parts.append(_text(RIGHT + 12, row, one.name.replace("_", " "), "map-node", "start"))
        parts.append(
            f'<circle class="map-dot layer-{one.layer}" fill="currentColor" cx="{RIGHT}" cy="{LINE * row + 14}" r="4"/>'
        )
    parts.append("</svg>")
    words = "".join(
        f"<li>{LAYERS[one.layer]}, {html.escape(one.name.replace('_', ' '))}: "
        + ", ".join(f'<a href="{links[slug]}">{html.escape(titles[slug])}</a>' for slug in one.chapters)
        + "</li>"
        for one in shared
    )
    return (
        f'<figure class="chapter-map"><div class="companion-scroll">{"".join(parts)}</div>'
        f"<details><summary>The map in words</summary><ul>{words}</ul></details></figure>"
    )


def _column(entries: list[tuple[str, str]]) -> tuple[dict[str, int], list[tuple[int, str]]]:
    """Rows of a column: each group has a line for its name before its entries."""
    rows: dict[str, int] = {}
    labels: list[tuple[int, str]] = []
    row, group = -1, None
    for name, entry in entries:
        if name != group:
            row, group = row + 1, name
            labels.append((row, name))
        row += 1
        rows[entry] = row
    return rows, labels


def _text(x: float, row: int, text: str, classes: str, anchor: str) -> str:
    place = f'x="{x}" y="{LINE * row + 18}" text-anchor="{anchor}"'
    return f'<text class="{classes}" fill="currentColor" {place}>{html.escape(text)}</text>'


def _short(title: str, most: int = 38) -> str:
    """The title, or what stands before its colon, or its first words: as much as fits beside the lines."""
    before = title.partition(":")[0]
    if len(before) > most:
        return textwrap.shorten(before, most, placeholder=" …")
    return title if len(title) <= most else before
