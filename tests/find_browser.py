"""What the browser tests need: a Chromium (Debian's package, else Playwright's) and axe-core (npm, pinned)."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """Path of a browser: ``CHROMIUM`` in the environment, one on the path, or Playwright's own; ``None`` without."""
    candidates = [os.environ.get("CHROMIUM"), *(shutil.which(name) for name in NAMES), _playwrights_own()]
    return next((path for path in candidates if path and os.access(path, os.X_OK)), None)


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def install_browser() -> None:
    """Try Debian's package where this may install packages, then Playwright's download."""
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update", "-q"], check=False, **quiet)
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"], check=False, **quiet)
    if find_browser() is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"], check=False)


def find_axe() -> Path | None:
    """The accessibility audit that ``package.json`` names, if it is installed and is the file that was pinned."""
    pinned = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["sha256"]["axe-core/axe.min.js"]
    path = ROOT / "node_modules" / "axe-core" / "axe.min.js"
    return path if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == pinned else None


def install_axe() -> None:
    """Let npm fetch it, without running anything that it brings."""
    if npm := shutil.which("npm"):
        quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        subprocess.run([npm, "install", *quiet], cwd=ROOT, check=False)


def main() -> int:
    """Say what there is; with ``--install``, install first what is missing."""
    if "--install" in sys.argv[1:]:
        if find_browser() is None:
            install_browser()
        if find_axe() is None:
            install_axe()
    browser, axe = find_browser(), find_axe()
    print(f"browser: {browser}" if browser else "browser: none found; the browser tests will be skipped")
    print("axe-core: found" if axe else "axe-core: not found (npm brings it); the accessibility audit will be skipped")
    return 1 if (browser is None or axe is None) and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
