import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from typer.testing import CliRunner

from companion import cli
from companion.catalogue import Chapter, chapters


def run(*arguments, root):
    command = [sys.executable, "-m", "companion.cli", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)


def test_list_and_show_tell_the_chapters_claims_and_parameters(root):
    # In this process, which imports what all chapters share once.
    program = CliRunner()
    listed = program.invoke(cli.app, ["list"]).stdout
    for chapter in chapters(root):
        assert chapter.slug in listed
        assert chapter.paper.title in listed
        shown = program.invoke(cli.app, ["show", chapter.slug]).stdout
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
        (["run", "demo-chapter", "--out", "/dev/null/nowhere"], "out: cannot write to /dev/null/nowhere"),
        (["execute", "--into", "/dev/null/nowhere"], "out: cannot write to /dev/null/nowhere"),
        (["figure", "demo-chapter", "--profile", "pape"], "profile: got 'pape', allowed: quick, paper"),
        (
            ["figure", "demo-chapter", "--out", "glance.svg"],
            "out: got 'glance.svg', allowed: a folder that",
        ),
        (["figure", "demo-chapter"], "demo-chapter: there is no record at 'quick'"),
        (["check", "demo-chapter", "--record"], "--record: allowed with several seeds"),
        (["runs"], "No such command 'runs'. Did you mean 'run'?"),
        (["run"], "Missing argument 'slug'. (`companion run --help`"),
        (["run", "demo-chapter", "--sede", "3"], "No such option: --sede"),
        (["new", "class"], "slug: got 'class', which is a word or a module of Python's"),
        (["new", "statistics"], "slug: got 'statistics', which is a word or a module of Python's"),
        (["new", "torch"], "slug: got 'torch', which is a word or a module of Python's"),
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
    tiny_book.edit(tiny_book.package / "claims.py", "abs(mean) < 1", "abs(mean) > 1")
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
    assert "C1       reproduced  3/3      3/3" in text
    found = json.loads(tiny_book.companion("check", "demo-chapter", "--seeds", "5,9", "--json").stdout)
    assert [verdicts["seed"] for verdicts in found["demo-chapter"]] == [5, 9]


def test_check_and_notebook_reach_the_same_verdicts(executed_book):
    from companion.execution import read_verdicts

    notebook = nbformat.read(executed_book.root / "notebooks" / "demo-chapter.ipynb", as_version=4)
    (checked,) = json.loads(executed_book.companion("check", "demo-chapter", "--json").stdout)["demo-chapter"]
    assert read_verdicts(notebook).as_dict() == checked


def test_a_missing_data_file_and_a_corrupted_one_each_give_one_line(tiny_book):
    load = "    from companion.data import load_dataset\n\n    load_dataset('mnist')\n"
    tiny_book.edit(tiny_book.experiments, "    noise = random_numbers", load + "    noise = random_numbers")
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


def test_an_error_of_the_program_has_a_code_of_its_own_and_shows_its_place_on_request(tiny_book):
    tiny_book.edit(tiny_book.package / "__init__.py", '"""', 'raise RuntimeError("a\\nbug")\n"""')
    for arguments in (["list"], ["show", "demo-chapter"], ["check", "demo-chapter"], ["run", "demo-chapter"]):
        done = tiny_book.companion(*arguments)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr == "companion: the program failed: RuntimeError: a bug (--traceback shows where)\n"
    shown_by_option = tiny_book.companion("show", "--traceback", "demo-chapter")
    for shown in (shown_by_option, tiny_book.companion("list", COMPANION_TRACEBACK="1")):
        assert shown.returncode == 4
        assert "__init__.py" in shown.stderr
        assert "Traceback" in shown.stderr


def test_a_file_of_the_book_that_does_not_parse_is_named_with_its_line(tiny_book):
    tiny_book.edit(tiny_book.experiments, "def run(", "def run run(")
    done = tiny_book.companion("check", "demo-chapter")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert done.stderr.startswith("companion: experiments.py, line ")
    tiny_book.edit(tiny_book.experiments, "def run run(", "def run(")
    tiny_book.edit(tiny_book.lab, "params = Parameters", "params == = Parameters")
    done = tiny_book.companion("run", "demo-chapter", "--out", "o")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("companion: demo-chapter.py, line ")


def test_a_run_that_fails_does_not_take_the_others_along(tiny_book):
    fail = "    if params.seed == 1:\n        raise ZeroDivisionError('seed\\none')\n"
    tiny_book.edit(tiny_book.experiments, "    noise = random", fail + "    noise = random")
    done = tiny_book.companion("check", "demo-chapter", "--seeds", "0:3", "--record")
    assert done.returncode == 3
    assert done.stderr == "companion: demo-chapter, seed 1: ZeroDivisionError: seed one\n"
    assert "reproduced  2/2" in done.stdout
    assert not (tiny_book.root / "book" / "seeds.json").exists()
    shown = tiny_book.companion("check", "demo-chapter", "--seeds", "1", "--traceback").stderr
    assert "raise ZeroDivisionError" in shown


