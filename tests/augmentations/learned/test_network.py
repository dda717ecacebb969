"""The network in its learned augmentation: what it is shown, what it answers, and how its half-extents move."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, softmax

from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.box import latin_hypercube
from equistudy.augmentations.learned.generators import (
    AFFINE,
    MatrixGenerator,
    RotationGenerator,
    ScalingGenerator,
    TranslationXGenerator,
)
from equistudy.augmentations.learned.regulariser import EntropyRegulariser, NormRegulariser
from equistudy.augmentations.rotation import RandomRotation
from equistudy.datasets.digits import Digits
from equistudy.models.model import Preprocessing
from equistudy.networks.choices import Aggregate
from equistudy.training.preparation import normalise_images

DIGITS = Digits(canvas=16, digit=8)
NUMBERS = Preprocessing(DIGITS.mean, DIGITS.std)


class Pixels(nn.Module):
    """Shows what it is given: the pixels are the outputs."""

    def forward(self, images):
        return images.flatten(1)


def wrapped(augmentation, network=None):
    return augmentation.wrap(network or Pixels(), DIGITS)


def linear(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(256, outputs))


def images(count=4, seed=0):
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_training_moves_by_the_elements_in_units_of_the_half_extents():
    """Against the fixed rotation: normalised before or after, moved by the same angles, black enters."""
    network = wrapped(LearnedAugmentation((RotationGenerator(start=30.0),)))
    elements = torch.tensor([[-1.0], [0.0], [0.4], [1.0]])
    expected = normalise_images(RandomRotation(30.0).apply(images(), 30 * elements), NUMBERS)
    found = network(normalise_images(images(), NUMBERS), elements)
    torch.testing.assert_close(found, expected.flatten(1), atol=1e-4, rtol=0)


def test_copies_come_one_after_the_other_and_skip_what_acted_before():
    augmentation = LearnedAugmentation((TranslationXGenerator(start=2.0),), train_copies=3, before=RandomCrop(2))
    elements = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    found = wrapped(augmentation)(images(), elements)
    once = wrapped(LearnedAugmentation((TranslationXGenerator(start=2.0),)))
    for index, copied in enumerate(found.unflatten(0, (3, 4))):
        torch.testing.assert_close(copied, once(images(), elements[:, 2 + index, None]))


def test_oblong_images_are_turned_and_not_sheared():
    oblong = torch.zeros(1, 1, 9, 21)
    oblong[..., 4, 2:19] = 1  # a line through the centre
    network = wrapped(LearnedAugmentation((RotationGenerator(start=90.0),)))
    turned = network(oblong + network.motion.outside, torch.ones(1, 1)).unflatten(1, (9, 21)) - network.motion.outside
    expected = torch.zeros(1, 9, 21)
    expected[:, :, 10] = 1
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_mirrored_pixels_enter_in_place_of_black():
    white = torch.ones(1, 1, 16, 16)
    turn = torch.full((1, 1), 0.5)
    found = {
        margin: wrapped(LearnedAugmentation((RotationGenerator(start=90.0),), reflected=margin))(white, turn).min()
        for margin in (0, 4)
    }
    assert found[0] < 0.5
    torch.testing.assert_close(found[4], torch.tensor(1.0), atol=1e-5, rtol=0)


def test_gradients_reach_learned_half_extents_alone():
    generators = (RotationGenerator(), ScalingGenerator().without_learning(), TranslationXGenerator())
    network = wrapped(LearnedAugmentation(generators), linear())
    loss = cross_entropy(network(images(), torch.rand(4, 3)), torch.tensor([0, 1, 2, 0])) + network.penalty()
    loss.backward()
    assert network.box.raw.grad is not None
    assert (network.box.raw.grad != 0).tolist() == [True, False, True]
    torch.testing.assert_close(network.extents, torch.tensor([20.0, 0.35, 0.5]))


@pytest.mark.parametrize("start", [0.01, 1.0, 30.0, 179.9])
def test_the_raw_numbers_are_the_inverse(start):
    network = wrapped(LearnedAugmentation((RotationGenerator(start=start),)))
    assert math.isclose(network.extents.item(), start, rel_tol=1e-5)


def test_a_cap_holds_and_lets_go():
    network = wrapped(LearnedAugmentation((RotationGenerator(start=179.0), ScalingGenerator(cap=0.5))), linear())
    optimiser = torch.optim.SGD([network.parameter_group()], lr=1.0)
    assert optimiser.param_groups[0]["lr"] == network.settings.learning_rate
    for sign, expected in ((-1e5, [180.0, 0.5]), (2.0, [180 - 0.02 * math.degrees(0.5), None])):
        network.box.raw.grad = torch.full((2,), sign)
        optimiser.step()
        network(images(), torch.zeros(4, 2))
        for extent, value in zip(network.extents.tolist(), expected, strict=True):
            assert value is None or math.isclose(extent, value, rel_tol=1e-4)
    assert network.extents[1] < 0.5


def test_the_penalty_is_of_full_widths_in_radians_and_of_what_is_learned():
    generators = (RotationGenerator(start=45.0), ScalingGenerator(start=3.0).without_learning())
    norm = wrapped(LearnedAugmentation(generators, NormRegulariser(0.1))).penalty()
    torch.testing.assert_close(norm, torch.tensor(-0.1 * math.pi / 2))
    entropy = wrapped(LearnedAugmentation(generators, EntropyRegulariser(0.1))).penalty()
    torch.testing.assert_close(entropy, torch.tensor(-0.1 * math.log(math.pi / 2)))


def test_one_copy_is_the_image_as_it_is():
    network = wrapped(LearnedAugmentation(AFFINE, test_copies=1, aggregate=Aggregate.LOGIT)).eval()
    torch.testing.assert_close(network(images()), images().flatten(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_aggregates(aggregate):
    """Against the formulas, from one copy after the other."""
    augmentation = LearnedAugmentation((RotationGenerator(start=60.0),), test_copies=4, aggregate=aggregate)
    network = wrapped(augmentation, linear()).eval()
    units = latin_hypercube(4, 1)
    network.train()
    logits = torch.stack([network(images(), unit.expand(4, 1)) for unit in units])
    found = network.eval()(images())
    expected = {
        Aggregate.PROBABILITY: softmax(logits, -1).mean(0),
        Aggregate.LOGIT: softmax(logits.mean(0), -1),
        Aggregate.LOG_PROBABILITY: softmax(logits.log_softmax(-1).mean(0), -1),
    }
    torch.testing.assert_close(softmax(found, -1), expected[aggregate])
    if aggregate is not Aggregate.LOGIT:
        torch.testing.assert_close(found.exp().sum(-1), torch.ones(4))


def test_one_output_is_no_probability():
    network = wrapped(LearnedAugmentation(), linear(1)).eval()
    with pytest.raises(
        ValueError, match=r"at least two outputs, got 1 with aggregate='probability'\. Use Aggregate\.L"
    ):
        network(images())
    regression = wrapped(LearnedAugmentation(aggregate=Aggregate.LOGIT), linear(1)).eval()
    assert regression(images()).std() > 0


def test_answers_do_not_depend_on_the_batch():
    network = wrapped(LearnedAugmentation(), linear()).eval()
    whole = network(images(6))
    torch.testing.assert_close(torch.cat([network(images(6)[:1]), network(images(6)[1:])]), whole)
    assert torch.equal(network(images(6)), whole)


def test_hooks_see_the_images_as_they_are_and_the_answer_stays():
    network = wrapped(LearnedAugmentation(), linear()).eval()
    plain, seen = network(images()), []
    handle = network.network[0].register_forward_hook(lambda module, given, output: seen.append(output))
    watched = network(images())
    handle.remove()
    assert torch.equal(plain, watched)
    (features,) = seen
    assert torch.equal(features, images().flatten(1))


def test_mixed_precision_never_touches_the_grid():
    network = wrapped(LearnedAugmentation())
    elements = torch.rand(4, 6, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = network(images(), elements)
    assert torch.equal(found, network(images(), elements))


def test_an_own_generator():
    shear = MatrixGenerator(name="shear_x", matrix=((0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), start=1.0)
    network = wrapped(LearnedAugmentation((shear,)))
    dot = torch.zeros(1, 1, 17, 17)
    dot[..., 11, 8] = 1  # three pixels below the centre
    sheared = network(dot + network.motion.outside, torch.ones(1, 1)).unflatten(1, (17, 17)) - network.motion.outside
    assert sheared[0, 11, 11].item() == pytest.approx(1, abs=1e-4)


def test_it_can_be_copied_and_stored():
    network = wrapped(LearnedAugmentation(), linear()).eval()
    assert set(network.state_dict()) == {"box.raw", "weight", "network.1.weight", "network.1.bias"}
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(images()), network(images()))


def test_the_gradient_of_the_half_extents_is_that_of_finite_differences():
    """Through exponential, grid and warp, in float64, with all six generators."""
    network = wrapped(LearnedAugmentation(AFFINE), linear()).double()
    elements = 2 * torch.rand(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    smooth = torch.nn.functional.avg_pool2d(torch.rand(4, 1, 20, 20, dtype=torch.float64), 5, 1)

    def loss():
        return cross_entropy(network(smooth, elements), torch.tensor([0, 1, 2, 0])) + network.penalty()

    (gradient,) = torch.autograd.grad(loss(), network.box.raw)
    start, step = network.box.raw.detach().clone(), 1e-6
    for index in range(6):
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                network.box.raw.copy_(start + sign * step * torch.eye(6)[index])
            losses.append(loss().item())
        assert gradient[index].item() == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-4, abs=1e-8)
