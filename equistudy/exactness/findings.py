"""Findings of the audit: a layer, why it breaks exact equivariance, which elements it preserves, and a repair."""

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
    FLIPPED = "flipped features"
    FIXED = "fixed filters"
    MEASURED = "measured error"

    @property
    def is_at_every_size(self) -> bool:
        """Whether the layer breaks the group at every input size."""
        return self not in (
            Cause.DROPPED, Cause.PADDING, Cause.CEIL, Cause.WINDOWS, Cause.INTERPOLATION, Cause.SHIFTED, Cause.MEASURED
        )  # fmt: skip


ALL_SYMMETRIES = "hwt"


@dataclass(frozen=True)
class BreakingLayer:
    """A layer that breaks exact equivariance. `survives` are the elements with which it still commutes.

    `repair` is an edit for which the network was confirmed to be exact; empty if none is known.
    """

    name: str
    cause: Cause
    detail: str
    survives: frozenset[ElementParameters]
    repair: str = ""

    @property
    def is_head(self) -> bool:
        """Whether it only affects the output, so that the features before it are exact."""
        return self.cause is Cause.HEAD

    @property
    def reason(self) -> str:
        """The cause and its numbers."""
        return f"{self.cause.value}: {self.detail}"


def create_breaking_layer(name: str, cause: Cause, detail: str, broken: str = ALL_SYMMETRIES) -> BreakingLayer:
    """A finding that breaks rows ("h"), columns ("w") or their exchange ("t"); by default all."""
    return BreakingLayer(name, cause, detail, find_preserved_elements(broken))
