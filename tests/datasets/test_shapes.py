import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.shapes import DISK, GROUND, SKY, SQUARE, TRIANGLE, VOID, Shapes

SHAPES = Shapes(32, 60, 20)


def test_every_scene_has_sky_above_ground() -> None:
    images, labels = SHAPES.load(Split.TRAIN)
    assert images.shape == (60, *SHAPES.image_shape)
    assert labels.shape == (60, 32, 32)
    assert images.dtype == labels.dtype == torch.uint8
    assert set(labels.flatten().tolist()) == {SKY, GROUND, DISK, SQUARE, TRIANGLE, VOID}
    row = torch.arange(32.0)[:, None].expand(32, 32)
    for scene in labels:
        assert row[scene == SKY].mean() < row[scene == GROUND].mean()


def test_void_lies_on_outlines_alone() -> None:
    """Every void pixel has two different labels, or void, around it; and few pixels are void."""
    _, labels = SHAPES.load(Split.TEST)
    patches = torch.nn.functional.unfold(labels[:, None].double(), 3).unflatten(2, (30, 30))
    void = patches[:, 4] == VOID
    others = torch.where(patches == VOID, torch.nan, patches)
    spread = others.nan_to_num(-1).amax(1) - others.nan_to_num(9).amin(1)
    assert (spread[void] != 0).double().mean() > 0.9  # tips reach a little beyond their corner
    assert 0.02 < float((labels == VOID).double().mean()) < 0.2


def test_a_shape_has_one_colour_and_noise() -> None:
    images, labels = SHAPES.load(Split.TEST)
    for image, scene in zip(images.double() / 255, labels, strict=True):
        for kind in (SKY, GROUND, DISK, SQUARE, TRIANGLE):
            inside = image[:, scene == kind]
            if inside.shape[1] > 30:
                assert (inside.std(1) < 0.12).all()


def test_scenes_are_repeatable_and_nested() -> None:
    images, labels = SHAPES.load(Split.TRAIN)
    part = Shapes(32, 10, 20).load(Split.TRAIN)
    assert torch.equal(part.inputs, images[:10])
    assert torch.equal(part.targets, labels[:10])
    assert not torch.equal(SHAPES.load(Split.TEST).inputs, images[:20])
    mean = images.double().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor(SHAPES.mean).double(), atol=0.1, rtol=0)


def test_small_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 16 pixels .* got size=8"):
        Shapes(8)
