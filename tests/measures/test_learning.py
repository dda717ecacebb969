"""What the measures find in networks that were trained with and without shifted images."""

from collections.abc import Sequence
from statistics import mean

import pytest
import torch
from torch import nn
from torch.nn import functional

from equistudy.augmentations.affine import RandomTranslation
from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.groups.translation import Border, Translation
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measuring.engine import measure_all
from equistudy.measuring.measure import Measurement, Subject
from equistudy.models.resnet import ResNet
from equistudy.networks.choices import Head
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.subject import build_subject
from equistudy.training.trainer import Trainer

CPU, SHIFTS = torch.device("cpu"), Translation(4, pixels=(2, 4))
WITHIN, BETWEEN = WithinCorrelation(SHIFTS), BetweenCorrelation(SHIFTS)


def learned(augmentation: Augmentation, seed: int) -> dict[tuple[str, str, float], float]:
    """Each measure at each stage and size of shift, of a small network whose head tells positions apart."""
    network, recipe = ResNet(8, 4, head=Head.FLATTEN), Recipe(epochs=6, batch_size=64)
    trial = Trial(network, Digits(), Classification(), augmentation, recipe, seed)
    trainer = Trainer(trial, CPU)
    while not trainer.is_finished:
        trainer.train_epoch()
    subject = build_subject(trial, trainer.network, CPU)
    subject = subject._replace(images=subject.images[:256], targets=None, untrained=None)
    return _by_size(measure_all([WITHIN, BETWEEN], subject).rows)


def _by_size(rows: Sequence[Measurement]) -> dict[tuple[str, str, float], float]:
    """The means over the directions."""
    found: dict[tuple[str, str, float], list[float]] = {}
    for row in rows:
        assert row.magnitude is not None
        found.setdefault((row.measure, row.stage, row.magnitude), []).append(row.value)
    return {key: mean(values) for key, values in found.items()}


@pytest.mark.slow
def test_shifted_images_teach_shifts_by_less_than_a_stride_and_invariant_logits() -> None:
    pairs = [(learned(NoAugmentation(), seed), learned(RandomTranslation(), seed)) for seed in range(2)]
    gained = {key: mean(with_shifts[key] - without[key] for without, with_shifts in pairs) for key in pairs[0][0]}
    for found in (network for pair in pairs for network in pair):
        assert found[WITHIN.name, "stage3", 4] > 0.97  # its stride: nothing to learn
    assert gained[WITHIN.name, "stage3", 2] > 0.2
    assert gained[BETWEEN.name, "logits", 4] > 0.5


def penalised(weight: float, seed: int) -> dict[tuple[str, str, float], float]:
    """Each measure at each stage and size of shift, of three layers trained on cross entropy plus an invariance loss:
    `weight` times the mean square of logits of shifted images less those of the images."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for number, stride in enumerate((1, 2, 2)):
        layers += [nn.Conv2d(8 if number else 1, 8, 3, stride, 1), nn.BatchNorm2d(8), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 49, 10))
    train, test = (Digits().read(split) for split in (Split.TRAIN, Split.TEST))
    images, labels = torch.tensor(train[0]).float() / 255, torch.tensor(train[1]).long()
    optimiser, rng = torch.optim.AdamW(network.parameters(), 3e-3), torch.Generator().manual_seed(seed)
    (pixel_mean,), (pixel_std,) = Digits.mean, Digits.std
    group = Translation(4, Border.ZERO)
    for _ in range(6):
        for batch in torch.randperm(len(images), generator=rng).split(64):
            moved = group.act(images[batch], group.sample(len(batch), rng))
            logits = network((torch.cat([images[batch], moved]) - pixel_mean) / pixel_std)
            still, shifted = logits.chunk(2)
            loss = functional.cross_entropy(still, labels[batch]) + weight * (shifted - still).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    shown = torch.tensor(test[0])[:256].float() / 255
    stages = {"layer1": "2", "layer2": "5", "layer3": "8", "logits": "10"}
    subject = Subject(network.eval(), stages, shown, None, Digits.mean, Digits.std, 0.0, None, 0)
    return _by_size(measure_all([WITHIN, BETWEEN], subject).rows)


@pytest.mark.slow
def test_an_invariance_loss_teaches_the_logits_and_leaves_the_first_layers_as_they_are() -> None:
    for seed in range(2):
        plain, invariant = (penalised(weight, seed) for weight in (0.0, 1.0))
        for layer in ("layer1", "layer2"):
            for pixels in (2, 4):
                key = WITHIN.name, layer, pixels
                assert abs(invariant[key] - plain[key]) < 0.02
        assert invariant[BETWEEN.name, "logits", 4] - plain[BETWEEN.name, "logits", 4] > 0.5