def test_a_reader_that_has_seen_enough_is_no_error(tiny_book):
    env = os.environ | {"PYTHONPATH": str(tiny_book.root), "COMPANION_ROOT": str(tiny_book.root)}
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "companion.cli", "list"]
    done = subprocess.run(command, cwd=tiny_book.root, env=env, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_scratch_paper_among_the_labs_is_no_chapter(tiny_book):
    (tiny_book.lab.parent / "scratch.py").write_text("def (")
    (tiny_book.lab.parent / "Untitled 1.py").write_text("")
    assert "drafts" not in tiny_book.companion("list").stdout
    done = tiny_book.companion("check", "scratch")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("companion: scratch: no such chapter")


def test_text_is_utf8_whatever_the_locale(tiny_book):
    """Under a locale that knows only ASCII."""
    tiny_book.edit(tiny_book.package / "parameters.py", "Title of the paper", "Théorème de Łojasiewicz, β ≤ ½")
    tiny_book.edit(tiny_book.lab, "What to see in it.", "β ≤ ½")
    tiny_book.edit(tiny_book.package / "claims.py", "that can be false.", "that can be false: β ≤ ½.")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}

    def command(*arguments):
        done = tiny_book.companion(*arguments, **ascii_only)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    assert "Łojasiewicz" in command("list")
    command("execute")
    assert "β ≤ ½" in (tiny_book.root / "notebooks" / "demo-chapter.ipynb").read_text(encoding="utf-8")
    assert "β ≤ ½" in command("ledger")
    command("check", "demo-chapter", "--seeds", "0:2", "--record")
    command("new", "another")


def test_the_code_that_runs_must_be_the_books(tiny_book, tmp_path):
    other = shutil.copytree(tiny_book.root, tmp_path / "other")

    def companion(*arguments):
        """The program of the one book, called in the other."""
        env = {name: value for name, value in os.environ.items() if name != "COMPANION_ROOT"}
        env["PYTHONPATH"] = str(tiny_book.root)
        command = [sys.executable, "-m", "companion.cli", *arguments]
        return subprocess.run(command, cwd=other, env=env | {"PYTHONSAFEPATH": "1"}, capture_output=True, text=True)

    assert companion("check", "demo-chapter").returncode == 0  # they are the same
    path = other / "companion" / "chapters" / "demo_chapter" / "claims.py"
    path.write_text(path.read_text().replace("abs(mean) < 1", "abs(mean) > 1"))
    for arguments in (["check", "demo-chapter"], ["execute"], ["list"]):
        refused = companion(*arguments)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
        assert f"the book is {other}, but this program is that of {tiny_book.root}," in refused.stderr
    assert not (other / "notebooks" / "demo-chapter.ipynb").exists()


def test_check_and_kernel_share_results_and_fresh_computes_anew(tiny_book):
    tiny_book.edit(tiny_book.experiments, "    noise = random", "    print('computed')\n    noise = random")
    environment = {"OMP_NUM_THREADS": "2"}  # whatever the user has set: at quick it is one thread
    assert tiny_book.companion("execute", **environment).returncode == 0
    assert "computed" not in tiny_book.companion("check", "demo-chapter").stdout
    assert "computed" in tiny_book.companion("check", "demo-chapter", "--fresh").stdout
    listed = tiny_book.companion("results").stdout
    assert "demo_chapter.experiments.comparison  1 " in listed
    assert tiny_book.companion("results", "--clear").stdout.startswith("forgot 1 results")
    assert tiny_book.companion("results").stdout == "no results are kept\n"
    assert "computed" in tiny_book.companion("check", "demo-chapter").stdout


def test_nothing_numerical_is_loaded_before_the_number_of_threads_is_set():
    """The libraries read it as they are loaded."""
    code = "import sys, companion.cli; print({'numpy', 'torch', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_fresh_seeds_are_recorded_on_request_and_read_by_the_ledger(tiny_book):
    from companion.ledger import read_seeds

    seeds = ["check", "demo-chapter", "--seeds", "1000:1003"]
    assert tiny_book.companion(*seeds).returncode == 0
    path = tiny_book.root / "book" / "seeds.json"
    assert not path.exists()
    path.write_text('{"zzz": {"seeds": "1:3"}}')
    assert tiny_book.companion(*seeds, "--record").returncode == 0
    entries = json.loads(path.read_text())
    assert list(entries) == ["demo-chapter", "zzz"]  # in the book's order, others last and untouched
    assert entries["zzz"] == {"seeds": "1:3"}
    entry = entries["demo-chapter"]
    assert (entry["seeds"], entry["claims"], entry["controls"]) == ("1000:1003", {"C1": [3, 3]}, {"C1": [3, 3]})
    chapter = Chapter("demo-chapter", "Orders and rates", tiny_book.root)
    assert read_seeds(chapter).current
    tiny_book.edit(tiny_book.package / "claims.py", "abs(mean) < 1", "abs(mean) < 2")
    assert not read_seeds(chapter).current
    path.write_text("[")
    assert "book/seeds.json: cannot be read" in tiny_book.companion(*seeds, "--record").stderr


def test_show_prints_the_cell_of_parameters_for_a_lab(tiny_book):
    cell = tiny_book.companion("show", "demo-chapter", "--cell").stdout
    assert cell in tiny_book.lab.read_text()


def test_a_chapter_is_not_scaffolded_where_nothing_can_be_written(tiny_book):
    (tiny_book.root / "tests" / "mutants").rename(tiny_book.root / "elsewhere")
    (tiny_book.root / "tests" / "mutants").write_text("in the way")
    done = tiny_book.companion("new", "another")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot write to" in done.stderr
    assert not list(tiny_book.root.rglob("another.*"))


def test_a_figure_goes_into_a_folder_under_its_own_name(executed_book):
    done = executed_book.companion("figure", "demo-chapter", "--out", "book")
    assert (done.returncode, done.stdout) == (0, "book/demo-chapter-glance.png\n")
    assert (executed_book.root / "book" / "demo-chapter-glance.png").read_bytes().startswith(b"\x89PNG")
