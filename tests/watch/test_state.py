"""The grid counts every trial once, in its own state, and shows first what needs a look."""

import json
import random
import time
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest

from equistudy.results.reader import Results
from equistudy.running.plan import PlanState, make_plan
from equistudy.watch.state import MAX_TRACEBACK, RUNNING, STATES, Pulse, build_grid, group_cells


def beat_of(trial, **changes):
    known = {"phase": "training", "epoch": 2, "epochs": 4, "host": "elsewhere", "pid": 1, "time": time.time()}
    return {"trial": trial, "levels": "", **known, **changes}


@pytest.fixture
def planned(loaded, place, write):
    """The plan and the rows of results of which some are absent."""

    def planned(absent=None):
        write(absent)
        found = Results.open(place)
        return make_plan(loaded.study, found), found

    return planned


@pytest.mark.parametrize("seed", range(2))
def test_every_trial_is_counted_once_in_its_state(planned, seed):
    rng = random.Random(seed)
    absent = {number: rng.choice(["failed", "missing"]) for number in rng.sample(range(24), 12)}
    plan, found = planned(absent)
    states = {trial.id: trial.state.value for trial in plan.trials}
    running = set(rng.sample([trial.id for trial in plan.trials if trial.state is PlanState.MISSING], 2))
    grid = build_grid(group_cells(plan), found, running)
    shown = [
        (trial, STATES[place], cell["levels"], seed)
        for cell in grid["cells"]
        for trial, place, seed in zip(cell["ids"], cell["states"], cell["seeds"], strict=True)
    ]
    assert {trial: state for trial, state, _, _ in shown} == states | dict.fromkeys(running, RUNNING)
    assert len(shown) == len(plan.trials) == grid["total"] == 24
    assert grid["counts"] == Counter(state for _, state, _, _ in shown)
    where = {trial.id: (trial.levels["width"], trial.trial.seed) for trial in plan.trials}
    assert {trial: (int(levels["width"]), seed) for trial, _, levels, seed in shown} == where
    assert sum(failure["count"] for failure in grid["failures"]) == list(absent.values()).count("failed")
    json.dumps(grid, allow_nan=False)


def test_failing_then_running_then_slow_cells_come_first(planned):
    plan, found = planned({0: "failed", 2: "missing", 8: "failed", 9: "failed"})
    slow = plan.trials[5]._replace(seconds=1e6)
    plan = replace(plan, trials=(*plan.trials[:5], slow, *plan.trials[6:]))
    cells = build_grid(group_cells(plan), found, {plan.trials[2].id})["cells"]
    numbers = {trial.id: cell.number for cell in group_cells(plan) for trial in cell.trials}
    first, second, third = (numbers[plan.trials[place].id] for place in (0, 2, 5))
    order = [cell["number"] for cell in cells]
    assert order.index(first) < order.index(second) < order.index(third) == 3
    assert order[4:] == sorted(order[4:])


def test_failures_of_one_kind_are_told_once(planned):
    plan, found = planned(dict.fromkeys(range(5), "failed"))
    (failure,) = build_grid(group_cells(plan), found, ())["failures"]
    assert (failure["count"], failure["reason"], failure["message"]) == (5, "out of memory", "CUDA <out> of memory")
    assert failure["trial"] in {trial.id for trial in plan.trials[:5]}
    assert "width=" in failure["levels"]
    assert "seed=" in failure["levels"]


def test_a_long_traceback_loses_its_beginning(planned, monkeypatch):
    plan, found = planned({0: "failed"})
    rows = found.attempts.with_columns(traceback=pl.lit("a" * MAX_TRACEBACK + "ValueError: the end"))
    monkeypatch.setattr(Results, "attempts", rows)
    (failure,) = build_grid(group_cells(plan), found, ())["failures"]
    assert failure["traceback"].endswith("ValueError: the end")
    assert failure["traceback"].startswith("... (the first 19 characters are left out)\n")


def test_the_pulse_tells_who_lives(planned):
    plan, found = planned({0: "missing", 1: "missing", 2: "failed"})
    alive, dead, stranger = (
        beat_of(plan.trials[0].id),
        beat_of(plan.trials[1].id, time=time.time() - 3600),
        beat_of("t_other"),
    )
    done = beat_of(plan.trials[7].id)
    pulse = Pulse(plan, found).build([alive, dead, stranger, done])
    assert [beat["trial"] for beat in pulse["running"]] == [plan.trials[0].id]
    assert [beat["trial"] for beat in pulse["silent"]] == [plan.trials[1].id]
    assert pulse["nodes"] == [{"host": "elsewhere", "trials": 1}]
    assert pulse["written"] == alive["time"]


def test_what_a_running_trial_has_done_is_not_left(planned):
    plan, found = planned({0: "missing", 1: "missing"})
    pulse = Pulse(plan, found)
    whole = plan.estimate_seconds(plan.trials[:2])
    assert pulse.build([])["left"] == {"trials": 2, "seconds": pytest.approx(whole), "concurrent": 0}
    left = pulse.build([beat_of(plan.trials[0].id, epoch=3)])["left"]
    assert left["seconds"] == pytest.approx(whole - 0.75 * plan.trials[0].seconds)
    assert left["concurrent"] == 1


def test_nothing_is_known_before_the_first_trial(loaded):
    plan, found = make_plan(loaded.study, None), None
    assert build_grid(group_cells(plan), found, ())["counts"] == {"missing": 24}
    pulse = Pulse(plan, found).build([])
    assert pulse["left"] == {"trials": 24, "seconds": None, "concurrent": 0}
    assert pulse["written"] is None
