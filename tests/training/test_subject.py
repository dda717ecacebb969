import torch
from safetensors import safe_open

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.subject import network_from, subject_of, weights_of
from equistudy.training.trainer import Trainer, build_network

CPU = torch.device("cpu")
DIGITS = Digits(canvas=16, digit=8, train_size=128)
TRIAL = Trial(ResNet(8, 2), DIGITS, Classification(), NoAugmentation(), Recipe(epochs=1), seed=0)


def test_weights_give_the_network_back(tmp_path: object) -> None:
    trainer = Trainer(TRIAL, CPU)
    trainer.train_epoch()
    data = weights_of(trainer.network, TRIAL)
    path = f"{tmp_path}/weights.safetensors"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(data)
    with safe_open(path, framework="pt") as stored:
        assert stored.metadata() == {"trial": TRIAL.id, "spec": str(TRIAL)}
    again = network_from(data, TRIAL, CPU)
    assert not again.training
    images = torch.rand(4, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(again(images), trainer.network.eval()(images))


def test_a_subject_has_the_test_images_and_the_network_before_training() -> None:
    trainer = Trainer(TRIAL, CPU)
    trainer.train_epoch()
    subject = subject_of(TRIAL, trainer.network, CPU)
    assert subject.images.shape == (597, 1, 16, 16)
    assert subject.images.min() == 0
    assert subject.images.max() == 1
    assert subject.background == 0
    assert list(subject.stages) == ["stem", "stage1", "stage2", "stage3", "pooled", "logits"]
    assert subject.untrained is not None
    for before, first in zip(subject.untrained.parameters(), build_network(TRIAL, CPU).parameters(), strict=True):
        assert torch.equal(before, first)
