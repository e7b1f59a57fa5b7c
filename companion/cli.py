"""The ``companion`` command: list, show, run, check and refresh the chapters of the book.

Exit codes: 0 all as claimed, 1 some claim does not hold or some control is not refuted, 2 bad input (one line on
stderr, no file touched), 3 a notebook failed.
"""

import base64
import json
import os
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from tqdm import tqdm

from companion import catalogue, execution, ledger, scaffold
from companion.catalogue import Chapter, UnknownChapterError
from companion.claims import Verdicts, format_number
from companion.execution import InputError, NotebookError, one_line
from companion.parameters import ParameterError
from companion.sweep import sweep

app = typer.Typer(
    help="Executable companions to papers on the theory of training.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Slug = Annotated[str, typer.Argument(help="The chapter's name, as `companion list` prints it.")]
Given = Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="A parameter; repeat for more.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class _Refused(Exception):
    """Bad input, already in words."""


def _plainly(command: Callable) -> Callable:
    """Turn what the user got wrong into one line on stderr and exit code 2, a failed notebook into exit code 3."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except NotebookError as error:
            typer.echo(f"companion: {error}", err=True)
            raise typer.Exit(3) from None
        except (_Refused, ParameterError, UnknownChapterError, InputError, FileNotFoundError) as error:
            typer.echo(f"companion: {one_line(str(error))}", err=True)
            raise typer.Exit(2) from None
        except Exception as error:
            if type(error).__name__ not in execution.BAD_INPUT:
                raise
            typer.echo(f"companion: {one_line(str(error))}", err=True)
            raise typer.Exit(2) from None

    return run


def _values(given: list[str] | None) -> dict[str, Any]:
    """``["n=64", "ratios=[0.5, 0.7]"]`` to a dictionary; values are JSON or YAML."""
    values = {}
    for item in given or []:
        name, separator, text = item.partition("=")
        if not separator or not name:
            raise _Refused(f"-p: got {item!r}, allowed: NAME=VALUE")
        values[name.strip()] = _value(text.strip())
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _seeds(text: str) -> list[int]:
    try:
        if ":" in text:
            first, last = text.split(":")
            seeds = list(range(int(first or 0), int(last)))
        else:
            seeds = [int(seed) for seed in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds:
        raise _Refused(f"--seeds: got {text!r}, allowed: FIRST:END (END excluded) or a comma-separated list")
    return seeds


def _table(rows: list[tuple], indent: str = "") -> str:
    widths = [max(len(str(row[k])) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        indent + "  ".join(str(cell).ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _tally(verdicts: Verdicts) -> str:
    """How a run's claims came out, in one line."""
    decided = [v for v in verdicts if v.decided]
    held = sum(v.holds for v in decided)
    refuted = sum(v.control["holds"] is False for v in decided)
    return (
        f"{held} of {len(decided)} claims hold for their stance, {refuted} of {len(decided)} controls refuted, "
        f"{len(verdicts.verdicts) - len(decided)} undecided"
    )


@app.command("list")
@_plainly
def list_chapters() -> None:
    """List the chapters with their papers, parts and number of claims."""
    rows = [("chapter", "part", "claims", "paper")]
    for chapter in catalogue.chapters():
        paper = chapter.paper
        rows.append((chapter.slug, chapter.part, len(chapter.claims), f"{paper.title} ({paper.venue} {paper.year})"))
    typer.echo(_table(rows))
    drafts = [chapter.slug for chapter in catalogue.drafts()]
    if drafts:
        typer.echo(f"\ndrafts, not in the book yet: {', '.join(drafts)}")


@app.command()
@_plainly
def show(slug: Slug) -> None:
    """Show a chapter: its paper, its claims, and its parameters at both profiles."""
    chapter = catalogue.find(slug)
    paper = chapter.paper
    typer.echo(f"{paper.title}\n{', '.join(paper.authors)}. {paper.venue} {paper.year}.", nl=False)
    typer.echo(f" arXiv:{paper.arxiv}\n" if paper.arxiv else "\n")
    typer.echo("Claims")
    for claim in chapter.claims:
        typer.echo(f"  {claim.id:5} {claim.stance:10}  {claim.says}")
        if claim.control is not None:
            typer.echo(f"  {'':5} {'':10}  control: {claim.control.says}")
    typer.echo("\nParameters")
    rows = [("name", "type", "allowed", "quick", "paper", "meaning")]
    for row in chapter.parameters.table():
        shown = [format_number(row[profile]) for profile in ("quick", "paper")]
        rows.append((row["name"], row["type"], row["allowed"], *shown, row["description"]))
    typer.echo(_table(rows, "  "))


@app.command()
@_plainly
def run(
    slug: Slug,
    given: Given = None,
    profile: Annotated[str, typer.Option(help="quick or paper")] = "quick",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the executed notebook.")] = Path("runs"),
) -> None:
    """Run a chapter's notebook with your parameters and print its verdicts."""
    chapter = catalogue.find(slug)
    parameters = {"profile": profile, "device": device} | _values(given)
    resolved = chapter.parameters.resolve(**parameters)
    defaults = {"profile": "quick", "device": "auto"}
    parameters = {name: value for name, value in parameters.items() if defaults.get(name) != value}
    target = out / f"{run_name(chapter, resolved)}.ipynb"
    verdicts = execution.execute(chapter, target, parameters, progress=True)
    if verdicts is None:
        raise NotebookError(f"{chapter.source.name}: it shows no verdicts")
    typer.echo(f"{verdicts}\n\n{_tally(verdicts)}\n{target}")
    raise typer.Exit(0 if verdicts.sound else 1)


def run_name(chapter: Chapter, params: Any) -> str:
    """File name of a run: the chapter's at its defaults, else with the seed and a hash of what was changed."""
    name = chapter.slug
    if params.seed:
        name += f"-seed{params.seed}"
    changed = params.overrides()
    if changed:
        name += "-" + execution.short_hash(changed)
    return name


@app.command()
@_plainly
def check(
    slug: Annotated[str | None, typer.Argument(help="The chapter; or give --all.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every finished chapter.")] = False,
    seeds: Annotated[str, typer.Option(help="FIRST:END (END excluded), or a comma-separated list.")] = "0",
    given: Given = None,
    profile: Annotated[str, typer.Option(help="quick or paper")] = "quick",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler to use instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run chapters in this process, without notebooks, for one seed or many, and print the pass rate per claim."""
    if (slug is None) == (not every):
        raise _Refused("check: give one chapter, or --all")
    chosen = catalogue.chapters() if every else [catalogue.find(slug)]
    values, numbers = {"profile": profile, "device": device} | _values(given), _seeds(seeds)
    plan = [(chapter, [chapter.parameters.resolve(**values | {"seed": n}) for n in numbers]) for chapter in chosen]
    runs = [(chapter.slug, params) for chapter, settings in plan for params in settings]
    with tqdm(total=len(runs), disable=not sys.stderr.isatty(), leave=False) as bar:
        found = sweep(runs, jobs=jobs, cluster=cluster, progress=lambda *_: bar.update())
    outcomes: dict[str, list[Verdicts]] = {chapter.slug: [] for chapter in chosen}
    for verdicts in found:
        outcomes[verdicts.chapter].append(verdicts)
    if as_json:
        typer.echo(json.dumps({name: [v.as_dict() for v in found] for name, found in outcomes.items()}, indent=1))
    else:
        typer.echo("\n\n".join(_pass_rates(name, found) for name, found in outcomes.items()))
    sound = all(verdicts.sound for found in outcomes.values() for verdicts in found)
    raise typer.Exit(0 if sound else 1)


def _pass_rates(name: str, found: list[Verdicts]) -> str:
    """A chapter's verdict table for one seed; its pass rates, with the seeds that failed, for several."""
    if len(found) == 1:
        return f"{name}\n{found[0]}\n{_tally(found[0])}"
    rows = [("claim", "stance", "holds", "control refuted", "failing seeds")]
    for verdict in found[0]:
        column = [(verdicts.seed, verdicts[verdict.claim]) for verdicts in found]
        decided = [(seed, v) for seed, v in column if v.decided]
        failing = [str(seed) for seed, v in decided if not v.sound]
        rows.append(
            (
                verdict.claim,
                verdict.stance,
                f"{sum(v.holds for _, v in decided)}/{len(decided)}",
                f"{sum(v.control['holds'] is False for _, v in decided)}/{len(decided)}",
                " ".join(failing),
            )
        )
    return f"{name}, seeds {found[0].seed} to {found[-1].seed}\n{_table(rows)}"


@app.command("ledger")
@_plainly
def print_ledger(as_json: AsJson = False) -> None:
    """Print every claim of every chapter with its verdicts at both profiles."""
    rows = ledger.read_ledger()
    totals = ledger.totals(rows)
    if as_json:
        entries = [
            {
                "chapter": row.chapter,
                "claim": row.claim,
                "stance": row.stance,
                "says": row.says,
                "quick": row.quick and {"holds": row.quick.holds, "control": row.quick.control},
                "paper": row.paper and {"holds": row.paper.holds, "control": row.paper.control},
            }
            for row in rows
        ]
        typer.echo(json.dumps({"totals": totals, "claims": entries}, indent=1))
    else:
        lines = [("chapter", "claim", "stance", "quick", "paper", "says")]
        for row in rows:
            cells = [
                "–" if v is None else "undecided" if not v.decided else "yes" if v.sound else "NO"
                for v in (row.quick, row.paper)
            ]
            lines.append((row.chapter, row.claim, row.stance, *cells, row.says))
        typer.echo(_table(lines))
        typer.echo("\n" + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in totals.items()))
    raise typer.Exit(1 if totals["failing"] else 0)


@app.command()
@_plainly
def execute(
    slugs: Annotated[
        list[str] | None, typer.Argument(help="Chapters; without any, those whose notebook is stale.")
    ] = None,
    into: Annotated[Path | None, typer.Option(help="Another folder than notebooks/.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many at once; by default one per core.")] = len(
        os.sched_getaffinity(0)
    )
    if hasattr(os, "sched_getaffinity")
    else os.cpu_count() or 1,
) -> None:
    """Execute labs at `quick`: refresh the committed notebooks, or fill another folder."""
    chosen = [catalogue.find(slug) for slug in slugs] if slugs else catalogue.chapters()
    missing = [chapter.source.name for chapter in chosen if not chapter.source.is_file()]
    if missing:
        raise _Refused(f"notebooks: {', '.join(missing)} not found")
    if into is not None:
        execution.ensure_writable(into)
        for chapter in chosen:
            differing = chapter.notebook.is_file() and execution.edits(chapter.notebook, chapter.source)
            if differing:
                raise _Refused(
                    f"notebooks/{chapter.slug}: the .ipynb and the .py disagree ({differing[0]}); to keep the .py, run "
                    f"`companion execute {chapter.slug}`; to keep the .ipynb, first `jupytext --to py:percent` it"
                )
    stale = [
        chapter
        for chapter in chosen
        if slugs
        or execution.staleness(into / chapter.notebook.name if into else chapter.notebook, chapter.source, chapter.root)
    ]
    if not stale:
        typer.echo(f"{len(chosen)} notebooks up to date")
        return

    failures: list[Exception] = []

    def report(chapter: Chapter, seconds: float, error: Exception | None) -> None:
        typer.echo(f"{chapter.slug}: {'failed' if error else f'{seconds:.0f} s'}")
        if error:
            failures.append(error)

    if not execution.execute_many(stale, into, jobs=jobs, report=report):
        raise NotebookError("; ".join(str(error) for error in failures))


@app.command()
@_plainly
def new(
    slug: Annotated[str, typer.Argument(help="Lower-case words joined by hyphens.")],
    part: Annotated[str | None, typer.Option(help="The part of the book it will stand in.")] = None,
) -> None:
    """Scaffold a chapter: module, lab, page and test, with a claim and a control that fail until they are written."""
    root = catalogue.find_root()
    for path in scaffold.create(slug, part, root):
        typer.echo(path.relative_to(root))
    typer.echo(scaffold.NEXT_STEPS.format(slug=slug))


@app.command()
@_plainly
def figure(
    slug: Slug,
    name: Annotated[str, typer.Argument(help="The figure's name in the lab.")] = "glance",
    out: Annotated[Path | None, typer.Option(help="The PNG; by default SLUG-NAME.png.")] = None,
    profile: Annotated[str, typer.Option(help="The record to take it from: quick or paper")] = "quick",
) -> None:
    """Write a figure of an executed lab to a file."""
    chapter = catalogue.find(slug)
    record = ledger.find_record(chapter, profile)
    if record is None:
        raise _Refused(f"{slug}: there is no record at {profile!r}")
    names = execution.figure_names(record.notebook)
    if name not in names:
        raise _Refused(f"name: got {name!r}, allowed: {', '.join(names)}")
    target = out or Path(f"{slug}-{name}.png")
    execution.ensure_writable(target.parent)
    execution.write_atomically(target, base64.b64decode(execution.read_figure(record.notebook, name)[0]))
    typer.echo(target)


@app.command()
@_plainly
def data() -> None:
    """List the datasets, and which of them this machine has."""
    from companion.data import available

    rows = [("dataset", "status", "size", "licence")]
    rows += [(entry.name, entry.status, entry.size, entry.licence) for entry in available()]
    typer.echo(_table(rows))


def main() -> None:
    """Entry point of the ``companion`` command."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="papermill|nbformat")
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("companion: interrupted", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
