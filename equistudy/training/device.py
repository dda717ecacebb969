"""The device that a trial works on: that it is there, and how much of its memory one process may take."""

import socket

import torch

__all__ = ["check_device", "claim_memory"]

CONTEXT_BYTES = 2**29  # what CUDA itself takes for each process, beside torch's tensors


def check_device(device: torch.device) -> None:
    """ValueError for a GPU where torch sees none."""
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"A trial on a GPU needs a torch that sees one, got torch {torch.__version__} on {socket.gethostname()}, "
            "which sees none. Install torch with CUDA and the driver there, or use --gpus-per-trial 0."
        )


def claim_memory(device: torch.device, share: float) -> None:
    """Keeps this process to its share of the memory of a GPU that several share: one that wants more fails alone.

    ValueError where there is none.
    """
    check_device(device)
    if device.type == "cuda" and share < 1:
        context = CONTEXT_BYTES / torch.cuda.get_device_properties(device).total_memory
        index = torch.cuda.current_device() if device.index is None else device.index  # it takes no other device
        torch.cuda.set_per_process_memory_fraction(max(share / 2, share - context), index)
