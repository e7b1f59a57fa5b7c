"""The last touch to each page's HTML: what has no name gets one, what a page does not use is not loaded.

The theme has no setting for any of this. The steps are plain replacements in its output, and the tests in a browser
(``tests/test_browser.py``) see on every page whether they still meet it.
"""

import html
import re

from companion.sphinx.tex import readable

# Style sheets and scripts that only some pages need, with what shows that a page does.
NEEDED_FOR = {
    "sphinx-design.min.css": r'class="[^"]*\bsd-',
    "design-tabs.js": r'class="[^"]*\bsd-tab',
    "proof.css": r'class="[^"]*\bproof\b',
    "exercise.css": r'class="[^"]*\b(?:exercise|solution)\b',
    "mystnb": r'class="[^"]*\bcell\b',
    "togglebutton": r'class="(?:(?=[^"]*\badmonition\b)[^"]*\bdropdown\b|(?:[^"]* )?toggle[" ])',
    "copybutton": r'class="[^"]*\bhighlight\b',
    "clipboard": r'class="[^"]*\bhighlight\b',
    "mathjax": r'class="[^"]*\bmath\b',
}
# Nothing here is used by any page: live code, the search that looks at Sphinx's own index, and one and a half
# megabytes of icons, of which the style sheet draws the dozen that the theme shows.
NEVER = r"thebe|fontawesome|searchtools\.js|language_data\.js|searchindex\.js|sphinx_highlight\.js"


def mend(page: str, pagename: str = "") -> str:
    """All steps in order."""
    for step in (load_what_is_used, name_controls, name_sidebar, unique_ids, label_tables, name_formulas):
        page = step(page)
    return enlarge_images(page, pagename)


def load_what_is_used(page: str) -> str:
    """Drop style sheets and scripts that the page does not need."""
    body = page[page.find("<article") :]
    needless = [name for name, sign in NEEDED_FOR.items() if not re.search(sign, body)]
    drop = "|".join([NEVER, *map(re.escape, needless)])
    page = re.sub(rf'\s*<link\b[^>]*href="[^"]*_static/[^"]*(?:{drop})[^"]*"[^>]*>', "", page)
    page = re.sub(rf'\s*<script\b[^>]*src="[^"]*(?:{drop})[^"]*"[^>]*></script>', "", page)
    page = re.sub(r'\s*<script type="text/x-thebe-config">.*?</script>', "", page, flags=re.S)
    page = re.sub(r"\s*<script>(?:kernelName = |const THEBE_JS_URL).*?</script>", "", page, flags=re.S)
    if "mathjax" in needless:
        page = re.sub(r"\s*<script>window\.MathJax = .*?</script>", "", page)
    if "togglebutton" in needless:
        page = re.sub(r"\s*<script>(?:let toggle|var togglebutton).*?</script>", "", page)
    # The theme states the viewport three times and prints a table of contents of its own before the article.
    head, viewport, rest = page.partition('<meta name="viewport"')
    page = head + viewport + re.sub(r'\s*<meta name="viewport"[^>]*>', "", rest)
    return re.sub(r'<div id="jb-print-docs-body" class="onlyprint">.*?(?=<div id="searchbox">)', "", page, flags=re.S)


def name_controls(page: str) -> str:
    """Names of buttons that hold what they show, and a landmark around the sidebar."""
    page = page.replace('<summary aria-label="Toggle hidden content">', "<summary>")  # it says itself what it does
    page = re.sub(r'(<button class="btn search-button-field[^>]*?) title="Search" aria-label="Search"', r"\1", page)
    page = page.replace('<div id="pst-primary-sidebar" class="', '<div id="pst-primary-sidebar" role="region" '
                        'aria-label="Contents of the book" class="')  # fmt: skip
    page = re.sub(r'(<button class="[^"]*theme-switch-button[^>]*?) aria-label="[^"]*"', r"\1", page)
    page = re.sub(r'(<i class="theme-switch[^>]*) title="([^"]*)"></i>', r'\1><span class="visually-hidden">\2 colours'
                  r"</span></i>", page)  # fmt: skip
    page = re.sub(r'(<button class="sidebar-toggle[^>]*? title="([^"]*)")', r'\1 aria-label="\2"', page)
    return re.sub(r'(<button onclick="toggleFullScreen\(\)"[^>]*? title="([^"]*)")', r'\1 aria-label="\2"', page,
                  flags=re.S)  # fmt: skip


