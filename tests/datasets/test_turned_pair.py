"""The pair of images: one the quarter turn of the other, the letter as it is published, the spot without edges."""

import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.turned_pair import Picture, TurnedPair


@pytest.mark.parametrize("picture", Picture)
@pytest.mark.parametrize("size", [32, 33, 14])
def test_the_second_image_is_the_first_one_turned(picture, size):
    images, targets = TurnedPair(picture, size).load(Split.TRAIN)
    assert images.shape == (2, *TurnedPair(picture, size).image_shape)
    assert torch.equal(images[1], torch.rot90(images[0], 1, dims=(1, 2)))
    assert not torch.equal(images[0], images[1])
    assert targets.tolist() == [0, 1]
    assert torch.equal(images, TurnedPair(picture, size).load(Split.TEST).inputs)


def test_the_letter_is_three_strokes_of_one_pixel():
    image = TurnedPair().load(Split.TRAIN).inputs[0, 0]
    assert image.unique().tolist() == [0, 255]
    assert (image > 0).sum() == 20 + 14 + 9
    assert image[6:26, 9].min() == image[6, 9:24].min() == image[15, 9:19].min() == 255


def test_the_spot_has_no_energy_at_the_finest_scale():
    """What differs between even and odd rows or columns, as a share of the whole."""
    for picture, bound in ((Picture.BLOB, 1e-3), (Picture.LETTER, None)):
        image = TurnedPair(picture).load(Split.TRAIN).inputs[0, 0].double()
        phases = [image[row::2, column::2].sum() for row in (0, 1) for column in (0, 1)]
        spread = (max(phases) - min(phases)) / sum(phases)
        assert spread < bound if bound else spread > 0.1


def test_identities_and_sizes():
    assert TurnedPair(Picture.BLOB).fingerprint() != TurnedPair().fingerprint()
    assert TurnedPair(size=33).fingerprint() == TurnedPair().fingerprint()
    with pytest.raises(ValueError, match=r"at least 2 pixels, got size=1\. Use 32"):
        TurnedPair(size=1)
