"""Small Parquet files in the layout of Hugging Face: grey squares whose brightness is their place."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from equistudy.datasets.parquet_images import ParquetImages

COUNT = 60  # in training; brightness 4 k, class k % 3


def png(shade: int, size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (size, size), shade).save(buffer, "PNG")
    return buffer.getvalue()


def shards(folder: Path, corrupt: tuple[int, ...] = (), **options) -> ParquetImages:
    """Three shards of 20 images in row groups of 7, and one for testing of 6."""
    for name, places in (
        ("train-00000", range(20)),
        ("train-00001", range(20, 40)),
        ("train-00002", range(40, COUNT)),
        ("test-00000", range(COUNT, 66)),
    ):
        images = [
            {"bytes": b"gone" if place in corrupt else png(4 * place % 256), "path": f"{place}.png"} for place in places
        ]
        table = pa.table({"image": images, "label": [place % 3 for place in places]})
        folder.mkdir(exist_ok=True, parents=True)
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=7, compression="none")
    return ParquetImages(str(folder), 8, streamed=True, **options)


def damage(path: Path, start: int = 4) -> None:
    """Overwrites the first page of images, or the page at `start`; the footer stays whole."""
    data = path.read_bytes()
    path.write_bytes(data[:start] + b"\xff" * 100 + data[start + 100 :])
