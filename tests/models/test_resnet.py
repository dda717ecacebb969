"""The residual network's spec: which depths, widths and images there are."""

import pytest

from equistudy.models.resnet import ResNet


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
