"""Checksums of stored files: a flipped bit, a truncated file or one that belongs elsewhere is never read as numbers."""

import hashlib
import json
from typing import Any

__all__ = [
    "CHECKSUM_PLACEHOLDER",
    "DamagedFileError",
    "check_safetensors",
    "has_valid_checksum",
    "insert_checksum",
    "seal",
    "seal_safetensors",
    "unseal",
]

MAGIC = b"equistudy sha256 "
DIGEST_KEY = "sha256"
# The footer of a Parquet file has this value while the file is written, then the checksum in place of the zeros, which
# is that of the whole file with the zeros.
CHECKSUM_PREFIX = b"equistudy sha256 of this file: "
CHECKSUM_PLACEHOLDER = CHECKSUM_PREFIX + b"0" * 64
HEADER_ALIGNMENT = 8  # the tensors of a safetensors file begin at a multiple of it


class DamagedFileError(OSError):
    """A stored file is not what was written under its name."""


def seal(name: str, data: bytes) -> bytes:
    """The data behind a line with its checksum, which covers the name: a copy under another name does not pass."""
    return MAGIC + _digest(name.encode(), data).encode() + b"\n" + data


def unseal(name: str, sealed: bytes) -> bytes:
    """What `seal` was given under this name. Raises DamagedFileError for anything else."""
    head, newline, data = sealed.partition(b"\n")
    if not newline or head != MAGIC + _digest(name.encode(), data).encode():
        raise _build_error(name, "its checksum does not match")
    return data


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _build_error(name: str, why: str) -> DamagedFileError:
    return DamagedFileError(
        f"A stored file must be what equistudy wrote, got {name}: {why}. Delete it, and run the same command again."
    )


def seal_safetensors(weights: bytes) -> bytes:
    """The safetensors file with a checksum of its tensors and its other metadata in the metadata of its header."""
    header, tensors = _split_safetensors("weights", weights)
    metadata = {**header.get("__metadata__", {}), DIGEST_KEY: _digest_safetensors(header, tensors)}
    text = json.dumps({**header, "__metadata__": metadata}, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % HEADER_ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + tensors


def check_safetensors(name: str, weights: bytes, trial: str) -> None:
    """Raises DamagedFileError for weights that are not those of this trial as they were written.

    Weights of versions that stored no checksum are only checked for their format and their trial.
    """
    header, tensors = _split_safetensors(name, weights)
    metadata = header.get("__metadata__", {})
    if metadata.get("trial") != trial:
        raise _build_error(name, f"it holds the weights of {metadata.get('trial', 'no trial')} and not of {trial}")
    if metadata.get(DIGEST_KEY, "") not in ("", _digest_safetensors(header, tensors)):
        raise _build_error(name, "its checksum does not match")


def _split_safetensors(name: str, weights: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes of the tensors."""
    length = int.from_bytes(weights[:8], "little")
    try:
        header = json.loads(weights[8 : 8 + length])
        sizes = [field["data_offsets"][1] for key, field in header.items() if key != "__metadata__"]
        metadata = header.get("__metadata__", {})
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise _build_error(name, "it is not a safetensors file") from error
    if not isinstance(metadata, dict) or len(weights) != 8 + length + max(sizes, default=0):
        raise _build_error(name, "it is an incomplete safetensors file")
    return header, weights[8 + length :]


def _digest_safetensors(header: dict[str, Any], tensors: bytes) -> str:
    metadata = {key: value for key, value in header.get("__metadata__", {}).items() if key != DIGEST_KEY}
    return _digest(json.dumps({**header, "__metadata__": metadata}, sort_keys=True).encode(), tensors)


def insert_checksum(data: bytes) -> bytes:
    """The bytes with their own checksum in place of the placeholder, which occurs once."""
    return data.replace(CHECKSUM_PLACEHOLDER, CHECKSUM_PREFIX + hashlib.sha256(data).hexdigest().encode())


def has_valid_checksum(data: bytes) -> bool:
    """Whether the checksum within the bytes is theirs; those of earlier versions have none and pass."""
    place = data.rfind(CHECKSUM_PREFIX)
    if place < 0:
        return True
    end = place + len(CHECKSUM_PLACEHOLDER)
    found = data[place + len(CHECKSUM_PREFIX) : end]
    return found == hashlib.sha256(data[:place] + CHECKSUM_PLACEHOLDER + data[end:]).hexdigest().encode()
