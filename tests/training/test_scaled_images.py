"""Images that are read part by part: bit by bit those of one tensor, and so is what is measured on them."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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
from equistudy.models.window import Window
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training import scaled_images as module
from equistudy.training.scaled_images import ScaledImages, load_scaled
from equistudy.training.subject import build_subject
from equistudy.training.trainer import build_network

CPU = torch.device("cpu")


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
