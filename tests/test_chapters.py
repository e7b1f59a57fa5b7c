"""What holds for every chapter, whatever it is about.

A chapter's test module declares ``TINY``, a set of parameters that runs in a second or two, ``EXTREMES``, ends of the
ranges at small sizes, and ``REFUSED``, pairs of parameters and a part of the line that refuses them. What takes long,
the extremes and second executions, is run for chapters whose code is not the one recorded in ``tests/checked.json``,
and for all of them where ``COMPANION_ALL`` is set.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import re
from pathlib import Path

import nbformat
import pytest

from companion import execution
from companion.catalogue import EXPOSED, MODULES, chapters, find, module_name
from companion.claims import Undecided, Verdicts
from companion.execution import figure_names, read_figure, read_verdicts
from companion.mutants import chapter_stamp, recorded
from companion.parameters import DEFAULT_PROFILE, PROFILES, STANDARD, ParameterError
from companion.sources import imported_modules

SLUGS = [chapter.slug for chapter in chapters()]


@pytest.fixture(params=SLUGS)
def chapter(request, root):
    return find(request.param, root)


@pytest.fixture
def if_changed(chapter):
    """Skip where the recorded code of the chapter is the present one."""
    skip_unless_changed(chapter)


def skip_unless_changed(chapter):
    unchanged = recorded(chapter.root).get(chapter.slug, {}).get("stamp") == chapter_stamp(chapter.slug, chapter.root)
    if unchanged and not os.environ.get("COMPANION_ALL"):
        pytest.skip("the code is the one that was recorded; COMPANION_ALL=1 runs this all the same")


def declared(chapter):
    """The chapter's test module."""
    spec = importlib.util.spec_from_file_location(f"declared_{module_name(chapter.slug)}", chapter.tests)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def submodule(chapter, name):
    return importlib.import_module(f"{chapter.module.__name__}.{name}")


def submodules(chapter):
    package = chapter.module
    return [importlib.import_module(m.name) for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]


def committed(chapter):
    return nbformat.read(chapter.notebook, as_version=4)


def judged(chapter, **given):
    params = chapter.parameters.resolve(device="cpu", **given)
    try:
        return chapter.module.verify(params, chapter.module.run(params))
    except Undecided as reason:
        pytest.fail(f"Undecided left a measurement: {reason}")


# --- one shape ---------------------------------------------------------------------------------------------------


def test_a_chapter_exposes_the_contract_and_nothing_else(chapter):
    assert sorted(chapter.module.__all__) == sorted(EXPOSED)
    assert chapter.paper.slug == chapter.slug
    assert dataclasses.is_dataclass(chapter.module.Results)
    for name in MODULES:
        submodule(chapter, name)


def test_the_mathematics_knows_nothing_of_parameters_and_experiments_nothing_of_claims_or_figures(chapter):
    prefix = chapter.module.__name__ + "."
    for module in submodules(chapter):
        name = module.__name__.removeprefix(prefix).split(".")[0]
        tree = ast.parse(inspect.getsource(module))
        if name not in MODULES:
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            takes = [f.name for f in functions if "params" in [a.arg for a in f.args.args + f.args.kwonlyargs]]
            assert takes == [], f"{module.__name__}: {', '.join(takes)} take params"
        if name not in ("claims", "figures"):
            imported = {found for found, _ in imported_modules(Path(module.__file__), chapter.root)}
            assert not imported & {prefix + "claims", prefix + "figures", "companion.claims"}, module.__name__


def test_every_experiment_is_remembered_and_returns_a_frozen_dataclass(chapter):
    for module in submodules(chapter):
        if ".experiments" not in module.__name__:
            continue
        for name, function in inspect.getmembers(module, inspect.isfunction):
            first = next(iter(inspect.signature(function).parameters), None)
            if function.__module__ == module.__name__ and first == "params" and not name.startswith("_"):
                assert name == "run" or hasattr(function, "compute"), f"{name} lacks @experiment"
    for field in dataclasses.fields(chapter.module.Results):
        kind = field.type
        assert dataclasses.is_dataclass(kind), field.name
        assert kind.__dataclass_params__.frozen, field.name


def test_one_method_has_one_colour_in_the_whole_book(root):
    seen = {}
    for chapter in chapters(root):
        for method, colour in submodule(chapter, "figures").COLOURS.items():
            first = seen.setdefault(method, (colour, chapter.slug))
            assert colour == first[0], f"{method}: {colour} in {chapter.slug}, {first[0]} in {first[1]}"


