"""Whether a network was built to ignore a group, so that moved images need not be looked at again."""

from torch import nn

from equistudy.exactness.judging import Size, judge_network
from equistudy.exactness.trace import find_groups
from equistudy.groups.finite import FiniteGroup

__all__ = ["is_network_invariant"]


def is_network_invariant(network: nn.Module, size: Size, channels: int, group: FiniteGroup) -> bool:
    """Whether the network's own group contains `group`, and an audit at this size finds nothing that breaks it.

    An ordinary network is exact in another sense, for its filters would have to move with the image: it is not
    invariant. Nor is one that the audit cannot judge.
    """
    if not any(set(group.element_parameters) <= set(own.element_parameters) for own in find_groups(network)):
        return False
    try:
        return judge_network(network, size, group, channels)[0].is_exact
    except ValueError:
        return False
