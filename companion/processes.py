"""Processes that end together: whoever is stopped stops its workers and kernels, and leaves no folder behind.

A signal unwinds the program like an error, so that every ``with`` and ``finally`` on the way does its part. What
``kill -9`` does not let it do, its children do: they notice that their parent is gone; and the next start removes the
folders that are left.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

PREFIX = "companion-"
LOCK = "lock"
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that this signal ended: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number

    def __str__(self):
        return "interrupted" if self.number == signal.SIGINT else f"stopped by {signal.Signals(self.number).name}"


def _stop(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # who asks a second time does not want to wait
    raise Stopped(number)


def stop_on_signals() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise :class:`Stopped` in the main thread."""
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _stop)


def follow(parent: int) -> None:
    """Stop this process, a child of ``parent``, soon after its parent is gone; a terminal's Ctrl-C is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)  # to unwind in
        os._exit(1)

    if hasattr(os, "getppid"):
        threading.Thread(target=watch, daemon=True).start()


def stop_children() -> None:
    """End the worker processes that this process started, and wait until they have tidied up."""
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    for child in children:
        child.join(10)
        if child.is_alive():
            child.kill()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder that is removed at the end, or by the next start if this process is killed first.

    As long as the process lives it holds a lock inside the folder, which says whose it is better than a number that
    another process, or one in another container, may carry as well.
    """
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    try:
        with open(folder / LOCK, "w") as held:
            if _lock(held.fileno()):
                # Only now under the name that others look for.
                folder = folder.rename(folder.with_name(folder.name.removeprefix(".")))
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove the temporary folders of processes that were killed."""
    if not hasattr(os, "getuid"):
        return  # a system without such locks
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with open(folder / LOCK, "r+") as held:
                if _lock(held.fileno()):
                    shutil.rmtree(folder, ignore_errors=True)


def _lock(descriptor: int) -> bool:
    """Take a file's lock if nobody has it; always ``False`` on a system without such locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process is in here under this path; without effect on a system without such locks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as held:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(held.fileno(), fcntl.LOCK_EX)
        yield
