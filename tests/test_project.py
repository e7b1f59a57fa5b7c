"""The repository as a whole: what it names, what it pins, what it must not say."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import zlib
from contextlib import contextmanager
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement


def tracked(root):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [root / name for name in listed.stdout.splitlines() if (root / name).is_file()]


def texts(root):
    for path in tracked(root):
        if path.suffix not in (".npz", ".png") and path.name != "test_project.py":
            yield path, path.read_text()


def normal(name):
    return re.sub(r"[-_.]+", "-", name.lower())


def pins(path):
    """Versions by name; every line that is not a comment or a hash must be one."""
    found = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "# ":
            requirement = Requirement(line.rstrip("\\ "))
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            found[normal(requirement.name)] = pin.version
    return found


# What an environment may hold beside the lock.
UNLOCKED = {
    "pip": "comes with the interpreter",
    "companion": "this project",
    "uv": "a tool that some make environments with; nothing here uses it",
}
# Pinned by torch's own requirements, and there only with its CUDA builds: .ci/lock says more.
BROUGHT_BY_TORCH = re.compile(r"(nvidia|cuda)-|triton$")


def test_every_requirement_is_pinned_and_within_what_the_package_declares(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(extras) == {"book", "tests", "sweeps", "lab"}
    locked = pins(root / "requirements.lock")
    for extra, needs in (("", project["dependencies"]), *extras.items()):
        pinned = locked | (pins(root / "requirements-lab.lock") if extra == "lab" else {})
        for requirement in map(Requirement, needs):
            name = normal(requirement.name)
            assert name in pinned, f"{name} is not locked"
            assert requirement.specifier.contains(pinned[name]), requirement
    assert locked["torch"] == "2.13.0"


def test_the_lock_is_complete(root):
    locked = pins(root / "requirements.lock") | pins(root / "requirements-lab.lock")
    for distribution in metadata.distributions():
        name = normal(distribution.metadata["Name"])
        if name not in UNLOCKED and not BROUGHT_BY_TORCH.match(name):
            assert name in locked, f"{name} is installed and not locked: run `make lock`"
            assert distribution.version.partition("+")[0] == locked[name], name


def test_the_lock_is_closed_under_what_its_packages_need(root):
    locked = pins(root / "requirements.lock")
    for name in locked:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or Python
        for requirement in map(Requirement, needs):
            need = normal(requirement.name)
            if (not requirement.marker or requirement.marker.evaluate({"extra": ""})) and not (
                name == "torch" and BROUGHT_BY_TORCH.match(need)
            ):
                assert need in locked, f"{name} needs {requirement}"
                assert requirement.specifier.contains(locked[need], prereleases=True), f"{name} needs {requirement}"


def test_hashes_are_those_of_the_lock(root):
    hashed = pins(root / "requirements.hashes")
    locked = pins(root / "requirements.lock")
    assert hashed == {name: version for name, version in locked.items() if name != "torch"}
    for name in ("requirements.hashes", "requirements-lab.lock"):
        packages = re.split(r"\n(?=[a-z])", (root / name).read_text())[1:]
        assert packages
        assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", package) for package in packages)


def test_conda_takes_the_same_versions(root):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    assert "python=3.11" in environment["dependencies"]
    assert environment["dependencies"][-1]["pip"] == ["-r requirements.lock", "-e ."]


def test_no_file_holds_anothers_machine_or_the_place_where_it_was_made(root):
    patterns = [r"\.\./shared", r"/work/main", r"/tmp/w/", r"\bpypi\.org", r"registry\.npmjs", r"deb\.debian\.org"]
    for path, text in texts(root):
        for pattern in patterns:
            assert not re.search(pattern, text), f"{path.relative_to(root)} has {pattern}"


def test_images_and_libraries_are_built_not_committed(root):
    static = root / "book" / "_static"
    for path in tracked(root):
        if path.is_relative_to(static):
            assert path.suffix in (".css", ".js", ".svg", ".png", ".html", ".ico"), path.relative_to(root)
            assert path.stat().st_size < 400_000, path.relative_to(root)
            continue
        assert path.suffix not in (".png", ".svg", ".js", ".woff", ".woff2", ".whl"), path.relative_to(root)
        assert path.stat().st_size < 4_000_000, path.relative_to(root)


def test_the_figure_of_the_readme_is_the_one_that_the_committed_notebook_shows(root):
    from base64 import b64decode

    import nbformat

    from companion.execution import read_figure

    notebook = nbformat.read(root / "notebooks" / "sam-diagonal-networks.ipynb", as_version=4)
    assert (root / "book" / "_static" / "readme.png").read_bytes() == b64decode(read_figure(notebook, "glance")[0]), (
        "run `companion figure sam-diagonal-networks glance --out book/_static/readme.png`"
    )


def test_ci_runs_the_same_commands_as_the_readme(root):
    assert "make test" in (root / ".ci" / "run").read_text()
    workflow = (root / ".github" / "workflows" / "ci.yml").read_text()
    readme = (root / "README.md").read_text()
    for command in ("make book", "make test"):
        assert command in workflow
        assert command in readme


def test_the_workflow_pins_its_actions_and_tries_the_newest_python_every_week(root):
    text = (root / ".github" / "workflows" / "ci.yml").read_text()
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: which version is it?"
    workflow = yaml.safe_load(text)
    assert "schedule" in workflow[True]  # YAML reads the key `on` as a truth value
    assert "3.13" in str(workflow["jobs"]["test"]["strategy"])
    assert "ALL=1" in text


def test_what_users_make_is_no_business_of_lint_and_git(root, tmp_path):
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    for name in (".gitignore", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "companion").mkdir()
    git("init", "-q")
    git("add", ".")
    injected = '{"cells": [{"cell_type": "code", "execution_count": null, "id": "a", "metadata": {}, "outputs": [], '
    injected += '"source": "seed = 5;import os"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    for name in ("out.ipynb", "my-runs/a.ipynb", "runs/b.ipynb", "notebooks/deep/runs/c.ipynb", "records/d.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(injected)
    for name in ("sam-diagonal-networks-glance.png", "my-runs/glance.png", "book.pdf", "_build/index.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert git("ls-files", "-o", "--exclude-standard").split() == [
        "records/d.ipynb"
    ]  # a record is there to be committed
    for command in ("check", "format --check"):
        done = subprocess.run([sys.executable, "-m", "ruff", *command.split(), "."], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stdout.decode()


def test_what_is_committed_is_not_ignored(root):
    done = subprocess.run(["git", "ls-files", "-ci", "--exclude-standard"], cwd=root, capture_output=True, text=True)
    assert done.stdout == ""


STUB = """\
#!/usr/bin/env bash
# Stands for a Python of version $STUB, and writes down what it is asked to do.
echo "$0 $*" >> "$STUB_LOG"
case "$1 $2" in
-c*version_info*) [ "$STUB" != 3.10 ] ;;
-c*python_version*) echo "$STUB" ;;
-c*ensurepip*) [ -z "${NO_ENSUREPIP:-}" ] ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo home > "$3/pyvenv.cfg" && [ "${BREAKS:-}" != venv ] ;;
"-m pip") [ "${BREAKS:-}" != "$3" ] ;;
esac
"""


class SetUp:
    """A folder with the Makefile, whose `make lint` sets up an environment with a stub in place of Python."""

    def __init__(self, root, folder):
        self.folder = folder
        (folder / ".ci").mkdir(parents=True)
        shutil.copy(root / "Makefile", folder)
        shutil.copy(root / ".ci" / "environment", folder / ".ci")
        for name in ("requirements.lock", "requirements.hashes", "pyproject.toml"):
            (folder / name).write_text("")
        self.stub = folder / "stub"
        self.stub.write_text(STUB)
        self.stub.chmod(0o755)
        self.venv = folder / ".venv"

    def make(self, *arguments, python=True, **environment):
        inherited = {
            k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV")
        }
        log = self.folder / "log"
        log.write_text("")
        env = inherited | {"STUB": "3.11.9", "STUB_LOG": str(log)} | environment
        command = ["make", "lint", *([f"PYTHON={self.stub}"] if python else []), *arguments]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
        self.asked = log.read_text()
        return done


@pytest.fixture
def set_up(root, tmp_path):
    return SetUp(root, tmp_path / "a folder")


def test_an_environment_is_made_once_and_mended_when_the_lock_changes(set_up):
    assert set_up.make().returncode == 0
    assert "-m venv" in set_up.asked
    assert set_up.asked.index("--require-hashes -r requirements.hashes") < set_up.asked.index("-r requirements.lock")
    assert set_up.make().returncode == 0
    assert "-m venv" not in set_up.asked
    assert "pip" not in set_up.asked
    ready = set_up.venv / ".ready"
    os.utime(ready, (1, 1))
    assert set_up.make().returncode == 0
    assert "pip install" in set_up.asked
    assert "-m venv" not in set_up.asked
    assert ready.stat().st_mtime > 1


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_an_environment_that_was_moved_or_copied_is_made_anew(set_up, move):
    set_up.make()
    (set_up.venv / "old").write_text("")
    elsewhere = set_up.folder.with_name("elsewhere")
    move(set_up.folder, elsewhere)
    set_up.folder, set_up.venv = elsewhere, elsewhere / ".venv"
    set_up.stub = elsewhere / "stub"
    assert set_up.make().returncode == 0
    assert "-m venv" in set_up.asked
    assert not (set_up.venv / "old").exists()


@pytest.mark.parametrize("breaks", ["venv", "install"])
def test_a_set_up_that_fails_leaves_nothing_half_made(set_up, breaks):
    assert set_up.make(BREAKS=breaks).returncode != 0
    assert not set_up.venv.exists()
    assert set_up.make().returncode == 0


def test_a_set_up_that_was_killed_is_begun_again(set_up):
    set_up.make()
    (set_up.venv / ".ready").rename(set_up.venv / ".making")
    assert set_up.make().returncode == 0
    assert "-m venv" in set_up.asked
    assert not (set_up.venv / ".making").exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"STUB": "3.10"}, "make: needs Python 3.11 (from 3.11.5), 3.12 or 3.13; PYTHON="),
        ({"NO_ENSUREPIP": "1"}, "cannot make environments (on Debian and Ubuntu, install python3-venv)"),
    ],
)
def test_an_unfit_python_is_refused_in_one_line_before_anything_is_made(set_up, environment, message):
    done = set_up.make(**environment)
    assert done.returncode != 0
    assert message in done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("make: ***")] == [
        done.stderr.splitlines()[0]
    ]
    assert not set_up.venv.exists()


def test_somebody_elses_environment_is_never_removed(set_up):
    other = set_up.folder / "conda"
    other.mkdir()
    (other / "precious").write_text("")
    done = set_up.make("VENV=conda")
    assert done.returncode != 0
    assert "conda is no environment" in done.stderr
    assert (other / "precious").exists()


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("3.11.4", False), ("3.11.5", True), ("3.12.0", True), ("3.13.9", True), ("3.10.13", False), ("3.14.0", False)],
)
def test_the_versions_that_are_accepted(root, version, accepted):
    source = re.search(r"^accepted='(.*)'$", (root / ".ci" / "environment").read_text(), re.MULTILINE)[1]
    info = tuple(map(int, version.split(".")))
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.version_info = {info}; {source}"])
    assert (done.returncode == 0) == accepted


def test_a_page_that_left_the_book_leaves_the_site(root, tmp_path):
    site = tmp_path / "html"
    (site / "_sources" / "book").mkdir(parents=True)
    for name in ("book/kept", "book/gone"):
        (site / "_sources" / f"{name}.md").write_text("")
    (site / "book").mkdir()
    for name in ("book/kept", "book/gone", "genindex", "404"):
        (site / f"{name}.html").write_text("")
    listed = zlib.compress(b"book/kept std:doc -1 book/kept.html Kept\nthm-gone std:label -1 book/gone.html Gone\n")
    (site / "objects.inv").write_bytes(b"# Sphinx inventory version 2\n# Project: P\n# Version: 1\n# zlib\n" + listed)
    subprocess.run([sys.executable, root / ".ci" / "prune", site], check=True)
    left = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    assert left == ["404.html", "book/kept.html", "genindex.html"]
    assert not (site / "_sources" / "book" / "gone.md").exists()


@contextmanager
def served(root, folder, *arguments):
    command = [sys.executable, root / ".ci" / "serve", folder, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_book_is_served_on_a_free_port_or_on_the_one_that_was_asked_for(root, tmp_path):
    (tmp_path / "index.html").write_text("the book")
    with served(root, tmp_path) as first, served(root, tmp_path) as second:
        addresses = [re.search(r"http://127\.0\.0\.1:(\d+)/", server.stdout.readline()) for server in (first, second)]
        for address in addresses:
            with urllib.request.urlopen(address[0], timeout=10) as answer:
                assert answer.read() == b"the book"
        port = addresses[0][1]
        assert port != addresses[1][1]
        with served(root, tmp_path, port) as third:
            message = third.communicate(timeout=30)[1]
            assert third.returncode == 1
            assert message.startswith(f"make: PORT={port} cannot be used")
            assert message.count("\n") == 1


def test_the_core_knows_no_chapter_by_name(root):
    from companion.catalogue import chapters, module_name

    core = [*(root / "companion").glob("*.py"), *(root / "companion" / "sphinx").rglob("*.py")]
    assert len(core) > 20
    for path in core:
        text = path.read_text()
        for chapter in chapters(root):
            for name in (chapter.slug, module_name(chapter.slug)):
                assert name not in text, f"{path.relative_to(root)} names {name}"


@pytest.mark.parametrize("layer", ["optim", "models", "data", "analysis"])
def test_lower_layers_know_nothing_of_claims_chapters_or_notebooks(root, layer):
    for path in (root / "companion" / layer).rglob("*.py"):
        other = r"(?!(optim|models|data|analysis)\b)\w"
        upward = rf"(from|import) companion(\.| import ){other}"
        assert not re.search(upward, path.read_text()), path.relative_to(root)
