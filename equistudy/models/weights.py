"""Where pretrained weights lie on this machine, and which bytes they are: no torch, and no download."""

import hashlib
import re
from pathlib import Path

__all__ = [
    "CACHED_FILE_NAMES",
    "compute_file_digest",
    "describe_search",
    "find_weights",
    "get_weights_folder",
    "set_weights_folder",
]

SUFFIXES = (".safetensors", ".pth", ".bin")
CACHED_FILE_NAMES = ("model.safetensors", "pytorch_model.bin")

_folder: list[Path] = []
_digests: dict[tuple[str, int, int], str] = {}


def set_weights_folder(folder: str | Path) -> None:
    """From now on, weights are looked for in this folder before the Hugging Face cache. ValueError if it is none.

    A folder holds one file for each network, NAME.TAG.safetensors, NAME.TAG.pth or NAME.TAG.bin. It is a place, as that
    of a dataset is, and no part of any identity: that is the digest of the file.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ValueError(f"Weights are read from a folder of files NAME.TAG.safetensors, got {path}, which is none.")
    _folder[:] = [path.absolute()]


def get_weights_folder() -> Path | None:
    """The folder that is looked into before the Hugging Face cache."""
    return _folder[0] if _folder else None


def find_weights(name: str) -> Path | None:
    """The file with the weights that timm calls `name`, of the folder or else of the Hugging Face cache."""
    for folder in _folder:
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
    """Where the weights were looked for, and how they come there."""
    from huggingface_hub import constants

    places = [f"no {name}{{{','.join(SUFFIXES)}}} in {folder}" for folder in _folder]
    places.append(f"none of timm/{name} in {constants.HF_HUB_CACHE}")
    fetch = f"Fetch them once with `python -m equistudy fetch {name}`, or name their folder: --weights-dir"
    return f"got {' and '.join(places)}. {fetch}"


def compute_file_digest(path: Path) -> str:
    """SHA-256 of the file; the cache of the Hugging Face hub has it as the file's own name."""
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name):
        return blob.name
    stat = blob.stat()
    key = str(blob), stat.st_size, stat.st_mtime_ns
    if key not in _digests:
        with blob.open("rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]
