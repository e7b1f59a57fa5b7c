import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import typer

from companion import catalogue, mutants
from companion.mutants import Bench, Mutant, chapter_stamp, read_mutants, recorded

PACKAGE = "companion/chapters/little"

# A chapter as far as mutants are concerned: parameters, run, verify, a module below, tests. Its one claim sees
# `double`, its test `halve`, the test of the layer `triple`, and nobody looks at `shift`.
FILES = {
    f"{PACKAGE}/__init__.py": "from companion.chapters.little.claims import Parameters, run, verify\n",
    f"{PACKAGE}/arithmetic.py": """\
        def double(x):
            return 2 * x

        def halve(x):
            return x / 2

        def shift(x):
            return x + 1
    """,
    f"{PACKAGE}/claims.py": """\
        from companion.analysis.tripling import triple
        from companion.chapters.little.arithmetic import double

        class Parameters:
            @classmethod
            def resolve(cls, seed, device):
                return cls()

        class Verdict:
            claim = "C1"

            def __init__(self, sound):
                self.sound = sound

            def summary(self):
                return f"{self.claim} {'' if self.sound else 'not '}reproduced, control refuted"

        def run(params):
            return double(4), triple(0)

        def verify(params, results):
            return [Verdict(results == (8, 0))]
    """,
    f"{PACKAGE}/figures.py": "COLOURS = {}\n",
    "companion/analysis/tripling.py": "def triple(x):\n    return 3 * x\n",
    "tests/chapters/test_little.py": """\
        from companion.chapters.little.arithmetic import double, halve

        def test_doubling():
            assert double(1) == 2

        def test_halving():
            assert halve(4) == 2
    """,
    "tests/analysis/test_tripling.py": """\
        from companion.analysis.tripling import triple

        def test_tripling():
            assert triple(2) == 6
    """,
    "notebooks/little.py": "",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--import-mode=importlib'\n",
    "_toc.yml": "parts: [{caption: Orders, chapters: [{file: book/little, sections: [{file: notebooks/little}]}]}]\n",
}

DOUBLE = Mutant(f"{PACKAGE}/arithmetic.py", "2 * x", "3 * x", "doubling")
RAISING = Mutant(f"{PACKAGE}/arithmetic.py", "return 2 * x", "return 2 * y", "a name")
HALVE = Mutant(f"{PACKAGE}/arithmetic.py", "x / 2", "x / 3", "halving")
TRIPLE = Mutant("companion/analysis/tripling.py", "3 * x", "4 * x", "tripling")
SHIFT = Mutant(f"{PACKAGE}/arithmetic.py", "x + 1", "x + 2", "shifting")
STALE = Mutant(f"{PACKAGE}/arithmetic.py", "x ** 2", "x ** 3", "squaring")


def list_mutants(root: Path, *listed: Mutant) -> None:
    entries = (
        "[[mutant]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in vars(m).items()) for m in listed
    )
    (root / "tests" / "mutants" / "little.toml").write_text("\n".join(entries))


@pytest.fixture(scope="module")
def _template(tmp_path_factory, root):
    book = tmp_path_factory.mktemp("mutants") / "book"
    left_out = shutil.ignore_patterns(
        "__pycache__", "*.npz", *(p.name for p in (root / "companion/chapters").glob("*/"))
    )
    shutil.copytree(root / "companion", book / "companion", ignore=left_out)
    for name, text in FILES.items():
        (book / name).parent.mkdir(parents=True, exist_ok=True)
        (book / name).write_text(textwrap.dedent(text))
    (book / "tests" / "mutants").mkdir()
    subprocess.run(["git", "init", "-q", book], check=True)
    return book


@pytest.fixture
def book(_template, tmp_path, monkeypatch):
    """A repository with one little chapter, which the command takes for its own."""
    copy = Path(shutil.copytree(_template, tmp_path / "book"))
    monkeypatch.setenv("COMPANION_ROOT", str(copy))
    monkeypatch.setattr(mutants, "FEWEST", 1)
    monkeypatch.setattr(mutants.signal, "signal", lambda *_: None)
    return copy


def command(**options) -> tuple[int, list[str]]:
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(typer.Exit) as ended:
        mutants.main(**{"jobs": 1} | options)
    return ended.value.exit_code, said.getvalue().splitlines()


