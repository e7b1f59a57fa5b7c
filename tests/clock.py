"""Where the time of `make test` went: a pytest plugin, and the summary `python -m tests.clock _build`.

The plugin adds up the CPU seconds of each chapter's tests, its notebook's kernel among them, and writes them to the
file named in ``COMPANION_CLOCK``. It also keeps on one worker what says nothing of its own group, all that is about one
chapter, else the tests of a file, and runs each group without a break.
"""

import json
import os
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OTHER = "(no chapter)"


@cache
def _slugs() -> tuple[str, ...]:
    """Names of the chapters, longest first: one may begin with another."""
    slugs = (path.stem for path in (ROOT / "notebooks").glob("*.py"))
    return tuple(sorted(slugs, key=len, reverse=True))


def chapter_of(test: str) -> str | None:
    """The chapter that a test's id names, in its file or in its parameters."""
    plain = test.replace("_", "-")
    return next((slug for slug in _slugs() if slug in plain), None)


def group_of(item: pytest.Item) -> str:
    """The chapter that a test is about, by its file or by a parameter ``chapter`` or ``slug``; else the test's file."""
    path = Path(item.nodeid.partition("::")[0])
    if path.parent.name in ("chapters", "notebooks"):
        return chapter_of(path.name) or path.as_posix()
    given = getattr(getattr(item, "callspec", None), "params", {})
    named = (given.get(name) for name in ("chapter", "slug"))
    return next((slug for slug in named if slug in _slugs()), path.as_posix())


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


_began = pytest.StashKey[float]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Before xdist reads the marks."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(name=group_of(item)))
    groups = {}
    for item in items:
        groups.setdefault(item.get_closest_marker("xdist_group").kwargs["name"], []).append(item)
    items[:] = [item for group in groups.values() for item in group]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    item.stash[_began] = cpu_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "teardown":
        report.user_properties.append(("cpu", cpu_seconds() - item.stash[_began]))
    return report


class _Tally:
    """Lives in the process that collects the reports."""

    def __init__(self, target: Path):
        self.target = target
        self.seconds = Counter()

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties if report.when == "teardown" else ():
            if name == "cpu":
                self.seconds[chapter_of(report.nodeid) or OTHER] += value

    def pytest_sessionfinish(self):
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.target.write_text(json.dumps(self.seconds))


def pytest_configure(config):
    target = os.environ.get("COMPANION_CLOCK")
    if target and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Tally(Path(target)), "clock-tally")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def summary(build: Path) -> str:
    """Seconds of each stage, and of each chapter: executing its lab, and the CPU time of its tests and its notebook."""
    stages = [line.split() for line in _read(build / "stages").splitlines()]
    lines = ["Where the time went", *(f"{int(seconds):6d} s  {stage}" for stage, seconds in stages)]
    labs = re.findall(r"^(\S+): (\d+) s$", _read(build / "executed.log"), re.MULTILINE)
    columns = {"lab": {slug: float(seconds) for slug, seconds in labs}}
    for name in ("unit", "notebooks"):
        columns[name] = json.loads(_read(build / f"clock-{name}.json") or "{}")
    slugs = {slug for column in columns.values() for slug in column}
    rows = {slug: [column.get(slug, 0) for column in columns.values()] for slug in slugs}
    if rows:
        lines.append(f"{'':2}{'all':>5}{''.join(f'{name:>11}' for name in columns)}  CPU seconds of")
        for slug, row in sorted(rows.items(), key=lambda item: -sum(item[1])):
            lines.append(f"{sum(row):7.0f}{''.join(f'{seconds:11.0f}' for seconds in row)}  {slug}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(summary(Path(sys.argv[1])))
