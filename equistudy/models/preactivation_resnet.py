"""The pre-activation residual network, ordinary or equivariant to a finite group."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from equistudy.groups.finite import FiniteGroup
from equistudy.models.model import Model, Module
from equistudy.networks.choices import GROUP_HEADS, Downsampling, Factorisation, Head, Initialisation, check_choice
from equistudy.spec import respelled

__all__ = ["PCamResNet", "PreactivationResNet"]

SMALLEST_IMAGE = 8
# Names of two of the choices in ids and tables
SPELLED: dict[Enum, str] = {Downsampling.STRIDE: "strided", Downsampling.BLUR: "blurred"}
FOUR_STAGES = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


@dataclass(frozen=True)
class PreactivationResNet(Model):
    """A pre-activation residual network, ordinary or equivariant to `group`.

    A 3 x 3 stem is followed by stages of residual blocks of two 3 x 3 convolutions, each behind batch norm and ReLU.
    The first stage has `width` fields; every later stage halves the resolution and doubles the fields. Batch norm,
    ReLU, the head and one linear layer follow. Depth 6 n + 2 has three stages of n blocks; depths 10, 18 and 34 have
    four stages, as on ImageNet but with the small stem. A field has |G| channels, or one without a group: for equal
    cost divide the width by |G|, for equal parameters by sqrt(|G|).

    P4 networks have the group CyclicGroup(4), P4M networks DihedralGroup(4); the group's channel action is ignored. Of
    the paper's networks with 10 outputs, PreactivationResNet(44, 32) has 2.64 million parameters and (44, 16,
    CyclicGroup(4)) 2.63 million. Depth 44 is exactly equivariant for images of 4 m + 1 pixels and depth 18 for 8 m + 1;
    see `Downsampling` for other choices.

    Source: He et al. 2016, arXiv:1603.05027; Edixhoven et al. 2023, arXiv:2308.11316, who use Initialisation.GROUPY and
    by default Head.ORIENTED.

    >>> import equistudy as eq
    >>> network = eq.PreactivationResNet(8, 4, eq.CyclicGroup(4)).build((1, 33, 33), num_outputs=10)
    """

    depth: int = 44
    width: int = 16
    group: FiniteGroup | None = None
    factorisation: Factorisation = Factorisation.FULL
    downsampling: Downsampling = respelled(Downsampling.STRIDE, SPELLED)  # noqa: RUF009 -- a field
    head: Head = Head.MEAN_OF_MAXIMA
    initialisation: Initialisation = Initialisation.HE

    def __post_init__(self) -> None:
        if self.depth not in FOUR_STAGES and (self.depth < 8 or (self.depth - 2) % 6):
            below = max(self.depth - (self.depth - 2) % 6, 2)
            nearest = sorted({*FOUR_STAGES, *(depth for depth in (below, below + 6) if depth >= 8)})
            raise ValueError(
                f"{type(self).__name__} depth must be 6n + 2, 10, 18 or 34, got depth={self.depth}. "
                f"Nearest: {', '.join(map(str, sorted(nearest, key=lambda depth: abs(depth - self.depth))[:2]))}."
            )
        check_choice(self, "downsampling", Downsampling.STRIDE, Downsampling.EVEN, Downsampling.BLUR)
        check_choice(self, "head", *GROUP_HEADS)
        if self.width < 1:
            raise ValueError(
                f"{type(self).__name__} width must be at least 1 field, got width={self.width}. The paper uses 16 "
                f"fields of CyclicGroup(4) at depth 44."
            )
        self.factorisation.check(self.group)

    @property
    def num_blocks(self) -> tuple[int, ...]:
        """The number of residual blocks in each stage."""
        return FOUR_STAGES.get(self.depth, (self.depth // 6,) * 3)

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of fields in each stage."""
        return tuple(self.width * 2**stage for stage in range(len(self.num_blocks)))

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from equistudy.networks.equivariant.layers import LayerFactory
        from equistudy.networks.preactivation import PreactivationNetwork

        channels, height, width = image_shape
        if min(height, width) < SMALLEST_IMAGE:
            raise ValueError(
                f"{type(self).__name__} needs images of at least {SMALLEST_IMAGE} x {SMALLEST_IMAGE} pixels, got "
                f"{height} x {width}. Enlarge the images."
            )
        layers = LayerFactory(self.group, self.factorisation, self.initialisation)
        stages = tuple(zip(self.widths, self.num_blocks, strict=True))
        return PreactivationNetwork(layers, channels, num_outputs, stages, self.downsampling, self.head)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stem, the stages, the pooled vector and the logits."""
        names = ["stem", *(f"stage{number}" for number in range(1, len(self.num_blocks) + 1)), "pooled"]
        return {**{name: name for name in names}, "logits": "classifier"}


@dataclass(frozen=True)
class PCamResNet(PreactivationResNet):
    """The network of the histology experiments (PatchCamelyon), with stages of `width`, 7/4 and 7/2 `width` fields.

    With 2 outputs, PCamResNet(width=4, group=CyclicGroup(4)) has 128,652 parameters and PCamResNet(width=8) 129,538.
    Exactly equivariant for images of 4 m + 1 pixels, such as 97.

    Source: Edixhoven et al. 2023, arXiv:2308.11316, with Initialisation.GROUPY.
    """

    width: int = 4
    head: Head = Head.MAXIMUM_OF_MEANS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 4:
            raise ValueError(
                f"PCamResNet width must be a multiple of 4, because one stage has 7/4 of it, got width={self.width}. "
                f"The paper uses 4 fields of CyclicGroup(4), and 8 without a group."
            )
        if len(self.num_blocks) != 3:
            raise ValueError(f"PCamResNet needs a depth with three stages, got depth={self.depth}. The paper uses 44.")

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of fields in each stage."""
        return self.width, self.width * 7 // 4, self.width * 7 // 2
