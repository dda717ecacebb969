"""Which files of a folder are images of which class and split."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equistudy.datasets.dataset import Split
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.photographs import CorruptImages, DatasetNote


@pytest.fixture
def write(tmp_path: Path):
    def write(*names: str) -> ImageFolder:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(tmp_path / name)
        return ImageFolder(str(tmp_path), 4)

    return write


def test_folders_are_classes_in_the_order_of_their_names(write, tmp_path) -> None:
    dataset = write("cat/2.png", "ant/b.jpg", "cat/1.PNG", "ant/deep/er/c.webp", ".thumbnails/1.png", "cat/.hidden.png")
    (tmp_path / "cat" / "notes.txt").touch()
    listing = dataset.list_images(Split.TEST)
    assert listing.names == ("ant/b.jpg", "ant/deep/er/c.webp", "cat/1.PNG", "cat/2.png")
    assert listing.labels == (0, 0, 1, 1)
    assert dataset.list_images(Split.TRAIN).names == ()
    assert dataset.load(Split.TEST).targets.tolist() == [0, 0, 1, 1]


def test_images_beside_each_other_have_no_labels(write, tmp_path) -> None:
    dataset = write("b.png", "a.png")
    (tmp_path / "empty").mkdir()
    assert dataset.list_images(Split.TEST) == (("a.png", "b.png"), None)
    assert not dataset.has_labels


@pytest.mark.parametrize("test", ["test", "val", "validation"])
def test_folders_of_splits(write, test) -> None:
    dataset = write("train/a/1.png", "train/b/2.png", f"{test}/a/3.png", f"{test}/b/4.png")
    assert dataset.list_images(Split.TRAIN).names == ("train/a/1.png", "train/b/2.png")
    assert dataset.list_images(Split.TEST).names == (f"{test}/a/3.png", f"{test}/b/4.png")
    assert dataset.num_classes == 2
    assert len(dataset.load(Split.TRAIN).inputs) == 2


def test_test_comes_before_val_and_a_class_may_be_a_train(write) -> None:
    dataset = write("train/a/1.png", "val/a/2.png", "test/a/3.png")
    assert dataset.list_images(Split.TEST).names == ("test/a/3.png",)
    (vehicles := write("more/train/1.png", "more/truck/2.png")).list_images(Split.TEST)
    only = ImageFolder(str(vehicles.root / "more"), 4).list_images(Split.TEST)
    assert only == (("train/1.png", "truck/2.png"), (0, 1))


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("TRAIN", "VAL"), ("training", "Validation")])
def test_names_of_splits_in_any_case_of_letters(write, train: str, test: str) -> None:
    dataset = write(f"{train}/a/1.png", f"{train}/b/2.png", f"{test}/b/3.png")
    assert dataset.list_images(Split.TRAIN) == ((f"{train}/a/1.png", f"{train}/b/2.png"), (0, 1))
    assert dataset.list_images(Split.TEST) == ((f"{test}/b/3.png",), (1,))


@pytest.mark.parametrize(("name", "split"), [("val", Split.TEST), ("Test", Split.TEST), ("train", Split.TRAIN)])
def test_one_folder_of_a_split_is_that_split(write, name: str, split: Split) -> None:
    dataset = write(f"{name}/a/1.png", f"{name}/b/2.png")
    assert dataset.list_images(split) == ((f"{name}/a/1.png", f"{name}/b/2.png"), (0, 1))
    assert dataset.num_classes == 2


def test_classes_are_numbered_as_in_training(write) -> None:
    dataset = write("train/a/1.png", "train/b/2.png", "train/c/3.png", "test/a/4.png", "test/c/5.png")
    assert dataset.list_images(Split.TEST).labels == (0, 2)
    assert (dataset.class_names, dataset.num_classes) == (("a", "b", "c"), 3)
    dataset = write("test/d/6.png", "test/e/7.png")
    with pytest.raises(ValueError, match=r"must occur in training, got d, e in .*test without images in .*train\. Rem"):
        dataset.load(Split.TEST)
    unlabelled = ImageFolder(str(dataset.root), 4, labels=False)
    assert len(unlabelled.load(Split.TEST).inputs) == 4
    assert unlabelled.class_names == ()


def test_a_split_beside_classes_is_refused(write) -> None:
    with pytest.raises(ValueError, match=r"must not be mixed, got val beside cat in .*Pass the folder of the split"):
        write("val/a/1.png", "cat/2.png").list_images(Split.TEST)


def test_two_folders_of_one_split_are_refused(write) -> None:
    with pytest.raises(ValueError, match=r"A split must be one folder, got Train, train in .*Rename one"):
        write("train/a/1.png", "Train/a/1.png", "test/a/2.png").list_images(Split.TEST)


def test_folders_without_images_are_told_and_no_classes(write, tmp_path) -> None:
    dataset = write("cat/1.png", "dog/.hidden/2.png", "dog/2.png", "eel/.ipynb_checkpoints/1.png")
    (tmp_path / "__MACOSX" / "cat").mkdir(parents=True)
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "fox").mkdir()
    assert dataset.list_images(Split.TEST) == (("cat/1.png", "dog/2.png"), (0, 1))
    with pytest.warns(DatasetNote) as caught:
        dataset.load(Split.TEST)
    assert [str(each.message).removeprefix(f"{tmp_path}: ") for each in caught] == [
        "skipped __MACOSX (left by macOS)",
        "skipped eel, fox (no images)",
        "skipped cat/up (a link to a folder above it)",
    ]


def test_an_empty_test_does_not_hide_val(write, tmp_path) -> None:
    dataset = write("train/a/1.png", "val/a/2.png")
    (tmp_path / "test").mkdir()
    assert dataset.list_images(Split.TEST).names == ("val/a/2.png",)


def test_linked_folders_and_lost_images(write, tmp_path, tmp_path_factory) -> None:
    store = tmp_path_factory.mktemp("store")
    for number in range(9):
        Image.new("L", (4, 4), number).save(store / f"{number}.png")
    dataset = write("a/x.png")
    (tmp_path / "a" / "part").symlink_to(store)
    (tmp_path / "a" / "y.png").symlink_to(tmp_path / "lost.png")
    with pytest.warns(CorruptImages, match=r"1 of 11 .*: a/y\.png \(not readable: No such file or directory\); they"):
        assert len(dataset.load(Split.TEST).inputs) == 10


def test_the_layout_of_tiny_imagenet(write, tmp_path) -> None:
    classes = ("n02", "n01", "n03")
    train = [f"train/{name}/images/{name}_{number}.JPEG" for name in classes for number in range(2)]
    test = [f"{split}/images/{split}_{number}.JPEG" for split in ("val", "test") for number in range(4)]
    dataset = write(*train, *test)
    for name in classes:
        (tmp_path / "train" / name / f"{name}_boxes.txt").write_text("n02_0.JPEG\t0\t0\t1\t1\n")
    lines = [f"val_{number}.JPEG\t{name}\t0\t0\t1\t1" for number, name in enumerate(("n03", "n01", "n02", "n01"))]
    (tmp_path / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    assert dataset.class_names == ("n01", "n02", "n03")
    assert dataset.list_images(Split.TRAIN).labels == (0, 0, 1, 1, 2, 2)
    assert dataset.list_images(Split.TEST) == (tuple(test[:4]), (2, 0, 1, 0))
    with pytest.warns(DatasetNote, match=r"testing on val, because test has no labels"):
        dataset.load(Split.TEST)
    bare = ImageFolder(str(tmp_path), 4, labels=False)
    assert bare.list_images(Split.TEST) == (tuple(test[4:]), None)


def test_the_layout_of_imagenet_with_flat_files(write, tmp_path) -> None:
    dataset = write("train/n01/1.JPEG", "train/n02/2.JPEG", "val/v_1.JPEG", "val/v_2.JPEG")
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nv_1,n02 1 2 3 4\nv_2,n01 1 2 3 4\n")
    assert dataset.list_images(Split.TEST).labels == (1, 0)
    (tmp_path / "LOC_val_solution.csv").unlink()
    (tmp_path / "val.txt").write_text("v_1.JPEG 0\nv_2.JPEG 1\n")
    assert dataset.list_images(Split.TEST).labels == (0, 1)


def test_images_turned_by_exif_are_told_and_have_their_own_identity(write, tmp_path) -> None:
    dataset = write("a.jpg", "b.jpg")
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4] = 255
    exif = Image.Exif()
    for orientation in (1, 6):
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
        if orientation == 1:
            upright = dataset.load(Split.TEST).inputs[0]
            continue
        with pytest.warns(
            DatasetNote, match=r"1 of 2 test images were rotated upright according to their EXIF orientation"
        ):
            turned = dataset.load(Split.TEST).inputs[0]
    assert np.abs(np.rot90(upright.numpy(), -1, (1, 2)).astype(int) - turned.numpy()).max() < 8


def test_folders_that_are_not_clear(write, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"ImageFolder needs images, got none in .*Put image files there"):
        write().fingerprint()
    with pytest.raises(ValueError, match=r"got both in .*: b\.png and a\. Move one"):
        write("a/1.png", "b.png").load(Split.TEST)
    with pytest.raises(ValueError, match=r"ImageFolder needs a folder, got .*b\.png\. Name the folder"):
        ImageFolder(str(tmp_path / "b.png"), 4).fingerprint()
    with pytest.raises(ValueError, match=r"got nowhere\. Name the folder"):
        ImageFolder("nowhere", 4).fingerprint()


def test_real_frames() -> None:
    frames = Path(__file__).parents[2].parent / "shared" / "data" / "camvid" / "test"
    if not frames.is_dir():
        pytest.skip("the frames of CamVid are not beside the checkout")
    examples = ImageFolder(str(frames), 48, test_size=5).load(Split.TEST)
    assert examples.inputs.shape == (5, 3, 48, 48)
    assert examples.inputs.float().std(dim=(1, 2, 3)).min() > 20
