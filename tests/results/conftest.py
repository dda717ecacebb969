"""Rows of tiny studies."""

import json
from dataclasses import asdict

import pytest

from equistudy.measuring.measure import Measurement
from equistudy.results.schema import CurveRow, TrialRow
from equistudy.results.store import Store


def make_row(trial="t_1", attempt=0, status="done", factors=None, spec=None, scores=None, **values):
    reason = "bug" if status == "failed" else None
    texts = {"factors": json.dumps(factors or {}), "spec": json.dumps(spec or {})}
    values = {"study": "capacity", "seed": 0, "reason": reason, **texts, **values}
    return TrialRow(trial=trial, attempt=attempt, status=status, scores=scores and json.dumps(scores), **values)


def make_measurement(measure_id="m_1", value=0.5, **values):
    row = Measurement(
        measure="within_correlation",
        measure_id=measure_id,
        revision=1,
        stage="stem",
        depth=0.0,
        stride=1,
        group="Translation",
        element="(1, 0)",
        magnitude=1.0,
        grid_aligned=True,
        value=value,
        low=None,
        high=None,
        images=10,
    )
    return asdict(row) | values


def write_whole_trial(store, trial, attempt=0, value=0.5, writer=None, **values):
    """Everything that a trial writes, in its order."""
    store.write_curves(trial, attempt, [CurveRow(epoch, "train", "loss", value) for epoch in range(2)], writer)
    rows = [make_measurement(value=value), make_measurement(value=value)]
    store.write_measurements(trial, attempt, "m_1", rows, writer=writer)
    store.write_trial(make_row(trial, attempt, writer=writer, **values))


@pytest.fixture
def row():
    return make_row


@pytest.fixture
def measurement():
    return make_measurement


@pytest.fixture
def whole_trial():
    return write_whole_trial


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "results")
