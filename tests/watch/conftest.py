"""A study of made-up results, its file, and what follows it."""

import json
import time

import pytest

from equistudy.results.store import Store
from equistudy.study.file import load_study
from equistudy.watch.follower import StudyFollower
from tests.analysis import synthetic

STUDY = """
from tests.analysis.synthetic import study as build

study = build()
"""


@pytest.fixture(autouse=True)
def no_flushing(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def loaded(tmp_path):
    path = tmp_path / "capacity.py"
    path.write_text(STUDY)
    return load_study(path)


@pytest.fixture
def write(loaded, place):
    """Writes the results of the study, without those of the rows of the design that are absent, by number."""

    def write(absent=None, of=None):
        chosen = of or loaded.study
        synthetic.store_results(chosen, synthetic.results(chosen, absent=absent), place)

    return write


@pytest.fixture
def follower(loaded, place):
    return StudyFollower(loaded, str(place), {"study": "capacity", "question": "?", "run": "run capacity.py"})


@pytest.fixture
def beat(place):
    """A heartbeat of this process, or of another one."""

    def beat(trial, epoch=1, **changes):
        Store.open(place).write_bytes(
            f"running/{trial}.json",
            json.dumps(
                {
                    "trial": trial,
                    "phase": "training",
                    "epoch": epoch,
                    "epochs": 4,
                    "levels": "width=4",
                    "host": "elsewhere",
                    "pid": 1,
                    "time": time.time(),
                    **changes,
                }
            ).encode(),
        )

    return beat
