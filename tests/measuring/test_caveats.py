"""Notes: every warning by its threshold, and no other column touched."""

from dataclasses import replace
from typing import Any

import pytest

from equistudy.groups.translation import Translation
from equistudy.measures.correlation import WithinCorrelation
from equistudy.measuring.caveats import add_caveats
from equistudy.measuring.measure import Measurement

MEASURE = WithinCorrelation(Translation())
ROW = Measurement(
    measure=MEASURE.name,
    measure_id=MEASURE.id,
    revision=1,
    stage="stem",
    depth=0.0,
    stride=2,
    group="Translation",
    element="dx=2",
    magnitude=2.0,
    grid_aligned=True,
    value=0.5,
    low=0.4,
    high=0.6,
    images=64,
    floor=0.2,
    cells=16,
    channels=10,
    dead_channels=1,
)


def test_a_row_without_faults_has_no_note() -> None:
    assert add_caveats(ROW, MEASURE) == ROW


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"images": 63}, "63 images are few"),
        ({"images": 31, "low": None, "high": None}, "no interval: 31 images, and it takes 32"),
        ({"low": None, "high": None}, "no interval: the value of some of the images alone is undefined"),
        ({"grid_aligned": False}, "the map is interpolated"),
        ({"cells": 15}, "only 15 cells are compared"),
        ({"floor": 0.21}, "unrelated images already reach 0.21"),
        ({"dead_channels": 2}, "2 of 10 channels are constant and left out"),
    ],
)
def test_each_fault_has_its_note(fields: dict[str, Any], note: str) -> None:
    row = replace(ROW, **fields)
    found = add_caveats(row, MEASURE)
    assert note in str(found.note)
    assert "; " not in str(found.note)
    assert replace(found, note=None) == row


def test_several_faults_are_listed() -> None:
    assert str(add_caveats(replace(ROW, images=40, cells=4), MEASURE).note).count("; ") == 1
