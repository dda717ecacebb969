"""The law of the leaves against closed forms; the bytes against what they were."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from equistudy.datasets.dataset import Split
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.spec import format_label, to_canonical_json

SMALL = DeadLeaves(size=32, test_images=4)


def test_examples():
    images, targets = SMALL.load(Split.TEST)
    assert (images.dtype, images.shape[1:]) == (torch.uint8, SMALL.image_shape)
    assert targets.tolist() == [-1] * 4
    assert not SMALL.has_labels
    with pytest.raises(ValueError, match=r"none for training, got Split\.TRAIN\. Use Recipe\(epochs=0\)"):
        SMALL.load(Split.TRAIN)


def test_the_bytes_are_those_of_this_revision():
    """Every machine and every version gives the same images, or else REVISION rises."""
    assert DeadLeaves.REVISION == 1
    data = DeadLeaves(size=48, test_images=3, seed=5).load(Split.TEST).inputs.numpy().tobytes()
    assert hashlib.sha256(data).hexdigest()[:16] == "35ba1c9f6104d136"


def test_fewer_images_are_the_first_ones_and_seeds_differ():
    images = SMALL.load(Split.TEST).inputs
    assert torch.equal(DeadLeaves(size=32, test_images=2).load(Split.TEST).inputs, images[:2])
    others = DeadLeaves(size=32, test_images=4, seed=1).load(Split.TEST).inputs
    every = torch.cat([images, others]).flatten(1)
    assert len(every.unique(dim=0)) == 8


def test_radii_have_the_density_of_the_inverse_cube_among_the_disks_that_touch_the_image():
    leaves = DeadLeaves(size=64, radii=(1 / 32, 1 / 2))._draw_leaves(np.random.PCG64(3))
    side, (low, high) = 63, (2.0, 32.0)

    def mass(radius):
        """The integral of r^-3 (side + 2 r)^2 up to a radius: disks that may touch a square of that side."""
        return quad(lambda r: r**-3 * (side + 2 * r) ** 2, low, radius)[0]

    for radius in (2.5, 3.0, 4.0, 8.0, 16.0):
        share = mass(radius) / mass(high)
        error = np.sqrt(share * (1 - share) / len(leaves.radius))
        assert abs((leaves.radius <= radius).mean() - share) < 4 * error
    assert leaves.radius.min() >= low
    assert leaves.radius.max() <= high


def test_every_pixel_is_covered_and_colours_are_uniform():
    values = DeadLeaves(size=64, test_images=200, radii=(1 / 64, 1 / 16)).load(Split.TEST).inputs.double() / 255
    error = 0.01  # of some 30,000 independent disks
    assert values.mean(dim=(0, 2, 3)).tolist() == pytest.approx(DeadLeaves.mean, abs=error)
    assert values.std(dim=(0, 2, 3)).tolist() == pytest.approx(DeadLeaves.std, abs=error)
    tenths = torch.histc(values, bins=10, min=0, max=1) / values.numel()
    assert tenths.tolist() == pytest.approx([0.1] * 10, abs=error)


def shared_area(radius, distance):
    """The area that a disk shares with itself moved by a distance."""
    if distance >= 2 * radius:
        return 0.0
    half = distance / 2
    return 2 * radius**2 * np.arccos(half / radius) - distance * np.sqrt(radius**2 - half**2)


@pytest.mark.parametrize("distance", [1, 4, 12])
def test_pixels_correlate_as_often_as_they_show_the_same_disk(distance):
    """c(d) / (2 c(0) - c(d)), the same along both axes and at every place."""
    size, low, high = 64, 2.0, 16.0
    images = DeadLeaves(size=size, test_images=150, radii=(low / size, high / size)).load(Split.TEST).inputs.double()
    centred = images - 127.5

    def mean_shared(d):
        return quad(lambda r: r**-3 * shared_area(r, d), low, high, points=[max(low, min(high, d / 2))])[0]

    expected = mean_shared(distance) / (2 * mean_shared(0) - mean_shared(distance))
    variance = (256**2 - 1) / 12
    for moved, still in (
        (centred[..., distance:], centred[..., :-distance]),
        (centred[..., distance:, :], centred[..., :-distance, :]),
    ):
        products = (moved * still / variance).mean(dim=1)
        assert float(products.mean()) == pytest.approx(expected, abs=0.015)
        left, right = products.tensor_split(2, dim=2)
        assert float(left.mean()) == pytest.approx(float(right.mean()), abs=0.03)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 4}, r"at least 8 pixels.*got size=4"),
        ({"test_images": 0}, r"at least 1 image.*test_images=0"),
        ({"seed": -1}, r"a seed of at least 0.*seed=-1"),
        ({"radii": (0.2, 0.1)}, r"increasing pair of fractions.*got radii=\(0\.2, 0\.1\)"),
        ({"radii": (0.001, 0.25)}, r"at least half a pixel.*Use for example radii=\(0\.015625, 0\.25\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        DeadLeaves(**fields)


def test_identity():
    assert to_canonical_json(DeadLeaves(seed=1)) != to_canonical_json(DeadLeaves())
    assert format_label(SMALL) == "DeadLeaves(size=32, test_images=4)"
    code = "import sys; from equistudy.datasets.dead_leaves import DeadLeaves; DeadLeaves().fingerprint()"
    command = [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
