import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from companion import results
from companion.parameters import Parameters
from companion.results import NEUTRAL, experiment
from companion.sources import code_behind, meaning

PARAMS = Parameters.resolve(device="cpu")
calls = []


@experiment
def squares(params, count=3, factor=1.0):
    calls.append(count)
    return {"squares": factor * np.arange(count) ** 2}


@pytest.fixture(autouse=True)
def empty_store(tmp_path, monkeypatch):
    """A book with nothing in it."""
    (tmp_path / "_toc.yml").write_text("parts: []")
    (tmp_path / "companion").mkdir()
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    monkeypatch.delenv("COMPANION_FRESH", raising=False)
    calls.clear()
    return tmp_path


def stored(root):
    return list((root / results.FOLDER).glob("*/*.pkl"))


def test_the_second_call_computes_nothing_and_gives_the_same():
    first, second = squares(PARAMS), squares(PARAMS)
    assert calls == [3]
    assert (first["squares"] == second["squares"]).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda: squares(Parameters.resolve(device="cpu", seed=1)),
        lambda: squares(Parameters.resolve(device="cpu", profile="paper")),
        lambda: squares(PARAMS, 4),
        lambda: squares(PARAMS, factor=2.0),
    ],
)
def test_other_parameters_or_arguments_are_another_result(change):
    squares(PARAMS)
    change()
    assert len(calls) == 2


def test_it_does_not_matter_how_arguments_are_given():
    squares(PARAMS)
    squares(PARAMS, 3)
    squares(PARAMS, count=3, factor=1.0)
    assert calls == [3]


def test_arrays_among_the_arguments_count_by_their_content():
    @experiment
    def total(params, array):
        calls.append("total")
        return array.sum()

    total(PARAMS, np.ones(3))
    total(PARAMS, np.ones(3))
    assert total(PARAMS, np.zeros(3)) == 0
    assert calls == ["total", "total"]


def test_what_depends_on_a_result_is_found_whether_that_was_computed_or_read(empty_store):
    """A view and its copy have other strides, and with them another hash."""

    @experiment
    def view(params):
        return np.arange(12.0).reshape(3, 4)[:, ::2].T

    @experiment
    def total(params, array):
        calls.append("total")
        return array.sum()

    for _ in range(2):
        assert total(PARAMS, view(PARAMS)) == 30
    assert calls == ["total"]


def test_fresh_computes_again_and_keeps_nothing(monkeypatch, empty_store):
    monkeypatch.setenv("COMPANION_FRESH", "1")
    squares(PARAMS)
    squares(PARAMS)
    assert calls == [3, 3]
    assert stored(empty_store) == []


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x04N."])
def test_what_cannot_be_read_is_computed_again(empty_store, content):
    squares(PARAMS)
    (file,) = stored(empty_store)
    file.write_bytes(content)
    squares(PARAMS)
    squares(PARAMS)
    assert calls == [3, 3]


def test_what_cannot_be_written_is_no_error(empty_store):
    (empty_store / "_build").write_text("a file where a folder should be")
    assert squares(PARAMS)["squares"].tolist() == [0, 1, 4]


def test_a_result_that_cannot_be_pickled_is_no_error_and_leaves_no_part(empty_store):
    @experiment
    def function(params):
        return lambda: None

    function(PARAMS)
    assert list((empty_store / results.FOLDER).glob("*/*")) == []


def test_an_error_in_an_experiment_is_raised_and_not_kept(empty_store):
    @experiment
    def broken(params):
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            broken(PARAMS)
    assert stored(empty_store) == []


def test_timings_tell_what_the_computation_took_even_when_it_was_read(monkeypatch):
    squares(PARAMS, 5)
    (name,) = (name for name in results.timings() if name.endswith(".squares"))
    before = results.timings()[name]
    squares(PARAMS, 5)
    assert results.timings()[name] > before > 0


def test_what_nobody_used_for_long_is_forgotten(empty_store):
    squares(PARAMS, 1)
    squares(PARAMS, 2)
    old, young = stored(empty_store)
    part = old.with_suffix(".part")
    part.write_bytes(b"")
    for path in (old, part):
        os.utime(path, (0, 0))
    assert results.forget_unused(30, empty_store) == 2
    assert stored(empty_store) == [young]
    os.utime(young, (0, 0))
    for count in (1, 2):
        squares(PARAMS, count)  # one is read, one computed again: both are used now
    assert results.forget_unused(30, empty_store) == 0


def test_a_store_that_may_only_be_read_is_read(monkeypatch, empty_store):
    squares(PARAMS)

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    squares(PARAMS)
    assert calls == [3]


def test_what_is_kept_is_counted_and_cleared(empty_store):
    squares(PARAMS)
    squares(PARAMS, 5)
    (count, size) = next(iter(results.kept(empty_store).values()))
    assert count == 2
    assert size > 100
    results.clear(empty_store)
    assert results.kept(empty_store) == {}


# --- the code behind an experiment ------------------------------------------------------------------------------------

