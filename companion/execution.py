"""Run notebooks: parameters in, an executed notebook with its provenance out, written whole or not at all.

The source of a lab is its ``.py`` file; the ``.ipynb`` beside it is that source, executed. Every executed notebook
carries a *stamp*, a hash of the source, of the modules of ``companion`` behind it and of the lock file, so that one
can tell without running anything whether it is still what the source would give.
"""

import contextlib
import hashlib
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from companion import processes, provenance
from companion.catalogue import Chapter
from companion.claims import MIME, Verdicts
from companion.parameters import DEFAULT_PROFILE
from companion.sources import code_behind, source_hash, stamp

KERNEL = "python3"

# One thread: reductions then add in one order, and the notebooks run side by side on the cores there are.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}

# Errors in a notebook that come of what the user asked for, not of the code.
BAD_INPUT = ("ParameterError", "DatasetNotFoundError", "DatasetCorruptError", "DatasetArgumentError")


class InputError(ValueError):
    """What was asked for cannot be done; the message is one line for the user."""


class NotebookError(RuntimeError):
    """A cell of a notebook raised, or its kernel died; the message names notebook, cell and error.

    ``traceback`` has the cell's traceback where there is one.
    """

    def __init__(self, message: str, traceback: str = ""):
        super().__init__(message, traceback)
        self.traceback = traceback

    def __str__(self):
        return self.args[0]


class ProgramError(RuntimeError):
    """The program could not do its part, whatever the input; the message is one line."""


class NotWrittenError(ProgramError):
    """The notebook ran to its end and could not be written; ``verdicts`` has what it found."""

    def __init__(self, message: str, verdicts: Verdicts | None):
        super().__init__(message, verdicts)
        self.verdicts = verdicts

    def __str__(self):
        return self.args[0]


# --- source and stamp -------------------------------------------------------------------------------------------