# --- claims ------------------------------------------------------------------------------------------------------


def unsound(chapter, verdicts: Verdicts) -> list[str]:
    """What keeps a chapter from being finished: claims without verdict, claims that fail, controls that pass."""
    judged = {verdict.claim: verdict for verdict in verdicts}
    faults = [f"{claim.id} has no verdict" for claim in chapter.claims if claim.id not in judged]
    for claim in chapter.claims:
        verdict = judged.get(claim.id)
        if verdict is None:
            continue
        if verdict.stance != claim.stance:
            faults.append(f"{claim.id} is declared {claim.stance}, judged {verdict.stance}")
        if not verdict.decided and not verdict.criterion:
            faults.append(f"{claim.id} is undecided without a reason")
        if verdict.decided and not verdict.holds:
            faults.append(f"{claim.id} does not hold")
        if verdict.decided and verdict.control["holds"] is not False:
            faults.append(f"{claim.id}: its control is not refuted")
    return faults


def test_every_declared_claim_holds_for_its_stance_and_every_control_is_refuted(chapter):
    assert unsound(chapter, read_verdicts(committed(chapter))) == []


def test_that_test_sees_a_claim_that_fails_a_control_that_passes_and_a_claim_that_is_missing(chapter):
    verdicts = read_verdicts(committed(chapter))
    first = next(verdict for verdict in verdicts if verdict.decided)
    others = tuple(verdict for verdict in verdicts if verdict is not first)

    def faults(*changed):
        return unsound(chapter, dataclasses.replace(verdicts, verdicts=(*changed, *others)))

    assert faults() == [f"{first.claim} has no verdict"]
    assert faults(dataclasses.replace(first, holds=False)) == [f"{first.claim} does not hold"]
    for outcome in (True, None):
        passing = dataclasses.replace(first, control=first.control | {"holds": outcome})
        assert faults(passing) == [f"{first.claim}: its control is not refuted"]


def test_claims_are_declared_with_sentence_criterion_reason_and_control(chapter):
    assert len({claim.id for claim in chapter.claims}) == len(chapter.claims)
    for claim in chapter.claims:
        assert re.fullmatch(r"C\d+[a-z]?(-[a-z0-9]+)?", claim.id)
        assert len(claim.says) > 20
        assert "$" not in claim.says
        assert len(claim.reason) > 10
        if claim.stance != "undecided":
            assert len(claim.control.says) > 5


def test_a_claim_says_where_it_is_seen_and_proved(chapter):
    figures, page = figure_names(committed(chapter)), chapter.page.read_text("utf-8")
    for claim in chapter.claims:
        if claim.figure is not None:
            assert claim.figure in figures, f"{claim.id}: the lab shows no figure {claim.figure!r}"
        if claim.theorem is not None:
            assert f":label: {claim.theorem}\n" in page, f"{claim.id}: the page has no {claim.theorem!r}"


def test_some_claim_of_every_chapter_is_decided(chapter):
    verdicts = read_verdicts(committed(chapter))
    assert sum(verdict.decided for verdict in verdicts) > len(verdicts.verdicts) / 2


# --- the lab -----------------------------------------------------------------------------------------------------


def parameters_cell(notebook):
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    return cell


def test_the_committed_notebook_is_current_and_not_hollow(chapter):
    assert execution.staleness(chapter.notebook, chapter.source, chapter.root) == [], (
        f"run `companion execute {chapter.slug}` and commit the notebook"
    )


def test_notebook_and_source_are_a_pair(chapter):
    assert execution.disagreements(chapter.notebook, chapter.source) == []


def test_the_parameters_cell_is_the_one_that_the_parameters_give(chapter):
    cell = parameters_cell(committed(chapter))
    assert cell.source == chapter.parameters.cell(), f"`companion show {chapter.slug} --cell` writes it"
    assert "hide-input" in cell.metadata["tags"]


def test_no_variable_of_a_lab_takes_the_name_of_a_parameter(chapter):
    """Else a cell that is run a second time would take the variable for the parameter."""
    names = set(chapter.parameters.model_fields)
    for cell in committed(chapter).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            stores = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Name)]
            assert not names & {n.id for n in stores if isinstance(n.ctx, ast.Store)}, cell.source


