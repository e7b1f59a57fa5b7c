import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from companion import execution
from companion.catalogue import Chapter


def demo(tiny_book) -> Chapter:
    return Chapter("demo-chapter", "Orders and rates", tiny_book.root)


def test_executing_twice_gives_the_same_bytes_without_clock_times(tiny_book):
    chapter = demo(tiny_book)
    contents = []
    for _ in range(2):
        assert tiny_book.companion("execute", "demo-chapter").returncode == 0
        contents.append(chapter.notebook.read_bytes())
    assert contents[0] == contents[1]
    notebook = json.loads(contents[0])
    assert "papermill" not in notebook["metadata"]
    assert all(
        "execution" not in cell["metadata"] and "papermill" not in cell["metadata"] for cell in notebook["cells"]
    )
    assert "duration_seconds" not in notebook["metadata"]["companion"]["provenance"]


def test_only_what_changed_runs_again(tiny_book):
    assert "demo-chapter" in tiny_book.companion("execute").stdout
    assert tiny_book.companion("execute").stdout.strip() == "1 notebooks up to date"
    tiny_book.edit(tiny_book.lab, "What to see in it.", "What one sees.")
    assert "demo-chapter" in tiny_book.companion("execute").stdout


def test_a_notebook_says_why_it_is_stale(tiny_book):
    chapter = demo(tiny_book)

    def reasons():
        return execution.staleness(chapter.notebook, chapter.source, chapter.root)

    assert reasons() == ["missing"]
    tiny_book.companion("execute")
    assert reasons() == []
    original = tiny_book.module.read_text()
    tiny_book.edit(tiny_book.module, "100, paper", "200, paper")
    assert reasons() == ["library changed"]
    tiny_book.module.write_text(original)
    tiny_book.edit(tiny_book.lab, "## Verdicts", "## The verdicts")
    assert reasons() == ["source changed"]
    tiny_book.edit(tiny_book.lab, "## The verdicts", "## Verdicts")
    (tiny_book.root / "requirements.lock").write_text("numpy==2.0\n")
    assert reasons() == ["lock changed"]


def test_a_notebook_without_outputs_is_hollow_and_one_without_stamp_says_so(tiny_book):
    chapter = demo(tiny_book)
    notebook = execution.read_source(chapter.source)
    nbformat.write(notebook, chapter.notebook)
    assert execution.staleness(chapter.notebook, chapter.source, chapter.root) == ["unstamped"]
    notebook.metadata["companion"] = {"stamp": execution.stamp(chapter.source, chapter.root)}
    nbformat.write(notebook, chapter.notebook)
    assert execution.staleness(chapter.notebook, chapter.source, chapter.root) == ["hollow"]
    chapter.notebook.write_text("{")
    assert execution.staleness(chapter.notebook, chapter.source, chapter.root) == ["unreadable"]


def test_the_library_behind_a_lab_is_found_through_imports_of_imports(root):
    lab = root / "notebooks" / "sam-diagonal-networks.py"
    names = {path.relative_to(root / "companion").as_posix() for path in execution.library_files(lab, root)}
    assert {"plotting.py", "claims.py", "parameters.py", "analysis/max_margin.py"} <= names
    assert "cli.py" not in names
    assert not any("dual_pruning" in name for name in names)