def test_each_mutant_is_credited_to_who_noticed_it_first_and_one_that_nobody_notices_fails(book):
    list_mutants(book, DOUBLE, RAISING, HALVE, TRIPLE, SHIFT, STALE)
    before = (book / DOUBLE.file).read_bytes()
    code, said = command(slugs=["little"])
    assert sorted(said[:-1]) == [
        "little 6 (squaring): the old text is gone from companion/chapters/little/arithmetic.py: INVALID",
        "little, arithmetic.py, a name: killed by claims: NameError: name 'y' is not defined",
        "little, arithmetic.py, doubling: killed by claims: C1",
        "little, arithmetic.py, halving: killed by tests: tests/chapters/test_little.py::test_halving",
        "little, arithmetic.py, shifting: SURVIVED",
        "little, tripling.py, tripling: killed by tests: tests/analysis/test_tripling.py::test_tripling",
    ]
    assert said[-1] == "5 mutants: 2 killed by claims, 2 by tests, 0 by time, 1 survived; 1 invalid"
    assert code == 1
    assert recorded(book) == {}
    assert (book / DOUBLE.file).read_bytes() == before


def test_noticed_mutants_are_recorded_and_not_planted_again_until_something_changes(book):
    list_mutants(book, DOUBLE, HALVE)
    (book / mutants.CHECKED).write_text('{"zebra": {}, "little": {"stamp": "old"}}')
    assert command(slugs=[], changed=True, record=False)[0] == 0
    assert recorded(book)["little"] == {"stamp": "old"}
    assert command(changed=True)[0] == 0
    counts = {"planted": 2, "claims": 1, "tests": 1, "time": 0}
    assert recorded(book) == {"little": {"stamp": chapter_stamp("little", book), "mutants": counts}, "zebra": {}}
    assert list(recorded(book)) == ["little", "zebra"]
    assert command(changed=True) == (0, ["0 mutants: no chapter changed since its own were recorded"])


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        (f"{PACKAGE}/arithmetic.py", True),
        (f"{PACKAGE}/claims.py", True),
        ("companion/analysis/tripling.py", True),
        ("tests/chapters/test_little.py", True),
        ("tests/mutants/little.toml", True),
        (f"{PACKAGE}/figures.py", False),
        ("companion/analysis/rates.py", False),
        ("companion/claims.py", False),
        ("tests/analysis/test_tripling.py", False),
    ],
)
def test_the_stamp_is_of_the_chapter_what_it_builds_on_its_test_and_its_mutants(book, file, counts):
    list_mutants(book, DOUBLE)
    before = chapter_stamp("little", book)
    (book / file).write_text((book / file).read_text() + "\nword = 1\n")
    assert (chapter_stamp("little", book) != before) == counts


def test_a_comment_in_the_code_leaves_the_stamp_and_another_answer_of_an_exercise_does_not(book):
    list_mutants(book, DOUBLE)
    before = chapter_stamp("little", book)
    code, page = book / PACKAGE / "arithmetic.py", book / "book" / "little.md"
    code.write_text(code.read_text() + "\n# a word\n")
    assert chapter_stamp("little", book) == before
    page.parent.mkdir(exist_ok=True)
    page.write_text("# Little\n\n```{expected} companion check little\nC1 reproduced, control refuted\n```\n")
    assert chapter_stamp("little", book) != before


def test_a_chapter_that_fails_without_a_mutant_proves_nothing(book):
    list_mutants(book, DOUBLE, HALVE)
    test = book / "tests" / "chapters" / "test_little.py"
    test.write_text(test.read_text() + "\ndef test_wrong():\n    assert False\n")
    code, said = command()
    assert said[0] == "little, no mutant planted: tests: tests/chapters/test_little.py::test_wrong: INVALID"
    assert said[-1].startswith("0 mutants")
    assert code == 1


def test_before_a_chapter_is_recorded_its_extremes_and_its_answers_are_tried_and_a_drafts_need_not(book):
    list_mutants(book, DOUBLE)
    (book / "book").mkdir()
    (book / "book" / "little.md").write_text("# Little\n\n```{expected} companion check little\nC1 reproduced\n```\n")
    for test, name in (mutants.EXTREMES.split("::"), mutants.ANSWERS.split("::")):
        cases = "little-1" if "exercises" in test else "little"
        (book / test).write_text(
            f"import pytest\n@pytest.mark.parametrize('case', [{cases!r}])\n"
            f"def {name}(case): assert not __file__.endswith('exercises.py')\n"
        )
    code, said = command()
    assert (code, said[0]) == (
        1,
        f"little, no mutant planted: tests: {mutants.ANSWERS}[little-1]: INVALID",
    )
    (book / "_toc.yml").write_text("parts: []\n")
    code, said = command(slugs=["little"])
    assert (code, said[0]) == (0, "little, arithmetic.py, doubling: killed by claims: C1")
    assert recorded(book) == {}


def test_the_tests_that_a_recorded_chapter_is_spared_exist(root):
    for test in (mutants.EXTREMES, mutants.ANSWERS):
        file, name = test.split("::")
        assert f"def {name}(" in (root / file).read_text()


