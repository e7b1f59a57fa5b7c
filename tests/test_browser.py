"""The built book in a real browser that may speak to nothing but the local server.

Each page is loaded once and looked at in the ways in which it is read: on a desktop, in the dark, on a phone, on paper.
"""

import functools
import http.server
import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from audits import mark_of, outline, recorded
from find_browser import find_axe, find_browser

from companion import site as whole
from companion.catalogue import chapters, read_toc

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
DOCUMENTS = whole.documents(ROOT)
CHAPTERS = [chapter.slug for chapter in chapters(ROOT)]
CODE = [f"book/code/{slug}" for slug in CHAPTERS if (HTML / "book" / "code" / f"{slug}.html").is_file()]
# The pages of code are of one making.
PAGES = [*DOCUMENTS, *CODE[:1], "search", "genindex", "404"]
EVERYTHING = bool(os.environ.get("COMPANION_ALL"))

# Bytes of scripts, styles and fonts that a page may load, before a server compresses them.
BUDGET = {"with formulas": 1_500_000, "without formulas": 620_000, "search": 2_500_000}

pytestmark = [pytest.mark.browser, pytest.mark.book]


def unavailable(reason: str) -> None:
    """Skip on somebody's laptop, fail where the tests vouch for the book."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def on(documents):
    """Run tests on each of these pages; a chapter's page and its lab stay on one worker, one after the other."""

    def group(document):
        return f"browser-{document.rpartition('/')[2]}"

    pages = [pytest.param(name, marks=pytest.mark.xdist_group(name=group(name)), id=name) for name in documents]
    return pytest.mark.parametrize("opened", pages, indirect=True)


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
    """A loaded page and everything that happened on the way."""

    document: str
    page: object
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def read(self, *, width: int = 1280, scheme: str = "light", media: str = "screen"):
        """The page at another width, in the dark or on paper; afterwards as it was."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(media=media, color_scheme=scheme)
        settle(self.page)
        yield self.page
        self.page.emulate_media(media="screen", color_scheme="light")
        self.page.set_viewport_size({"width": 1280, "height": 900})
        settle(self.page)


def settle(page) -> None:
    """Let the page's own script see the new width, which it does in the next frame, and colours change to the end."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("document.getAnimations().forEach(animation => animation.finish())")


