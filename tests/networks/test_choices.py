"""Choices that contradict each other are refused."""

import pytest

from equistudy.groups.finite import CyclicGroup
from equistudy.networks.choices import Factorisation


def test_a_factorisation_needs_a_group():
    Factorisation.FULL.check(None)
    Factorisation.GC.check(CyclicGroup(4))
    with pytest.raises(ValueError, match=r"over a group, got factorisation=Factorisation.G with group=None. Name a"):
        Factorisation.G.check(None)
