"""What is moved back: labels for pixels and trajectories; and how equivariant the network around them then is."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.learned.augmentation import FixedAugmentation, LearnedAugmentation
from equistudy.augmentations.learned.box import Box
from equistudy.augmentations.learned.colours import BrightnessGenerator
from equistudy.augmentations.learned.generators import AFFINE, GL2, SE2, Domain, RotationGenerator, ScalingGenerator
from equistudy.augmentations.learned.motion import (
    DenseMotion,
    ImageMotion,
    build_motion,
    find_lost_share,
    find_needed_padding,
)
from equistudy.augmentations.learned.regulariser import NormRegulariser
from equistudy.augmentations.learned.space import AFFINE3, SE3, SO3, HaarRotation, SpaceTranslation
from equistudy.datasets.cifar import CIFAR10
from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.point_clouds import PointClouds
from equistudy.datasets.qm7 import QM7
from equistudy.datasets.shapes import Shapes
from equistudy.datasets.springs import Springs
from equistudy.groups.resampling import rotation_matrices, warp
from equistudy.models.model import Preprocessing
from equistudy.models.point_network import ForceNetwork, PointNetwork
from equistudy.models.resnet import ResNet
from equistudy.models.unet import UNet
from equistudy.networks.choices import Aggregate, PairFeatures
from equistudy.recipe import AdamW, Constant, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.tasks.regression import Regression
from equistudy.training.trainer import Trainer, build_network

EVERY = FixedAugmentation((RotationGenerator(start=180.0),), test_copies=8, aggregate=Aggregate.LOGIT, padding=8)
SHAPES = Shapes(32, 8, 8)
BLACK = -2.5  # of the normalised images


def scenes() -> Tensor:
    """Smooth ones: what interpolation does to noise is another matter."""
    images = (SHAPES.load(Split.TEST).inputs.float() / 255 - 0.5) / 0.2
    return avg_pool2d(pad(images, (2,) * 4, mode="reflect"), 5, 1)


def turned(images: Tensor, degrees: float, black: float = 0.0) -> Tensor:
    return warp(images - black, rotation_matrices(torch.full((len(images),), degrees))) + black


def apart(first: Tensor, second: Tensor) -> float:
    """The relative distance of two sets of maps inside a disk that no turn leaves."""
    axis = torch.arange(first.shape[-1]) - (first.shape[-1] - 1) / 2
    disk = axis[:, None] ** 2 + axis**2 < (first.shape[-1] / 2 - 3) ** 2
    return float(((first - second)[..., disk].norm() / second[..., disk].norm()).detach())


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    """Random, with the batch statistics of the scenes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(4, 2).build(SHAPES.image_shape, 5)
    with torch.no_grad():
        for _ in range(20):
            network(scenes())
    return network.eval()


@pytest.mark.parametrize(("copies", "degrees"), [(8, 45.0), (8, 135.0), (24, 30.0)])
def test_the_network_around_a_map_is_equivariant_as_far_as_interpolation_goes(unet, copies, degrees):
    """The ceiling is what turning there and back costs: of the images through the network, and of the map."""
    network = replace(EVERY, test_copies=copies).wrap(unet, SHAPES).eval()
    x = scenes()
    with torch.no_grad():
        own = network(x)
        error = apart(network(turned(x, degrees, BLACK)), turned(own, degrees))
        there_and_back = network(turned(turned(x, degrees, BLACK), -degrees, BLACK))
        plain = apart(unet(turned(x, degrees, BLACK)), turned(unet(x), degrees))
    ceiling = apart(there_and_back, own) + apart(turned(turned(own, degrees), -degrees), own)
    assert error < ceiling
    assert plain > 3 * error


def test_quarter_turns_are_exact(unet):
    network = EVERY.wrap(unet, SHAPES).eval()
    with torch.no_grad():
        assert apart(network(turned(scenes(), 90.0, BLACK)), torch.rot90(network(scenes()), 1, (2, 3))) < 1e-4


