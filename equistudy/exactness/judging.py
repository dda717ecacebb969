"""What rules and numbers say about a network at one input size: which layers break exact equivariance."""

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

__all__ = ["Judgement", "Probes", "Size", "check_group", "check_size", "judge_network"]

Size = int | tuple[int, int]
NUM_OUTPUTS = 10
TRIED_SIZES = (8, 16, 32, 64, 128, 224, 256, 299, 384, 512)  # to suggest where the given size is refused
MOST_NAMED_LAYERS = 3


@dataclass(frozen=True)
class Judgement:
    """A network at one input size. `layers` are those that break the group, in the order of the forward pass.

    `deviations` has the largest relative error |f(g x) - g f(x)| / |f(x)| for each element g but the identity, in
    float64 with random weights and, without group convolutions, filters that move with the image. The network is exact
    where every error is below `threshold`: rules explain the numbers, but never overrule them. Where they do not cover
    the network, `caveat` says so in a sentence; it is empty otherwise.
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
        """The elements with which the network commutes: the identity and those that no layer breaks."""
        from equistudy.exactness.elements import element_names

        kept = [row for row in self.group.element_parameters if all(row in layer.survives for layer in self.layers)]
        return element_names(kept)


class Probes(NamedTuple):
    """What can look at other sizes: rules, where they agree with the numbers here, and numbers."""

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
    """What `audit` finds at this size alone, with what can look at other sizes. Errors are those of `audit`."""
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


def _find_kept(layers: list[BreakingLayer], group: FiniteGroup) -> set[ElementParameters]:
    """The elements with which the network commutes by the rules."""
    return {row for row in group.element_parameters if all(row in layer.survives for layer in layers)}


def _find_small(errors: Mapping[ElementParameters, float], threshold: float) -> set[ElementParameters]:
    """The elements with which it commutes by the numbers."""
    return {(0.0, 0.0)} | {row for row, error in errors.items() if error < threshold}


def _measure_again(
    network: Module, numbers: NumericalJudge, errors: Mapping[ElementParameters, float], size: tuple[int, int]
) -> dict[ElementParameters, float]:
    """The larger of the errors and those with other random weights on several images.

    What no rule confirms might be exact by chance: the maximum of a map, for one, often survives a fault elsewhere. So
    other sizes will be judged by several images, too, where the network takes them.
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
    """The findings of the rules, without what the numbers refute, and with what they show in addition."""
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
    """Height and width of an input size; ValueError if it is none."""
    sides = (size, size) if isinstance(size, int) else size
    whole = isinstance(sides, (tuple, list)) and all(isinstance(n, int) and not isinstance(n, bool) for n in sides)
    if not whole or len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"An input size is a number of pixels or (height, width), got size={size!r}. Try size=32.")
    return sides[0], sides[1]


def check_group(group: Any) -> None:
    """TypeError for what is no finite group of the square, with the one that was probably meant."""
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
    """The errors, with what measured them; ValueError if the network does not take the images."""
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
    """The numbers of channels that images may have: those of the first convolution, 3, 1, those of the others."""
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
    """What the network said, and the sizes that it takes."""
    from equistudy.exactness.trace import SymmetryTracer

    tracer = SymmetryTracer(network, group, channels)
    taken = [str(tried) for tried in TRIED_SIZES if tracer.accepts_size(tried)]
    if taken:
        way_out = f"Of {', '.join(str(tried) for tried in TRIED_SIZES)} pixels it takes {', '.join(taken)}."
    else:
        way_out = (
            "Audit a network whose forward takes one batch of images (B, C, H, W), and give the number of their "
            "channels where the first convolution does not tell."
        )
    return (
        f"{name} must take the images that it is audited with, got images of {channels} x {size[0]} x {size[1]} and "
        f"{refusal}. {way_out}"
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
