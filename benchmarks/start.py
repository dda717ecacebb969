"""How long the commands take that train nothing, and what they import.

    --help                       expect under 0.4 s
    plan of a factorial design   expect under 2 s at 100,000 trials
    run of a finished study      expect under 8 s: it tests the claims and writes the report anew

Each is a fresh process. Behind the seconds stands what the process had imported at its end of the heavy packages;
the first two commands may import neither torch nor ray nor timm.

    python benchmarks/start.py [--trials 100000] [--repetitions 5] [--study studies/smoke.py]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "ray", "timm", "altair", "polars", "scipy")
STUDY = '''"""A design of {trials} trials."""

import equistudy as eq

ACCURACY = eq.Accuracy()
WIDTH = eq.Factor("width", levels=(2, 4, 8, 16, 32), unit="channels", log=True)
CROP = eq.Factor("padding", levels=(0, 1, 2, 3, 4), unit="pixels")
RATE = eq.Factor("learning_rate", levels=(0.01, 0.03, 0.1, 0.3), log=True)


def trial(width: int, padding: int, learning_rate: float, seed: int) -> eq.Trial:
    recipe = eq.Recipe(epochs=10, optimiser=eq.SGD(learning_rate=learning_rate))
    return eq.Trial(eq.ResNet(8, width), eq.Digits(), eq.Classification(), eq.RandomCrop(padding), recipe, seed)


study = eq.Study(
    question="How long does planning take?",
    design=eq.factorial(trial, WIDTH, CROP, RATE, seeds=range({seeds})),
    measures=(ACCURACY,),
)
'''
# runs the command line as `python -m equistudy` does, and says at the end what it has imported
REPORTING = f"""
import atexit, sys
from equistudy.cli.commands import main
atexit.register(lambda: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr))
main()
"""


def timed(arguments: list[str], repetitions: int) -> list[float]:
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "equistudy", *arguments], cwd=ROOT, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return seconds


def imported(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", REPORTING, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stderr.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--study", type=Path, default=ROOT / "studies" / "smoke.py")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        large = Path(temporary) / "large.py"
        large.write_text(STUDY.format(trials=arguments.trials, seeds=arguments.trials // 100))
        results = str(Path(temporary) / "results")
        finished = ["run", str(arguments.study.resolve()), "--results", results]
        subprocess.run([sys.executable, "-m", "equistudy", *finished], cwd=ROOT, check=True, capture_output=True)
        commands = {
            "--help": ["--help"],
            f"plan, {arguments.trials} trials": ["plan", str(large), "--results", str(Path(temporary) / "none")],
            f"plan --json, {arguments.trials} trials": [
                *["plan", str(large), "--results", str(Path(temporary) / "none"), "--json"]
            ],
            f"plan {arguments.study.name}, finished": ["plan", str(arguments.study.resolve()), "--results", results],
            f"run {arguments.study.name}, finished": finished,
        }
        print(f"{'':32} {'median':>8} {'lowest':>8} {'highest':>8}   imports")
        for name, command in commands.items():
            seconds = timed(command, arguments.repetitions)
            low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
            print(f"{name:32} {middle:6.2f} s {low:6.2f} s {high:6.2f} s   {imported(command) or 'none of them'}")


if __name__ == "__main__":
    main()
