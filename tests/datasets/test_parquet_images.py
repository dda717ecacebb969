"""Parquet files in the layout of Hugging Face's datasets: the real ones where they are, small ones written here."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from equistudy.datasets.dataset import Split
from equistudy.datasets.parquet_images import ParquetImages
from equistudy.datasets.photographs import CorruptImages, DatasetNote

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "tiny-imagenet"


def encoded(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (6, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, shades: range, labels: list[int] | None = None, **columns: list) -> None:
    images = [{"bytes": encoded(shade), "path": f"{shade}.png"} for shade in shades]
    table = {"image": images, **({} if labels is None else {"label": labels}), **columns}
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(pa.table(table), path, row_group_size=3)


def shades(dataset: ParquetImages, split: Split = Split.TEST) -> list[int]:
    return [int(image[0, 0, 0]) for image in dataset.load(split).inputs]


def test_shards_are_one_after_the_other_and_as_good_as_one_file(tmp_path: Path) -> None:
    write(tmp_path / "one" / "all.parquet", range(20, 40), [k % 4 for k in range(20)])
    for part, rows in enumerate((range(20, 27), range(27, 40))):
        write(tmp_path / "two" / f"all-0000{part}-of-00002.parquet", rows, [(k - 20) % 4 for k in rows])
    one, two, file = (ParquetImages(str(tmp_path / name), 4) for name in ("one", "two", "one/all.parquet"))
    assert shades(one) == shades(two) == shades(file) == list(range(20, 40))
    assert one.fingerprint() == two.fingerprint() == file.fingerprint()
    assert one.load(Split.TEST).targets.tolist() == [k % 4 for k in range(20)]
    some = [ParquetImages(str(tmp_path / name), 4, test_size=6) for name in ("one", "two")]
    assert shades(some[0]) == shades(some[1])
    assert some[0].load(Split.TEST).targets.bincount().max() == 2


@pytest.mark.parametrize("folder", ["", "data/"])
def test_files_are_told_apart_by_the_beginning_of_their_names(tmp_path: Path, folder: str) -> None:
    for name, rows in (("train-0", range(3)), ("train-1", range(3, 6)), ("validation-0", range(6, 9))):
        write(tmp_path / f"{folder}{name}.parquet", rows, [k % 2 for k in rows])
    dataset = ParquetImages(str(tmp_path), 4)
    assert shades(dataset, Split.TRAIN) == [0, 1, 2, 3, 4, 5]
    assert shades(dataset) == [6, 7, 8]
    assert dataset.num_classes == 2
    write(tmp_path / f"{folder}test-0.parquet", range(9, 12), [-1, -1, -1])
    with pytest.warns(DatasetNote, match="testing on validation, because test has no labels"):
        assert shades(dataset) == [6, 7, 8]
    assert dataset.has_labels
    assert shades(ParquetImages(str(tmp_path), 4, labels=False)) == [9, 10, 11]


def test_rows_without_bytes_or_path(tmp_path: Path) -> None:
    images = [{"bytes": encoded(k), "path": None} for k in range(9)]
    images[4] = {"bytes": None, "path": None}
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    with pytest.warns(CorruptImages, match=r"1 of 9 images of .*: a\.parquet:4 \(not an image\)"):
        assert shades(ParquetImages(str(tmp_path), 4)) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", range(3), [0, 1, None])
    write(tmp_path / "b.parquet", range(3, 6), [-1, 1, 0])
    write(tmp_path / "c.parquet", range(6, 8))
    dataset = ParquetImages(str(tmp_path), 4)
    with pytest.warns(DatasetNote, match=r"4 of 8 test images without a label were left out"):
        images, targets = dataset.load(Split.TEST)
    assert (images[:, 0, 0, 0].tolist(), targets.tolist()) == ([0, 1, 4, 5], [0, 1, 1, 0])
    with pytest.raises(ValueError, match=r"at most the number of images with labels, got test_size=5 for 4 in"):
        ParquetImages(str(tmp_path), 4, test_size=5).load(Split.TEST)
    assert shades(ParquetImages(str(tmp_path), 4, labels=False)) == list(range(8))
    with pytest.warns(DatasetNote, match=r"4 of 8 test images"):
        assert sorted(shades(ParquetImages(str(tmp_path), 4, test_size=4))) == [0, 1, 4, 5]


def test_labels_that_are_not_needed_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", range(2), label=["cat", "dog"])
    assert shades(ParquetImages(str(tmp_path), 4, labels=False)) == [0, 1]


def test_a_class_that_training_lacks_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", range(3), [0, 1, 3])
    write(tmp_path / "test-0.parquet", range(3), [0, 2, 5])
    with pytest.raises(
        ValueError, match=r"occur in training, got class 2, 5 in .*test-0\.parquet without training images"
    ):
        ParquetImages(str(tmp_path), 4).load(Split.TEST)
    assert ParquetImages(str(tmp_path / "test-0.parquet"), 4).load(Split.TEST).targets.tolist() == [0, 2, 5]


def test_columns_of_other_names(tmp_path: Path) -> None:
    rows = [{"bytes": encoded(k), "path": f"{k}.png"} for k in range(3)]
    pq.write_table(pa.table({"img": rows, "fine_label": [2, 0, 1], "coarse_label": [0, 0, 0]}), tmp_path / "a.parquet")
    assert ParquetImages(str(tmp_path), 4).load(Split.TEST).targets.tolist() == [2, 0, 1]


def test_an_overwritten_file_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", range(3))
    before = ParquetImages(str(tmp_path), 4)
    first = before.fingerprint()
    write(tmp_path / "a.parquet", range(4))
    assert len(before.list_images(Split.TEST).names) == 4
    assert before.fingerprint() != first


def test_what_is_no_parquet_of_images(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    dataset = ParquetImages(str(path), 4)
    path.write_bytes(b"PAR")
    with pytest.raises(ValueError, match=r"Cannot read .*a\.parquet as Parquet: .*Copy it again"):
        dataset.fingerprint()
    pq.write_table(pa.table({"picture": [1]}), path)
    with pytest.raises(ValueError, match=r"a column image with bytes and path, got the columns picture in .*a\.par"):
        dataset.fingerprint()
    write(path, range(2), label=["cat", "dog"])
    with pytest.raises(ValueError, match=r"label must hold integers from 0, got string in .*Number the classes"):
        dataset.fingerprint()
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"ParquetImages needs images, got none in .*train-00000-of-00001\.parquet"):
        ParquetImages(str(empty)).fingerprint()
    with pytest.raises(ValueError, match=r"needs an existing file or folder, got nowhere\. Check"):
        ParquetImages("nowhere").fingerprint()


def test_real_files() -> None:
    if not REAL.is_dir():
        pytest.skip("the files of Tiny ImageNet are not beside the checkout")
    dataset = ParquetImages(str(REAL), 64)
    assert (dataset.num_classes, len(dataset.list_images(Split.TRAIN).names)) == (20, 5000)
    images, targets = dataset.load(Split.TEST)
    assert images.shape == (1000, 3, 64, 64)
    assert targets.bincount().tolist() == [50] * 20
    grey = ((images[:, 0] == images[:, 1]) & (images[:, 0] == images[:, 2])).flatten(1).all(dim=1)
    assert 0 < grey.float().mean() < 0.04
    # photographs: neighbouring pixels are alike, those of different images are not
    middle, beside = (images[:, 1, 32, column].double() for column in (32, 33))
    assert torch.corrcoef(torch.stack([middle, beside]))[0, 1] > 0.8
    assert torch.corrcoef(torch.stack([middle, beside.roll(1)]))[0, 1].abs() < 0.15
