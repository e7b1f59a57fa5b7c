"""The built book in one piece: ``python -m companion.site pdf`` prints it, ``… zip`` packs it."""

import html
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import yaml

from companion import catalogue

FOLDER = "theory-of-training-executed"
# What serves the next build or other sites, not the reader.
NOT_PACKED = (".buildinfo", ".doctrees", "objects.inv", ".nojekyll")


class SiteError(RuntimeError):
    """The site cannot be printed or packed; the message is one line."""


def documents(root: Path) -> list[str]:
    """All pages of the book in reading order."""
    first = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))["root"]
    return [first, *(name for names in catalogue.read_toc(root).values() for name in names)]


def built(root: Path) -> Path:
    """The folder of the built pages.

    Raises
    ------
    SiteError
        If the book is not built.
    """
    site = root / "_build" / "html"
    if not (site / "index.html").is_file():
        raise SiteError("the book is not built: run `make html`")
    return site


# --- one archive --------------------------------------------------------------------------------------------------


def pack(root: Path) -> Path:
    """The site as one archive that can be read from a file; the same bytes for the same site."""
    site, target = built(root), root / "_build" / "book.zip"
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        new = Path(folder) / target.name
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for file in sorted(site.rglob("*")):
                inside = file.relative_to(site)
                if file.is_file() and not any(part in NOT_PACKED for part in inside.parts):
                    entry = zipfile.ZipInfo(f"{FOLDER}/{inside.as_posix()}", date_time=(1980, 1, 1, 0, 0, 0))
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    entry.external_attr = 0o644 << 16
                    archive.writestr(entry, file.read_bytes())
        os.replace(new, target)
    return target


# --- one page -----------------------------------------------------------------------------------------------------


# Style sheets and what typesets formulas.
HEAD_TAGS = (
    r'<link\b[^>]*rel="stylesheet"[^>]*>|<script>window\.MathJax.*?</script>|<script\b[^>]*mathjax/[^>]*></script>'
)
PRINTED = """\
<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8" /><title>{title}</title>{head}
<style>
  .printed-page, .printed-toc {{ break-before: page; }}
  .printed-toc ul {{ list-style: none; padding-left: 0; }}
  body {{ display: block; min-height: 0; }}
</style></head>
<body><main class="bd-main"><article class="bd-article">
{first}<nav class="printed-toc" aria-label="Contents"><h1>Contents</h1>{toc}</nav>{rest}
</article></main></body></html>
"""


def _key(document: str) -> str:
    return document.replace("/", "-")


def article(site: Path, document: str, known: set[str]) -> str:
    """The article of a page, fit to stand beside others: ids begin with the page's name, addresses with the site."""
    text = (site / f"{document}.html").read_text(encoding="utf-8")
    found = re.search(r'<article class="bd-article"[^>]*>(.*?)</article>', text, flags=re.S)
    if not found:
        raise SiteError(f"{document}.html holds no article")
    key, folder = _key(document), PurePosixPath(document).parent

    def address(match: re.Match[str]) -> str:
        name, given = match["name"], html.unescape(match["value"])
        if re.match(r"[a-z]+:|//", given):
            return match[0]
        path, _, anchor = given.partition("#")
        if not path:
            return f' {name}="#{key}--{anchor}"' if anchor else f' {name}="#{key}"'
        target = os.path.normpath(folder / path)
        page = target.removesuffix(".html")
        if target.endswith(".html") and page in known:
            return f' {name}="#{_key(page)}{f"--{anchor}" if anchor else ""}"'
        return f' {name}="{html.escape(target)}"'

    def ids(match: re.Match[str]) -> str:
        return f' {match[1]}="{" ".join(f"{key}--{value}" for value in match[2].split())}"'

    body = re.sub(r'\s(id|for|aria-labelledby|aria-describedby|aria-controls)="([^"]*)"', ids, found[1])
    body = re.sub(r"url\(#", f"url(#{key}--", body)
    body = re.sub(r'\s(?P<name>href|src|xlink:href)="(?P<value>[^"]*)"', address, body)
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.S)
    return f'<section class="printed-page" id="{key}">{body}</section>'


