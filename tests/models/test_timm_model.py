"""Networks from timm: names, and weights that are or are not there."""

import pytest
import torch
from safetensors.torch import save_file

from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.digits import Digits
from equistudy.models.timm_model import IMAGENET_MEAN, IMAGENET_STD, Protocol, TimmModel
from equistudy.networks.import_timm import import_timm
from equistudy.spec import to_canonical_json

NAME = "test_resnet.r160_in1k"


def refused(message, name, pretrained=False):
    for verb in (TimmModel.validate, lambda model: model.build((3, 32, 32), 2)):
        with pytest.raises(ValueError, match=message):
            verb(TimmModel(name, pretrained))


def test_unknown_names():
    refused(r"name must be a model of timm, got name='resnt18'\. Nearest: resnet18, ", "resnt18")
    refused(r"got name='resnt18\.a1_in1k'\. Nearest: resnet18\.a1_in1k, ", "resnt18.a1_in1k")
    refused(r"got name='zzzzzzzzz'\. timm\.list_models\(\) lists all", "zzzzzzzzz")
    refused(r"got name='resnet\*'", "resnet*")
    refused(r"one of those of timm's resnet18, got name='resnet18\.'\. Nearest: resnet18\.", "resnet18.")
    refused(
        r"The tag must be one of those of timm's resnet18, got name='resnet18\.a1_in2k'\. Nearest: resnet18\.a1_in1k",
        "resnet18.a1_in2k",
    )


def test_pretrained_needs_the_tag():
    refused(
        r"full timm name with its tag, got name='resnet18'\. Nearest: resnet18\.a1_in1k", "resnet18", pretrained=True
    )
    refused(r"with its tag, got name='resnt18'\. Nearest: resnet18\.", "resnt18", pretrained=True)


def test_weights_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = (
        rf"on this machine, got none of timm/{NAME} in {tmp_path}\. Fetch them once with `python -m equistudy fetch "
    )
    refused(message, NAME, pretrained=True)


@pytest.fixture
def cached(monkeypatch, tmp_path):
    """Weights as the hub's client keeps them, and no way to a network."""
    original = import_timm().create_model(NAME, pretrained=False)
    snapshot = tmp_path / f"models--timm--{NAME}" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_file(original.state_dict(), snapshot / "model.safetensors")
    refs = tmp_path / f"models--timm--{NAME}" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    return original.state_dict()


def test_weights_from_the_cache(cached):
    model = TimmModel(NAME, pretrained=True)
    network = model.build((3, 32, 32), 1000).state_dict()
    assert all(torch.equal(network[name], cached[name]) for name in cached)
    adapted = model.build((1, 32, 32), 10).state_dict()
    assert torch.equal(adapted["layer1.0.conv1.weight"], cached["layer1.0.conv1.weight"])
    assert adapted["fc.weight"].shape == (10, 96)


def test_a_pretrained_model_is_what_its_weights_are(cached):
    model = TimmModel(NAME, pretrained=True)
    assert model.obstacle() is None
    assert len(model.fingerprint()) == 64
    assert model.untrained == TimmModel(NAME)
    assert model.untrained.fingerprint() is None
    sent = model.with_absolute_paths()
    assert sent.weights.endswith("model.safetensors")
    assert (to_canonical_json(sent), sent.fingerprint()) == (to_canonical_json(model), model.fingerprint())


def test_weights_that_are_not_there_are_an_obstacle(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = TimmModel(NAME, pretrained=True)
    assert (model.obstacle(), model.fingerprint()) == ("no weights", "no weights")
    assert model.with_absolute_paths() == model
    assert TimmModel(NAME).obstacle() is None
    gone = TimmModel(NAME, pretrained=True, weights=str(tmp_path / "gone.pth"))
    assert gone.obstacle() == "no weights"


@pytest.mark.parametrize("content", [b"no weights at all", None])
def test_weights_of_another_network_are_refused(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    if content is None:
        save_file({"conv.weight": torch.zeros(3)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"weights must fit the network, got {path} for '{NAME}'.*Fetch the file"):
        TimmModel(NAME, pretrained=True, weights=str(path)).build((3, 32, 32), 1000)


def test_the_protocol_is_part_of_the_identity_once_it_is_chosen():
    assert "protocol" not in to_canonical_json(TimmModel(NAME))
    assert '"protocol":"common"' in to_canonical_json(TimmModel(NAME, protocol=Protocol.COMMON))


def test_the_dataset_decides_unless_a_protocol_does():
    digits = Digits()
    model = TimmModel(NAME)
    assert not model.has_own_preprocessing
    assert model.preprocessing(digits) == (digits.mean, digits.std, None, None)
    assert model.preprocessing(digits).input_shape((1, 28, 28)) == (1, 28, 28)


@pytest.mark.parametrize(("size", "window"), [(256, 224), (160, 128), (96, 64), (40, 32)])
def test_common_is_one_size_for_all(size, window):
    found = TimmModel(NAME, protocol=Protocol.COMMON).preprocessing(DeadLeaves(size))
    assert found == (IMAGENET_MEAN, IMAGENET_STD, None, window)
    assert found.input_shape((3, size, size)) == (3, window, window)
    assert (size - window) % 2 == 0


def test_native_is_what_timm_says():
    model = TimmModel("inception_v3.tv_in1k", protocol=Protocol.NATIVE)
    config = import_timm().get_pretrained_cfg(model.name)
    found = model.preprocessing(DeadLeaves())
    assert (found.mean, found.std) == (config.mean, config.std)
    assert (found.image_size, found.window) == (343, 299)
    assert TimmModel("resnet50.a1_in1k", protocol=Protocol.NATIVE).preprocessing(DeadLeaves())[2:] == (256, 224)


def test_protocols_need_colour_and_size():
    with pytest.raises(ValueError, match=r"Protocol\.NATIVE needs images with 3 channels, got 1 of Digits\. Use"):
        TimmModel(NAME, protocol=Protocol.NATIVE).preprocessing(Digits())
    with pytest.raises(ValueError, match=r"Protocol\.COMMON needs images of at least 37 pixels, got 36"):
        TimmModel(NAME, protocol=Protocol.COMMON).preprocessing(DeadLeaves(36))
