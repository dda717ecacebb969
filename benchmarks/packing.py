"""Many networks at once: stacked seeds by `torch.func`, against one after the other in the same process.

    one by one       every network's step in turn
    vmap             `torch.func.vmap` over the stacked weights, with the same batch for all
    grouped          convolutions of all networks as one with `groups`; what vmap of a convolution becomes, by hand

A step is forward and backward of K networks of two convolutions, each with ReLU, and a classifier on 28 x 28 pixels,
without batch norm; processor time of one thread.

    python benchmarks/packing.py [--networks 8] [--width 8] [--batch 64]
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import conv2d, cross_entropy

from benchmarks.counts import read_counts


def network(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, 10),
    )


def one_by_one(networks: list[nn.Module], images: Tensor, targets: Tensor) -> Callable[[], object]:
    def step() -> None:
        for each in networks:
            each.zero_grad()
            cross_entropy(each(images), targets).backward()

    return step


def stacked(networks: list[nn.Module], images: Tensor, targets: Tensor) -> Callable[[], object]:
    parameters, buffers = stack_module_state(networks)  # type: ignore[arg-type]

    def loss(weights: dict[str, Tensor], images: Tensor) -> Tensor:
        return cross_entropy(functional_call(networks[0], (weights, buffers), (images,)), targets)

    gradients = vmap(grad(loss), in_dims=(0, None))
    return lambda: gradients(parameters, images)


def grouped(networks: list[nn.Module], images: Tensor, targets: Tensor) -> Callable[[], object]:
    count = len(networks)
    parameters, _ = stack_module_state(networks)  # type: ignore[arg-type]
    leaves = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}

    def step() -> None:
        first, second = leaves["0.weight"], leaves["2.weight"]
        hidden = conv2d(images, first.flatten(0, 1), leaves["0.bias"].flatten(), padding=1).relu()
        bias = leaves["2.bias"].flatten()
        hidden = conv2d(hidden, second.flatten(0, 1), bias, stride=2, padding=1, groups=count).relu()
        pooled = hidden.mean((2, 3)).unflatten(1, (count, -1))
        logits = torch.einsum("bnc,nkc->bnk", pooled, leaves["6.weight"]) + leaves["6.bias"]
        cross_entropy(logits.flatten(0, 1), targets.repeat_interleave(count), reduction="sum").backward()

    return step


def seconds(step: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        step()
    return (time.process_time() - began) / times


def ratios(count: int, width: int, batch: int, repetitions: int = 5, times: int = 5) -> dict[str, list[float]]:
    """How many times faster than one by one each way is, repetition by repetition."""
    torch.manual_seed(0)
    networks = [network(width) for _ in range(count)]
    images, targets = torch.rand(batch, 1, 28, 28), torch.arange(batch) % 10
    ways = {"one by one": one_by_one, "vmap": stacked, "grouped": grouped}
    steps = {name: make(networks, images, targets) for name, make in ways.items()}
    for step in steps.values():
        step()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions):
        taken = {name: seconds(step, times) for name, step in steps.items()}
        for name, each in taken.items():
            found[name].append(taken["one by one"] / each)
    return found


def main() -> None:
    arguments = read_counts(__doc__, networks=8, width=8, batch=64)
    torch.set_num_threads(1)
    for name, found in ratios(arguments.networks, arguments.width, arguments.batch).items():
        print(f"{name:12} {statistics.median(found):5.2f} times ({min(found):.2f} to {max(found):.2f})")


if __name__ == "__main__":
    main()
