"""Finds pretrained weights on this machine and computes their digest: no torch, and no download."""

import hashlib
import os
import re
from pathlib import Path

__all__ = [
    "CACHED_FILE_NAMES",
    "WEIGHTS_VARIABLE",
    "compute_file_digest",
    "describe_search",
    "find_weights",
    "get_weights_folder",
]

WEIGHTS_VARIABLE = "EQUISTUDY_WEIGHTS"
SUFFIXES = (".safetensors", ".pth", ".bin")
CACHED_FILE_NAMES = ("model.safetensors", "pytorch_model.bin")

_digests: dict[tuple[str, int, int], str] = {}


def get_weights_folder() -> Path | None:
    """The folder of $EQUISTUDY_WEIGHTS, searched before the Hugging Face cache. Raises ValueError if it is not one.

    It holds one file per network, NAME.TAG.safetensors, NAME.TAG.pth or NAME.TAG.bin. Its path is not part of any
    identity; the digest of the file is.
    """
    place = os.environ.get(WEIGHTS_VARIABLE)
    if not place:
        return None
    if not Path(place).is_dir():
        raise ValueError(
            f"${WEIGHTS_VARIABLE} must name a folder of files NAME.TAG.safetensors, got {place}. "
            "Correct it, unset it, or use --weights-dir."
        )
    return Path(place).absolute()


def find_weights(name: str) -> Path | None:
    """The file with the weights that timm calls `name`, from the folder or otherwise from the Hugging Face cache."""
    folder = get_weights_folder()
    if folder is not None:
        for suffix in SUFFIXES:
            path = folder / f"{name}{suffix}"
            if path.is_file():
                return path
    from huggingface_hub import constants, try_to_load_from_cache

    for file in CACHED_FILE_NAMES:
        cached = try_to_load_from_cache(f"timm/{name}", file, cache_dir=constants.HF_HUB_CACHE)
        if isinstance(cached, str):
            return Path(cached)
    return None


def describe_search(name: str) -> str:
    """A description of where the weights were searched, and how to get them."""
    from huggingface_hub import constants

    folder = get_weights_folder()
    places = [f"no {name}{{{','.join(SUFFIXES)}}} in {folder}"] if folder else []
    places.append(f"none of timm/{name} in {constants.HF_HUB_CACHE}")
    fetch = f"Fetch them once with `python -m equistudy fetch {name}`, or name their folder with --weights-dir"
    return f"got {' and '.join(places)}. {fetch}"


def compute_file_digest(path: Path) -> str:
    """The SHA-256 of the file, which in the Hugging Face cache is the file's name."""
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name):
        return blob.name
    stat = blob.stat()
    key = str(blob), stat.st_size, stat.st_mtime_ns
    if key not in _digests:
        with blob.open("rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]
