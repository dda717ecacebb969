"""Shares of a stream: every image once, whoever reads, wherever it is entered."""

import threading
from pathlib import Path

import pytest
import torch

from equistudy.datasets import streaming
from equistudy.datasets.photographs import CorruptImages
from equistudy.training.streamed import decode_locally, stream_shares
from tests.datasets.shards import COUNT, damage, shards

SIZES = [17, 17, 16, 10]


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "WINDOW_SIZE", 12)
    monkeypatch.setattr(streaming, "BLOCK_SIZE", 5)


def shades(images: torch.Tensor) -> list[int]:
    return (images[:, 0, 0, 0] // 4).tolist()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_image_is_in_one_share_of_one_batch(tmp_path: Path, workers: int) -> None:
    dataset = shards(tmp_path)
    alone = list(stream_shares(dataset, 7, SIZES, 0, 0, 1))
    assert [len(images) for images, _ in alone] == SIZES
    assert sorted(shade for images, _ in alone for shade in shades(images)) == list(range(COUNT))
    for rank in range(workers):
        for mine, whole in zip(stream_shares(dataset, 7, SIZES, 0, rank, workers), alone, strict=True):
            assert torch.equal(mine[0], whole[0][rank::workers])
            assert torch.equal(mine[1], whole[1][rank::workers])


def test_it_can_be_entered_at_any_batch(tmp_path: Path) -> None:
    dataset = shards(tmp_path)
    straight = list(stream_shares(dataset, 7, SIZES, 0, 1, 2))
    for first in range(len(SIZES) + 1):
        later = list(stream_shares(dataset, 7, SIZES, first, 1, 2))
        assert len(later) == len(SIZES) - first
        for mine, whole in zip(later, straight[first:], strict=True):
            assert torch.equal(mine[0], whole[0])


def test_images_that_cannot_be_read_are_counted_and_named_at_the_end(tmp_path: Path) -> None:
    dataset = shards(tmp_path / "few", corrupt=(4, 33))
    with pytest.warns(CorruptImages, match=r"2 of 60 images of .*\d+\.png \(not an image\).*neighbours replace"):
        batches = list(stream_shares(dataset, 0, SIZES, 0, 0, 1))
    assert [len(images) for images, _ in batches] == SIZES
    many = shards(tmp_path / "many", corrupt=tuple(range(0, 60, 3)))
    with pytest.raises(ValueError, match=r"At most 20% of the images may be unreadable, but 20 of 60 images"):
        list(stream_shares(many, 0, SIZES, 0, 0, 1))


def test_a_damaged_shard_is_named_where_the_batches_are_taken(tmp_path: Path) -> None:
    dataset = shards(tmp_path)
    damage(tmp_path / "train-00002.parquet")
    with pytest.raises(
        ValueError, match=r"Cannot read .*train-00002\.parquet, row group 0, which is damaged or truncated: "
    ):
        list(stream_shares(dataset, 0, SIZES, 0, 0, 1))


def test_a_stream_that_is_left_ends_its_threads(tmp_path: Path) -> None:
    before = threading.active_count()
    stream = stream_shares(shards(tmp_path), 0, SIZES, 0, 0, 1, decode_locally)
    next(stream)
    stream.close()
    assert threading.active_count() == before
