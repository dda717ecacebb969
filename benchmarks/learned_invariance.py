"""What learned augmentations must do, checked where it takes too long for a test: prints figures beside their targets.

digits      turned digits in two sectors, 30 degrees allowed: the half-extent after 320 steps
points      sets of five points, asked for a function of their distances: which of the twelve generators grow
evidence    the exact evidence of random Fourier features averaged over turns orders the extents without lambda
coupling    all six generators under the norm: translations run off and starve the rotation; a rotation alone does not
entropy     all six under the entropy, and a rotation by a budget of loss and by a band of entropy
calibration seconds of one core for 300 steps on sprites of 16 pixels

python benchmarks/learned_invariance.py [digits] [points] [evidence] [coupling] [entropy] [calibration]
"""

import argparse
import math
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
from torch import nn

import equistudy as eq
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.box import Box
from equistudy.augmentations.learned.generators import Domain, LieGenerator
from equistudy.augmentations.learned.regulariser import Regulariser
from equistudy.datasets.dataset import Dataset
from equistudy.training.trainer import Trainer

CPU = torch.device("cpu")
SPRITES = eq.Sprites(2, 45.0, 16, 1920, 480)
TURN = eq.RotationGenerator(start=9.0)
SMALL, PLAIN = eq.ResNet(8, 4), eq.PlainCNN(((8, 16), (32,), (64,)), dropout=0.0, max_pooled=True)


def shown(what: str, found: float, low: float, high: float) -> None:
    print(f"  {what}: {found:.3g} (asked {low:g} to {high:g}): {'holds' if low <= found <= high else 'DOES NOT HOLD'}")


def learned(
    generators: tuple[LieGenerator, ...],
    regulariser: Regulariser,
    data: Dataset,
    epochs: int = 15,
    seed: int = 0,
    model: eq.Model = SMALL,
) -> dict[str, float]:
    """The tails of the half-extents after so many epochs of batches of 96, by generator."""
    augmentation = LearnedAugmentation(generators, regulariser, learning_rate=0.04)
    recipe = eq.Recipe(epochs, 96, optimiser=eq.AdamW(0.01, 0.0), schedule=eq.Constant())
    trainer = Trainer(eq.Trial(model, data, eq.Classification(), augmentation, recipe, seed), CPU)
    while not trainer.is_finished:
        trainer.train_epoch()
    ends = {value.name: value.value for value in trainer.curves if value.name.endswith("_extent_tail")}
    return {name.removesuffix("_extent_tail"): value for name, value in ends.items()}


def digits() -> None:
    data = eq.Sectors(eq.Digits(canvas=16, digit=16), 2, 60.0, (3, 4, 7), 6144, 480)
    tails = [learned((TURN,), eq.NormRegulariser(0.05), data, 5, seed, PLAIN)["rotation"] for seed in range(3)]
    print(f"digits 3, 4, 7, seeds: {', '.join(f'{tail:.1f}' for tail in tails)}")
    shown("half-extent, degrees, mean over seeds", float(np.mean(tails)), 24, 34)


