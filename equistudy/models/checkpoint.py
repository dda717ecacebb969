"""A network with weights from a file: safetensors, or a torch checkpoint read without executing code."""

import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equistudy.models.model import Model, Module
from equistudy.models.weights import compute_file_digest
from equistudy.models.wrapped import WrappedModel
from equistudy.spec import added_field, location_field

__all__ = ["Checkpoint", "has_average"]

STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "network")  # keys that training scripts use
EMA_KEYS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")  # and for an exponential moving average
WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # of torch's DataParallel and compile
MAX_LISTED_NAMES = 5  # keys named in a message
ARCHITECTURE_HINT = "Name the architecture of these weights."


@dataclass(frozen=True)
class Checkpoint(WrappedModel):
    """The network of `model` with the weights in `file`, whose digest is part of a trial's identity.

    The file is in safetensors format or written by `torch.save`; the latter is read with `weights_only=True`, which
    executes no code. The state dict may be nested under state_dict, model_state_dict, model or network, and its keys
    may start with module. or _orig_mod., the prefixes of torch's wrappers. The classifier gets as many outputs as the
    one in the file.

    With `ema`, the weights are the exponential moving average that timm and others store beside the last weights, under
    state_dict_ema, model_ema, ema_state_dict or ema.

    >>> import equistudy as eq
    >>> eq.Checkpoint(eq.ResNet(8, 4), "weights.safetensors").obstacle()
    'no weights'
    """

    file: str | None = location_field(None)
    ema: bool = added_field(False)

    def validate(self) -> None:
        """Raises ValueError if the file cannot be read, or the architecture is unknown."""
        self.model.validate()
        read_weights(self._require_path(), self.ema)

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """The network with the weights. Raises ValueError for missing, unexpected or misshaped keys."""
        weights = read_weights(self._require_path(), self.ema)
        network = self.model.build(image_shape, num_outputs)
        outputs = _count_outputs(network.state_dict(), weights, num_outputs)
        if outputs != num_outputs:
            network = self.model.build(image_shape, outputs)
        expected = network.state_dict()
        counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
        weights = counters | weights  # some writers omit the counters, which no forward pass reads
        _check_fit(expected, weights, self._require_path(), self.model)
        network.load_state_dict(weights)
        return network

    @property
    def untrained(self) -> Model:
        """The model without the weights."""
        return self.model.untrained

    def fingerprint(self) -> str:
        """The digest of the file, preceded by that of the model if it has one."""
        own = "no weights" if self.obstacle() else compute_file_digest(self._require_path())
        inner = self.model.fingerprint()
        return own if inner is None else f"{inner}/{own}"

    def obstacle(self) -> str | None:
        """The text "no weights" if the file does not exist, or None."""
        return None if self.file is not None and Path(self.file).is_file() else "no weights"

    def with_absolute_paths(self) -> "Checkpoint":
        """The same model with an absolute path."""
        model = self.model.with_absolute_paths()
        file = None if self.file is None else str(Path(self.file).absolute())
        return dataclasses.replace(self, model=model, file=file)

    def _require_path(self) -> Path:
        if self.obstacle():
            raise ValueError(f"Checkpoint needs an existing file of weights, got file={self.file!r}. Check the path.")
        return Path(str(self.file))


def has_average(path: Path) -> bool:
    """Whether a torch checkpoint holds an exponential moving average of the weights."""
    if path.suffix == ".safetensors":
        return False
    found = _load_file(path)
    return isinstance(found, Mapping) and any(isinstance(found.get(name), Mapping) for name in EMA_KEYS)


def read_weights(path: Path, ema: bool = False) -> dict[str, Any]:
    """The tensors of a file by name; with `ema`, their exponential moving average."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix == ".safetensors" and ema:
        raise ValueError(f"A safetensors file has no moving average, got ema=True for {path}. Use ema=False.")
    if path.suffix == ".safetensors":
        try:
            return _strip_wrapper_prefixes(load_file(path))
        except SafetensorError as error:
            raise ValueError(f"Cannot read safetensors file {path}: {error}. Copy it again.") from error
    found = _load_file(path)
    if ema:
        averages = [found[name] for name in EMA_KEYS if isinstance(found, Mapping) and name in found]
        if not averages:
            raise ValueError(
                f"ema=True needs one of the keys {', '.join(EMA_KEYS)}, got none in {path}. Use ema=False."
            )
        found = averages[0]
    for name in STATE_DICT_KEYS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        kind = (
            f"a dict with {', '.join(map(str, list(found)[:MAX_LISTED_NAMES]))}"
            if isinstance(found, Mapping)
            else type(found)
        )
        raise ValueError(f"A checkpoint must hold a state dict, got {kind} in {path}. Save the network's state_dict().")
    return _strip_wrapper_prefixes(dict(found))


def _load_file(path: Path) -> Any:
    """Reads what `torch.save` wrote, without executing code."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        first = str(error).strip().partition("\n")[0][:200]
        raise ValueError(
            f"A checkpoint must hold only tensors and plain data, got {path} with: {first} "
            "Save the network's state_dict() with torch.save or as safetensors."
        ) from error


def _strip_wrapper_prefixes(weights: dict[str, Any]) -> dict[str, Any]:
    """The names as they were before the network was wrapped."""
    for prefix in WRAPPER_PREFIXES * 2:
        if weights and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _count_outputs(expected: Mapping[str, Any], weights: Mapping[str, Any], num_outputs: int) -> int:
    """The number of outputs of the classifier in the file, from the axes where the network has `num_outputs`."""
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
