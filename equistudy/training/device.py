"""The device of a trial: checks that it exists, and limits its memory per process."""

import socket

import torch

__all__ = ["check_device", "claim_memory"]

CONTEXT_BYTES = 2**29  # memory of the CUDA context of each process


def check_device(device: torch.device) -> None:
    """Raises ValueError if the device is a GPU that torch does not see."""
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"Trials on a GPU need torch to see one, got torch {torch.__version__} on {socket.gethostname()} without. "
            "Install the driver and torch with CUDA there, or use --gpus-per-trial 0."
        )


def claim_memory(device: torch.device, share: float) -> None:
    """Limits this process to its share of the memory of a GPU, so that exceeding it fails only this process.

    Raises ValueError if torch sees no GPU.
    """
    check_device(device)
    if device.type == "cuda" and share < 1:
        context = CONTEXT_BYTES / torch.cuda.get_device_properties(device).total_memory
        index = torch.cuda.current_device() if device.index is None else device.index  # the API requires an index
        torch.cuda.set_per_process_memory_fraction(max(share / 2, share - context), index)
