"""The network of a finished trial, read back from the results and checked."""

import socket

import torch

from equistudy.results.sealing import DamagedFileError, check_safetensors
from equistudy.results.store import Store
from equistudy.running.job import Job
from equistudy.study.trial import fingerprint
from equistudy.training.subject import restore_network
from equistudy.training.trainer import build_network

__all__ = ["check_fingerprints", "load_network"]


def load_network(job: Job, store: Store, device: torch.device) -> torch.nn.Module:
    """The network of a job without training: the stored one of a finished trial, or what the model builds.

    Raises FileNotFoundError for weights that are gone and DamagedFileError, after setting them aside, for damaged ones.
    """
    if job.weights is None:
        check_fingerprints(job)
        return build_network(job.trial, device)
    weights = store.read_bytes(job.weights)
    if weights is None:
        raise FileNotFoundError(
            f"Measuring needs the trained network, but {job.weights} is missing from {store.url}. "
            "Restore the file, or run the study that trained it again."
        )
    try:
        check_safetensors(job.weights, weights, job.trial.id)
    except DamagedFileError:
        store.set_aside(job.weights)
        raise
    return restore_network(weights, job.trial, device)


def check_fingerprints(job: Job) -> None:
    """Raises OSError where this worker has other data or pretrained weights than the plan."""
    for what, planned, found in (
        ("data", job.fingerprint, fingerprint(job.trial.dataset)),
        ("weights", job.model_fingerprint, job.trial.model.fingerprint()),
    ):
        if planned not in (None, found):
            raise OSError(
                f"Every worker must have the same {what} as the plan, got fingerprint {found} on "
                f"{socket.gethostname()} and {planned} in the plan. Copy the same files to every node."
            )
