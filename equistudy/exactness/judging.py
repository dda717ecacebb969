"""Judges a network at one input size, by rules and numerically: which layers break exact equivariance."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from equistudy.groups.finite import DihedralGroup, FiniteGroup
from equistudy.models.model import Model
from equistudy.models.timm_model import TimmModel

if TYPE_CHECKING:
    from torch.nn import Module

    from equistudy.exactness.elements import ElementParameters
    from equistudy.exactness.findings import BreakingLayer
    from equistudy.exactness.numerics import NumericalJudge
    from equistudy.exactness.trace import SymmetryTracer
else:
    Module = ElementParameters = BreakingLayer = NumericalJudge = SymmetryTracer = Any

__all__ = ["Judgement", "Probes", "Size", "check_group", "check_size", "is_network_invariant", "judge_network"]

Size = int | tuple[int, int]
NUM_OUTPUTS = 10
TRIED_SIZES = (8, 16, 32, 64, 128, 224, 256, 299, 384, 512)  # to suggest where the given size is refused
MOST_NAMED_LAYERS = 3


@dataclass(frozen=True)
class Judgement:
    """The judgement at one input size. `layers` are those that break the group, in the order of the forward pass.

    `deviations` holds the largest relative error |f(g x) - g f(x)| / |f(x)| for each element g except the identity, in
    float64 with random weights; without group convolutions, filters are transformed with the image. The network is
    exact if every error is below `threshold`: rules explain the numbers but never overrule them. `caveat` says if rules
    do not cover the network, and is empty otherwise.
    """

    model: str
    size: Size
    group: FiniteGroup
    layers: tuple[BreakingLayer, ...]
    deviations: Mapping[str, float]
    threshold: float
    caveat: str

    @property
    def is_exact(self) -> bool:
        """Whether no layer breaks the group at this size."""
        return not self.layers

    @property
    def preserved_elements(self) -> tuple[str, ...]:
        """The elements with which the network commutes: the identity and those broken by no layer."""
        from equistudy.exactness.elements import element_names

        kept = [row for row in self.group.element_parameters if all(row in layer.survives for layer in self.layers)]
        return element_names(kept)


class Probes(NamedTuple):
    """What can judge other sizes: rules, if they agree with the numbers at this size, and numbers."""

    network: Module
    tracer: SymmetryTracer
    numbers: NumericalJudge
    rules_hold: bool


def judge_network(
    network: Module | Model,
    size: Size,
    group: FiniteGroup | None = None,
    channels: int | None = None,
    name: str | None = None,
) -> tuple[Judgement, Probes]:
    """The part of `audit` for this size alone, with the probes for other sizes. Raises the errors of `audit`."""
    import torch

    from equistudy.exactness.copies import RefusedError
    from equistudy.exactness.elements import SPRITE_NAMES
    from equistudy.exactness.trace import SymmetryTracer

    height, width = check_size(size)
    check_group(group)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = _build_if_model(network, (channels or 3, height, width))
        name = name or (str(network) if isinstance(network, Model) else type(network).__name__)
        channels = channels or (3 if isinstance(network, Model) else None)
        numbers, errors = _measure(built, group, channels, (height, width), name)
        tracer = SymmetryTracer(numbers.network, numbers.group, numbers.channels)
        layers: list[BreakingLayer] = []
        try:
            layers = tracer.find_breaking_layers(numbers.create_image(height, width))
        except RefusedError as refusal:  # torch functions that do not let themselves be traced
            tracer.uncovered.add(("(the network itself)", str(refusal).partition("\n")[0]))
        if tracer.uncovered or _find_kept(layers, numbers.group) != _find_small(errors, numbers.threshold):
            errors = _measure_again(built, numbers, errors, (height, width))
        kept, small = _find_kept(layers, numbers.group), _find_small(errors, numbers.threshold)
        corrected = _correct_layers(layers, kept, small, numbers, (height, width))
    caveat = _describe_caveat(tracer, [layer.name for layer in (*layers, *corrected)] if kept != small else [])
    found = Judgement(
        name,
        height if height == width else (height, width),
        numbers.group,
        tuple(corrected),
        {SPRITE_NAMES[row]: error for row, error in errors.items()},
        numbers.threshold,
        caveat,
    )
    return found, Probes(built, tracer, numbers, not caveat)


def is_network_invariant(network: Module, size: Size, channels: int, group: FiniteGroup) -> bool:
    """Whether the network's own group contains `group`, and nothing breaks it at this size.

    False for networks without group convolutions, which are exact only with filters that transform with the image, and
    for networks that cannot be judged.
    """
    from equistudy.exactness.copies import find_groups

    if not any(set(group.element_parameters) <= set(own.element_parameters) for own in find_groups(network)):
        return False
    try:
        return judge_network(network, size, group, channels)[0].is_exact
    except ValueError:
        return False


def _find_kept(layers: list[BreakingLayer], group: FiniteGroup) -> set[ElementParameters]:
    """The elements with which the network commutes according to the rules."""
    return {row for row in group.element_parameters if all(row in layer.survives for layer in layers)}


def _find_small(errors: Mapping[ElementParameters, float], threshold: float) -> set[ElementParameters]:
    """The elements with which it commutes numerically."""
    return {(0.0, 0.0)} | {row for row, error in errors.items() if error < threshold}


def _measure_again(
    network: Module, numbers: NumericalJudge, errors: Mapping[ElementParameters, float], size: tuple[int, int]
) -> dict[ElementParameters, float]:
    """The maximum of the errors and of those with other random weights on several images.

    A network that no rule confirms might be exact by chance: the maximum of a map, for example, often survives a fault
    elsewhere. Other sizes are therefore judged on several images too, if the network takes batches.
    """
    from equistudy.exactness.copies import RefusedError
    from equistudy.exactness.numerics import NumericalJudge

    for count in (min(MOST_IMAGES, max(2, MOST_PIXELS // (size[0] * size[1]))), 1):
        try:
            again = NumericalJudge(network, numbers.group, numbers.channels, numbers.seed + 1, count).measure(*size)
        except RefusedError:  # a network that takes one image at a time
            continue
        numbers.num_images = min(count, IMAGES_OF_A_SEARCH)
        return {row: max(error, again[row]) for row, error in errors.items()}
    return dict(errors)


IMAGES_OF_A_SEARCH = 4
MOST_IMAGES = 256
MOST_PIXELS = 200_000  # of several images together


def _correct_layers(
    layers: list[BreakingLayer],
    kept: set[ElementParameters],
    small: set[ElementParameters],
    numbers: NumericalJudge,
    size: tuple[int, int],
) -> list[BreakingLayer]:
    """The findings of the rules, without those that the numbers refute and with those that only the numbers show."""
    from equistudy.exactness.culprits import find_first_deviation
    from equistudy.exactness.findings import BreakingLayer, Cause

    corrected = [replace(layer, survives=layer.survives | small) for layer in layers] if small - kept else layers
    corrected = [layer for layer in corrected if not set(numbers.group.element_parameters) <= layer.survives]
    missing = sorted(kept - small)
    if missing:
        place = find_first_deviation(numbers, *size, missing[0])
        detail = "from here on the output does not move as the image does"
        corrected.append(BreakingLayer(place, Cause.MEASURED, detail, frozenset(small)))
    return corrected


def _describe_caveat(tracer: SymmetryTracer, doubted: list[str]) -> str:
    """Why the verdict rests on numbers alone; empty if it does not."""
    if tracer.uncovered:
        layers = sorted(f"{layer} ({function})" for layer, function in tracer.uncovered)
        more = f" and {len(layers) - MOST_NAMED_LAYERS} more" if len(layers) > MOST_NAMED_LAYERS else ""
        named = ", ".join(layers[:MOST_NAMED_LAYERS])
        return f"The rules do not cover {named}{more}; the verdict rests on numbers alone."
    if doubted:
        named = ", ".join(dict.fromkeys(doubted[:MOST_NAMED_LAYERS]))
        return f"The rules for {named} do not predict the measured errors; the verdict rests on numbers alone."
    return ""


def check_size(size: Any) -> tuple[int, int]:
    """Height and width of an input size; ValueError if it is invalid."""
    sides = (size, size) if isinstance(size, int) else size
    whole = isinstance(sides, (tuple, list)) and all(isinstance(n, int) and not isinstance(n, bool) for n in sides)
    if not whole or len(sides) != 2 or min(sides) < 1:
        raise ValueError(
            f"An input size must be a number of pixels or (height, width), got size={size!r}. Try size=32."
        )
    return sides[0], sides[1]


def check_group(group: Any) -> None:
    """Raises TypeError for anything but a finite group of the square, naming the one that was probably meant."""
    from equistudy.exactness.elements import GROUPS_BY_NAME

    if group is None or isinstance(group, FiniteGroup):
        return
    example = "eq.CyclicGroup(4) or eq.DihedralGroup(4)"
    if isinstance(group, str) and (known := GROUPS_BY_NAME.get(group.lower())):
        example = f"eq.{type(known).__name__}({known.order // (2 if isinstance(known, DihedralGroup) else 1)})"
    raise TypeError(f"group must be one of the finite groups of the square, got {group!r}. Write group={example}.")


def _measure(
    network: Module, group: FiniteGroup | None, channels: int | None, size: tuple[int, int], name: str
) -> tuple[NumericalJudge, dict[ElementParameters, float]]:
    """The numerical judge and its errors; ValueError if the network does not take the images."""
    from equistudy.exactness.copies import RefusedError, find_groups
    from equistudy.exactness.numerics import NumericalJudge

    own = find_groups(network)
    asked = group or (own[0] if own else DihedralGroup(4))
    refusals = []
    for number in [channels] if channels else _guess_channels(network):
        try:
            numbers = NumericalJudge(network, asked, number)
            return numbers, numbers.measure(*size)
        except RefusedError as error:
            refusals.append((number, error))
    number, refusal = refusals[0]
    raise ValueError(_describe_refusal(network, asked, number, size, name, refusal)) from refusal


def _guess_channels(network: Module) -> list[int]:
    """Guesses of the number of image channels: that of the first convolution, 3, 1, those of other convolutions."""
    from torch import nn

    from equistudy.networks.equivariant.convolution import GroupConvolution

    found = [
        module.inputs if isinstance(module, GroupConvolution) else module.in_channels
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, GroupConvolution))
    ]
    return list(dict.fromkeys([*found[:1], 3, 1, *found[1:MOST_GUESSES]]))


MOST_GUESSES = 8


def _describe_refusal(
    network: Module, group: FiniteGroup, channels: int, size: tuple[int, int], name: str, refusal: Exception
) -> str:
    """The message of the network, and the sizes that it takes."""
    from equistudy.exactness.trace import SymmetryTracer

    tracer = SymmetryTracer(network, group, channels)
    taken = [str(tried) for tried in TRIED_SIZES if tracer.accepts_size(tried)]
    if taken:
        way_out = f"The network accepts these sizes, among those tried: {', '.join(taken)}. Check what it returns."
    else:
        way_out = (
            "Audit a network whose forward takes one batch of images (B, C, H, W), and set `channels` if the first "
            "convolution does not determine it."
        )
    return (
        f"An audit needs images that {name} accepts, got images of {channels} x {size[0]} x {size[1]}, for which the "
        f"audit fails: {str(refusal).rstrip('.')}. {way_out}"
    )


def _build_if_model(network: Module | Model, image_shape: tuple[int, int, int]) -> Module:
    from torch import nn

    if isinstance(network, TimmModel):
        from equistudy.networks.timm_network import build_bare_network

        return build_bare_network(network.name, image_shape, NUM_OUTPUTS)
    if isinstance(network, Model):
        return network.build(image_shape, NUM_OUTPUTS)
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"An audit takes a network (nn.Module) or a model spec, got {type(network).__name__}. "
            "Give timm's networks as TimmModel(name)."
        )
    return network