def read_source(source: Path) -> NotebookNode:
    """The notebook of a ``.py`` lab, not executed, with cell ids that depend on the content alone."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"notebooks: {source.name} is not UTF-8 (byte {error.start}), allowed: UTF-8") from None
    notebook = jupytext.reads(text, fmt="py:percent")
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        content = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[content] = seen.get(content, 0) + 1
        cell["id"] = content if seen[content] == 1 else f"{content}-{seen[content]}"
    notebook.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL},
        "language_info": {
            "name": "python",
            "file_extension": ".py",
            "mimetype": "text/x-python",
            "pygments_lexer": "ipython3",
        },
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def staleness(executed: Path, source: Path, root: Path) -> list[str]:
    """Why an executed notebook is not what its source would give now at ``quick``; empty if it is.

    The reasons are among ``"missing"``, ``"unreadable"``, ``"unstamped"``, ``"source changed"``,
    ``"library changed"``, ``"lock changed"``, ``"cells changed"`` (the notebook itself was edited),
    ``"another run"`` (other parameters, or not run by this program) and ``"hollow"`` (executed, but without verdicts).
    """
    if not executed.is_file():
        return ["missing"]
    try:
        notebook = read_notebook(executed)
        verdicts = read_verdicts(notebook)
    except InputError:
        return ["unreadable"]
    carried = _carried(notebook).get("stamp")
    if not carried:
        return ["unstamped"]
    reasons = [f"{key} changed" for key, value in stamp(source, root).items() if carried.get(key) != value]
    if edits(notebook, source):
        reasons.append("cells changed")
    if foreign(notebook):
        reasons.append("another run")
    if verdicts is None:
        reasons.append("hollow")
    return reasons


def disagreements(notebook: NotebookNode | Path, source: Path) -> list[str]:
    """Where a notebook's cells differ from its ``.py`` twin; empty if they are a pair.

    A cell of parameters that the run injected is no disagreement.
    """
    if isinstance(notebook, Path):
        notebook = read_notebook(notebook)
    mine = [cell for cell in notebook.cells if not _injected(cell)]
    theirs = read_source(source).cells
    if len(mine) != len(theirs):
        return [f"{len(mine)} cells in the .ipynb, {len(theirs)} in the .py"]
    return [
        f"cell {k} differs"
        for k, (a, b) in enumerate(zip(mine, theirs, strict=True), 1)
        if (a.cell_type, a.source, a.metadata.get("tags", [])) != (b.cell_type, b.source, b.metadata.get("tags", []))
    ]


def edits(notebook: NotebookNode, source: Path) -> list[str]:
    """Where a notebook was edited since it was executed, so that its ``.py`` twin does not say the same; else empty.

    An edit of the source alone is none, nor is one that jupytext wrote to both.
    """
    carried = _carried(notebook)
    executed = carried.get("cells")
    if executed is None:  # a notebook of before, or not of this program at all: only the source can tell
        untouched = "stamp" in carried and carried["stamp"].get("source") != source_hash(source)
    else:
        untouched = executed == cells_hash(notebook)
    return [] if untouched else disagreements(notebook, source)


def foreign(notebook: NotebookNode, profile: str = DEFAULT_PROFILE, seed: int = 0, *, given: bool = False) -> list[str]:
    """Why a notebook is not this program's run at a profile and seed, in words; empty if it is.

    ``given`` says that such a run has parameters of its own, injected in a cell.
    """
    reasons = []
    if "papermill" in notebook.metadata:
        reasons.append("run by papermill")
    verdicts = read_verdicts(notebook)
    if verdicts is not None and (verdicts.profile, verdicts.seed) != (profile, seed):
        reasons.append(f"a run at {verdicts.profile}, seed {verdicts.seed}")
    if not given and any(map(_injected, notebook.cells)):
        reasons.append("a run with parameters of its own")
    return reasons


def cells_hash(notebook: NotebookNode) -> str:
    """A hash of what people may edit in a notebook: the text, kind and tags of its cells."""
    cells = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def _injected(cell: NotebookNode) -> bool:
    return "injected-parameters" in cell.metadata.get("tags", [])


def _carried(notebook: NotebookNode) -> dict[str, Any]:
    return notebook.metadata.get("companion", {})


# --- reading executed notebooks -----------------------------------------------------------------------------------


def read_notebook(path: Path) -> NotebookNode:
    """A notebook from a file.

    Raises
    ------
    InputError
        If the file is not a notebook, in one line.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of cells without an id, in notebooks of others
            notebook = nbformat.reads(path.read_text(encoding="utf-8-sig"), as_version=4)
            nbformat.validate(notebook)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}), allowed: a notebook") from None
    except Exception:  # whatever nbformat makes of it
        raise InputError(f"{path.name}: cannot be read (damaged, or cut short), allowed: a notebook") from None
    return notebook


