"""The residual network's spec: which depths, widths and images there are."""

import pytest

from equistudy.models.resnet import ResNet
from equistudy.networks.choices import Downsampling, Padding
from equistudy.spec import format_label, to_canonical_json


@pytest.mark.parametrize(
    ("depth", "nearest"), [(21, "20, 26"), (7, "8"), (0, "8"), (25, "20, 26"), (110 + 3, "110, 116")]
)
def test_impossible_depth(depth, nearest):
    with pytest.raises(ValueError, match=rf"^ResNet depth must be 6n \+ 2, got depth={depth}\. Nearest: {nearest}\.$"):
        ResNet(depth)


def test_impossible_width_and_image():
    with pytest.raises(ValueError, match=r"at least 1 channel, got width=0\. The paper uses 16"):
        ResNet(width=0)
    with pytest.raises(ValueError, match=r"at least 8 x 8 pixels, got 7 x 32\. Enlarge"):
        ResNet().build((1, 7, 32), 10)


def test_fields_that_came_later_leave_identities_as_they_were():
    assert (
        to_canonical_json(ResNet(8, 4)) == '{"depth":8,"revision":1,"shortcut":"projection","spec":"ResNet","width":4}'
    )
    circular = ResNet(8, 4, padding=Padding.CIRCULAR)
    assert '"padding":"circular"' in to_canonical_json(circular)
    assert format_label(circular) == "ResNet(depth=8, width=4, padding=circular)"


@pytest.mark.parametrize("downsampling", [Downsampling.MAX, Downsampling.POLYPHASE])
def test_sides_that_cannot_be_halved_twice(downsampling):
    with pytest.raises(ValueError, match=rf"{downsampling.name} halves .* multiples of 4, got 28 x 30\. Use such"):
        ResNet(8, 4, downsampling=downsampling).build((1, 28, 30), 10)
