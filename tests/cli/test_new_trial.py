"""Trials of networks as they are: outputs and classes, averages of weights, and what is said."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from equistudy.cli.groups import Room
from equistudy.cli.new_trial import ImageWords, build_new_trial, prefer_average
from equistudy.datasets.cifar import CIFAR10
from equistudy.models.checkpoint import Checkpoint
from equistudy.models.custom import Custom
from equistudy.models.timm_model import Protocol, TimmModel
from equistudy.models.window import Window

NETS = """
import torch
from torch import nn

def random():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

def fixed():
    network = random()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    return network

def maps():
    return nn.Conv2d(3, 4, 3)
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    for number in range(5):
        path = tmp_path / "photos" / f"class{number}" / "1.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(path)
    return tmp_path


def window(nets: Path, function: str) -> Window:
    return Window(Custom(function, str(nets / "nets.py")), 16)


def test_photographs_are_seen_whole_and_what_is_assumed_is_told(nets: Path) -> None:
    told: list[str] = []
    made = build_new_trial(window(nets, "random"), ImageWords(str(nets / "photos")), True, told.append)
    assert (made.room, made.trial.dataset.image_shape) == (Room(16, 0), (3, 16, 16))
    assert made.trial.dataset.num_classes == 5
    assert [line.split(" ")[0] for line in told] == ["mean", "random()"]
    assert "makes a network with random weights" in told[1]
    told.clear()
    words = ImageWords(None, 4, 2, "0.5", "0.5")
    made = build_new_trial(window(nets, "fixed"), words, False, told.append)
    assert (made.room, told) == (Room(16, 4), [])
    timm = TimmModel("resnet18", protocol=Protocol.NATIVE)
    made = build_new_trial(timm, ImageWords(), False, told.append)
    assert (made.room, told) == (
        Room(224, 32),
        ["resnet18 has no tag, so its weights are random; NAME.TAG is a trained network"],
    )


def test_outputs_that_are_no_classes_of_the_images(nets: Path) -> None:
    (nets / "photos" / "class4" / "1.png").unlink()
    words = ImageWords(str(nets / "photos"))
    with pytest.raises(ValueError, match=r"got 5 outputs and 4 classes of ImageFolder.*--classes FILE"):
        build_new_trial(window(nets, "random"), words, True, lambda line: None)
    build_new_trial(window(nets, "random"), words, False, lambda line: None)
    (nets / "classes.txt").write_text("".join(f"class{number}\n" for number in range(5)))
    named = words._replace(classes=str(nets / "classes.txt"))
    assert build_new_trial(window(nets, "random"), named, True, lambda line: None).trial.dataset.num_classes == 5
    with pytest.raises(ValueError, match=r"--classes is for measures of accuracy, got no such measure"):
        build_new_trial(window(nets, "random"), named, False, lambda line: None)
    with pytest.raises(ValueError, match=r"gives one number for each class, got shape \(1, 4, 14, 14\) of Window"):
        build_new_trial(window(nets, "maps"), words, True, lambda line: None)


def test_a_classifier_that_would_be_replaced_is_refused(tmp_path: Path) -> None:
    model = TimmModel("vit_tiny_patch16_224.augreg_in21k", pretrained=True, protocol=Protocol.NATIVE)
    with pytest.raises(ValueError, match=r"got 21843 classes of .*measure FILE --model vit_tiny_patch16_224$"):
        build_new_trial(Window(model, 224), ImageWords(), False, lambda line: None)
    fitting = TimmModel("resnet18.a1_in1k", pretrained=True, protocol=Protocol.NATIVE)
    assert build_new_trial(fitting, ImageWords(), False, pytest.fail).trial.model == fitting
    for name in CIFAR10.layouts[1].names:
        (tmp_path / name).write_bytes(bytes(3073 * 20))
    words = ImageWords(str(tmp_path), 12)
    with pytest.raises(
        ValueError, match=r"got 1000 classes of resnet18\.a1_in1k and 10 of CIFAR10.*measure FILE --model"
    ):
        build_new_trial(fitting, words, False, pytest.fail)
    with pytest.raises(ValueError, match=r"got 1000 outputs and 10 classes of CIFAR10.*--classes FILE"):
        build_new_trial(fitting, words, True, pytest.fail)


def test_the_moving_average_is_preferred_and_said(nets: Path) -> None:
    torch.save({"state_dict": {}, "state_dict_ema": {}}, nets / "a.pt")
    torch.save({"state_dict": {}}, nets / "b.pt")
    told: list[str] = []

    def choose(name: str, ema: bool | None) -> bool:
        model = Window(Checkpoint(Custom("fixed", str(nets / "nets.py")), str(nets / name)), 16)
        found = prefer_average(model, ema, told.append)
        assert isinstance(found, Window)
        assert isinstance(found.model, Checkpoint)
        return found.model.ema

    assert [choose("a.pt", ema) for ema in (None, True, False)] == [True, True, False]
    assert len(told) == 1
    assert "holds a moving average of the weights, which is measured; --no-ema measures the last" in told[0]
    assert choose("b.pt", None) is False
    model = window(nets, "fixed")
    assert prefer_average(model, None, told.append) == model
    with pytest.raises(ValueError, match=r"--ema and --no-ema apply to a checkpoint file, got another target"):
        prefer_average(model, True, told.append)


def test_sets_of_small_images_are_seen_as_they_are(nets: Path) -> None:
    (nets / "cifar").mkdir()
    for name in CIFAR10.layouts[1].names:
        (nets / "cifar" / name).write_bytes(bytes(3073 * 20))
    model = Window(Custom("fixed", str(nets / "nets.py")), 32)
    made = build_new_trial(model, ImageWords(str(nets / "cifar"), 12), False, lambda line: None)
    assert made.trial.dataset == CIFAR10(str(nets / "cifar"), test_size=12)
    assert made.trial.model.preprocessing(made.trial.dataset)[2:] == (32, 32)