def heads(site: Path, pages: list[str]) -> Iterator[str]:
    """Style sheets and typesetting of all pages, each once, with addresses from the site's root."""
    seen = set()
    for document in pages:
        text = (site / f"{document}.html").read_text(encoding="utf-8").partition("</head>")[0]
        up = "../" * document.count("/")
        for tag in re.findall(HEAD_TAGS, text):
            if tag not in seen:
                seen.add(tag)
                yield tag.replace(f'="{up}', '="') if up else tag


def title_of(text: str) -> str:
    """The heading of an article, without its link."""
    found = re.search(r"<h1\b[^>]*>(.*?)<a class=\"headerlink\"", text, flags=re.S)
    return re.sub(r"<(?!/?(?:span|em|code)\b)[^>]+>", "", found[1]).strip() if found else ""


def one_page(root: Path) -> str:
    """The whole book as one HTML page for the folder of the built site."""
    site, pages = built(root), documents(root)
    known = set(pages)
    articles = {document: article(site, document, known) for document in pages}
    toc = []
    for part, names in catalogue.read_toc(root).items():
        entries = [f'<li><a href="#{_key(name)}">{title_of(articles[name])}</a></li>' for name in names
                   if not name.startswith(("book/parts/", "notebooks/"))]  # fmt: skip
        toc.append(f"<h2>{html.escape(part)}</h2><ul>{''.join(entries)}</ul>")
    title = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["title"]
    return PRINTED.format(
        title=html.escape(title),
        head="".join(heads(site, pages)),
        first=articles[pages[0]],
        toc="".join(toc),
        rest="".join(articles[document] for document in pages[1:]),
    )


def _find_browser(root: Path) -> str:
    path = root / "tests" / "find_browser.py"
    spec = importlib.util.spec_from_file_location("find_browser", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found = module.find_browser()
    except ImportError as error:
        raise SiteError(f"{error}: install the test requirements with `make`") from None
    if found is None:
        raise SiteError("no browser: run `python tests/find_browser.py --install`")
    return found


FOOTER = (
    '<div style="font-size:8px;width:100%;text-align:center;color:#555;font-family:sans-serif">'
    '<span class="pageNumber"></span></div>'
)


def print_pdf(root: Path) -> Path:
    """The whole book as one PDF, printed by the browser that the tests use, with outline and links within."""
    site, target = built(root), root / "_build" / "book.pdf"
    browser_path = _find_browser(root)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        new = Path(folder) / target.name
        # Beside the site, so that addresses from its root are right, but never inside what is published.
        page_file = Path(folder) / "site" / "book.html"
        shutil.copytree(site, page_file.parent, copy_function=os.link)
        page_file.write_text(one_page(root), encoding="utf-8")
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
            page = chromium.new_page()
            page.set_default_timeout(600_000)
            page.goto(page_file.as_uri(), wait_until="load")
            page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
            page.wait_for_function("window.MathJax?.startup?.promise?.then(() => true)")
            page.wait_for_function("[...document.images].every(image => image.complete)")
            page.emulate_media(media="print", color_scheme="light")
            page.pdf(
                path=new,
                format="A4",
                print_background=True,
                outline=True,
                tagged=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                margin={"top": "16mm", "bottom": "18mm", "left": "15mm", "right": "15mm"},
            )
            chromium.close()
        os.replace(new, target)
    return target


def main(arguments: list[str]) -> int:
    """``pdf`` or ``zip``; prints the path of what was made."""
    makers = {"pdf": print_pdf, "zip": pack}
    if len(arguments) != 1 or arguments[0] not in makers:
        print(f"usage: python -m companion.site {{{','.join(makers)}}}", file=sys.stderr)
        return 2
    try:
        root = catalogue.find_root()
        target = makers[arguments[0]](root)
    except (SiteError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{target.relative_to(root)}  ({target.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
