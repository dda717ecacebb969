"""The crop against a loop over images, and the distribution of its shifts.

Resized crops against torchvision, one image at a time, and the distribution of the rectangles.
Cutout against torchvision's erasing, one image at a time, and where its squares lie.
"""

import pytest
import torch
from scipy import stats

from equistudy.augmentations.crop import Cutout, RandomCrop, RandomResizedCrop
from tests.augmentations.reference import functional, one_by_one, v2


def shifted(image, dx, dy):
    result = torch.zeros_like(image)
    height, width = image.shape[1:]
    for y in range(height):
        for x in range(width):
            if 0 <= y - dy < height and 0 <= x - dx < width:
                result[:, y, x] = image[:, y - dy, x - dx]
    return result


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_equals_a_loop_over_pixels(padding):
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(12, 3, 5, 7, generator=rng)
    augmentation = RandomCrop(padding)
    elements = augmentation.draw(12, rng)
    cropped = augmentation.apply(images, elements)
    for image, result, (dx, dy) in zip(images, cropped, elements.int().tolist(), strict=True):
        assert torch.equal(result, shifted(image, dx, dy))


def test_positive_is_right_and_down():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1
    moved = RandomCrop(4).apply(image, torch.tensor([[3.0, -2.0]]))
    assert moved[0, 0].nonzero().tolist() == [[2, 7]]


def test_shifts_are_uniform_and_independent():
    shifts = RandomCrop(2).draw(20_000, torch.Generator().manual_seed(1)).int() + 2
    counts = torch.zeros(5, 5).index_put((shifts[:, 0], shifts[:, 1]), torch.ones(20_000), accumulate=True)
    assert stats.chisquare(counts.flatten()).pvalue > 1e-3


def test_negative_padding():
    with pytest.raises(ValueError, match=r"must not be negative, got padding=-1\. Use 4 for CIFAR"):
        RandomCrop(-1)


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


@pytest.mark.parametrize("size", [1, 4, 5, 30])
def test_cutout_equals_torchvision(size):
    def reference(image, x, y):
        (height, width), half = image.shape[1:], size // 2
        top, left = int(y * height) - half, int(x * width) - half
        bottom, right = min(top + size, height), min(left + size, width)
        top, left = max(top, 0), max(left, 0)
        return functional.erase(image, top, left, bottom - top, right - left, torch.zeros(1))

    rng = torch.Generator().manual_seed(0)
    images = torch.rand(25, 3, 9, 12, generator=rng)
    elements = Cutout(size).draw(25, rng)
    assert torch.equal(Cutout(size).apply(images, elements), one_by_one(reference, images, elements))


def test_every_pixel_is_a_centre_equally_often():
    cut = Cutout(1).augment(torch.ones(8000, 1, 5, 4), torch.Generator().manual_seed(0))
    counts = (cut == 0).sum(dim=0).flatten()
    assert counts.sum() == 8000
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_no_square():
    with pytest.raises(ValueError, match=r"must be at least 1 pixel, got size=0\. Use a quarter"):
        Cutout(0)
