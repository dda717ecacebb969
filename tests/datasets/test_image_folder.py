"""Which files of a folder are images of which class and split."""

from pathlib import Path

import pytest
from PIL import Image

from equistudy.datasets.dataset import Split
from equistudy.datasets.image_folder import ImageFolder


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


def test_folders_that_are_not_clear(write, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"ImageFolder needs images, got none in .*Put there files such as a\.png"):
        write().fingerprint()
    with pytest.raises(ValueError, match=r"got both in .*: b\.png and a\. Move one"):
        write("a/1.png", "b.png").load(Split.TEST)
    with pytest.raises(ValueError, match=r"An ImageFolder is a folder, got .*b\.png\. Name the folder"):
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
