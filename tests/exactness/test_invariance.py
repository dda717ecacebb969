"""Invariance as an audit finds it: of group networks at their exact sizes, and of nothing else."""

import pytest
from torch import nn

from equistudy.exactness.invariance import is_network_invariant
from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.resnet import ResNet
from equistudy.networks.choices import Head
from tests.exactness.small_networks import Calls

P4, P4M = CyclicGroup(4), DihedralGroup(4)


@pytest.mark.parametrize(
    ("own", "asked", "size", "expected"),
    [(P4, P4, 8, True), (P4, P4, 9, False), (P4M, P4, 8, True), (P4, P4M, 8, False), (CyclicGroup(2), P4, 8, False)],
)
def test_a_group_network_ignores_its_own_group_where_it_is_exact(
    own: FiniteGroup, asked: FiniteGroup, size: int, expected: bool
) -> None:
    network = GroupCNN(2, own, 3, last_padded=True).build((1, size, size), 4)
    assert is_network_invariant(network, size, 1, asked) == expected


def test_a_head_that_sees_the_orientation_does_not() -> None:
    network = GroupCNN(2, P4, 3, last_padded=True, head=Head.ORIENTED).build((1, 8, 8), 4)
    assert not is_network_invariant(network, 8, 1, P4)


def test_an_ordinary_network_is_exact_and_not_invariant() -> None:
    assert not is_network_invariant(ResNet(8, 2).build((1, 9, 9), 4), 9, 1, P4)


def test_what_the_audit_cannot_judge_is_not_invariant() -> None:
    network = nn.Sequential(GroupCNN(2, P4, 3, last_padded=True).build((1, 8, 8), 4), Calls(lambda outputs: 1 / 0))
    assert not is_network_invariant(network, 8, 1, P4)
