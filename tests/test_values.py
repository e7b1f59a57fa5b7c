import os

import pytest

from companion import values
from companion.execution import InputError

JOBS = 2 * (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("64", 64),
        ("-1", -1),
        ("+3", 3),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("5.", 5.0),
        ("[0.5, 0.7]", [0.5, 0.7]),
        ('["digits"]', ["digits"]),
        ("true", True),
        ('"two words"', "two words"),
        ("fashion-mnist", "fashion-mnist"),
        ("yes", "yes"),
        ("None", "None"),
        ("inf", "inf"),
    ],
)
def test_a_value_is_json_a_word_or_a_number(text, meant):
    read = values.value(text, "x")
    assert read == meant
    assert type(read) is type(meant)


AMBIGUOUS = [
    "",
    "0100",
    "1:30",
    "0x10",
    "0o7",
    "1_000",
    "١",
    ".",
    "+",
    "[1,",
    "[a, b]",
    "{a: 1}",
    "two words",
    "~",
    "- 1",
]
HOSTILE = ["9" * 5000, "[" * 100_000, '{"a":' * 50_000, "!!python/object:os.system"]


@pytest.mark.parametrize("text", AMBIGUOUS + HOSTILE)
def test_what_could_be_read_in_two_ways_is_refused_in_one_short_line(text):
    with pytest.raises(InputError) as caught:
        values.value(text, "x")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "allowed: a value in JSON, a word or a number" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["samples"], "-p: got 'samples', allowed: NAME=VALUE"),
        (["=3"], "-p: got '=3', allowed: NAME=VALUE"),
        (["samples="], "samples: got '', allowed"),
        (["n=1", "n=2"], "-p: got 'n' twice"),
        (["profile=paper"], "-p: got 'profile=paper', allowed: --profile paper"),
        (["device=cpu"], "-p: got 'device=cpu', allowed: --device cpu"),
    ],
)
def test_there_is_one_way_to_say_a_thing(given, message):
    with pytest.raises(InputError) as caught:
        values.parse(given)
    assert str(caught.value).startswith(message)


def test_where_seeds_have_an_option_they_are_no_parameter():
    assert values.parse(["seed=3"]) == {"seed": 3}
    with pytest.raises(InputError, match=r"-p: got 'seed=3', allowed: --seeds 3"):
        values.parse(["seed=3"], values.OPTIONS | {"seed": "--seeds"})


@pytest.mark.parametrize(
    ("text", "meant"), [("3", [3]), ("0:3", [0, 1, 2]), (":2", [0, 1]), ("1,5,7", [1, 5, 7]), ("100:102", [100, 101])]
)
def test_seeds(text, meant):
    assert values.seeds(text) == meant


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "allowed: FIRST:END"),
        ("a:b", "allowed: FIRST:END"),
        ("3:3", "allowed: FIRST:END"),
        ("-1", "allowed: FIRST:END"),
        ("1, 2", "allowed: FIRST:END"),
        ("1:2:3", "allowed: FIRST:END"),
        ("1,1", "each seed once"),
        ("0:1000000000000", "1000000000000, allowed: 10000 at a time"),
        (",".join(map(str, range(20_000))), "20000, allowed: 10000 at a time"),
    ],
)
def test_seeds_that_are_none_too_many_or_named_twice_are_refused(text, message):
    with pytest.raises(InputError) as caught:
        values.seeds(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_processes_are_as_many_as_the_machine_can_carry():
    assert values.jobs(1) == 1
    for number in (0, -1, max(4, JOBS) + 1, 10**9):
        with pytest.raises(InputError, match=f"--jobs: got {number}, allowed: 1 to {max(4, JOBS)}"):
            values.jobs(number)