FILES = {
    "companion/__init__.py": "",
    "companion/parameters.py": "",
    "companion/plotting.py": "",
    "companion/models/__init__.py": "from companion.models.unrelated import anything",
    "companion/models/unrelated.py": "anything = 1",
    "companion/models/linear.py": "import companion.models.lower",
    "companion/models/lower.py": "",
    "companion/chapters/__init__.py": "",
    "companion/chapters/demo/__init__.py": "from companion.chapters.demo.claims import CLAIMS",
    "companion/chapters/demo/claims.py": "CLAIMS = ()",
    "companion/chapters/demo/figures.py": "from companion import plotting",
    "companion/chapters/demo/theory.py": "",
    "companion/chapters/demo/parameters.py": "from companion import parameters",
    "companion/chapters/demo/experiments.py": "\n".join(
        [
            "from companion.chapters.demo import theory",
            "from companion.chapters.demo.parameters import Parameters",
            "from companion.models.linear import fit",
        ]
    ),
}


@pytest.fixture
def library(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_claims_figures_and_packages_on_the_way_are_not_behind_an_experiment(library):
    behind = code_behind(library / "companion/chapters/demo/experiments.py", library, NEUTRAL)
    assert [path.relative_to(library).as_posix() for path in behind] == [
        "companion/chapters/demo/experiments.py",
        "companion/chapters/demo/parameters.py",
        "companion/chapters/demo/theory.py",
        "companion/models/linear.py",
        "companion/models/lower.py",
    ]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("from companion.models import anything", {"unrelated.py"}),
        ("from companion.models import anything as some", {"unrelated.py"}),
        ("from companion.models import own", {"__init__.py", "unrelated.py"}),
        ("from companion.models import *", {"__init__.py", "unrelated.py"}),
        ("import companion.models", {"__init__.py", "unrelated.py"}),
        ("from ...models import lower", {"lower.py"}),
        ("from companion.models.linear import fit", {"linear.py", "lower.py"}),
        ("from companion.models import missing", {"__init__.py", "unrelated.py"}),
        ("from companion import parameters", set()),
        ("from elsewhere import anything", set()),
    ],
)
def test_a_name_of_a_package_counts_with_the_module_that_the_package_has_it_from(library, statement, expected):
    """So that a further name in a package leaves the results of all that import others from it."""
    (library / "companion/models/__init__.py").write_text("from .unrelated import anything\nown = 1")
    (library / "companion/chapters/demo/experiments.py").write_text(statement)
    names = {path.name for path in code_behind(library / "companion/chapters/demo/experiments.py", library, NEUTRAL)}
    assert names == {"experiments.py"} | expected


def run_once(book, edit=None):
    """`companion check` of the tiny book in a process of its own; how many results are kept afterwards."""
    if edit:
        book.edit(*edit)
    done = book.companion("check", "demo-chapter")
    assert done.returncode in (0, 1), done.stderr
    return sum(count for count, _ in results.kept(book.root).values())


def test_editing_a_figure_or_a_claim_recomputes_nothing_and_editing_the_algorithm_does(tiny_book):
    assert run_once(tiny_book) == 1
    assert run_once(tiny_book) == 1
    assert run_once(tiny_book, (tiny_book.package / "figures.py", "bins=20", "bins=30")) == 1
    assert run_once(tiny_book, (tiny_book.package / "claims.py", "abs(mean) < 1", "abs(mean) < 2")) == 1
    assert run_once(tiny_book, (tiny_book.package / "algorithm.py", "Replace this by", "This is")) == 1
    assert run_once(tiny_book, (tiny_book.package / "algorithm.py", "noise + shift", "noise - shift")) == 2


def test_code_without_a_file_is_simply_run():
    code = "from companion.results import experiment\n@experiment\ndef f(params): return 1\nprint(f(None))"
    env = os.environ | {"PYTHONPATH": str(Path(results.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "1", done.stderr


def test_code_that_was_edited_after_this_process_read_it_leaves_nothing(library, monkeypatch, empty_store):
    """Else the old code's result would be filed under the new code's name."""
    path = library / "loaded.py"
    path.write_text("from companion.results import experiment\n@experiment\ndef f(params): return 1\n")
    os.utime(path, (0, 0))

    def load():
        results._code_hash.cache_clear()
        spec = importlib.util.spec_from_file_location("loaded", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "loaded", module)
        spec.loader.exec_module(module)
        return module

    assert load().f(PARAMS) == 1
    assert len(stored(empty_store)) == 1
    old = load()
    path.write_text(path.read_text().replace("return 1", "return 2"))
    results._code_hash.cache_clear()
    assert old.f(PARAMS) == 1
    assert load().f(PARAMS) == 2
    assert len(stored(empty_store)) == 1


def test_comments_docstrings_and_layout_are_no_code(tmp_path):
    plain, dressed, other = (tmp_path / f"{name}.py" for name in ("plain", "dressed", "other"))
    plain.write_text("def f(x):\n    return x + 1\n")
    dressed.write_text('"""What."""\n\n\ndef f(x):  # why\n    """How."""\n    return (\n        x + 1\n    )\n')
    other.write_text("def f(x):\n    return x + 2\n")
    assert meaning(plain) == meaning(dressed) != meaning(other)
