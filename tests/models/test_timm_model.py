"""Networks from timm: names, and weights that are or are not there."""

import pytest
import torch
from safetensors.torch import save_file

from equistudy.models.timm_model import TimmModel
from equistudy.models.torchvision_operators import import_timm

NAME = "test_resnet.r160_in1k"


def refused(message, name, pretrained=False):
    for verb in (TimmModel.validate, lambda model: model.build((3, 32, 32), 2)):
        with pytest.raises(ValueError, match=message):
            verb(TimmModel(name, pretrained))


def test_unknown_names():
    refused(r"name that timm knows, got name='resnt18'\. Nearest: resnet18, ", "resnt18")
    refused(r"got name='resnt18\.a1_in1k'\. Nearest: resnet18\.a1_in1k, ", "resnt18.a1_in1k")
    refused(r"got name='zzzzzzzzz'\. All are in timm\.list_models\(\)", "zzzzzzzzz")
    refused(r"got name='resnet\*'", "resnet*")
    refused(r"one of its own tags, got name='resnet18\.'\. Nearest: resnet18\.", "resnet18.")
    refused(
        r"resnet18 needs one of its own tags, got name='resnet18\.a1_in2k'\. Nearest: resnet18\.a1_in1k",
        "resnet18.a1_in2k",
    )


def test_pretrained_needs_the_tag():
    refused(
        r"full timm name with its tag, got name='resnet18'\. Nearest: resnet18\.a1_in1k", "resnet18", pretrained=True
    )
    refused(r"with its tag, got name='resnt18'\. Nearest: resnet18\.", "resnt18", pretrained=True)


def test_weights_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = rf"in the local cache, got none of timm/{NAME} in {tmp_path}\. Fetch them once with `hf download timm/"
    refused(message, NAME, pretrained=True)


def test_weights_outside_the_hub(monkeypatch):
    config = import_timm().get_pretrained_cfg(NAME)
    config.hf_hub_id = None
    monkeypatch.setattr("timm.get_pretrained_cfg", lambda name: config)
    refused(r"come from the Hugging Face hub, got name='test_resnet.*Use pretrained=False", NAME, pretrained=True)


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
