"""The audit: which layers of a network break exact equivariance at an input size, and at which sizes none does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from equistudy.exactness.windows import Residue
from equistudy.groups.finite import DihedralGroup, FiniteGroup
from equistudy.models.model import Model
from equistudy.models.timm_model import TimmModel

if TYPE_CHECKING:
    from torch.nn import Module

    from equistudy.exactness.findings import Finding
    from equistudy.exactness.residues import Sizes
    from equistudy.exactness.trace import Tracer
else:
    Module = Finding = Sizes = Tracer = Any

__all__ = ["Audit", "DisagreementError", "Nearest", "Size", "audit"]

Size = int | tuple[int, int]
NUM_OUTPUTS = 10
TRIED = (8, 16, 32, 64, 128, 224, 256, 299, 384, 512)  # sizes to offer where the one that was asked for is refused


class DisagreementError(ValueError):
    """Rules and numbers give different verdicts: one of the two has a fault, and neither is to be trusted."""


class Nearest(NamedTuple):
    """The nearest exact sizes below and above; None where there is none. Of H x W images, (H, W)."""

    below: Size | None
    above: Size | None


@dataclass(frozen=True)
class Audit:
    """What an audit found. `layers` are those that break exact equivariance, in the order of the forward pass.

    `deviations` has the largest relative error |f(g x) - g f(x)| / |f(x)| for each element g but the identity, in
    float64 with random weights. `residue` and `nearest` are about the whole network; those of `features` leave out
    heads, which see the orientation of exact features.
    """

    model: str
    size: Size
    group: FiniteGroup
    layers: tuple[Finding, ...]
    residue: Residue | None
    nearest: Nearest
    features: "Audited"
    deviations: Mapping[str, float]

    @property
    def exact(self) -> bool:
        """Whether no layer breaks the group at this size."""
        return not self.layers

    @property
    def survives(self) -> tuple[str, ...]:
        """The elements with which the network commutes by the rules: the identity and those that no layer breaks."""
        from equistudy.exactness.elements import names_of

        kept = [row for row in self.group.rows if all(row in layer.survives for layer in self.layers)]
        return names_of(kept)

    @property
    def confirmed(self) -> tuple[str, ...]:
        """The elements with which it commutes by the numbers."""
        from equistudy.exactness.elements import NAMES
        from equistudy.exactness.numerics import EXACT

        small = {name for name, error in self.deviations.items() if error < EXACT}
        return tuple(name for name in NAMES.values() if name == "identity" or name in small)

    def assert_exact(self) -> "Audit":
        """This audit; ValueError with the first layers that break the group and the nearest exact sizes if any does."""
        if self.exact:
            return self
        layers = "; ".join(f"{layer.name} ({layer.reason})" for layer in self.layers[:3])
        more = f" and {len(self.layers) - 3} more" if len(self.layers) > 3 else ""
        near = [str(size) for size in self.nearest if size is not None]
        sizes = f"Nearest exact sizes: {', '.join(near)}." if near else "No size is exact: change these layers."
        raise ValueError(
            f"{self.model} must be exact under {self.group} at size={self.size}, got {layers}{more}. {sizes}"
        )

    def record(self) -> dict[str, Any]:
        """The audit as plain data."""
        from equistudy.exactness.elements import group_name

        return {
            "model": self.model,
            "size": _plain(self.size),
            "group": group_name(self.group),
            "exact": self.exact,
            **_sizes_record(self.residue, self.nearest),
            "survives": list(self.survives),
            "confirmed": list(self.confirmed),
            "deviations": dict(self.deviations),
            "features": {
                "exact": self.features.exact,
                **_sizes_record(self.features.residue, self.features.nearest),
            },
            "layers": [
                {
                    "name": layer.name,
                    "cause": layer.cause.value,
                    "reason": layer.reason,
                    "repair": layer.repair,
                    "survives": list(self._names(layer)),
                }
                for layer in self.layers
            ],
        }

    def _names(self, layer: Finding) -> tuple[str, ...]:
        from equistudy.exactness.elements import names_of

        return names_of(set(self.group.rows) & layer.survives)


class Audited(NamedTuple):
    """The verdict about features alone."""

    exact: bool
    residue: Residue | None
    nearest: Nearest


def _plain(size: Size | None) -> Any:
    return list(size) if isinstance(size, tuple) else size


def _sizes_record(residue: Residue | None, nearest: Nearest) -> dict[str, Any]:
    found = None if residue is None else {"modulus": residue.modulus, "remainder": residue.remainder}
    return {"nearest": {"below": _plain(nearest.below), "above": _plain(nearest.above)}, "residue": found}


def audit(
    network: Module | Model,
    size: Size,
    group: FiniteGroup | None = None,
    channels: int | None = None,
    name: str | None = None,
) -> Audit:
    """Which layers break exact equivariance for images of `size` pixels, or (height, width), by rules and by numbers.

    A network without group convolutions is exact if it commutes with the group whatever its filters are, when they are
    transformed with the image; a network with group convolutions is judged as it is. The group is the largest one by
    default: that of the network's group convolutions, or all eight symmetries of the square. `channels` are those of
    the images, by default what the first convolution takes. Random weights take the place of the network's own, which
    stays as it is.

    Raises ValueError for images that the network does not take, and its kind DisagreementError where numbers
    contradict the rules.
    """
    import torch

    from equistudy.exactness.numerics import deviations

    height, width = _checked(size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = _built(network, (channels or 3, height, width))
        name = name or (str(network) if isinstance(network, Model) else type(network).__name__)
        tracer = _tracer(built, group, channels or (3 if isinstance(network, Model) else None))
        layers = tuple(_findings(tracer, height, width, name))
        image = torch.randn(1, tracer.channels, height, width, dtype=torch.float64)
        errors = deviations(built, image, tracer.group)
    features = _features(tracer, (height, width), all(layer.head for layer in layers))
    headless = not any(layer.head for layer in layers)
    found = Audit(
        name,
        height if height == width else (height, width),
        tracer.group,
        layers,
        features.residue if headless else None,
        features.nearest if headless else Nearest(None, None),
        features,
        _by_name(errors),
    )
    _check_agreement(found)
    return found


def _checked(size: Size) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"An input size is a number of pixels or (height, width), got size={size!r}. Try size=32.")
    return sides[0], sides[1]


def _built(network: Module | Model, image_shape: tuple[int, int, int]) -> Module:
    from torch import nn

    if isinstance(network, TimmModel):
        from equistudy.models.timm_network import bare_network

        return bare_network(network.name, image_shape, NUM_OUTPUTS)
    if isinstance(network, Model):
        return network.build(image_shape, NUM_OUTPUTS)
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"An audit takes a network (nn.Module) or a model spec, got {type(network).__name__}. "
            "Give timm's networks as TimmModel(name)."
        )
    return network


def _tracer(network: Module, group: FiniteGroup | None, channels: int | None) -> Tracer:
    from torch import nn

    from equistudy.exactness.trace import GroupConvolution, Tracer, groups_of

    own = groups_of(network)
    asked = group or (own[0] if own else DihedralGroup(4))
    convolutions = (module for module in network.modules() if isinstance(module, (nn.Conv2d, GroupConvolution)))
    first = next(convolutions, None)
    taken = 3 if first is None else first.in_channels if isinstance(first, nn.Conv2d) else first.inputs
    return Tracer(network, asked, channels or taken)


def _findings(tracer: Tracer, height: int, width: int, name: str) -> list[Finding]:
    from equistudy.exactness.trace import RefusedError

    try:
        return tracer.findings(height, width)
    except RefusedError as refusal:
        taken = [size for size in TRIED if tracer.takes(size)]
        if taken:
            sizes = ", ".join(str(size) for size in taken)
            way_out = f"Of {', '.join(str(size) for size in TRIED)} pixels it takes {sizes}."
        else:
            way_out = "Audit a network whose forward takes one batch of images (B, C, H, W)."
        raise ValueError(
            f"{name} must take the images that it is audited with, got images of {tracer.channels} x {height} x "
            f"{width} and {refusal}. {way_out}"
        ) from refusal


def _features(tracer: Tracer, size: tuple[int, int], exact: bool) -> Audited:
    """What is known of other sizes: none is tried where a layer breaks the group at every size."""
    from equistudy.exactness.residues import exact_sizes

    if tracer.hopeless:
        return Audited(exact, None, Nearest(None, None))
    if size[0] == size[1]:
        found = exact_sizes(tracer, size[0], exact)
        return Audited(exact, found.residue, Nearest(found.below, found.above))
    sides = [exact_sizes(tracer, side, tracer.exact(side)) for side in size]
    nearest, strictly = [], all(side.exact for side in sides)
    for nearer in ("below", "above"):
        kept = [side.exact and not strictly for side in sides]
        pair = [n if keep else getattr(side, nearer) for n, side, keep in zip(size, sides, kept, strict=True)]
        nearest.append(None if None in pair else (pair[0], pair[1]))
    return Audited(exact, sides[0].residue, Nearest(*nearest))


def _by_name(errors: Mapping[tuple[float, float], float]) -> dict[str, float]:
    from equistudy.exactness.elements import NAMES

    return {NAMES[row]: error for row, error in errors.items()}


def _check_agreement(found: Audit) -> None:
    """Raises DisagreementError unless rules and numbers keep the same elements, and no number lies in between."""
    from equistudy.exactness.numerics import BROKEN, EXACT

    unclear = {name: error for name, error in found.deviations.items() if not (error < EXACT or error > BROKEN)}
    if found.confirmed == found.survives and not unclear:
        return
    numbers = ", ".join(f"{name} {error:.1e}" for name, error in found.deviations.items())
    raise DisagreementError(
        f"Rules and numbers must agree on {found.model} at size={found.size}, got {', '.join(found.survives)} by the "
        f"rules and {', '.join(found.confirmed)} by the numbers (relative errors: {numbers}). Do not rely on either: "
        "please report the network."
    )