def name_sidebar(page: str) -> str:
    """Each part once, as a link to its page; the arrows that unfold a chapter say whose they are."""
    captions = re.compile(
        r'<p aria-level="2" class="caption" role="heading"><span class="caption-text">(?P<name>[^<]*)</span></p>'
        r'(?P<list>\s*<ul class="[^"]*">)\s*<li class="toctree-l1(?P<current>[^"]*)"><a class="(?P<kind>[^"]*)" '
        r'href="(?P<to>[^"]*)">\s*(?P=name)\s*</a></li>'
    )

    def once(match: re.Match[str]) -> str:
        here = ' aria-current="page"' if "current" in match["current"] and match["to"] == "#" else ""
        link = f'<a class="caption-text" href="{match["to"]}"{here}>{match["name"]}</a>'
        return f'<p aria-level="2" class="caption" role="heading">{link}</p>{match["list"]}'

    page = captions.sub(once, page)
    return re.sub(
        r'(<li class="toctree-l\d[^"]*"><a [^>]*>)(.*?)(</a><details[^>]*>)<summary>',
        lambda m: f'{m[1]}{m[2]}{m[3]}<summary aria-label="Pages under {_plain(m[2])}">',
        page,
        flags=re.S,
    )


def unique_ids(page: str) -> str:
    """Proofs and the contents of statements all carry the same ids; a proof gets a class of its own instead."""
    page = page.replace('<div class="proof admonition" id="proof">', '<div class="proof admonition a-proof">')
    same = "proof|proof-content|exercise-content|solution-content"
    return re.sub(rf'(<(?:div|section)(?: class="[^"]*")?) id="(?:{same})"', r"\1", page)


def name_formulas(page: str) -> str:
    """A heading or a link that is a formula alone is read out in plain characters: it has no other name."""
    alone = r'(<(?:th|a)\b[^>]*>(?:<p>)?)<span class="(math[^"]*)">(\\\(.*?\\\))</span>(?=(?:</p>)?</(?:th|a)>)'

    def named(match: re.Match[str]) -> str:
        hidden = f'<span class="{match[2]}" aria-hidden="true">{match[3]}</span>'
        return f'{match[1]}{hidden}<span class="visually-hidden">{html.escape(_plain(match[3]))}</span>'

    return re.sub(alone, named, page)


def label_tables(page: str) -> str:
    """Every cell says under which heading it stands: on a narrow screen a row is a card of such cells."""
    return re.sub(r"<table\b.*?</table>", lambda m: _label(m[0]), page, flags=re.S)


def _label(table: str) -> str:
    head = re.search(r"<thead>(.*?)</thead>", table, flags=re.S)
    if not head or "highlighttable" in table[:80]:
        return table
    heads = [_plain(cell) for cell in re.findall(r"<th\b[^>]*>(.*?)</th>", head[1], flags=re.S)]
    # A heading without text is no heading.
    titled = re.sub(r"<th\b([^>]*)>(\s*(?:<p>\s*</p>)?\s*)</th>", r"<td\1>\2</td>", head[0])

    def row(match: re.Match[str]) -> str:
        column = -1

        def cell(tag: re.Match[str]) -> str:
            nonlocal column
            column += 1
            if "data-label" in tag[2] or column >= len(heads) or not heads[column]:
                return tag[0]
            return f'<{tag[1]}{tag[2]} data-label="{html.escape(heads[column])}">'

        return re.sub(r"<(td|th)\b([^>]*)>", cell, match[0])

    start = head.end()
    return table[: head.start()] + titled + re.sub(r"<tr\b.*?</tr>", row, table[start:], flags=re.S)


def _plain(text: str) -> str:
    """Text of a piece of HTML in one line, formulas in plain characters."""
    text = re.sub(r"<[^>]+>", "", text)
    text = re.sub(r"\\\((.*?)\\\)", lambda m: readable(html.unescape(m[1])), text, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(text)).strip()


def enlarge_images(page: str, pagename: str) -> str:
    """Each figure is a link to its image, which ``look.js`` opens in place, with the command that draws it."""
    folder, _, slug = pagename.rpartition("/")
    start = page.find("<article")
    drawn = r'<figure class="([^"]*?)\s*drawn-by__([^_" ]+)__([^" ]+)'
    body = re.sub(drawn, r'<figure data-command="companion figure \2 \3" class="\1', page[start:])

    def link(match: re.Match[str]) -> str:
        if match["before"]:
            return match[0]
        source = re.search(r'\ssrc="([^"]*)"', match["image"])
        name = re.search(r'class="[^"]*\brecord-figure-([\w.-]+)', match["image"])
        command = f' data-command="companion figure {slug} {name[1]}"' if name and folder == "notebooks" else ""
        if not source or source[1].startswith("data:"):
            return match[0]
        hint = '<span class="enlarge-sign" aria-hidden="true"></span><span class="visually-hidden"> Enlarge</span>'
        return f'<a class="enlarge" href="{source[1]}"{command}>{match["image"]}{hint}</a>'

    return page[:start] + re.sub(r"(?P<before><a\b[^>]*>\s*)?(?P<image><img\b[^>]*>)", link, body)
