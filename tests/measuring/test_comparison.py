"""Comparisons of a stage: the same bits wherever a shard was computed, and turns as exact as the cells lie.

Differences: their moments against sums by hand, for maps and for vectors.
"""

import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.finite import CyclicGroup, Reflection
from equistudy.groups.group import Grid
from equistudy.groups.one_parameter import Rotation, Scaling, Shear
from equistudy.groups.translation import Border, Translation
from equistudy.measures.agreement import AbsoluteError
from equistudy.measures.correlation import WithinCorrelation
from equistudy.measuring.comparison import Comparison, ShardDifferences
from equistudy.measuring.engine import PairedPass, measure_all, plan_measures, split_into_shards
from equistudy.measuring.geometry import Geometry, OutputLayout


def _summed(plans: Any, num_images: int, parts: list[dict]) -> dict[Any, Comparison]:
    sums = {key: Comparison(plan, 32) for key, plan in plans.items()}
    every = {start: moments for part in parts for start, moments in part.items()}
    assert sorted(every) == [images.start for images in split_into_shards(num_images)]
    for start in sorted(every):
        for key, moments in every[start].items():
            sums[key].add(start, moments)
    return sums


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_worker_and_several_give_the_same_bits(
    processes: bool, convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    images = torch.cat([smooth_images, smooth_images.flip(2)])[:101].float()
    measured = subject(convolutions((1, 2), "zeros").float(), images)
    plans, _ = plan_measures([WithinCorrelation(Translation(max_pixels=2))], measured)
    alone = PairedPass(measured.network, measured, plans)
    if processes:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            starts = [images.start for images in split_into_shards(101)]
            parts = [dict(zip(starts, pool.map(alone.process_shard, split_into_shards(101)), strict=True))]
    else:
        workers: list[Callable] = [pickle.loads(pickle.dumps(alone)).process_shard for _ in range(4)]
        parts = [
            {images.start: work(images)} for work, images in zip(workers, reversed(split_into_shards(101)), strict=True)
        ]
    expected = alone.sum_statistics()
    for key, comparison in _summed(plans, 101, parts).items():
        for mine, other in zip(comparison.totals[0], expected[key].totals[0], strict=True):
            assert torch.equal(mine, other)


def test_a_network_that_goes_on_in_place_does_no_harm(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(convolutions((1,), "zeros"), smooth_images[:4], first="0")
    plans, _ = plan_measures([WithinCorrelation(Translation(max_pixels=1))], measured)
    (expected,) = PairedPass(measured.network, measured, plans).sum_statistics().values()
    measured.network[1].inplace = True
    (after,) = PairedPass(measured.network, measured, plans).sum_statistics().values()
    assert torch.equal(after.totals[0].within_ab, expected.totals[0].within_ab)


def _symmetric(network: nn.Sequential) -> nn.Sequential:
    """The network with kernels that quarter turns leave as they are."""
    for module in network:
        if isinstance(module, nn.Conv2d):
            module.weight.data = sum(torch.rot90(module.weight.data, turns, (2, 3)) for turns in range(4)) / 4
    return network


def test_turns_are_exact_where_the_cells_are_centred(convolutions: Any, subject: Any) -> None:
    noise = torch.rand(16, 1, 53, 53, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    images = nn.functional.avg_pool2d(noise, 5, 1) + torch.linspace(0, 2, 16, dtype=torch.float64)[:, None, None, None]
    network = _symmetric(convolutions((2, 2, 1), "zeros"))
    measure = WithinCorrelation(CyclicGroup(), erosion=0)
    centred = measure_all([measure], subject(network, images)).rows
    assert [row.grid_aligned for row in centred] == [True] * 3
    assert [row.value for row in centred] == pytest.approx([1] * 3, abs=1e-12)
    off = measure_all([measure], subject(network, images[..., :48, :48])).rows
    assert [row.grid_aligned for row in off] == [False] * 3
    assert sum(row.value for row in off) / 3 == pytest.approx(0.76, abs=0.1)


def test_any_angle_is_compared_inside_a_disk(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(_symmetric(convolutions((1, 1), "zeros")), smooth_images[:8])
    rows = measure_all([WithinCorrelation(Rotation(degrees=(20.0, 90.0)), erosion=2)], measured).rows
    assert [row.grid_aligned for row in rows] == [False, True]
    distance = torch.cartesian_prod(*[torch.arange(48.0) - 23.5] * 2).norm(dim=1)
    assert {row.cells for row in rows} == {int((distance <= 21.5).sum())}
    assert 0.9 < rows[0].value < 0.999
    assert rows[1].value == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("group", [CyclicGroup(), Rotation(degrees=(20.0,)), Reflection(), Scaling(), Shear()], ids=str)
def test_a_network_that_knows_its_directions_is_not_equivariant(
    group: Any, convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    # Kernels that differentiate along the diagonal alone: no turn, flip, scaling or shear leaves them as they are.
    network = convolutions((1, 1), "zeros")
    network[0].weight.data[:] = torch.tensor([[0, 0, 0], [0, -1, 0], [0, 0, 1.0]])
    for row in measure_all([WithinCorrelation(group)], subject(network, smooth_images[:8])).rows:
        assert row.value < 0.95


GROUP = Translation(max_pixels=2, pixels=(2,), border=Border.CIRCULAR)


@pytest.mark.parametrize("vectors", [True, False])
def test_moments_are_those_of_the_absolute_differences(vectors: bool) -> None:
    geometry = Geometry(OutputLayout.VECTOR, 3) if vectors else Geometry(OutputLayout.NCHW, 3, Grid(6, 6, 2, 12, 12))
    plan, _ = AbsoluteError(GROUP).plan_stage("stage", geometry)
    assert plan is not None
    shape = (4, 3) if vectors else (4, 3, 6, 6)
    outputs = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    shard = ShardDifferences(plan)
    for view, output in enumerate(outputs):
        shard.take(view, output)
    matched, shuffled, unmoved = shard.finish()
    x, moved = outputs[0].double(), outputs[1].double()
    b = x if vectors else x.roll(1, dims=3)
    assert shuffled is not None
    for moments, reference in ((matched, b), (shuffled, b.roll(-1, dims=0)), (unmoved, x)):
        if moments is None:
            assert vectors
            continue
        differences = (moved - reference).abs()
        means = differences if vectors else differences.mean(dim=(2, 3))
        found = moments.mean_a[..., 0, :]
        expected = means if found.ndim == 2 else means.mean(dim=0)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    if not vectors:
        spread = (b - b.mean((2, 3), True)).square().sum((2, 3))
        torch.testing.assert_close(matched.within_bb[:, 0], spread, rtol=1e-5, atol=1e-5)


def test_one_image_has_no_shuffled_pairs() -> None:
    plan, _ = AbsoluteError(GROUP).plan_stage("stage", Geometry(OutputLayout.VECTOR, 3))
    assert plan is not None
    shard = ShardDifferences(plan)
    for view in range(3):
        shard.take(view, torch.ones(1, 3))
    assert shard.finish().shuffled is None
