"""Padding, crops and steps along single axes, which are judged once a layer or the other axis resolves them."""

from collections.abc import Iterable
from dataclasses import replace

from equistudy.exactness.callsite import CallSite
from equistudy.exactness.elements import find_side_symmetries
from equistudy.exactness.findings import BreakingLayer, Cause, create_breaking_layer
from equistudy.exactness.layout import PendingPadding, TracedLayout
from equistudy.exactness.windows import AxisWindows

__all__ = ["AXIS_NAMES", "describe_axes", "judge_axis_windows", "judge_pending_padding", "pad_layout"]

AXIS_NAMES = {"h": "rows", "w": "columns"}


def describe_axes(letters: Iterable[str]) -> str:
    """The names of the axes."""
    return " and ".join(AXIS_NAMES[letter] for letter in sorted(letters))


def pad_layout(
    layout: TracedLayout, dim: int, size: int, pads: tuple[int, int], name: str, adds_equals: bool = True
) -> TracedLayout:
    """The layout with (before, after) cells more along a dimension, which wait for the layer that reads them.

    What is the same on all sides of both axes needs no judging.
    """
    letters = layout.dims[dim]
    if pads == (0, 0) or len(letters) != 1 or letters == {"g"}:
        return layout
    (letter,) = letters
    known = layout.pending.get(letter) or PendingPadding(size, 0, 0, name)
    together = replace(known.add(*pads), adds_equals=known.adds_equals and adds_equals)
    pending = {**layout.pending, letter: together}
    pending = {other: pad for other, pad in pending.items() if pad.sides != ((0, 0), (0, 0))}
    alike = len({pad.sides for pad in pending.values()}) == 1
    if layout.letters & {"h", "w"} <= set(pending) and alike and not together.is_lopsided:
        pending = {}
    return replace(layout, pending=pending)


def judge_pending_padding(place: CallSite) -> tuple[TracedLayout, list[BreakingLayer]]:
    """Finds unequal padding that no layer with windows has read."""
    findings = []
    pads = place.layout.pending
    both = place.layout.letters >= {"h", "w"}
    alike = len({pad.sides for pad in pads.values()}) == 1 and len(pads) == len(AXIS_NAMES)
    for name in dict.fromkeys(pad.name for pad in pads.values()):
        own = {letter: pad for letter, pad in pads.items() if pad.name == name}
        first = own[min(own)]
        cause, detail = Cause.PADDING, f"{first.before} before and {first.after} after the {describe_axes(own)}"
        if first.rolled:
            cause, detail = Cause.SHIFTED, f"{describe_axes(own)} are rolled by {first.before} cells"
        broken = "".join(letter for letter, pad in own.items() if pad.is_lopsided) + ("" if alike or not both else "t")
        found = create_breaking_layer(name, cause, detail, broken)
        if both:
            sides = [pads[letter].sides if letter in pads else ((0, 0), (0, 0)) for letter in "hw"]
            found = replace(found, survives=find_side_symmetries(*sides))
        findings.append(found)
    return replace(place.layout, pending={}), findings


def judge_axis_windows(
    layout: TracedLayout, dim: int, windows: AxisWindows, place: CallSite
) -> tuple[TracedLayout, list[BreakingLayer]]:
    """The layout after windows along one dimension, such as a slice with a step, and what is misaligned."""
    letters = layout.dims[dim] & frozenset("hw")
    if not letters:
        return layout, []
    findings: list[BreakingLayer] = []
    if any(layout.pending[letter].rolled for letter in letters & set(layout.pending)):
        layout, findings = judge_pending_padding(replace(place, layout=layout))
    for letter in letters:
        if (pad := layout.pending.get(letter)) is not None:
            sides = windows.before + pad.before, windows.after + pad.after
            windows = replace(windows, size=pad.size, before=sides[0], after=sides[1])
        step = (windows.kernel, windows.stride, windows.before, windows.after)
        layout = _take_step(layout, letter, step)
    layout = replace(layout, stride=layout.stride * windows.stride)
    if windows.is_exact and len(letters) == 1:
        return layout, findings
    detail = f"every {windows.stride}. of {windows.size} cells, from number {-windows.before}"
    return layout, [*findings, create_breaking_layer(place.name, Cause.DROPPED, detail, "".join(letters))]


def _take_step(layout: TracedLayout, letter: str, step: tuple[int, ...]) -> TracedLayout:
    """The layout after a step along one axis; the same steps along both are no difference between them."""
    pending = {other: pad for other, pad in layout.pending.items() if other != letter}
    steps = {**layout.steps, letter: (*layout.steps.get(letter, ()), step)}
    alike = layout.letters & {"h", "w"} <= set(steps) and len(set(steps.values())) == 1
    return replace(layout, pending=pending, steps={} if alike else steps)
