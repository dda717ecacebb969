"""How fast Parquet streaming is, against decoding alone, and whether memory stays flat over epochs.

Writes JPEG photographs (dead leaves) in the layout of Hugging Face, and compares images per second of processor time:

    decode only      the stored bytes in memory, decoded, resized and cut by the same function, one after the other
    streaming        `stream_shares` from the files, in batches, as training takes them

    python benchmarks/streaming_speed.py [--images 2000] [--size 224] [--epochs 3]
"""

import io
import statistics
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from benchmarks.counts import read_counts
from equistudy.datasets.dataset import Split
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.parquet_images import ParquetImages
from equistudy.datasets.photographs import decode_square
from equistudy.training.batches import compute_batch_sizes
from equistudy.training.streamed import stream_shares

BATCH, GROUP, PATTERNS = 128, 100, 16


def written(folder: Path, images: int, size: int) -> ParquetImages:
    """Shards of photographs a quarter larger than asked for; few patterns, which a decoder does not notice."""
    leaves = DeadLeaves(size=size * 5 // 4, test_images=PATTERNS).load(Split.TEST)[0]
    encoded = []
    for leaf in leaves:
        buffer = io.BytesIO()
        Image.fromarray(leaf.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=90)
        encoded.append(buffer.getvalue())
    for name, count in (("train-0", images // 2), ("train-1", images - images // 2), ("test-0", 10)):
        rows = [{"bytes": encoded[k % PATTERNS], "path": f"{k}.jpg"} for k in range(count)]
        table = pa.table({"image": rows, "label": [k % 10 for k in range(count)]})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=GROUP)
    return ParquetImages(str(folder), size, streamed=True)


def resident_megabytes() -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def measured(images: int, size: int, epochs: int) -> tuple[list[float], list[float]]:
    """Decoding's time over streaming's, and the memory after each epoch in MB, epoch by epoch."""
    ratios, memory = [], []
    with tempfile.TemporaryDirectory() as folder:
        dataset = written(Path(folder), images, size)
        sizes = compute_batch_sizes(images, BATCH)
        for epoch in range(epochs):
            stored = list(dataset.read_encoded(Split.TRAIN, range(images)))
            began = time.process_time()
            for data in stored:
                decode_square(data, size)
            alone = time.process_time() - began
            del stored
            began = time.process_time()
            seen = sum(len(batch) for batch, _ in stream_shares(dataset, epoch, sizes, 0, 0, 1))
            assert seen == images
            ratios.append(alone / (time.process_time() - began))
            memory.append(resident_megabytes())
    return ratios, memory


def main() -> None:
    arguments = read_counts(__doc__, images=2000, size=224, epochs=3)
    torch.set_num_threads(1)
    ratios, memory = measured(arguments.images, arguments.size, arguments.epochs)
    print(
        f"{arguments.images} photographs at {arguments.size} pixels: streaming has {statistics.median(ratios):.0%} of "
        f"the decode-only rate ({min(ratios):.0%} to {max(ratios):.0%}); memory after each epoch "
        f"{', '.join(f'{each:.0f}' for each in memory)} MB"
    )


if __name__ == "__main__":
    main()