def load(browser, site: str, document: str) -> Opened:
    opened = Opened(document, browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light"))

    def only_local(route):
        if route.request.url.startswith((site, "data:", "blob:")):
            route.continue_()
        else:
            opened.outside.append(route.request.url)
            route.abort()

    def weigh(response):
        if response.status >= 400:
            opened.errors.append(f"{response.status} {response.url}")
        elif response.request.resource_type in ("script", "stylesheet", "font"):
            file = HTML / response.url.removeprefix(site).partition("?")[0].lstrip("/")
            opened.weights[file.relative_to(HTML).as_posix()] = file.stat().st_size

    opened.page.route("**/*", only_local)
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on("console", lambda m: opened.errors.append(m.text) if m.type in ("error", "warning") else None)
    opened.page.on("response", weigh)
    opened.page.goto(f"{site}/{document}.html", wait_until="load")
    typeset(opened.page)
    return opened


def typeset(page) -> None:
    """Wait until the formulas stand."""
    if page.locator(".math").count():
        # The first formula may stand in a part that only print shows, so it need not be visible.
        page.wait_for_function("window.MathJax?.startup?.promise?.then(() => true)", timeout=60_000)
        page.wait_for_selector("mjx-container", state="attached", timeout=60_000)
    settle(page)


@pytest.fixture(scope="module")
def _open(browser):
    """Pages that are open, latest last."""
    pages: dict[str, Opened] = {}
    yield pages
    for opened in pages.values():
        opened.page.close()


@pytest.fixture
def opened(request, browser, site, _open):
    """A page, loaded once for tests that follow one another; with a chapter's page its lab stays open."""
    if request.param not in _open:
        while len(_open) > 1:
            _open.pop(next(iter(_open))).page.close()
        _open[request.param] = load(browser, site, request.param)
    return _open[request.param]


# --- all pages ----------------------------------------------------------------------------------------------------

# What is wider than its place, and neither wraps nor says that it scrolls. What is read aloud in a formula's place, and
# what is hidden from sight on purpose, is no bigger than a pixel.
CUT = """() => [...document.querySelectorAll("article *")].filter((node) => {
    const style = getComputedStyle(node);
    if (node.clientWidth < 2 || node.scrollWidth <= node.clientWidth + 2) return false;
    if (style.display === "inline" || style.overflowX === "visible") return false;
    if (node.closest("mjx-math, mjx-assistive-mml, svg, .visually-hidden, dialog")) return false;
    if (node.matches("input, button, select, summary, .copybtn, thead, thead *")) return false;
    return !(node.classList.contains("scrolls") && node.tabIndex === 0 && node.getAttribute("aria-label"));
}).map((node) => `${node.tagName}.${node.className} ${node.scrollWidth}: ${node.textContent.slice(0, 60)}`)"""
CUT_ON_PAPER = """() => [...document.querySelectorAll("article pre")]
    .filter((pre) => pre.scrollWidth > pre.clientWidth + 2).map((pre) => pre.textContent.slice(0, 60))"""


@on(PAGES)
class TestEveryPage:
    def test_asks_nothing_of_the_network_and_raises_no_error(self, opened):
        assert opened.outside == []
        assert opened.errors == []
        assert opened.page.locator("h1:visible").count() == 1

    def test_loads_only_what_it_uses(self, opened):
        formulas = opened.page.locator(".math").count() > 0
        kind = "search" if opened.document == "search" else "with formulas" if formulas else "without formulas"
        assert sum(opened.weights.values()) <= BUDGET[kind], opened.weights
        assert [
            name for name in opened.weights if re.search("thebe|fontawesome|fa-solid|searchindex|require", name)
        ] == []
        assert formulas or not [name for name in opened.weights if "mathjax" in name]

    def test_has_a_title_a_description_and_an_icon(self, opened):
        page = opened.page
        if opened.document != "404":
            assert page.title().split(" — ")[0].strip(), opened.document
            assert page.locator("link[rel=icon]").count() == 1
        if opened.document in DOCUMENTS:
            description = page.locator("meta[name=description]").get_attribute("content")
            assert 20 <= len(description) <= 200
            assert not re.search(r"\\[a-z]|\$|\{|\.md\b", description), description
            assert page.locator("meta[property='og:title']").count() == 1

    def test_typesets_all_mathematics_and_makes_it_no_stop_of_the_tab_key(self, opened):
        page = opened.page
        formulas = page.locator("article .math").count()
        assert page.locator("article .math:has(mjx-container)").count() == formulas
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
        assert page.locator("mjx-container[tabindex]:not(.scrolls)").count() == 0

    def test_displayed_formulas_fit_their_column_on_a_desktop(self, opened):
        too_wide = opened.page.evaluate(
            """() => [...document.querySelectorAll("article div.math")].flatMap((block) => {
                const formula = block.querySelector("mjx-math"), number = block.querySelector(".eqno");
                const room = block.getBoundingClientRect().width - (number ? number.getBoundingClientRect().width : 0);
                const width = formula ? formula.getBoundingClientRect().width : 0;
                return width > room ? [[block.id, Math.round(width), Math.round(room)]] : [];
            })"""
        )
        assert too_wide == []

    def test_leaves_no_markup_raw(self, opened):
        text = opened.page.evaluate(
            """() => {
                const article = (document.querySelector("article") || document.body).cloneNode(true);
                article.querySelectorAll("pre, code, mjx-container, script").forEach((node) => node.remove());
                return article.textContent;
            }"""
        )
        assert re.findall(r"\{[a-z:]+\}`[^`]*`?|\$\$|\$[\w\\][^$\n]*\$|```|:::", text) == []

    def test_shows_every_image_described_and_at_the_width_of_the_column(self, opened):
        images = opened.page.evaluate(
            """() => {
                const column = document.querySelector("article > section")?.clientWidth;
                return [...document.querySelectorAll("article img")].map((i) =>
                    [i.naturalWidth, i.alt, i.src, i.clientWidth / column, !!i.closest("a")]);
            }"""
        )
        for width, alt, source, share, linked in images:
            assert width > 300, source
            assert len(alt) > 15, source
            assert share > 0.97, f"{source}: its text would be smaller than its style promises"
            assert linked, f"{source} cannot be enlarged"

    def test_has_each_id_once_and_each_part_once_in_the_sidebar(self, opened):
        ids = opened.page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
        assert sorted({name for name in ids if ids.count(name) > 1}) == []
        entries = [entry.strip() for entry in opened.page.locator("#pst-primary-sidebar nav a").all_inner_texts()]
        if opened.document != "404":
            for part in read_toc(ROOT):
                assert sum(entry == part for entry in entries) <= 1, part

    @pytest.mark.parametrize("width", [1280, 390])
    def test_cuts_nothing_without_a_sign(self, opened, width):
        with opened.read(width=width) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= width + 2
            assert page.evaluate(CUT) == []

    def test_shows_verdicts_and_numbers_of_equations_on_a_phone(self, opened):
        with opened.read(width=390) as page:
            hidden = page.evaluate(
                """() => [...document.querySelectorAll("article .verdict, article .eqno")].filter((node) => {
                    const box = node.getBoundingClientRect();
                    return box.width && (box.left < 0 || box.right > innerWidth);
                }).map((node) => node.parentElement.textContent.slice(0, 80))"""
            )
            assert hidden == []
            beside = page.evaluate(
                """() => [...document.querySelectorAll("article div.math:has(.eqno)")].filter((block) => {
                    const number = block.querySelector(".eqno").getBoundingClientRect();
                    return number.bottom > block.querySelector("mjx-math").getBoundingClientRect().top + 8;
                }).map((block) => block.id)"""
            )
            assert beside == []

    def test_prints_light_and_whole_from_the_dark(self, opened):
        if opened.document == "404":
            return
        with opened.read(scheme="dark", media="print") as page:
            page.evaluate("dispatchEvent(new Event('beforeprint'))")
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            cut = page.evaluate(CUT_ON_PAPER)
            page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert min(map(int, re.findall(r"\d+", ground)[:3])) > 240
        assert cut == []


# --- chapters and labs --------------------------------------------------------------------------------------------


@on([f"book/{slug}" for slug in CHAPTERS])
class TestChapter:
    def test_has_theorems_figures_claims_and_parameters(self, opened):
        page = opened.page
        assert page.locator("div.proof.theorem, div.proof.proposition").count() >= 1
        assert page.locator("figure.record-figure img").count() >= 1
        assert page.locator("table.claims-table tbody tr").count() >= 1
        assert page.locator("table.claims-table .verdict-unsound").count() == 0
        assert page.locator("table.parameters-table tbody tr").count() >= 4
        assert page.locator("div.highlight").count() >= 2
        assert page.locator(".footnote, .footnote-list, aside.footnote").count() >= 1

    def test_numbers_what_it_states_by_chapter(self, opened):
        number = CHAPTERS.index(opened.document.rpartition("/")[2]) + 1
        page = opened.page
        assert page.locator("h1 .section-number").inner_text().strip() == f"{number}."
        assert page.locator("h2 .section-number").count() == 0
        assert page.title().split(" ")[0] != f"{number}."
        stated = page.locator("div.proof:not(.a-proof) > .admonition-title .caption-number").all_inner_texts()
        assert [text.split()[-1] for text in stated] == [f"{number}.{k + 1}" for k in range(len(stated))]
        numbers = page.locator("article .eqno").all_inner_texts()
        assert [text.strip("# \n") for text in numbers] == [f"({number}.{k + 1})" for k in range(len(numbers))]
        figures = page.locator("figcaption .caption-number").all_inner_texts()
        assert [text.strip() for text in figures] == [f"Figure {number}.{k + 1}" for k in range(len(figures))]
        others = page.locator("a.reference.internal").all_inner_texts()
        assert [
            text for text in others if re.fullmatch(r"\(\d+\)|(?:Theorem|Lemma|Proposition|Definition) \d+", text)
        ] == []

    def test_a_figure_is_enlarged_by_keyboard_with_its_command_and_escape_closes_it(self, opened):
        for width in (1280, 390):
            with opened.read(width=width) as page:
                link = page.locator("figure.record-figure a.enlarge").first
                link.focus()
                page.keyboard.press("Enter")
                dialog = page.locator("dialog#enlarged[open]")
                assert re.fullmatch(
                    r"companion figure [\w-]+ [\w.-]+", dialog.locator(".enlarged-command code").inner_text()
                )
                assert dialog.locator("a[download]").get_attribute("href").endswith(".png")
                dialog.locator("img").evaluate("image => image.decode()")
                # As wide as on a desktop, so that its text is as high as there.
                assert dialog.locator("img").evaluate("image => image.clientWidth") >= 640
                frame = dialog.locator(".enlarged-image")
                assert frame.get_attribute("tabindex") == "0"
                assert frame.evaluate(
                    "node => node.scrollWidth <= node.clientWidth || getComputedStyle(node).overflowX === 'auto'"
                )
                page.keyboard.press("Escape")
                assert page.locator("dialog#enlarged[open]").count() == 0
                assert link.evaluate("node => node === document.activeElement")


@on([f"notebooks/{slug}" for slug in CHAPTERS])
def test_a_lab_shows_its_figures_and_verdicts_and_can_be_downloaded(opened):
    page = opened.page
    assert page.locator(".cell_output img").count() >= 2
    assert page.locator("table.verdicts tbody tr").count() >= 1
    assert page.locator("button.copybtn").count() >= 2
    link = page.locator("a[href$='.ipynb']").first
    answer = page.request.get(page.evaluate("a => a.href", link.element_handle()))
    assert answer.ok
    assert answer.json()["nbformat"] == 4


@on(["book/intro"])
def test_the_landing_page_shows_three_figures_and_the_ledgers_totals(opened):
    page = opened.page
    assert page.locator("figure.record-figure img").count() == 3
    assert int(page.locator(".total-claims .total-count").inner_text()) >= 3 * len(CHAPTERS)
    assert int(page.locator(".total-chapters .total-count").inner_text()) == len(CHAPTERS)


# --- search -------------------------------------------------------------------------------------------------------

ASKED = {
    "max margin": "continual-linear-classification",
    "sharpness": "progressive-sharpening",
    "SAM": "sam-diagonal-networks",
    "LoRA": "spectral-gradient-flow-lora",
    "Muon": "mimuon",
    "Schedule-Free": "schedule-free-river",
    "anytime": "amuse",
    "loss of plasticity": "deep-matrix-completion",
    "side information": "inductive-matrix-completion",
    "low-rank phase": "perturbed-deep-matrix-factorization",
    "progressive sharpening": "progressive-sharpening",
    "weight decay": "weight-decay-stability",
    "Chebyshev ellipse": "two-factor-linear-transformer",
    "local PL condition": "local-pl-rates",
    "pruning": "dual-pruning",
    "per-sample Adam": "incremental-adam",
}


def results(page, query: str) -> list[str]:
    page.locator(".book-search input").fill(query)
    return page.eval_on_selector_all(
        "#search-results > li > a", "links => links.map(link => link.getAttribute('href'))"
    )


@on(["search"])
class TestSearch:
    def test_finds_the_chapter_of_a_subject_first(self, opened):
        for query, slug in ASKED.items():
            if slug in CHAPTERS:
                assert results(opened.page, query)[0] == f"book/{slug}.html", query

    def test_finds_each_chapter_by_its_papers_title_and_by_its_own(self, opened):
        for chapter in chapters(ROOT):
            title = re.search(r"^# (.+)$", chapter.page.read_text("utf-8"), flags=re.M)[1]
            for query in (chapter.paper.title, title.replace("$", "")):
                assert results(opened.page, query)[0] == f"book/{chapter.slug}.html", query

    def test_a_greek_letter_and_its_name_find_the_same_chapters(self, opened):
        letter, name = results(opened.page, "ρ"), results(opened.page, "rho")
        assert "book/sam-diagonal-networks.html" in letter
        assert sorted(letter) == sorted(name)

    def test_excerpts_show_no_markup(self, opened):
        for query in (*ASKED, "theorem", "λ"):
            results(opened.page, query)
            text = opened.page.locator("#search-results").inner_text()
            assert re.findall(r"\\[a-zA-Z]+|\.md\b|\$", text) == [], query

    def test_chapters_come_before_pages_about_the_book(self, opened):
        for query in ("sharpness", "gradient", "claim margin"):
            found = results(opened.page, query)
            about = [k for k, name in enumerate(found) if re.search("book/(rerun|gpu|add-a-chapter|how-it)", name)]
            assert found
            assert 0 not in about, found

    def test_a_term_that_is_nowhere_says_so(self, opened):
        assert results(opened.page, "xyzzy") == []
        assert "Nothing" in opened.page.locator("#search-count").inner_text()


def test_the_book_can_be_read_and_searched_from_a_file(browser):
    if not (HTML / "index.html").is_file():
        unavailable("the book is not built: run make book")
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(request.url))
    page.goto((HTML / "book" / f"{CHAPTERS[0]}.html").as_uri())
    typeset(page)
    assert page.locator("article .math:has(mjx-container)").count() == page.locator("article .math").count() > 0
    page.goto((HTML / "search.html").as_uri() + "?q=sharpness")
    assert page.locator("#search-results > li").count() >= 1
    assert errors == []
    page.close()