class DeepSets(nn.Module):
    """A function of a set: the sum over points of what one network makes of each, read by another."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.read = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """One number for each set."""
        return self.read(self.each(points).sum(1)).squeeze(1)


def points(steps: int = 700, batch: int = 256) -> None:
    for name, regulariser in (("norm", eq.NormRegulariser(0.01)), ("entropy", eq.EntropyRegulariser(0.01))):
        torch.manual_seed(0)
        starts = {generator: 0.5 / generator.rate for generator in eq.AFFINE3}
        box, network = Box(tuple(g.with_start(start) for g, start in starts.items())), DeepSets()
        optimiser = torch.optim.Adam(
            [{"params": network.parameters(), "lr": 0.003}, {"params": box.parameters(), "lr": 0.04}]
        )
        for _ in range(steps):
            sets = torch.randn(batch, 5, 3)
            target = sum((sets[:, i] - sets[:, j]).norm(dim=1) for i, j in combinations(range(5), 2)) / 10 - 2.2
            maps = box.compute_maps(2 * torch.rand(batch, 12) - 1, Domain.SPACE)
            moved = sets @ maps[..., :3].mT + maps[:, None, :, 3]
            loss = (network(moved) - target).square().mean() + regulariser.penalty(box.widths)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            box.project()
        widths = dict(zip((g.name for g in eq.AFFINE3), (2 * box.rates * box.extents).tolist(), strict=True))
        print(f"points, {name}: {', '.join(f'{key} {value:.2f}' for key, value in widths.items())}")
        turns = [value for key, value in widths.items() if key.startswith("rotation")]
        others = [value for key, value in widths.items() if key.startswith(("shear", "squeeze", "scaling"))]
        shown("narrowest rotation, full width in radians", min(turns), 3, 7)
        shown("widest shear, squeeze or scaling", max(others), 0, 0.3 if name == "norm" else 1.0)


def evidence(num_points: int = 80, num_features: int = 300, noise: float = 0.1) -> None:
    """- log N(y; 0, F F^T + noise^2 I) for features averaged over 64 turns of [-h, h]."""
    rng = np.random.default_rng(0)
    radius, angle = 2 * np.sqrt(rng.random(num_points)), 2 * np.pi * rng.random(num_points)
    waves, phases = rng.normal(size=(2, num_features)), 2 * np.pi * rng.random(num_features)

    def cost(extent: float, targets: np.ndarray) -> float:
        features = np.zeros((num_points, num_features))
        for turn in np.radians(np.linspace(-extent, extent, 65)[:-1] + extent / 64):
            places = np.stack([radius * np.cos(angle + turn), radius * np.sin(angle + turn)], axis=1)
            features += np.sqrt(2 / num_features) * np.cos(places @ waves + phases) / 64
        covariance = features @ features.T + noise**2 * np.eye(num_points)
        _, volume = np.linalg.slogdet(covariance)
        return float(targets @ np.linalg.solve(covariance, targets) + volume + num_points * np.log(2 * np.pi)) / 2

    extents = (0, 30, 60, 90, 120, 150, 180)
    for name, slope in (("radius alone", 0.0), ("and its x coordinate", 1.0)):
        targets = np.sin(2 * radius) + slope * radius * np.cos(angle) + noise * rng.normal(size=num_points)
        costs = {extent: cost(extent, targets) for extent in extents}
        print(f"evidence, labels of {name}: {', '.join(f'{h} deg {value:.0f}' for h, value in costs.items())}")
        if slope:
            shown(
                "nats that 180 degrees is worse than the next worst",
                costs[180] - max(costs[h] for h in extents[:-1]),
                60,
                1e9,
            )
        else:
            shown("best half-extent", min(costs, key=lambda h: costs[h]), 180, 180)
            shown("nats better than 0 degrees", costs[0] - costs[180], 40, 1e9)


def coupling() -> None:
    six = tuple(
        generator.with_start(0.0635 / generator.rate if i > 1 else 0.5) for i, generator in enumerate(eq.AFFINE)
    )
    tails = learned(six, eq.NormRegulariser(0.05), SPRITES)
    print(f"coupling, all six under the norm: {', '.join(f'{key} {value:.2f}' for key, value in tails.items())}")
    shown("wider translation, full width in px", 2 * max(tails["translation_x"], tails["translation_y"]), 9, 1e9)
    shown("rotation, degrees", tails["rotation"], 0, 40)
    shown("rotation alone, degrees", learned((TURN,), eq.NormRegulariser(0.05), SPRITES)["rotation"], 44, 52)


def entropy() -> None:
    six = tuple(
        generator.with_start(0.0635 / generator.rate if i > 1 else 0.5) for i, generator in enumerate(eq.AFFINE)
    )
    tails = learned(six, eq.EntropyRegulariser(0.01), SPRITES, 25)
    print(f"entropy, all six: {', '.join(f'{key} {value:.2f}' for key, value in tails.items())}")
    for budget in (0.02, 0.05, 0.1):
        regulariser = eq.BudgetRegulariser(budget=budget)
        tail = learned((TURN,), regulariser, SPRITES, 25)["rotation"]
        oracle = LearnedAugmentation((TURN,), regulariser).expected_extent(SPRITES)
        assert oracle is not None
        shown(f"budget {budget} nats, half-extent (oracle {oracle:.1f})", tail, oracle - 6, oracle + 3)
    low, high = (2 * math.radians(extent) for extent in (30, 60))
    band = eq.BandRegulariser(low=math.log(low), high=math.log(high))
    shown("band of 30 to 60 degrees, half-extent", learned((TURN,), band, SPRITES)["rotation"], 29, 62)


def calibration() -> None:
    began = time.process_time()
    tail = learned((TURN,), eq.NormRegulariser(0.05), SPRITES)["rotation"]
    print(f"calibration: rotation {tail:.1f} degrees")
    shown("seconds of one core", time.process_time() - began, 0, 20)


CHECKS: dict[str, Callable[[], None]] = {
    check.__name__: check for check in (digits, points, evidence, coupling, entropy, calibration)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", help=f"some of {', '.join(CHECKS)}; all without any")
    chosen = parser.parse_args().checks or [*CHECKS]
    torch.set_num_threads(1)
    for name in chosen:
        CHECKS[name]()


if __name__ == "__main__":
    main()