def read_verdicts(notebook: NotebookNode) -> Verdicts | None:
    """The verdicts that an executed notebook carries, or ``None``."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            bundle = output.get("data", {}).get(MIME)
            if bundle is not None:
                try:
                    return Verdicts.from_dict(json.loads(bundle) if isinstance(bundle, str) else bundle)
                except (ValueError, KeyError, TypeError):
                    raise InputError(
                        "a notebook's verdicts cannot be read, allowed: as `companion` wrote them"
                    ) from None
    return None


def read_figure(notebook: NotebookNode, name: str) -> tuple[str, str] | None:
    """The figure shown under a name: base64 of its PNG and its alternative text, or ``None``."""
    output = _named_figures(notebook).get(name)
    return output and (output["data"]["image/png"], output["metadata"]["image/png"]["alt"])


def figure_names(notebook: NotebookNode) -> list[str]:
    """The names of the figures that an executed notebook shows."""
    return list(_named_figures(notebook))


def _named_figures(notebook: NotebookNode) -> dict[str, NotebookNode]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    named = ((output.get("metadata", {}).get("companion", {}).get("figure"), output) for output in outputs)
    return {name: output for name, output in named if name}


# --- running ------------------------------------------------------------------------------------------------------


def execute(
    chapter: Chapter,
    out: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    progress: bool = False,
    keep_clock: bool = True,
    force: bool = False,
) -> Verdicts | None:
    """Run a chapter's lab and write the executed notebook to ``out``, atomically.

    Parameters
    ----------
    parameters : values for the cell tagged ``parameters``; validated here, before anything starts
    progress : show a bar on a terminal
    keep_clock : store duration and git revision; without them the file depends on source and machine alone
    force : overwrite a notebook at ``out`` even if it was edited or is another run

    Returns
    -------
    The verdicts of the run.

    Raises
    ------
    ParameterError
        If a parameter is not allowed.
    InputError
        If ``out`` cannot be written or holds what would be lost, or the notebook says that its input is missing or
        wrong.
    NotebookError
        If a cell raises anything else, or the kernel dies. No file is written.
    ProgramError
        If the kernel does not start, or the notebook cannot be written after all.
    """
    parameters = dict(parameters or {})
    resolved = chapter.parameters.resolve(**parameters)
    ensure_writable(out.parent)
    if not force:
        refuse_to_overwrite(out, chapter, resolved.profile, resolved.seed, given=bool(parameters))
    before = stamp(chapter.source, chapter.root)
    started = time.monotonic()
    with processes.scratch() as folder:
        notebook = _run(chapter, parameters, folder, one_thread=resolved.profile == DEFAULT_PROFILE, progress=progress)
        reported = _reported(folder, chapter.root)
    duration = time.monotonic() - started
    _strip(notebook)
    files = code_behind(chapter.source, chapter.root)
    notebook.metadata["companion"] = {
        "stamp": before,  # of the code that ran, whatever was edited meanwhile
        "cells": cells_hash(notebook),
        "provenance": provenance.origin(resolved, reported, chapter.root, files, duration if keep_clock else None),
    }
    verdicts = read_verdicts(notebook)
    content = nbformat.writes(notebook) + "\n"
    try:
        write_atomically(out, content)
    except OSError as error:
        raise NotWrittenError(
            f"{out}: not written ({error.strerror}){_kept_elsewhere(out, content)}", verdicts
        ) from None
    return verdicts


def refuse_to_overwrite(
    path: Path, chapter: Chapter, profile: str = DEFAULT_PROFILE, seed: int = 0, *, given: bool = False
) -> None:
    """Raise :class:`InputError` where running a lab into ``path`` would lose an edit or a run of another kind."""
    if not path.is_file():
        return
    try:
        notebook = read_notebook(path)
    except InputError:
        return  # a damaged file is made anew
    where = f"notebooks/{path.name}" if path == chapter.notebook else str(path)
    edited = edits(notebook, chapter.source)
    if edited:
        raise InputError(
            f"{where}: the .ipynb and the .py disagree ({edited[0]}); to keep what the .ipynb says, "
            f"first `jupytext --to py:percent` it, to drop it, add --force"
        )
    try:
        other = foreign(notebook, profile, seed, given=given)
    except InputError:
        return  # verdicts of another version of this program
    if other:
        raise InputError(f"{where}: it holds something else ({other[0]}); to keep it, move it, to drop it, add --force")


def one_thread(profile: str) -> None:
    """At ``quick``, let this process compute as the kernels do: the same bytes, and results that both can use.

    To be called before anything numerical is imported.
    """
    os.environ.update(_environment(profile == DEFAULT_PROFILE))


def _environment(one_thread: bool) -> dict[str, str]:
    return {name: value for name, value in ENVIRONMENT.items() if one_thread or not name.endswith("_NUM_THREADS")}


def _run(
    chapter: Chapter, parameters: dict[str, Any], folder: Path, *, one_thread: bool, progress: bool
) -> NotebookNode:
    """The notebook, executed in a kernel of its own, whose files are in ``folder``."""
    import papermill  # a second to import, with the next two; listing chapters does without
    from nbclient.exceptions import DeadKernelError

    from companion import kernel

    for name in ("papermill", "traitlets"):  # they log what the errors below say
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    prepared, done = folder / "in.ipynb", folder / "out.ipynb"
    prepared.write_text(nbformat.writes(read_source(chapter.source)), encoding="utf-8")
    try:
        papermill.execute_notebook(
            prepared,
            done,
            parameters=parameters,
            kernel_name=KERNEL,
            progress_bar=progress and _on_terminal(),
            start_timeout=180,
            cwd=chapter.source.parent,
            **kernel.settings(folder, chapter.root, _environment(one_thread)),
        )
    except papermill.PapermillExecutionError as error:
        if error.ename in BAD_INPUT:
            raise InputError(one_line(error.evalue)) from None
        message = f"{chapter.source.name}, cell {error.cell_index}: {error.ename}: {one_line(error.evalue)}"
        raise NotebookError(message, "\n".join(error.traceback)) from None
    except DeadKernelError:
        raise NotebookError(
            f"{chapter.source.name}: its kernel was killed or crashed (was there enough memory?)"
            f"{_parenthesis(kernel.last_words(folder))}"
        ) from None
    except RuntimeError as error:
        if "Kernel" not in str(error) and "kernel" not in str(error):
            raise
        why = kernel.last_words(folder) or one_line(str(error))
        raise ProgramError(f"{chapter.source.name}: the kernel did not start{_parenthesis(why)}") from None
    return read_notebook(done)


def _on_terminal() -> bool:
    return sys.stderr.isatty()


def _parenthesis(text: str) -> str:
    return f" ({text})" if text else ""


def _reported(folder: Path, root: Path) -> dict[str, Any]:
    """What the kernel said of itself; nothing if it could not."""
    try:
        reported = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if Path(reported["library"]) != root.resolve() / "companion":
        raise ProgramError(f"the kernel ran another companion ({reported['library']}) than the book's ({root})")
    return reported


def _kept_elsewhere(out: Path, content: str) -> str:
    """Keep what cannot be written where it belongs in the folder for temporary files; where, in words."""
    kept = Path(tempfile.gettempdir(), f"kept-{os.getpid()}-{out.name}")
    try:
        write_atomically(kept, content)
    except OSError:
        return ""
    return f", kept as {kept}"


def _strip(notebook: NotebookNode) -> None:
    """Remove what papermill and the client add: clock times, paths and the state of a run."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["language_info"].pop("version", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if _injected(cell):
            cell["id"] = "injected-parameters"
            cell["source"] = cell.source.rstrip("\n")


