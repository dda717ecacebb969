"""Whether a network was built to ignore a group, so that moved images need not be looked at again."""

from torch import nn

from equistudy.exactness.judging import Size, judged
from equistudy.exactness.trace import groups_of
from equistudy.groups.finite import FiniteGroup

__all__ = ["invariant"]


def invariant(network: nn.Module, size: Size, channels: int, group: FiniteGroup) -> bool:
    """Whether the network's own group contains `group`, and an audit at this size finds nothing that breaks it.

    An ordinary network is exact in another sense, for its filters would have to move with the image: it is not
    invariant. Nor is one that the audit cannot judge.
    """
    if not any(set(group.rows) <= set(own.rows) for own in groups_of(network)):
        return False
    try:
        return judged(network, size, group, channels)[0].exact
    except ValueError:
        return False
