"""Which dataset the words of `--data` mean, and how its classes belong to the outputs of a network."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from equistudy.datasets.cifar import CIFAR10, CIFAR100
from equistudy.datasets.class_lists import IMAGENET_LISTS, WORDNET_ID, read_class_order
from equistudy.datasets.dataset import Dataset, Split
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.flowers import Flowers102
from equistudy.datasets.folder import FolderDataset
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.mnist import MNIST, FashionMNIST
from equistudy.datasets.parquet_images import ParquetImages
from equistudy.datasets.patch_camelyon import PatchCamelyon
from equistudy.datasets.photographs import Photographs
from equistudy.datasets.rotated_mnist import RotatedMNIST

__all__ = ["DEAD_LEAVES", "match_outputs", "open_images", "parse_dataset"]

DEAD_LEAVES = "dead-leaves"
NUM_IMAGES = 128
SMALL_SIZE = 32  # pixels, below which the smallest dead leaves are larger shares of the image
PUBLISHED: tuple[type[FolderDataset], ...] = (CIFAR10, CIFAR100, MNIST, RotatedMNIST, PatchCamelyon)

Tell = Callable[[str], None]


def parse_dataset(data: str, images: int | None, size: int, labelled: bool, tell: Tell) -> Dataset:
    """The images at `size`: dead leaves, or what lies at a place; `tell` gets what a reader should know."""
    if data == DEAD_LEAVES:
        leaves = DeadLeaves(size=max(size, SMALL_SIZE), test_images=images or NUM_IMAGES)
        smallest = max(leaves.radii[0], 1 / (2 * size))  # no disk is smaller than a pixel
        return dataclasses.replace(leaves, size=size, radii=(smallest, leaves.radii[1]))
    path = Path(data)
    if not path.exists():
        raise ValueError(
            "--data must be an image folder, a Parquet file or folder, a folder with the files of CIFAR-10, CIFAR-100, "
            f"MNIST, rotated MNIST, PatchCamelyon or Flowers-102, or {DEAD_LEAVES}, got {data!r}, which does not "
            "exist. Check the path."
        )
    published = _find_published(path)
    if published is not None:
        count = max(images or NUM_IMAGES, published.num_classes)
        if images not in (None, count):
            tell(f"{type(published).__name__} is measured on at least one image of each class: on {count} images")
        return dataclasses.replace(published, test_size=count)
    found = open_images(path, size, labelled)
    if not found.list_images(Split.TEST).names and (training := found.list_images(Split.TRAIN).names):
        inside = path / Path(training[0]).parts[0]
        tell(f"{path} has no test images, so those in {inside} are measured")
        found = dataclasses.replace(found, path=str(inside))
    there = len(found.choose_images(Split.TEST))
    # images for training say how classes are numbered; that they are in the identity would have all of them read
    one = 1 if found.list_images(Split.TRAIN).names else None
    return dataclasses.replace(found, test_size=images or min(NUM_IMAGES, there) or None, train_size=one)


def open_images(path: Path, size: int, labelled: bool) -> Photographs:
    """The photographs at a place: Flowers-102, Parquet files, or a folder of images."""
    if all((path / name).exists() for name in ("jpg", "imagelabels.mat", "setid.mat")):
        return Flowers102(str(path), size, labels=labelled)
    patterns = ("*.parquet", "data/*.parquet", "*/*.parquet")
    parquet = path.suffix == ".parquet" or any(
        not found.name.startswith(".") for pattern in patterns for found in path.glob(pattern)
    )
    return (ParquetImages if parquet else ImageFolder)(str(path), size, labels=labelled)


def _find_published(path: Path) -> FolderDataset | None:
    """The published set whose files lie in a folder, without reading them."""
    for kind in PUBLISHED:
        chosen = FashionMNIST if kind is MNIST and re.search("fashion", str(path.absolute()), re.IGNORECASE) else kind
        dataset = chosen(folder=str(path))
        try:
            dataset.find_layout()
        except ValueError:
            continue
        return dataset
    return None


def match_outputs(dataset: Dataset, outputs: int, classes: str | None, tell: Tell, exact: bool = False) -> Dataset:
    """The dataset with its classes numbered as the `outputs` of a network are.

    `classes` is what `Photographs.classes` takes. Without it, folders and labels that are named by WordNet ids are
    found among the ids of the ImageNet set with that many classes. ValueError where numbers do not fit: a network's
    output k would be compared with another class. Only the labels of Parquet files, which are numbers in their own
    right, may lack the last classes, unless their number must be `exact`.
    """
    if not dataset.has_labels:
        return dataset
    if classes is None and isinstance(dataset, Photographs):
        classes = _find_imagenet_list(dataset, outputs)
        if classes is not None:
            tell(f"classes are matched with the {outputs} outputs by their WordNet ids ({classes})")
    if classes is not None:
        if not isinstance(dataset, Photographs):
            raise ValueError(f"--classes numbers the folders of images, got {dataset}. Leave --classes out.")
        dataset = dataclasses.replace(dataset, classes=classes)
    found = dataset.num_classes
    if isinstance(dataset, ParquetImages) and not dataset.class_names and found < outputs and not exact:
        tell(f"labels 0 to {found - 1} are compared with the network's {outputs} outputs by number")
        return dataset
    if found != outputs:
        raise ValueError(
            f"Accuracy needs a class for each output of the network, got {outputs} outputs and {dataset.num_classes} "
            f"classes of {dataset}. If these are some of the network's classes, name all of them in the order of the "
            f"outputs: --classes FILE, or one of {', '.join(IMAGENET_LISTS)}."
        )
    return dataset


def _find_imagenet_list(dataset: Photographs, outputs: int) -> str | None:
    """The list of ImageNet's classes that has as many classes as the network has outputs, if they have its names."""
    names = dataset.class_names
    if not names or not all(WORDNET_ID.fullmatch(name) for name in names):
        return None
    fitting = (name for name in IMAGENET_LISTS if len(read_class_order(name)) == outputs)
    return next((name for name in fitting if set(names) <= set(read_class_order(name))), None)
