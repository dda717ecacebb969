"""Data and conditions that no network should be trained with are named before one is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.mixing import CutMix
from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.sprites import Sprites
from equistudy.datasets.turned_pair import TurnedPair
from equistudy.models.resnet import ResNet
from equistudy.recipe import Precision, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training import checks
from equistudy.training.checks import check_data, check_trainable, hash_inputs
from equistudy.training.failures import DataError, FailureReason, classify_error
from equistudy.training.sources import SINGLE_WORKER, ResidentSource, Share, build_source
from tests.datasets.shards import shards

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Made(Dataset):
    """Three classes of random images."""

    num_classes: ClassVar[int] = 3
    mean: ClassVar[tuple[float, ...]] = (0.5,)
    std: ClassVar[tuple[float, ...]] = (0.5,)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return 1, 8, 8

    def fingerprint(self) -> str:
        return "made"


TRIAL = Trial(ResNet(8, 2), Made(), Classification(), NoAugmentation(), Recipe(batch_size=10), seed=0)


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_overlaps", {})


def examples(count: int, seed: int) -> Examples:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 1, 8, 8), generator=rng, dtype=torch.uint8)
    return Examples(images, torch.arange(count) % 3)


def test_sound_data_pass() -> None:
    check_data(TRIAL, ResidentSource(examples(30, 0)), examples(12, 1))
    digits = replace(TRIAL, dataset=Digits())
    check_data(digits, build_source(Digits(), CPU), Digits().load(Split.TEST))


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_of_another_size(split: str) -> None:
    train, test = examples(30, 0), examples(12, 1)
    wider = torch.nn.functional.pad
    if split == "train":
        train = train._replace(inputs=wider(train.inputs, (1, 0)))
    else:
        test = test._replace(inputs=wider(test.inputs, (1, 0)))
    with pytest.raises(
        DataError, match=rf"got 1 x 8 x 9 in the {split} split of Made, which declares 1 x 8 x 8\. Resize"
    ):
        check_data(TRIAL, ResidentSource(train), test)


@pytest.mark.parametrize(("wrong", "split"), [(3, "train"), (-1, "test")])
def test_labels_out_of_range(wrong: int, split: str) -> None:
    train, test = examples(30, 0), examples(12, 1)
    (train if split == "train" else test).targets[7] = wrong
    message = rf"Labels must lie in 0 to 2, got {wrong} at position 7 of the {split} split of Made"
    with pytest.raises(DataError, match=message) as raised:
        check_data(TRIAL, ResidentSource(train), test)
    assert classify_error(raised.value) is FailureReason.DATA


def test_an_empty_class() -> None:
    train = examples(30, 0)
    train.targets[train.targets == 1] = 2
    with pytest.raises(DataError, match=r"needs a training example, got none of class 1 of 3 in Made.*without gaps"):
        check_data(TRIAL, ResidentSource(train), examples(12, 1))


def test_tests_that_are_trained_on() -> None:
    train = examples(30, 0)
    test = Examples(torch.cat([train.inputs[3:7], examples(8, 1).inputs]), torch.arange(12) % 3)
    with pytest.raises(
        DataError, match=r"got 4 of 12 test inputs of Made.* that are also in the training split, byte for byte"
    ):
        check_data(TRIAL, ResidentSource(train), test)


@pytest.mark.parametrize("dataset", [Sprites(2, 45.0, 16, 1920, 480), TurnedPair()])
def test_pictures_that_are_drawn_in_a_few_ways_may_coincide(dataset) -> None:
    train, test = dataset.load(Split.TRAIN), dataset.load(Split.TEST)
    assert torch.isin(hash_inputs(test.inputs), hash_inputs(train.inputs)).sum() > 1
    check_data(replace(TRIAL, dataset=dataset), ResidentSource(train), test)


def test_fingerprints_are_those_of_the_bytes() -> None:
    images = examples(50, 0).inputs
    assert len(hash_inputs(images).unique()) == 50
    assert torch.equal(hash_inputs(images)[10:20], hash_inputs(images[10:20]))
    changed = images.clone()
    changed[4, 0, 7, 7] += 1
    assert (hash_inputs(images) != hash_inputs(changed)).nonzero().tolist() == [[4]]
    points = torch.randn(9, 5, 3)
    assert len(hash_inputs(torch.cat([points, points])).unique()) == 9


def test_a_stream_is_checked_by_its_labels(tmp_path: Path) -> None:
    dataset = shards(tmp_path)
    trial = replace(TRIAL, dataset=dataset)
    check_data(trial, build_source(dataset, CPU), dataset.load(Split.TEST))


def test_batches_that_cannot_be_filled() -> None:
    with pytest.raises(
        ValueError, match=r"at most the size of the training set, got batch_size=10 for 9 examples.*batch_size=9 or"
    ):
        check_trainable(TRIAL, 9, CPU, SINGLE_WORKER)
    with pytest.raises(ValueError, match=r"at least one sample of every batch, got 6 workers for batches of 5"):
        check_trainable(TRIAL, 11, CPU, Share(0, 6))


def test_an_odd_number_over_the_workers_is_no_error() -> None:
    check_trainable(TRIAL, 11, CPU, Share(0, 2))


def test_a_stream_cannot_be_mixed_over_workers(tmp_path: Path) -> None:
    trial = replace(TRIAL, dataset=shards(tmp_path), augmentation=CutMix())
    check_trainable(trial, 60, CPU, SINGLE_WORKER)
    with pytest.raises(ValueError, match=r"Streamed images cannot be mixed across workers, got CutMix with 2 workers"):
        check_trainable(trial, 60, CPU, Share(0, 2))


def test_bfloat16_where_it_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = replace(TRIAL, recipe=replace(TRIAL.recipe, precision=Precision.BFLOAT16))
    check_trainable(trial, 30, CPU, SINGLE_WORKER)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old GPU")
    with pytest.raises(
        ValueError, match=r"Precision\.BFLOAT16 needs a GPU with bfloat16 support, got an old GPU\. Use Precision"
    ):
        check_trainable(trial, 30, torch.device("cuda"), SINGLE_WORKER)
