"""CamVid: street scenes with a class per pixel, in SegNet's split."""

import dataclasses
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from equistudy.datasets.contents import read_bytes, read_text
from equistudy.datasets.data_folder import get_data_folder
from equistudy.datasets.dataset import Dataset, Examples, Split, Target
from equistudy.datasets.decoding import decode_image
from equistudy.spec import location_field

__all__ = ["CamVid"]

CLASSES, HEIGHT, WIDTH = 11, 360, 480


@dataclass(frozen=True)
class CamVid(Dataset):
    """Street scenes of 360 x 480 pixels: 367 frames for training and 233 for testing, in 11 classes; 11 is void.

    Classes: sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist.

    The folder holds `train.txt` and `test.txt`, each line of which names a photograph and its label image, such as
    `train/0001TP_006690.png trainannot/0001TP_006690.png`, and the PNG files. Labels are the grey values of the label
    image. Only the last two components of a path are used. Frames are resized to `height` rows, keeping the aspect
    ratio: photographs bilinearly, labels by nearest neighbour.

    Source: Brostow et al. 2009; the split and its 11 classes are those of Badrinarayanan et al. 2017, arXiv:1511.00561.
    """

    folder: str | None = location_field(None)
    height: int = HEIGHT
    train_size: int | None = None
    test_size: int | None = None

    target: ClassVar[Target] = Target.LABELS
    num_classes: ClassVar[int] = CLASSES
    void: ClassVar[int | None] = CLASSES
    mean: ClassVar[tuple[float, ...]] = (0.409, 0.422, 0.429)
    std: ClassVar[tuple[float, ...]] = (0.295, 0.299, 0.296)

    def __post_init__(self) -> None:
        sizes = [size for size in (self.train_size, self.test_size) if size is not None]
        if not 8 <= self.height <= HEIGHT or any(size < 1 for size in sizes):
            raise ValueError(
                f"CamVid needs 8 to {HEIGHT} rows and at least 1 frame per split, got height={self.height}, "
                f"train_size={self.train_size}, test_size={self.test_size}. Use None for all frames."
            )

    @property
    def root(self) -> Path:
        """The folder that is searched."""
        return Path(self.folder) if self.folder is not None else get_data_folder() / "camvid"

    def with_absolute_paths(self) -> "CamVid":
        """The same dataset with an absolute folder."""
        return dataclasses.replace(self, folder=str(self.root.absolute()))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Three channels, `height` rows, and columns for an aspect ratio of 4 to 3."""
        return 3, self.height, round(self.height * WIDTH / HEIGHT)

    def fingerprint(self) -> str:
        """SHA-256 over all files of both splits."""
        files = [path for split in Split for pair in self._list_files(split) for path in pair]
        return _compute_fingerprint(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))

    def load(self, split: Split) -> Examples:
        """The frames in the order of the list, and their labels."""
        import torch

        pairs = list(self._list_files(split))
        size = self.train_size if split is Split.TRAIN else self.test_size
        if size is not None and size > len(pairs):
            raise ValueError(
                f"CamVid.{split.value}_size must be at most the number of frames, got {split.value}_size={size} for "
                f"{len(pairs)} in {self.root}. Use None for all."
            )
        # A subset is spread over the sequences, which are listed one after the other.
        if not pairs:
            raise ValueError(
                f"Each list of CamVid must name at least one frame, got none in {self.root / split.value}.txt. Copy "
                "the dataset again."
            )
        chosen = range(len(pairs)) if size is None else [index * len(pairs) // size for index in range(size)]
        frames = [np.stack([self._read_photograph(pairs[index][0])]) for index in chosen]
        labels = [self._read_labels(pairs[index][1]) for index in chosen]
        return Examples(torch.from_numpy(np.concatenate(frames)), torch.from_numpy(np.stack(labels)))

    def _list_files(self, split: Split) -> Iterator[tuple[Path, Path]]:
        """The photographs and labels of a split."""
        listing = self.root / f"{split.value}.txt"
        if not listing.is_file():
            raise ValueError(
                f"CamVid needs train.txt, test.txt and the files they name, got no {listing.name} in {self.root}. Put "
                f"them there, or name another folder: CamVid(folder=...)."
            )
        for number, line in enumerate(read_text(listing).splitlines(), 1):
            names = line.split()
            paths = [self.root.joinpath(*Path(name).parts[-2:]) for name in names]
            if names and (len(names) != 2 or not all(path.is_file() for path in paths)):
                raise ValueError(
                    f"Each line must name a photograph and its labels that both exist, got {line!r} in line {number} "
                    f"of {listing}. Copy the dataset again."
                )
            if names:
                yield paths[0], paths[1]

    def _read_photograph(self, path: Path) -> np.ndarray:
        from PIL import Image

        image = decode_image(read_bytes(path))
        if isinstance(image, str):
            raise _create_damage_error(path, image)
        if image.size != (WIDTH, HEIGHT):
            raise _create_size_error(path, image.size)
        _, height, width = self.image_shape
        small = image if height == HEIGHT else image.resize((width, height), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))

    def _read_labels(self, path: Path) -> np.ndarray:
        from PIL import Image

        image = _open_image(path)
        if image.size != (WIDTH, HEIGHT):
            raise _create_size_error(path, image.size)
        _, height, width = self.image_shape
        labels = np.asarray(image if height == HEIGHT else image.resize((width, height), Image.Resampling.NEAREST))
        if labels.ndim != 2 or labels.max() > CLASSES:
            got = "colours" if labels.ndim != 2 else f"label {labels.max()}"
            raise ValueError(
                f"Labels must be grey values from 0 to {CLASSES - 1}, or {CLASSES} for void, got {got} in {path}. Use "
                f"the files of SegNet's split."
            )
        return labels.astype(np.uint8)


def _open_image(path: Path) -> Any:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(read_bytes(path)))
        image.load()
    except Exception as error:  # PIL's readers raise many types of error
        raise _create_damage_error(path, str(error)) from error
    return image


def _create_damage_error(path: Path, what: str) -> ValueError:
    return ValueError(f"CamVid needs readable PNG files, got {path}: {what}. Copy it again.")


def _create_size_error(path: Path, size: tuple[int, int]) -> ValueError:
    return ValueError(
        f"Frames must have {WIDTH} x {HEIGHT} pixels, got {size[0]} x {size[1]} in {path}. Use the files of SegNet's "
        "split."
    )


@lru_cache(maxsize=8)
def _compute_fingerprint(files: tuple[tuple[Path, int, int], ...]) -> str:
    hashed = hashlib.sha256()
    for path, _, _ in files:
        hashed.update(hashlib.sha256(read_bytes(path)).digest())
    return hashed.hexdigest()
