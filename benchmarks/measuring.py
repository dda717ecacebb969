"""What measuring costs beside the bare forward passes of the same images, and beside the naive way of doing it.

A timm ResNet-18 on images of 224 pixels, circular shifts by 16 elements, correlations within and between images and
their relatives at every stage; the same views go forward in every way, on one thread:

    bare     the forward passes of x, g1 x, ... g16 x, and nothing else
    ours     `measure_all`: moments in hooks, with intervals, floors and references, and the probing of the stages
    naive    the three correlations with their floors and unmoved references, of elements that move maps by whole cells:
             two forward passes for each element, feature maps kept, numpy.corrcoef for each channel; no intervals
    lie      the Lie derivative of every stage by forward mode, in forward passes for each probe
    merge    sums of 100 layers of 2,048 channels in 32 groups of images, merged and with their intervals
    probe    stride and offset of every stage

    python benchmarks/measuring.py [--images 32] [--repetitions 3] [--size 224] [--layers all]

Times are those of the process on its processor, medians over the repetitions, which other load on the machine disturbs
less than the clock. `--peak bare` and `--peak ours` print the peak memory of a process that does nothing else than one
bare forward pass of the images, which are one shard, or our whole measurement of them. Expect ours / bare at most 1.35
and naive / ours at least 5; the values of both are equal. Lie: at most 4 forward passes. Merging: 1 s. Peak: at most
1.5 times the bare one plus 200 MB.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from equistudy.groups.translation import Border, Translation
from equistudy.measures.agreement import ConcordanceCorrelation, CosineSimilarity, NormalisedError
from equistudy.measures.correlation import BetweenCorrelation, TotalCorrelation, WithinCorrelation
from equistudy.measures.lie_derivative import LieDerivative
from equistudy.measuring.discovery import find_stages
from equistudy.measuring.engine import SHARD_SIZE, measure_all, split_into_shards
from equistudy.measuring.geometry import OutputLayout, probe_geometries
from equistudy.measuring.intervals import jackknife_interval
from equistudy.measuring.measure import Subject
from equistudy.measuring.moments import Moments, leave_one_out, within_correlation
from equistudy.measuring.rows import DEAD_VARIANCE_RATIO
from equistudy.measuring.stages import evaluation_mode, find_hook_points, observe_outputs, prepare_images
from equistudy.models.timm_model import TimmModel

GROUP = Translation(160, Border.CIRCULAR, (8, 16, 32, 64, 96, 128, 160, -32))
KINDS = (WithinCorrelation, BetweenCorrelation, TotalCorrelation)
MEASURES = [kind(GROUP) for kind in (*KINDS, ConcordanceCorrelation, CosineSimilarity, NormalisedError)]


def subject_of(images: int, size: int, layers: str) -> Subject:
    torch.manual_seed(0)
    model = TimmModel("resnet18")
    network = model.build((3, size, size), 1000).eval()
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1 and not name.endswith("bias"):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)  # timm starts the gains of residual branches at 0
    shown = torch.rand(images, 3, size, size)
    stages = find_stages(network, shown).paths if layers == "all" else model.stages(network)
    return Subject(network, stages, shown, None, (0.5,) * 3, (0.25,) * 3, None, None, 0)


def bare(subject: Subject) -> None:
    with evaluation_mode(subject.network):
        for images in split_into_shards(len(subject.images)):
            for view in GROUP.views(subject.images[images.start : images.stop], None):
                subject.network(prepare_images(view, subject, subject.network))


def forward(subject: Subject) -> None:
    with evaluation_mode(subject.network):
        subject.network(prepare_images(subject.images, subject, subject.network))


Values = dict[tuple[str, str, str], tuple[float | None, ...]]  # by measure, stage and element: value, floor, unmoved


def ours(subject: Subject) -> Values:
    rows = measure_all(MEASURES, subject).rows
    return {(row.measure, row.stage, str(row.element)): (row.value, row.floor, row.no_motion) for row in rows}


def naive(subject: Subject) -> Values:
    found: Values = {}
    modules = find_hook_points(subject.network, subject.stages)
    x = subject.images
    with evaluation_mode(subject.network):
        geometries = probe_geometries(
            subject.network, modules, prepare_images(x[:2], subject, subject.network), offsets=False
        )
        for element, view in zip(GROUP.elements(), GROUP.views(x, None)[1:], strict=True):
            kept: list[dict[str, np.ndarray]] = []
            for images in (x, view):
                outputs: dict[str, list[torch.Tensor]] = {}
                with observe_outputs(
                    subject.network,
                    modules,
                    lambda name, output, into=outputs: into.setdefault(name, []).append(output.clone()),
                ):
                    for part in images.split(SHARD_SIZE):
                        subject.network(prepare_images(part, subject, subject.network))
                kept.append({name: torch.cat(parts).numpy() for name, parts in outputs.items()})
            dx, dy = (int(shift) for shift in element.parameters)
            for stage, geometry in geometries.items():
                grid = geometry.grid if not isinstance(geometry, str) else None
                if grid is None or geometry.layout is not OutputLayout.NCHW or dx % grid.stride or dy % grid.stride:
                    continue
                b = np.roll(kept[0][stage], (dy // grid.stride, dx // grid.stride), axis=(2, 3))
                following = np.concatenate(
                    [np.roll(b[part.start : part.stop], -1, axis=0) for part in split_into_shards(len(b))]
                )
                references = (b, following, kept[0][stage])
                for kind in KINDS:
                    values = tuple(_correlation(kind, kept[1][stage], reference) for reference in references)
                    found[kind.name, stage, element.label] = values
    return found


def _correlation(kind: type, a: np.ndarray, b: np.ndarray) -> float:
    """The mean over the channels that vary by more than a trace of what the layer does."""
    trace = DEAD_VARIANCE_RATIO * np.mean([maps.var(axis=(0, 2, 3)) for maps in (a, b)])
    means = [maps.mean(axis=(2, 3), keepdims=True) for maps in (a, b)]
    if kind is WithinCorrelation:
        a, b = a - means[0], b - means[1]
    if kind is BetweenCorrelation:
        a, b = means
    pairs = zip(*(np.moveaxis(maps, 1, 0).reshape(maps.shape[1], -1) for maps in (a, b)), strict=True)
    living = [(one, other) for one, other in pairs if min(one.var(), other.var()) > trace]
    return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in living]))


def lie(subject: Subject) -> None:
    measure_all([LieDerivative(GROUP)], subject)


def merge() -> None:
    fields = torch.rand(len(Moments._fields), 32, 2048, dtype=torch.float64)
    for _ in range(100):
        total, without = leave_one_out(Moments(*fields))
        jackknife_interval(
            within_correlation(total).mean(dim=-1).clamp(-1, 1), within_correlation(without).mean(dim=-1).clamp(-1, 1)
        )


def probing(subject: Subject) -> None:
    with evaluation_mode(subject.network):
        images = prepare_images(subject.images[:2], subject, subject.network)
        probe_geometries(subject.network, find_hook_points(subject.network, subject.stages), images)


def timed(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--layers", choices=("stages", "all"), default="stages")
    parser.add_argument("--ways", nargs="+", default=["bare", "ours", "naive", "lie", "merge", "probe"])
    parser.add_argument("--peak", choices=("bare", "ours"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    subject = subject_of(asked.images, asked.size, asked.layers)
    if asked.peak:
        {"bare": forward, "ours": ours}[asked.peak](subject)
        print(f"{asked.peak}: peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
        return
    ways: dict[str, Callable[[], Any]] = {
        "bare": lambda: bare(subject),
        "ours": lambda: ours(subject),
        "naive": lambda: naive(subject),
        "lie": lambda: lie(subject),
        "merge": merge,
        "probe": lambda: probing(subject),
    }
    seconds: dict[str, list[float]] = {way: [] for way in asked.ways}
    for _ in range(asked.repetitions):
        for way in asked.ways:
            seconds[way].append(timed(ways[way]))
            print(f"{way}: {seconds[way][-1]:.2f} s", flush=True)
    medians = {way: statistics.median(each) for way, each in seconds.items()}
    views = 1 + len(GROUP.elements())
    one_pass = medians.get("bare", float("nan")) / views
    print(f"{len(subject.stages)} stages, {views} views of {asked.images} images of {asked.size} pixels")
    for way, median in medians.items():
        print(f"{way:6} {median:7.2f} s  {median / medians.get('bare', float('nan')):5.2f} of bare")
    if {"ours", "naive"} <= medians.keys():
        print(f"naive / ours {medians['naive'] / medians['ours']:.2f}")
        mine, theirs = ours(subject), naive(subject)
        both = mine.keys() & theirs.keys()
        pairs = [pair for key in both for pair in zip(mine[key], theirs[key], strict=True)]
        largest = max(abs(one - other) for one, other in pairs if one is not None and other is not None)
        print(f"largest difference {largest:.1e} of {len(pairs)} values")
    if "lie" in medians:
        # two probes, along x and along y
        print(f"lie: {medians['lie'] / 2 / one_pass:.2f} forward passes for each probe")


if __name__ == "__main__":
    main()
