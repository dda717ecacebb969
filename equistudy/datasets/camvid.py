"""CamVid: street scenes with a class for each pixel, in the split of SegNet."""

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
    """Frames of 360 x 480 pixels in 11 classes, void is 11; SegNet's split has 367 for training and 233 for testing.

    Classes: sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist.

    The folder holds `train.txt` and `test.txt`, whose lines name a photograph and its labels, such as
    `train/0001TP_006690.png trainannot/0001TP_006690.png`, and these PNG files; the labels are their grey values. Only
    the last two parts of a path are used. The frames are resized to `height` rows, with columns in proportion:
    photographs bilinearly, labels by nearest neighbour.

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
                f"CamVid has {HEIGHT} rows, which shrink to at least 8, and splits of at least 1 frame, got "
                f"height={self.height}, train_size={self.train_size}, test_size={self.test_size}. Use None for all."
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
        """Three channels; rows, and columns in the proportion 4 to 3."""
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
        # a subset is spread over the sequences, which follow each other in the list
        if not pairs:
            raise ValueError(
                f"Each list of CamVid names at least one frame, got none in {self.root / split.value}.txt. Copy CamVid "
                "again."
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
                f"them there, or name another place: CamVid(folder=...)."
            )
        for number, line in enumerate(read_text(listing).splitlines(), 1):
            names = line.split()
            paths = [self.root.joinpath(*Path(name).parts[-2:]) for name in names]
            if names and (len(names) != 2 or not all(path.is_file() for path in paths)):
                raise ValueError(
                    f"Each line names a photograph and its labels, got {line!r} in line {number} of {listing}, where "
                    f"one of them is not there. Copy CamVid again."
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
                f"Labels are the grey values 0 to {CLASSES - 1}, or {CLASSES} for void, got {got} in {path}. Use the "
                f"files of SegNet's split."
            )
        return labels.astype(np.uint8)


def _open_image(path: Path) -> Any:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(read_bytes(path)))
        image.load()
    except Exception as error:  # each format's reader has its own way of refusing bytes
        raise _create_damage_error(path, str(error)) from error
    return image


def _create_damage_error(path: Path, what: str) -> ValueError:
    return ValueError(f"CamVid reads PNG files, got {path} with: {what}. Copy it again.")


def _create_size_error(path: Path, size: tuple[int, int]) -> ValueError:
    return ValueError(
        f"Frames have {WIDTH} x {HEIGHT} pixels, got {size[0]} x {size[1]} in {path}. Use the files of SegNet's split."
    )


@lru_cache(maxsize=8)
def _compute_fingerprint(files: tuple[tuple[Path, int, int], ...]) -> str:
    hashed = hashlib.sha256()
    for path, _, _ in files:
        hashed.update(hashlib.sha256(read_bytes(path)).digest())
    return hashed.hexdigest()
