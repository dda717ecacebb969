"""The digest of an architecture: equal for equal networks however they were trained, another for any other one."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.digits import Digits
from equistudy.measuring.stages import prepare_images
from equistudy.models.model import Preprocessing
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import Protocol, TimmModel
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.batch_norm import convert_to_global_batch_norm
from equistudy.training.preparation import scale_images
from equistudy.training.subject import build_subject, compute_network_digest, restore_network, serialise_weights
from equistudy.training.trainer import Trainer, build_network

CPU = torch.device("cpu")
DIGITS = Digits(canvas=16, digit=8, train_size=128)
TRIAL = Trial(ResNet(8, 2), DIGITS, Classification(), NoAugmentation(), Recipe(epochs=1), seed=0)


def test_weights_give_the_network_back(tmp_path: object) -> None:
    trainer = Trainer(TRIAL, CPU)
    trainer.train_epoch()
    data = serialise_weights(trainer.network, TRIAL)
    path = f"{tmp_path}/weights.safetensors"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(data)
    with safe_open(path, framework="pt") as stored:
        assert {**stored.metadata(), "sha256": ""} == {"trial": TRIAL.id, "spec": str(TRIAL), "sha256": ""}
    again = restore_network(data, TRIAL, CPU)
    assert not again.training
    images = torch.rand(4, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(again(images), trainer.network.eval()(images))


def test_a_subject_has_the_test_images_and_the_network_before_training() -> None:
    trainer = Trainer(TRIAL, CPU)
    trainer.train_epoch()
    subject = build_subject(TRIAL, trainer.network, CPU)
    assert subject.images.shape == (597, 1, 16, 16)
    assert subject.images.min() == 0
    assert subject.images.max() == 1
    assert subject.background == 0
    assert list(subject.stages) == ["stem", "stage1", "stage2", "stage3", "pooled", "logits"]
    assert subject.untrained is not None
    for before, first in zip(subject.untrained.parameters(), build_network(TRIAL, CPU).parameters(), strict=True):
        assert torch.equal(before, first)


def test_a_subject_of_a_protocol_is_scaled_and_has_a_window() -> None:
    leaves = DeadLeaves(size=128, test_images=3)
    common = TimmModel("test_vit", protocol=Protocol.COMMON)
    trial = Trial(common, leaves, Classification(), NoAugmentation(), Recipe(epochs=0), seed=0)
    subject = build_subject(trial, build_network(trial, CPU).eval(), CPU)
    assert (subject.images.shape, subject.window, subject.targets) == ((3, 3, 128, 128), 96, None)
    assert (subject.mean, subject.std) == common.preprocessing(leaves)[:2]
    assert subject.untrained is None
    seen = prepare_images(subject.images, subject, subject.network)
    assert torch.equal(
        seen,
        (subject.images[..., 16:112, 16:112] - torch.tensor(subject.mean)[:, None, None])
        / (torch.tensor(subject.std)[:, None, None]),
    )
    assert subject.network(seen).shape == (3, 1000)


def test_scaling_keeps_constant_images_and_averages_what_it_shrinks() -> None:
    half = Preprocessing((0.0,), (1.0,), image_size=4)
    assert torch.equal(scale_images(torch.full((1, 3, 8, 12), 0.5), half), torch.full((1, 3, 4, 6), 0.5))
    checks = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    assert scale_images(checks.float()[None, None], half)[..., 1:-1, 1:-1].sub(0.5).abs().max() < 0.05
    images = torch.rand(1, 1, 4, 4)
    assert scale_images(images, half) is images


def test_stored_weights_that_no_longer_fit_are_named() -> None:
    data = serialise_weights(TRIAL.model.build(TRIAL.dataset.image_shape, 10), TRIAL)
    wider = replace(TRIAL, model=replace(TRIAL.model, width=TRIAL.model.width + 2))
    with pytest.raises(ValueError, match=r"which no longer does: size mismatch in .*, stored as \[.*\] and now \["):
        restore_network(data, wider, CPU)
    deeper = replace(TRIAL, model=replace(TRIAL.model, depth=TRIAL.model.depth + 6))
    with pytest.raises(ValueError, match=r"which no longer does: .* is not stored"):
        restore_network(data, deeper, CPU)


def build(
    width: int = 4, stride: int = 1, probability: float = 0.5, activation: type[nn.Module] = nn.ReLU
) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=stride), nn.BatchNorm2d(width), activation(), nn.Dropout(probability)
    )


def test_neither_weights_nor_training_nor_workers_enter() -> None:
    network = build()
    digest = compute_network_digest(network)
    with torch.no_grad():
        network.eval()[0].weight.zero_()
    assert compute_network_digest(network.double()) == digest
    assert compute_network_digest(convert_to_global_batch_norm(build(), torch.device("cpu"))) == digest
    assert compute_network_digest(convert_to_global_batch_norm(build(), torch.device("cuda"))) == digest


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(width=5),
        lambda: build(stride=2),
        lambda: build(probability=0.1),
        lambda: build(activation=nn.GELU),
        lambda: nn.Sequential(build()),
        lambda: nn.Sequential(*build(), nn.Identity()),
    ],
    ids=["width", "stride", "setting", "class", "names", "depth"],
)
def test_every_other_network_has_another(other: Callable[[], nn.Module]) -> None:
    assert compute_network_digest(other()) != compute_network_digest(build())