def ensure_writable(folder: Path) -> None:
    """Make a folder and prove that a file can be written there.

    Raises
    ------
    InputError
        If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"out: cannot write to {folder} ({error.strerror}), allowed: a folder you can write to"
        ) from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to a temporary file beside ``path`` and rename: readers see the old file or the new one, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def short_hash(value: Any) -> str:
    """Eight hexadecimal digits of a JSON-ready value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def one_line(message: str) -> str:
    """A message's lines joined, so that it prints as one."""
    return " ".join(part.strip() for part in str(message).splitlines() if part.strip())


def execute_many(
    chapters: Iterable[Chapter],
    folder: Path | None,
    *,
    jobs: int,
    report: Callable[[Chapter, float, Exception | None], None],
    force: bool = False,
) -> bool:
    """Run several labs at ``quick``, in parallel processes, into ``folder`` (the committed notebooks if ``None``).

    ``report`` is called as each one ends, with its duration in seconds and its error if it failed.
    Returns whether all succeeded. If this process is stopped or killed, the others end with it.
    """
    chapters = list(chapters)
    succeeded = True
    pool = ProcessPoolExecutor(
        max_workers=max(1, min(jobs, len(chapters))),
        mp_context=get_context("spawn"),
        initializer=processes.follow,
        initargs=(os.getpid(),),
    )
    try:
        running = {
            pool.submit(_execute_one, chapter, target_of(chapter, folder), force): chapter for chapter in chapters
        }
        for future in as_completed(running):
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                error = ProgramError(f"{running[future].source.name}: a worker process was killed")
            succeeded = succeeded and error is None
            report(running[future], 0.0 if error else future.result(), error)
    except BaseException:
        processes.stop_children()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return succeeded


def target_of(chapter: Chapter, folder: Path | None) -> Path:
    """The file of a chapter's executed notebook in ``folder``, or the committed one."""
    return chapter.notebook if folder is None else folder / f"{chapter.slug}.ipynb"


def _execute_one(chapter: Chapter, out: Path, force: bool) -> float:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # quick notebooks are the CPU's everywhere, so that they can be compared
    started = time.monotonic()
    try:
        one_thread(DEFAULT_PROFILE)
        execute(chapter, out, keep_clock=False, force=force)
    except processes.Stopped as stopped:
        os._exit(stopped.exit_code)  # all is tidied up; a pool would take it for the task's result and go on
    return time.monotonic() - started
