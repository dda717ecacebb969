"""Which task, model and augmentation fit which dataset; and a task whose targets are no classes, trained."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.crop import RandomCrop
from equistudy.datasets.dataset import Dataset, Examples, Modality, Split, Target
from equistudy.datasets.digits import Digits
from equistudy.models.model import Model
from equistudy.models.resnet import ResNet
from equistudy.recipe import AdamW, Constant, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification, Segmentation
from equistudy.tasks.task import Task
from equistudy.training.subject import build_subject
from equistudy.training.trainer import Trainer


@dataclass(frozen=True)
class Spheres(Dataset):
    """Points in space; asked for is the distance of each set's centre from the origin."""

    modality: ClassVar[Modality] = Modality.POINTS
    target: ClassVar[Target] = Target.NUMBERS

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 5, 3

    def fingerprint(self) -> str:
        return "generated"

    def load(self, split: Split) -> Examples:
        points = torch.randn(64, 5, 3, generator=torch.Generator().manual_seed(int(split is Split.TEST)))
        return Examples(points, points.mean(1).norm(dim=1, keepdim=True))


@dataclass(frozen=True)
class Sheet(Model):
    """A linear map of the flattened points."""

    inputs: ClassVar[tuple[Modality, ...]] = (Modality.POINTS,)

    def build(self, image_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(image_shape[0] * image_shape[1], num_outputs))


@dataclass(frozen=True)
class Distance(Task):
    """The square of the error in tenths, scored by its root."""

    target: ClassVar[Target] = Target.NUMBERS

    def num_outputs(self, dataset: Dataset) -> int:
        return 1

    def prepare_targets(self, targets: Tensor, dataset: Dataset) -> Tensor:
        return 10 * targets

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return (outputs - targets).square().sum()

    def score(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"squares": (outputs - targets).square().sum(0)}  # one number for each output, not a scalar

    def scores(self, sums, count: int, dataset: Dataset) -> dict[str, float]:
        return {"rmse": float(sums["squares"].sum() / count) ** 0.5 / 10}


DISTANCE = Trial(Sheet(), Spheres(), Distance(), NoAugmentation(), Recipe(3, 16, AdamW(0.05, 0.0), Constant()), seed=0)


def test_targets_that_are_numbers_are_trained_and_scored_as_the_task_says() -> None:
    trainer = Trainer(DISTANCE, torch.device("cpu"))
    before = trainer.evaluate()
    while not trainer.is_finished:
        trainer.train_epoch()
    after = trainer.evaluate()
    points, distances = Spheres().load(Split.TEST)
    errors = trainer.network(points) / 10 - distances
    assert after["rmse"] == pytest.approx(float(errors.square().mean().sqrt().detach()), rel=1e-5)
    assert after["loss"] == pytest.approx(100 * after["rmse"] ** 2, rel=1e-5)
    assert after["loss"] < before["loss"]


def test_large_inputs_are_evaluated_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Trainer(DISTANCE, torch.device("cpu"))
    assert whole._choose_evaluation_size() == 256
    monkeypatch.setattr("equistudy.training.trainer.MAX_BATCH_VALUES", 7 * 15 + 3)
    assert whole._choose_evaluation_size() == 7
    monkeypatch.setattr("equistudy.training.trainer.MAX_BATCH_VALUES", 1)
    assert whole._choose_evaluation_size() == 1


def test_parts_that_do_not_fit_are_refused() -> None:
    digits = replace(DISTANCE, model=ResNet(8, 2), dataset=Digits(), task=Classification())
    with pytest.raises(
        ValueError, match=r"Distance needs numbers for each input, got Digits, which has a class\. Use C"
    ):
        replace(digits, task=Distance())
    with pytest.raises(ValueError, match=r"Classification needs a class .* got Spheres, which has numbers\. Use Regr"):
        replace(DISTANCE, task=Classification())
    with pytest.raises(ValueError, match=r"Segmentation needs a label .* got Spheres, which has numbers\. Use Regr"):
        replace(DISTANCE, task=Segmentation())
    with pytest.raises(
        ValueError, match=r"ResNet needs images as input, got Spheres, whose inputs are points\. Use another model or"
    ):
        replace(DISTANCE, model=ResNet(8, 2))
    with pytest.raises(ValueError, match=r"RandomCrop moves images, got Spheres, whose inputs are points\. Use NoAugm"):
        replace(DISTANCE, augmentation=RandomCrop())
    with pytest.raises(
        ValueError, match=r"Label smoothing needs a task of classes, got label_smoothing=0\.1 for Distance\. Use"
    ):
        replace(DISTANCE, recipe=Recipe(label_smoothing=0.1))

    @dataclass(frozen=True)
    class Painted(Digits):
        target: ClassVar[Target] = Target.LABELS

    @dataclass(frozen=True)
    class Paint(Distance):
        target: ClassVar[Target] = Target.LABELS

    with pytest.raises(
        ValueError, match=r"ResNet predicts a class or numbers, got .*, whose target is a label for each pixel"
    ):
        replace(digits, dataset=Painted(), task=Paint())


def test_measures_look_at_images() -> None:
    with pytest.raises(ValueError, match=r"Measures need images, got Spheres, which contains points\. Use eq\.Score"):
        build_subject(DISTANCE, nn.Identity(), torch.device("cpu"))
