"""Ray Data gives what this process reads itself, bit by bit."""

import warnings
from pathlib import Path

import pytest
import ray
import torch

from equistudy.datasets.photographs import CorruptImages
from equistudy.execution.cluster import Capacity
from equistudy.execution.streaming import RayReader
from equistudy.training.streamed import stream_shares
from tests.datasets.shards import damage, shards

SIZES = [17, 17, 16, 10]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_the_same_batches_as_without_ray(tmp_path: Path) -> None:
    dataset = shards(tmp_path, corrupt=(20,))
    told = []
    for rank in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CorruptImages)
            mine, rays = (
                list(stream_shares(dataset, 3, SIZES, 1, rank, 2, *reader)) for reader in ((), (RayReader(2),))
            )
        told += [str(warning.message) for warning in caught if warning.category is CorruptImages]
        assert len(mine) == len(rays) == 3
        for (images, targets), (its_images, its_targets) in zip(mine, rays, strict=True):
            assert torch.equal(images, its_images)
            assert torch.equal(targets, its_targets)
    assert len(told) == 2  # one share has the image; both readers tell
    assert told[0] == told[1]
    assert "20.png (not an image)" in told[0]


def test_a_damaged_shard_is_named(tmp_path: Path, ray_capacity: Capacity) -> None:
    dataset = shards(tmp_path)
    damage(tmp_path / "train-00002.parquet")
    with pytest.raises(
        ValueError, match=r"Cannot read .*train-00002\.parquet, row group 0, which is damaged or truncated: "
    ):
        list(stream_shares(dataset, 3, SIZES, 0, 0, 1, RayReader(2)))


def test_it_runs_while_trials_hold_every_cpu(tmp_path: Path, ray_capacity: Capacity) -> None:
    holders = [ray.remote(num_cpus=1)(Holder).remote() for _ in range(2)]
    try:
        assert ray.get([holder.hold.remote() for holder in holders]) == [True, True]
        batches = list(stream_shares(shards(tmp_path), 3, SIZES, 0, 0, 1, RayReader(2)))
    finally:
        for holder in holders:
            ray.kill(holder)
    assert [len(images) for images, _ in batches] == SIZES


class Holder:
    def hold(self) -> bool:
        return True
