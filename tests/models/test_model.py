"""What every model must keep: one row of outputs for each image, and stages that can be read."""

import copy
import os
import pickle
import re
from pathlib import Path

import pytest
import torch

import equistudy as eq
from equistudy.datasets.dataset import Modality
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.models.checkpoint import Checkpoint
from equistudy.models.convnext import ConvNeXt
from equistudy.models.custom import Custom
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.mixer import ConvMixer, MLPMixer
from equistudy.models.model import Model
from equistudy.models.plain_cnn import PlainCNN
from equistudy.models.point_network import ForceNetwork, PointNetwork
from equistudy.models.preactivation_resnet import PCamResNet, PreactivationResNet
from equistudy.models.resnet import ResNet
from equistudy.models.single_convolution import SingleConvolution
from equistudy.models.sized import SizedModel, compute_cost
from equistudy.models.timm_model import TimmModel
from equistudy.models.unet import UNet
from equistudy.models.vit import Stem, ViT
from equistudy.models.window import Window
from equistudy.networks.choices import Downsampling, Factorisation, Head, Padding, Shortcut
from equistudy.spec import format_label, to_canonical_json

MODELS = [
    ResNet(8, 4),
    ResNet(14, 2, Shortcut.PADDING),
    ResNet(8, 4, padding=Padding.CIRCULAR, downsampling=Downsampling.POLYPHASE, head=Head.FLATTEN),
    PreactivationResNet(8, 2),
    PreactivationResNet(10, 2, CyclicGroup(4), Factorisation.G, Downsampling.BLUR),
    PCamResNet(8, 4, DihedralGroup(4), Factorisation.GC, Downsampling.EVEN),
    GroupCNN(2, head=Head.ORIENTED),
    ConvMixer(3, 8),
    ConvNeXt(1, 4),
    MLPMixer(3, 8),
    ViT(3, 8, stem=Stem.CONVOLUTIONS),
    TimmModel("test_resnet.r160_in1k"),
    TimmModel("test_vit"),
    TimmModel("test_convnext"),
    TimmModel("test_efficientnet.r160_in1k"),
]
OTHERS = [  # of files, of fewer stages, or not for classes of images
    Checkpoint(ResNet(8, 2), "weights.pt"),
    Custom("network", "nets.py"),
    ForceNetwork(4, step=0.02),  # so many bodies fall onto each other
    PlainCNN(((2,), (4,)), 0.0),
    PointNetwork(4),
    SingleConvolution(),
    UNet(2, 2),
    Window(ResNet(8, 2), 8),
]
everyone = pytest.mark.parametrize("model", MODELS, ids=format_label)
everything = pytest.mark.parametrize("model", [*MODELS, *OTHERS], ids=format_label)
NETS = """
from torch import nn

def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
"""


@pytest.fixture(autouse=True, scope="module")
def _files(tmp_path_factory):
    """The folder that the files lie in which some models are made of, as the current one."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("files")
    (folder / "nets.py").write_text(NETS)
    torch.save(ResNet(8, 2).build((3, 8, 8), 5).state_dict(), folder / "weights.pt")
    os.chdir(folder)
    yield
    os.chdir(before)


def shape_for(model, size):
    """Images with so many pixels to a side, or so many points."""
    return (3, size, size) if Modality.IMAGES in model.inputs else (size, 6)


def test_every_model_of_a_study_is_among_them():
    words = [getattr(eq, name) for name in eq.__all__]
    kinds = {word for word in words if isinstance(word, type) and issubclass(word, Model)} - {Model}
    assert kinds == {type(model) for model in [*MODELS, *OTHERS]}


@everyone
@pytest.mark.parametrize("image_shape", [(1, 32, 32), (3, 48, 48)])
def test_outputs(model, image_shape):
    model.validate()
    network = model.build(image_shape, 7)
    assert network.training
    assert network.eval()(torch.rand(2, *image_shape)).shape == (2, 7)


@everyone
def test_stages_can_be_read(model):
    network = model.build((1, 32, 32), 5)
    stages = model.stages(network)
    assert list(stages)[-2:] == ["pooled", "logits"]
    assert len(stages) >= 5
    outputs = {}
    for name, path in stages.items():
        network.get_submodule(path).register_forward_hook(
            lambda module, given, output, name=name: outputs.setdefault(name, output)
        )
    logits = network.eval()(torch.rand(3, 1, 32, 32))
    assert set(outputs) == set(stages)
    assert outputs["pooled"].ndim == 2
    assert torch.equal(outputs["logits"], logits)
    for name in list(stages)[:-2]:
        assert outputs[name].ndim >= 3
        assert outputs[name].shape[0] == 3


@everyone
def test_the_random_state_decides(model):
    def built(seed):
        torch.manual_seed(seed)
        return model.build((1, 32, 32), 5).state_dict(), torch.get_rng_state()

    (first, state), (second, same_state), (third, _) = built(1), built(1), built(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)
    assert torch.equal(state, same_state)


@everyone
def test_copies_have_the_same_stages(model):
    network = model.build((1, 32, 32), 5)
    assert model.stages(copy.deepcopy(network)) == model.stages(network)


@everything
@pytest.mark.parametrize("size", [8, 15, 28, 64])
def test_forward_backward_stages_parameters_and_matching_from_8_to_64(model, size):
    """Pixels or points; or an error that says which sizes there are."""
    shape = shape_for(model, size)
    try:
        network = model.build(shape, 5)
    except ValueError as error:
        assert re.search(rf"(?s){size}.*(Use|Enlarge|larger|multiple)", str(error)), error  # noqa: PT017
        return
    seen = {}
    for name, path in model.stages(network).items():
        network.get_submodule(path).register_forward_hook(
            lambda module, given, output, name=name: seen.setdefault(name, output)
        )
    outputs = network.train()(1 + torch.rand(4, *shape))
    outputs.square().sum().backward()
    assert outputs.shape[:2] == (4, 5)
    assert list(seen) == list(model.stages(network))
    assert seen[list(seen)[-1]] is outputs
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    wanted = sum(parameter.numel() for parameter in network.parameters())
    if Modality.IMAGES not in model.inputs:
        assert compute_cost(model, shape, 5).parameters == wanted
    elif wanted < ResNet(8, 1).cost(shape, 5).parameters / 1.5:
        with pytest.raises(ValueError, match=rf"within 50%, got \d+ of {wanted} parameters for ResNet"):
            ResNet(8).match_to(model, shape, 5, tolerance=0.5)
    else:
        match = ResNet(8).match_to(model, shape, 5, tolerance=0.5)
        found = sum(parameter.numel() for parameter in match.model.build(shape, 5).parameters())
        assert match.mismatch == pytest.approx(found / wanted - 1)
        assert abs(match.mismatch) < 0.5
    if isinstance(model, SizedModel):
        assert model.match_to(model, shape, 5) == (model, 0.0)


@everything
def test_the_spec_travels(model):
    assert to_canonical_json(pickle.loads(pickle.dumps(model))) == to_canonical_json(model)
