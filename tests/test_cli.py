import json
import subprocess
import sys

import nbformat
import pytest

from companion.catalogue import chapters


def run(*arguments, root):
    command = [sys.executable, "-m", "companion.cli", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)


def test_list_and_show_tell_the_chapters_claims_and_parameters(root):
    listed = run("list", root=root)
    for chapter in chapters(root):
        assert chapter.slug in listed.stdout
        assert chapter.paper.title in listed.stdout
        shown = run("show", chapter.slug, root=root).stdout
        assert all(claim.id in shown and claim.says in shown for claim in chapter.claims)
        assert all(row["name"] in shown and row["allowed"] in shown for row in chapter.parameters.table())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "no-such-chapter"], "no-such-chapter: no such chapter"),
        (["show", "no-such-chapter"], "no-such-chapter: no such chapter"),
        (["run", "demo-chapter", "-p", "sample=3"], "sample: no such parameter (did you mean samples?)"),
        (["run", "demo-chapter", "-p", "samples=many"], "samples: got 'many', allowed: an integer from 10 to"),
        (["run", "demo-chapter", "-p", "samples=1"], "samples: got 1, allowed: an integer from 10 to"),
        (["run", "demo-chapter", "-p", "samples"], "-p: got 'samples', allowed: NAME=VALUE"),
        (["run", "demo-chapter", "--profile", "huge"], "profile: got 'huge', allowed: quick, paper"),
        (["run", "demo-chapter", "--device", "cuda"], "device: got 'cuda', but this machine has no CUDA device"),
        (["run", "demo-chapter", "--out", "/proc/nowhere"], "out: cannot write to /proc/nowhere"),
        (["check", "demo-chapter", "--seeds", "a:b"], "--seeds: got 'a:b', allowed"),
        (["check", "demo-chapter", "-p", "samples=1"], "samples: got 1, allowed"),
        (["check"], "check: give one chapter, or --all"),
        (["new", "Demo_Chapter"], "slug: got 'Demo_Chapter', allowed: lower-case words"),
        (["new", "demo-chapter"], "slug: got 'demo-chapter', which exists"),
        (["new", "other", "--part", "Cooking"], "part: got 'Cooking', allowed: Implicit bias"),
    ],
)
def test_bad_input_gives_one_clear_line_exit_code_2_and_no_file(tiny_book, arguments, message):
    before = sorted(tiny_book.root.rglob("*"))
    done = tiny_book.companion(*arguments, PYTHONDONTWRITEBYTECODE="1", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr.startswith(f"companion: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert [path for path in sorted(tiny_book.root.rglob("*")) if path not in before] == []


def test_exit_codes_tell_whether_every_claim_holds(tiny_book):
    sound = tiny_book.companion("run", "demo-chapter", "--out", "o")
    assert sound.returncode == 0, sound.stderr
    assert "1 of 1 claims hold for their stance, 1 of 1 controls refuted" in sound.stdout
    assert tiny_book.companion("check", "demo-chapter").returncode == 0
    tiny_book.edit(tiny_book.module, "abs(mean) < 1", "abs(mean) > 1")
    assert tiny_book.companion("run", "demo-chapter", "--out", "o").returncode == 1
    assert tiny_book.companion("check", "demo-chapter").returncode == 1


def test_run_names_its_file_after_what_was_changed(tiny_book):
    for arguments in ([], ["-p", "seed=4"], ["-p", "samples=50"]):
        assert tiny_book.companion("run", "demo-chapter", "--out", "o", *arguments).returncode == 0
    names = sorted(path.name for path in (tiny_book.root / "o").iterdir())
    assert names[1:] == ["demo-chapter-seed4.ipynb", "demo-chapter.ipynb"]
    assert names[0].startswith("demo-chapter-")


def test_plain_papermill_runs_a_committed_notebook(executed_book):
    import os

    command = [sys.executable, "-m", "papermill", "notebooks/demo-chapter.ipynb", "out.ipynb", "-p", "samples", "30"]
    env = os.environ | {"PYTHONPATH": str(executed_book.root)}
    done = subprocess.run(command, cwd=executed_book.root, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "samples = 30" in str(nbformat.read(executed_book.root / "out.ipynb", as_version=4))


def test_check_gives_pass_rates_over_seeds_and_json(tiny_book):
    text = tiny_book.companion("check", "demo-chapter", "--seeds", "0:3").stdout
    assert "C1     reproduced  3/3    3/3" in text
    found = json.loads(tiny_book.companion("check", "demo-chapter", "--seeds", "5,9", "--json").stdout)
    assert [verdicts["seed"] for verdicts in found["demo-chapter"]] == [5, 9]


def test_check_and_notebook_reach_the_same_verdicts(executed_book):
    from companion.execution import read_verdicts

    notebook = nbformat.read(executed_book.root / "notebooks" / "demo-chapter.ipynb", as_version=4)
    (checked,) = json.loads(executed_book.companion("check", "demo-chapter", "--json").stdout)["demo-chapter"]
    assert read_verdicts(notebook).as_dict() == checked


def test_a_missing_data_file_and_a_corrupted_one_each_give_one_line(tiny_book):
    load = "    from companion.data import load_dataset\n\n    load_dataset('mnist')\n"
    tiny_book.edit(tiny_book.module, "    rng = np.random", load + "    rng = np.random")
    empty = tiny_book.root / "empty"
    empty.mkdir()
    environment = {"COMPANION_DATA": str(empty), "XDG_CACHE_HOME": str(empty), "COMPANION_DOWNLOAD": "0"}
    for command in (["run", "demo-chapter", "--out", "o"], ["check", "demo-chapter"]):
        missing = tiny_book.companion(*command, **environment)
        assert (missing.returncode, missing.stderr.count("\n")) == (2, 1), missing.stderr
        assert "mnist" in missing.stderr
        assert "COMPANION_DATA" in missing.stderr
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (empty / f"{name}-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x01\x07")
    for command in (["run", "demo-chapter", "--out", "o"], ["check", "demo-chapter"]):
        corrupted = tiny_book.companion(*command, **environment)
        assert (corrupted.returncode, corrupted.stderr.count("\n")) == (2, 1), corrupted.stderr
        assert "expected" in corrupted.stderr
    assert list((tiny_book.root / "o").iterdir()) == []


def test_ledger_counts_by_stance(executed_book):
    ledger = json.loads(executed_book.companion("ledger", "--json").stdout)
    assert ledger["totals"]["claims"] == ledger["totals"]["reproduced"] == ledger["totals"]["controls_refuted"] == 1
    assert ledger["claims"][0]["quick"]["holds"] is True
    assert ledger["claims"][0]["paper"] is None
