"""What rules and numbers say about a network at one input size: which layers break exact equivariance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equistudy.groups.finite import DihedralGroup, FiniteGroup
from equistudy.models.model import Model
from equistudy.models.timm_model import TimmModel

if TYPE_CHECKING:
    from torch.nn import Module

    from equistudy.exactness.findings import BreakingLayer
    from equistudy.exactness.trace import SymmetryTracer
else:
    Module = BreakingLayer = SymmetryTracer = Any

__all__ = ["DisagreementError", "Judgement", "Size", "judge_network"]

Size = int | tuple[int, int]
NUM_OUTPUTS = 10
TRIED_SIZES = (
    8,
    16,
    32,
    64,
    128,
    224,
    256,
    299,
    384,
    512,
)  # sizes to offer where the one that was asked for is refused


class DisagreementError(ValueError):
    """Rules and numbers give different verdicts: one of the two has a fault, and neither is to be trusted."""


@dataclass(frozen=True)
class Judgement:
    """A network at one input size. `layers` are those that break the group, in the order of the forward pass.

    `deviations` has the largest relative error |f(g x) - g f(x)| / |f(x)| for each element g but the identity, in
    float64 with random weights.
    """

    model: str
    size: Size
    group: FiniteGroup
    layers: tuple[BreakingLayer, ...]
    deviations: Mapping[str, float]

    @property
    def is_exact(self) -> bool:
        """Whether no layer breaks the group at this size."""
        return not self.layers

    @property
    def preserved_elements(self) -> tuple[str, ...]:
        """The elements with which the network commutes by the rules: the identity and those that no layer breaks."""
        from equistudy.exactness.elements import element_names

        kept = [row for row in self.group.element_parameters if all(row in layer.survives for layer in self.layers)]
        return element_names(kept)

    @property
    def confirmed_elements(self) -> tuple[str, ...]:
        """The elements with which it commutes by the numbers."""
        from equistudy.exactness.elements import SPRITE_NAMES
        from equistudy.exactness.numerics import EXACT

        small = {name for name, error in self.deviations.items() if error < EXACT}
        return tuple(name for name in SPRITE_NAMES.values() if name == "identity" or name in small)


def judge_network(
    network: Module | Model,
    size: Size,
    group: FiniteGroup | None = None,
    channels: int | None = None,
    name: str | None = None,
) -> tuple[Judgement, SymmetryTracer]:
    """What `audit` finds at this size alone, with the tracer that can look at others. Errors are those of `audit`."""
    import torch

    from equistudy.exactness.numerics import measure_deviations

    height, width = _check_size(size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = _build_if_model(network, (channels or 3, height, width))
        name = name or (str(network) if isinstance(network, Model) else type(network).__name__)
        tracer = _create_tracer(built, group, channels or (3 if isinstance(network, Model) else None))
        layers = tuple(_find_breaking_layers(tracer, height, width, name))
        image = torch.randn(1, tracer.channels, height, width, dtype=torch.float64)
        errors = measure_deviations(built, image, tracer.group)
    found = Judgement(name, height if height == width else (height, width), tracer.group, layers, _key_by_name(errors))
    _check_agreement(found)
    return found, tracer


def _check_size(size: Size) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"An input size is a number of pixels or (height, width), got size={size!r}. Try size=32.")
    return sides[0], sides[1]


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


def _create_tracer(network: Module, group: FiniteGroup | None, channels: int | None) -> SymmetryTracer:
    from torch import nn

    from equistudy.exactness.trace import GroupConvolution, SymmetryTracer, find_groups

    own = find_groups(network)
    asked = group or (own[0] if own else DihedralGroup(4))
    convolutions = (module for module in network.modules() if isinstance(module, (nn.Conv2d, GroupConvolution)))
    first = next(convolutions, None)
    taken = 3 if first is None else first.in_channels if isinstance(first, nn.Conv2d) else first.inputs
    return SymmetryTracer(network, asked, channels or taken)


def _find_breaking_layers(tracer: SymmetryTracer, height: int, width: int, name: str) -> list[BreakingLayer]:
    from equistudy.exactness.trace import RefusedError

    try:
        return tracer.find_breaking_layers(height, width)
    except RefusedError as refusal:
        taken = [size for size in TRIED_SIZES if tracer.accepts_size(size)]
        if taken:
            sizes = ", ".join(str(size) for size in taken)
            way_out = f"Of {', '.join(str(size) for size in TRIED_SIZES)} pixels it takes {sizes}."
        else:
            way_out = "Audit a network whose forward takes one batch of images (B, C, H, W)."
        raise ValueError(
            f"{name} must take the images that it is audited with, got images of {tracer.channels} x {height} x "
            f"{width} and {refusal}. {way_out}"
        ) from refusal


def _key_by_name(errors: Mapping[tuple[float, float], float]) -> dict[str, float]:
    from equistudy.exactness.elements import SPRITE_NAMES

    return {SPRITE_NAMES[row]: error for row, error in errors.items()}


def _check_agreement(found: Judgement) -> None:
    """Raises DisagreementError unless rules and numbers keep the same elements, and no number lies in between."""
    from equistudy.exactness.numerics import BROKEN, EXACT

    unclear = {name: error for name, error in found.deviations.items() if not (error < EXACT or error > BROKEN)}
    if found.confirmed_elements == found.preserved_elements and not unclear:
        return
    numbers = ", ".join(f"{name} {error:.1e}" for name, error in found.deviations.items())
    raise DisagreementError(
        f"Rules and numbers must agree on {found.model} at size={found.size}, got "
        f"{', '.join(found.preserved_elements)} by the "
        f"rules and {', '.join(found.confirmed_elements)} by the numbers (relative errors: {numbers}). Do not "
        "rely on either: "
        "please report the network."
    )
