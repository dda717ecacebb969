"""`LearnedInvariance` as a module of anybody's training loop."""

import copy
import io
import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import jaxtyping
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, softmax

import equistudy as eq
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.box import Box
from equistudy.augmentations.learned.colours import HueGenerator
from equistudy.augmentations.learned.generators import AFFINE, SE2, RotationGenerator, TranslationXGenerator
from equistudy.augmentations.learned.invariance import LearnedInvariance
from equistudy.augmentations.learned.motion import ImageMotion
from equistudy.augmentations.learned.regulariser import BudgetRegulariser, EntropyRegulariser, NormRegulariser
from equistudy.augmentations.learned.space import SO3
from equistudy.datasets.dataset import Split
from equistudy.datasets.sprites import Sprites
from equistudy.models.unet import UNet
from equistudy.networks.choices import Aggregate
from equistudy.networks.import_timm import import_timm

ROOT = Path(__file__).parents[3]
TURN = RotationGenerator(start=30.0)


def network(channels=1, outputs=4, norm=False):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1),
        nn.BatchNorm2d(8) if norm else nn.Identity(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, outputs),
    )


def images(count=5, channels=1, size=16):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def unchecked(monkeypatch):
    """As users run it: without the checks of types and shapes that are switched on for tests alone."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize("aggregate", list(Aggregate))
@pytest.mark.parametrize("copies", [1, 3])
def test_both_modes_give_the_documented_formula(aggregate, copies):
    """Against the formulas, image by image and copy by copy, with units drawn from the same global stream."""
    inner, motion = network(), ImageMotion((0.2,), (0.5,), 0.3)
    model = LearnedInvariance(
        inner, AFFINE, mean=0.2, std=0.5, background=0.3, train_copies=copies, test_copies=copies, aggregate=aggregate
    )
    for training in (True, False):
        model.train(training)
        torch.manual_seed(7)
        found = model(images())
        torch.manual_seed(7)
        units = 2 * torch.rand(copies * 5, 6) - 1 if training else model.test_units.repeat_interleave(5, dim=0)
        logits = inner(motion.move_inputs(images().repeat(copies, 1, 1, 1), units, model.box)).unflatten(0, (copies, 5))
        expected = {
            Aggregate.PROBABILITY: softmax(logits, -1).mean(0).log(),
            Aggregate.LOGIT: logits.mean(0),
            Aggregate.LOG_PROBABILITY: logits.log_softmax(-1).mean(0).log_softmax(-1),
        }[aggregate]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        if aggregate is not Aggregate.LOGIT:
            torch.testing.assert_close(found.exp().sum(1), torch.ones(5))


def test_its_gradient_is_that_of_the_network_of_a_trial():
    """The same elements, weights and regulariser in both give the same objective."""
    augmentation = LearnedAugmentation(SE2, NormRegulariser(0.05))
    model = LearnedInvariance(network(), SE2, NormRegulariser(0.05), mean=Sprites.mean, std=Sprites.std)
    trial = augmentation.wrap(copy.deepcopy(model.network), Sprites())
    labels = torch.tensor([0, 1, 2, 3, 0])
    torch.manual_seed(3)
    loss = cross_entropy(model(images()), labels) + model.penalty()
    torch.manual_seed(3)
    expected = cross_entropy(trial(images(), 2 * torch.rand(5, 3) - 1), labels) + trial.penalty()
    torch.testing.assert_close(loss, expected)
    for mine, its in zip(
        torch.autograd.grad(loss, list(model.parameters())),
        torch.autograd.grad(expected, list(trial.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(mine, its)


def test_evaluation_is_deterministic_and_training_draws_anew():
    model = LearnedInvariance(network(), AFFINE)
    assert not torch.equal(model(images()), model(images()))
    model.eval()
    assert torch.equal(model(images()), model(images()))
    torch.testing.assert_close(torch.cat([model(images()[:2]), model(images()[2:])]), model(images()))
    assert model(images(0)).shape == (0, 4)
    assert model.train()(images(0)).shape == (0, 4)


def test_parameter_groups_leave_the_ranges_without_weight_decay():
    model = LearnedInvariance(network(), AFFINE, learning_rate=0.04)
    weights, ranges = model.parameter_groups(weight_decay=0.1)
    assert weights["weight_decay"] == 0.1
    assert "weight_decay" not in model.parameter_groups()[0]
    assert (ranges["params"][0] is model.box.raw, ranges["lr"], ranges["weight_decay"]) == (True, 0.04, 0.0)
    assert {id(p) for group in (weights, ranges) for p in group["params"]} == {id(p) for p in model.parameters()}
    before = model.half_extents()
    optimiser = torch.optim.SGD(model.parameter_groups(10.0), lr=1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert model.half_extents() == before
    assert model.network[0].weight.abs().sum() < network()[0].weight.abs().sum()


def test_half_extents_have_names_and_units():
    model = LearnedInvariance(network(), (TURN, TranslationXGenerator(start=2.0)))
    assert model.half_extents() == {"rotation": pytest.approx(30.0, rel=1e-5), "translation_x": pytest.approx(2.0)}
    expected = -0.05 * math.sqrt((2 * math.radians(30)) ** 2 + 4.0**2)
    penalty = LearnedInvariance(network(), model.settings.generators, NormRegulariser(0.05)).penalty()
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-5)


def test_an_adaptive_regulariser_adapts():
    model = LearnedInvariance(network(), TURN, BudgetRegulariser(budget=0.1))
    before = float(model.penalty().detach())
    model.adapt(torch.tensor(0.0))
    assert float(model.penalty().detach()) / before > 1
    assert "weight" in model.state_dict()


def test_a_box_without_learning_is_the_fixed_baseline():
    model = LearnedInvariance(network(), [TURN.without_learning()])
    loss = cross_entropy(model(images()), torch.zeros(5, dtype=torch.long)) + model.penalty()
    loss.backward()
    assert model.penalty() == 0
    assert model.box.raw.grad.item() == 0


def test_caps_hold():
    model = LearnedInvariance(network(), RotationGenerator(start=20.0, cap=25.0))
    with torch.no_grad():
        model.box.raw.add_(100)
    model(images())
    assert model.half_extents()["rotation"] == pytest.approx(25.0, rel=1e-5)


def test_state_dict_and_deepcopy():
    model, other = (LearnedInvariance(network(), AFFINE) for _ in range(2))
    with torch.no_grad():
        model.box.raw.add_(0.3)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    for twin in (other, copy.deepcopy(model)):
        assert torch.equal(twin.eval()(images()), model.eval()(images()))
    twin = copy.deepcopy(model.train())
    torch.manual_seed(0)
    model(images()).sum().backward()
    assert twin.box.raw.grad is None


def test_from_the_meta_device():
    """Shapes without memory; then memory, constants and weights."""
    model = LearnedInvariance(network(), AFFINE, mean=[0.4], std=[0.2], reflected=2).eval()
    with torch.device("meta"):
        shell = LearnedInvariance(network(), AFFINE, mean=[0.4], std=[0.2], reflected=2)
    assert all(value.is_meta for value in (*shell.parameters(), *shell.buffers()))
    assert shell(images().to("meta")).shape == (5, 4)
    shell.eval().to_empty(device="cpu")
    for module in shell.modules():
        getattr(module, "reset_parameters", lambda: None)()
    assert shell.half_extents() == model.half_extents()
    shell.load_state_dict(model.state_dict())
    assert torch.equal(shell(images()), model(images()))


def test_autocast_leaves_the_grid_alone():
    model = LearnedInvariance(nn.Flatten(), AFFINE, aggregate=Aggregate.LOGIT)
    found = []
    for enabled in (True, False):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(model(images()))
    assert torch.equal(*found)
    model = LearnedInvariance(network(), AFFINE)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(images())
    assert outputs.dtype == torch.float32
    cross_entropy(outputs, torch.zeros(5, dtype=torch.long)).backward()
    assert model.box.raw.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    """The box of a network in half precision stays in float32; one in float64 follows."""
    model = LearnedInvariance(network(), AFFINE).to(dtype)
    assert model.box.raw.dtype == torch.promote_types(dtype, torch.float32)
    assert model.half_extents() == pytest.approx(LearnedInvariance(network(), AFFINE).half_extents(), rel=1e-6)
    seen = []
    model.network.register_forward_pre_hook(lambda module, given: seen.append(given[0].dtype))
    for training in (True, False):
        outputs = model.train(training)(images().to(dtype))
        assert outputs.dtype == torch.promote_types(dtype, torch.float32)
    assert seen == [dtype, dtype]


def test_channels_last_stays():
    model = LearnedInvariance(network(3), AFFINE).to(memory_format=torch.channels_last)
    seen = []
    model.network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    inputs = images(4, 3)
    for training in (True, False):
        model.train(training)
        torch.manual_seed(0)
        plain = model(inputs)
        torch.manual_seed(0)
        torch.testing.assert_close(model(inputs.to(memory_format=torch.channels_last)), plain)
    assert [each.is_contiguous(memory_format=torch.channels_last) for each in seen] == [False, True] * 2


COMPILED = """
import torch
from torch import nn
from torch.nn.functional import cross_entropy
import equistudy as eq

