"""What every model must keep: one row of outputs for each image, and stages that can be read."""

import copy
import pickle
import re

import pytest
import torch

from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.models.convmixer import ConvMixer
from equistudy.models.convnext import ConvNeXt
from equistudy.models.equivariant.choices import Downsampling, Factorisation, Head
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.mixer import MLPMixer
from equistudy.models.preactivation_resnet import PCamResNet, PreactivationResNet
from equistudy.models.resnet import Padding, Pooling, Readout, ResNet, Shortcut
from equistudy.models.sized import cost_of
from equistudy.models.timm_model import TimmModel
from equistudy.models.vit import Stem, ViT
from equistudy.spec import canonical, label

MODELS = [
    ResNet(8, 4),
    ResNet(14, 2, Shortcut.PADDING),
    ResNet(8, 4, padding=Padding.CIRCULAR, downsampling=Pooling.POLYPHASE, head=Readout.FLATTEN),
    PreactivationResNet(8, 2),
    PreactivationResNet(10, 2, CyclicGroup(4), Factorisation.G, Downsampling.BLURRED),
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
everyone = pytest.mark.parametrize("model", MODELS, ids=label)


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


@everyone
def test_gradients_reach_every_parameter(model):
    network = model.build((1, 32, 32), 5)
    network(torch.rand(4, 1, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@everyone
@pytest.mark.parametrize("size", [8, 15, 28, 64])
def test_forward_backward_stages_and_parameters_from_8_to_64_pixels(model, size):
    """Or an error that says which sizes there are."""
    shape = (3, size, size)
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
    logits = network.train()(torch.rand(4, *shape))
    logits.square().sum().backward()
    assert logits.shape == (4, 5)
    assert list(seen) == list(model.stages(network))
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    assert cost_of(model, shape, 5).parameters == sum(parameter.numel() for parameter in network.parameters())


@everyone
def test_a_network_can_be_matched_to_it(model):
    try:
        match = ResNet(8).matched_to(model, (3, 32, 32), 5, tolerance=0.5)
    except ValueError as error:
        assert "within 50%" in str(error)  # noqa: PT017
        assert cost_of(model, (3, 32, 32), 5).parameters < ResNet(8, 1).cost((3, 32, 32), 5).parameters
    else:
        assert abs(match.mismatch) < 0.5


@everyone
def test_the_spec_travels(model):
    assert canonical(pickle.loads(pickle.dumps(model))) == canonical(model)
