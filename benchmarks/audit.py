"""How long an audit takes: one large network in detail, many by Ray.

    resnet50 at 224      expect under 10 s on one core, of which torch and timm take 4 to be imported
    --many 250           so many of timm's networks, spread evenly over all their names but for those of more than 60
                         million parameters, at `--many-size` pixels on `--cpus` processes: how many are judged,
                         refuse the size, fail or end in a disagreement

CPU seconds are those of the audit's process alone; the wall clock also counts what else the machine does.

    python benchmarks/audit.py [--model resnet50] [--size 224] [--repetitions 3] [--many N] [--many-size 64] [--cpus 2]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import torch

from equistudy.execution.audits import audit_all
from equistudy.models.timm_model import TimmModel
from equistudy.networks.import_timm import import_timm
from equistudy.networks.timm_network import match_architectures

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 60e6  # parameters: audits beside each other are to fit into a laptop's memory


def timed(arguments: list[str]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one command in a fresh process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "equistudy", "audit", *arguments], cwd=ROOT, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def kind_of(record: dict[str, object]) -> str:
    """What became of one audit."""
    if "error" not in record:
        return "exact" if record["exact"] else "not exact"
    error = str(record["error"])
    if "Rules and numbers must agree" in error:
        return "disagreement"
    return "refuses the size" if "must take the images" in error else "failed"


def small_enough(name: str) -> bool:
    """Whether a network has few enough parameters; they are counted without memory for them."""
    with torch.device("meta"):
        network = import_timm().create_model(name, pretrained=False)
    return sum(parameter.numel() for parameter in network.parameters()) <= LARGEST


def spread(names: list[str], count: int) -> list[str]:
    """So many names at even distances; the next one that is small enough stands for one that is not."""
    starts = [len(names) * number // count for number in range(count)]
    ends = [*starts[1:], len(names)]
    return [
        found
        for start, end in zip(starts, ends, strict=True)
        if (found := next(filter(small_enough, names[start:end]), None)) is not None
    ]


def many(count: int, size: int, num_cpus: int) -> None:
    """Audits of networks spread over all of timm's names."""
    names = spread(match_architectures("*"), count)
    began, kinds = time.perf_counter(), Counter[str]()
    for position, record in audit_all([(name, TimmModel(name)) for name in names], size, None, num_cpus=num_cpus):
        kinds[kind := kind_of(record)] += 1
        if kind in ("disagreement", "failed"):
            print(f"{names[position]}: {kind}: {str(record['error'])[:200]}", flush=True)
    print(
        f"{len(names)} networks at {size}: {dict(kinds)} in {time.perf_counter() - began:.0f} s on {num_cpus} processes"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--size", default="224")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--many", type=int, metavar="N", help="only so many of timm's networks at once")
    parser.add_argument("--many-size", type=int, default=64)
    parser.add_argument("--cpus", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if arguments.many:
        many(arguments.many, arguments.many_size, arguments.cpus)
        return
    times = [timed([arguments.model, "--size", arguments.size, "--json"]) for _ in range(arguments.repetitions)]
    wall, used = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{arguments.model} at {arguments.size}: {wall:.1f} s, {used:.1f} CPU seconds")


if __name__ == "__main__":
    main()
