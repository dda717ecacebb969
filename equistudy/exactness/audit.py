"""The audit: which layers break exact equivariance at an input size, their repairs, and the nearest exact sizes."""

import copy
import html
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from equistudy.exactness.judging import Judgement, Probes, Size, judge_network
from equistudy.exactness.windows import Residue
from equistudy.groups.finite import FiniteGroup
from equistudy.models.model import Model

if TYPE_CHECKING:
    from torch.nn import Module

    from equistudy.exactness.findings import BreakingLayer
    from equistudy.exactness.residues import ExactSizes
else:
    Module = BreakingLayer = ExactSizes = Any

__all__ = ["Audit", "NearestSizes", "audit", "repair"]


class NearestSizes(NamedTuple):
    """The nearest exact sizes below and above; None where there is none. Of H x W images, (H, W)."""

    below: Size | None
    above: Size | None


@dataclass(frozen=True)
class Audit(Judgement):
    """The result of an audit at one input size, and what is known about other sizes.

    `residue` and `nearest` are for the whole network; those of `features` ignore heads that see the orientation of
    exact features.
    """

    residue: Residue | None
    nearest: NearestSizes
    features: "FeatureAudit"

    def assert_exact(self) -> "Audit":
        """Returns this audit; raises ValueError with the first breaking layers and the nearest exact sizes."""
        if self.is_exact:
            return self
        layers = "; ".join(f"{layer.name} ({layer.reason})" for layer in self.layers[:3])
        more = f" and {len(self.layers) - 3} more" if len(self.layers) > 3 else ""
        near = [str(size) for size in self.nearest if size is not None]
        sizes = f"Nearest exact sizes: {', '.join(near)}." if near else "No exact size was found: change these layers."
        raise ValueError(
            f"{self.model} must be exact under {self.group} at size={self.size}, got {layers}{more}. {sizes}"
        )

    def __str__(self) -> str:
        near = " and ".join(str(size) for size in self.nearest if size is not None) or "none found"
        verdict = "exact" if self.is_exact else "not exact"
        lines = [f"{self.model} at {self.size} pixels under {self.group}: {verdict}; nearest exact sizes: {near}"]
        lines += [f"{layer.name}: {layer.reason}" for layer in self.layers]
        return "\n".join([*lines, *([self.caveat] if self.caveat else [])])

    def _repr_html_(self) -> str:
        head, *layers = str(self).splitlines()
        items = "".join(f"<li>{html.escape(line)}</li>" for line in layers)
        return f"<p><b>{html.escape(head)}</b></p><ul>{items}</ul>"

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
            "deviations": dict(self.deviations),
            "caveat": self.caveat or None,
            "searched": list(self.features.searched) if self.features.searched else None,
            "features": {
                "exact": self.features.exact,
                **_build_sizes_record(self.features.residue, self.features.nearest),
            },
            "layers": [
                {
                    "name": layer.name,
                    "cause": layer.cause.value,
                    "reason": layer.reason,
                    "repair": layer.repair or None,
                    "survives": list(self._preserved_names(layer)),
                }
                for layer in self.layers
            ],
        }

    def _preserved_names(self, layer: BreakingLayer) -> tuple[str, ...]:
        from equistudy.exactness.elements import element_names

        return element_names(set(self.group.element_parameters) & layer.survives)


class FeatureAudit(NamedTuple):
    """The verdict on features alone, and on other sizes. `searched` are the sizes that were searched numerically."""

    exact: bool
    residue: Residue | None
    nearest: NearestSizes
    searched: tuple[int, int] | None


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
    """Finds the layers that break exact equivariance for images of `size` pixels, or (height, width).

    A network without group convolutions is exact if transforming the image and its learned filters together transforms
    its output, whatever the filters are; a network with group convolutions is judged as it is. Rules find the layers,
    and a forward pass in float64 confirms them. The default group is the largest one: that of the network's group
    convolutions, or all eight symmetries of the square. `channels` is the number of image channels, by default that of
    the first convolution. The network is not changed: a copy with randomised weights is judged.

    Raises ValueError if the network does not take the images, and TypeError if an argument is not a network or group.
    """
    return _audit(*judge_network(network, size, group, channels, name))[0]


