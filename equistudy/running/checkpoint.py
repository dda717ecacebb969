"""Where the checkpoint of a trial under way lies, and how far it got."""

import io
import pickle

import torch

from equistudy.running.job import Job, RunConditions

__all__ = ["checkpoint_path", "count_saved_steps"]


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
