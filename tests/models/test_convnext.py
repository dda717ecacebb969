"""The ConvNeXt's spec: images and kernels that fit."""

import pytest

from equistudy.models.convnext import ConvNeXt


def test_too_few_patches():
    with pytest.raises(ValueError, match=r"at least 4 x 4 patches, got 2 x 2 of patch=4\. Use a smaller patch"):
        ConvNeXt(patch=4).build((1, 8, 8), 10)


def test_even_kernel():
    with pytest.raises(ValueError, match=r"kernel must be odd, to have a centre, got kernel=2\. Use 7"):
        ConvNeXt(kernel=2)
