"""The kernel that a lab runs in: this interpreter, the book's code, nothing of the user's own set-up.

Imported when a notebook is about to run: the machinery behind it takes a second to load.
"""

import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from traitlets import Dict, Unicode
from traitlets.config import Config

from companion import provenance

LONGEST_SOCKET = 100  # bytes; a socket's path holds 103 to 107, and five sockets have numbers behind their name


class BookKernel(AsyncKernelManager):
    """Starts ``python -m ipykernel_launcher`` with the interpreter that runs this program, whatever "python3" names."""

    environment = Dict(help="Variables of the kernel's environment beside its parent's.").tag(config=True)
    log_file = Unicode(help="File for what the kernel writes outside of its cells.").tag(config=True)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel of this interpreter; user-wide kernels of the same name are not asked."""
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            env=dict(self.environment),
            display_name="Python 3",
            language="python",
        )

    async def start_kernel(self, **options: Any) -> None:
        """Start it with its output in a file: what goes wrong is told by the command, in one line."""
        with open(self.log_file, "ab") as log:
            await super().start_kernel(stdout=log, stderr=log, **options)


def settings(folder: Path, root: Path, environment: dict[str, str]) -> dict[str, Any]:
    """What papermill needs to know to start such a kernel, whose files are in ``folder``."""
    ipython = folder / "ipython"
    ipython.mkdir(exist_ok=True)
    own = {
        "environment": environment
        | {
            "COMPANION_ROOT": str(root),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
            "IPYTHONDIR": str(ipython),  # no start-up files of the user's
            "PYTHONSTARTUP": "",
            "COMPANION_DRAFT": "",  # executed labs show their figures
            provenance.REPORT: str(folder / "report.json"),
        },
        "log_file": str(folder / "kernel.log"),
        "connection_file": str(folder / "kernel.json"),
    }
    # Through files of its own, where the system can and their path is not too long: kernels that start together then
    # share no port.
    sockets = folder / "kernel"
    if os.name != "nt" and len(os.fsencode(sockets)) < LONGEST_SOCKET:
        own |= {"transport": "ipc", "ip": str(sockets)}
    return {
        "kernel_manager_class": BookKernel,
        "config": Config({"BookKernel": own}),
        "shutdown_kernel": "immediate",
        "extra_arguments": ["--IPKernelApp.log_level=50", f"--IPKernelApp.extensions={provenance.__name__}"],
    }


def last_words(folder: Path) -> str:
    """The last line that the kernel wrote outside of its cells; empty if it wrote none."""
    try:
        lines = (folder / "kernel.log").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
