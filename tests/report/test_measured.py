"""The numbers and the picture of one network's rows."""

from pathlib import Path

import polars as pl
import pytest

from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.correlation import WithinCorrelation
from equistudy.report.measured import average_by_magnitude, check_picture, draw_profiles, write_picture

WITHIN = WithinCorrelation(Translation(2))


def row(stage: str, depth: float, element: str, magnitude: float, value: float, **columns: object) -> dict:
    wide = {"low": value - 0.1, "high": value + 0.05, "floor": 0.0, "untrained": None, "stride": 1}
    key = {"measure_id": WITHIN.id, "stage": stage, "depth": depth, "element": element, "magnitude": magnitude}
    return {**key, "value": value, "grid_aligned": True, **wide, **columns}


ROWS = pl.DataFrame(
    [
        row("late", 1.0, "dx=1", 1.0, 0.5, grid_aligned=False, stride=2),
        row("early", 0.0, "dx=1", 1.0, 0.9),
        row("early", 0.0, "dy=1", 1.0, 0.7, high=0.95),
        row("early", 0.0, "dx=2", 2.0, 0.6),
        row("late", 1.0, "dx=2", 2.0, 0.4, stride=2),
    ]
)


def test_directions_of_one_size_are_averaged_in_the_order_of_the_network() -> None:
    frame = average_by_magnitude(ROWS)
    assert frame.select("stage", "magnitude", "n").rows() == [
        ("early", 1.0, 2),
        ("early", 2.0, 1),
        ("late", 1.0, 1),
        ("late", 2.0, 1),
    ]
    assert frame["value"].to_list() == pytest.approx([0.8, 0.6, 0.5, 0.4])
    assert frame["error"].to_list() == pytest.approx([0.25, 0.1, 0.1, 0.1])
    assert frame["grid_aligned"].to_list() == [True, True, False, True]


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<svg"), (".png", b"\x89PNG"), (".html", b"<!doctype html>")])
def test_a_picture_names_stages_sizes_and_references(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = tmp_path / "deep" / f"layers{suffix}"
    write_picture(ROWS, (WITHIN, Accuracy()), path)
    drawn = path.read_bytes()
    assert drawn.startswith(start)
    if suffix != ".png":
        for text in (b"early", b"late", b"shuffled pairs", b"Translation(max_pixels=2)", WITHIN.title.encode()):
            assert text in drawn
        assert b"untrained" not in drawn


def test_one_curve_for_each_size() -> None:
    (chart,) = draw_profiles(ROWS, (WITHIN,)).vconcat
    lines = next(layer for layer in chart.layer if layer.mark == "line")
    assert set(lines.data["size"]) == {1.0, 2.0}
    assert lines.data.filter(series="measured").height == 4


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--plot must end in \.svg, \.png, \.html, got .*layers\.pdf"):
        check_picture(tmp_path / "layers.pdf")
    with pytest.raises(ValueError, match=r"A plot needs a measure with at least two stages, got none"):
        write_picture(ROWS.filter(stage="late"), (WITHIN,), tmp_path / "a.svg")
