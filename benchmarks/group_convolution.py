"""What equivariance costs: a P4 ResNet-44 against the ordinary network of its expanded widths, on one core.

    step        one training step (forward, backward, SGD) of the P4 network; of the plain network with |G| times the
                channels, which does the same multiplications; and of the P4 network whose kernels are expanded by a
                Python loop of torch.roll and torch.rot90 over the elements
    expansion   the kernels of every layer alone, forward and backward: by the gather, by that loop, and by one over
                pairs of elements
    error       the normalised error of every stage of a P4M network over all elements of D4, against eight forwards of
                the same images

    python benchmarks/group_convolution.py [step|expansion|error ...] [--batch 64] [--repetitions 5]

All contenders take turns within one process; times are its CPU time, which other load on the machine disturbs least,
and ratios are medians over repetitions of the times of one turn. Expect `plain` at 0.8 or more, for a
step of the P4 network may take 1.25 times as long; the loops of `expansion` at 1.5 or more; `error` at 1.1 or less.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from equistudy.groups.finite import ChannelAction, CyclicGroup, DihedralGroup
from equistudy.measures.agreement import NormalisedError
from equistudy.measuring.engine import PairedPass, plan_measures
from equistudy.measuring.measure import Subject
from equistudy.measuring.stages import evaluation_mode
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.networks.equivariant.convolution import RegularConvolution

WIDTH, SIZE = 16, 33
P4 = CyclicGroup(4)
Contenders = dict[str, Callable[[], object]]


class Rolled(RegularConvolution):
    """Kernels by a loop over the elements."""

    def build_kernels(self) -> Tensor:
        """As of the base, by a loop."""
        count, _, size, _ = self.weight.shape
        fields = self.weight.reshape(count, self.inputs, 4, size, size)
        turned = [torch.rot90(fields.roll(turn, 2), turn, dims=(3, 4)) for turn in range(4)]
        return torch.stack(turned, dim=1).reshape(count * 4, -1, size, size)


class Paired(RegularConvolution):
    """Kernels by a loop over pairs of elements, as lists of tables give them."""

    def build_kernels(self) -> Tensor:
        """As of the base, by a loop."""
        count, _, size, _ = self.weight.shape
        fields = self.weight.reshape(count, self.inputs, 4, size, size)
        turned = [
            torch.stack([torch.rot90(fields[:, :, (s - turn) % 4], turn, dims=(2, 3)) for s in range(4)], dim=2)
            for turn in range(4)
        ]
        return torch.stack(turned, dim=1).reshape(count * 4, -1, size, size)


def p4_network(kind: type[RegularConvolution]) -> nn.Module:
    torch.manual_seed(0)
    network = PreactivationResNet(44, WIDTH, P4).build((3, SIZE, SIZE), 10)
    for module in network.modules():
        if type(module) is RegularConvolution:
            module.__class__ = kind
    return network.to(memory_format=torch.channels_last)


def step_of(network: nn.Module, batch: int) -> Callable[[], object]:
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    targets = torch.arange(batch) % 10

    def step() -> None:
        loss = cross_entropy(network(images), targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def steps(batch: int) -> Contenders:
    plain = PreactivationResNet(44, 4 * WIDTH).build((3, SIZE, SIZE), 10).to(memory_format=torch.channels_last)
    networks = {"gather": p4_network(RegularConvolution), "plain": plain, "loop": p4_network(Rolled)}
    return {name: step_of(network.train(), batch) for name, network in networks.items()}


def expansion_of(network: nn.Module) -> Callable[[], object]:
    layers = [module for module in network.modules() if isinstance(module, RegularConvolution)]
    upstream = [torch.randn_like(layer.build_kernels()) for layer in layers]

    def expand() -> None:
        torch.autograd.backward([layer.build_kernels() for layer in layers], upstream)

    return expand


def expansions() -> Contenders:
    kinds = {"gather": RegularConvolution, "loop": Rolled, "loop over pairs": Paired}
    networks = {name: p4_network(kind).train() for name, kind in kinds.items()}
    layers = [dict(network.named_modules()) for network in networks.values()]
    for path, layer in layers[0].items():
        if isinstance(layer, RegularConvolution):
            assert all(torch.equal(layer.build_kernels(), other[path].build_kernels()) for other in layers[1:])
    return {name: expansion_of(network) for name, network in networks.items()}


def errors(batch: int) -> Contenders:
    group = DihedralGroup(4, channel_action=ChannelAction.REGULAR)
    model = PreactivationResNet(44, 12, group)
    network = model.build((3, SIZE, SIZE), 10).to(memory_format=torch.channels_last).eval()
    images = torch.rand(batch, 3, SIZE, SIZE)
    targets, thirds = torch.arange(batch) % 10, (1 / 3,) * 3
    subject = Subject(network, model.stages(network), images, targets, thirds, thirds, None, None, 0)
    plans, skipped = plan_measures([NormalisedError(group)], subject)
    assert not skipped
    views = [view.to(memory_format=torch.channels_last) for view in group.views(images, None)]

    def forwards() -> None:
        with evaluation_mode(network):
            for view in views:
                network(view)

    return {"eight forwards": forwards, "error": PairedPass(network, subject, plans).sum_statistics}


def measured(contenders: Contenders, repetitions: int) -> dict[str, list[float]]:
    """CPU seconds of each in turn, after one turn to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for repetition in range(-1, repetitions):
        for name, run in contenders.items():
            began = time.process_time()
            run()
            if repetition >= 0:
                seconds[name].append(time.process_time() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[], help="step, expansion, error; all without")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    torch.set_num_threads(1)
    makers: dict[str, Callable[[], Contenders]] = {
        "step": lambda: steps(arguments.batch),
        "expansion": expansions,
        "error": lambda: errors(arguments.batch),
    }
    for part in arguments.parts or makers:
        seconds = measured(makers[part](), arguments.repetitions)
        first = next(iter(seconds.values()))
        for name, times in seconds.items():
            ratio = statistics.median(its / ours for its, ours in zip(times, first, strict=True))
            print(f"{part:10} {name:16} {statistics.median(times) * 1e3:10.1f} ms CPU {ratio:6.2f}x")


if __name__ == "__main__":
    main()
