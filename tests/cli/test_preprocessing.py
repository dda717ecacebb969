"""Photographs prepared as timm does, for every way of cropping and resizing that its networks have."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from equistudy.cli.preprocessing import describe_normalisation, fit_model, get_architecture, parse_numbers
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.decoding import decode_square
from equistudy.datasets.photographs import Interpolation
from equistudy.measuring.stages import crop_centre
from equistudy.models.checkpoint import Checkpoint
from equistudy.models.custom import Custom
from equistudy.models.timm_model import Protocol, TimmModel
from equistudy.models.window import Window
from equistudy.networks.import_timm import import_timm
from equistudy.training.preparation import normalise_images

CUSTOM = Window(Custom("net", "nets.py"), 32)


def photograph(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width).normal(size=(height, width, 3))
    smooth = gaussian_filter(noise, (3, 3, 0))
    return Image.fromarray(((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(500, 375), (333, 480), (256, 256)])
@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("resnet18.tv_in1k", None),  # bilinear, crop 0.875
        ("resnet50.a1_in1k", None),  # bicubic, crop 0.95
        ("resnet50.a1_in1k", 288),  # the size of its test, with a crop of 1
        ("tf_efficientnet_lite1.in1k", None),  # 240 pixels, crop 0.882, its own mean and std
        ("convnext_tiny.fb_in22k_ft_in1k_384", None),  # squashed
        ("vit_base_patch16_clip_224.openai_ft_in1k", None),  # its own mean and std
    ],
)
def test_the_network_sees_what_timm_shows_it(name: str, pixels: int | None, size: tuple[int, int]) -> None:
    timm = import_timm()
    model = TimmModel(name, pretrained=True, protocol=Protocol.NATIVE)
    fitted = fit_model(model if pixels is None else Window(model, pixels), False, None, None, None)
    preprocessing = fitted.model.preprocessing(DeadLeaves())
    image, buffer = photograph(*size), io.BytesIO()
    image.save(buffer, "PNG")
    assert preprocessing.image_size is not None
    square = decode_square(buffer.getvalue(), preprocessing.image_size, fitted.interpolation.value, fitted.squash)
    seen = crop_centre(torch.from_numpy(np.asarray(square))[None].float() / 255, preprocessing.window)
    config = timm.data.resolve_data_config(
        {}, pretrained_cfg=timm.get_pretrained_cfg(name).to_dict(), use_test_size=pixels is not None
    )
    expected = timm.data.create_transform(**config)(image)[None]
    assert seen.shape == expected.shape
    # timm rounds the longer side down, and odd margins up, so that its crop may lie a pixel beside this one
    ours, shifts = normalise_images(seen, preprocessing)[..., 1:-1, 1:-1], (-1, 0, 1)
    beside = [torch.roll(expected, (dy, dx), dims=(2, 3))[..., 1:-1, 1:-1] for dy in shifts for dx in shifts]
    assert min(float((ours - shifted).abs().mean()) for shifted in beside) < 0.15 * float(expected.std())


def test_small_images_are_seen_whole_unless_there_shall_be_room() -> None:
    leaves = DeadLeaves()
    assert fit_model(CUSTOM, False, None, None, None).model == Window(CUSTOM.model, 32, image_size=32)
    assert fit_model(CUSTOM, False, 4, None, None).model.preprocessing(leaves)[2:] == (40, 32)
    assert fit_model(CUSTOM, False, 3, None, None).model == CUSTOM  # an eighth, as before there was a choice
    assert fit_model(CUSTOM, True, None, None, None).model == CUSTOM
    assert fit_model(CUSTOM, True, 0, None, None).model.preprocessing(leaves)[2:] == (32, 32)
    normalised = fit_model(CUSTOM, True, None, (0.5,), (0.25,)).model
    assert normalised.preprocessing(leaves) == ((0.5,) * 3, (0.25,) * 3, 38, 32)


def test_a_network_whose_crop_is_an_eighth_keeps_its_trial() -> None:
    bare = TimmModel("tf_efficientnet_lite0.in1k", protocol=Protocol.NATIVE)
    fitted = fit_model(bare, False, None, None, None)
    assert fitted == (bare, Interpolation.BICUBIC, False)
    assert fit_model(Window(bare, 225), False, 0, None, None).model == Window(bare, 225, image_size=225)


def test_what_is_assumed_is_said() -> None:
    leaves, bare = DeadLeaves(), TimmModel("tf_efficientnet_lite0", protocol=Protocol.NATIVE)
    assert "std 0.29, 0.29, 0.29 are assumed (those of DeadLeaves)" in str(describe_normalisation(CUSTOM, leaves))
    file = Checkpoint(bare, "a.pt")
    assert "mean 0.5, 0.5, 0.5 and std 0.5, 0.5, 0.5 are assumed (timm's" in str(describe_normalisation(file, leaves))
    assert describe_normalisation(bare, leaves) is None
    told = fit_model(CUSTOM, True, None, (0.5,), (0.5,)).model
    assert describe_normalisation(told, leaves) is None
    assert get_architecture(Window(file, 32)) == bare


def test_numbers_of_an_option() -> None:
    assert parse_numbers("--mean", "0.5") == (0.5,)
    assert parse_numbers("--mean", "0.5,0.4, 0.3") == (0.5, 0.4, 0.3)
    assert parse_numbers("--mean", None) is None
    with pytest.raises(
        ValueError, match=r"--std must be one number, or one per channel .* got 'half'\. Try --std 0\.5"
    ):
        parse_numbers("--std", "half")
