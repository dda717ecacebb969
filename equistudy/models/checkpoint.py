"""A network with the weights of a file: safetensors, or a checkpoint of torch that is read without running code."""

import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equistudy.models.model import Model, Module
from equistudy.models.weights import compute_file_digest
from equistudy.models.wrapped import WrappedModel
from equistudy.spec import location_field

__all__ = ["Checkpoint"]

STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "network")  # where training scripts put the weights
WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # of torch's DataParallel and compile
MAX_LISTED_NAMES = 5  # how many keys a message names
ARCHITECTURE_HINT = "Name the architecture that these weights belong to."


@dataclass(frozen=True)
class Checkpoint(WrappedModel):
    """The network of `model` with the weights in `file`, whose digest is part of a trial's identity.

    The file is safetensors or what `torch.save` wrote; the latter is read with `weights_only=True`, so that it runs no
    code. A state dict may lie under state_dict, model_state_dict, model or network, and its keys may begin with module.
    or _orig_mod., as wrappers of torch name them. The classifier gets as many outputs as the file has.
    """

    file: str | None = location_field(None)

    def validate(self) -> None:
        """ValueError if the file cannot be read, or the architecture is not known."""
        self.model.validate()
        read_weights(self._require_path())

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """The network with the weights; ValueError names the keys that are missing, not expected or misshaped."""
        weights = read_weights(self._require_path())
        network = self.model.build(image_shape, num_outputs)
        outputs = _count_outputs(network.state_dict(), weights, num_outputs)
        if outputs != num_outputs:
            network = self.model.build(image_shape, outputs)
        expected = network.state_dict()
        counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
        weights = counters | weights  # some writers leave them out, and no forward pass reads them
        _check_fit(expected, weights, self._require_path(), self.model)
        network.load_state_dict(weights)
        return network

    @property
    def untrained(self) -> Model:
        """The model without the weights."""
        return self.model.untrained

    def fingerprint(self) -> str:
        """The digest of the file, after that of the model where it has one."""
        own = "no weights" if self.obstacle() else compute_file_digest(self._require_path())
        inner = self.model.fingerprint()
        return own if inner is None else f"{inner}/{own}"

    def obstacle(self) -> str | None:
        """A file that is not there."""
        return None if self.file is not None and Path(self.file).is_file() else "no weights"

    def with_absolute_paths(self) -> "Checkpoint":
        """The same with an absolute file."""
        model = self.model.with_absolute_paths()
        file = None if self.file is None else str(Path(self.file).absolute())
        return dataclasses.replace(self, model=model, file=file)

    def _require_path(self) -> Path:
        if self.obstacle():
            raise ValueError(f"A Checkpoint needs the file of its weights, got file={self.file!r}, which is none.")
        return Path(str(self.file))


def read_weights(path: Path) -> dict[str, Any]:
    """The tensors of a file by name."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        try:
            return _strip_wrapper_prefixes(load_file(path))
        except SafetensorError as error:
            raise ValueError(f"A safetensors file must be whole, got {path} with: {error}. Copy it again.") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        first = str(error).strip().partition("\n")[0][:200]
        raise ValueError(
            f"A checkpoint holds tensors and nothing that runs code, got {path} with: {first} "
            "Save the network's state_dict() with torch.save or as safetensors."
        ) from error
    for name in STATE_DICT_KEYS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        kind = (
            f"a dict with {', '.join(map(str, list(found)[:MAX_LISTED_NAMES]))}"
            if isinstance(found, Mapping)
            else type(found)
        )
        raise ValueError(f"A checkpoint holds a state dict, got {kind} in {path}. Save the network's state_dict().")
    return _strip_wrapper_prefixes(dict(found))


def _strip_wrapper_prefixes(weights: dict[str, Any]) -> dict[str, Any]:
    """The names as they were before the network was wrapped."""
    for prefix in WRAPPER_PREFIXES * 2:
        if weights and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _count_outputs(expected: Mapping[str, Any], weights: Mapping[str, Any], num_outputs: int) -> int:
    """How many outputs the file's classifier has: what its tensors have where the network's have `num_outputs`."""
    found = {
        weights[name].shape[0]
        for name, value in expected.items()
        if name in weights and weights[name].ndim and value.ndim
        if value.shape[0] == num_outputs and weights[name].shape[0] != num_outputs
        if weights[name].shape[1:] == value.shape[1:]
    }
    return found.pop() if len(found) == 1 else num_outputs


def _check_fit(expected: Mapping[str, Any], weights: Mapping[str, Any], path: Path, model: Model) -> None:
    shapes = [
        f"{name} {list(weights[name].shape)} for {list(value.shape)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    wrong = {
        "missing": [name for name in expected if name not in weights],
        "unexpected": [name for name in weights if name not in expected],
        "misshaped": shapes,
    }
    told = [f"{len(names)} {what} ({_abbreviate_names(names)})" for what, names in wrong.items() if names]
    if told:
        raise ValueError(
            f"A checkpoint must fit its network, got {path} for {model}, with {', '.join(told)}. {ARCHITECTURE_HINT}"
        )


def _abbreviate_names(names: list[str]) -> str:
    return ", ".join([*names[:MAX_LISTED_NAMES], *(["..."] if len(names) > MAX_LISTED_NAMES else [])])
