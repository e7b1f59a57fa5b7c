"""Bugs planted on purpose: each chapter lists some that a person might have written, and every one must be noticed.

``tests/mutants/<slug>.toml`` holds a chapter's mutants, each a ``[[mutant]]`` with ``file``, ``old`` (text that occurs
there once), ``new`` and ``breaks`` (what is wrong then, in a phrase). ``python -m companion.mutants`` plants them one
at a time in a copy of the repository, runs the chapter's claims there and, if these come out as ever, the tests. A
mutant that neither notices has survived, and the command fails. What was found is kept in ``tests/checked.json`` with
a stamp of the code that it was found for.
"""

import ast
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from companion import catalogue, processes, results
from companion.catalogue import Chapter, UnknownChapterError, module_name
from companion.execution import ENVIRONMENT, one_line, write_atomically
from companion.sources import code_behind, digest
from companion.sweep import judge_run

LAYERS = ("optim", "models", "data", "analysis")
CHECKED = Path("tests") / "checked.json"
COPIED = ("companion", "tests", "notebooks", "book", "_toc.yml", "_config.yml", "pyproject.toml", "requirements.lock")
EXTREMES = "tests/test_chapters.py::test_any_values_within_the_ranges_run_to_the_end_and_are_judged_honestly"
ANSWERS = "tests/test_exercises.py::test_the_command_prints_what_the_page_says"
FEWEST = 8  # mutants of a chapter
PATIENCE = 120.0  # seconds that a mutant has at the least; else ten times what the code takes without it


@dataclass(frozen=True)
class Mutant:
    """A bug: in ``file`` (relative to the repository) the text ``old`` becomes ``new``."""

    file: str
    old: str
    new: str
    breaks: str


# --- a chapter's files --------------------------------------------------------------------------------------------


def chapter_code(slug: str, root: Path) -> list[Path]:
    """The files behind a chapter's claims, sorted: its package without the figures, and the lower layers it imports."""
    files = Chapter(slug, None, root).package.rglob("*")
    own = {file for file in files if file.suffix not in ("", ".pyc") and file.name != "figures.py"}
    behind = {file for module in own if module.suffix == ".py" for file in code_behind(module, root)}
    return sorted(own | {file for file in behind if file.relative_to(root).parts[1] in LAYERS})


def _answers(slug: str, root: Path) -> list[str]:
    """The answers of the exercises on the chapter's page, which are commands and what they print."""
    page = Chapter(slug, None, root).page
    return re.findall(r"```\{expected\}.*?```", page.read_text("utf-8"), re.S) if page.is_file() else []


def chapter_stamp(slug: str, root: Path) -> str:
    """A hash of all that is checked at length: a chapter's code, its test, its mutants and its exercises' answers."""
    chapter = Chapter(slug, None, root)
    files = [path for path in (*chapter_code(slug, root), chapter.tests, chapter.mutants) if path.is_file()]
    return hashlib.sha256("".join([*_answers(slug, root), digest(files, root)]).encode()).hexdigest()