def test_a_labs_figures_are_described_where_they_are_made(chapter):
    source = chapter.source.read_text("utf-8")
    assert "alt=" not in source
    assert "Parameters.of(globals())" in source


def test_notebook_and_check_reach_the_same_verdicts(chapter):
    shown, computed = read_verdicts(committed(chapter)), judged(chapter)
    assert computed.summary() == shown.summary()
    assert [verdict.claim for verdict in computed] == [verdict.claim for verdict in shown]


def test_the_last_cell_is_the_one_that_ci_compares(chapter):
    last = committed(chapter).cells[-1]
    assert last.source.startswith("# NBVAL_CHECK_OUTPUT")
    assert last.outputs[0].text.count("\n") == len(chapter.claims)


def test_notebooks_write_nothing_to_stderr_and_name_no_folder_of_this_machine(chapter):
    errors = [o for cell in committed(chapter).cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    assert errors == []
    assert not re.search(r"/(home|root|Users|tmp|work)/", chapter.notebook.read_text("utf-8"))


def test_every_figure_is_described_and_one_stands_for_the_chapter(chapter):
    notebook = committed(chapter)
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(outputs) >= 2
    assert all(len(o["metadata"]["image/png"]["alt"]) > 30 for o in outputs)
    assert read_figure(notebook, "glance") is not None


# --- any parameters ----------------------------------------------------------------------------------------------


def test_the_seed_decides_the_results(chapter, monkeypatch):
    monkeypatch.setenv("COMPANION_FRESH", "1")
    tiny = declared(chapter).TINY
    first = judged(chapter, **tiny)
    assert judged(chapter, **tiny).as_dict() == first.as_dict()
    other = judged(chapter, **tiny, seed=1)
    assert [v.measured for v in other] != [v.measured for v in first]


def test_any_values_within_the_ranges_run_to_the_end_and_are_judged_honestly(chapter, if_changed):
    for extreme in declared(chapter).EXTREMES:
        verdicts = judged(chapter, **extreme)
        json.dumps(verdicts.as_dict(), allow_nan=False)
        for verdict in verdicts:
            assert verdict.criterion, (extreme, verdict.claim)
            if verdict.decided:
                assert verdict.control["holds"] is not None, (extreme, verdict.claim, verdict.control)


def test_what_is_outside_is_refused_in_one_line(chapter):
    for given, line in declared(chapter).REFUSED:
        with pytest.raises(ParameterError) as refused:
            chapter.parameters.resolve(device="cpu", **given)
        assert line in str(refused.value)
        assert "\n" not in str(refused.value)
        assert next(iter(given)) in str(refused.value) or line.split(":")[0] in chapter.parameters.model_fields


def test_enough_is_tried(chapter):
    module = declared(chapter)
    assert set(module.TINY) <= set(chapter.parameters.model_fields) - set(STANDARD)
    assert len(module.EXTREMES) >= 3
    assert len(module.REFUSED) >= 2


# --- determinism and records -------------------------------------------------------------------------------------


def executed_here(chapter, folder):
    failures = []
    execution.execute_many([chapter], folder, jobs=1, report=lambda _, __, error: failures.append(error))
    assert failures == [None]
    return (folder / chapter.notebook.name).read_bytes()


def test_executing_again_gives_the_same_bytes(chapter, tmp_path, monkeypatch):
    """Against the committed file if it comes from a machine like this one, else against a second execution."""
    built = chapter.root / "_build" / "executed" / chapter.notebook.name
    current = not execution.staleness(built, chapter.source, chapter.root)
    first = built.read_bytes() if current else executed_here(chapter, tmp_path / "first")
    if first != chapter.notebook.read_bytes():
        skip_unless_changed(chapter)
        monkeypatch.setenv("COMPANION_FRESH", "1")
        assert executed_here(chapter, tmp_path / "second") == first


def test_records_hold_the_paper_profile(root):
    records = sorted((root / "records").glob("*.ipynb"))
    if not records:
        pytest.skip("nothing is recorded")
    for record in records:
        chapter = find(record.stem, root)
        notebook = nbformat.read(record, as_version=4)
        profile = notebook.metadata["companion"]["provenance"]["parameters"]["profile"]
        assert profile in PROFILES
        assert profile != DEFAULT_PROFILE
        assert unsound(chapter, read_verdicts(notebook)) == []
        assert f"records/{record.stem}" in (root / "_toc.yml").read_text("utf-8")
