"""Run notebooks: parameters in, an executed notebook with its provenance out, written whole or not at all.

The source of a lab is its ``.py`` file; the ``.ipynb`` beside it is that source, executed. Every executed notebook
carries a *stamp*, a hash of the source, of the modules of ``companion`` behind it and of the lock file, so that one
can tell without running anything whether it is still what the source would give.
"""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode
from traitlets.config import Config

from companion.catalogue import Chapter
from companion.claims import MIME, Verdicts
from companion.sources import _sha256, library_files, stamp  # noqa: F401

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib", "cvxpy")
KERNEL = "python3"

# One thread: reductions then add in one order, and the notebooks run side by side on the cores there are.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}

# Errors in a notebook that come of what the user asked for, not of the code.
BAD_INPUT = ("ParameterError", "DatasetNotFoundError", "DatasetCorruptError", "DatasetArgumentError")


class InputError(ValueError):
    """What was asked for cannot be done; the message is one line for the user."""


class NotebookError(RuntimeError):
    """A cell of a notebook raised; the message names notebook, cell and error."""


# --- source and stamp -------------------------------------------------------------------------------------------


def read_source(source: Path) -> NotebookNode:
    """The notebook of a ``.py`` lab, not executed, with cell ids that depend on the content alone."""
    notebook = jupytext.read(source, fmt="py:percent")
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
    """Why an executed notebook is not what its source would give now; empty if it is.

    The reasons are among ``"missing"``, ``"unreadable"``, ``"unstamped"``, ``"source changed"``,
    ``"library changed"``, ``"lock changed"`` and ``"hollow"`` (executed, but without verdicts).
    """
    if not executed.is_file():
        return ["missing"]
    try:
        notebook = nbformat.read(executed, as_version=4)
    except Exception:  # whatever is wrong with the file, the remedy is the same
        return ["unreadable"]
    carried = notebook.metadata.get("companion", {}).get("stamp")
    if not carried:
        return ["unstamped"]
    reasons = [f"{key} changed" for key, value in stamp(source, root).items() if carried.get(key) != value]
    if read_verdicts(notebook) is None:
        reasons.append("hollow")
    return reasons


def disagreements(notebook: Path, source: Path) -> list[str]:
    """Where a notebook's cells differ from its ``.py`` twin; empty if they are a pair."""
    mine = nbformat.read(notebook, as_version=4).cells
    theirs = read_source(source).cells
    if len(mine) != len(theirs):
        return [f"{len(mine)} cells in {notebook.name}, {len(theirs)} in {source.name}"]
    return [
        f"cell {k} differs"
        for k, (a, b) in enumerate(zip(mine, theirs, strict=True), 1)
        if (a.cell_type, a.source, a.metadata.get("tags", [])) != (b.cell_type, b.source, b.metadata.get("tags", []))
    ]


def edits(notebook: Path, source: Path) -> list[str]:
    """Where a notebook was edited although its ``.py`` twin, which it was executed from, was not; else empty."""
    carried = nbformat.read(notebook, as_version=4).metadata.get("companion", {}).get("stamp", {})
    return disagreements(notebook, source) if carried.get("source") == _sha256(source.read_bytes()) else []


# --- reading executed notebooks -----------------------------------------------------------------------------------


