"""What a call notes: uncovered functions, constants, and streams that do not fit."""

from dataclasses import replace

import torch

from equistudy.exactness.callsite import CallSite
from equistudy.exactness.elements import element_names
from equistudy.exactness.findings import Cause
from equistudy.exactness.layout import NO_AXES, FunctionCall, TracedLayout

H, W = frozenset("h"), frozenset("w")
MAP = TracedLayout((NO_AXES, NO_AXES, H, W))


def placed(layout: TracedLayout) -> torch.Tensor:
    tensor = torch.zeros(1, 2, 5, 5)
    tensor.layout_of_positions = layout  # type: ignore[attr-defined]
    return tensor


def test_all_places_of_a_pass_share_what_they_note() -> None:
    first = CallSite("a", MAP)
    replace(first, name="b").note_uncovered("sort")
    assert first.uncovered == {("b", "sort")}


def test_constants_are_named_by_their_path_and_single_numbers_are_no_constants() -> None:
    place = CallSite("layer", MAP)
    numbers = torch.linspace(-1, 1, 5)
    numbers.path_in_network = "embedding"  # type: ignore[attr-defined]
    (finding,) = place.judge_constants([torch.ones(1), torch.ones(5, 5), numbers], MAP, (1, 2, 5, 5), "add")
    assert (finding.name, finding.cause) == ("embedding", Cause.POSITION)
    assert finding.detail == "added with numbers of their own for every position"
    assert element_names(finding.survives) == ("identity", "top-bottom")


def test_streams_in_one_frame_fit_and_others_keep_what_commutes() -> None:
    flipped = replace(MAP, flipped=W, mover="flip")
    transposed = replace(MAP.with_dims((NO_AXES, NO_AXES, W, H), (1, 2, 5, 5)), mover="exchange")
    place = CallSite("add", MAP)

    def judge(*layouts: TracedLayout) -> list[tuple[str, tuple[str, ...]]]:
        call = FunctionCall("add", tuple(placed(layout) for layout in layouts), {}, placed(MAP))
        return [(finding.name, element_names(finding.survives)) for finding in place.judge_streams(call)]

    assert judge(MAP, MAP) == judge(flipped, flipped) == judge(transposed, transposed) == []
    assert judge(MAP, flipped) == [("flip", ("identity", "180 deg", "left-right", "top-bottom"))]
    assert judge(transposed, MAP) == [("exchange", ("identity", "180 deg", "transpose", "anti-transpose"))]
    assert [finding.name for finding in replace(place, layout=flipped).judge_frame()] == ["flip"]
    assert place.judge_frame() == []
