"""What all pages share beside their content: numbers, search, descriptions, light pages that all can use."""

import filecmp
import html
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from companion.sphinx import numbers, search
from companion.sphinx.mend import mend
from companion.sphinx.search import text_of, tidy

# The path of a descent into a valley, as an address in the page's head: one file less to fetch.
ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#0b3954'/>"
    "<path d='M4 7c3 18 7 19 12 19s9-1 12-19' fill='none' stroke='#9ad1d4' stroke-width='2.5' stroke-linecap='round'/>"
    "<path d='M7 13l4.5 7.5 6 1.5-2 3.5' fill='none' stroke='#ffb400' stroke-width='2.5' stroke-linecap='round' "
    "stroke-linejoin='round'/></svg>"
)

MATHJAX = {
    # Without the menu, which is a third of the weight and makes each formula a stop of the tab key.
    "loader": {"load": ["core", "input/tex", "output/chtml", "a11y/assistive-mml"]},
    "options": {"processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"},
}


def settle(app: Sphinx, config: Config) -> None:
    """What follows from decisions here and need not stand in the configuration."""
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = MATHJAX
    # The index of proofs that sphinx-proof makes lists labels, and no page leads to it.
    config.html_domain_indices = False
    config.numfig_format = config.numfig_format | {"figure": "Figure %s", "table": "Table %s"}


def describe(doctree: nodes.document) -> str:
    """The first paragraph of a page, cut at a sentence or a word."""
    section = next(iter(doctree.findall(nodes.section)), doctree)
    own = (child for child in section.children if isinstance(child, nodes.paragraph))
    first = next(own, None) or next(section.findall(nodes.paragraph), None)
    text = tidy(text_of(first)) if first is not None else ""
    if len(text) <= 200:
        return text
    sentence = re.match(r"(.{79,199}[.?!])(?= )", text)
    return sentence[1] if sentence else text[:199].rsplit(" ", 1)[0] + "…"


