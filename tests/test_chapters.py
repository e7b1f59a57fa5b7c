"""What holds for every chapter, whatever it is about."""

import dataclasses
import re

import nbformat
import pytest

from companion import execution
from companion.catalogue import chapters, find
from companion.claims import Undecided, Verdicts
from companion.execution import read_figure, read_verdicts

SLUGS = [chapter.slug for chapter in chapters()]
STANDARD = {"profile", "device", "seed"}


@pytest.fixture(params=SLUGS)
def chapter(request, root):
    return find(request.param, root)


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
    verdicts = read_verdicts(nbformat.read(chapter.notebook, as_version=4))
    assert unsound(chapter, verdicts) == []


def test_that_test_sees_a_claim_that_fails_a_control_that_passes_and_a_claim_that_is_missing(chapter):
    verdicts = read_verdicts(nbformat.read(chapter.notebook, as_version=4))
    first = next(verdict for verdict in verdicts if verdict.decided)
    others = tuple(verdict for verdict in verdicts if verdict is not first)

    def faults(*changed):
        return unsound(chapter, dataclasses.replace(verdicts, verdicts=(*changed, *others)))

    assert faults() == [f"{first.claim} has no verdict"]
    assert faults(dataclasses.replace(first, holds=False)) == [f"{first.claim} does not hold"]
    passing = dataclasses.replace(first, control=first.control | {"holds": True})
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


def test_some_claim_of_every_chapter_is_decided(chapter):
    verdicts = read_verdicts(nbformat.read(chapter.notebook, as_version=4))
    assert sum(verdict.decided for verdict in verdicts) > len(verdicts.verdicts) / 2


def test_the_committed_notebook_is_current_and_not_hollow(chapter):
    assert execution.staleness(chapter.notebook, chapter.source, chapter.root) == [], (
        f"run `companion execute {chapter.slug}` and commit the notebook"
    )


def test_notebook_and_source_are_a_pair(chapter):
    assert execution.disagreements(chapter.notebook, chapter.source) == []


def test_the_parameters_cell_offers_exactly_the_chapters_parameters(chapter):
    notebook = nbformat.read(chapter.notebook, as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    offered: dict = {}
    exec(cell.source, offered)
    offered.pop("__builtins__")
    assert set(offered) == set(chapter.parameters.model_fields)
    assert all(value is None for name, value in offered.items() if name not in STANDARD)
    assert {name: offered[name] for name in STANDARD} == {"profile": "quick", "device": "auto", "seed": 0}


def test_notebook_and_check_reach_the_same_verdicts(chapter):
    shown = read_verdicts(nbformat.read(chapter.notebook, as_version=4))
    params = chapter.parameters.resolve(device="cpu")
    try:
        computed = chapter.module.verify(params, chapter.module.run(params))
    except Undecided as reason:
        pytest.fail(f"Undecided left a measurement: {reason}")
    assert computed.summary() == shown.summary()
    assert [verdict.claim for verdict in computed] == [verdict.claim for verdict in shown]


def test_the_last_cell_is_the_one_that_ci_compares(chapter):
    last = nbformat.read(chapter.notebook, as_version=4).cells[-1]
    assert last.source.startswith("# NBVAL_CHECK_OUTPUT")
    assert last.outputs[0].text.count("\n") == len(chapter.claims)


def test_notebooks_write_nothing_to_stderr_and_name_no_folder_of_this_machine(chapter):
    text = chapter.notebook.read_text()
    notebook = nbformat.reads(text, as_version=4)
    errors = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    assert errors == []
    assert not re.search(r"/(home|root|Users|tmp|work)/", text)


def test_every_figure_is_described_and_one_stands_for_the_chapter(chapter):
    notebook = nbformat.read(chapter.notebook, as_version=4)
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(outputs) >= 2
    assert all(len(o["metadata"]["image/png"]["alt"]) > 30 for o in outputs)
    assert read_figure(notebook, "glance") is not None


def executed_here(chapter, folder):
    failures = []
    execution.execute_many([chapter], folder, jobs=1, report=lambda _, __, error: failures.append(error))
    assert failures == [None]
    return (folder / chapter.notebook.name).read_bytes()


def test_executing_again_gives_the_same_bytes(chapter, tmp_path):
    """Against the committed file if it comes from a machine like this one, else against a second execution."""
    built = chapter.root / "_build" / "executed" / chapter.notebook.name
    current = not execution.staleness(built, chapter.source, chapter.root)
    first = built.read_bytes() if current else executed_here(chapter, tmp_path / "first")
    if first != chapter.notebook.read_bytes():
        assert executed_here(chapter, tmp_path / "second") == first


def test_records_hold_the_paper_profile(root):
    for record in sorted((root / "records").glob("*.ipynb")):
        chapter = find(record.stem, root)
        notebook = nbformat.read(record, as_version=4)
        assert notebook.metadata["companion"]["provenance"]["parameters"]["profile"] == "paper"
        assert unsound(chapter, read_verdicts(notebook)) == []
        assert f"records/{record.stem}" in (root / "_toc.yml").read_text()
