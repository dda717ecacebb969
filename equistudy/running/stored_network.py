"""What the results hold of a trial: the network of a finished one, and the checkpoint of one under way."""

import io
import pickle
import socket

import torch

from equistudy.results.sealing import DamagedFileError, check_safetensors
from equistudy.results.store import Store
from equistudy.running.job import Job, RunConditions
from equistudy.study.trial import fingerprint
from equistudy.training.subject import restore_network
from equistudy.training.trainer import build_network

__all__ = ["check_fingerprints", "checkpoint_path", "count_saved_steps", "load_network"]


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


def checkpoint_path(job: Job) -> str:
    """The name of the attempt's checkpoint in the results."""
    return f"checkpoints/{job.trial.id}.{job.attempt}.pt"


def count_saved_steps(job: Job, conditions: RunConditions) -> int:
    """How many optimiser steps the checkpoint of a trial under way holds; 0 where it has none that can be read."""
    state = conditions.store.read_sealed(checkpoint_path(job))
    if state is None:
        return 0
    try:
        return int(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)["steps"])
    except (RuntimeError, EOFError, KeyError, ValueError, TypeError, pickle.UnpicklingError):
        return 0
