"""The ``companion`` command: list, show, run, check and refresh the chapters of the book.

Exit codes: 0 all as claimed, 1 some claim does not hold or some control is not refuted, 2 bad input (one line on
stderr, no file touched), 3 a notebook or an experiment failed, 4 the program itself failed, 128 plus the signal's
number when stopped (130 for Ctrl-C). ``--traceback``, or ``COMPANION_TRACEBACK=1``, shows where an error came from.
"""

import base64
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from tabulate import tabulate
from tqdm import tqdm

from companion import catalogue, execution, ledger, processes, scaffold, sources, values
from companion.catalogue import Chapter, UnknownChapterError
from companion.claims import Verdicts, format_number
from companion.execution import InputError, NotebookError, NotWrittenError, ProgramError, one_line
from companion.parameters import DEFAULT_PROFILE, PROFILES, ParameterError
from companion.seeds import record as record_seeds
from companion.sweep import Failure, sweep

KEPT_DAYS = 30  # a result that nobody used for so long is removed by `companion execute`

app = typer.Typer(
    help="Executable companions to papers on the theory of training.",
    epilog="Exit codes: 0 all as claimed, 1 some claim or control is not, 2 bad input, 3 a notebook or an experiment "
    "failed, 4 the program failed, 130 interrupted. With --traceback any command shows where an error came from.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Slug = Annotated[str, typer.Argument(help="The chapter's name, as `companion list` prints it.")]
Given = Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="A parameter; repeat for more.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Compute anew what is kept of earlier runs.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a notebook that was edited or is another run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class _Refused(Exception):
    """Bad input, already in words."""


class _ExperimentError(Exception):
    """Runs that ended in an error, each named by its chapter and seed."""

    def __init__(self, failures: list[Failure]):
        super().__init__("; ".join(one_line(str(failure)) for failure in failures))
        self.bad_input = all(_is_bad_input(failure.error) for failure in failures)
        self.traceback = "".join(traceback.format_exception(failures[0].error))
        if self.bad_input:  # a missing data set is missing for every seed
            self.args = ("; ".join(dict.fromkeys(one_line(str(failure.error)) for failure in failures)),)


def _plainly(command: Callable) -> Callable:
    """Turn whatever goes wrong into one line on stderr and the exit code that this module's text promises."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            _refuse_anothers_code()
            command(*args, **kwargs)
        except typer.Exit:
            raise
        except BrokenPipeError:  # `companion list | head` has what it wants
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(_explain(error)) from None

    return run


def _explain(error: BaseException) -> int:
    """Say in one line what went wrong, and where if that is asked for; the exit code."""
    code, line = _ending(error)
    if os.environ.get("COMPANION_TRACEBACK", "") not in ("", "0"):
        typer.echo(getattr(error, "traceback", "") or "".join(traceback.format_exception(error)), err=True)
    typer.echo(f"companion: {shortened(one_line(line))}", err=True)
    return code


def _ending(error: BaseException) -> tuple[int, str]:
    if isinstance(error, processes.Stopped):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    if _is_bad_input(error) or (isinstance(error, _ExperimentError) and error.bad_input):
        return 2, str(error)
    if isinstance(error, NotebookError | _ExperimentError):
        return 3, str(error)
    if isinstance(error, ProgramError):
        return 4, str(error)
    if isinstance(error, SyntaxError) and error.filename:
        place = Path(error.filename)
        code = 3 if place.parent.name == "notebooks" else 4
        return code, f"{place.name}, line {error.lineno}: {error.msg}"
    return 4, f"the program failed: {type(error).__name__}: {error} (--traceback shows where)"


def _is_bad_input(error: BaseException) -> bool:
    if isinstance(error, _Refused | ParameterError | UnknownChapterError | InputError):
        return True
    if isinstance(error, FileNotFoundError) and error.errno is None:  # there is no book
        return True
    return type(error).__name__ in execution.BAD_INPUT


def shortened(text: str, most: int = 800) -> str:
    """A text of at most so many characters, its middle left out."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def _refuse_anothers_code() -> None:
    """The code that runs must be the book's, or verdicts and stamps would be of something else than they say."""
    try:
        root = catalogue.find_root()
    except FileNotFoundError:
        return  # whoever needs a book says so
    running = Path(__file__).resolve().parent
    if running != (root / "companion").resolve() and not sources.same_code(running, root / "companion"):
        raise _Refused(
            f"the book is {root}, but this program is that of {running.parent}, and they differ; use the `companion` "
            f"of the book's own environment (`make` sets it up), or set COMPANION_ROOT={running.parent}"
        )


def _table(rows: list[tuple], indent: str = "") -> str:
    table = tabulate(rows[1:], headers=rows[0], tablefmt="plain", disable_numparse=True)
    return "\n".join(indent + line.rstrip() for line in table.splitlines())


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
def show(
    slug: Slug,
    cell: Annotated[bool, typer.Option("--cell", help="Print only the lab's cell of parameters.")] = False,
) -> None:
    """Show a chapter: its paper, its claims, and its parameters at both profiles."""
    chapter = catalogue.find(slug)
    if cell:
        typer.echo(chapter.parameters.cell().rstrip("\n"))
        return
    paper = chapter.paper
    typer.echo(f"{paper.title}\n{', '.join(paper.authors)}. {paper.venue} {paper.year}.", nl=False)
    typer.echo(f" arXiv:{paper.arxiv}\n" if paper.arxiv else "\n")
    typer.echo("Claims")
    for claim in chapter.claims:
        typer.echo(f"  {claim.id:5} {claim.stance:10}  {claim.says}")
        if claim.control is not None:
            typer.echo(f"  {'':5} {'':10}  control: {claim.control.says}")
    typer.echo("\nParameters")
    rows = [("name", "type", "allowed", *PROFILES, "meaning")]
    for row in chapter.parameters.table():
        shown = [format_number(row[profile]) for profile in PROFILES]
        rows.append((row["name"], row["type"], row["allowed"], *shown, row["description"]))
    typer.echo(_table(rows, "  "))


@app.command()
@_plainly
def run(
    slug: Slug,
    given: Given = None,
    profile: Annotated[str, typer.Option(help=" or ".join(PROFILES))] = DEFAULT_PROFILE,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the executed notebook.")] = Path("runs"),
    fresh: Fresh = False,
    force: Force = False,
) -> None:
    """Run a chapter's notebook with your parameters and print its verdicts."""
    chapter = catalogue.find(slug)
    parameters = {"profile": profile, "device": device} | values.parse(given)
    _settle(parameters["profile"], fresh)
    resolved = chapter.parameters.resolve(**parameters)
    defaults = {"profile": DEFAULT_PROFILE, "device": "auto"}
    parameters = {name: value for name, value in parameters.items() if defaults.get(name) != value}
    target = out / f"{run_name(chapter, resolved)}.ipynb"
    if target.resolve() == chapter.notebook.resolve():
        raise _Refused(f"out: {out} holds what `companion execute` writes, allowed: another folder")
    try:
        verdicts = execution.execute(chapter, target, parameters, progress=True, force=force)
    except NotWrittenError as error:
        if error.verdicts is not None:
            typer.echo(f"{error.verdicts}\n\n{error.verdicts.tally()}")
        raise
    if verdicts is None:
        raise NotebookError(f"{chapter.source.name}: it shows no verdicts")
    typer.echo(f"{verdicts}\n\n{verdicts.tally()}\n{target}")
    raise typer.Exit(0 if verdicts.sound else 1)


def _settle(profile: Any, fresh: bool) -> None:
    """Prepare this process to compute; to be called before a chapter is imported."""
    execution.one_thread(profile)
    if fresh:
        os.environ["COMPANION_FRESH"] = "1"


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
    profile: Annotated[str, typer.Option(help=" or ".join(PROFILES))] = DEFAULT_PROFILE,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler to use instead.")] = None,
    fresh: Fresh = False,
    record: Annotated[
        bool, typer.Option("--record", help="Write on how many seeds each claim held to book/seeds.json.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run chapters in this process, without notebooks, for one seed or many, and print the pass rate per claim."""
    if (slug is None) == (not every):
        raise _Refused("check: give one chapter, or --all")
    chosen = catalogue.chapters() if every else [catalogue.find(slug)]
    wanted = {"profile": profile, "device": device} | values.parse(given, values.OPTIONS | {"seed": "--seeds"})
    numbers, jobs = values.seeds(seeds), values.jobs(jobs)
    if record and (given or profile != DEFAULT_PROFILE or len(numbers) < 2):
        raise _Refused("--record: allowed with several seeds, at quick, without -p")
    _settle(profile, fresh)
    plan = [(chapter, [chapter.parameters.resolve(**wanted | {"seed": n}) for n in numbers]) for chapter in chosen]
    runs = [(chapter.slug, params) for chapter, settings in plan for params in settings]
    stamps = {chapter.slug: ledger.code_stamp(chapter) for chapter in chosen if record}  # of what will have run
    with tqdm(total=len(runs), disable=not sys.stderr.isatty(), leave=False) as bar:
        found = sweep(runs, jobs=jobs, cluster=cluster, progress=lambda *_: bar.update())
    failures = [outcome for outcome in found if isinstance(outcome, Failure)]
    outcomes: dict[str, list[Verdicts]] = {chapter.slug: [] for chapter in chosen}
    for outcome in found:
        if not isinstance(outcome, Failure):
            outcomes[outcome.chapter].append(outcome)
    if as_json:
        typer.echo(json.dumps({name: [v.as_dict() for v in found] for name, found in outcomes.items()}, indent=1))
    else:
        typer.echo("\n\n".join(_pass_rates(name, found) for name, found in outcomes.items() if found))
    if failures:
        raise _ExperimentError(failures)
    if record:
        for chapter in chosen:
            record_seeds(chapter, seeds, outcomes[chapter.slug], stamps[chapter.slug])
    sound = all(verdicts.sound for found in outcomes.values() for verdicts in found)
    raise typer.Exit(0 if sound else 1)


def _pass_rates(name: str, found: list[Verdicts]) -> str:
    """The verdicts of one seed as a table and in words; of several seeds the pass rates and which failed."""
    if len(found) == 1:
        return f"{name}\n{found[0]}\n\n{found[0].summary()}\n\n{found[0].tally()}"
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
        typer.echo(ledger.as_json(rows), nl=False)
    else:
        lines = [("chapter", "claim", "stance", *PROFILES, "says")]
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
    fresh: Fresh = False,
    force: Force = False,
) -> None:
    """Execute labs at `quick`: refresh the committed notebooks, or fill another folder."""
    from companion import results

    results.forget_unused(KEPT_DAYS)
    jobs = values.jobs(jobs)
    chosen = [catalogue.find(slug) for slug in dict.fromkeys(slugs)] if slugs else catalogue.chapters()
    missing = [chapter.source.name for chapter in chosen if not chapter.source.is_file()]
    if missing:
        raise _Refused(f"notebooks: {', '.join(missing)} not found")
    if into is not None and not force:
        for chapter in chosen:  # a book built from the .py would not show what the .ipynb says
            if chapter.notebook.is_file():
                execution.read_notebook(chapter.notebook)
            execution.refuse_to_overwrite(chapter.notebook, chapter)
    target = {chapter: execution.target_of(chapter, into) for chapter in chosen}
    stale = [
        chapter
        for chapter in chosen
        if slugs or fresh or execution.staleness(target[chapter], chapter.source, chapter.root)
    ]
    if not stale:
        typer.echo(f"{len(chosen)} notebooks up to date")
        return
    for folder in {path.parent for path in target.values()}:
        execution.ensure_writable(folder)
    if not force:
        for chapter in stale:
            execution.refuse_to_overwrite(target[chapter], chapter)
    _settle(DEFAULT_PROFILE, fresh)
    failures: list[Exception] = []

    def report(chapter: Chapter, seconds: float, error: Exception | None) -> None:
        typer.echo(f"{chapter.slug}: {'failed' if error else f'{seconds:.0f} s'}")
        if error:
            failures.append(error)

    if not execution.execute_many(stale, into, jobs=jobs, report=report, force=force):
        raise _together(failures)


def _together(failures: list[Exception]) -> Exception:
    """One error for several, of the gravest kind among them."""
    if len(failures) == 1:
        return failures[0]
    message = "; ".join(_ending(error)[1] for error in failures)
    code = max(_ending(error)[0] for error in failures)
    return {2: InputError, 3: NotebookError}.get(code, ProgramError)(message)


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
    out: Annotated[Path | None, typer.Option(help="The PNG, or its folder; by default SLUG-NAME.png.")] = None,
    profile: Annotated[
        str, typer.Option(help=f"The record to take it from: {' or '.join(PROFILES)}")
    ] = DEFAULT_PROFILE,
) -> None:
    """Write a figure of an executed lab to a file."""
    chapter = catalogue.find(slug)
    if profile not in PROFILES:
        raise _Refused(f"profile: got {profile!r}, allowed: {', '.join(PROFILES)}")
    target = Path(f"{slug}-{name}.png") if out is None else out / f"{slug}-{name}.png" if out.is_dir() else out
    if target.suffix.lower() != ".png":
        raise _Refused(f"out: got {str(out)!r}, allowed: a folder that exists, or a name that ends in .png")
    record = ledger.find_record(chapter, profile)
    if record is None:
        raise _Refused(f"{slug}: there is no record at {profile!r}")
    names = execution.figure_names(record.notebook)
    if name not in names:
        raise _Refused(f"name: got {name!r}, allowed: {', '.join(names)}")
    execution.ensure_writable(target.parent)
    execution.write_atomically(target, base64.b64decode(execution.read_figure(record.notebook, name)[0]))
    typer.echo(target)


@app.command("results")
@_plainly
def kept_results(
    clear: Annotated[bool, typer.Option("--clear", help="Forget them all.")] = False,
) -> None:
    """List what is kept of experiments that were run, so that nothing is computed twice."""
    from companion import results

    kept = results.kept()
    rows = [("experiment", "results", "size")]
    rows += [(name, count, _size(size)) for name, (count, size) in kept.items()]
    count, size = (sum(column) for column in zip(*kept.values(), strict=True)) if kept else (0, 0)
    if clear:
        results.clear()
        typer.echo(f"forgot {count} results, {_size(size)}")
    elif not kept:
        typer.echo("no results are kept")
    else:
        typer.echo(f"{_table(rows)}\n\n{count} results, {_size(size)}, in {results.FOLDER}")


def _size(size: int) -> str:
    return tqdm.format_sizeof(size, "B")


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
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")
    processes.stop_on_signals()
    arguments = [argument for argument in sys.argv[1:] if argument != "--traceback"]
    if len(arguments) < len(sys.argv) - 1:
        os.environ["COMPANION_TRACEBACK"] = "1"  # the variable, so that other processes know as well
    try:
        code = app(arguments, prog_name="companion", standalone_mode=False)
    except _USAGE_ERROR as error:
        code = error.exit_code
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            typer.echo(f"companion: {one_line(error.format_message())}{_help_hint(error)}", err=True)
    except typer.Abort:
        code = 130
    sys.exit(code or 0)


# The class that a wrong option raises: click's, or that of the click inside typer.
_USAGE_ERROR = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _help_hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f" (`{context.command_path} --help` shows what is allowed)" if context else ""


if __name__ == "__main__":
    main()