def test_a_mutant_that_runs_for_ever_is_ended_and_the_copy_is_mended(book, tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "PATIENCE", 3.0)
    bench = Bench(book, tmp_path / "scratch", 1, ["little"])
    endless = Mutant(DOUBLE.file, "return 2 * x", "while True: pass", "an end")
    outcome = bench.examine("little", [], endless, {"lines": {}, "seconds": 0})
    assert outcome == {"by": "time", "how": "more than 3 s"}
    assert (bench.desks.get() / DOUBLE.file).read_text() == (book / DOUBLE.file).read_text()
    assert not bench.running


def test_a_claim_that_is_no_longer_judged_as_before_counts_as_noticed(book, monkeypatch):
    monkeypatch.setattr(mutants, "judge_run", lambda *_: [Judged("C1", True), Judged("C3", True)])
    monkeypatch.setattr(mutants.catalogue, "find", lambda _: Judged)
    before = {"C1": "C1 undecided", "C2": "C2 fine", "C3": "C3 fine"}
    assert mutants.examine("little", [], before) == {"by": "claims", "how": "C1, C2"}


class Judged:
    def __init__(self, claim, sound):
        self.claim, self.sound = claim, sound

    def summary(self):
        return f"{self.claim} fine"

    class parameters:
        resolve = dict


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"file": "companion/chapters/little/absent.py"}, "there is no companion/chapters/little/absent.py"),
        ({"file": f"{PACKAGE}/figures.py"}, f"{PACKAGE}/figures.py is not behind the chapter's claims"),
        ({"file": "companion/claims.py"}, "companion/claims.py is not behind the chapter's claims"),
        ({"old": "4 * x"}, f"the old text is gone from {DOUBLE.file}"),
        ({"old": "return"}, f"the old text occurs 3 times in {DOUBLE.file}"),
        ({"new": "2 * x"}, "old and new are the same"),
        ({"new": "2 *"}, "the new text does not compile: invalid syntax (arithmetic.py, line 2)"),
        ({"new": "2 * x  # twice"}, "it changes no code"),
    ],
)
def test_a_mutant_that_cannot_be_planted_is_told_in_one_line(book, change, fault):
    list_mutants(book, Mutant(**vars(DOUBLE) | change))
    code, said = command(check=True)
    assert code == 1
    assert [line.removeprefix("little 1 (doubling): ").replace("<unknown>", "") for line in said] == [fault]


def test_lists_that_are_absent_broken_short_or_twofold_are_told_in_one_line_each(book, monkeypatch):
    path = "tests/mutants/little.toml"
    assert read_mutants("little", book) == ([], [f"little: {path} cannot be read: No such file or directory"])
    (book / path).write_text("[[mutant")
    ((_, (fault,)),) = [read_mutants("little", book)]
    assert fault.startswith(f"little: {path} cannot be read: ")
    (book / path).write_text('[[mutant]]\nfile = "x"\n')
    assert read_mutants("little", book)[1] == ["little 1 (?): a mutant has file, old, new and breaks, this one file"]
    monkeypatch.setattr(mutants, "FEWEST", 8)
    list_mutants(book, DOUBLE, DOUBLE)
    assert read_mutants("little", book) == (
        [DOUBLE],
        ["little: 2 mutants, at least 8 are wanted", "little 2 (doubling): it is listed twice"],
    )


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_it_started_ends_with_it_and_an_interrupt_leaves_nothing_behind(book, tmp_path, how):
    list_mutants(book, DOUBLE)
    note, scratch = tmp_path / "pid", tmp_path / "scratch"
    scratch.mkdir()
    claims = book / PACKAGE / "claims.py"
    waiting = f"import os, pathlib, time\npathlib.Path({str(note)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    claims.write_text(waiting + claims.read_text())
    env = os.environ | {"PYTHONPATH": str(book), "TMPDIR": str(scratch)}
    hunting = subprocess.Popen(
        [sys.executable, "-m", "companion.mutants", "--jobs", "1"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert until(lambda: note.is_file() and note.read_text())
        pid = int(note.read_text())
        assert running(pid)
        hunting.send_signal(how)
        _, errors = hunting.communicate(timeout=60)
        assert until(lambda: not running(pid))
    finally:
        hunting.kill()
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(int(note.read_text()), signal.SIGKILL)
    if how != signal.SIGKILL:
        assert (hunting.returncode, errors) == (130, b"mutants: interrupted\n")
        assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("slug", [chapter.slug for chapter in catalogue.chapters()])
def test_every_chapters_mutants_can_be_planted(slug, root):
    assert read_mutants(slug, root)[1] == []


def test_every_list_and_every_record_belongs_to_a_chapter(root):
    known = {chapter.slug for chapter in [*catalogue.chapters(root), *catalogue.drafts(root)]}
    assert {path.stem for path in (root / "tests" / "mutants").glob("*.toml")} | recorded(root).keys() <= known