# --- accessibility ------------------------------------------------------------------------------------------------

WAYS = {"light": {}, "dark": {"scheme": "dark"}, "phone": {"width": 390}}
# Nothing but colours differs in the dark.
RULES = {"dark": ["color-contrast", "link-in-text-block"]}
# Audited though nothing changed: a page of each kind.
SAMPLE = {
    "book/intro",
    "book/ledger",
    "search",
    *(f"{folder}/{slug}" for slug in CHAPTERS[:1] for folder in ("book", "notebooks")),
}


# An audit's time grows with the nodes of a page, and most of them are alike: the tokens of a kind, the lines of a long
# listing, the glyphs of a formula that does not scroll (what is read aloud in its place stays).
LIGHTEN = """() => {
    document.querySelectorAll(".highlight pre").forEach((listing, k) => {
        while (listing.childNodes.length > (k < 2 ? 300 : 40)) listing.lastChild.remove();
    });
    const seen = new Set();
    for (const token of document.querySelectorAll(".highlight span[class]")) {
        if (token.id || token.children.length) continue;
        if (seen.has(token.className)) token.replaceWith(...token.childNodes);
        else seen.add(token.className);
    }
    document.querySelectorAll("mjx-container:not(.scrolls) mjx-math").forEach((glyphs) => glyphs.replaceChildren());
}"""

