"""Resized crops against torchvision, one image at a time, and the distribution of the rectangles."""

import pytest
import torch
from scipy import stats

from equistudy.augmentations.resized_crop import RandomResizedCrop
from tests.augmentations.reference import functional, one_by_one, v2


def reference(image, width, height, x, y):
    rows, columns = image.shape[1:]
    w, h = max(round(width * columns), 1), max(round(height * rows), 1)
    left, top = int(x * (columns - w + 1)), int(y * (rows - h + 1))
    return functional.resized_crop(image, top, left, h, w, [rows, columns], antialias=True)


def test_equals_torchvision():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(40, 2, 14, 11, generator=rng, dtype=torch.float64)
    augmentation = RandomResizedCrop()
    elements = augmentation.draw(40, rng)
    expected = one_by_one(reference, images, elements)
    torch.testing.assert_close(augmentation.apply(images, elements), expected, atol=1e-6, rtol=0)


def test_rectangles_are_distributed_as_torchvisions():
    ours = RandomResizedCrop().draw(3000, torch.Generator().manual_seed(1)).double()
    transform, image = v2.RandomResizedCrop(1000), torch.zeros(1, 1000, 1000)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        drawn = [transform.make_params([image]) for _ in range(3000)]
    width, height = (torch.tensor([box[side] for box in drawn]).double() / 1000 for side in ("width", "height"))
    left, top = (torch.tensor([box[side] for box in drawn]).double() / 1000 for side in ("left", "top"))
    pairs = {
        "area": (ours[:, 0] * ours[:, 1], width * height),
        "ratio": (ours[:, 0] / ours[:, 1], width / height),
        "left": ((1 - ours[:, 0]) * ours[:, 2], left),
        "top": ((1 - ours[:, 1]) * ours[:, 3], top),
    }
    for name, (mine, theirs) in pairs.items():
        assert stats.ks_2samp(mine, theirs).pvalue > 1e-3, name


def test_the_whole_image_stays():
    images = torch.rand(5, 1, 6, 9)
    whole = RandomResizedCrop(min_area=1.0, max_ratio=1.0)
    torch.testing.assert_close(whole.augment(images, torch.Generator()), images, atol=1e-6, rtol=0)


def test_impossible_crops():
    for bad in (0.0, 1.1):
        with pytest.raises(
            ValueError, match=r"must lie in \(0, 1\], as a fraction of the image, got min_area=.*Use 0\.08"
        ):
            RandomResizedCrop(min_area=bad)
    with pytest.raises(ValueError, match=r"at least 1, which keeps the image's own, got max_ratio=0\.5"):
        RandomResizedCrop(max_ratio=0.5)
