"""Penalties against what the measures say of the same features, and against networks that are equivariant anyway."""

from dataclasses import replace

import pytest
import torch

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.resident import load_resident
from equistudy.groups.translation import Border, Translation
from equistudy.measures.agreement import NormalisedError
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measures.direct import measure
from equistudy.measuring.engine import measure_all
from equistudy.models.resnet import ResNet
from equistudy.models.vit import ViT
from equistudy.networks.choices import Padding, Positions
from equistudy.recipe import SGD, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.tasks.penalised import Depth, Dissimilarity, Penalised, Penalty
from equistudy.training.penalties import Penalties, compute_dissimilarity
from equistudy.training.sources import SINGLE_WORKER
from equistudy.training.step import TrainingStep
from equistudy.training.subject import build_subject
from equistudy.training.trainer import Trainer, build_network

CPU = torch.device("cpu")
DIGITS = Digits(canvas=32, digit=24, train_size=128)
CORRELATION, ERROR = Dissimilarity.CORRELATION, Dissimilarity.NORMALISED_ERROR
ONE = Translation(pixels=(3,), border=Border.ZERO)  # dx=3 and dy=3


def trial(*penalties: Penalty, model=ResNet(8, 4), **changes) -> Trial:  # noqa: B008
    task = Penalised(Classification(), penalties) if penalties else Classification()
    recipe = Recipe(2, 32, SGD(learning_rate=0.02))
    return replace(Trial(model, DIGITS, task, NoAugmentation(), recipe, seed=0), **changes)


def value(penalty: Penalty, step: int, **changes) -> float:
    """The penalty at a step, of an untrained network in evaluation."""
    penalised = trial(penalty, **changes)
    network = build_network(penalised, CPU).eval()
    images = load_resident(DIGITS, Split.TEST, CPU).inputs[:24] / 255
    penalties = Penalties(penalised, network)
    inputs = (images - DIGITS.mean[0]) / DIGITS.std[0]
    with penalties.record_stages(), torch.no_grad():
        outputs = network(penalties.build_views(inputs, step))
        return float(penalties.compute_penalty(outputs, 24))


@pytest.mark.parametrize(("kind", "of"), [(CORRELATION, WithinCorrelation), (ERROR, NormalisedError)])
@pytest.mark.parametrize("depth", [Depth.EARLY, Depth.MIDDLE, Depth.LATE])
def test_a_penalty_on_maps_is_what_a_measure_says(depth, kind, of):
    stages = {Depth.EARLY: "stem", Depth.MIDDLE: "stage2", Depth.LATE: "stage3"}
    subject = build_subject(trial(), build_network(trial(), CPU).eval(), CPU)
    subject = subject._replace(images=subject.images[:24], targets=None, untrained=None)
    rows = measure_all([of(ONE)], subject).rows
    expected = [1 - row.value if kind is CORRELATION else row.value for row in rows if row.stage == stages[depth]]
    assert len(expected) == 2
    values = [value(Penalty(ONE, 1.0, depth, kind), step) for step in range(8)]
    assert (min(values), max(values)) == pytest.approx((min(expected), max(expected)), rel=1e-3, abs=1e-6)


@pytest.mark.slow
def test_equivariant_networks_pay_nothing():
    circular = Translation(pixels=(4,), border=Border.CIRCULAR)
    for kind in Dissimilarity:
        for depth in Depth:
            penalty = Penalty(circular, 1.0, depth, kind)
            assert value(penalty, 0, model=ResNet(8, 4, padding=Padding.CIRCULAR)) == pytest.approx(0, abs=1e-5)
    penalty = Penalty(circular, 1.0, Depth.LATE)
    assert value(penalty, 0, model=ViT(2, 8, positions=Positions.NONE)) == pytest.approx(0, abs=1e-5)
    assert value(penalty, 0, model=ViT(2, 8)) > 1e-3


def test_dissimilarity_in_closed_form():
    a = torch.tensor([[[0.0, 1.0, 2.0]], [[3.0, 3.0, 6.0]]])
    assert compute_dissimilarity(a, a, CORRELATION) == compute_dissimilarity(a, a, ERROR) == 0
    assert compute_dissimilarity(2 * a + 1, a, CORRELATION) == pytest.approx(0, abs=1e-6)
    assert compute_dissimilarity(-a, a, CORRELATION) == pytest.approx(2)
    # a less its mean 2.5 squared is 6.25, 2.25, 0.25, 0.25, 0.25, 12.25; the difference a + 1: 1, 4, 9, 16, 16, 49
    assert compute_dissimilarity(2 * a + 1, a, ERROR) == pytest.approx(95 / 21.5)
    logits = torch.tensor([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])  # the second does not vary
    assert compute_dissimilarity(-logits, logits, CORRELATION) == pytest.approx(2)
    constant = torch.ones(3, 2, requires_grad=True)
    compute_dissimilarity(constant, constant, ERROR).backward()
    assert not constant.grad.any()


@pytest.mark.slow
def test_a_penalty_makes_networks_more_alike_to_what_it_asks_for():
    def trained(weight: float) -> torch.nn.Module:
        penalty = Penalty(Translation(max_pixels=2), weight)
        trainer = Trainer(trial(penalty, recipe=Recipe(4, 32, SGD(learning_rate=0.05))), CPU)
        while not trainer.is_finished:
            trainer.train_epoch()
        return trainer.network.eval()

    images = load_resident(DIGITS, Split.TEST, CPU).inputs[:64] / 255 - DIGITS.mean[0]
    found = [
        measure(
            trained(weight), images / DIGITS.std[0], [BetweenCorrelation(Translation(max_pixels=2))], ["classifier"]
        )
        for weight in (0.0, 3.0)
    ]
    plain, penalised = (sum(row.value for row in each.rows) / len(each.rows) for each in found)
    assert penalised > plain + 0.02


def test_penalties_that_cannot_be():
    far = Translation(max_pixels=31, pixels=(31,), border=Border.ZERO)
    with pytest.raises(ValueError, match=r"needs cells that both maps show, got none of 8 x 8 at stage 'stage3'.*eros"):
        value(Penalty(far, depth=Depth.LATE), 0)
    learned = trial(Penalty(ONE), augmentation=LearnedAugmentation())
    with pytest.raises(
        ValueError, match=r"Penalties need an uncompiled network without a learned augmentation, got Penalised"
    ):
        TrainingStep(learned, build_network(learned, CPU), SINGLE_WORKER, None)
