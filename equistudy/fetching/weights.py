"""Fetches pretrained weights to the Hugging Face cache, where they are looked up, and verifies their digest."""

import hashlib
import re
from pathlib import Path

from equistudy.fetching.download import FetchError
from equistudy.models.weights import CACHED_FILE_NAMES, find_weights
from equistudy.networks.timm_network import check_name

__all__ = ["fetch_weights"]


def fetch_weights(name: str) -> Path:
    """The file with the weights that timm calls `name`, downloaded unless it is already on this machine.

    huggingface_hub downloads, resumes and locks. If the hub names the file by its SHA-256, its bytes are verified.

    Raises:
        ValueError: timm has no weights of this name.
        FetchError: the hub cannot be reached, does not have the weights, or sent other bytes.

    Example (needs a network):
        fetch_weights("resnet50.a1_in1k").name  # 'model.safetensors'
    """
    check_name(name, needs_tag=True)
    found = find_weights(name)
    if found is not None:
        return found
    path = _download(name)
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name):
        with blob.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != blob.name:
            aside = blob.with_name(f"{blob.name}.wrong-checksum")
            blob.replace(aside)
            path.unlink(missing_ok=True)
            raise FetchError(
                f"Weights must have the SHA-256 stated by the hub, got {name} with {digest} (kept as {aside}). "
                "Fetch them again."
            )
    return path


def _download(name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    reason: Exception | None = None
    for file in CACHED_FILE_NAMES:
        try:
            return Path(hf_hub_download(f"timm/{name}", file))
        except LocalEntryNotFoundError as error:  # the other file would not be found either
            reason = error
            break
        except EntryNotFoundError as error:
            reason = error
        except Exception as error:  # the client, the transport and the disk raise many types of error
            reason = error
            break
    text = str(reason).strip().splitlines()[0] if str(reason).strip() else type(reason).__name__
    raise FetchError(
        f"Cannot download timm/{name} from the Hugging Face hub: {text.rstrip('.')}. Check the network and its proxy, "
        "set HF_ENDPOINT to a mirror of the hub, or copy the file to a folder and name that with --weights-dir."
    ) from reason