def test_relative_imports_and_data_files_belong_to_the_library(tmp_path):
    package = tmp_path / "companion" / "data"
    package.mkdir(parents=True)
    (tmp_path / "companion" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("from .loader import load\n")
    (package / "loader.py").write_text("from ..units import metre\n")
    (package / "bundled.npz").write_bytes(b"data")
    (tmp_path / "companion" / "units.py").write_text("metre = 1\n")
    (tmp_path / "companion" / "unused.py").write_text("")
    lab = tmp_path / "lab.py"
    lab.write_text("from companion import data\n")
    found = [path.relative_to(tmp_path / "companion").as_posix() for path in execution.library_files(lab, tmp_path)]
    assert found == ["__init__.py", "data/__init__.py", "data/bundled.npz", "data/loader.py", "units.py"]


def test_an_edited_notebook_and_its_source_disagree(tiny_book):
    chapter = demo(tiny_book)
    tiny_book.companion("execute")
    assert execution.disagreements(chapter.notebook, chapter.source) == []
    notebook = nbformat.read(chapter.notebook, as_version=4)
    notebook.cells[2].source += "\n# edited"
    nbformat.write(notebook, chapter.notebook)
    assert execution.disagreements(chapter.notebook, chapter.source) == ["cell 3 differs"]
    refused = tiny_book.companion("execute", "--into", "_build/executed")
    assert refused.returncode == 2
    assert "disagree (cell 3 differs)" in refused.stderr


def test_an_edited_source_just_runs_again(executed_book):
    executed_book.edit(executed_book.lab, "What to see in it.", "What one sees.")
    done = executed_book.companion("execute", "--into", "_build/executed")
    assert (done.returncode, done.stderr) == (0, "")
    assert "What one sees." in (executed_book.root / "_build" / "executed" / "demo-chapter.ipynb").read_text()


def test_a_run_carries_its_provenance(tiny_book):
    done = tiny_book.companion("run", "demo-chapter", "-p", "samples=50", "-p", "seed=3", "--out", "o")
    assert done.returncode == 0, done.stderr
    (path,) = (tiny_book.root / "o").iterdir()
    origin = nbformat.read(path, as_version=4).metadata["companion"]["provenance"]
    assert origin["parameters"] == {"profile": "quick", "device": "cpu", "seed": 3, "samples": 50}
    assert {"python", "packages", "device", "parameters", "duration_seconds", "revision"} <= set(origin)
    assert origin["packages"]["torch"].startswith("2.")
    assert origin["duration_seconds"] > 0


def test_a_failing_notebook_leaves_no_file_and_keeps_the_old_one(executed_book):
    before = demo(executed_book).notebook.read_bytes()
    executed_book.edit(executed_book.lab, "verdicts = chapter", "1 / 0\nverdicts = chapter")
    failed = executed_book.companion("execute")
    assert failed.returncode == 3
    assert "ZeroDivisionError" in failed.stderr
    assert demo(executed_book).notebook.read_bytes() == before
    assert executed_book.companion("run", "demo-chapter", "--out", "o").returncode == 3
    assert list((executed_book.root / "o").iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_nothing_behind(tiny_book, how):
    tiny_book.edit(tiny_book.lab, "experiment = chapter", "import time\n\ntime.sleep(60)\nexperiment = chapter")
    env = os.environ | {"PYTHONPATH": str(tiny_book.root), "COMPANION_ROOT": str(tiny_book.root)}
    command = [sys.executable, "-m", "companion.cli", "run", "demo-chapter", "--out", "o"]
    process = subprocess.Popen(command, cwd=tiny_book.root, env=env, stderr=subprocess.PIPE, start_new_session=True)
    while process.poll() is None and not (tiny_book.root / "o").exists():
        time.sleep(0.2)
    time.sleep(5)  # the notebook is now under way
    assert process.poll() is None, process.stderr.read()
    os.killpg(process.pid, how)
    process.wait(timeout=30)
    process.stderr.close()
    assert list((tiny_book.root / "o").iterdir()) == []


def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "file.txt"
    target.write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        execution.write_atomically(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_cells_keep_their_ids_when_others_change(tmp_path):
    lab = tmp_path / "lab.py"
    lab.write_text("# %%\na = 1\n\n# %%\nb = 2\n\n# %%\na = 1\n")
    first = [cell.id for cell in execution.read_source(lab).cells]
    lab.write_text("# %%\na = 1\n\n# %%\nb = 3\n\n# %%\na = 1\n")
    second = [cell.id for cell in execution.read_source(lab).cells]
    assert len(set(first)) == 3
    assert (first[0], first[2]) == (second[0], second[2])
    assert first[1] != second[1]
