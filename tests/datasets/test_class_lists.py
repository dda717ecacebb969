"""The class of each image from a list: by name, by number, by position."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from equistudy.datasets.class_lists import (
    IMAGENET_LISTS,
    match_classes,
    read_class_list,
    read_class_order,
    read_label_names,
)

WNIDS = ["n01440764", "n02084071", "n02121808"]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    (tmp_path / "val").mkdir()
    return [tmp_path / "val" / f"val_{number}.JPEG" for number in (0, 1, 10, 2)]


def test_no_list(images: list[Path]) -> None:
    assert read_class_list(images[0].parent, images, None) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("val/val_annotations.txt", "val_{0}.JPEG\t{1}\t0\t32\t44\t62"),
        ("LOC_val_solution.csv", "val_{0},{1} 85 1 499 272"),
        ("val.txt", "val_{0}.JPEG {2}"),
        ("val/val.txt", "val/val_{0}.JPEG {1}"),
    ],
)
def test_lists_that_name_images(images: list[Path], name: str, text: str) -> None:
    label_of = {0: 2, 1: 0, 2: 1, 10: 0, 3: 2}
    lines = [text.format(number, WNIDS[label], label) for number, label in label_of.items()]
    header = ["ImageId,PredictionString"] if name.endswith("csv") else []
    (images[0].parent.parent / name).write_text("\n".join([*header, *lines]) + "\n")
    found = read_class_list(images[0].parent, images, WNIDS)
    assert found is not None
    assert found.classes == tuple(WNIDS[label_of[int(image.stem[4:])]] for image in images)
    assert found.order == tuple(WNIDS)
    alone = read_class_list(images[0].parent, images, None)
    assert alone is not None
    numbers = [alone.order.index(label) for label in alone.classes]
    assert numbers == [label_of[int(image.stem[4:])] for image in images]


@pytest.mark.parametrize(
    "text",
    [
        b"val/val_0.JPEG valannot/val_0.png\nval/val_1.JPEG valannot/val_1.png",  # pairs of files
        b"val_0\nval_1\nval_10\nval_2",  # names alone
        b"val_0 1\nval_1 2\nval_10 3",  # of other images
        b"caf\xe9 1",
        b"",
    ],
)
def test_another_file_of_that_name_is_no_list(images: list[Path], text: bytes) -> None:
    (images[0].parent.parent / "val.txt").write_bytes(text)
    assert read_class_list(images[0].parent, images, None) is None


def test_a_class_for_each_image_in_the_order_of_names(images: list[Path]) -> None:
    path = images[0].parent.parent / "imagenet_2012_validation_synset_labels.txt"
    path.write_text("\n".join(WNIDS + WNIDS[:1]))
    found = read_class_list(images[0].parent, images[::-1], None)
    assert found is not None
    assert found.classes == (WNIDS[0], WNIDS[2], WNIDS[1], WNIDS[0])
    path.write_text("\n".join(WNIDS))
    with pytest.raises(ValueError, match=r"one line per image, got 3 lines in .*synset_labels\.txt for 4 images"):
        read_class_list(images[0].parent, images, None)


def test_lists_that_do_not_fit(images: list[Path]) -> None:
    path = images[0].parent / "val_annotations.txt"
    path.write_text("val_0.JPEG\tn1\nval_1.JPEG\tn1\nval_10.JPEG\tn1\n")
    with pytest.raises(
        ValueError, match=r"must name every image .* got .*annotations\.txt without 1 of 4 images, such as val_2\.J"
    ):
        read_class_list(images[0].parent, images, None)
    path.write_text("\n".join(f"{image.name} 7" for image in images))
    with pytest.raises(ValueError, match=r"numbered from 0 to 2, one per training folder, got 7 in .*annot"):
        read_class_list(images[0].parent, images, WNIDS)
    path.unlink()


@pytest.mark.parametrize("place", ["val", ".", "ILSVRC2012_devkit_t12/data"])
def test_the_list_of_the_development_kit(images: list[Path], place: str) -> None:
    root = images[0].parent.parent
    (root / place).mkdir(parents=True, exist_ok=True)
    (root / place / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n2\n3\n")
    with pytest.raises(ValueError, match=r"need meta\.mat, got no .*meta\.mat\. Copy it there from ILSVRC2012_devkit"):
        read_class_list(images[0].parent, images, None)
    rows = np.zeros(3, dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")])
    for row, wnid in enumerate((WNIDS[2], WNIDS[0], WNIDS[1])):
        rows[row] = (row + 1, wnid, "words")
    savemat(root / place / "meta.mat", {"synsets": rows[:, None]})
    found = read_class_list(images[0].parent, images, None)
    # the images are val_0, val_1, val_10 and val_2, in the order of their names
    assert found == ((WNIDS[1], WNIDS[2], WNIDS[0], WNIDS[1]), tuple(WNIDS))
    (root / place / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n2\n4\n")
    with pytest.raises(
        ValueError, match=r"synsets with their numbers and WordNet ids, got .*meta\.mat with KeyError: '4'"
    ):
        read_class_list(images[0].parent, images, None)


def test_file_names_that_begin_with_wordnet_ids(tmp_path: Path) -> None:
    images = [tmp_path / f"{wnid}_{number}.JPEG" for number, wnid in enumerate((WNIDS[2], WNIDS[0], WNIDS[2]))]
    found = read_class_list(tmp_path, images, None)
    assert found == ((WNIDS[2], WNIDS[0], WNIDS[2]), (WNIDS[0], WNIDS[2]))
    assert read_class_list(tmp_path, [*images, tmp_path / "holiday_1.JPEG"], None) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "cat\ngreat white shark\n\ndog"),
        ("a.json", '["cat", "great white shark", "dog"]'),
        ("a.json", '{"0": ["cat", "x"], "2": "dog", "1": ["great white shark", "y"]}'),
    ],
)
def test_the_order_of_a_networks_classes(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_class_order(str(tmp_path / name)) == ("cat", "great white shark", "dog")
    assert match_classes(("dog", "cat", "dog"), str(tmp_path / name), tmp_path) == (2, 0, 2)
    with pytest.raises(ValueError, match=r"must be one of the 3 in .*, got ant, bee in .*Name the list"):
        match_classes(("dog", "bee", "ant"), str(tmp_path / name), tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "cat\ncat", r"must name each class once, got cat twice in .*a\.txt"),
        ("a.txt", "\n", r"must name each class once, got none in"),
        ("a.json", "{", r"A JSON list of classes must be .* got .*a\.json with JSONDecodeError"),
        ("a.json", '{"1": "cat"}', r"got .*a\.json with KeyError: '0'"),
    ],
)
def test_what_is_no_list_of_classes(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_class_order(str(tmp_path / name))


def test_the_lists_of_imagenet() -> None:
    lengths = {"imagenet-1k": 1000, "imagenet-1001": 1001, "imagenet-12k": 11821, "imagenet-21k-miil": 11221}
    lengths |= {"imagenet-21k-goog": 21843, "imagenet-22k": 21841, "imagenet-22k-ms": 21842}
    assert {name: len(read_class_order(name)) for name in IMAGENET_LISTS} == lengths
    order = read_class_order("imagenet-1k")
    assert list(order) == sorted(order)
    assert order[0] == "n01440764"  # tench
    assert read_class_order("imagenet-1001") == ("background", *order)


def test_names_of_labels(tmp_path: Path) -> None:
    assert read_label_names(tmp_path) == ()
    (tmp_path / "classes.txt").write_text(f"0\t{WNIDS[1]}\tdog\n1\t{WNIDS[0]}\ttench\n")
    assert read_label_names(tmp_path) == (WNIDS[1], WNIDS[0])
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert read_label_names(tmp_path) == ()