images, labels = torch.rand(5, 3, 16, 16), torch.zeros(5, dtype=torch.long)
for generators in (eq.AFFINE, (eq.RotationGenerator(),), (eq.HueGenerator(), *eq.SE2)):
    torch._dynamo.reset()
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 4))
    model = eq.LearnedInvariance(network, generators, eq.NormRegulariser(0.05))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for training in (True, False):
        outputs = compiled.train(training)(images)
        torch.testing.assert_close(outputs.exp().sum(1), torch.ones(5))
    torch.testing.assert_close(outputs, model(images))
    (cross_entropy(compiled.train()(images), labels) + model.penalty()).backward()
    assert (model.box.raw.grad != 0).all()
"""


def run_script(text, folder):
    """In a process of its own, as users run it: type checks of the tests are no part of a graph."""
    (folder / "work.py").write_text(text)
    command = [sys.executable, folder / "work.py", folder]
    run = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()[-2000:]


@pytest.mark.slow
def test_it_compiles_to_one_graph(tmp_path):
    run_script(COMPILED, tmp_path)


DISTRIBUTED = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy
import equistudy as eq


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.manual_seed(rank)  # other weights and other draws on each worker
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    model = eq.LearnedInvariance(network, eq.AFFINE, eq.NormRegulariser(0.05))
    parallel = nn.parallel.DistributedDataParallel(model)
    optimiser = torch.optim.Adam(model.parameter_groups(), lr=1e-2)
    for _ in range(3):
        loss = cross_entropy(parallel(torch.rand(4, 1, 8, 8)), torch.tensor([0, 1, 2, 0])) + model.penalty()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.save(model.state_dict(), f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(work, (sys.argv[1],), nprocs=2)
"""


