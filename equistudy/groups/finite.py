"""Finite groups of the square: reflections, quarter turns and both, exact on images and on regular features."""

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

    IDENTITY: nothing. REGULAR: the channels are C fields of |G| each, one for every element h of the group in the order
    of `FiniteGroup.table`: channel c |G| + h, so that a map is (B, C |G|, H, W). (g f)[h] = g.f[g^-1 h]: the layout of
    group convolutions whose kernel h is g-fold turned from kernel 0. IDENTITY finds such networks not equivariant.
    """

    IDENTITY = "identity"
    REGULAR = "regular"


class Flip(Enum):
    """HORIZONTAL: left and right change places. VERTICAL: top and bottom do."""

    HORIZONTAL = "horizontal"
    VERTICAL = "vertical"


@dataclass(frozen=True)
class FiniteGroup(AffineGroup):
    """Base of the groups of symmetries of the square.

    The parameters are (degrees, mirrored): first, if mirrored is 1, left and right change places, then the content is
    turned. The magnitude is the largest angle by which an element turns a direction:
    180 degrees for each mirror image.
    """

    unit: ClassVar[str] = "deg"
    ROUND = True

    channel_action: ChannelAction = field(default=ChannelAction.IDENTITY, kw_only=True)

    def __post_init__(self) -> None:
        check_elements(self, self.element_parameters)

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        """The parameters of every element, the identity first: the order of the channels of a regular field."""
        raise NotImplementedError

    @property
    def order(self) -> int:
        """The number of elements, |G|."""
        return len(self.element_parameters)

    @property
    def mixed_channels(self) -> int:
        """Those of a regular field."""
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
        """Elements drawn uniformly, the identity among them."""
        import torch

        drawn = torch.randint(self.order, (count,), generator=rng, device=rng.device)
        return torch.tensor(self.element_parameters, device=rng.device)[drawn]

    def inverse(self, elements: Float[Tensor, "N 2"]) -> Float[Tensor, "N 2"]:
        """The opposite turn; a mirror image undoes itself."""
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
        """For each element h, the position of g^-1 h among `rows`: where channel h of g f comes from."""
        import torch

        rows = torch.tensor(self.element_parameters)
        inverse = self.inverse(torch.tensor([element.parameters]))
        products = self.compose(inverse.expand_as(rows), rows)
        return (products[:, None] == rows).all(dim=-1).long().argmax(dim=1)

    def matrices(self, elements: Float[Tensor, "N 2"]) -> Float[Tensor, "N 2 3"]:
        """Output-to-input matrices s^m r^-k."""
        import torch

        from equistudy.groups.affine import rotation_matrices

        matrices = rotation_matrices(elements[:, 0])
        side = 1 - 2 * elements[:, 1:]
        return torch.stack([matrices[:, 0] * side, matrices[:, 1]], dim=1)

    def without_channel_action(self) -> "FiniteGroup":
        """The same group with `ChannelAction.IDENTITY`."""
        return replace(self, channel_action=ChannelAction.IDENTITY)

    def channel_obstacle(self, channels: int) -> str | None:
        """Regular features have a channel for each element in every field."""
        if self.channel_action is ChannelAction.REGULAR and channels % self.order:
            return f"its {channels} channels are no fields of {self.order}, which a regular channel action moves"
        return None

    def act_on_features(
        self, features: Float[Tensor, "B C H W"], element: Element, grid: Grid, region: Region
    ) -> Float[Tensor, "B C h w"]:
        """The map moved about the centre of the image, with its channels moved as `channel_action` says."""
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
    """The turns by multiples of 360 / `rotations` degrees, for 2 or 4 of them: C2, C4. Exact.

    Channel h of a regular field belongs to the turn by h 360 / `rotations` degrees, so that a turn by one step shifts
    the channels of each field by one, in a circle.
    """

    rotations: int = 4

    def __post_init__(self) -> None:
        _check_rotations(self.rotations, (2, 4))

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        """Turns in growing order."""
        return tuple((360.0 * turn / self.rotations, 0.0) for turn in range(self.rotations))


@dataclass(frozen=True)
class DihedralGroup(FiniteGroup):
    """The turns of `CyclicGroup`, of the content and of its mirror image, for 1, 2 or 4 turns: D1, D2, D4. Exact.

    Channels of a regular field: first the turns in growing order, then the turns of the mirror image.
    """

    rotations: int = 4

    def __post_init__(self) -> None:
        _check_rotations(self.rotations, (1, 2, 4))

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        """Turns in growing order, then those of the mirror image."""
        turns = [360.0 * turn / self.rotations for turn in range(self.rotations)]
        return tuple((degrees, mirrored) for mirrored in (0.0, 1.0) for degrees in turns)


@dataclass(frozen=True)
class Reflection(FiniteGroup):
    """The identity and one reflection. Exact."""

    flip: Flip = Flip.HORIZONTAL

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        """The identity and the reflection; top and bottom change places by a mirror image upside down."""
        return (0.0, 0.0), (0.0 if self.flip is Flip.HORIZONTAL else 180.0, 1.0)


FULL_TURN = 360.0


def check_elements(group: object, elements: tuple[tuple[float, float], ...]) -> None:
    """ValueError unless these are all elements of a group, each once and the identity first."""
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
        "The elements of a group are pairs (degrees, mirrored) with 0 <= degrees < 360 and mirrored 0 or 1: the "
        f"identity (0, 0) first, each once, and with every product of two, got {fault} in {group}. Use CyclicGroup, "
        "DihedralGroup or Reflection, or complete element_parameters."
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
            f"rotations must be one of {exact}, which move pixels to pixels, got rotations={rotations}. Use "
            "Rotation(degrees=...) to measure other angles; kernels interpolated to other angles are not implemented."
        )