def read_verdicts(notebook: NotebookNode) -> Verdicts | None:
    """The verdicts that an executed notebook carries, or ``None``."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            bundle = output.get("data", {}).get(MIME)
            if bundle is not None:
                return Verdicts.from_dict(json.loads(bundle) if isinstance(bundle, str) else bundle)
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
) -> Verdicts | None:
    """Run a chapter's lab and write the executed notebook to ``out``, atomically.

    Parameters
    ----------
    parameters : values for the cell tagged ``parameters``; validated here, before anything starts
    progress : show a bar on a terminal
    keep_clock : store duration and git revision; without them the file depends on source and machine alone

    Returns
    -------
    The verdicts of the run.

    Raises
    ------
    ParameterError
        If a parameter is not allowed.
    InputError
        If ``out`` cannot be written, or the notebook says that its input is missing or wrong.
    NotebookError
        If a cell raises anything else. No file is written.
    """
    import papermill  # a second to import; listing chapters does without

    parameters = dict(parameters or {})
    resolved = chapter.parameters.resolve(**parameters)
    ensure_writable(out.parent)
    before = os.environ.copy()
    os.environ.update(ENVIRONMENT if resolved.device == "cpu" and resolved.profile == "quick" else _unthrottled())
    os.environ["COMPANION_ROOT"] = str(chapter.root)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="companion-") as scratch:
            prepared, done = Path(scratch, "in.ipynb"), Path(scratch, "out.ipynb")
            nbformat.write(read_source(chapter.source), prepared)
            papermill.execute_notebook(
                prepared,
                done,
                parameters=parameters,
                kernel_name=KERNEL,
                progress_bar=progress and sys.stderr.isatty(),
                config=_kernel_config(Path(scratch)),
                start_timeout=180,
                extra_arguments=["--IPKernelApp.log_level=50"],  # what goes wrong is told by this command, in one line
                cwd=chapter.source.parent,
            )
            notebook = nbformat.read(done, as_version=4)
    except papermill.PapermillExecutionError as error:
        if error.ename in BAD_INPUT:
            raise InputError(one_line(error.evalue)) from None
        raise NotebookError(f"{chapter.source.name}, cell {error.cell_index}: {error.ename}: {error.evalue}") from error
    finally:
        os.environ.clear()
        os.environ.update(before)
    duration = time.monotonic() - started
    _strip(notebook)
    notebook.metadata["companion"] = {
        "stamp": stamp(chapter.source, chapter.root),
        "provenance": provenance(resolved, chapter.root, duration if keep_clock else None),
    }
    write_atomically(out, nbformat.writes(notebook) + "\n")
    return read_verdicts(notebook)


def _kernel_config(folder: Path) -> Config:
    """Talk to the kernel through files of its own where the system can: kernels that start together share no port."""
    if os.name == "nt":
        return Config()
    return Config({"KernelManager": {"transport": "ipc", "ip": str(folder / "kernel")}})


def _unthrottled() -> dict[str, str]:
    return {name: value for name, value in ENVIRONMENT.items() if not name.endswith("_NUM_THREADS")}


def _strip(notebook: NotebookNode) -> None:
    """Remove what papermill and the client add: clock times, paths and the state of a run."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["language_info"].pop("version", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = "injected-parameters"


def provenance(params: Any, root: Path, duration: float | None) -> dict[str, Any]:
    """What an executed notebook says of its origin.

    Versions of Python and the main packages, device and parameters (the seed among them). With ``duration`` (in
    seconds) also that, the model of the device and the git revision, which differ between runs or machines.
    """
    origin: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": params.device,
        "parameters": params.model_dump(),
    }
    if duration is not None:
        origin["device"] = device_name(params.device)
        origin["duration_seconds"] = round(duration, 1)
        origin["revision"] = git_revision(root)
    return origin


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def device_name(device: str) -> str:
    """The model of the processor or of the GPU."""
    if device != "cuda":
        with contextlib.suppress(OSError):
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        return platform.processor() or platform.machine()
    import torch

    return torch.cuda.get_device_name()


def git_revision(root: Path) -> str | None:
    """The commit of the repository, with ``+`` where tracked files differ from it, or ``None`` without one."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")


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
    return _sha256(json.dumps(value, sort_keys=True).encode())[:8]


def one_line(message: str) -> str:
    """A message's lines joined, so that it prints as one."""
    return " ".join(part.strip() for part in str(message).splitlines() if part.strip())


def execute_many(
    chapters: Iterable[Chapter],
    folder: Path | None,
    *,
    jobs: int,
    report: Callable[[Chapter, float, Exception | None], None],
) -> bool:
    """Run several labs at ``quick``, in parallel processes, into ``folder`` (the committed notebooks if ``None``).

    ``report`` is called as each one ends, with its duration in seconds and its error if it failed.
    Returns whether all succeeded.
    """
    chapters = list(chapters)
    succeeded = True
    with ProcessPoolExecutor(max_workers=max(1, min(jobs, len(chapters))), mp_context=get_context("spawn")) as pool:
        running = {
            pool.submit(
                _execute_one, chapter, chapter.notebook if folder is None else folder / f"{chapter.slug}.ipynb"
            ): chapter
            for chapter in chapters
        }
        for future in as_completed(running):
            error = future.exception()
            succeeded = succeeded and error is None
            report(running[future], 0.0 if error else future.result(), error)
    return succeeded


def _execute_one(chapter: Chapter, out: Path) -> float:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # quick notebooks are the CPU's everywhere, so that they can be compared
    started = time.monotonic()
    try:
        execute(chapter, out, keep_clock=False)
    except NotebookError as error:
        raise NotebookError(str(error)) from None  # the cause does not travel between processes
    return time.monotonic() - started
