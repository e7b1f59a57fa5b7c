"""The repository as a whole: what it names, what it pins, what it must not say."""

import re
import subprocess
import tomllib

import pytest
import yaml


def tracked(root):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [root / name for name in listed.stdout.splitlines() if (root / name).is_file()]


def texts(root):
    for path in tracked(root):
        if path.suffix not in (".npz", ".png") and path.name != "test_project.py":
            yield path, path.read_text()


def pins(root):
    lines = [line for line in (root / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
    return dict(line.lower().replace("_", "-").split("==") for line in lines)


def test_every_requirement_is_pinned_and_within_what_the_package_declares(root):
    from packaging.requirements import Requirement

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *(need for needs in extras.values() for need in needs)]
    locked = pins(root)
    for requirement in map(Requirement, declared):
        name = requirement.name.lower().replace("_", "-")
        assert name in locked, f"{name} is not in requirements.lock"
        assert requirement.specifier.contains(locked[name]), requirement
    assert locked["torch"] == "2.13.0"
    assert set(extras) == {"book", "tests", "sweeps"}


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
    for path in tracked(root):
        if path == root / "book" / "_static" / "readme.png":
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


def test_the_core_knows_no_chapter_by_name(root):
    from companion.catalogue import chapters, module_name

    core = [
        "catalogue",
        "claims",
        "cli",
        "execution",
        "ledger",
        "parameters",
        "plotting",
        "scaffold",
        "sphinx",
        "sweep",
    ]
    for name in core:
        path = root / "companion" / f"{name}.py"
        text = path.read_text() if path.exists() else ""
        for chapter in chapters(root):
            assert chapter.slug not in text
            assert module_name(chapter.slug) not in text


@pytest.mark.parametrize("layer", ["optim", "models", "data", "analysis"])
def test_lower_layers_know_nothing_of_claims_chapters_or_notebooks(root, layer):
    for path in (root / "companion" / layer).rglob("*.py"):
        upward = (
            r"from companion(\.| import )(chapters|claims|execution|ledger|catalogue|cli|sphinx|plotting|parameters)"
        )
        assert not re.search(upward, path.read_text()), path.relative_to(root)
