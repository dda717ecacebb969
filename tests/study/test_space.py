"""Domains and halving: what they refuse, and where the rungs are."""

import math

import pytest

from equistudy.study.space import Choice, Halving, LogUniform, Uniform


@pytest.mark.parametrize("bad", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_impossible_intervals(bad):
    with pytest.raises(ValueError, match=r"with low less than high, got low=.*Use Choice for a single"):
        Uniform(*bad)


def test_logarithms_of_positive_numbers():
    with pytest.raises(ValueError, match=r"Logarithms need positive numbers, got low=0, high=1\. Use Uniform"):
        LogUniform(0, 1)


@pytest.mark.parametrize("bad", [(), (1, 1), (1.0, 1)])
def test_choices_differ(bad):
    with pytest.raises(ValueError, match=r"one or more distinct levels, got \("):
        Choice(bad)


def test_rungs():
    assert Halving(27, first=3).rungs == (3, 9)
    assert Halving(9, factor=2).rungs == (1, 2, 4, 8)


@pytest.mark.parametrize("bad", [{"first": 0}, {"factor": 1}, {"first": 9}])
def test_impossible_halving(bad):
    with pytest.raises(ValueError, match=r"first from 1 to epochs - 1, got first=.*For example Halving\("):
        Halving(**{"epochs": 9, **bad})
