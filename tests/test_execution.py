import codecs
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time

import jupytext
import nbformat
import psutil
import pytest

from companion import execution, processes, provenance, sources
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


def test_a_notebook_says_why_it_is_stale(executed_book):
    chapter = demo(executed_book)

    def reasons():
        return execution.staleness(chapter.notebook, chapter.source, chapter.root)

    assert reasons() == []
    executed_book.edit(executed_book.experiments, "Replace this", "Replace it")
    assert reasons() == ["library changed"]
    executed_book.edit(executed_book.experiments, "Replace it", "Replace this")
    executed_book.edit(executed_book.lab, "## Verdicts", "## The verdicts")
    assert reasons() == ["source changed"]
    executed_book.edit(executed_book.lab, "## The verdicts", "## Verdicts")
    (executed_book.root / "requirements.lock").write_text("numpy==2.0\n")
    assert reasons() == ["lock changed"]
    chapter.notebook.unlink()
    assert reasons() == ["missing"]


def test_line_ends_and_a_byte_order_mark_change_nothing(executed_book):
    lab, lock = executed_book.lab, executed_book.root / "requirements.lock"
    lab.write_bytes(codecs.BOM_UTF8 + lab.read_bytes().replace(b"\n", b"\r\n"))
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))
    assert executed_book.companion("execute").stdout.strip() == "1 notebooks up to date"
    before = demo(executed_book).notebook.read_bytes()
    done = executed_book.companion("execute", "demo-chapter")
    assert (done.returncode, done.stderr) == (0, "")
    assert demo(executed_book).notebook.read_bytes() == before


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


def test_a_notebook_with_verdicts_of_another_version_is_made_anew(executed_book):
    chapter = demo(executed_book)
    text = chapter.notebook.read_text()
    chapter.notebook.write_text(text.replace('"stance": ', '"kind": '))
    assert text != chapter.notebook.read_text()
    assert execution.staleness(chapter.notebook, chapter.source, chapter.root) == ["unreadable"]
    execution.refuse_to_overwrite(chapter.notebook, chapter)


def test_the_library_behind_a_lab_is_found_through_imports_of_imports(root):
    lab = root / "notebooks" / "sam-diagonal-networks.py"
    names = {path.relative_to(root / "companion").as_posix() for path in sources.library_files(lab, root)}
    assert {"plotting.py", "claims.py", "parameters.py", "chapters/sam_diagonal_networks/__init__.py"} <= names
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
    found = [path.relative_to(tmp_path / "companion").as_posix() for path in sources.library_files(lab, tmp_path)]
    assert found == ["__init__.py", "data/__init__.py", "data/bundled.npz", "data/loader.py", "units.py"]


def test_an_edited_notebook_is_stale_and_overwritten_only_by_force(executed_book):
    chapter = demo(executed_book)
    assert execution.disagreements(chapter.notebook, chapter.source) == []
    notebook = nbformat.read(chapter.notebook, as_version=4)
    notebook.cells[2].source += "\n# edited"
    nbformat.write(notebook, chapter.notebook)
    edited = chapter.notebook.read_bytes()
    assert execution.disagreements(chapter.notebook, chapter.source) == ["cell 3 differs"]
    assert execution.staleness(chapter.notebook, chapter.source, chapter.root) == ["cells changed"]
    for arguments in (["execute"], ["execute", "demo-chapter"], ["execute", "--into", "_build/executed"]):
        refused = executed_book.companion(*arguments)
        assert refused.returncode == 2
        assert refused.stderr.startswith("companion: notebooks/demo-chapter.ipynb: the .ipynb and the .py disagree")
        assert "(cell 3 differs)" in refused.stderr
        assert "--force" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert chapter.notebook.read_bytes() == edited
    executed_book.edit(executed_book.lab, "What to see in it.", "What one sees.")  # both were edited, differently
    assert executed_book.companion("execute").returncode == 2
    assert executed_book.companion("execute", "--force").returncode == 0
    assert execution.staleness(chapter.notebook, chapter.source, chapter.root) == []


def test_an_edit_that_jupytext_wrote_to_both_just_runs_again(executed_book):
    chapter = demo(executed_book)
    notebook = nbformat.read(chapter.notebook, as_version=4)
    notebook.cells[-3].source = "What one sees."
    nbformat.write(notebook, chapter.notebook)
    jupytext.write(notebook, chapter.source, fmt="py:percent")
    assert executed_book.companion("execute").returncode == 0


