"""Patches that tile the image, and those that do not."""

import pytest

from equistudy.models.convmixer import ConvMixer
from equistudy.models.convnext import ConvNeXt
from equistudy.models.mixer import MLPMixer
from equistudy.models.patches import compute_patch_grid
from equistudy.models.vit import ViT


def test_rows_and_columns():
    assert compute_patch_grid(ViT(), 4, (1, 28, 12)) == (7, 3)


@pytest.mark.parametrize("kind", [ConvMixer, ConvNeXt, MLPMixer, ViT])
def test_patches_that_do_not_tile(kind):
    message = rf"{kind.__name__} needs a patch size that divides .* got patch=4 .* 28 x 30 pixels\. Use one of 1, 2\."
    for verb in (kind(patch=4).build, kind(patch=4).cost):
        with pytest.raises(ValueError, match=message):
            verb((1, 28, 30), 10)
