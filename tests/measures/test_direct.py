"""Any network in one call: its layers are found, and a translating module is all that odd inputs and outputs need."""

from typing import Any

import polars as pl
import pytest
import torch
from torch import nn

import equistudy
from equistudy.groups.translation import Border, Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.consistency import ShiftConsistency
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measures.direct import list_measures, measure

CIRCLE = Translation(max_pixels=4, border=Border.CIRCULAR, pixels=(4,))


class ChannelsLast(nn.Module):
    """A block that wants and gives its channels on the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps + self.linear(maps).relu()


class Theirs(nn.Module):
    """Takes a list of images and gives a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 6, 3, 2, 1, padding_mode="circular")
        self.block, self.head = ChannelsLast(), nn.Linear(6, 3)

    def forward(self, images: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        maps = self.block(self.convolution(torch.stack(images)).permute(0, 2, 3, 1))
        return {"logits": self.head(maps.mean(dim=(1, 2)))}


class Ours(nn.Module):
    def __init__(self, theirs: Theirs) -> None:
        super().__init__()
        self.theirs = theirs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.theirs(list(images))["logits"]


def test_a_network_with_lists_channels_last_and_dicts_takes_an_adapter() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 1, 24, 24)
    measures = [WithinCorrelation(CIRCLE), BetweenCorrelation(CIRCLE), ShiftConsistency(CIRCLE), Accuracy()]
    result = equistudy.measure(Ours(Theirs()), images, measures, targets=torch.arange(40) % 3)
    assert {str(skipped) for skipped in result.skipped} == {
        f"within_correlation of {stage}: it is a vector, and the measure compares positions"
        for stage in ("theirs.head", "theirs[logits]", "output")
    }
    values = {(row.stage, row.measure): row.value for row in result.rows if row.element in ("dx=4", None)}
    maps = ("theirs.convolution", "theirs.block.linear", "theirs.block")
    assert {stage for stage, _ in values} == {*maps, "theirs.head", "theirs[logits]", "output"}
    for stage in maps:
        assert values[stage, "within_correlation"] == pytest.approx(1, abs=1e-6)
    assert values["theirs.head", "between_correlation"] == pytest.approx(1, abs=1e-6)
    assert values["theirs.head", "shift_consistency"] == 1
    assert {row.stride for row in result.rows if row.stage in maps} == {2}


def test_what_breaks_equivariance_is_found_without_naming_a_layer(smooth_images: Any) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, stride=2))
    rows = measure(network, smooth_images.float(), WithinCorrelation(Translation(max_pixels=3, pixels=(3,)))).rows
    values = {row.stage: row.value for row in rows if row.element == "dx=3"}
    assert list(values) == ["0", "1", "output"]
    assert values["0"] == pytest.approx(1, abs=1e-6)
    assert values["1"] < 0.99


def test_stages_are_paths_or_names_of_paths(convolutions: Any, smooth_images: Any) -> None:
    network, spec = convolutions((1, 1), "circular"), WithinCorrelation(CIRCLE)
    by_path = measure(network, smooth_images[:4], spec, stages=["3"]).rows
    by_name = measure(network, smooth_images[:4], spec, stages={"last": "3"}).rows
    assert [(row.stage, row.value) for row in by_path] == [("3", row.value) for row in by_name]
    assert {row.stage for row in by_name} == {"last"}
    assert "no interval: 4 images, and it takes 32" in str(by_name[0].note)
    assert by_name[0].low is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"network": len}, TypeError, r"torch\.nn\.Module, got builtin_function"),
        ({"images": torch.zeros(4, 8, 8)}, ValueError, r"axes \(N, C, H, W\), got shape \[4, 8, 8\]"),
        ({"images": torch.zeros(4, 1, 8, 8, dtype=torch.uint8)}, ValueError, r"floating-point.*torch\.uint8"),
        ({"images": [1]}, ValueError, "got list"),
        ({"measures": []}, TypeError, r"at least one, got \[\]"),
        ({"measures": ["within"]}, TypeError, "measures must contain measures"),
        ({"stages": ["5"]}, ValueError, "must name a submodule"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {
        "network": nn.Sequential(nn.Conv2d(1, 2, 3)),
        "images": torch.rand(4, 1, 12, 12),
        "measures": [WithinCorrelation(Translation(max_pixels=1))],
        "stages": ["0"],
    }
    checked = measure.__wrapped__ if hasattr(measure, "__wrapped__") else measure  # without the checker of types
    with pytest.raises(error, match=message):
        checked(**{**given, **change})


def test_a_result_prints_a_line_per_stage_and_alignment_and_each_reason() -> None:
    """Means by hand, over the elements that move whole cells and over the others."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3, stride=2, padding=1), torch.nn.Flatten()
    )
    result = measure(network, torch.rand(8, 3, 24, 24), WithinCorrelation(Translation(max_pixels=2)))
    rows = [row for row in result.rows if row.stage == "1" and row.grid_aligned is False]
    assert 0 < len(rows) < len([row for row in result.rows if row.stage == "1"])
    mean = sum(row.value for row in rows) / len(rows)
    line = next(line for line in str(result).splitlines() if line.split()[1:3] == ["1", "parts"])
    assert line.split()[3:5] == [str(len(rows)), f"{mean:.3f}"]
    assert "Not measured: within_correlation of 2" in str(result)
    page = result._repr_html_()
    assert f"<td>{mean:.3f}</td>" in page
    assert "<li>within_correlation of 2" in page
    assert pl.DataFrame(result.rows).height == len(result.rows)


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        (
            WithinCorrelation,
            r"measures must contain measures, got the class WithinCorrelation. Call it: WithinCorrelation\(",
        ),
        ([WithinCorrelation], "got the class WithinCorrelation"),
        ([], r"measures must contain measures, at least one, got \[\]"),
        ("within_correlation", "measures must contain measures, at least one, got 'within_correlation'"),
        (None, "measures must contain measures, at least one, got None"),
    ],
)
def test_what_is_no_measure_is_told(measures, message) -> None:
    with pytest.raises(TypeError, match=message):
        list_measures(measures)


@pytest.mark.parametrize("stages", [None, ["0"]])
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
            r"network must accept the images, got 4 channels of 12 x 12 pixels, which it refuses: .*expected .*\. "
            r"Its first convolution \(0\) takes 3 channels: convert the images, or build the network for 4\.",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(4 * 8 * 8, 2)),
            r"refuses: mat1 and mat2 shapes cannot be .*\. Give it images of the shape that it was built for",
        ),
    ],
    ids=["channels", "size"],
)
def test_images_that_the_network_refuses_are_told_in_three_parts(
    network: nn.Module, message: str, stages: list[str] | None
) -> None:
    network.train()
    with pytest.raises(ValueError, match=message):
        measure(network, torch.rand(4, 4, 12, 12), WithinCorrelation(Translation(max_pixels=1)), stages=stages)
    assert network.training


def test_an_error_that_is_not_about_the_images_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("equistudy.measures.direct.measure_all", fail)
    with pytest.raises(RuntimeError, match=r"^out of luck$"):
        measure(nn.Conv2d(1, 2, 3), torch.rand(4, 1, 8, 8), Accuracy(), stages=[""])