def test_another_run_in_place_of_the_committed_notebook_is_not_taken_for_it(executed_book):
    chapter = demo(executed_book)
    committed = chapter.notebook.read_bytes()

    def reasons():
        return execution.staleness(chapter.notebook, chapter.source, chapter.root)

    command = [sys.executable, "-m", "papermill", chapter.notebook, chapter.notebook, "-p", "seed", "5"]
    env = os.environ | {"PYTHONPATH": str(executed_book.root)}
    assert subprocess.run(command, cwd=executed_book.root, env=env, capture_output=True).returncode == 0
    assert reasons() == ["another run"]
    foreign = chapter.notebook.read_bytes()
    refused = executed_book.companion("execute")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "run by papermill" in refused.stderr
    assert chapter.notebook.read_bytes() == foreign

    chapter.notebook.write_bytes(committed)
    assert reasons() == []
    assert executed_book.companion("run", "demo-chapter", "-p", "seed=5", "--out", "o").returncode == 0
    (run,) = (executed_book.root / "o").iterdir()
    chapter.notebook.write_bytes(run.read_bytes())
    assert reasons() == ["another run"]
    assert "a run at quick, seed 5" in executed_book.companion("execute").stderr
    assert executed_book.companion("execute", "--force").returncode == 0
    assert chapter.notebook.read_bytes() == committed


def test_a_run_overwrites_a_run_like_it_and_nothing_else(executed_book):
    run = ["run", "demo-chapter", "--out", "o"]
    assert executed_book.companion(*run).returncode == 0
    (path,) = (executed_book.root / "o").iterdir()
    assert executed_book.companion(*run).returncode == 0
    other = executed_book.companion(*run, "--profile", "paper")  # its file has the same name
    assert other.returncode == 2
    assert "a run at quick, seed 0" in other.stderr
    executed_book.edit(path, "What to see in it.", "What I saw.")
    edited = executed_book.companion(*run)
    assert edited.returncode == 2
    assert "the .ipynb and the .py disagree" in edited.stderr
    assert executed_book.companion(*run, "--force").returncode == 0
    assert "What I saw." not in path.read_text()
    into = executed_book.companion("run", "demo-chapter", "--out", "notebooks", "--force")
    assert into.returncode == 2
    assert "out: notebooks holds what `companion execute` writes" in into.stderr


def test_a_damaged_notebook_is_one_line_for_who_reads_it_and_made_anew_by_who_writes_it(executed_book):
    chapter = demo(executed_book)
    for damage in ("{", chapter.notebook.read_text()[:3000], "[]", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5}'):
        chapter.notebook.write_text(damage)
        for arguments in (["ledger"], ["figure", "demo-chapter", "--out", "o.png"], ["execute", "--into", "_build/x"]):
            done = executed_book.companion(*arguments)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
            assert "demo-chapter.ipynb: cannot be read" in done.stderr
    assert executed_book.companion("execute").returncode == 0
    assert executed_book.companion("ledger").returncode == 0


def test_an_edited_source_just_runs_again(executed_book):
    executed_book.edit(executed_book.lab, "What to see in it.", "What one sees.")
    done = executed_book.companion("execute", "--into", "_build/executed")
    assert (done.returncode, done.stderr) == (0, "")
    assert "What one sees." in (executed_book.root / "_build" / "executed" / "demo-chapter.ipynb").read_text()


def run_origin(book, *arguments, **environment):
    """Provenance of a run."""
    out = book.root / f"o{len(list(book.root.iterdir()))}"
    done = book.companion("run", "demo-chapter", "-p", "samples=50", *arguments, "--out", str(out), **environment)
    assert done.returncode == 0, done.stderr
    (path,) = out.iterdir()
    return nbformat.read(path, as_version=4).metadata["companion"]["provenance"]


def test_a_run_carries_its_provenance(tiny_book):
    origin = run_origin(tiny_book, "-p", "seed=3")
    assert origin["parameters"] == {"profile": "quick", "device": "cpu", "seed": 3, "samples": 50}
    assert origin["python"] == platform.python_version()
    assert origin["packages"]["torch"].startswith("2.")
    assert origin["device"] not in ("cpu", "unknown")
    assert origin["duration_seconds"] > 0
    assert list(origin["experiment_seconds"]) == ["demo_chapter.experiments.comparison"]
    assert origin["revision"].startswith("unknown (not a git repository")


def test_an_injected_cell_ends_like_the_others(tiny_book):
    """Without an empty line, which linters complain about."""
    assert tiny_book.companion("run", "demo-chapter", "-p", "samples=50", "--out", "o").returncode == 0
    (path,) = (tiny_book.root / "o").iterdir()
    assert [cell.source for cell in execution.read_notebook(path).cells if cell.source.endswith("\n")] == []


