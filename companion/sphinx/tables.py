"""Tables of a chapter: claims and parameters; and the marks of verdicts that other pages use, too."""

from typing import Any

from docutils import nodes
from sphinx import addnodes

from companion.catalogue import Chapter
from companion.claims import Claim, Verdict, format_measured, format_number, mark, refutation
from companion.parameters import PROFILES
from companion.sphinx.code import code_page, line_anchor, measure_lines
from companion.sphinx.figures import figure_anchor, figures_on_page
from companion.sphinx.records import Reader, claim_anchor, link

Cell = str | int | list[nodes.Node]


def table(
    header: list[str],
    rows: list[list[Cell]],
    classes: str,
    widths: list[int],
    marks: list[tuple[str, list[str]]] | None = None,
) -> nodes.Node:
    """A table in its container; a cell is text or a list of inline nodes, ``marks`` are id and classes of the rows."""
    group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in widths], cols=len(header))
    head, body = nodes.thead(), nodes.tbody()
    head += _row(header)
    for k, row in enumerate(rows):
        made = _row(row)
        if marks:
            made["ids"], made["classes"] = [marks[k][0]], list(marks[k][1])
        body += made
    group += [head, body]
    # On a narrow screen the table scrolls inside its container, not the page.
    return nodes.container(
        "",
        nodes.table("", group, classes=[*classes.split(), "companion-table", "colwidths-given"]),
        classes=["companion-scroll"],
    )


def _row(cells: list[Cell]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        content = nodes.paragraph("", "", *([nodes.Text(str(cell))] if isinstance(cell, str | int) else cell))
        row += nodes.entry("", content)
    return row


# --- marks of verdicts ----------------------------------------------------------------------------------------------


def verdict_kind(verdict: Verdict | None) -> str:
    """``sound``, ``unsound``, or ``none`` where nothing was decided."""
    if verdict is None or not verdict.decided:
        return "none"
    return "sound" if verdict.sound else "unsound"


def badge(verdict: Verdict | None) -> list[nodes.Node]:
    """The verdict in a word or two."""
    if verdict is None:
        return [nodes.inline("", "no record", classes=["verdict", "verdict-none"])]
    classes = ["verdict", f"verdict-{verdict_kind(verdict)}", f"stance-{verdict.stance}"]
    return [nodes.inline("", mark(verdict), classes=classes)]


def outcome(verdict: Verdict | None) -> list[nodes.Node]:
    """Badge, measured values, control."""
    if verdict is None or not verdict.decided:
        return badge(verdict)
    control = f"control {refutation(verdict)}: {format_measured(verdict.control['measured'])}"
    return [
        *badge(verdict),
        nodes.inline("", format_measured(verdict.measured), classes=["measured-values"]),
        nodes.inline("", control, classes=["control-values"]),
    ]


def row_mark(anchor: str, claim: Claim, verdict: Verdict | None) -> tuple[str, list[str]]:
    """Id and classes of a claim's row."""
    return anchor, ["claim-row", f"stance-{verdict.stance if verdict else claim.stance}", f"is-{verdict_kind(verdict)}"]


def permalink(claim: str, anchor: str) -> nodes.Node:
    """A link of a row to itself."""
    return nodes.raw(
        "",
        f'<a class="claim-link" href="#{anchor}" aria-label="Link to claim {claim}" title="Link to this claim">#</a>',
        format="html",
    )


# --- where a claim is seen and proved -------------------------------------------------------------------------------


def see(env: Any, chapter: Chapter, claim: Claim) -> nodes.Node:
    """Links from a claim to the theorem that proves it, the figure that shows it and the code that measures it."""
    links: list[nodes.Node] = []
    if claim.theorem:
        links.append(theorem_link(env, claim.theorem))
    if claim.figure:
        anchor = figure_anchor(claim.figure)
        if claim.figure in figures_on_page(chapter):
            links.append(link(env, f"figure {claim.figure}", f"book/{chapter.slug}", anchor))
            links.append(link(env, "in the lab", f"notebooks/{chapter.slug}", anchor))
        else:
            links.append(link(env, f"figure {claim.figure} in the lab", f"notebooks/{chapter.slug}", anchor))
    line = measure_lines(chapter).get(claim.id)
    if line is not None:
        links.append(link(env, "code", code_page(chapter), line_anchor(line)))
    shown = [node for k, entry in enumerate(links) for node in ([nodes.Text(" · ")] if k else []) + [entry]]
    return nodes.inline("", "", *shown, classes=["claim-see"])


def theorem_link(env: Any, label: str) -> nodes.Node:
    """A link to a theorem with its number; a label that does not exist fails the build."""
    return addnodes.pending_xref(
        "",
        nodes.inline("", label),
        refdomain="prf",
        reftype="ref",
        reftarget=label,
        refexplicit=False,
        refwarn=True,
        refdoc=env.docname,
    )


# --- directives -----------------------------------------------------------------------------------------------------


class ClaimsTable(Reader):
    """The chapter's claims with criterion, reason, control, and the verdicts of both profiles."""

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        found = {profile: self._verdicts(chapter, profile) for profile in PROFILES}
        shown = [profile for profile in PROFILES if profile == PROFILES[0] or found[profile]]
        rows, marks = [], []
        for claim in chapter.claims:
            verdicts = [found[profile].get(claim.id) for profile in shown]
            says = [
                permalink(claim.id, claim_anchor(claim.id)),
                nodes.Text(" "),
                nodes.strong("", claim.id),
                nodes.Text(" " + claim.says),
            ]
            if claim.changed:
                says.append(nodes.inline("", f"Changed: {claim.changed}", classes=["claim-changed"]))
            says += [nodes.Text(" "), see(self.env, chapter, claim)]
            rows.append([says, self._judged(claim, verdicts), *map(outcome, verdicts)])
            marks.append(row_mark(claim_anchor(claim.id), claim, verdicts[0]))
        widths = [30, 35, 35] if len(shown) == 1 else [26, 28, 23, 23]
        return [table(["Claim", "Criterion and control", *shown], rows, "claims-table", widths, marks)]

    def _judged(self, claim: Claim, verdicts: list[Verdict | None]) -> list[nodes.Node]:
        criterion = next((verdict.criterion for verdict in verdicts if verdict), "not run yet")
        if claim.control is None:
            return [nodes.Text(criterion)]
        return [
            nodes.literal("", criterion),
            nodes.inline("", claim.reason, classes=["reason"]),
            nodes.inline("", f"Control: {claim.control.says}", classes=["control-says"]),
        ]

    def _verdicts(self, chapter: Chapter, profile: str) -> dict[str, Verdict]:
        self.record(chapter, profile)
        return self.records.verdicts(chapter, profile)


class ParametersTable(Reader):
    """The chapter's parameters: meaning, type, valid values, value at each profile."""

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        self.record(chapter, PROFILES[0])
        rows = [
            [
                [nodes.literal("", row["name"])],
                row["description"],
                row["allowed"],
                *(format_number(row[profile]) for profile in PROFILES),
            ]
            for row in chapter.parameters.table()
        ]
        header = ["Parameter", "Meaning", "Allowed", *PROFILES]
        return [table(header, rows, "parameters-table", [23, 30, 19, 14, 14])]
