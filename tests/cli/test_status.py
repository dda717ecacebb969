import json
import os
import socket
import time
from pathlib import Path

import pytest

from equistudy.cli.status import (
    add_pilot_costs,
    find_identity,
    list_failures,
    list_running,
    load_requested_study,
    plan_study,
)
from equistudy.cli.study_reference import StudyReference
from equistudy.results.store import Store
from equistudy.study.file import StudyFileError


def test_a_scale_is_another_design(asked) -> None:
    assert len(load_requested_study(asked).study.design) == 4
    assert len(load_requested_study(asked._replace(scale="large")).study.design) == 9
    with pytest.raises(ValueError, match=r"no scale 'larg'. Did you mean large"):
        load_requested_study(asked._replace(scale="larg"))


def test_a_trial_function_without_return_is_told(write, folder) -> None:
    path = write(("    return eq.Trial", "    eq.Trial"))
    with pytest.raises(StudyFileError, match=r"must return a Trial, got None in .*question.py. Add: return Trial"):
        plan_study(load_requested_study(StudyReference(path, None, folder)), folder)


def test_what_a_trial_function_raises_has_its_place(write, folder) -> None:
    path = write(("eq.ResNet(8, width)", "eq.ResNet(8, width // 0)"))
    with pytest.raises(StudyFileError, match=r"question.py:6: ZeroDivisionError"):
        plan_study(load_requested_study(StudyReference(path, None, folder)), folder)


def sign(folder: str, trial: str, age: float = 1.0, host: str | None = None, pid: int | None = None) -> None:
    where = {"host": host or socket.gethostname(), "pid": pid or os.getpid(), "time": time.time() - age}
    told = {"trial": trial, "phase": "training", "epoch": 1, "epochs": 2, "levels": "width=2", **where}
    Store.open(folder).write_bytes(f"running/{trial}.json", json.dumps(told).encode())


def test_signs_of_life_of_the_study_are_found(made, folder) -> None:
    assert list_running(folder, made()) == []
    first, second, *_ = made().trials
    sign(folder, first.id)
    sign(folder, second.id, host="another", pid=1)
    sign(folder, "t_of_another_study")
    assert {found["trial"] for found in list_running(folder, made())} == {first.id, second.id}


def test_the_dead_give_no_signs(made, folder, finish) -> None:
    old, gone, done, unknown = made().trials
    sign(folder, old.id, age=61.0)
    sign(folder, gone.id, pid=2**22 + 1)  # above the largest process id of Linux
    sign(folder, done.id)
    finish(done.trial, done.levels)
    sign(folder, unknown.id, age=61.0, host="another")
    Store.open(folder).write_bytes("running/half.json", b"")
    assert list_running(folder, made()) == []


def test_failures_have_levels_reason_and_message(made, folder, finish) -> None:
    assert list_failures(folder, made()) == []
    first, second, *_ = made().trials
    finish(first.trial, first.levels)
    finish(second.trial, second.levels, reason="not a number", message="the loss is nan")
    told = {"trial": second.id, "levels": "width=4, seed=0", "reason": "not a number", "message": "the loss is nan"}
    assert list_failures(folder, made()) == [told]


def test_the_pilot_measures_each_cell_once(made, finish, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made().trials[0]
    finish(first.trial, first.levels)
    tried = []

    def expected_seconds(trial, measures):
        tried.append((trial.model.width, trial.seed, len(measures)))
        return 3.0

    monkeypatch.setattr("equistudy.training.pilot.estimate_trial_seconds", expected_seconds)
    told: list[str] = []
    plan = add_pilot_costs(made(), told.append)
    assert told == ["[1/1] pilot of width=4, seed=0"]
    assert tried == [(4, 0, 1)]
    assert [trial.seconds for trial in plan.trials] == [10.0, 3.0, 10.0, 3.0]


def test_a_cell_that_cannot_be_trained_is_told(write, folder) -> None:
    path = write(("canvas=16, digit=8", "canvas=8, digit=8"), ("eq.ResNet(8, width)", "Odd(width)"), ("def trial", ODD))
    plan = plan_study(load_requested_study(StudyReference(path, None, folder)), folder)[1]
    with pytest.raises(ValueError, match=r"got RuntimeError for width=2, seed=0: no net.* plan without --pilot"):
        add_pilot_costs(plan, str)


ODD = """
from dataclasses import dataclass
from equistudy.models.model import Model

@dataclass(frozen=True)
class Odd(Model):
    width: int

    def build(self, image_shape, num_outputs):
        raise RuntimeError("no network")

def trial"""


def test_an_id_is_explained_from_the_results_or_from_the_study(made, asked, folder, finish) -> None:
    first, second, *_ = made().trials
    finish(first.trial, first.levels)
    columns = find_identity(first.id[:8], None, folder)
    assert columns == first.trial.build_columns() == find_identity(first.id[:8], asked, folder)
    assert columns["model.width"] == 2
    assert find_identity(second.id, asked, folder)["model.width"] == 4
    with pytest.raises(ValueError, match=rf"No trial in the results in .* starts with '{second.id}'.* --study STUDY"):
        find_identity(second.id, None, folder)


def test_an_ambiguous_beginning_lists_the_trials(made, asked, folder) -> None:
    ids = ", ".join(sorted(trial.id for trial in made().trials))
    with pytest.raises(ValueError, match=rf"Trial id 't_' is ambiguous: 4 trials in .*question.py match: {ids}"):
        find_identity("t_", asked, folder)
    with pytest.raises(ValueError, match=r"ambiguous: 9 trials in .* match: (t_\w+, ){5}\.\.\."):
        find_identity("t_", asked._replace(scale="large"), folder)


def test_a_search_knows_how_often_it_draws(asked, write) -> None:
    assert load_requested_study(asked).study.design.count_draws() is None
    searched = (
        'eq.factorial(trial, eq.Factor("width", levels=(2, 4)), seeds=range(2))',
        "eq.search(trial, {'width': 2}, num_samples=7)",
    )
    loaded, made = plan_study(
        load_requested_study(asked._replace(study=write(searched, name="searching.py"))), asked.folder
    )
    assert (loaded.study.design.count_draws(), made.trials) == (7, ())


def test_nothing_is_written_by_looking(made, asked, folder) -> None:
    made()
    list_running(folder, made())
    list_failures(folder, made())
    assert not Path(folder).exists()
