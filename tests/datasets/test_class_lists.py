"""The class of each image from a list: by name, by number, by position."""

from pathlib import Path

import pytest

from equistudy.datasets.class_lists import read_class_list

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


def test_a_class_for_each_image_in_the_order_of_names(images: list[Path]) -> None:
    path = images[0].parent.parent / "imagenet_2012_validation_synset_labels.txt"
    path.write_text("\n".join(WNIDS + WNIDS[:1]))
    found = read_class_list(images[0].parent, images[::-1], None)
    assert found is not None
    assert found.classes == (WNIDS[0], WNIDS[2], WNIDS[1], WNIDS[0])
    path.write_text("\n".join(WNIDS))
    with pytest.raises(ValueError, match=r"one line for each image, got 3 lines in .*synset_labels\.txt for 4 images"):
        read_class_list(images[0].parent, images, None)


def test_lists_that_do_not_fit(images: list[Path]) -> None:
    path = images[0].parent / "val_annotations.txt"
    path.write_text("val_0.JPEG\tn1\nval_1.JPEG\tn1\nval_10.JPEG\tn1\n")
    with pytest.raises(
        ValueError, match=r"names every image .* got .*annotations\.txt without 1 of 4, such as val_2\.J"
    ):
        read_class_list(images[0].parent, images, None)
    path.write_text("\n".join(f"{image.name} 7" for image in images))
    with pytest.raises(ValueError, match=r"numbered from 0 to 2, as there are folders for training, got 7 in .*annot"):
        read_class_list(images[0].parent, images, WNIDS)
    path.unlink()
    (images[0].parent / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n3\n4\n")
    with pytest.raises(ValueError, match=r"got .*ground_truth\.txt, whose numbers follow another order\. Use LOC_val"):
        read_class_list(images[0].parent, images, None)
