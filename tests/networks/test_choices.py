"""Choices that contradict each other, or that a network lacks, are refused."""

from enum import Enum

import pytest

from equistudy.groups.finite import CyclicGroup
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.model import Model
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.models.resnet import ResNet
from equistudy.networks.choices import Downsampling, Factorisation, Head
from equistudy.spec import flatten_spec, to_canonical_json


def test_a_factorisation_needs_a_group():
    Factorisation.FULL.check(None)
    Factorisation.GC.check(CyclicGroup(4))
    with pytest.raises(ValueError, match=r"need a group, got factorisation=Factorisation.G with group=None. Set a"):
        Factorisation.G.check(None)


@pytest.mark.parametrize(
    ("model", "choice", "message"),
    [
        (ResNet, {"downsampling": Downsampling.EVEN}, r"ResNet\.downsampling must be one of .*STRIDE.*POLYPHASE, got"),
        (ResNet, {"head": Head.ORIENTED}, r"ResNet\.head must be one of Head\.MEAN, Head\.FLATTEN, got head=Head\.ORI"),
        (PreactivationResNet, {"downsampling": Downsampling.MAX}, r"got downsampling=.*MAX\. The default is .*STRIDE"),
        (PreactivationResNet, {"head": Head.FLATTEN}, r"PreactivationResNet\.head must be one of Head\.MEAN_OF_MAXIMA"),
        (GroupCNN, {"head": Head.FLATTEN}, r"GroupCNN\.head must be one of .*got head=Head\.FLATTEN"),
    ],
)
def test_a_choice_that_a_network_lacks_is_refused(model: type[Model], choice: dict[str, Enum], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**choice)


def test_ids_and_tables_keep_the_values_that_they_had_before_the_choices_were_one() -> None:
    blurred = PreactivationResNet(8, 2, downsampling=Downsampling.BLUR)
    assert '"downsampling":"blurred"' in to_canonical_json(blurred)
    assert flatten_spec(blurred)["downsampling"] == "blurred"
    assert '"downsampling":"strided"' in to_canonical_json(PreactivationResNet(8, 2))
    assert '"downsampling":"blur"' in to_canonical_json(ResNet(8, 2, downsampling=Downsampling.BLUR))
    assert flatten_spec(ResNet(8, 2))["head"] == "average"
    assert [Downsampling("strided"), Downsampling("blurred")] == [Downsampling.STRIDE, Downsampling.BLUR]
    assert Head("average") is Head.MEAN
