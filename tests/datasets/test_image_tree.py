"""Which files count as images, and that a scan is repeated when something has changed and only then."""

import os
import time
from pathlib import Path

import pytest

from equistudy.datasets import image_tree
from equistudy.datasets.image_tree import scan_images


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in scan_images(root).all_images]


def test_hidden_files_are_skipped_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a/x.JPG", "a/._x.JPG", "a/.cache/y.png", "a/b/__MACOSX/z.png", ".c/d.png", "a/b/w.tif")
    touch(tmp_path, "notes.txt", "a/thumbs.db")
    assert names(tmp_path) == ["a/b/w.tif", "a/x.JPG", "b.png"]
    leftovers = [path for tree in scan_images(tmp_path).iterate_trees() for path in tree.leftovers]
    assert leftovers == [tmp_path / "a/b/__MACOSX"]


def test_links_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    touch(tmp_path, "store/1.png", "set/a/2.png")
    (tmp_path / "set/a/more").symlink_to(tmp_path / "store")
    (tmp_path / "set/a/again").symlink_to(tmp_path / "set")
    (tmp_path / "set/b").symlink_to(tmp_path / "store")
    (tmp_path / "set/a/3.png").symlink_to(tmp_path / "store/1.png")
    (tmp_path / "set/a/gone.png").symlink_to(tmp_path / "nowhere.png")
    tree = scan_images(tmp_path / "set")
    assert names(tmp_path / "set") == ["a/2.png", "a/3.png", "a/gone.png", "a/more/1.png", "b/1.png"]
    assert [path for each in tree.iterate_trees() for path in each.loops] == [tmp_path / "set/a/again"]


def test_a_scan_is_kept_until_a_folder_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.png", "b/2.png")
    long_ago = time.time() - 100
    for folder in (tmp_path, tmp_path / "a", tmp_path / "b"):
        os.utime(folder, (long_ago, long_ago))
    first = scan_images(tmp_path)
    assert scan_images(tmp_path) is first
    touch(tmp_path, "b/3.png")
    assert names(tmp_path) == ["a/1.png", "b/2.png", "b/3.png"]
    touch(tmp_path, "b/4.png")  # so soon that the time of change may be the same
    assert len(names(tmp_path)) == 4
    monkeypatch.setattr(image_tree, "MAX_CACHED", 1)
    for folder in (tmp_path / "a", tmp_path / "b"):
        os.utime(folder, (long_ago, long_ago))
        scan_images(folder)
    assert len(image_tree._scanned) == 1


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.png")

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(image_tree.os, "scandir", refuse)
    with pytest.raises(ValueError, match=rf"Cannot read the folder {tmp_path}: Permission denied\. Check its perm"):
        scan_images(tmp_path)