def repair(
    network: Module | Model, size: Size, group: FiniteGroup | None = None, channels: int | None = None
) -> tuple[Module, Audit]:
    """A copy of the network with edited layers that is exact for images of `size` pixels, and its audit.

    Arguments are those of `audit`, whose layers name the edits. Edited layers keep the number of cells; filters of
    another size are resampled from the old ones, so train or fine-tune the copy. Raises ValueError if no edits are
    found for which a forward pass confirms that the copy is exact.
    """
    found, probes = judge_network(network, size, group, channels)
    if found.is_exact:
        return copy.deepcopy(probes.network), _audit(found, probes)[0]
    before, repaired = _audit(found, probes)
    if repaired is None:
        layers = ", ".join(layer.name for layer in found.layers[:3])
        near = [str(side) for side in before.features.nearest if side is not None]
        way_out = f"Use another size, such as {' or '.join(near)}." if near else "Replace these layers by hand."
        raise ValueError(
            f"A repair must make every layer of {found.model} exact at size={found.size}, but none was found for "
            f"{layers}. {way_out}"
        )
    return repaired, audit(repaired, size, found.group, probes.numbers.channels, name=found.model)


def _audit(found: Judgement, probes: Probes) -> tuple[Audit, Module | None]:
    """The audit, and an edited network that is exact if one was found."""
    from equistudy.exactness.repairs import find_repair

    sides = (found.size, found.size) if isinstance(found.size, int) else found.size
    repaired = None
    if found.layers and probes.rules_hold:
        repaired = find_repair(probes.network, probes.tracer, sides)
    edits = repaired.edits if repaired else {}
    headless = not any(layer.is_head for layer in found.layers)
    features = _audit_features(found, probes, sides)
    layers = tuple(replace(layer, repair=edits.get(layer.name, "")) for layer in found.layers)
    together = Audit(
        **{**vars(found), "layers": layers},
        residue=features.residue if headless else None,
        nearest=features.nearest if headless else NearestSizes(None, None),
        features=features,
    )
    return together, repaired.network if repaired else None


def _audit_features(found: Judgement, probes: Probes, size: tuple[int, int]) -> FeatureAudit:
    """The verdict on other sizes; none is tried if a layer breaks the group at every size."""
    exact = all(layer.is_head for layer in found.layers)
    if probes.rules_hold and probes.tracer.hopeless:
        return FeatureAudit(exact, None, NearestSizes(None, None), None)
    heads = {layer.name for layer in found.layers if layer.is_head}
    if size[0] == size[1]:
        sizes = _find_sizes(probes, size[0], exact, lambda side: _confirm(probes, (side, side), heads))
        return FeatureAudit(exact, sizes.residue, NearestSizes(sizes.below, sizes.above), sizes.searched)
    sides = [
        _find_sizes(probes, side, _confirm(probes, (side, side), heads), lambda n: _confirm(probes, (n, n), heads))
        for side in size
    ]
    nearest, strictly = [], all(side.exact for side in sides)
    for nearer in ("below", "above"):
        kept = [side.exact and not strictly for side in sides]
        pair = [n if keep else getattr(side, nearer) for n, side, keep in zip(size, sides, kept, strict=True)]
        confirmed = None not in pair and _confirm(probes, (pair[0], pair[1]), heads)
        nearest.append((pair[0], pair[1]) if confirmed else None)
    return FeatureAudit(exact, sides[0].residue, NearestSizes(*nearest), sides[0].searched)


def _find_sizes(probes: Probes, size: int, exact: bool, confirm: Callable[[int], bool]) -> ExactSizes:
    """By rules where they hold, else numerically."""
    from equistudy.exactness.residues import find_exact_sizes, search_exact_sizes

    found = find_exact_sizes(probes.tracer, size, exact, confirm) if probes.rules_hold else None
    return search_exact_sizes(size, exact, confirm) if found is None else found


def _confirm(probes: Probes, size: tuple[int, int], heads: Collection[str]) -> bool:
    """Whether features (or outputs, without heads) are numerically exact at a size."""
    from equistudy.exactness.culprits import are_features_exact

    return are_features_exact(probes.numbers, *size, heads) if heads else probes.numbers.is_exact(*size)
