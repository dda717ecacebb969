"""What the follower tells is the plan and the analysis of a fresh reader, as files appear."""

import json
import time

import pytest

from equistudy.results.reader import Results
from equistudy.running.plan import make_plan
from equistudy.watch import follower as module
from equistudy.watch.follower import StudyFollower


@pytest.fixture(autouse=True)
def no_charts(monkeypatch):
    monkeypatch.setattr("equistudy.watch.analysis.render_svg", lambda chart: "<svg ></svg>")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("equistudy.watch.pacing.Pacer.is_due", True)


def read(follower, name):
    return json.loads(getattr(follower, name).body)


def look(follower):
    follower.look()
    follower.analyse()
    follower.look()
    return read(follower, "pulse")


def states(follower):
    grid = read(follower, "grid")
    return {
        trial: grid["states"][place]
        for cell in grid["cells"]
        for trial, place in zip(cell["ids"], cell["states"], strict=True)
    }


def test_a_study_that_has_not_begun(follower):
    pulse = look(follower)
    assert (pulse["counts"], pulse["running"], pulse["written"]) == ({"missing": 24}, [], None)
    assert (pulse["error"], pulse["reading"]) == (None, False)


def test_states_follow_the_results(follower, loaded, place, write, beat):
    look(follower)
    for absent in (dict.fromkeys(range(10, 24), "missing"), {3: "missing", 20: "failed"}, {}):
        for old in (place / "trials").glob("*.parquet"):
            old.unlink()
        write(absent)
        plan = make_plan(loaded.study, Results.open(place))
        pulse = look(follower)
        assert states(follower) == {trial.id: trial.state.value for trial in plan.trials}
        assert pulse["counts"] == {state.value: number for state, number in plan.counts.items() if number}
        assert read(follower, "analysis")["done"] == 24 - len(absent)
        assert (pulse["grid"], pulse["analysis"]) == (follower.grid.tag, follower.analysis.tag)


def test_a_heartbeat_makes_a_trial_run_until_it_is_done(follower, loaded, write, beat):
    write({0: "missing"})
    trial = loaded.study.design.identified_cells[0][0]
    assert look(follower)["counts"] == {"done": 23, "missing": 1}
    beat(trial)
    pulse = look(follower)
    assert pulse["counts"] == {"running": 1, "done": 23}
    assert pulse["running"][0]["trial"] == trial
    assert states(follower)[trial] == "running"
    beat(trial, time=time.time() - 100)
    pulse = look(follower)
    assert (pulse["counts"], [beat["trial"] for beat in pulse["silent"]]) == ({"done": 23, "missing": 1}, [trial])
    write({})
    pulse = look(follower)
    assert (pulse["counts"], pulse["running"], pulse["silent"]) == ({"done": 24}, [], [])


def test_nothing_new_gives_the_same_documents(follower, write):
    write({0: "missing"})
    look(follower)
    before = follower.grid, follower.analysis, follower.pulse
    look(follower)
    assert (follower.grid, follower.analysis) == before[:2]
    assert follower.grid is before[0]
    assert follower.pulse == before[2]


def test_an_error_is_told_and_passes(follower, place, write):
    write({})
    look(follower)
    damaged = place / "trials" / "t_bad.0.parquet"
    damaged.write_bytes(b"nothing")
    assert "t_bad.0.parquet" in look(follower)["error"]
    damaged.unlink()
    assert look(follower)["error"] is None


def test_an_analysis_that_fails_says_why(follower, write, monkeypatch):
    def fail(study, table):
        raise ArithmeticError("<i>no</i>")

    monkeypatch.setattr(module, "build_analysis", fail)
    write({})
    assert look(follower)["error"] is None
    assert read(follower, "analysis")["error"] == "The results cannot be analysed yet. ArithmeticError: <i>no</i>"


def test_many_files_show_their_names_first(follower, write, monkeypatch):
    monkeypatch.setattr(module, "MANY_FILES", 3)
    write({2: "failed", 5: "missing"})
    seen = []
    publish = StudyFollower._publish
    monkeypatch.setattr(StudyFollower, "_publish", lambda self, beats: (publish(self, beats), seen.append(self.pulse)))
    follower.look()
    first, second = (json.loads(pulse.body) for pulse in seen)
    assert first["counts"] == second["counts"] == {"done": 22, "failed": 1, "missing": 1}
    assert first["reading"]


def test_cells(follower, write):
    assert follower.draw_cell(0) is None
    write({})
    follower.look()
    assert json.loads(follower.draw_cell(0).body) == {"figures": []}
    look(follower)
    assert len(json.loads(follower.draw_cell(7).body)["figures"]) == 2
    assert follower.draw_cell(8) is None


def test_nobody_looks_nothing_is_read(follower, monkeypatch):
    looked = []
    monkeypatch.setattr(follower, "_pause", 0.01)
    monkeypatch.setattr(module, "ATTENTION_SECONDS", 0.2)
    monkeypatch.setattr(follower, "look", lambda: looked.append(1))
    thread = follower._threads[0]
    thread._args = (follower.look,)
    thread.start()
    time.sleep(0.1)
    assert looked == []
    follower.note_request()
    deadline = time.monotonic() + 10
    while not looked and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.4)
    number = len(looked)
    time.sleep(0.2)
    assert len(looked) == number > 0
    follower.stop()
