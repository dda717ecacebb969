"""The order of a stream, its decoding, and what is said of shards and images that are damaged."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from equistudy.datasets import streaming
from equistudy.datasets.dataset import Split
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.streaming import decode_blocks, draw_stream_order
from equistudy.spec import to_canonical_json
from tests.datasets.shards import COUNT, damage, shards

TRAIN = Split.TRAIN


def shades(blocks) -> list[int]:
    return [int(image[0, 0, 0]) // 4 for block in blocks for image in block.images]


def test_an_epoch_is_a_permutation_of_windows_of_whole_row_groups(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(streaming, "WINDOW_SIZE", 12)
    dataset = shards(tmp_path)
    assert dataset.part_sizes(TRAIN) == [7, 7, 6] * 3
    order = draw_stream_order(dataset, TRAIN, seed=5)
    assert sorted(order.places) == list(range(COUNT))
    groups = np.repeat(np.arange(9), [7, 7, 6] * 3)
    for start, stop in zip(order.bounds, order.bounds[1:], strict=False):
        inside = set(groups[order.places[start:stop]])
        assert all(set(np.flatnonzero(groups == group)) <= set(order.places[start:stop]) for group in inside)
    assert len(order.bounds) == 6
    assert list(order.places) == list(draw_stream_order(dataset, TRAIN, seed=5).places)
    assert list(order.places) != list(draw_stream_order(dataset, TRAIN, seed=6).places)


def test_a_part_of_the_images_is_streamed_alone(tmp_path: Path) -> None:
    dataset = shards(tmp_path, train_size=10)
    assert sorted(draw_stream_order(dataset, TRAIN, 0).places) == sorted(dataset.choose_images(TRAIN))


def test_files_of_a_folder_are_shuffled_one_by_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(streaming, "WINDOW_SIZE", 4)
    for place in range(12):
        path = tmp_path / f"train/{'ab'[place // 6]}/{place:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 4 * place).save(path)
    (tmp_path / "test").symlink_to(tmp_path / "train")
    dataset = ImageFolder(str(tmp_path), 8, streamed=True)
    order = draw_stream_order(dataset, TRAIN, 1)
    assert len(order.bounds) == 4
    assert shades(decode_blocks(dataset, TRAIN, order.places)) == list(order.places)
    assert any(0 < sum(order.places[k : k + 4] < 6) < 4 for k in (0, 4, 8))  # windows mix the classes


def test_images_come_in_the_order_asked_for_with_their_classes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(streaming, "BLOCK_SIZE", 4)
    dataset, places = shards(tmp_path), [41, 3, 59, 0, 22, 3]
    with ThreadPoolExecutor(2) as pool:
        for each in (map, pool.map):
            blocks = list(decode_blocks(dataset, TRAIN, places, each))
            assert [len(block.images) for block in blocks] == [4, 2]
            assert shades(blocks) == places
            assert [target for block in blocks for target in block.targets] == [place % 3 for place in places]


def test_a_neighbour_stands_for_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    dataset = shards(tmp_path, corrupt=(3, 4, 8))
    (block,) = decode_blocks(dataset, TRAIN, [3, 4, 5, 6, 8])
    assert shades([block]) == [5, 5, 5, 6, 6]
    assert block.targets.tolist() == [2, 2, 2, 0, 0]
    assert [name.partition(" ")[0] for name in block.corrupt] == ["3.png", "4.png", "8.png"]
    with pytest.raises(ValueError, match=r"may be unreadable, but 2 of 2 images of .*: 3\.png \(not an image\), 4\."):
        list(decode_blocks(dataset, TRAIN, [3, 4]))


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    dataset = shards(tmp_path)
    whole = (tmp_path / "train-00001.parquet").read_bytes()
    (tmp_path / "train-00001.parquet").write_bytes(whole[:-500])
    with pytest.raises(ValueError, match=r"Cannot read .*train-00001\.parquet as Parquet: .*Copy it again"):
        dataset.fingerprint()
    (tmp_path / "train-00001.parquet").write_bytes(whole)
    damage(tmp_path / "train-00001.parquet")
    with pytest.raises(ValueError, match=r"train-00001\.parquet, row group 0, which is damaged or truncated: .*Copy"):
        list(decode_blocks(dataset, TRAIN, [20, 21]))
    labels = pq.ParquetFile(tmp_path / "train-00001.parquet").metadata.row_group(0).column(2).data_page_offset
    damage(tmp_path / "train-00001.parquet", labels)
    with pytest.raises(
        ValueError, match=r"Cannot read .*train-00001\.parquet, which is damaged or truncated: .*Copy it again"
    ):
        dataset.fingerprint()


def test_identity_counts_names_labels_and_sizes(tmp_path: Path) -> None:
    dataset = shards(tmp_path / "a")
    same, fewer, other = shards(tmp_path / "b"), shards(tmp_path / "a", train_size=9), shards(tmp_path / "c", (5,))
    assert dataset.fingerprint() == same.fingerprint()
    assert len({each.fingerprint() for each in (dataset, fewer, other)}) == 3
    assert '"streamed":true' in to_canonical_json(dataset)
    assert "streamed" not in to_canonical_json(ImageFolder("x"))
