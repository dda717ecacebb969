"""Proposed edits: what each layer becomes, and which weights it keeps."""

import pytest
import torch
from torch import nn

from equistudy.exactness.edits import MeanOverPositions, propose_edits
from equistudy.exactness.findings import Cause
from equistudy.exactness.layout import NO_AXES, TracedLayout
from equistudy.groups.finite import CyclicGroup
from equistudy.networks.equivariant.convolution import ConvolutionWindow, DepthwiseConvolution, SharedConvolution
from equistudy.networks.equivariant.norm import GroupBatchNorm

P4 = CyclicGroup(4)


def test_windows_come_in_the_order_of_the_change() -> None:
    edits = list(propose_edits(nn.Conv2d(3, 4, 3, 2, 1), "", Cause.WINDOWS, 0, None))
    assert [edit.description for edit in edits[:3]] == [
        "convolution 3x3 with padding 1",
        "convolution 2x2 with padding 1",
        "convolution 3x3 with padding 0",
    ]
    assert {edit.replacement.stride for edit in edits} == {(2, 2)}  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [SharedConvolution, DepthwiseConvolution])
def test_group_convolutions_keep_their_kind_and_factors(kind: type) -> None:
    window = ConvolutionWindow(3, 2, 1)
    layer = kind(P4, 2, window) if kind is DepthwiseConvolution else kind(P4, 2, 2, window)
    for edit in propose_edits(layer, "", Cause.WINDOWS, 4, None):
        assert isinstance(edit.replacement, kind)
        assert edit.replacement.group == P4
        assert edit.replacement.bias is not None
        if kind is SharedConvolution:
            assert torch.equal(edit.replacement.pointwise, layer.pointwise)


def test_weights_of_a_head_are_summed_over_what_is_pooled() -> None:
    layer, h, w = nn.Linear(2 * 3 * 5, 4), frozenset("h"), frozenset("w")
    layout = TracedLayout((NO_AXES, h | w), factors=((), ((2, NO_AXES), (3, h), (5, w))))
    (edit,) = propose_edits(layer, "", Cause.HEAD, 0, (layout, (1, 30)))
    constant = torch.randn(1, 2, 1, 1).expand(1, 2, 3, 5).flatten(1)
    torch.testing.assert_close(edit.replacement(constant), layer(constant))  # type: ignore[operator]
    assert "(2, 3, 5)" in repr(MeanOverPositions((2, 3, 5), (2, 3)))


def test_a_shared_norm_has_the_means_of_the_single_ones() -> None:
    norm = nn.BatchNorm2d(8).eval()
    for values in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        assert values is not None
        values.copy_((torch.rand(2) + 1).repeat_interleave(4))
    (edit,) = propose_edits(norm, "", Cause.NORM, 4, None)
    assert isinstance(edit.replacement, GroupBatchNorm)
    features = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(edit.replacement.eval()(features), norm(features))


@pytest.mark.parametrize(
    ("layer", "cause"),
    [
        (nn.ReLU(), Cause.FLIPPED),
        (nn.Conv2d(3, 4, 3, (1, 2)), Cause.WINDOWS),
        (nn.Linear(4, 2), Cause.HEAD),
        (nn.BatchNorm2d(7), Cause.NORM),
        (nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=(0, 1)), Cause.OUTPUT_PADDING),
    ],
)
def test_what_no_edit_mends_has_no_proposals(layer: nn.Module, cause: Cause) -> None:
    assert list(propose_edits(layer, "", cause, 4, None)) == []
