"""Finite groups of symmetries of the square (reflections, quarter turns), exact on images and on regular features."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import ClassVar

from jaxtyping import Float, Int64

from equistudy.groups.affine_group import AffineGroup
from equistudy.groups.group import Element, Grid, Region
from equistudy.spec import Generator, Tensor

__all__ = [
    "ChannelAction",
    "CyclicGroup",
    "DihedralGroup",
    "FiniteGroup",
    "Flip",
    "Reflection",
    "check_elements",
]


class ChannelAction(Enum):
    """What an element does to the channels of a feature map, besides moving its cells.

    IDENTITY: the channels stay where they are. REGULAR: the channels are C fields of |G| channels, one for each element
    h of the group in the order of `FiniteGroup.element_parameters`; element h of field c is channel c |G| + h of a map
    (B, C |G|, H, W). The action is (g f)[h] = g.f[g^-1 h], the layout of group convolutions, whose kernel h is kernel 0
    moved by h. Measured with IDENTITY, such networks appear not to be equivariant.
    """

    IDENTITY = "identity"
    REGULAR = "regular"


class Flip(Enum):
    """HORIZONTAL swaps left and right, VERTICAL swaps top and bottom."""

    HORIZONTAL = "horizontal"
    VERTICAL = "vertical"


@dataclass(frozen=True)
class FiniteGroup(AffineGroup):
    """Base of the groups of symmetries of the square.

    The parameters are (degrees, mirrored): if mirrored is 1, left and right are swapped first, and then the content is
    rotated. The magnitude of an element is the largest angle by which it rotates a direction, so that of every
    reflection is 180 degrees.
    """

    unit: ClassVar[str] = "deg"
    ROUND = True

    channel_action: ChannelAction = field(default=ChannelAction.IDENTITY, kw_only=True)

    def __post_init__(self) -> None:
        check_elements(self, self.element_parameters)

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        """The parameters of every element, identity first; the channels of a regular field have the same order."""
        raise NotImplementedError

    @property
    def order(self) -> int:
        """The number of elements, |G|."""
        return len(self.element_parameters)

    @property
    def mixed_channels(self) -> int:
        """The number of channels in a regular field, or 1 if the channels stay."""
        return self.order if self.channel_action is ChannelAction.REGULAR else 1

    def elements(self) -> tuple[Element, ...]:
        """Every element but the identity."""
        return tuple(
            Element(
                _element_label(degrees, mirrored),
                180.0 if mirrored else min(degrees, 360 - degrees),
                (degrees, mirrored),
            )
            for degrees, mirrored in self.element_parameters[1:]
        )

    def sample(self, count: int, rng: Generator) -> Float[Tensor, "N 2"]:
        """Elements drawn uniformly from the group, identity included."""
        import torch

        drawn = torch.randint(self.order, (count,), generator=rng, device=rng.device)
        return torch.tensor(self.element_parameters, device=rng.device)[drawn]

    def inverse(self, elements: Float[Tensor, "N 2"]) -> Float[Tensor, "N 2"]:
        """The opposite rotation; a reflection is its own inverse."""
        import torch

        degrees, mirrored = elements.unbind(dim=1)
        return torch.stack([torch.where(mirrored == 1, degrees, -degrees) % 360, mirrored], dim=1)

    def compose(self, first: Float[Tensor, "N 2"], second: Float[Tensor, "N 2"]) -> Float[Tensor, "N 2"]:
        """The products g h: r^k s^m r^l s^n = r^(k + l) s^(m + n), or r^(k - l) s^(m + n) if m is 1."""
        import torch

        (turn, mirrored), (then, mirrored_then) = first.unbind(dim=1), second.unbind(dim=1)
        turned = (turn + torch.where(mirrored == 1, -then, then)) % 360
        return torch.stack([turned, (mirrored + mirrored_then) % 2], dim=1)

    def channel_permutation(self, element: Element) -> Int64[Tensor, " G"]:
        """For each element h, the index of g^-1 h: the channel of f that becomes channel h of g f."""
        import torch

        rows = torch.tensor(self.element_parameters)
        inverse = self.inverse(torch.tensor([element.parameters]))
        products = self.compose(inverse.expand_as(rows), rows)
        return (products[:, None] == rows).all(dim=-1).long().argmax(dim=1)

    def matrices(self, elements: Float[Tensor, "N 2"]) -> Float[Tensor, "N 2 3"]:
        """Output-to-input matrices s^m r^-k."""
        import torch

        from equistudy.groups.resampling import rotation_matrices

        matrices = rotation_matrices(elements[:, 0])
        side = 1 - 2 * elements[:, 1:]
        return torch.stack([matrices[:, 0] * side, matrices[:, 1]], dim=1)

    def without_channel_action(self) -> "FiniteGroup":
        """The same group with `ChannelAction.IDENTITY`."""
        return replace(self, channel_action=ChannelAction.IDENTITY)

    def channel_obstacle(self, channels: int) -> str | None:
        """Regular features need a multiple of |G| channels."""
        if self.channel_action is ChannelAction.REGULAR and channels % self.order:
            return f"its {channels} channels do not form regular fields of {self.order} channels each"
        return None

    def act_on_features(
        self, features: Float[Tensor, "B C H W"], element: Element, grid: Grid, region: Region
    ) -> Float[Tensor, "B C h w"]:
        """The map moved about the image centre, with its channels permuted according to `channel_action`."""
        moved = super().act_on_features(features, element, grid, region)
        if self.channel_action is ChannelAction.IDENTITY:
            return moved
        if features.shape[1] % self.order:
            raise ValueError(
                f"Regular features have {self.order} channels for each field, got {features.shape[1]} channels for "
                f"{self}. Name stages that are regular, or use ChannelAction.IDENTITY."
            )
        fields = moved.unflatten(1, (-1, self.order))
        return fields[:, :, self.channel_permutation(element).to(moved.device)].flatten(1, 2)


@dataclass(frozen=True)
class CyclicGroup(FiniteGroup):
    """C2 or C4: rotations by multiples of 360 / `rotations` degrees, for `rotations` 2 or 4. Exact.

    Channel h of a regular field belongs to the rotation by h 360 / `rotations` degrees, so that rotating by one step
    shifts the channels of each field cyclically by one.

    >>> import equistudy as eq
    >>> [element.label for element in eq.CyclicGroup(4).elements()]
    ['90 deg', '180 deg', '270 deg']
    """

    rotations: int = 4

    def __post_init__(self) -> None:
        _check_rotations(self.rotations, (2, 4))

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        """Rotations in increasing order."""
        return tuple((360.0 * turn / self.rotations, 0.0) for turn in range(self.rotations))


@dataclass(frozen=True)
class DihedralGroup(FiniteGroup):
    """D1, D2 or D4: the rotations of `CyclicGroup`, each also of the mirror image, for 1, 2 or 4 rotations. Exact.

    A regular field has the channels of the rotations in increasing order, then those of the mirror image.

    >>> import equistudy as eq
    >>> eq.DihedralGroup(4).order
    8
    """

    rotations: int = 4

    def __post_init__(self) -> None:
        _check_rotations(self.rotations, (1, 2, 4))

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        """Rotations in increasing order, then those of the mirror image."""
        turns = [360.0 * turn / self.rotations for turn in range(self.rotations)]
        return tuple((degrees, mirrored) for mirrored in (0.0, 1.0) for degrees in turns)


@dataclass(frozen=True)
class Reflection(FiniteGroup):
    """The identity and one reflection. Exact.

    >>> import equistudy as eq
    >>> [element.label for element in eq.Reflection(eq.Flip.VERTICAL).elements()]
    ['top-bottom']
    """

    flip: Flip = Flip.HORIZONTAL

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        """The identity and the reflection; swapping top and bottom is mirroring and then rotating by 180 degrees."""
        return (0.0, 0.0), (0.0 if self.flip is Flip.HORIZONTAL else 180.0, 1.0)


FULL_TURN = 360.0


def check_elements(group: object, elements: tuple[tuple[float, float], ...]) -> None:
    """Raises ValueError unless these are all elements of a group, each once, identity first."""
    known = set(elements)
    missing = {_multiply(first, second) for first in elements for second in elements} - known
    if not elements or elements[0] != (0.0, 0.0):
        fault = f"{elements[0] if elements else 'none'} as the first element"
    elif odd := [row for row in elements if not 0 <= row[0] < FULL_TURN or row[1] not in (0, 1)]:
        fault = f"{odd[0]}"
    elif len(known) < len(elements):
        fault = f"{next(row for row in elements if elements.count(row) > 1)} twice"
    elif missing:
        fault = f"no {min(missing)}, which is a product of others"
    else:
        return
    raise ValueError(
        "element_parameters must list every element of a group once as (degrees, mirrored), with 0 <= degrees < 360 "
        "and mirrored 0 or 1, identity (0, 0) first and closed under products, "
        f"got {fault} in {group}. Use CyclicGroup, DihedralGroup or Reflection, or complete element_parameters."
    )


def _multiply(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    (turn, mirrored), (then, mirrored_then) = first, second
    return (turn + (-then if mirrored else then)) % FULL_TURN, (mirrored + mirrored_then) % 2


def _element_label(degrees: float, mirrored: float) -> str:
    if not mirrored:
        return f"{degrees:g} deg"
    plain = {0.0: "left-right", 180.0: "top-bottom"}
    return plain.get(degrees, f"left-right, {degrees:g} deg")


def _check_rotations(rotations: int, exact: tuple[int, ...]) -> None:
    if rotations not in exact:
        raise ValueError(
            f"rotations must be one of {exact}, which take pixels to pixels, got rotations={rotations}. Use "
            "Rotation(degrees=...) to measure other angles; kernels interpolated to other angles are not implemented."
        )
