"""What learning an augmentation costs: the exponential by itself, and its share of a training step.

    exponential   forward and backward of affine generators of the plane: in closed form, by torch.linalg.matrix_exp,
                  and by an adaptive Runge-Kutta solver of order 5 (Dormand and Prince, rtol 1e-4, atol 1e-9): a lean
                  one of our own and, where it is installed, torchdiffeq's, which the paper's code uses
    share         a training step of the 13-layer network on 3 x 32 x 32 images: drawing six generators, warping,
                  forward, backward, optimiser; against the same step without the augmentation

    python benchmarks/learned_augmentation.py [exponential] [share] [--device cpu] [--batch 128]

Expect the closed form to be at least 4 times as fast as matrix_exp at a batch of 8,192, at least 8 times as fast as the
solver, and the augmentation to take at most 10 % of a step.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.datasets.cifar import CIFAR10
from equistudy.groups.exponential import affine_exponentials

# Dormand and Prince 1980: nodes are not needed, for the equation does not depend on time
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def whole(matrices: Tensor) -> Tensor:
    return torch.cat([matrices, matrices.new_zeros(*matrices.shape[:-2], 1, 3)], dim=-2)


def reference(matrices: Tensor) -> Tensor:
    return torch.linalg.matrix_exp(whole(matrices))[:, :2]


def solved(matrices: Tensor, rtol: float = 1e-4, atol: float = 1e-9) -> Tensor:
    """X(1) of X' = A X, X(0) = I, with the step of the whole batch chosen by its error."""
    A = whole(matrices)
    X = torch.eye(3).to(A).expand_as(A)
    t, step = 0.0, 0.05
    while t < 1:
        step = min(step, 1 - t)
        slopes = [A @ X]
        for weights in STAGES:
            slopes.append(A @ (X + step * sum(w * k for w, k in zip(weights, slopes, strict=True) if w)))
        after = X + step * sum(w * k for w, k in zip(STAGES[-1], slopes, strict=False) if w)
        error = step * sum(w * k for w, k in zip(ERROR, slopes, strict=True) if w)
        with torch.no_grad():
            scale = atol + rtol * torch.maximum(X.abs(), after.abs())
            size = float((error / scale).square().mean()) ** 0.5
        if size <= 1:
            t, X = t + step, after
        step *= min(10.0, max(0.2, 0.9 * size**-0.2)) if size else 10.0
    return X[:, :2]


def integrated(matrices: Tensor) -> Tensor:
    """As the paper's code has it."""
    from torchdiffeq import odeint

    A = whole(matrices)
    X = torch.eye(3).to(A).expand_as(A).contiguous()
    return odeint(lambda t, X: A @ X, X, torch.tensor([0.0, 1.0]).to(A), rtol=1e-4)[1][:, :2]


def timed(work: Callable[[], object], device: torch.device, repetitions: int) -> list[float]:
    """Milliseconds of each repetition, after one warm-up: by the clock, or of one core, whatever else it has to do."""

    def now() -> float:
        if device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    work()
    marks = [now()]
    for _ in range(repetitions):
        work()
        marks.append(now())
    return [(later - earlier) * 1e3 for earlier, later in pairwise(marks)]


def exponentials(device: torch.device, repetitions: int) -> None:
    names = {"closed form": affine_exponentials, "matrix_exp": reference, "Dormand-Prince": solved}
    if importlib.util.find_spec("torchdiffeq") is not None:
        names["torchdiffeq"] = integrated
    print(f"exponential, forward and backward, ms: {', '.join(names)}")
    for batch in (128, 1024, 8192):
        rng = torch.Generator().manual_seed(0)
        exact = 2 * torch.rand(batch, 2, 3, generator=rng, dtype=torch.float64) - 1
        matrices = exact.float().to(device).requires_grad_()

        def work(function: Callable[[Tensor], Tensor], matrices: Tensor = matrices) -> None:
            torch.autograd.grad(function(matrices).sum(), matrices)

        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(repetitions):  # in turn, so that other load on the machine falls on all
            for name, function in names.items():
                times[name] += timed(lambda function=function: work(function), device, 3)
        milliseconds = {name: statistics.median(values) for name, values in times.items()}
        ours = milliseconds["closed form"]
        ratios = ", ".join(f"{name} {value:.2f} ({value / ours:.1f}x)" for name, value in milliseconds.items())
        wrong = [
            float((function(matrices).detach().cpu() - reference(exact)).abs().max()) for function in names.values()
        ]
        print(f"  batch {batch:5}: {ratios}; largest errors {', '.join(f'{error:.0e}' for error in wrong)}")


def thirteen_layers(num_outputs: int) -> nn.Module:
    """Nine convolutions of 128 and 256 channels: 3,993,482 parameters, about 1 GMAC for an image."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (128, 128, 256, 0, 256, 256, 256, 0, 256, 256, 256):
        if not width:
            layers += [nn.MaxPool2d(2), nn.Dropout2d(0.3)]
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers, nn.Dropout2d(0.3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, num_outputs))


def share(device: torch.device, batch: int, repetitions: int) -> None:
    augmentation, dataset = LearnedAugmentation(), CIFAR10()
    inner = thirteen_layers(10).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    network = augmentation.wrap(inner, dataset).to(device).train()
    rng = torch.Generator(device).manual_seed(0)
    images = torch.rand(batch, 3, 32, 32, generator=rng, device=device)
    targets = torch.randint(10, (batch,), generator=rng, device=device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step(learned: bool) -> None:
        outputs = network(images, augmentation.draw(batch, rng)) if learned else inner(images)
        loss = nn.functional.cross_entropy(outputs, targets)
        optimiser.zero_grad(set_to_none=True)
        (loss + network.penalty() if learned else loss).backward()
        optimiser.step()

    def alone() -> None:
        """Everything that the augmentation adds, with the gradient that a network would send back."""
        moved = network.motion.move_inputs(images, augmentation.draw(batch, rng), network.box)
        (moved.sum() + network.penalty()).backward()

    times: dict[str, list[float]] = {"with": [], "without": [], "alone": []}
    for _ in range(repetitions):
        times["with"] += timed(lambda: step(True), device, 1)
        times["without"] += timed(lambda: step(False), device, 1)
        times["alone"] += timed(alone, device, 3)
    learned, plain, added = (statistics.median(times[name]) for name in ("with", "without", "alone"))

    parameters = sum(parameter.numel() for parameter in inner.parameters())
    print(
        f"13 layers, {parameters:,} parameters, batch {batch}: step {learned:.0f} ms, without "
        f"{plain:.0f} ms; the augmentation alone {added:.1f} ms, {100 * added / learned:.1f} % of the step"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="exponential, share, or both")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    if "exponential" in arguments.what or not arguments.what:
        exponentials(device, arguments.repetitions)
    if "share" in arguments.what or not arguments.what:
        share(device, arguments.batch, arguments.repetitions)


if __name__ == "__main__":
    main()
