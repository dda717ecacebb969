"""How long an audit takes: one large network in detail, many by Ray.

    resnet50 at 224      expect under 10 s on one core, of which torch and timm take 4 to be imported
    --many "resnet*"     every network of the pattern, on as many processes as there are cores

CPU seconds are those of the audit's process alone; the wall clock also counts what else the machine does.

    python benchmarks/audit.py [--model resnet50] [--size 224] [--repetitions 3] [--many PATTERN]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def timed(arguments: list[str]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one command in a fresh process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "equistudy", "audit", *arguments], cwd=ROOT, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--size", default="224")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--many", metavar="PATTERN", help="also every network that matches")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    times = [timed([arguments.model, "--size", arguments.size, "--json"]) for _ in range(arguments.repetitions)]
    wall, used = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{arguments.model} at {arguments.size}: {wall:.1f} s, {used:.1f} CPU seconds")
    if arguments.many:
        wall, _ = timed([arguments.many, "--size", arguments.size, "--json"])
        print(f"{arguments.many} at {arguments.size}: {wall:.0f} s")


if __name__ == "__main__":
    main()
