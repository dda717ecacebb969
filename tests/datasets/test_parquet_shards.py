"""Which shards are found under which names, and that none may be missing."""

from pathlib import Path

import pytest

from equistudy.datasets.dataset import Split
from equistudy.datasets.parquet_shards import check_complete, find_shards


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(root: Path) -> dict[str, list[list[str]]]:
    return {
        split.value: [[shard.relative_to(root).as_posix() for shard in part] for part in parts]
        for split, parts in find_shards(root).items()
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a.parquet", "b.parquet"), {"test": [["a.parquet", "b.parquet"]]}),
        (("train-0.parquet", "TEST-0.parquet"), {"train": [["train-0.parquet"]], "test": [["TEST-0.parquet"]]}),
        (("data/cifar-train.parquet", "data/cifar-val.parquet"),
         {"train": [["data/cifar-train.parquet"]], "test": [["data/cifar-val.parquet"]]}),
        (("train/0.parquet", "val/0.parquet", "test/0.parquet"),
         {"train": [["train/0.parquet"]], "test": [["test/0.parquet"], ["val/0.parquet"]]}),
        (("config/train-0.parquet", "config/test-0.parquet"),
         {"train": [["config/train-0.parquet"]], "test": [["config/test-0.parquet"]]}),
        (("train-0.parquet", "train-1.parquet"), {"test": [["train-0.parquet", "train-1.parquet"]]}),
        (("validation-0.parquet",), {"test": [["validation-0.parquet"]]}),
        (("part.parquet/part-0.parquet", "part.parquet/_SUCCESS", "part.parquet/.part-0.parquet.crc"),
         {"test": [["part.parquet/part-0.parquet"]]}),
        (("train.parquet/p-0.parquet", "test.parquet/p-0.parquet"),
         {"train": [["train.parquet/p-0.parquet"]], "test": [["test.parquet/p-0.parquet"]]}),
        (("a.parquet", "._a.parquet", ".b.parquet", "_temporary.parquet"), {"test": [["a.parquet"]]}),
        (("readme.md",), {}),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, names: tuple[str, ...], expected: dict[str, list[list[str]]]) -> None:
    assert found(make(tmp_path, *names)) == expected


def test_a_folder_or_a_file_may_be_named_itself(tmp_path: Path) -> None:
    make(tmp_path, "part.parquet/part-0.parquet")
    assert found(tmp_path / "part.parquet") == {"test": [["part-0.parquet"]]}
    assert find_shards(tmp_path / "part.parquet/part-0.parquet") == {
        Split.TEST: [[tmp_path / "part.parquet/part-0.parquet"]]
    }


def test_sets_that_are_mixed_up(tmp_path: Path) -> None:
    make(tmp_path / "a", "train-0.parquet", "extra.parquet")
    with pytest.raises(
        ValueError, match=r"must name their split, got extra\.parquet beside train-0\.parquet in .*Name them"
    ):
        find_shards(tmp_path / "a")
    make(tmp_path / "b", "one/train-0.parquet", "two/train-0.parquet")
    with pytest.raises(ValueError, match=r"must hold the Parquet files of one dataset, got one, two in .*Name one"):
        find_shards(tmp_path / "b")
    (tmp_path / "c" / "empty.parquet").mkdir(parents=True)
    with pytest.raises(
        ValueError, match=r"must contain Parquet files, got none in .*empty\.parquet\. Copy it again, or remove"
    ):
        find_shards(tmp_path / "c")


@pytest.mark.parametrize("suffix", ["", "-0123456789abcdef"])
def test_every_shard_must_be_there(suffix: str) -> None:
    whole = [Path(f"d/train-{number:05d}-of-00012{suffix}.parquet") for number in range(12)]
    check_complete(whole)
    check_complete([Path("d/a.parquet"), Path("d/0000.parquet")])
    with pytest.raises(ValueError, match=r"got d without 3 of 12 train-\.\.\. : number 0, 5, 11\. Copy them there"):
        check_complete([*whole[1:5], *whole[6:11]])
    with pytest.raises(ValueError, match=r"got train-\.\.\. of 3 and 12 in d\. Remove those of an older download"):
        check_complete([*whole, Path("d/train-00000-of-00003.parquet")])
