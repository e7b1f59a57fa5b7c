"""The built book in a real browser that may speak to nothing but the local server."""

import functools
import http.server
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from find_browser import find_browser

from companion.catalogue import chapters, read_toc

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
DOCUMENTS = ["book/intro", *(document for documents in read_toc(ROOT).values() for document in documents)]
CHAPTERS = [chapter.slug for chapter in chapters(ROOT)]

pytestmark = [pytest.mark.browser, pytest.mark.book]


def unavailable(reason: str) -> None:
    """Skip on somebody's laptop, fail where the tests vouch for the book."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def site():
    if not (HTML / "index.html").is_file():
        unavailable("the book is not built: run make book")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    path = find_browser()
    if path is None:
        unavailable("no browser: run python tests/find_browser.py --install")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@dataclass
class Opened:
    """A loaded page and everything that went wrong on the way."""

    page: object
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def visit(browser, site):
    """Open a document at a width; each is loaded once and then looked at by several tests."""
    loaded = {}

    def visit(document: str, width: int = 1280) -> Opened:
        if (document, width) not in loaded:
            loaded[document, width] = load(browser, site, document, width)
        return loaded[document, width]

    return visit


def load(browser, site: str, document: str, width: int) -> Opened:
    opened = Opened(browser.new_page(viewport={"width": width, "height": 900}))

    def only_local(route):
        if route.request.url.startswith((site, "data:", "blob:")):
            route.continue_()
        else:
            opened.outside.append(route.request.url)
            route.abort()

    opened.page.route("**/*", only_local)
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on("console", lambda m: opened.errors.append(m.text) if m.type in ("error", "warning") else None)
    opened.page.on("response", lambda r: opened.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    opened.page.goto(f"{site}/{document}.html", wait_until="load")
    if opened.page.locator(".math").count():
        # The first formula may stand in a part that only print shows, so it need not be visible.
        opened.page.wait_for_selector("mjx-container", state="attached", timeout=60_000)
        opened.page.wait_for_function("MathJax.startup.promise.then(() => true)", timeout=60_000)
    return opened


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_asks_nothing_of_the_network_and_raises_no_error(visit, document):
    opened = visit(document)
    assert opened.outside == []
    assert opened.errors == []
    assert opened.page.locator("h1").count() >= 1


@pytest.mark.parametrize("document", DOCUMENTS)
def test_all_mathematics_is_typeset(visit, document):
    page = visit(document).page
    formulas = page.locator("article .math").count()
    assert page.locator("article .math:has(mjx-container)").count() == formulas
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0


@pytest.mark.parametrize("document", DOCUMENTS)
def test_displayed_formulas_fit_their_column_on_a_desktop(visit, document):
    too_wide = visit(document).page.evaluate(
        """() => [...document.querySelectorAll("article div.math")].flatMap((block) => {
            const formula = block.querySelector("mjx-math"), number = block.querySelector(".eqno");
            const room = block.getBoundingClientRect().width - (number ? number.getBoundingClientRect().width : 0);
            const width = formula ? formula.getBoundingClientRect().width : 0;
            return width > room ? [[block.id, Math.round(width), Math.round(room)]] : [];
        })"""
    )
    assert too_wide == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_markup_is_left_raw(visit, document):
    text = visit(document).page.evaluate(
        """() => {
            const article = document.querySelector("article").cloneNode(true);
            article.querySelectorAll("pre, code, mjx-container, script").forEach((node) => node.remove());
            return article.textContent;
        }"""
    )
    assert re.findall(r"\{[a-z:]+\}`[^`]*`?|\$\$|```|:::", text) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_image_is_loaded_and_described(visit, document):
    page = visit(document).page
    images = page.evaluate("[...document.querySelectorAll('article img')].map(i => [i.naturalWidth, i.alt, i.src])")
    for width, alt, source in images:
        assert width > 300, source
        assert len(alt) > 15, source


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_phone_need_not_scroll_sideways(visit, document):
    page = visit(document, width=390).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 392
    page.close()


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_chapters_page_has_theorems_figures_claims_and_parameters(visit, slug):
    page = visit(f"book/{slug}").page
    assert page.locator("div.proof.theorem, div.proof.proposition").count() >= 1
    assert page.locator("figure.record-figure img").count() >= 1
    assert page.locator("table.claims-table tbody tr").count() >= 1
    assert page.locator("table.claims-table .verdict-unsound").count() == 0
    assert page.locator("table.parameters-table tbody tr").count() >= 4
    assert page.locator("div.highlight").count() >= 2
    assert page.locator(".footnote, .footnote-list, aside.footnote").count() >= 1


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_lab_shows_its_figures_and_verdicts_and_can_be_downloaded(visit, slug):
    page = visit(f"notebooks/{slug}").page
    assert page.locator(".cell_output img").count() >= 2
    assert page.locator("table.verdicts tbody tr").count() >= 1
    assert page.locator("button.copybtn").count() >= 2
    link = page.locator("a[href$='.ipynb']").first
    answer = page.request.get(page.evaluate("a => a.href", link.element_handle()))
    assert answer.ok
    assert answer.json()["nbformat"] == 4


def test_the_landing_page_shows_three_figures_and_the_ledgers_totals(visit):
    page = visit("book/intro").page
    assert page.locator("figure.record-figure img").count() == 3
    assert int(page.locator(".total-claims .total-count").inner_text()) >= 3 * len(CHAPTERS)
    assert int(page.locator(".total-chapters .total-count").inner_text()) == len(CHAPTERS)