def test_what_the_kernel_does_not_report_is_unknown(tiny_book):
    """Versions are those of the process that ran the cells: without its report they are not made up."""
    silence = "import os\n\nos.remove(os.environ.pop('COMPANION_REPORT'))\n"
    tiny_book.edit(tiny_book.lab, "print(verdicts.summary())", silence + "print(verdicts.summary())")
    origin = run_origin(tiny_book)
    assert origin["python"] == "unknown"
    assert set(origin["packages"].values()) == {"unknown"}
    assert origin["device"] == "unknown"


def test_versions_are_the_kernels(tiny_book):
    other = "from importlib import metadata\n\nreal = metadata.version\n"
    other += "metadata.version = lambda name: '9.9' if name == 'numpy' else real(name)\n"
    tiny_book.edit(tiny_book.lab, "from companion import plotting", other + "from companion import plotting")
    tiny_book.edit(tiny_book.root / "companion" / "provenance.py", "@functools.cache\ndef _versions", "def _versions")
    assert run_origin(tiny_book)["packages"]["numpy"] == "9.9"


def test_the_kernel_is_this_interpreter_without_the_users_own_start_up(tiny_book, tmp_path):
    """Neither a kernel of the name python3, nor start-up files of IPython or Python have a say."""
    for name, where in {"IPYTHONDIR": "ipython/profile_default/startup/00.py", "PYTHONSTARTUP": "startup.py"}.items():
        path = tmp_path / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"raise SystemExit('{name} was read')\n")
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = ["false", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    tiny_book.edit(
        tiny_book.lab,
        "params = Parameters",
        "import sys\n\nassert sys.executable == " + repr(sys.executable) + "\nparams = Parameters",
    )
    run_origin(
        tiny_book,
        IPYTHONDIR=str(tmp_path / "ipython"),
        PYTHONSTARTUP=str(tmp_path / "startup.py"),
        JUPYTER_PATH=str(tmp_path / "jupyter"),
        HOME=str(tmp_path),
    )
    assert not (tmp_path / ".local").exists()
    assert not (tmp_path / ".ipython").exists()


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)


def test_the_revision_is_of_the_books_own_repository_and_tells_of_changes(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    book = tmp_path / "book"
    book.mkdir()
    module, chapter = book / "module.py", book / "chapter.py"
    module.write_text("a = 1\n")
    (book / "notes.txt").write_text("")
    assert provenance.revision(book, [module]).startswith("unknown (not a git repository")
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "outer")
    assert provenance.revision(book, [module]) == "unknown (not a repository of its own)"
    git(book, "init", "-q")
    git(book, "add", "module.py")
    git(book, "commit", "-q", "-m", "inner")
    head = git(book, "rev-parse", "--short=12", "HEAD").stdout.strip()
    assert provenance.revision(book, [module]) == head  # the notes have no part in it
    chapter.write_text("b = 1\n")
    assert provenance.revision(book, [module, chapter]) == head + "+"  # a new chapter is in no commit
    (book / ".gitignore").write_text("chapter.py\n")
    assert provenance.revision(book, [module, chapter]) == head + "+"  # nor is an ignored one
    module.write_text("a = 2\n")
    assert provenance.revision(book, [module]) == head + "+"
    with monkeypatch.context() as hook:
        hook.setenv("GIT_DIR", str(tmp_path / ".git"))  # as in a hook of another repository
        assert provenance.revision(book, [module]) == head + "+"
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PATH", str(tmp_path))
        assert provenance.revision(book) == "unknown (git is not installed)"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_the_revision_of_a_clone_of_somebody_else_is_said_to_be_unknown(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "theirs")
    os.chown(tmp_path, 12345, 12345)
    os.chown(tmp_path / ".git", 12345, 12345)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert provenance.revision(tmp_path) == "unknown (git does not trust this folder: it belongs to another user)"


def test_a_failing_notebook_leaves_no_file_and_keeps_the_old_one(executed_book):
    before = demo(executed_book).notebook.read_bytes()
    executed_book.edit(executed_book.lab, "verdicts = verify", "1 / 0\nverdicts = verify")
    failed = executed_book.companion("execute")
    assert failed.returncode == 3
    assert "ZeroDivisionError" in failed.stderr
    assert demo(executed_book).notebook.read_bytes() == before
    assert executed_book.companion("run", "demo-chapter", "--out", "o").returncode == 3
    assert list((executed_book.root / "o").iterdir()) == []
    shown = executed_book.companion("run", "demo-chapter", "--out", "o", "--traceback").stderr
    assert "1 / 0" in shown  # the line of the cell
    assert "1 / 0" not in failed.stderr