def recorded(root: Path) -> dict[str, dict[str, Any]]:
    """The record: ``{slug: {"stamp": …, "mutants": {"planted": n, "claims": a, "tests": b, "time": c}}}``."""
    try:
        return json.loads((root / CHECKED).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def read_mutants(slug: str, root: Path) -> tuple[list[Mutant], list[str]]:
    """A chapter's mutants that can be planted, and what is wrong with the rest, one line per fault."""
    path = Chapter(slug, None, root).mutants
    try:
        listed = tomllib.loads(path.read_text("utf-8")).get("mutant", [])
    except (OSError, ValueError) as error:
        return [], [f"{slug}: {path.relative_to(root)} cannot be read: {one_line(getattr(error, 'strerror', error))}"]
    mutants: list[Mutant] = []
    faults = [f"{slug}: {len(listed)} mutants, at least {FEWEST} are wanted"] if len(listed) < FEWEST else []
    code = {file.relative_to(root).as_posix() for file in chapter_code(slug, root)}
    for number, entry in enumerate(listed, 1):
        try:
            mutant = Mutant(**entry)
            fault = "it is listed twice" if mutant in mutants else _fault(mutant, code, root)
        except TypeError:
            fault = f"a mutant has file, old, new and breaks, this one {', '.join(entry)}"
        if fault:
            faults.append(f"{slug} {number} ({entry.get('breaks', '?')}): {fault}")
        else:
            mutants.append(mutant)
    return mutants, faults


def _fault(mutant: Mutant, code: set[str], root: Path) -> str | None:
    """Why a mutant cannot be planted."""
    if not (root / mutant.file).is_file():
        return f"there is no {mutant.file}"
    if mutant.file not in code:
        return f"{mutant.file} is not behind the chapter's claims"
    text = (root / mutant.file).read_text("utf-8")
    if not mutant.old or mutant.old not in text:
        return f"the old text is gone from {mutant.file}"
    if text.count(mutant.old) > 1:
        return f"the old text occurs {text.count(mutant.old)} times in {mutant.file}"
    if mutant.old == mutant.new:
        return "old and new are the same"
    if mutant.file.endswith(".py"):
        planted = text.replace(mutant.old, mutant.new)
        try:
            compile(planted, mutant.file, "exec")
        except (SyntaxError, ValueError) as error:
            return f"the new text does not compile: {error}"
        if ast.dump(ast.parse(planted)) == ast.dump(ast.parse(text)):
            return "it changes no code"
    return None


def _tests(slug: str, mutant: Mutant, root: Path) -> list[str]:
    """The chapter's tests and, for a file of a lower layer, those that mirror it (or else all of its layer)."""
    tests = [Chapter(slug, None, root).tests]
    _, layer, *inner = Path(mutant.file).parts
    if layer in LAYERS:
        mirror = root.joinpath("tests", layer, *inner[:-1], f"test_{inner[-1]}")
        tests.append(mirror if mirror.is_file() else root / "tests" / layer)
    return [test.relative_to(root).as_posix() for test in tests]


def _finished(slug: str, root: Path) -> bool:
    return slug in {chapter.slug for chapter in catalogue.chapters(root)}


def _at_length(slug: str, root: Path) -> list[str]:
    """The tests over all chapters that a recorded one is spared, so that it has to pass them once; none for a draft."""
    if not _finished(slug, root):
        return []
    answers = (f"{ANSWERS}[{slug}-{number}]" for number, _ in enumerate(_answers(slug, root), 1))
    return [test for test in (f"{EXTREMES}[{slug}]", *answers) if (root / test.partition("::")[0]).is_file()]


# --- planting -----------------------------------------------------------------------------------------------------


class Bench:
    """Copies of the repository, one per worker, in which mutants are planted; they share one store of results."""

    def __init__(self, root: Path, scratch: Path, jobs: int, slugs: list[str]):
        self.source, store = scratch / "source", scratch / "results"
        _copy_repository(root, self.source)
        store.mkdir()
        for kept in (found for slug in slugs for found in (root / results.FOLDER).glob(f"{module_name(slug)}.*")):
            shutil.copytree(kept, store / kept.name, ignore=shutil.ignore_patterns("*.part"))
        self.desks: queue.Queue[Path] = queue.Queue()
        for number in range(jobs):
            desk = Path(shutil.copytree(self.source, scratch / f"copy-{number}"))
            (desk / results.FOLDER).parent.mkdir()
            (desk / results.FOLDER).symlink_to(store, target_is_directory=True)
            self.desks.put(desk)
        self.running: set[subprocess.Popen] = set()
        self.stopped = False

    def examine(
        self, slug: str, tests: list[str], mutant: Mutant | None = None, before: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What :func:`examine` finds in a copy, with a mutant or without; ``before`` is what it found without."""
        desk = self.desks.get()
        file = desk / mutant.file if mutant else None
        original = file.read_text("utf-8") if file else ""
        try:
            if file:
                file.write_text(original.replace(mutant.old, mutant.new), "utf-8")
            return self._probe(desk, {"slug": slug, "tests": tests, "before": before and before["lines"]}, before)
        finally:
            if file:
                file.write_text(original, "utf-8")
            self.desks.put(desk)

    def _probe(self, desk: Path, asked: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
        answer, log = desk.with_suffix(".json"), desk.with_suffix(".log")
        answer.unlink(missing_ok=True)
        # No bytecode: two mutants of one length, planted within a second, would be taken for each other.
        settings = {"PYTHONPATH": str(desk), "COMPANION_ROOT": str(desk), "PYTHONDONTWRITEBYTECODE": "1"}
        settings["COMPANION_ALL"] = "1"
        env = os.environ | ENVIRONMENT | settings | {"CUDA_VISIBLE_DEVICES": "", "COMPANION_FRESH": ""}
        command = [sys.executable, "-c", "from companion.mutants import probe; probe()", str(answer), json.dumps(asked)]
        with log.open("wb") as out:
            # In a session of its own, so that what it starts ends with it; with a pipe, so that it ends with us.
            process = subprocess.Popen(
                command, cwd=desk, env=env, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )
        self.running.add(process)
        limit = max(10 * before["seconds"], PATIENCE) if before else None
        try:
            if not self.stopped:
                process.wait(limit)
        except subprocess.TimeoutExpired:
            return {"by": "time", "how": f"more than {limit:.0f} s"}
        finally:
            _end(process)
            self.running.discard(process)
        if answer.is_file():
            return json.loads(answer.read_text("utf-8"))
        said = log.read_text("utf-8", "replace").split("\n")
        return {"by": "claims", "how": next((line for line in reversed(said) if line), f"exit {process.returncode}")}

    def stop(self) -> None:
        """End what is running, and start nothing more."""
        self.stopped = True
        for process in list(self.running):
            _end(process)


def _copy_repository(root: Path, target: Path) -> None:
    """The working files that git knows or would add, as far as claims and tests read them."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *COPIED]
    listed = subprocess.run(listing, cwd=root, capture_output=True, text=True)
    if listed.returncode:
        raise FileNotFoundError(f"{root} is not a git checkout")
    for name in set(listed.stdout.split("\0")):
        if (root / name).is_file() and not name.endswith(".ipynb"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def _end(process: subprocess.Popen) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()


# --- in a copy, as a process of its own ---------------------------------------------------------------------------


def probe() -> None:
    """Run :func:`examine` on what is asked on the command line, and write its answer where the command line says."""
    threading.Thread(target=_end_with_parent, args=(os.dup(0),), daemon=True).start()
    answer, asked = sys.argv[1:]
    Path(answer).write_text(json.dumps(examine(**json.loads(asked))), "utf-8")


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written: this returns when the other end is closed
    os.killpg(0, signal.SIGKILL)


def examine(slug: str, tests: list[str], before: dict[str, str] | None) -> dict[str, Any]:
    """Run a chapter's claims and, if they come out as ``before``, some tests.

    Returns
    -------
    Who noticed something (``"by"``: claims, tests or ``None``) and ``"how"``: the claims, the error or the first
    failing test. If nobody did, also ``"lines"``, a line per claim, and ``"seconds"``.
    """
    started = time.monotonic()
    try:
        params = catalogue.find(slug).parameters.resolve(seed=0, device="cpu")
        verdicts = list(judge_run(slug, params))
    except Exception as error:
        return {"by": "claims", "how": one_line(f"{type(error).__name__}: {error}")[:120]}
    lines = {verdict.claim: verdict.summary() for verdict in verdicts}
    turned = {verdict.claim: None for verdict in verdicts if not verdict.sound}
    turned |= dict.fromkeys(c for c in {**lines, **(before or {})} if before and lines.get(c) != before.get(c))
    if turned:
        return {"by": "claims", "how": ", ".join(turned)}
    failing = _first_failing(tests)
    if failing:
        return {"by": "tests", "how": failing}
    seconds = time.monotonic() - started + sum(results.timings().values())  # a mutant computes what was kept
    return {"by": None, "how": "", "lines": lines, "seconds": seconds}


def _first_failing(tests: list[str]) -> str | None:
    import pytest

    failing: list[str] = []

    class Watch:
        def pytest_runtest_logreport(self, report):
            failing.extend([report.nodeid] if report.failed else [])

        pytest_collectreport = pytest_runtest_logreport

    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], [Watch()])
    return None if code == 0 else next(iter(failing), f"pytest ended with {code!r}")


# --- the command --------------------------------------------------------------------------------------------------


def hunt(slugs: list[str], root: Path, jobs: int) -> tuple[dict[str, dict[str, Any]], bool]:
    """Plant all mutants of some chapters, and print what came of each.

    Returns
    -------
    What to record of the finished chapters whose mutants were all noticed, and whether all mutants were.
    """
    found: dict[str, Counter] = {slug: Counter() for slug in slugs}
    if not slugs:
        typer.echo("0 mutants: no chapter changed since its own were recorded")
        return {}, True
    with processes.scratch() as scratch, ThreadPoolExecutor(jobs) as pool:
        bench = Bench(root, scratch, jobs, slugs)
        stamps = {slug: chapter_stamp(slug, bench.source) for slug in slugs}
        finished = {slug: _finished(slug, bench.source) for slug in slugs}
        plans = {}
        for slug in slugs:
            mutants, faults = read_mutants(slug, bench.source)
            if mutants:
                plans[slug] = [(mutant, _tests(slug, mutant, bench.source)) for mutant in mutants]
            found[slug]["invalid"] += len(faults)
            typer.echo("".join(f"{fault}: INVALID\n" for fault in faults), nl=False)
        try:
            tests = [
                [*dict.fromkeys(test for _, tests in plan for test in tests), *_at_length(slug, bench.source)]
                for slug, plan in plans.items()
            ]
            trials = {}
            for slug, before in zip(plans, pool.map(bench.examine, plans, tests), strict=True):
                if before["by"]:
                    found[slug]["invalid"] += 1
                    typer.echo(f"{slug}, no mutant planted: {before['by']}: {before['how']}: INVALID")
                    continue
                for mutant, asked in plans[slug]:
                    trials[pool.submit(bench.examine, slug, asked, mutant, before)] = slug, mutant
            for trial in as_completed(trials):
                (slug, mutant), outcome = trials[trial], trial.result()
                found[slug]["planted"] += 1
                found[slug][outcome["by"] or "survived"] += 1
                said = f"killed by {outcome['by']}: {outcome['how']}" if outcome["by"] else "SURVIVED"
                typer.echo(f"{slug}, {Path(mutant.file).name}, {mutant.breaks}: {said}")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            bench.stop()
    total = sum(found.values(), Counter())
    typer.echo(
        f"{total['planted']} mutants: {total['claims']} killed by claims, {total['tests']} by tests, "
        f"{total['time']} by time, {total['survived']} survived; {total['invalid']} invalid"
    )
    noticed = {slug: counts for slug, counts in found.items() if not counts["survived"] + counts["invalid"]}
    kinds = ("planted", "claims", "tests", "time")
    # A draft passes fewer tests, so that its record would say too much.
    record = {
        slug: {"stamp": stamps[slug], "mutants": {kind: counts[kind] for kind in kinds}}
        for slug, counts in noticed.items()
        if finished[slug]
    }
    return record, len(noticed) == len(slugs)


def main(
    slugs: Annotated[list[str] | None, typer.Argument(help="Chapters; without any, all finished ones.")] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only those that are not as recorded.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Read the lists of mutants, and run nothing.")] = False,
    record: Annotated[bool, typer.Option(help="Write tests/checked.json.")] = True,
    jobs: Annotated[int, typer.Option(min=1, help="How many at once.")] = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ),
) -> None:
    """Plant the bugs of tests/mutants one at a time: the claims or the tests must notice every one."""
    try:
        root = catalogue.find_root()
        names = slugs or [chapter.slug for chapter in catalogue.chapters(root)]
        chosen = list(dict.fromkeys(catalogue.find(slug, root).slug for slug in names))
        if changed:
            before = recorded(root)
            chosen = [s for s in chosen if before.get(s, {}).get("stamp") != chapter_stamp(s, root)]
        if check:
            faults = [fault for slug in chosen for fault in read_mutants(slug, root)[1]]
            typer.echo("\n".join(faults) or f"the mutants of {len(chosen)} chapters can be planted")
            raise typer.Exit(1 if faults else 0)
        for ending in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, signal.default_int_handler)
        found, all_noticed = hunt(chosen, root, jobs)
        if record and found:
            together = dict(sorted((recorded(root) | found).items()))
            write_atomically(root / CHECKED, json.dumps(together, indent=1) + "\n")
        raise typer.Exit(0 if all_noticed else 1)
    except (UnknownChapterError, FileNotFoundError, SyntaxError) as error:
        typer.echo(f"mutants: {one_line(str(error))}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("mutants: interrupted", err=True)
        raise typer.Exit(130) from None


if __name__ == "__main__":
    typer.run(main)
