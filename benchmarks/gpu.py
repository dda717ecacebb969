"""What only a GPU can tell: whether training and measuring are right there, and how fast.

measured     the same networks and images on the GPU and on the CPU, by every measure
augmented    every augmentation there and here by the same elements, and what each draws
trained      the losses of the first steps there and here; an exact network in full float32 and as torch is set; a
             resumed training bit for bit; what each option of the recipe learns
speed        images per second of training, ours against a loop by hand, in float32, TensorFloat32 and bfloat16
passes       all views of ResNet-50 measured, over the bare forward passes in full float32
share        1, 4 and 16 processes that train side by side, each its own network: steps per second in all over those
             of one; with a running CUDA MPS server they share the GPU in space, without one in time

python -m benchmarks.gpu [PART ...] [--folder data/fashion-mnist]

A part that fails says how, and the others still run.
"""

import argparse
import statistics
import subprocess
import time
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import equistudy as eq
from benchmarks.training_speed import chosen_dataset, ours
from equistudy.datasets.dataset import Split
from equistudy.datasets.resident import load_resident
from equistudy.float32 import use_full_float32
from equistudy.measuring.engine import measure_all
from equistudy.training.subject import build_subject
from equistudy.training.trainer import Trainer, build_network

CPU, GPU = torch.device("cpu"), torch.device("cuda")
CLASSES, PLAIN, DIGITS = eq.Classification(), eq.NoAugmentation(), eq.Digits(14, 10)
SHIFT, TURN, QUARTER = eq.Translation(max_pixels=2), eq.Rotation(), eq.CyclicGroup(4)
MEASURES = (
    eq.Accuracy(),
    eq.AccuracyPerAngle(8),
    eq.WithinCorrelation(SHIFT),
    eq.BetweenCorrelation(SHIFT),
    eq.TotalCorrelation(SHIFT),
    eq.ConcordanceCorrelation(TURN),
    eq.WithinCorrelation(TURN),
    eq.NormalisedError(QUARTER),
    eq.CosineSimilarity(QUARTER),
    eq.ShiftConsistency(SHIFT),
    eq.TopOneChange(SHIFT),
    eq.NormalisedVariance(QUARTER),
    eq.LieDerivative(SHIFT),
    eq.WithinCorrelation(SHIFT, precision=eq.Precision.BFLOAT16),
)
AUGMENTATIONS = (
    eq.RandomCrop(),
    eq.RandomTranslation(),
    eq.HorizontalFlip(),
    eq.RandomRotation(),
    eq.RandomScaling(),
    eq.ColourJitter(),
    eq.Cutout(),
    eq.RandomResizedCrop(),
    eq.RandAugment(),
    eq.RandomAction(QUARTER),
)
MODELS = (eq.ResNet(8, 8), eq.ViT(4, patch=2, num_heads=2), eq.GroupCNN(6, QUARTER, 5, True, 0))


def trial(model: eq.Model, dataset: eq.Dataset, batch: int = 128, **changes: Any) -> eq.Trial:
    """A trial of two epochs unless the changes say more."""
    recipe = replace(eq.Recipe(epochs=2, batch_size=batch), **changes)
    return eq.Trial(model, dataset, CLASSES, PLAIN, recipe, 0)


def measured(folder: Path | None) -> Iterator[str]:
    for model in MODELS:
        one = trial(model, DIGITS)
        networks = {device: build_network(one, device).eval() for device in (CPU, GPU)}
        networks[GPU].load_state_dict(networks[CPU].state_dict())
        for measure in MEASURES:
            results = [
                measure_all([measure], build_subject(one, networks[device], device)._replace(untrained=None))
                for device in (CPU, GPU)
            ]
            values = [{(row.stage, row.element): row.value for row in result.rows} for result in results]
            assert values[0].keys() == values[1].keys(), (str(measure), results[1].skipped)
            off = max((abs(values[0][key] - values[1][key]) for key in values[0]), default=float("nan"))
            yield f"{model} {measure}: {len(values[0])} values, at most {off:.1e} apart"


