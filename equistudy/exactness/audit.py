"""The audit: which layers of a network break exact equivariance at an input size, and at which sizes none does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from equistudy.exactness.judging import Judgement, Size, judged
from equistudy.exactness.windows import Residue
from equistudy.groups.finite import FiniteGroup
from equistudy.models.model import Model

if TYPE_CHECKING:
    from torch.nn import Module

    from equistudy.exactness.findings import Finding
    from equistudy.exactness.trace import Tracer
else:
    Module = Finding = Tracer = Any

__all__ = ["Audit", "Nearest", "audit"]


class Nearest(NamedTuple):
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
    nearest: Nearest
    features: "Audited"

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
    found, tracer = judged(network, size, group, channels, name)
    sides = (found.size, found.size) if isinstance(found.size, int) else found.size
    features = _features(tracer, sides, all(layer.head for layer in found.layers))
    headless = not any(layer.head for layer in found.layers)
    return Audit(
        **vars(found),
        residue=features.residue if headless else None,
        nearest=features.nearest if headless else Nearest(None, None),
        features=features,
    )


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
