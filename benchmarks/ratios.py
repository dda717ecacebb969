"""The table of what training is held to: each ratio of ours to what else one would use, measured side by side.

    python -m benchmarks.ratios [--folder data/fashion-mnist] [--quick]

First the machine, the versions and the commit. One-core ratios are of processor time, which other load disturbs less;
that of two workers is by the clock. `--quick` takes fewer repetitions. About three minutes; give it the machine alone.
"""

import argparse
import os
import platform
import statistics
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import augmentation_speed, data_parallel, packing, streaming_speed, training_speed
from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.chain import Chain
from equistudy.augmentations.crop import RandomCrop
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.running.job import collect_provenance
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

Row = tuple[str, str, str]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def training(folder: Path | None, repetitions: int) -> Iterator[Row]:
    dataset, augmentation = training_speed.chosen_dataset(folder), Chain((RandomCrop(4), HorizontalFlip()))
    trial = Trial(ResNet(20, 16), dataset, Classification(), augmentation, Recipe(30, training_speed.BATCH), seed=0)
    wanted = {"ours", "tuned", "ours, bfloat16", "loader 0, v2"}
    runners = [runner for runner in training_speed.contenders(trial) if runner.name in wanted]
    rows = training_speed.measured(runners, steps=4, repetitions=repetitions)
    for name, text, target in (
        ("loader 0, v2", "DataLoader with torchvision v2, over ours", ">= 1.5"),
        ("tuned", "tuned loop on tensors, over ours", ">= 0.97"),
    ):
        yield text, spread([its.cpu / mine.cpu for its, mine in zip(rows[name], rows["ours"], strict=True)]), target
    pairs = zip(rows["loader 0, v2"], rows["ours, bfloat16"], strict=True)
    yield "the same DataLoader, over ours in bfloat16", spread([its.cpu / mine.cpu for its, mine in pairs]), "-"


def table(folder: Path | None, quick: bool) -> Iterator[Row]:
    repetitions = 2 if quick else 5
    yield from training(folder, repetitions)
    _, found = augmentation_speed.ratios(512, 32, repetitions)
    yield "torchvision v2 image by image, over our batch", spread(found), ">= 10"
    rates, memory = streaming_speed.measured(300 if quick else 1000, 224, epochs=3)
    yield "Parquet streaming, share of the decode-only rate", spread(rates), ">= 0.90"
    yield "its memory after the third epoch, over the first", f"{memory[-1] / memory[0]:.2f}", "1"
    for width in (2, 8):
        ways = packing.ratios(8, width, 64, repetitions)
        for name in ("vmap", "grouped"):
            yield f"8 networks of width {width}, {name}, over one by one", spread(ways[name]), "> 1 to be offered"
    alone, both = data_parallel.ratio(folder, batch=256, steps=3 if quick else 6)
    yield "two workers of one thread, over one (clock)", f"{both / alone:.2f}", ">= 1.6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the four files of Fashion-MNIST lie")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "This DataLoader will create")
    about, load = collect_provenance(Path(__file__)), os.getloadavg()[0]
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(": ")[2] if names else platform.processor()
    date = subprocess.run(["date", "+%F"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{date}, commit {about.commit}{' with changes' if about.dirty else ''}")
    print(f"{processor}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, load {load:.1f}")
    print(", ".join(f"{name} {version}" for name, version in about.versions.items()), end="\n\n")
    for text, found, target in table(arguments.folder, arguments.quick):
        print(f"{text:52} {found:24} {target}", flush=True)


if __name__ == "__main__":
    main()