def augmented(folder: Path | None) -> Iterator[str]:
    images = torch.rand(64, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    for augmentation in AUGMENTATIONS:
        elements = augmentation.draw(64, torch.Generator().manual_seed(1))
        moved = [augmentation.apply(images.to(device), elements.to(device)).cpu() for device in (CPU, GPU)]
        far = ((moved[0] - moved[1]).abs() > 1e-4).float().mean()
        yield f"{augmentation}: {far:.1e} of the numbers are more than 1e-4 apart"
    for augmentation in (*AUGMENTATIONS, eq.Mixup(), eq.CutMix()):
        drawn = augmentation.draw(4096, torch.Generator(GPU).manual_seed(1)).cpu().double()
        there = augmentation.draw(4096, torch.Generator().manual_seed(1)).double()
        apart = (drawn.mean(0) - there.mean(0)).abs() / (there.std(0) / 4096**0.5 + 1e-12)
        most = float(apart[there.std(0) > 0].max()) if bool((there.std(0) > 0).any()) else 0.0
        yield f"{augmentation}: means of what is drawn {most:.1f} standard errors apart"
    mixed = replace(trial(eq.ResNet(8, 8), DIGITS), augmentation=eq.Mixup())
    yield f"Mixup trains: {[value.value for value in Trainer(mixed, GPU).train_epoch() if value.name == 'loss']}"


def trained(folder: Path | None) -> Iterator[str]:
    one = trial(eq.ResNet(8, 8), DIGITS)
    losses = [torch.stack([loss.cpu() for loss in Trainer(one, device).run_steps()]) / 128 for device in (CPU, GPU)]
    apart = ((losses[0] - losses[1]).abs() / losses[0].abs()).tolist()
    yield f"losses of the first steps, relative: {', '.join(f'{value:.1e}' for value in apart)}"
    exact, images = build_network(trial(MODELS[2], DIGITS), GPU).eval(), torch.rand(32, 1, 14, 14, device=GPU)
    with torch.inference_mode():
        for name, full in (("full float32", True), ("as torch is set", False)):
            with use_full_float32() if full else nullcontext():
                still, turned = exact(images), exact(images.rot90(1, (2, 3)))
            yield f"exact P4 network, {name}: error {float((still - turned).norm() / still.norm()):.1e}"
    steady = trial(eq.ResNet(8, 8), DIGITS, deterministic=True)
    whole, first = Trainer(steady, GPU), Trainer(steady, GPU)
    whole.train_epoch(), whole.train_epoch(), first.train_epoch()
    second = Trainer(steady, GPU)
    second.load(first.state())
    second.train_epoch()
    pairs = zip(whole.network.state_dict().values(), second.network.state_dict().values(), strict=True)
    yield f"resumed, deterministic: equal bit for bit: {all(torch.equal(*pair) for pair in pairs)}"
    for name, changes in (
        ("float32", {}),
        ("bfloat16", {"precision": eq.Precision.BFLOAT16}),
        ("compiled", {"compiled": True}),
        ("in parts of 50", {"micro_batch": 50}),
        ("average", {"average": 0.99}),
    ):
        learner = Trainer(trial(eq.ResNet(8, 8), DIGITS, epochs=8, batch_size=64, **changes), GPU)
        while not learner.is_finished:
            learner.train_epoch()
        yield f"8 epochs of digits, {name}: accuracy {learner.evaluate()['accuracy']:.4f}"
    rotation = eq.LearnedAugmentation((eq.RotationGenerator(start=9.0),), eq.NormRegulariser(0.1), learning_rate=0.04)
    extent = Trainer(replace(trial(eq.ResNet(8, 4), eq.Sprites(2, 30.0, 16, 1920, 480)), augmentation=rotation), GPU)
    extent.train_epoch()
    yield f"learned extent: {[(value.name, round(value.value, 3)) for value in extent.curves][:4]}"


def by_hand(one: eq.Trial, short: bool) -> Iterator[Tensor]:
    """The loop that a careful user writes: one uint8 tensor on the GPU, fused optimiser, channels last."""
    examples, dataset = load_resident(one.dataset, Split.TRAIN, GPU), one.dataset
    network = build_network(one, GPU).train()
    optimiser = one.recipe.optimiser.build(network.parameters())
    mean, std = (torch.tensor(values, device=GPU)[:, None, None] * 255 for values in (dataset.mean, dataset.std))
    while True:
        for chosen in torch.randperm(len(examples.inputs), device=GPU).split(one.recipe.batch_size):
            inputs = ((examples.inputs[chosen].float() - mean) / std).to(memory_format=torch.channels_last)
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16, enabled=short):
                outputs = network(inputs)
            loss = nn.functional.cross_entropy(outputs.float(), examples.targets[chosen])
            loss.backward()
            optimiser.step()
            yield loss.detach()


