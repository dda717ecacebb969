"""Caveats in the note of a row: too few images or cells, interpolated maps, high floors, dead channels."""

import math
from dataclasses import replace

import torch

from equistudy.measuring.intervals import MIN_IMAGES
from equistudy.measuring.measure import Measure, Measurement, MeasuringResult, Subject
from equistudy.measuring.stages import get_input_like
from equistudy.recipe import Precision

__all__ = ["add_caveats", "add_precision_caveats"]

FEW_IMAGES = 64
FEW_CELLS = 16
MAX_DEAD_SHARE = 0.1


def add_caveats(row: Measurement, measure: Measure) -> Measurement:
    """The row with its note; no other column changes."""
    notes = [
        _describe_image_caveat(row),
        "the map is interpolated, so the value includes aliasing and interpolation errors"
        if row.grid_aligned is False
        else None,
        f"only {row.cells} cells are compared" if row.cells is not None and row.cells < FEW_CELLS else None,
        None if row.floor is None else measure.floor_caveat(row.floor),
        _describe_channel_caveat(row),
    ]
    return replace(row, note="; ".join(note for note in notes if note) or None)


def add_precision_caveats(result: MeasuringResult, subject: Subject, precision: Precision) -> MeasuringResult:
    """Adds a note to rows in decibels that exceed the precision of the features' number format."""
    kept = torch.bfloat16 if precision is Precision.BFLOAT16 else get_input_like(subject.network, subject.images).dtype
    limit = math.floor(-20 * math.log10(torch.finfo(kept).eps))
    name = str(kept).removeprefix("torch.")
    text = f"above {limit} dB, differences between f(g x) and g f(x) are rounding errors of {name}"
    rows = [
        replace(row, note="; ".join(filter(None, [row.note, text]))) if row.value >= limit else row
        for row in result.rows
    ]
    return MeasuringResult(rows, result.skipped)


def _describe_image_caveat(row: Measurement) -> str | None:
    if row.images < MIN_IMAGES and row.low is None:
        return f"no interval: {row.images} images, and it takes {MIN_IMAGES}"
    if row.low is None:
        return "no interval: the value of some of the images alone is undefined"
    if row.images < FEW_IMAGES:
        return f"{row.images} images are few: values and intervals are rough below {FEW_IMAGES}"
    return None


def _describe_channel_caveat(row: Measurement) -> str | None:
    if row.dead_channels and row.channels and row.dead_channels > MAX_DEAD_SHARE * row.channels:
        return f"{row.dead_channels} of {row.channels} channels are constant and left out"
    return None
