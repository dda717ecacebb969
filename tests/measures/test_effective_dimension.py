"""The effective dimension of networks against the full Hessian of their loss, and in a study."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian
from torch.nn.functional import cross_entropy

import equistudy as eq
from equistudy.augmentations.learned.augmentation import FixedAugmentation, LearnedAugmentation
from equistudy.augmentations.learned.generators import RotationGenerator
from equistudy.datasets.digits import Digits
from equistudy.measures.effective_dimension import EffectiveDimension
from equistudy.models.resnet import ResNet
from equistudy.models.vit import ViT
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.subject import build_subject
from equistudy.training.trainer import build_network

# of torch's own Hessian, at its first use
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
CPU = torch.device("cpu")
DIGITS = Digits(canvas=16, digit=8, train_size=100, test_size=40)
EVERY = EffectiveDimension((0.01, 1.0), steps=1000, images=60)
TURN = (RotationGenerator(start=60.0),)


def linear(outputs=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, outputs))


def exact(network, images, targets, z):
    """N_eff from all eigenvalues of the full Hessian, in float64."""
    network = network.double().eval()
    names = [name for name, _ in network.named_parameters() if "raw" not in name]
    weights = {name: dict(network.named_parameters())[name].detach() for name in names}
    sizes = [value.numel() for value in weights.values()]

    def loss(vector):
        parts = zip(weights.items(), vector.split(sizes), strict=True)
        given = {name: part.reshape(value.shape) for (name, value), part in parts}
        return cross_entropy(functional_call(network, given, (images.double(),)), targets)

    eigenvalues = torch.linalg.eigvalsh(hessian(loss)(torch.cat([w.flatten() for w in weights.values()]))).clamp(min=0)
    return float((eigenvalues / (eigenvalues + z)).sum()), float(eigenvalues[-1])


def test_it_is_that_of_the_full_hessian():
    images, targets = torch.rand(60, 1, 16, 16), torch.arange(60) % 10
    result = eq.measure(linear(), images, EVERY, stages=(), targets=targets)
    assert [row.element for row in result.rows] == ["z = 0.01", "z = 1"]
    for row, z in zip(result.rows, EVERY.z, strict=True):
        value, largest = exact(linear(), images, targets, z)
        assert row.value == pytest.approx(value, rel=1e-4)
        assert row.raw == pytest.approx(largest, rel=1e-4)
        assert (row.images, row.note, row.low, row.high) == (60, None, None, None)


@pytest.mark.parametrize("kind", [LearnedAugmentation, FixedAugmentation])
def test_of_an_augmented_network_it_is_that_of_the_averaged_probabilities(kind):
    """By the weights alone: half-extents are no directions of the function in evaluation."""
    network = kind(TURN).wrap(linear(), DIGITS)
    images, targets = torch.rand(60, 1, 16, 16), torch.arange(60) % 10
    result = eq.measure(network, images, EVERY, stages=(), targets=targets)
    value, largest = exact(network, images, targets, 1.0)
    assert result.rows[1].value == pytest.approx(value, rel=1e-4)
    assert result.rows[1].raw == pytest.approx(largest, rel=1e-4)


def test_few_steps_are_a_lower_bound_that_says_so():
    images, targets = torch.rand(60, 1, 16, 16), torch.arange(60) % 10
    few = eq.measure(linear(), images, replace(EVERY, steps=5), stages=(), targets=targets).rows
    every = eq.measure(linear(), images, EVERY, stages=(), targets=targets).rows
    assert few[0].note == "a lower bound: 165 of 170 eigenvalues are left out"
    assert all(some.value <= whole.value + 1e-6 for some, whole in zip(few, every, strict=True))
    assert few[0].raw == pytest.approx(every[0].raw, rel=1e-2)


@pytest.mark.parametrize("model", [ResNet(8, 2), ViT(patch=4, width=16, depth=1, num_heads=2)], ids=str)
def test_of_a_trial_it_is_that_of_its_training_images(model):
    """Batch norms, attention; the network comes back as it was."""
    trial = Trial(model, DIGITS, Classification(), LearnedAugmentation(TURN, test_copies=2), Recipe(0), 0)
    network = build_network(trial, CPU).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    subject = build_subject(trial, network, CPU)
    images, targets = subject.train(50)
    assert len(images) == len(targets) == 50
    assert not torch.equal(images[:40], subject.images)
    measure = EffectiveDimension((1.0,), steps=4, images=50)
    (row,) = measure.measure(subject).rows
    again = measure.measure(subject._replace(train=None, images=images, targets=targets)).rows
    assert row == again[0]
    assert row.value > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_without_classes_there_is_none():
    result = eq.measure(linear(), torch.rand(8, 1, 16, 16), EVERY, stages=())
    assert result.rows == []
    assert [str(each) for each in result.skipped] == ["effective_dimension of output: its images have no classes"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"z": ()}, r"z must hold positive finite numbers, at least one, got z=\(\)\. Use"),
        ({"z": (1.0, 0.0)}, r"got z=\(1\.0, 0\.0\)\. Use \(0\.1, 1\.0, 10\.0\)"),
        ({"steps": 0}, r"at least 1, got steps=0, images=1000\. Use 50 and 1000"),
        ({"images": 0}, r"got steps=50, images=0"),
    ],
)
def test_impossible_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        EffectiveDimension(**fields)
