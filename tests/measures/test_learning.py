"""What the measures find in networks that were trained with and without shifted images."""

from statistics import mean

import pytest
import torch

from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.augmentations.translation import RandomTranslation
from equistudy.datasets.digits import Digits
from equistudy.groups.translation import Translation
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measures.engine import measure_all
from equistudy.models.resnet import Readout, ResNet
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.subject import subject_of
from equistudy.training.trainer import Trainer

CPU, SHIFTS = torch.device("cpu"), Translation(4, pixels=(2, 4))
WITHIN, BETWEEN = WithinCorrelation(SHIFTS), BetweenCorrelation(SHIFTS)


def learned(augmentation: Augmentation, seed: int) -> dict[tuple[str, str, float], float]:
    """Each measure at each stage and size of shift, of a small network whose head tells positions apart."""
    network, recipe = ResNet(8, 4, head=Readout.FLATTEN), Recipe(epochs=6, batch_size=64)
    trial = Trial(network, Digits(), Classification(), augmentation, recipe, seed)
    trainer = Trainer(trial, CPU)
    while not trainer.finished:
        trainer.train_epoch()
    subject = subject_of(trial, trainer.network, CPU)
    subject = subject._replace(images=subject.images[:256], targets=None, untrained=None)
    found: dict[tuple[str, str, float], list[float]] = {}
    for row in measure_all([WITHIN, BETWEEN], subject).rows:
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
