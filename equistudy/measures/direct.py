"""Measures any network in one call, without a study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from equistudy.measuring.discovery import FoundStages, find_stages
from equistudy.measuring.engine import measure_all
from equistudy.measuring.families import FlowMeasure, PairedMeasure
from equistudy.measuring.measure import Measure, MeasuringResult, Skipped, Subject
from equistudy.measuring.stages import evaluation_mode

__all__ = ["list_measures", "measure"]


def measure(
    network: nn.Module,
    images: Float[Tensor, "N C H W"],
    measures: Measure | Iterable[Measure],
    stages: Mapping[str, str] | Iterable[str] | None = None,
    targets: Int64[Tensor, " N"] | None = None,
    background: float | None = None,
    untrained: nn.Module | None = None,
) -> MeasuringResult:
    """How equivariant a network is: the rows of every measure at every stage, and what could not be measured, and why.

    The network takes batches of `images`, which come as it wants them, normalised, and of one size; one that takes or
    gives anything else is wrapped in a module that translates. `stages` are the paths of its submodules, or a name for
    each path (`HookPoint` says how a call or an entry of an output is named); None: every tensor that a module gives,
    so that each module has rows or a reason why it has none. Layouts and strides are found by probing. `targets` are
    the classes, for measures of accuracy. `background` continues the images beyond their border, where its value is
    known; without it, shifts compare windows that are smaller than the images. `untrained` is the same network before
    its training.

    The network is evaluated on its own device, in evaluation mode, and comes back as it was.
    """
    if not isinstance(network, nn.Module):
        raise TypeError(f"network must be a torch.nn.Module, got {type(network).__name__}. Wrap it in a module.")
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        shape = f"shape {list(images.shape)}, {images.dtype}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"images must be a floating-point tensor with the axes (N, C, H, W), got {shape}. Convert them, for "
            "example with images.float(), and add missing axes."
        )
    wanted = list_measures(measures)
    found = FoundStages({}, {}, {})
    if stages is None:
        try:
            found = find_stages(network, images)
        except RuntimeError as error:
            _explain_refusal(network, images, error)
            raise
        stages = found.paths
    paths = stages if isinstance(stages, Mapping) else {path: path for path in stages}
    channels = images.shape[1]
    subject = Subject(
        network, paths, images, targets, (0.0,) * channels, (1.0,) * channels, background, untrained, seed=0
    )
    try:
        result = measure_all(wanted, subject)
    except (RuntimeError, ValueError) as error:  # ValueError: the network refuses windows, if not the images as well
        _explain_refusal(network, images, error)
        raise
    return _account_for_stages(result, wanted, found)


def _explain_refusal(network: nn.Module, images: Tensor, error: Exception) -> None:
    """Raises ValueError if the network itself refuses the images, such as those with another number of channels."""
    if isinstance(error, torch.OutOfMemoryError):
        return
    place = next(chain(network.parameters(), network.buffers()), images)
    try:
        with evaluation_mode(network):
            network(images[:1].to(place.device))
        return
    except RuntimeError as refusal:
        reason = str(refusal).partition("\n")[0].rstrip(".")
    _, channels, height, width = images.shape
    convolutions = [(path, each) for path, each in network.named_modules() if hasattr(each, "in_channels")]
    way_out = "Give it images of the shape that it was built for, or wrap it in a module that converts them."
    if convolutions and convolutions[0][1].in_channels != channels:
        path, first = convolutions[0]
        where = f" ({path})" if path else ""
        way_out = (
            f"Its first convolution{where} takes {first.in_channels} channels: convert the images, or build the "
            f"network for {channels}."
        )
    raise ValueError(
        f"network must accept the images, got {channels} channels of {height} x {width} pixels, which it refuses: "
        f"{reason}. {way_out}"
    ) from error


def list_measures(measures: Any) -> tuple[Measure, ...]:
    """The measures that a caller gives, one or several. Raises TypeError for anything else."""
    given = tuple(measures) if isinstance(measures, Iterable) else (measures,)
    for each in given:
        if isinstance(each, type) and issubclass(each, Measure):
            raise TypeError(
                f"measures must contain measures, got the class {each.__name__}. Call it: {each.__name__}(...), for "
                "example WithinCorrelation(Translation(max_pixels=4))."
            )
    if not given or not all(isinstance(each, Measure) for each in given):
        raise TypeError(
            f"measures must contain measures, at least one, got {measures!r}. For example "
            "WithinCorrelation(Translation(max_pixels=4))."
        )
    return given


def _account_for_stages(result: MeasuringResult, measures: Sequence[Measure], found: FoundStages) -> MeasuringResult:
    """The rows with those of blocks that hand on another stage's tensor, and a reason for all else that has no row."""
    doubled: dict[str, list[str]] = {}
    for block, stage in found.same.items():
        doubled.setdefault(stage, []).append(block)
    rows = [replace(row, stage=stage) for row in result.rows for stage in (row.stage, *doubled.get(row.stage, []))]
    skipped = [
        each._replace(stage=stage) for each in result.skipped for stage in (each.stage, *doubled.get(each.stage, []))
    ]
    for measure in measures:
        if not isinstance(measure, (PairedMeasure, FlowMeasure)) or getattr(measure, "of_output", False):
            continue
        told = {row.stage for row in rows if row.measure == measure.name}
        told |= {each.stage for each in skipped if each.measure == measure.name}
        skipped += [Skipped(measure.name, stage, None, reason) for stage, reason in found.absent.items()]
        skipped += [
            Skipped(measure.name, stage, None, "it is a vector, and the measure compares positions")
            for stage in (*found.paths, *found.same)
            if stage not in told
        ]
    return MeasuringResult(rows, skipped)
