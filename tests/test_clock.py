import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import clock
import pytest


def test_the_summary_adds_up_stages_and_chapters(tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "_slugs", lambda: ("dual-pruning",))
    (tmp_path / "stages").write_text("lint 3\nunit 40\n")
    (tmp_path / "executed.log").write_text("dual-pruning: 12 s\n2 notebooks up to date\n")
    (tmp_path / "clock-unit.json").write_text(json.dumps({"dual-pruning": 5.2, clock.OTHER: 30}))
    lines = clock.summary(tmp_path).splitlines()
    assert "     3 s  lint" in lines
    assert lines[-2].split() == ["30", "0", "30", "0", "(no", "chapter)"]
    assert lines[-1].split() == ["17", "12", "5", "0", "dual-pruning"]
    assert clock.summary(tmp_path / "nothing") == "Where the time went"


def test_a_tests_chapter_is_the_longest_that_its_id_names(monkeypatch):
    monkeypatch.setattr(clock, "_slugs", lambda: ("adam-again", "adam"))
    assert clock.chapter_of("tests/chapters/test_adam_again.py::test_x") == "adam-again"
    assert clock.chapter_of("tests/test_chapters.py::test_x[adam]") == "adam"
    assert clock.chapter_of("tests/test_cli.py::test_x") is None


@pytest.mark.parametrize(
    ("test", "params", "group"),
    [
        ("tests/chapters/test_adam.py::test_x", {}, "adam"),
        ("notebooks/adam-again.ipynb::Cell 3", {}, "adam-again"),
        ("tests/test_chapters.py::test_x[adam]", {"chapter": "adam"}, "adam"),
        ("tests/test_exercises.py::test_x[adam-1]", {"slug": "adam", "expected": ["adam"]}, "adam"),
        ("tests/test_sphinx.py::test_x[adam]", {"name": "adam"}, "tests/test_sphinx.py"),
        ("tests/test_cli.py::test_x", {}, "tests/test_cli.py"),
    ],
)
def test_all_that_is_about_a_chapter_is_one_group(monkeypatch, test, params, group):
    monkeypatch.setattr(clock, "_slugs", lambda: ("adam-again", "adam"))
    assert clock.group_of(SimpleNamespace(nodeid=test, callspec=SimpleNamespace(params=params))) == group


def test_what_belongs_together_stays_on_one_worker_and_its_time_is_counted(root, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("test_a", "test_b"):
        (tmp_path / f"{name}.py").write_text(
            "def test_0(): sum(range(10**6))\ndef test_1(): pass\ndef test_2(): pass\n"
        )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    env |= {"PYTHONPATH": str(root), "COMPANION_CLOCK": str(tmp_path / "times.json")}
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "-p", "tests.clock", "--dist", "loadgroup"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    ran = re.findall(r"\[(gw\d)\].*PASSED (test_\w)\.py", done.stdout)
    assert len(ran) == 6, done.stdout
    assert len(set(ran)) == 2, "pytest-xdist does not keep a group on one worker"
    assert json.loads((tmp_path / "times.json").read_text())[clock.OTHER] > 0


def test_make_runs_tests_with_the_plugin_that_groups_them(root):
    makefile = (root / "Makefile").read_text()
    assert "-p tests.clock" in makefile
    assert set(re.findall(r"--dist (\w+)", makefile)) == {"loadgroup"}
