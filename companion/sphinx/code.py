"""Pages that show the code of each chapter's claims, with an address for every line."""

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx.application import Sphinx

from companion.catalogue import Chapter
from companion.sphinx.records import records_of


def code_page(chapter: Chapter) -> str:
    """Name of the document that shows a chapter's claims as code."""
    return f"book/code/{chapter.slug}"


def claims_file(chapter: Chapter) -> Path:
    """The module that declares a chapter's claims."""
    return chapter.package / "claims.py"


def line_anchor(line: int) -> str:
    """The id of a line on a code page."""
    return f"line-{line}"


def measure_lines(chapter: Chapter) -> dict[str, int]:
    """The line at which each claim's measure begins; where it has none in this file, that of the claim itself."""
    path = claims_file(chapter)
    return _measure_lines(path.read_text("utf-8")) if path.is_file() else {}


@lru_cache
def _measure_lines(text: str) -> dict[str, int]:
    tree = ast.parse(text)
    functions = {node.name: _first_line(node) for node in tree.body if isinstance(node, ast.FunctionDef)}
    lines = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Claim":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            name = given.get("id") or (node.args[0] if node.args else None)
            if isinstance(name, ast.Constant):
                lines[name.value] = functions.get(getattr(given.get("measure"), "id", None), node.lineno)
    return lines


def _first_line(function: ast.FunctionDef) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def code_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages, for Sphinx to write beside those that have a source of their own."""
    formatter = HtmlFormatter(linenos="inline", lineanchors="line", anchorlinenos=True, wrapcode=True)
    records = records_of(app)
    for chapter in records.chapters:
        path = claims_file(chapter)
        if not path.is_file():
            continue
        page = app.builder.get_relative_uri(code_page(chapter), f"book/{chapter.slug}")
        title = f"{records.titles[chapter.slug]}: the claims as code"
        shown = highlight(path.read_text("utf-8"), PythonLexer(), formatter)
        # Hundreds of addresses to copy; a stop of the tab key at each would be in the way.
        shown = shown.replace('<a href="#line-', '<a tabindex="-1" href="#line-')
        body = (
            f'<section class="code-page"><h1>{title}</h1>'
            f'<p><code>{path.relative_to(chapter.root).as_posix()}</code>, of <a href="{page}">the chapter</a>.</p>'
            f'<div class="highlight-python notranslate">{shown}</div></section>'
        )
        yield code_page(chapter), {"title": title, "body": body, "parents": []}, "page.html"