# Every violation as one line.
AUDIT = """async (rules) => {
    const only = rules.length ? { runOnly: { type: "rule", values: rules } } : {};
    const { violations } = await axe.run(document, { resultTypes: ["violations"], ...only });
    const where = (node) => `${node.target.join(" ")} ${node.html.slice(0, 160)}`;
    return violations.map((v) => `${v.id} (${v.impact}): ${v.nodes.map(where).join(" | ")}`);
}"""


@on(PAGES)
def test_axe_finds_nothing_to_mend(opened):
    axe = find_axe()
    if axe is None:
        unavailable("no axe-core: run python tests/find_browser.py --install")
    now = outline(opened.document)
    if recorded().get(opened.document) == now and not EVERYTHING and opened.document not in SAMPLE:
        pytest.skip("the page has the outline that was audited; COMPANION_ALL=1 audits it all the same")
    opened.page.evaluate(LIGHTEN)
    opened.page.evaluate(axe.read_text(encoding="utf-8"))
    found = {}
    for way, how in WAYS.items():
        with opened.read(**how) as page:
            found |= {way: violations} if (violations := page.evaluate(AUDIT, RULES.get(way, []))) else {}
    assert found == {}
    mark_of(opened.document).parent.mkdir(parents=True, exist_ok=True)
    mark_of(opened.document).write_text(now)
