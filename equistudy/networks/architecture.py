"""What a network is built of, as a digest: its modules and their settings, its parameters and buffers."""

import hashlib
import json

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["compute_network_digest"]

DIGEST_LENGTH = 16
PLAIN_TYPES = (bool, int, float, str, tuple, type(None))


def compute_network_digest(network: nn.Module) -> str:
    """The digest of the module tree, with the settings that torch's own layers declare, and of all names and shapes.

    Settings are those of `__constants__`, such as strides and paddings. Values of weights do not enter. Neither does
    whether batch norms take their statistics over several workers, nor the name of the module that defines a class.
    """
    modules = [
        [path, _get_kind(module).__qualname__, _list_settings(module)]
        for path, module in network.named_modules(remove_duplicate=False)
    ]
    tensors = [[name, list(tensor.shape)] for name, tensor in network.state_dict().items()]
    text = json.dumps([modules, tensors])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def _get_kind(module: nn.Module) -> type[nn.Module]:
    return _BatchNorm if isinstance(module, _BatchNorm) else type(module)


def _list_settings(module: nn.Module) -> list[str]:
    names = getattr(_get_kind(module), "__constants__", ())
    found = {name: getattr(module, name, None) for name in names}
    return [f"{name}={value!r}" for name, value in sorted(found.items()) if isinstance(value, PLAIN_TYPES)]