@pytest.mark.slow
def test_workers_that_share_a_batch_agree(tmp_path):
    run_script(DISTRIBUTED, tmp_path)
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
    start = Box(AFFINE).raw.detach()
    assert ((one["box.raw"] - start).abs() > 1e-3).all()


def test_equivariant_maps_follow_the_image():
    """Quarter turns are exact, as the maps are moved back."""
    torch.manual_seed(0)
    unet = UNet(4, 2).build((1, 16, 16), 3).eval()
    turns = RotationGenerator(start=180.0).without_learning()
    model = LearnedInvariance(unet, turns, test_copies=8, padding=4, equivariant=True, aggregate=Aggregate.LOGIT).eval()
    with torch.no_grad():
        found = model(torch.rot90(images(), 1, (2, 3)))
        torch.testing.assert_close(found, torch.rot90(model(images()), 1, (2, 3)), atol=1e-4, rtol=0)
        assert found.shape == (5, 3, 16, 16)
        probabilities = LearnedInvariance(unet, turns, padding=4, equivariant=True).eval()(images()).exp()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(5, 16, 16))


def test_the_padding_that_equivariance_needs():
    turns = RotationGenerator(start=180.0).without_learning()
    model = LearnedInvariance(nn.Identity(), turns, equivariant=True, aggregate=Aggregate.LOGIT)
    assert model.needed_padding(64, 64) == 14
    assert model.needed_padding(360, 480) == 120
    assert LearnedInvariance(nn.Identity(), HueGenerator()).needed_padding(64, 64) == 0


def test_regression_averages_numbers():
    model = LearnedInvariance(network(outputs=1), TURN, NormRegulariser(0.01), aggregate=Aggregate.LOGIT)
    (mse_loss(model(images()), torch.zeros(5, 1)) + model.penalty()).backward()
    assert model.box.raw.grad is not None
    assert model.eval()(images()).std() > 0


