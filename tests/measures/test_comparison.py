"""Comparisons of a stage: the same bits wherever a shard was computed, and no shape that changes."""

import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
import torch

from equistudy.groups.translation import Translation
from equistudy.measures.comparison import Comparison, ShardComparison
from equistudy.measures.correlation import WithinCorrelation
from equistudy.measures.engine import PairedPass, plans_of, shards


def _summed(plans: Any, num_images: int, parts: list[dict]) -> dict[Any, Comparison]:
    sums = {key: Comparison(plan, 32) for key, plan in plans.items()}
    every = {start: moments for part in parts for start, moments in part.items()}
    assert sorted(every) == [images.start for images in shards(num_images)]
    for start in sorted(every):
        for key, moments in every[start].items():
            sums[key].add(start, moments)
    return sums


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_worker_and_four_give_the_same_bits(
    processes: bool, convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    images = torch.cat([smooth_images, smooth_images.flip(2)])[:101].float()
    measured = subject(convolutions((1, 2), "zeros").float(), images)
    plans, _ = plans_of([WithinCorrelation(Translation(max_pixels=2))], measured)
    alone = PairedPass(measured.network, measured, plans)
    if processes:
        with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
            starts = [images.start for images in shards(101)]
            parts = [dict(zip(starts, pool.map(alone.shard, shards(101)), strict=True))]
    else:
        workers: list[Callable] = [pickle.loads(pickle.dumps(alone)).shard for _ in range(4)]
        parts = [{images.start: work(images)} for work, images in zip(workers, reversed(shards(101)), strict=True)]
    expected = alone.comparisons()
    for key, comparison in _summed(plans, 101, parts).items():
        for mine, other in zip(comparison.totals[0], expected[key].totals[0], strict=True):
            assert torch.equal(mine, other)


def test_a_stage_that_changes_its_shape_is_refused(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(convolutions((1,), "zeros"), smooth_images)
    plans, _ = plans_of([WithinCorrelation(Translation(max_pixels=2))], measured)
    (plan,) = plans.values()
    comparison = ShardComparison(plan)
    comparison.take(0, torch.rand(3, 6, 46, 46))
    with pytest.raises(ValueError, match=r"same shape for all images.*got \(6, 45, 46\) after \(6, 46, 46\)"):
        comparison.take(1, torch.rand(3, 6, 45, 46))


def test_a_network_that_goes_on_in_place_does_no_harm(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(convolutions((1,), "zeros"), smooth_images[:4], first="0")
    plans, _ = plans_of([WithinCorrelation(Translation(max_pixels=1))], measured)
    (expected,) = PairedPass(measured.network, measured, plans).comparisons().values()
    measured.network[1].inplace = True
    (after,) = PairedPass(measured.network, measured, plans).comparisons().values()
    assert torch.equal(after.totals[0].within_ab, expected.totals[0].within_ab)
