"""The audit: which layers of a network break exact equivariance at an input size, and at which sizes none does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from equistudy.exactness.judging import Judgement, Size, judge_network
from equistudy.exactness.windows import Residue
from equistudy.groups.finite import FiniteGroup
from equistudy.models.model import Model

if TYPE_CHECKING:
    from torch.nn import Module

    from equistudy.exactness.findings import BreakingLayer
    from equistudy.exactness.trace import SymmetryTracer
else:
    Module = BreakingLayer = SymmetryTracer = Any

__all__ = ["Audit", "NearestSizes", "audit"]


class NearestSizes(NamedTuple):
    """The nearest exact sizes below and above; None where there is none. Of H x W images, (H, W)."""

    below: Size | None
    above: Size | None


@dataclass(frozen=True)
class Audit(Judgement):
    """What an audit found at one input size, and about others.

    `residue` and `nearest` are about the whole network; those of `features` leave out heads, which see the orientation
    of exact features.
    """

    residue: Residue | None
    nearest: NearestSizes
    features: "FeatureAudit"

    def assert_exact(self) -> "Audit":
        """This audit; ValueError with the first layers that break the group and the nearest exact sizes if any does."""
        if self.is_exact:
            return self
        layers = "; ".join(f"{layer.name} ({layer.reason})" for layer in self.layers[:3])
        more = f" and {len(self.layers) - 3} more" if len(self.layers) > 3 else ""
        near = [str(size) for size in self.nearest if size is not None]
        sizes = f"Nearest exact sizes: {', '.join(near)}." if near else "No size is exact: change these layers."
        raise ValueError(
            f"{self.model} must be exact under {self.group} at size={self.size}, got {layers}{more}. {sizes}"
        )

    def to_record(self) -> dict[str, Any]:
        """The audit as plain data."""
        from equistudy.exactness.elements import get_group_name

        return {
            "model": self.model,
            "size": _size_to_plain(self.size),
            "group": get_group_name(self.group),
            "exact": self.is_exact,
            **_build_sizes_record(self.residue, self.nearest),
            "survives": list(self.preserved_elements),
            "confirmed": list(self.confirmed_elements),
            "deviations": dict(self.deviations),
            "features": {
                "exact": self.features.exact,
                **_build_sizes_record(self.features.residue, self.features.nearest),
            },
            "layers": [
                {
                    "name": layer.name,
                    "cause": layer.cause.value,
                    "reason": layer.reason,
                    "repair": layer.repair,
                    "survives": list(self._preserved_names(layer)),
                }
                for layer in self.layers
            ],
        }

    def _preserved_names(self, layer: BreakingLayer) -> tuple[str, ...]:
        from equistudy.exactness.elements import element_names

        return element_names(set(self.group.element_parameters) & layer.survives)


class FeatureAudit(NamedTuple):
    """The verdict about features alone."""

    exact: bool
    residue: Residue | None
    nearest: NearestSizes


def _size_to_plain(size: Size | None) -> Any:
    return list(size) if isinstance(size, tuple) else size


def _build_sizes_record(residue: Residue | None, nearest: NearestSizes) -> dict[str, Any]:
    found = None if residue is None else {"modulus": residue.modulus, "remainder": residue.remainder}
    return {
        "nearest": {"below": _size_to_plain(nearest.below), "above": _size_to_plain(nearest.above)},
        "residue": found,
    }


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
    found, tracer = judge_network(network, size, group, channels, name)
    sides = (found.size, found.size) if isinstance(found.size, int) else found.size
    features = _audit_features(tracer, sides, all(layer.is_head for layer in found.layers))
    headless = not any(layer.is_head for layer in found.layers)
    return Audit(
        **vars(found),
        residue=features.residue if headless else None,
        nearest=features.nearest if headless else NearestSizes(None, None),
        features=features,
    )


def _audit_features(tracer: SymmetryTracer, size: tuple[int, int], exact: bool) -> FeatureAudit:
    """What is known of other sizes: none is tried where a layer breaks the group at every size."""
    from equistudy.exactness.residues import find_exact_sizes

    if tracer.hopeless:
        return FeatureAudit(exact, None, NearestSizes(None, None))
    if size[0] == size[1]:
        found = find_exact_sizes(tracer, size[0], exact)
        return FeatureAudit(exact, found.residue, NearestSizes(found.below, found.above))
    sides = [find_exact_sizes(tracer, side, tracer.is_exact(side)) for side in size]
    nearest, strictly = [], all(side.exact for side in sides)
    for nearer in ("below", "above"):
        kept = [side.exact and not strictly for side in sides]
        pair = [n if keep else getattr(side, nearer) for n, side, keep in zip(size, sides, kept, strict=True)]
        nearest.append(None if None in pair else (pair[0], pair[1]))
    return FeatureAudit(exact, sides[0].residue, NearestSizes(*nearest))
