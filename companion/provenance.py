"""Where a notebook comes from: taken in the kernel that runs it, so that it is true of what ran.

:mod:`companion.execution` starts the kernel with this module as an IPython extension and with ``COMPANION_REPORT``
naming a file; after each cell the kernel writes there what it is. What cannot be known is said to be unknown.
"""

import contextlib
import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib", "cvxpy")
REPORT = "COMPANION_REPORT"


def load_ipython_extension(shell: Any) -> None:
    """Report after every cell."""
    shell.events.register("post_run_cell", lambda _: report())


def report() -> None:
    """Write what this process is to the file that ``COMPANION_REPORT`` names; without one do nothing."""
    target = os.environ.get(REPORT)
    if target:
        with contextlib.suppress(OSError):  # no room: the notebook then says that it does not know
            Path(target).write_text(json.dumps(describe()), encoding="utf-8")


def describe() -> dict[str, Any]:
    """What this process is: its Python, packages and devices, its library, how long its experiments took."""
    results = sys.modules.get("companion.results")
    return {
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "processor": _processor(),
        "gpu": _gpu(),
        "library": str(Path(__file__).resolve().parent),
        "experiment_seconds": {name: float(f"{s:.3g}") for name, s in results.timings().items()} if results else {},
    }


@functools.cache
def _versions() -> tuple[tuple[str, str | None], ...]:
    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    return tuple((package, version(package)) for package in PACKAGES)


@functools.cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    """The model of the GPU, if this process used one."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_initialized() else None


def origin(
    params: Any, reported: dict[str, Any], root: Path, files: Iterable[Path], duration: float | None
) -> dict[str, Any]:
    """What an executed notebook says of its origin.

    Versions of Python and of the main packages, device and parameters, the seed among them. With ``duration`` (in
    seconds) also that, the model of the device, the seconds that each experiment took when it was computed, and the
    git revision: what differs between runs or machines.

    Parameters
    ----------
    params : the parameters of the run
    reported : what the kernel reported, see :func:`describe`; empty if it could not
    root, files : the repository, and the files behind the notebook
    """
    found: dict[str, Any] = {
        "python": reported.get("python", "unknown"),
        "packages": reported.get("packages", dict.fromkeys(PACKAGES, "unknown")),
        "device": params.device,
        "parameters": params.model_dump(),
    }
    if duration is not None:
        found["device"] = reported.get("gpu" if params.device == "cuda" else "processor") or "unknown"
        found["duration_seconds"] = round(duration, 1)
        found["experiment_seconds"] = reported.get("experiment_seconds", {})
        found["revision"] = revision(root, files)
    return found


def revision(root: Path, files: Iterable[Path] = ()) -> str:
    """The commit of the repository whose top folder is ``root``; ``+`` where what is here differs from it.

    It differs where a tracked file was changed, or where one of ``files`` is not tracked at all. Where the commit
    cannot be known the answer begins with ``unknown`` and says why.
    """
    try:
        top = _git(root, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != root.resolve():
            return "unknown (not a repository of its own)"
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
        names = [str(file.relative_to(root)) for file in files]
        foreign = _git(root, "ls-files", "--others", "-z", "--", *names) if names else ""
    except OSError:
        return "unknown (git is not installed)"
    except subprocess.CalledProcessError as error:
        if "dubious ownership" in error.stderr:
            return "unknown (git does not trust this folder: it belongs to another user)"
        said = error.stderr.strip().splitlines()
        return f"unknown ({said[0].removeprefix('fatal: ') if said else 'git failed'})"
    return head + ("+" if changed or foreign else "")


def _git(root: Path, *arguments: str) -> str:
    # Variables such as GIT_DIR, which git sets for its hooks, would speak of another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "--no-optional-locks", *arguments],
        cwd=root,
        env=environment | {"LC_ALL": "C"},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    return done.stdout.strip()
