"""What the audit finds: a layer, why it breaks exact equivariance, how to mend it, and which elements survive it."""

from dataclasses import dataclass
from enum import Enum

from equistudy.exactness.elements import ElementParameters, find_preserved_elements

__all__ = ["BreakingLayer", "Cause", "create_breaking_layer"]


class Cause(Enum):
    """Why a layer does not commute with the group."""

    DROPPED = "pixels dropped"
    PADDING = "asymmetric padding"
    CEIL = "ceil mode"
    WINDOWS = "misaligned windows"
    RECTANGULAR = "rectangular windows"
    OUTPUT_PADDING = "output padding"
    INTERPOLATION = "interpolation"
    SHIFTED = "shifted windows"
    POSITION = "position embedding"
    MIXED = "positions mixed by weights"
    PHASES = "positions in channels"
    HEAD = "flattened head"
    NORM = "channel-wise weights"
    ORDINARY = "ordinary filters"
    GROUP = "smaller group"

    @property
    def is_at_every_size(self) -> bool:
        """Whether no other input size can mend it."""
        return self not in (
            Cause.DROPPED, Cause.PADDING, Cause.CEIL, Cause.WINDOWS, Cause.INTERPOLATION, Cause.SHIFTED
        )  # fmt: skip


ALL_SYMMETRIES = "hwt"


@dataclass(frozen=True)
class BreakingLayer:
    """A layer that breaks exact equivariance. `survives` are the elements with which it still commutes.

    `is_head` is whether it reads features that are exact up to it: what comes before is not concerned.
    """

    name: str
    cause: Cause
    detail: str
    repair: str
    survives: frozenset[ElementParameters]

    @property
    def is_head(self) -> bool:
        """Whether it only spoils the output."""
        return self.cause is Cause.HEAD

    @property
    def reason(self) -> str:
        """The cause and its numbers."""
        return f"{self.cause.value}: {self.detail}"


def create_breaking_layer(
    name: str, cause: Cause, detail: str, repair: str, broken: str = ALL_SYMMETRIES
) -> BreakingLayer:
    """A finding that breaks rows ("h"), columns ("w") or their exchange ("t"); by default all."""
    return BreakingLayer(name, cause, detail, repair, find_preserved_elements(broken))