def describe_page(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Title, description and card for those who find or share a page; its icon."""
    known = app.env.titles.get(pagename)
    title = tidy(text_of(known)) if known else context.get("title") or app.config.project
    # Without the chapter's number, which the page itself shows.
    context["title"] = html.escape(title)
    tags = {"og:title": title, "og:site_name": app.config.html_title or app.config.project, "og:type": "article"}
    named = {"twitter:card": "summary"}
    if doctree is not None and (text := describe(doctree)):
        named["description"] = tags["og:description"] = text
    base = app.config.html_baseurl
    if base:
        tags["og:url"] = base.rstrip("/") + "/" + app.builder.get_target_uri(pagename)
        image = next(iter(doctree.findall(nodes.image)), None) if doctree is not None else None
        if image is not None and image["uri"] in app.builder.images:
            tags["og:image"] = f"{base.rstrip('/')}/{app.builder.imagedir}/{app.builder.images[image['uri']]}"
            tags["og:image:alt"] = image.get("alt", "")
            named["twitter:card"] = "summary_large_image"
    lines = [f'<meta property="{key}" content="{html.escape(value)}" />' for key, value in tags.items()]
    lines += [f'<meta name="{key}" content="{html.escape(value)}" />' for key, value in named.items()]
    icon = ICON.replace("#", "%23").replace("<", "%3C").replace(">", "%3E")
    lines.append(f'<link rel="icon" href="data:image/svg+xml,{icon}" />')
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(lines)
    context["default_mode"] = context.get("default_mode") or "auto"


def mark_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Which figure of which lab a figure is, in a class, since docutils writes no other attribute of a figure."""
    for figure in doctree.findall(nodes.figure):
        drawn = figure.get("companion")
        if drawn:
            figure["classes"].append(f"drawn-by__{drawn['slug']}__{drawn['name']}")


def mend_pages(app: Sphinx) -> None:
    """Every page that is written passes through :func:`companion.sphinx.mend.mend`."""
    if app.builder.format != "html":
        return
    render = app.builder.templates.render

    def mended(template: str, context: dict[str, Any]) -> str:
        return mend(render(template, context), context.get("pagename", ""))

    app.builder.templates.render = mended


NOT_FOUND = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" /><meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="robots" content="noindex" /><title>Page not found — {title}</title>
<style>
  :root {{ --ground: #fff; --text: #1f2328; --link: #0a58ca; }}
  @media (prefers-color-scheme: dark) {{ :root {{ --ground: #14171a; --text: #e6e9ec; --link: #79b0f5; }} }}
  body {{ background: var(--ground); color: var(--text); font: 1rem/1.6 system-ui, sans-serif;
          max-width: 34rem; margin: 18vh auto 0; padding: 0 1.2rem; }}
  a {{ color: var(--link); }}
  input {{ font: inherit; padding: .4rem .6rem; width: 100%; box-sizing: border-box; }}
</style>
</head>
<body>
<main>
<h1>There is no such page</h1>
<p>It may have moved. <a href="{base}index.html">{title}</a> begins here, and this searches it:</p>
<form action="{base}search.html" role="search"><input type="search" name="q" aria-label="Search the book" /></form>
</main>
</body>
</html>
"""

FRONT = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8" /><title>{title}</title><meta http-equiv="refresh" content="0; url={to}" />
<link rel="canonical" href="{to}" /></head>
<body><main><h1>{title}</h1><p><a href="{to}">To the book</a></p></main></body>
</html>
"""


# Of MathJax, what the pages load; of the theme, nothing but what is left of its style without its icons.
MATHJAX_FILES = ("startup.js", "core.js", "input/tex.js", "input/tex/extensions/", "output/chtml.js", "output/chtml/",
                 "a11y/assistive-mml.js")  # fmt: skip
NEEDLESS = ("vendor/fontawesome", "scripts/fontawesome.js", "searchtools.js", "language_data.js", "sphinx_highlight.js",
            "sphinx-thebe.js", "sphinx-thebe.css")  # fmt: skip


def slim(static: Path) -> None:
    """Remove what no page asks for: nine tenths of what extensions copy, and the theme's rules for icons."""
    mathjax = static / "mathjax"
    for file in [file for file in mathjax.rglob("*") if file.is_file()]:
        if not file.relative_to(mathjax).as_posix().startswith(MATHJAX_FILES):
            file.unlink()
    for name in NEEDLESS:
        target = static / name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    for pattern in ("scripts/*.map", "scripts/*.LICENSE.txt", "styles/*.map"):
        for file in static.glob(pattern):
            file.unlink()
    style = static / "styles" / "pydata-sphinx-theme.css"
    if style.is_file():
        text = style.read_text(encoding="utf-8")
        text = re.sub(r"@font-face\{[^}]*Font Awesome[^}]*\}", "", text)
        text = re.sub(r"(?<=\})(?:\.fa[a-z]?(?:-[\w-]+)?(?::[a-z]+)?,?)+\{[^{}]*\}", "", text)
        style.write_text(text, encoding="utf-8")


def finish(app: Sphinx, exception: Exception | None) -> None:
    """The page that a server shows for a wrong address, which may be asked for from any folder, and the front door."""
    if exception is None and app.builder.format == "html":
        title = html.escape(app.config.html_title or app.config.project)
        base = app.config.html_baseurl.rstrip("/") + "/" if app.config.html_baseurl else "/"
        out = Path(app.outdir)
        (out / "404.html").write_text(NOT_FOUND.format(title=title, base=base), encoding="utf-8")
        slim(out / "_static")
        front = FRONT.format(title=title, to=f"{app.config.root_doc}.html")
        (out / "index.html").write_text(front, encoding="utf-8")


def rebuild_for_changed_styles(app: Sphinx, env: Any, added: set, changed: set, removed: set) -> list[str]:
    """Sphinx copies style sheets only when some page is out of date; make one so when a style sheet has changed."""
    ours = [Path(app.confdir, folder) for folder in app.config.html_static_path if not Path(folder).is_absolute()]
    for folder in ours:
        for file in filter(Path.is_file, folder.glob("*")):
            built = Path(app.outdir) / "_static" / file.name
            if not built.is_file() or not filecmp.cmp(file, built, shallow=False):
                return [app.config.root_doc]
    return []


def setup(app: Sphinx) -> None:
    """Register with Sphinx; called by the extension's own ``setup``."""
    numbers.setup(app)
    search.setup(app)
    app.connect("config-inited", settle, priority=900)
    app.connect("builder-inited", mend_pages)
    app.connect("doctree-read", mark_figures)
    app.connect("html-page-context", describe_page, priority=900)
    app.connect("env-get-outdated", rebuild_for_changed_styles)
    app.connect("build-finished", finish, priority=900)
