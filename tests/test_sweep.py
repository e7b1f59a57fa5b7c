import pytest

from companion import sweep as sweeping
from companion.parameters import Parameters
from companion.sweep import grid, sweep


def test_a_grid_is_every_combination():
    assert grid({"n": [8, 16], "seed": [0, 1]}) == [
        {"n": 8, "seed": 0},
        {"n": 8, "seed": 1},
        {"n": 16, "seed": 0},
        {"n": 16, "seed": 1},
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_verdicts_come_in_order_and_do_not_depend_on_the_number_of_processes(monkeypatch, jobs):
    def judge_demo(slug, params):  # local, so that it travels to other processes by value
        from companion.claims import Verdicts

        return Verdicts(slug, params.profile, params.seed, params.device, (), {"square": params.seed**2})

    monkeypatch.setattr(sweeping, "judge_run", judge_demo)
    seeds = [5, 0, 4, 2]
    ended = []
    runs = [("demo", Parameters.resolve(device="cpu", seed=seed)) for seed in seeds]
    verdicts = sweep(runs, jobs=jobs, progress=lambda slug, params: ended.append(params.seed))
    assert [v.quantities["square"] for v in verdicts] == [25, 0, 16, 4]
    assert sorted(ended) == sorted(seeds)