def test_a_kernel_that_is_killed_is_one_line(tiny_book):
    tiny_book.edit(tiny_book.lab, "params = Parameters", "import os\n\nos.kill(os.getpid(), 9)\nparams = Parameters")
    for arguments in (["run", "demo-chapter", "--out", "o"], ["execute"]):
        done = tiny_book.companion(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
        assert "demo-chapter.py: its kernel was killed or crashed (was there enough memory?)" in done.stderr


def test_a_kernel_that_cannot_start_is_one_line_that_says_why(tiny_book):
    (tiny_book.root / "ipykernel_launcher.py").write_text("raise ImportError('no kernel here')\n")
    done = tiny_book.companion("run", "demo-chapter", "--out", "o")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    assert "demo-chapter.py: the kernel did not start (ImportError: no kernel here)" in done.stderr


def test_a_folder_for_temporary_files_with_a_long_name_is_no_obstacle(tiny_book):
    long = tiny_book.root / ("t" * 100)
    long.mkdir()
    done = tiny_book.companion("run", "demo-chapter", "--out", "o", TMPDIR=str(long))
    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_computed_is_not_lost_when_it_cannot_be_written(tiny_book):
    """The disk fills up while the notebook runs: verdicts are shown, the notebook is kept elsewhere if it can be."""
    start = (
        "import errno, sys; from companion import cli, execution; write = execution.write_atomically\n"
        "def full(path, content):\n"
        "    if path.parent.name == 'o': raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "    write(path, content)\n"
        "execution.write_atomically = full; cli.main()"
    )
    env = os.environ | {"PYTHONPATH": str(tiny_book.root), "COMPANION_ROOT": str(tiny_book.root)}
    (tiny_book.root / "t").mkdir()
    command = [sys.executable, "-c", start, "run", "demo-chapter", "--out", "o"]
    done = subprocess.run(
        command, cwd=tiny_book.root, env=env | {"TMPDIR": str(tiny_book.root / "t")}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "1 of 1 claims hold" in done.stdout
    assert "not written (No space left on device), kept as " in done.stderr
    (kept,) = (tiny_book.root / "t").iterdir()
    assert str(kept) in done.stderr
    assert execution.read_verdicts(execution.read_notebook(kept)).sound


def start(book, *arguments, temporary):
    """A command under way: its process, when its lab runs the first cell, and all processes below it."""
    book.edit(
        book.lab,
        "params = Parameters",
        "import pathlib\nimport time\n\npathlib.Path('under-way').touch()\ntime.sleep(120)\nparams = Parameters",
    )
    temporary.mkdir()
    env = os.environ | {"PYTHONPATH": str(book.root), "COMPANION_ROOT": str(book.root), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "companion.cli", *arguments]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=book.root, env=env, start_new_session=True, **pipes)
    until = time.monotonic() + 60
    while not (book.root / "notebooks" / "under-way").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    return process, below


@pytest.mark.parametrize(
    ("command", "how", "code", "line"),
    [
        ("run", signal.SIGINT, 130, "companion: interrupted\n"),
        ("execute", signal.SIGINT, 130, "companion: interrupted\n"),
        ("execute", signal.SIGTERM, 143, "companion: stopped by SIGTERM\n"),
        ("run", signal.SIGHUP, 129, "companion: stopped by SIGHUP\n"),
    ],
)
def test_a_command_that_is_stopped_stops_its_workers_and_leaves_nothing_behind(tiny_book, command, how, code, line):
    into = {"run": "--out", "execute": "--into"}[command]
    temporary = tiny_book.root / "t"
    process, below = start(tiny_book, command, "demo-chapter", into, "o", temporary=temporary)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    assert process.wait(timeout=20) == code
    assert process.stderr.read() == line
    process.stderr.close()
    assert psutil.wait_procs(below, timeout=5)[1] == []
    assert list((tiny_book.root / "o").iterdir()) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "execute"])
def test_what_a_killed_command_leaves_ends_by_itself_and_the_next_start_sweeps(tiny_book, command):
    into = {"run": "--out", "execute": "--into"}[command]
    temporary = tiny_book.root / "t"
    process, below = start(tiny_book, command, "demo-chapter", into, "o", temporary=temporary)
    process.kill()
    process.wait()
    process.stderr.close()
    assert psutil.wait_procs(below, timeout=20)[1] == []
    assert list((tiny_book.root / "o").iterdir()) == []
    tiny_book.edit(tiny_book.lab, "time.sleep(120)", "time.sleep(0)")
    done = tiny_book.companion(command, "demo-chapter", into, "o", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_process_that_lives_is_not_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "companion-of-somebody-else").mkdir()
    with processes.scratch() as mine:
        processes.remove_abandoned()
        assert mine.is_dir()
        assert {path.name for path in tmp_path.iterdir()} == {mine.name, "companion-of-somebody-else"}
    assert [path.name for path in tmp_path.iterdir()] == ["companion-of-somebody-else"]


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
