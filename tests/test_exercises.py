"""The exercises of every chapter: the commands print what the pages say."""

import os
import shlex

import pytest
from typer.testing import CliRunner

from companion.catalogue import chapters, find
from companion.cli import app
from companion.mutants import chapter_stamp, recorded
from companion.sphinx.exercises import expected_outputs

CASES = [
    pytest.param(chapter.slug, expected, id=f"{chapter.slug}-{number}")
    for chapter in chapters()
    for number, expected in enumerate(expected_outputs(chapter.page), 1)
]


@pytest.mark.parametrize(("slug", "expected"), CASES)
def test_the_command_prints_what_the_page_says(slug, expected, root):
    stamp = recorded(root).get(slug, {}).get("stamp")
    if stamp == chapter_stamp(slug, root) and not os.environ.get("COMPANION_ALL"):
        pytest.skip("the code is the one that was recorded; COMPANION_ALL=1 runs this all the same")
    program, *arguments = shlex.split(expected.command)
    assert program == "companion"
    assert find(slug, root).slug in arguments, "an exercise is about its own chapter"
    assert expected.lines, "nothing is expected"
    done = CliRunner().invoke(app, arguments, env={"CUDA_VISIBLE_DEVICES": ""})
    assert done.exit_code in (0, 1), done.output
    assert expected.missing(done.output) == [], done.output