class Half(nn.Module):
    def forward(self, given):
        return given[: len(given) // 2].flatten(1)


class Answers(nn.Module):
    def forward(self, given):
        return {"out": given}


@pytest.mark.parametrize(
    ("build", "given", "error", "message"),
    [
        (lambda: LearnedInvariance(len, TURN), None, TypeError, r"must be an nn\.Module, got <built-in.*Wrap"),
        (
            lambda: LearnedInvariance(network(), ("rotation",)),
            None,
            TypeError,
            r"got generators=\('rotation',\).*Write",
        ),
        (lambda: LearnedInvariance(network(), "rotation"), None, TypeError, r"tuple of Lie generators, got .*Write"),
        (
            lambda: LearnedInvariance(network(), eq.Rotation()),
            None,
            TypeError,
            r"Lie generators, got .*Rotation.*Write",
        ),
        (lambda: LearnedInvariance(network(), ()), None, ValueError, r"at least one half-extent, got no generators"),
        (
            lambda: LearnedInvariance(network(), (TURN, TURN)),
            None,
            ValueError,
            r"different names, got rotation, rotation",
        ),
        (lambda: LearnedInvariance(network(), SO3), None, ValueError, r"moves images, got rotation_x.*Use Rotation"),
        (
            lambda: LearnedInvariance(network(), TURN, "norm"),
            None,
            TypeError,
            r"regulariser must .* got regulariser='norm'",
        ),
        (lambda: LearnedInvariance(network(), TURN, aggregate="mean"), None, TypeError, r"aggregate must be .*'mean'"),
        (
            lambda: LearnedInvariance(network(), TURN, train_copies=0),
            None,
            ValueError,
            r"at least 1, got train_copies=0",
        ),
        (
            lambda: LearnedInvariance(network(), TURN, padding=3),
            None,
            ValueError,
            r"padding=3 with equivariant=False\. Use",
        ),
        (lambda: LearnedInvariance(network(), TURN, mean=0.5), None, ValueError, r"together, got mean=0\.5, std=None"),
        (
            lambda: LearnedInvariance(network(), TURN, mean=(0.5, 0.5), std=(1, 1, 1)),
            None,
            ValueError,
            r"equally many numbers, got 2 and 3\. Give one for each channel",
        ),
        (
            lambda: LearnedInvariance(network(), TURN, mean=0.5, std=0),
            None,
            ValueError,
            r"std positive, got .*std=\(0\.0",
        ),
        (
            lambda: LearnedInvariance(network(), TURN, mean=(0.5,) * 3, std=(1,) * 3),
            images(),
            ValueError,
            r"one number for each channel, got 3 for images of 1 channels\. Give 1 numbers, or one for all",
        ),
        (
            lambda: LearnedInvariance(network(), TURN),
            images()[0],
            ValueError,
            r"batch \[B, C, H, W\], got shape \[1, 16, 16\]",
        ),
        (
            lambda: LearnedInvariance(network(), TURN),
            (255 * images()).byte(),
            TypeError,
            r"floating-point tensors, got torch\.uint8\. Use images\.float\(\) / 255",
        ),
        (lambda: LearnedInvariance(network(), TURN), [1.0], TypeError, r"floating-point tensors, got list"),
        (
            lambda: LearnedInvariance(network(), HueGenerator()),
            images(),
            ValueError,
            r"need three channels, got images of 1",
        ),
        (
            lambda: LearnedInvariance(network(), TURN, reflected=16),
            images(),
            ValueError,
            r"less than the image's size, got re",
        ),
        (
            lambda: LearnedInvariance(network(outputs=1), TURN),
            images(),
            ValueError,
            r"at least two outputs, got 1 with .*LOGIT",
        ),
        (
            lambda: LearnedInvariance(Half(), TURN),
            images(),
            ValueError,
            r"one row .* got outputs of shape \[\d+, 256\] for \d+ i",
        ),
        (
            lambda: LearnedInvariance(Answers(), TURN),
            images(),
            TypeError,
            r"one tensor of outputs, got dict from Answers\. W",
        ),
        (
            lambda: LearnedInvariance(nn.AvgPool2d(2), TURN, equivariant=True),
            images(),
            ValueError,
            r"pixel by pixel, got outputs of \[8, 8\] for images of \[16, 16\]\. Use",
        ),
    ],
)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.usefixtures("unchecked")
def test_mistakes_are_explained(build, given, error, message, training):
    with pytest.raises(error, match=message):
        build().train(training)(given)


def small_sprites(count):
    examples = Sprites(2, 45.0, size=16, train_size=count, test_size=64).load(Split.TRAIN)
    return (examples.inputs.float() / 255 - Sprites.mean[0]) / Sprites.std[0], examples.targets


def plain_cnn():
    layers: list[nn.Module] = []
    for before, after in ((1, 8), (8, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(before, after, 3, 2 if after > before else 1, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 4))


def learn_sprites(regulariser, steps, start=20.0, seed=0):
    """A plain loop on two sprites in two sectors, which allow turns by 45 degrees; the mean of the last 60 steps."""
    torch.manual_seed(seed)
    inputs, labels = small_sprites(3000)
    turn = RotationGenerator(start=start)
    model = LearnedInvariance(plain_cnn(), turn, regulariser, mean=Sprites.mean, std=Sprites.std, learning_rate=0.04)
    optimiser = torch.optim.AdamW(model.parameter_groups(), lr=0.01)
    extents = []
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (96,))
        loss = cross_entropy(model(inputs[chosen]), labels[chosen]) + model.penalty()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        extents.append(model.half_extents()["rotation"])
    return sum(extents[-60:]) / 60, model


@pytest.mark.slow
@pytest.mark.parametrize("start", [5.0, 90.0])
def test_a_plain_loop_learns_the_range_that_the_labels_allow(start):
    regulariser = NormRegulariser(0.05)
    box = LearnedAugmentation((RotationGenerator(start=9.0),), regulariser)
    expected = box.expected_extent(Sprites(2, 45.0))
    tail, model = learn_sprites(regulariser, 400, start)
    assert expected - 6 < tail < expected + 3  # 49.0; a network sees finite data for a finite time
    inputs, labels = small_sprites(500)
    with torch.no_grad():
        assert (model.eval()(inputs).argmax(1) == labels).float().mean() > 0.97


@pytest.mark.slow
def test_without_a_regulariser_the_range_shrinks():
    tail, _ = learn_sprites(NormRegulariser(0.0), 200, 60.0)
    assert tail < 50


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_loop_of_timm(name):
    """Model, mixup, optimiser, clipping, EMA and scheduler as timm's training script puts them together."""
    timm = import_timm()
    for part in ("data", "loss", "optim", "scheduler", "utils"):
        import_module(f"timm.{part}")
    mixup = timm.data.Mixup(mixup_alpha=0.2, num_classes=4)
    torch.manual_seed(0)
    inner = (
        timm.create_model(name, num_classes=4, img_size=32) if "vit" in name else timm.create_model(name, num_classes=4)
    )
    model = LearnedInvariance(inner, SE2, EntropyRegulariser(0.05), mean=(0.5,) * 3, std=(0.5,) * 3)
    optimiser = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.5)
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    kept = {name for name, parameter in model.named_parameters() if decays[id(parameter)] == 0}
    assert "box.raw" in kept
    assert "network.pos_embed" in kept or "vit" not in name
    assert {f"network.{name}" for name, p in inner.named_parameters() if p.ndim == 4}.isdisjoint(kept)
    scheduler = timm.scheduler.CosineLRScheduler(optimiser, t_initial=3)
    average, criterion = timm.utils.ModelEmaV3(model, decay=0.5), timm.loss.SoftTargetCrossEntropy()
    before = model.half_extents()
    for step in range(3):
        given, targets = mixup(images(8, 3, 32), torch.arange(8) % 4)
        loss = criterion(model(given), targets) + model.penalty()
        optimiser.zero_grad()
        loss.backward()
        timm.utils.dispatch_clip_grad(model.parameters(), 1.0)
        optimiser.step()
        average.update(model, step=step)
        scheduler.step(step + 1)
    assert loss.isfinite()
    assert all(model.half_extents()[name] != value for name, value in before.items())
    assert average.module.half_extents() != model.half_extents()
    with torch.no_grad():
        assert average.module.eval()(images(5, 3, 32)).exp().sum().item() == pytest.approx(5, rel=1e-5)


