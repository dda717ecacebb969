"""What the network sees: the model's own size, window, mean and std, in training as in measuring.

Images that are read part by part: bit by bit those of one tensor, and so is what is measured on them.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.dataset import Dataset, Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.image_folder import ImageFolder
from equistudy.groups.one_parameter import Rotation
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.correlation import WithinCorrelation
from equistudy.measuring.engine import measure_all
from equistudy.models.model import Preprocessing
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import Protocol, TimmModel
from equistudy.models.window import Window
from equistudy.networks.import_timm import import_timm
from equistudy.recipe import SGD, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training import preparation as module
from equistudy.training.batches import iterate_training_batches
from equistudy.training.preparation import (
    ScaledImages,
    load_scaled,
    normalise_images,
    prepare_inputs,
    scale_images,
    to_raw_inputs,
    undo_preparation,
)
from equistudy.training.sources import build_source
from equistudy.training.subject import build_subject
from equistudy.training.trainer import Trainer, build_network

CPU = torch.device("cpu")
DIGITS = Trial(ResNet(8, 2), Digits(), Classification(), NoAugmentation(), Recipe(), seed=0)


def test_by_default_images_keep_their_size_and_have_the_datasets_numbers() -> None:
    inputs = Digits().load(Split.TEST).inputs[:9]
    images = to_raw_inputs(inputs, DIGITS)
    assert torch.equal(images, inputs / 255)
    expected = (images - Digits.mean[0]) / Digits.std[0]
    torch.testing.assert_close(prepare_inputs(images, DIGITS), expected)
    torch.testing.assert_close(undo_preparation(prepare_inputs(images, DIGITS), DIGITS), images)


def test_images_are_scaled_by_their_shorter_side() -> None:
    images = torch.rand(2, 3, 20, 30)
    assert scale_images(images, Preprocessing((0.5,), (0.5,), image_size=10)).shape == (2, 3, 10, 15)
    assert scale_images(images, Preprocessing((0.5,), (0.5,), image_size=20)) is images
    assert scale_images(images, Preprocessing((0.5,), (0.5,))) is images
    numbers = normalise_images(images, Preprocessing((0.1, 0.2, 0.3), (1.0, 2.0, 4.0)))
    torch.testing.assert_close(numbers[:, 2], (images[:, 2] - 0.3) / 4)


@pytest.fixture
def photographs(tmp_path: Path) -> ImageFolder:
    """Two classes: dark and bright squares."""
    for split, count in (("train", 8), ("test", 4)):
        for number in range(count):
            path = tmp_path / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = (60, 90, 30) if number % 2 else (200, 180, 190)
            Image.new("RGB", (40, 40), tuple(value + 4 * number + (split == "test") for value in shade)).save(path)
    return ImageFolder(str(tmp_path), 40)


def test_a_timm_network_is_fine_tuned_with_its_own_numbers(photographs: ImageFolder) -> None:
    name = "test_resnet.r160_in1k"
    recipe = Recipe(epochs=8, batch_size=8, optimiser=SGD(learning_rate=0.05))
    model = TimmModel(name, protocol=Protocol.NATIVE)
    trial = Trial(model, photographs, Classification(), HorizontalFlip(), recipe, seed=0)
    (batch,) = iterate_training_batches(build_source(photographs, CPU), trial, epoch=0)
    timm = import_timm()
    config = timm.data.resolve_model_data_config(timm.create_model(name, pretrained=False), use_test_size=True)
    assert batch.inputs.shape[1:] == tuple(config["input_size"])
    dark = next(image for image, target in zip(batch.inputs, batch.targets, strict=True) if target == 1)
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    colours = (dark * std + mean) * 255
    assert (colours.flatten(1).std(dim=1) < 0.5).all()
    added = colours.mean(dim=(1, 2)) - torch.tensor([60.0, 90.0, 30.0])
    torch.testing.assert_close(added, 4 * (added / 4).round(), atol=0.1, rtol=0)
    trainer = Trainer(trial, CPU)
    while not trainer.is_finished:
        trainer.train_epoch()
    losses = [value.value for value in trainer.curves if (value.split, value.name) == ("train", "loss")]
    assert losses[-1] < 0.7 * losses[0]
    other = replace(trial, model=replace(model, protocol=Protocol.DATASET))
    assert other.id != trial.id


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageFolder:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rng = np.random.default_rng(0)
    for number in range(30):
        path = tmp_path / "photos" / "abc"[number % 3] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    return ImageFolder(str(tmp_path / "photos"), 38)


INDICES = (slice(3, 11), slice(None, 5), slice(1, None, 2), slice(None), [4, 0, 29], torch.tensor([7, 7]))


@pytest.mark.parametrize("size", [None, 24, 50])
@pytest.mark.parametrize("kind", ["photographs", "digits"])
def test_every_part_is_that_of_one_tensor(photos, monkeypatch, kind: str, size: int | None) -> None:
    dataset: Dataset = photos if kind == "photographs" else Digits(canvas=16, digit=8, test_size=30)
    preprocessing = Preprocessing((0.5,), (0.5,), size)
    whole, targets = load_scaled(dataset, preprocessing, CPU)
    assert isinstance(whole, torch.Tensor)
    assert torch.equal(targets, dataset.load(Split.TEST).targets)
    monkeypatch.setitem(module.MAX_TENSOR_BYTES, "cpu", 0)
    parts, same = load_scaled(dataset, preprocessing, CPU)
    assert isinstance(parts, ScaledImages)
    assert torch.equal(same, targets)
    assert (len(parts), parts.shape, parts.dtype, parts.device) == (30, whole.shape, whole.dtype, whole.device)
    assert parts.is_floating_point()
    for index in INDICES:
        assert torch.equal(parts[index], whole[index])
    assert torch.equal(parts[17], whole[17])
    monkeypatch.setattr(module, "MAX_PART", 10)
    odd = parts[1::2]
    assert isinstance(odd, ScaledImages)
    assert len(odd) == 15
    assert torch.equal(odd[4:9], whole[1::2][4:9])
    assert torch.equal(odd[1:20:3], whole[1::2][1:20:3])


@pytest.mark.slow
def test_what_is_measured_stays(photos, monkeypatch) -> None:
    model = Window(ResNet(8, 2), 32, image_size=36)
    trial = Trial(model, photos, Classification(), NoAugmentation(), Recipe(epochs=0), 0)
    measures = (Accuracy(), WithinCorrelation(Translation(2)), WithinCorrelation(Rotation()))
    network = build_network(trial, CPU).eval()
    whole = measure_all(measures, build_subject(trial, network, CPU))
    monkeypatch.setitem(module.MAX_TENSOR_BYTES, "cpu", 0)
    subject = build_subject(trial, network, CPU)
    assert isinstance(subject.images, ScaledImages)
    assert measure_all(measures, subject) == whole
    assert len(whole.rows) > 10


def test_a_full_disk_leaves_the_images_in_memory(photos, monkeypatch) -> None:
    whole, _ = load_scaled(photos, Preprocessing((0.5,), (0.5,)), CPU)

    def refuse(dataset: Dataset, split: Split) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "open_stored", refuse)
    monkeypatch.setitem(module.MAX_TENSOR_BYTES, "cpu", 0)
    parts, _ = load_scaled(photos, Preprocessing((0.5,), (0.5,)), CPU)
    assert isinstance(parts, ScaledImages)
    assert torch.equal(parts[3:8], whole[3:8])
