"""Experiments remembered: an experiment is a function of its parameters, so its result is computed once.

A chapter marks each experiment with one word:

    @experiment
    def paths(params: Parameters) -> Paths: ...

The result is kept under ``_build/results/``, keyed by the function, all parameters and further arguments, the device
among them, the number of threads, the versions of the numerical packages, and the code of every module that the
experiment's own module builds on, without comments, docstrings and layout. Editing a figure, a claim or a sentence
recomputes nothing; editing an algorithm recomputes what depends on it. ``COMPANION_FRESH=1`` computes anew. A result
that cannot be read is computed again, one that cannot be written is not kept; neither is an error.
"""

import contextlib
import functools
import inspect
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from companion import LOADED
from companion.catalogue import find_root
from companion.sources import code_behind, digest

FOLDER = Path("_build") / "results"
NUMERICAL = ("torch", "numpy", "scipy", "scikit-learn", "cvxpy")
SURROUNDINGS = ("OMP_NUM_THREADS", "COMPANION_DATA")  # variables of the environment that a result may depend on

# Modules through which parameters and results pass without being changed: a new word in them changes no result.
NEUTRAL = ("companion", "companion.parameters", "companion.paper", "companion.results")

P = ParamSpec("P")
R = TypeVar("R")

_timings: dict[str, float] = {}


def experiment(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function of the parameters as an experiment whose result is kept on disk.

    Parameters
    ----------
    function : parameters first, then results of other experiments or plain values; it returns a dataclass of arrays

    Returns
    -------
    The same function, which reads the result where it was computed before. ``function.compute`` is the original.
    """
    file = getattr(sys.modules.get(function.__module__), "__file__", None)

    signature = inspect.signature(function)

    def arguments(args: tuple, kwargs: dict) -> dict[str, Any]:
        """By name, so that it does not matter how they were given."""
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    @functools.wraps(function)
    def remembered(*args: P.args, **kwargs: P.kwargs) -> R:
        name = f"{function.__module__.removeprefix('companion.chapters.')}.{function.__name__}"
        code = None if file is None or _switched_off() else _code_hash(Path(file).resolve())
        path = None if code is None else _place(name, code, arguments(args, kwargs))
        kept = _read(path)
        if kept is None:
            started = time.perf_counter()
            result = function(*args, **kwargs)
            kept = {"seconds": time.perf_counter() - started, "result": result}
            _write(path, kept)
            # As later readers get it: views become arrays, and what takes the result as an argument finds its key.
            kept = _read(path) or kept
        _timings[name] = _timings.get(name, 0.0) + kept["seconds"]
        return kept["result"]

    remembered.compute = function
    return remembered


def timings() -> dict[str, float]:
    """Seconds that each experiment of this process took when it was computed, here or earlier, by name."""
    return dict(_timings)


def kept(root: Path | None = None) -> dict[str, tuple[int, int]]:
    """What is kept: for each experiment's name the number of results and their size in bytes."""
    found: dict[str, tuple[int, int]] = {}
    for path in sorted((root or find_root()).joinpath(FOLDER).glob("*/*.pkl")):
        count, size = found.get(path.parent.name, (0, 0))
        found[path.parent.name] = count + 1, size + path.stat().st_size
    return found


def forget_unused(days: float, root: Path | None = None) -> int:
    """Remove the results that nobody has computed or read for some days, most of them of code that has changed since.

    Returns
    -------
    How many were removed
    """
    before = time.time() - days * 86_400
    removed = 0
    for path in (root or find_root()).joinpath(FOLDER).glob("*/*"):
        with contextlib.suppress(OSError):  # another process was faster, or may not
            if path.stat().st_mtime < before:
                path.unlink()
                removed += 1
    return removed


def clear(root: Path | None = None) -> None:
    """Forget all results."""
    shutil.rmtree((root or find_root()) / FOLDER, ignore_errors=True)


def _switched_off() -> bool:
    return os.environ.get("COMPANION_FRESH", "") not in ("", "0")


@functools.cache
def _code_hash(path: Path) -> str | None:
    """A hash of the code behind a module; ``None`` if some was edited after this process had read it."""
    root = Path(__file__).resolve().parents[1]
    files = code_behind(path, root, NEUTRAL) if path.is_relative_to(root) else [path]
    if max(file.stat().st_mtime for file in files) > LOADED:
        return None
    return digest(files, root)


@functools.cache
def _machinery() -> tuple[str, ...]:
    versions = [platform.python_version(), platform.machine()]
    for package in NUMERICAL:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    return tuple(versions)


def _place(name: str, code: str, arguments: dict[str, Any]) -> Path | None:
    """The file that this call's result belongs in; ``None`` where there is no book to keep it in."""
    import joblib  # part of a second; listing chapters does without

    try:
        root = find_root()
    except FileNotFoundError:
        return None
    given = {name: _plain(value) for name, value in arguments.items()}
    surroundings = [os.environ.get(variable) for variable in SURROUNDINGS]
    return root / FOLDER / name / f"{joblib.hash((name, given, code, _machinery(), surroundings))}.pkl"


def _plain(value: Any) -> Any:
    """Parameters as the values that they hold, with the name of their class."""
    dump = getattr(value, "model_dump", None)
    return (type(value).__qualname__, dump()) if dump else value


def _read(path: Path | None) -> dict[str, Any] | None:
    if path is None or not path.is_file():
        return None
    import joblib

    try:
        kept = joblib.load(path)
        if not kept.keys() >= {"seconds", "result"}:
            return None
    except Exception:  # whatever is wrong with the file, the remedy is to compute
        return None
    with contextlib.suppress(OSError):  # a store that is only read
        os.utime(path)  # used now, see forget_unused
    return kept


def _write(path: Path | None, kept: dict[str, Any]) -> None:
    if path is None:
        return
    import joblib

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                joblib.dump(kept, file)
                file.close()
                os.replace(file.name, path)
            finally:
                Path(file.name).unlink(missing_ok=True)
    except Exception:  # no room, no right, or a result that cannot be pickled: it is computed again next time
        return