@pytest.mark.parametrize(("padding", "low", "high"), [(0, 0.02, 0.15), (14, 0.0, 0.015)])
def test_there_and_back_costs_little_with_padding(padding, low, high):
    """A smooth field of 64 pixels turned by 45 degrees: .21 of the side keeps the corners."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 1, 76, 76, generator=rng)
    for _ in range(3):
        noise = avg_pool2d(noise, 5, 1)
    field = noise / noise.std() * 0.25
    augmentation = replace(EVERY, generators=(RotationGenerator(start=45.0),), padding=padding)
    motion = build_motion(replace(SHAPES, size=64), augmentation.reflected, augmentation.padding)
    motion.mean, motion.std = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    box = augmentation.wrap(nn.Identity(), SHAPES).box
    units = torch.ones(4, 1)
    back = motion.move_outputs_back(motion.move_inputs(field, units, box), units, box)
    assert back.shape == field.shape
    error = float((back - field).detach().abs().mean())
    assert low <= error <= high


def test_training_gives_maps_moved_back_to_the_labels(unet):
    """A network that only repeats its input: what was moved comes back, copy by copy."""
    network = replace(EVERY, train_copies=2).wrap(nn.Identity(), SHAPES)
    x = scenes()
    rng = torch.Generator().manual_seed(1)
    outputs = network(x, 2 * torch.rand(len(x), 2, generator=rng) - 1)
    assert outputs.shape == (2 * len(x), *x.shape[1:])
    assert apart(outputs[: len(x)], x) < 0.06
    assert apart(outputs[len(x) :], x) < 0.06


def test_evaluation_in_parts_is_the_same(unet, monkeypatch):
    network = replace(EVERY, aggregate=Aggregate.PROBABILITY).wrap(unet, SHAPES).eval()
    with torch.no_grad():
        whole = network(scenes())
        monkeypatch.setattr("equistudy.augmentations.learned.network.MAX_BATCH_VALUES", 1)
        torch.testing.assert_close(network(scenes()), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.exp().sum(1), torch.ones(whole.shape[0], *whole.shape[2:]))


def test_outputs_of_another_size_cannot_be_moved_back():
    network = EVERY.wrap(nn.AvgPool2d(4), SHAPES).eval()
    with pytest.raises(
        ValueError, match=r"moved back pixel by pixel, got outputs of \[12, 12\] for images of \[48, 48\]"
    ):
        network(scenes())


def test_trajectories_are_moved_back_exactly():
    """Springs obey every linear map of the plane, a network with central forces every turn of it, another one none."""
    springs = Springs(train_size=2, test_size=16)
    states, trajectories = (values.double() for values in springs.load(Split.TEST))
    box = LearnedAugmentation(GL2)
    motion, units = (
        build_motion(springs, box.reflected, box.padding),
        2 * torch.rand(16, 4, generator=torch.Generator().manual_seed(0)) - 1,
    )
    learned = box.wrap(nn.Identity(), springs).box.double()
    moved = motion.move_inputs(states, units.double(), learned)
    torch.testing.assert_close(moved[..., 4:], states[..., 4:])
    exact = torch.from_numpy(springs.compute_trajectories(moved.detach().numpy()))
    torch.testing.assert_close(
        motion.move_outputs_back(exact, units.double(), learned), trajectories, rtol=1e-4, atol=1e-4
    )
    for central, close in ((True, True), (False, False)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            plain = ForceNetwork(8, central=central).build((4, 6), 8)
        around = FixedAugmentation((RotationGenerator(start=90.0),), test_copies=3).wrap(plain, springs).eval()
        with torch.no_grad():
            error = (around(states.float()) - plain(states.float())).abs().max()
        assert (error < 1e-4) == close


def test_numbers_of_points_are_averaged_as_they_are():
    """Distances do not see a rigid motion; places do. Features behind the vectors are never moved."""
    clouds = PointClouds(train_size=8, test_size=8)
    points = clouds.load(Split.TEST).inputs
    for sight, close in ((PairFeatures.DISTANCES, True), (PairFeatures.PLACES, False)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            plain = PointNetwork(8, sight).build(clouds.input_shape, 1)
        around = FixedAugmentation(SE3, test_copies=5).wrap(plain, clouds).eval()
        with torch.no_grad():
            answers = around(points)
            assert answers.shape == (8, 1)
            assert answers.std() > 0  # no softmax over one number
            assert torch.allclose(answers, plain(points), atol=1e-5) == close


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        ValueError, match=r"got rotation for PointClouds, whose inputs are points in space\. Use SO3, SE3"
    ):
        LearnedAugmentation((RotationGenerator(),)).check(PointClouds())
    with pytest.raises(
        ValueError, match=r"got rotation_x, rotation_y, rotation_z for Springs, .* points in the plane\. Use"
    ):
        LearnedAugmentation(SO3).check(Springs())
    with pytest.raises(
        ValueError, match=r"got rotation_x, .* for Digits, whose inputs are images in the plane\. Use Rot"
    ):
        LearnedAugmentation(SO3).check(Digits())
    with pytest.raises(
        ValueError, match=r"moved back, got padding=8 for Digits, whose target is a class\. Use padding=0"
    ):
        EVERY.check(Digits())
    with pytest.raises(ValueError, match=r"Points have no border .*, got reflected=2\. Use 0"):
        LearnedAugmentation(SO3, reflected=2).check(PointClouds())
    with pytest.raises(ValueError, match=r"RandomCrop moves images, got PointClouds"):
        LearnedAugmentation(SO3, before=RandomCrop()).check(PointClouds())
    assert math.isfinite(SO3[0].start)


@pytest.mark.slow
def test_of_all_affine_maps_of_space_distances_leave_the_rigid_ones():
    """A network that sees differences learns from a function of distances to turn and shift, and nothing else."""
    clouds = PointClouds(train_size=2000, test_size=200)
    box = LearnedAugmentation(AFFINE3, NormRegulariser(0.01), 0.03, test_copies=5)
    recipe = Recipe(20, 60, AdamW(0.005, 0.0), Constant())
    trial = Trial(PointNetwork(24, PairFeatures.DIFFERENCES), clouds, Regression(), box, recipe, 0)
    trainer = Trainer(trial, torch.device("cpu"))
    while not trainer.is_finished:
        trainer.train_epoch()
    tails = {value.name.removesuffix("_extent_tail"): value.value for value in trainer.curves if "tail" in value.name}
    turns = [math.radians(tails[f"rotation_{axis}"]) for axis in "xyz"]
    others = [tails[generator.name] for generator in AFFINE3[3:9]]
    assert 2 * min(turns) >= 3
    assert 2 * max(others) <= 0.3
    assert min(turns) >= 20 * max(others)
    assert min(tails[f"translation_{axis}"] for axis in "xyz") > 1


def test_colours_change_before_positions():
    motion, box = (
        ImageMotion((0.0,) * 3, (1.0,) * 3),
        Box((BrightnessGenerator(start=0.5), RotationGenerator(start=90.0))),
    )
    images = torch.rand(2, 3, 8, 8) / 2
    found = motion.move_inputs(images, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), box.eval())
    torch.testing.assert_close(found[0], images[0] + 0.5, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], torch.rot90(images[1], 1, dims=(1, 2)), atol=1e-5, rtol=0)


@dataclass(frozen=True)
class Paper(Digits):
    """Digits on white paper."""

    background: ClassVar[float | None] = 1.0


@pytest.mark.parametrize("mean", [None, (0.3,)])
def test_the_background_of_the_dataset_comes_in(mean):
    """White paper, normalised by the dataset's numbers or the model's, stays white wherever it is moved."""
    std = None if mean is None else (0.7,)
    network = LearnedAugmentation(test_copies=8, aggregate=Aggregate.LOGIT).wrap(nn.Identity(), Paper(), mean, std)
    numbers = (Paper.mean, Paper.std) if mean is None or std is None else (mean, std)
    white = (torch.ones(3, 1, 8, 8) - numbers[0][0]) / numbers[1][0]
    torch.testing.assert_close(network.eval()(white), white, atol=1e-5, rtol=0)
    moved = network.train()(white, 2 * torch.rand(3, 6) - 1)
    torch.testing.assert_close(moved, white, atol=1e-5, rtol=0)
    black = LearnedAugmentation(SE2, test_copies=8, aggregate=Aggregate.LOGIT).wrap(nn.Identity(), Digits()).eval()
    assert (black(white) - white).abs().max() > 0.1


def test_models_with_numbers_of_their_own_see_the_right_black():
    trial = Trial(
        OwnNumbers(8, 2), CIFAR10(), Classification(), LearnedAugmentation(SE2), Recipe(1, 8, AdamW(), Constant()), 0
    )
    motion = build_network(trial, torch.device("cpu")).motion
    torch.testing.assert_close(motion.outside.flatten(), torch.tensor([-0.2, -1.0, -3.0]))


@dataclass(frozen=True)
class OwnNumbers(ResNet):
    """Normalises with numbers of its own, as pretrained networks do."""

    def preprocessing(self, dataset):
        return Preprocessing((0.1, 0.5, 0.6), (0.5, 0.5, 0.2))


def test_padded_atoms_stay_at_zero():
    """Their network knows them by their features; places that are shifted leave the mean of a molecule alone."""
    molecules = QM7()
    motion, box = build_motion(molecules, 0, 0), Box(SE3).eval()
    atoms = torch.zeros(2, *molecules.input_shape)
    atoms[:, :5, :3] = torch.randn(2, 5, 3)
    atoms[:, :5, 3] = 1
    atoms[0, 0, :3] = 0  # an atom at the origin is an atom
    moved = motion.move_inputs(atoms, torch.full((2, 6), 0.9), box)
    assert torch.equal(moved[:, 5:], atoms[:, 5:])
    assert moved[0, 0, :3].abs().min() > 0.1
    pure = build_motion(PointClouds(), 0, 0).move_inputs(torch.zeros(1, 5, 3), torch.full((1, 6), 0.9), box)
    assert (pure != 0).all()  # without features every row is a point


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (64, 48), (90, 120), (17, 61)])
@pytest.mark.parametrize("degrees", [10.0, 45.0, 180.0])
def test_with_the_needed_padding_no_pixel_is_lost(size, degrees):
    """Against the corners turned by hand, and by moving an image of ones there and back."""
    height, width = size
    box = Box((RotationGenerator(start=degrees),)).eval()
    angles = torch.linspace(0, math.radians(degrees), 4001)
    y, x = (height - 1) / 2, (width - 1) / 2
    across = (x * angles.cos() + y * angles.sin()).max() - x
    down = (y * angles.cos() + x * angles.sin()).max() - y
    padding = find_needed_padding(box, height, width)
    assert padding == math.ceil(max(across, down) - 2e-3)
    if degrees == 180:
        assert padding == math.ceil((math.hypot(height - 1, width - 1) - min(height, width) + 1) / 2 - 2e-3)
    units = torch.linspace(-1, 1, 37)[:, None]
    ones = torch.ones(37, 1, height, width)
    lost = {}
    for margin in (padding, 0):
        motion = DenseMotion((0.0,), (1.0,), 0.0, 0, margin)
        canvas = torch.ones(37, 1, height + 2 * margin, width + 2 * margin)
        back = motion.move_outputs_back(canvas, units, box)
        lost[margin] = (back < 0.5).float().mean(dim=(1, 2, 3)).max().item()
        assert back.shape == ones.shape
    assert lost[padding] == 0
    assert find_lost_share(box, height, width, padding) == 0
    assert find_lost_share(box, height, width, 0) == pytest.approx(lost[0], abs=0.02)


def test_lost_pixels_are_a_risk_that_is_told():
    scenes = Shapes(64, 8, 8)
    told = replace(EVERY, padding=0).describe_risk(scenes)
    assert told is not None
    assert "Outputs for up to 17% of the pixels of Shapes" in told
    assert "with padding=0 and half-extents of rotation=180. Use padding=14, with which none is lost." in told
    learned = LearnedAugmentation((RotationGenerator(start=5.0), ScalingGenerator(start=0.1)), padding=13)
    assert "Use padding=18" in (learned.describe_risk(scenes) or "")
    assert replace(learned, padding=18).describe_risk(scenes) is None
    assert replace(EVERY, padding=14).describe_risk(scenes) is None
    assert replace(EVERY, padding=0).describe_risk(Digits()) is None


def test_second_derivatives_reach_the_half_extents():
    """Through exponential and warp, in float64."""
    box = Box(AFFINE).double()
    motion = ImageMotion((0.3,), (0.5,), 0.0, 2).double()
    rng = torch.Generator().manual_seed(0)
    smooth = avg_pool2d(torch.rand(2, 1, 13, 13, dtype=torch.float64, generator=rng), 5, 1)
    units = 2 * torch.rand(2, 6, dtype=torch.float64, generator=rng) - 1

    def moved(raw):
        return torch.func.functional_call(Moved(box, motion, smooth, units), {"box.raw": raw}, ())

    assert torch.autograd.gradgradcheck(moved, box.raw.detach().clone().requires_grad_())


class Moved(nn.Module):
    """Images as their half-extents move them."""

    def __init__(self, box, motion, images, units):
        super().__init__()
        self.box, self.motion, self.images, self.units = box, motion, images, units

    def forward(self):
        return self.motion.move_inputs(self.images, self.units, self.box)


def test_haar_rotations_turn_whole_clouds():
    """Orthogonal maps, undone by their inverse; half a turn to each side is every rotation."""
    clouds = PointClouds(train_size=8, test_size=8)
    network = LearnedAugmentation((HaarRotation(start=180.0), SpaceTranslation())).wrap(nn.Identity(), clouds)
    assert LearnedAugmentation((HaarRotation(), SpaceTranslation()), train_copies=2).num_parameters == 8
    assert network.box.num_units == 4
    assert network.test_units.shape == (4, 4)
    units = 2 * torch.rand(4000, 4, generator=torch.Generator().manual_seed(0)) - 1
    maps, back = (network.box.compute_maps(units, Domain.SPACE, inverse=inverse) for inverse in (False, True))
    torch.testing.assert_close(maps[..., :3] @ back[..., :3], torch.eye(3).expand(4000, 3, 3), atol=1e-5, rtol=0)
    assert maps[..., :3].mean(0).abs().max() < 0.05  # the mean over SO(3) is 0
    (slope,) = torch.autograd.grad(network.box.compute_maps(units[:9], Domain.SPACE).sum(), network.box.raw)
    assert slope.isfinite().all()
    assert (slope != 0).all()
    still = network.eval().box.compute_maps(torch.zeros(1, 4), Domain.SPACE)
    torch.testing.assert_close(still, torch.eye(3, 4)[None])