def rates(batches: Iterator[Any], images: int, steps: int, repetitions: int = 5) -> list[float]:
    """Images per second, repetition by repetition, after a warm-up."""
    found = []
    for repetition in range(-1, repetitions):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in islice(batches, steps):
            pass
        torch.cuda.synchronize()
        if repetition >= 0:
            found.append(images * steps / (time.perf_counter() - began))
    return found


def speed(folder: Path | None) -> Iterator[str]:
    dataset = chosen_dataset(folder)
    short, moving = {"precision": eq.Precision.BFLOAT16}, eq.Chain((eq.RandomCrop(4), eq.HorizontalFlip()))
    for model, batch, steps in ((eq.ResNet(20, 16), 128, 30), (eq.ResNet(20, 64), 512, 15)):
        plain = trial(model, dataset, batch)
        ways: dict[str, Iterator[Tensor]] = {
            "ours, float32": ours(plain, GPU),
            "ours with crop and flip": ours(replace(plain, augmentation=moving), GPU),
            "ours, bfloat16": ours(trial(model, dataset, batch, **short), GPU),
            "by hand, TensorFloat32": by_hand(plain, False),
            "by hand, bfloat16": by_hand(plain, True),
        }
        for name, batches in ways.items():
            yield f"{model}, batch {batch}, {name}: {statistics.median(rates(batches, batch, steps)):.0f} images/s"


def passes(folder: Path | None) -> Iterator[str]:
    from equistudy.networks.import_timm import import_timm

    network = import_timm().create_model("resnet50").to(GPU, memory_format=torch.channels_last).eval()
    images = torch.rand(512, 3, 224, 224, generator=torch.Generator().manual_seed(0)).to(GPU)
    shifts = eq.Translation(max_pixels=4)
    measures = [eq.WithinCorrelation(shifts), eq.BetweenCorrelation(shifts), eq.TotalCorrelation(shifts)]
    stages = {name: name for name in ("maxpool", "layer1", "layer2", "layer3", "layer4", "fc")}
    views = len(shifts.views(images[:2], None))
    for count in (64, 64, 512):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.inference_mode(), use_full_float32():
            for _ in range(views):
                for part in images[:count].split(256):
                    network(part)
        torch.cuda.synchronize()
        bare, began = time.perf_counter() - began, time.perf_counter()
        eq.measure(network, images[:count], measures, stages)
        torch.cuda.synchronize()
        whole = time.perf_counter() - began
        yield f"ResNet-50, {views} views of {count} images of 224 px: {whole:.2f} s, {whole / bare:.2f} times bare"


def lone(one: eq.Trial, seconds: float, barrier: Any, done: Any) -> None:
    """One of the processes that share the GPU."""
    torch.set_num_threads(1)
    batches = ours(one, GPU)
    for _ in islice(batches, 20):
        pass
    torch.cuda.synchronize()
    barrier.wait()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in islice(batches, 10):
            pass
        torch.cuda.synchronize()
        steps += 10
    done.put(steps / (time.perf_counter() - began))


def share(folder: Path | None) -> Iterator[str]:
    dataset, context = chosen_dataset(folder), get_context("spawn")
    one, alone = trial(eq.ResNet(20, 16), dataset), 0.0
    for count in (1, 4, 16):
        barrier, done = context.Barrier(count), context.Queue()
        workers = [context.Process(target=lone, args=(one, 3.0, barrier, done)) for _ in range(count)]
        for worker in workers:
            worker.start()
        total = sum(done.get(timeout=120) for _ in workers)
        for worker in workers:
            worker.join()
        alone = alone or total
        yield f"{one.model}, batch 128, {count} processes: {total:.0f} steps/s, {total / alone:.2f} times one"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {part.__name__: part for part in (measured, augmented, trained, speed, passes, share)}
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all without one")
    parser.add_argument("--folder", type=Path, help="where the four files of Fashion-MNIST lie")
    arguments = parser.parse_args()
    driver = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout.strip()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n{driver}")
    for name in arguments.parts or parts:
        began = time.perf_counter()
        try:
            for line in parts[name](arguments.folder):
                print(f"  {line}", flush=True)
        except Exception:
            traceback.print_exc()
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
