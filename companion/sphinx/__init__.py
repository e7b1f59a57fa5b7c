"""The book's own directives and roles. They read records; nothing that we measured is typed in a page.

Directives: ``claims-table``, ``parameters-table``, ``paper-record``, ``record-only``, ``record-figure``, ``expected``,
``chapter-list``, ``chapter-map``, ``theorem-list``, ``notation-list``, ``ledger-table``, ``ledger-totals``,
``planted-bugs``. Roles: ``measured``, ``claim``, ``computed``, ``notation``. On a chapter's page the chapter is the
page's own; elsewhere ``:chapter: SLUG`` names it (in a role, ``SLUG:C1.slope``).

Written without being asked for: the card at a chapter's head and the foot with the origin of its numbers, the head of
each lab, the links between claims, theorems, figures and code, pages of the claims as code, an archive of each
chapter's code, and the ledger as files.
"""

from typing import Any

from sphinx.application import Sphinx

from companion.sphinx import look
from companion.sphinx.cards import add_cards
from companion.sphinx.chapter_map import ChapterMap
from companion.sphinx.code import code_pages
from companion.sphinx.downloads import write_archives
from companion.sphinx.exercises import ExpectedOutput
from companion.sphinx.figures import RecordFigure
from companion.sphinx.labs import name_figures, use_executed_notebook
from companion.sphinx.ledger import LedgerTable, LedgerTotals, load_filter, write_files
from companion.sphinx.notation import Notation, NotationList
from companion.sphinx.overview import ChapterList, PaperRecord, PlantedBugs, RecordOnly
from companion.sphinx.records import forget_waiting, no_longer_waiting
from companion.sphinx.roles import ClaimRole, Computed, Measured
from companion.sphinx.tables import ClaimsTable, ParametersTable
from companion.sphinx.theorems import TheoremList, name_checks

DIRECTIVES = {
    "chapter-list": ChapterList,
    "chapter-map": ChapterMap,
    "claims-table": ClaimsTable,
    "expected": ExpectedOutput,
    "ledger-table": LedgerTable,
    "ledger-totals": LedgerTotals,
    "notation-list": NotationList,
    "paper-record": PaperRecord,
    "parameters-table": ParametersTable,
    "planted-bugs": PlantedBugs,
    "record-figure": RecordFigure,
    "record-only": RecordOnly,
    "theorem-list": TheoremList,
}
ROLES = {"claim": ClaimRole, "computed": Computed, "measured": Measured, "notation": Notation}


PROVIDERS = ("github", "gitlab", "bitbucket")
BINDER = "https://mybinder.org"  # a link only; no page loads anything from there


def show_repository(app: Sphinx, config: Any) -> None:
    """Where the repository has an address, the theme's buttons lead to it: source, issues, labs in a browser."""
    address = config.companion_repository
    if address:
        config.html_theme_options = config.html_theme_options | {
            "repository_url": address,
            # Other hosts have addresses like the first one's.
            "repository_provider": next((name for name in PROVIDERS if name in address), PROVIDERS[0]),
            "use_repository_button": True,
            "use_issues_button": True,
            "use_source_button": True,
            "launch_buttons": {"binderhub_url": BINDER, "notebook_interface": "jupyterlab"},
        }


def setup(app: Sphinx) -> dict[str, bool]:
    """Register everything with Sphinx."""
    app.add_config_value("companion_repository", "", "env", [str])
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    for name, role in ROLES.items():
        app.add_role(name, role())
    app.connect("config-inited", show_repository, priority=100)
    app.connect("env-purge-doc", forget_waiting)
    app.connect("env-get-outdated", no_longer_waiting)
    app.connect("source-read", use_executed_notebook)
    # Before the collectors of images and titles, which listen to the same event.
    for listener in (name_figures, name_checks, add_cards):
        app.connect("doctree-read", listener, priority=100)
    app.connect("html-collect-pages", code_pages)
    app.connect("html-page-context", load_filter)
    app.connect("build-finished", write_archives)
    app.connect("build-finished", write_files)
    look.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
