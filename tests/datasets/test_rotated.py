import math
from dataclasses import dataclass, replace

import pytest
import torch

from equistudy.datasets.dataset import Examples, Split, Target
from equistudy.datasets.digits import Digits
from equistudy.datasets.olivetti import Olivetti
from equistudy.datasets.rotated import RotationTarget, Turned
from equistudy.datasets.shapes import VOID, Shapes
from equistudy.datasets.springs import Springs
from equistudy.groups.resampling import rotation_matrices, warp

DIGITS = Digits(20, 12, train_size=40, test_size=20)


def test_the_angle_that_is_asked_for_is_the_one_turned_by() -> None:
    dataset = Turned(DIGITS, 90.0, copies=3, asked=RotationTarget.ANGLE)
    images, angles = dataset.load(Split.TEST)
    assert len(images) == len(angles) == 60
    assert (dataset.target, dataset.target_unit) == (Target.NUMBERS, "deg")
    assert -90 <= angles.min() < -60 < 60 < angles.max() <= 90
    upright = torch.cat([DIGITS.load(Split.TEST).inputs] * 3).float()
    turned = warp(upright, rotation_matrices(angles[:, 0]))
    assert float((images.float() - turned).abs().max()) <= 0.51
    assert dataset.target_std == pytest.approx(float(angles.std()), rel=0.2)
    assert Turned(DIGITS, std_degrees=30.0, asked=RotationTarget.ANGLE).target_std == 30.0


def test_classes_stay_and_all_else_is_the_dataset_s() -> None:
    dataset = Turned(DIGITS)
    assert torch.equal(dataset.load(Split.TRAIN).targets, DIGITS.load(Split.TRAIN).targets)
    for name in ("mean", "std", "background", "void", "num_classes", "has_labels", "target", "image_shape"):
        assert getattr(dataset, name) == getattr(DIGITS, name)
    assert dataset.fingerprint() == DIGITS.fingerprint()
    assert Turned(Olivetti()).with_absolute_paths() == Turned(Olivetti().with_absolute_paths())
    unknown = replace(dataset, crop=14)
    assert unknown.background is None
    assert unknown.load(Split.TEST).inputs.shape == (20, 1, 14, 14) == (20, *unknown.image_shape)


def test_angles_are_normal_or_uniform_and_differ_in_the_splits() -> None:
    normal = Turned(DIGITS, std_degrees=57.3)._draw_angles(Split.TRAIN, 20_000)
    assert abs(normal.mean()) < 2
    assert normal.std() == pytest.approx(57.3, rel=0.02)
    uniform = Turned(DIGITS)._draw_angles(Split.TRAIN, 20_000)
    assert uniform.std() == pytest.approx(180 / math.sqrt(3), rel=0.02)
    assert not (Turned(DIGITS)._draw_angles(Split.TEST, 100) == uniform[:100]).any()


def test_labels_turn_with_the_image_and_no_new_one_appears() -> None:
    """Bilinear labels would be others; what comes in is void, and void stays void."""
    shapes = Shapes(32, 4, 12)
    dataset = Turned(shapes, std_degrees=57.3)
    images, labels = dataset.load(Split.TEST)
    before = shapes.load(Split.TEST).targets
    assert set(labels.unique().tolist()) <= set(before.unique().tolist())
    matrices = rotation_matrices(torch.from_numpy(dataset._draw_angles(Split.TEST, 12)))
    blurred = warp(before[:, None].double(), matrices)
    assert len(blurred.round().unique()) >= len(labels.unique())
    assert not torch.equal(blurred[:, 0].round().to(torch.uint8), labels)
    corner = labels[:, 0, 0][images[:, :, 0, 0].sum(1) == 0]
    assert len(corner) > 0
    assert (corner == VOID).all()


def test_quarter_turns_of_labels_are_exact() -> None:
    @dataclass(frozen=True)
    class Quarter(Turned):
        def _draw_angles(self, split: Split, count: int):
            return torch.full((count,), 90.0).double().numpy()

    shapes = Shapes(32, 4, 4)
    assert torch.equal(
        Quarter(shapes).load(Split.TEST).targets, torch.rot90(shapes.load(Split.TEST).targets, 1, (1, 2))
    )


def test_a_dataset_without_void_gets_one() -> None:
    @dataclass(frozen=True)
    class Full(Shapes):
        void = None

        def load(self, split: Split) -> Examples:
            images, labels = super().load(split)
            return Examples(images, labels.clamp(max=4))

    dataset = Turned(Full(32, 4, 4))
    assert dataset.void == 255
    assert 255 in dataset.load(Split.TEST).targets


def test_what_cannot_be_turned_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Turned needs a dataset of images, got Springs, whose inputs are points"):
        Turned(Springs())
    with pytest.raises(ValueError, match=r"max_degrees must lie in \[0, 180\] .* got max_degrees=200"):
        Turned(DIGITS, 200.0)
    with pytest.raises(ValueError, match=r"got copies=0, crop=None for 20 x 20 pixels"):
        Turned(DIGITS, copies=0)
    with pytest.raises(ValueError, match=r"crop must fit in the image, got copies=1, crop=21"):
        Turned(DIGITS, crop=21)
    with pytest.raises(ValueError, match=r"Angles must vary to be a target"):
        Turned(DIGITS, 0.0, asked=RotationTarget.ANGLE)
