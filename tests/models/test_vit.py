"""The vision transformer's spec: widths and patches that fit together."""

import pytest

from equistudy.models.vit import Stem, ViT
from equistudy.networks.choices import Positions


def test_widths_that_do_not_fit():
    with pytest.raises(ValueError, match=r"multiple of 4 with 4 heads, learned .* got width=30\. Nearest: 28, 32\."):
        ViT(width=30)
    with pytest.raises(ValueError, match=r"multiple of 12 with 3 heads, sine .* got width=9\. Nearest: 12\."):
        ViT(width=9, num_heads=3, positions=Positions.SINE)
    with pytest.raises(ValueError, match=r"multiple of 4 with 1 heads.*stem of convolutions, got width=18"):
        ViT(width=18, num_heads=1, patch=8, stem=Stem.CONVOLUTIONS)


@pytest.mark.parametrize("patch", [1, 6])
def test_patches_that_a_stem_of_convolutions_cannot_reach(patch):
    with pytest.raises(ValueError, match=rf"power of two from 2 on, got patch={patch}\. Use 4, or Stem\.PATCHES"):
        ViT(width=24, patch=patch, stem=Stem.CONVOLUTIONS)


def test_channels_of_the_stem_double():
    assert ViT(width=64, patch=8, stem=Stem.CONVOLUTIONS).list_stem_channels(3) == [3, 16, 32, 64]
