"""Weights come from the hub's client, of which a fake stands here, and are checked."""

import hashlib
import os
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from equistudy.fetching.download import FetchError
from equistudy.fetching.weights import fetch_weights
from equistudy.models import weights

NAME = "resnet18.a1_in1k"
BYTES = b"the weights"


class Hub:
    """Puts files into the cache as the hub's client does."""

    def __init__(self, cache: Path, files: dict[str, bytes], stated: str | None = None) -> None:
        self.cache, self.files, self.stated, self.asked = cache, files, stated, []

    def download(self, repo: str, file: str) -> str:
        self.asked.append((repo, file))
        if file not in self.files:
            raise EntryNotFoundError(f"404: {file} is not in {repo}")
        root = self.cache / f"models--{repo.replace('/', '--')}"
        blob = root / "blobs" / (self.stated or hashlib.sha256(self.files[file]).hexdigest())
        path = root / "snapshots" / "abc" / file
        for folder in (blob.parent, path.parent, root / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(self.files[file])
        path.unlink(missing_ok=True)
        path.symlink_to(os.path.relpath(blob, path.parent))
        (root / "refs" / "main").write_text("abc")
        return str(path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def install(files: dict[str, bytes], stated: str | None = None) -> Hub:
        made = Hub(tmp_path, files, stated)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", made.download)
        return made

    return install


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_arrive_where_they_are_looked_for(hub, file):
    made = hub({file: BYTES})
    path = fetch_weights(NAME)
    assert path.read_bytes() == BYTES
    assert weights.find_weights(NAME) == path
    assert made.asked[-1] == (f"timm/{NAME}", file)
    before = len(made.asked)
    assert fetch_weights(NAME) == path
    assert len(made.asked) == before


def test_wrong_bytes_are_put_aside(hub, tmp_path):
    hub({"model.safetensors": BYTES}, stated="0" * 64)
    with pytest.raises(FetchError, match=rf"SHA-256 stated by the hub, got {NAME} with \w{{64}} \(kept as .*wrong"):
        fetch_weights(NAME)
    assert weights.find_weights(NAME) is None
    assert next(tmp_path.rglob("*.wrong-checksum")).read_bytes() == BYTES


def test_names_that_timm_does_not_know_are_not_asked_for(hub):
    made = hub({})
    with pytest.raises(ValueError, match="must be one of those of timm's resnet18"):
        fetch_weights("resnet18.nothing")
    assert made.asked == []


def test_the_hub_does_not_have_them(hub):
    hub({})
    with pytest.raises(
        FetchError, match=rf"Cannot download timm/{NAME} from the Hugging Face hub: 404.*HF_ENDPOINT.*--weights-dir"
    ):
        fetch_weights(NAME)


def test_no_network(hub, monkeypatch):
    hub({})

    def fail(repo: str, file: str) -> str:
        raise LocalEntryNotFoundError("Cannot find the file on the Hub.\nCheck your connection.")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(FetchError, match=r"Cannot find the file on the Hub\. Check the network and its proxy"):
        fetch_weights(NAME)
