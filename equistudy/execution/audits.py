"""Audits of many networks at once: one Ray task each, so that a crash takes nothing else down."""

from collections.abc import Iterator, Sequence
from typing import Any

from equistudy.exactness.audit import audit
from equistudy.exactness.judging import Size
from equistudy.execution.cluster import connect_to_ray
from equistudy.groups.finite import FiniteGroup
from equistudy.models.model import Model

__all__ = ["audit_all"]

THREAD_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def _audit_network(
    model: Model, name: str, size: Size, group: FiniteGroup | None, channels: int | None
) -> dict[str, Any]:
    """The record of one audit; with an `error` in place of a verdict where the network or its audit fails."""
    import torch

    torch.set_num_threads(1)
    try:
        return audit(model, size, group, channels, name=name).to_record()
    except Exception as error:  # of any kind: the networks are others' code
        return _build_failure_record(name, size, error)


def _build_failure_record(name: str, size: Size, error: Exception) -> dict[str, Any]:
    message = str(error) if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: {error}"
    return {"model": name, "size": list(size) if isinstance(size, tuple) else size, "error": message}


def audit_all(
    models: Sequence[tuple[str, Model]],
    size: Size,
    group: FiniteGroup | None,
    channels: int | None = None,
    address: str | None = None,
    num_cpus: int | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The position and record of each audit as it ends. A worker that dies fails its own audit alone."""
    with connect_to_ray(address, num_cpus):
        import ray

        remote = ray.remote(num_cpus=1, max_retries=0, runtime_env={"env_vars": THREAD_ENVIRONMENT})(_audit_network)
        waiting = {remote.remote(model, name, size, group, channels): i for i, (name, model) in enumerate(models)}
        while waiting:
            (reference,), _ = ray.wait(list(waiting), num_returns=1)
            position = waiting.pop(reference)
            try:
                yield position, ray.get(reference)
            except ray.exceptions.RayError as error:  # the process is gone: no memory, a crash in compiled code
                reason = RuntimeError(str(error).partition("\n")[0])
                yield position, _build_failure_record(models[position][0], size, reason)
