import sys
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.parameters import ParameterError, Parameters, parameter


class Demo(Parameters):
    n: int = parameter("components, n", quick=256, paper=4096, ge=8, multiple_of=4)
    kappa: float = parameter("condition number, κ", quick=16.0, paper=64.0, ge=8)
    ratios: list[Annotated[float, pydantic.Field(gt=0, lt=1)]] = parameter("pruning ratios", quick=[0.5], min_length=1)
    order: Literal["blocked", "random"] = parameter("order of visits", quick="blocked")
    early: int = parameter("early epochs", quick=15, ge=1)
    window: int = parameter("window", quick=10, ge=1)
    limit: float | None = parameter("limit, or none", quick=None, gt=0)

    @pydantic.model_validator(mode="after")
    def _window_fits(self):
        if self.window > self.early:
            raise ValueError(f"window: got {self.window}, allowed: at most early = {self.early}")
        return self


def test_none_keeps_the_profiles_value():
    assert Demo.resolve(profile="quick", device="cpu", n=None).n == 256
    assert Demo.resolve(profile="paper", device="cpu", n=None).n == 4096


def test_a_given_value_overrides_either_profile():
    assert Demo.resolve(profile="paper", device="cpu", n=16).overrides() == {"n": 16}


def test_a_whole_number_is_a_valid_float():
    assert Demo.resolve(device="cpu", kappa=32).kappa == 32.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 7}, "n: got 7, allowed: an integer of at least 8, a multiple of 4"),
        ({"n": "many"}, "n: got 'many', allowed: an integer of at least 8, a multiple of 4"),
        ({"n": 16.5}, "n: got 16.5, allowed: an integer of at least 8, a multiple of 4"),
        ({"n": True}, "n: got True, allowed: an integer of at least 8, a multiple of 4"),
        ({"kappa": float("nan")}, "kappa: got nan, allowed: a number of at least 8"),
        ({"kappa": float("inf")}, "kappa: got inf, allowed: a number of at least 8"),
        ({"ratios": [0.5, 2]}, "ratios: got 2 in it, allowed: a list of 1 or more, each a number above 0 and below 1"),
        ({"ratios": []}, "ratios: got [], allowed: a list of 1 or more, each a number above 0 and below 1"),
        ({"order": "sorted"}, "order: got 'sorted', allowed: blocked, random"),
        ({"limit": -1.0}, "limit: got -1.0, allowed: a number above 0 or none"),
        ({"seed": -1}, "seed: got -1, allowed: an integer from 0 to 2147483647"),
        ({"profile": "huge"}, "profile: got 'huge', allowed: quick, paper"),
        ({"window": 20}, "window: got 20, allowed: at most early = 15"),
    ],
)
def test_a_wrong_value_gives_one_line_with_name_value_and_range(given, message):
    with pytest.raises(ParameterError) as error:
        Demo.resolve(**({"device": "cpu"} | given))
    assert str(error.value) == message


def test_an_unknown_name_gives_the_nearest_one():
    with pytest.raises(ParameterError, match=r"^kapa: no such parameter \(did you mean kappa\?\), allowed: profile, "):
        Demo.resolve(kapa=3)


@pytest.fixture
def machine(monkeypatch):
    """A machine of which only torch knows whether it has a GPU, as on Windows, and what torch says there."""
    import torch

    def says(answer):
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: answer)

    return says


def test_cuda_is_refused_where_there_is_none(machine):
    machine(False)
    with pytest.raises(ParameterError, match="device: got 'cuda', but this machine has no CUDA device"):
        Demo.resolve(device="cuda")
    assert Demo.resolve(device="auto").device == "cpu"


def test_auto_takes_cuda_where_there_is_one(machine):
    machine(True)
    assert Demo.resolve(device="auto").device == "cuda"


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_torch_is_not_asked_where_no_driver_is(machine, monkeypatch, platform):
    machine(True)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "glob", lambda self, name: iter(()))
    assert Demo.resolve(device="auto").device == "cpu"
    monkeypatch.setattr(Path, "glob", lambda self, name: iter([self / "nvidia0"] if name == "nvidia*" else ()))
    assert Demo.resolve(device="auto").device == ("cuda" if platform == "linux" else "cpu")


def test_parameters_cannot_be_changed_after_the_check():
    with pytest.raises(pydantic.ValidationError):
        Demo.resolve(device="cpu").n = 3


def test_the_table_says_everything_a_reader_needs():
    row = next(row for row in Demo.table() if row["name"] == "n")
    assert row == {
        "name": "n",
        "type": "int",
        "allowed": "an integer of at least 8, a multiple of 4",
        "quick": 256,
        "paper": 4096,
        "default": 256,
        "description": "components, n",
    }


@given(st.integers(2, 10**6))
def test_every_value_in_range_is_accepted(k):
    assert Demo.resolve(device="cpu", n=4 * k).n == 4 * k


def test_a_labs_names_become_its_parameters():
    names = {"profile": "quick", "device": "cpu", "seed": 3, "other": object()}
    names |= dict.fromkeys(Demo.model_fields.keys() - names.keys())
    assert Demo.of(names) == Demo.resolve(device="cpu", seed=3)
    assert Demo.of(names | {"n": 16}).n == 16


def test_a_lab_that_lacks_a_parameter_is_told_which():
    with pytest.raises(ParameterError, match="n: not named in the cell of parameters"):
        Demo.of({name: None for name in Demo.model_fields if name != "n"})


def test_the_cell_of_a_lab_offers_every_parameter_with_what_is_allowed():
    offered: dict = {}
    exec(Demo.cell(), offered)
    assert Demo.of(offered) == Demo.resolve()
    assert "n = None  # components, n: an integer of at least 8, a multiple of 4" in Demo.cell().splitlines()
    assert Demo.cell().splitlines()[0].startswith('profile = "quick"  # scale')


def test_what_does_not_fit_beside_a_parameter_stands_above_it():
    class Wordy(Parameters):
        n: int = parameter("number of " + "very " * 30 + "small things, n", quick=1, ge=1)

    lines = Wordy.cell().splitlines()
    assert lines[-3:-1] == [line for line in lines if line.startswith("# ")]
    assert lines[-1] == "n = None"
    assert max(map(len, lines)) <= 120


def test_settled_values_show_as_a_table_that_escapes_what_it_shows():
    shown = Demo.resolve(device="cpu")._repr_html_()
    assert "<th>n</th><td>256</td>" in shown
    assert shown.count("<th>") == len(Demo.model_fields)
    assert "&#x27;cpu&#x27;" in shown