def test_a_module_of_lightning(tmp_path):
    lightning = pytest.importorskip("lightning", reason="Lightning is not installed.")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = LearnedInvariance(network(), SE2, NormRegulariser(0.05))

        def training_step(self, batch, index):
            given, labels = batch
            return cross_entropy(self.model(given), labels) + self.model.penalty()

        def configure_optimizers(self):
            return torch.optim.AdamW(self.model.parameter_groups(0.01), lr=1e-2)

    module = Module()
    before = module.model.half_extents()
    data = torch.utils.data.TensorDataset(images(16), torch.arange(16) % 4)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, 4))
    assert module.model.half_extents() != before


def test_gradients_accumulate_over_several_calls():
    """Caps are enforced in each call, which must not disturb those whose backward pass is still to come."""
    model = LearnedInvariance(network(), RotationGenerator(start=20.0, cap=20.0))
    labels = torch.zeros(5, dtype=torch.long)
    torch.manual_seed(0)
    losses = [cross_entropy(model(images(seed)), labels[:seed]) for seed in (2, 3)]
    sum(losses).backward()
    together = model.box.raw.grad.clone()
    model.zero_grad()
    torch.manual_seed(0)
    for seed in (2, 3):
        cross_entropy(model(images(seed)), labels[:seed]).backward()
    torch.testing.assert_close(model.box.raw.grad, together)
