"""Checks an installation, and says how to mend it."""

import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

__all__ = ["Check", "checks", "version"]

PACKAGES = ("torch", "torchvision", "timm", "ray", "pyarrow", "polars", "altair", "vl-convert-python", "scipy")
FREE_GIGABYTES = 1.0


class Check(NamedTuple):
    """One thing that must work, whether it does, what was found, and how to mend it where it does not."""

    name: str
    ok: bool
    found: str
    mend: str | None = None

    def __str__(self) -> str:
        line = f"{'ok ' if self.ok else 'BAD'} {self.name}: {self.found}"
        return line if self.mend is None else f"{line}\n    Mend it: {self.mend}"


def version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def checks(folder: str) -> Iterator[Check]:
    """All checks, each apart from the others, as they are done; `folder` is where results shall lie."""
    reinstall = "install equistudy again in a fresh virtual environment: pip install ."
    yield _checked("python", _python, "use Python 3.11 or newer")
    yield _checked("packages", _packages, reinstall)
    yield _checked(
        "torch", _torch, "install the torch for this machine's driver, or hide the GPU: CUDA_VISIBLE_DEVICES="
    )
    yield _checked("timm", _timm, "install the torchvision that belongs to this torch")
    yield _checked("ray", _ray, f"see the logs in /tmp/ray/session_latest/logs, or {reinstall}")
    yield _checked("report", _report, "pip install --force-reinstall vl-convert-python jinja2")
    yield _checked(
        "results", lambda: _results(folder), "choose another place with --results, or change its permissions"
    )
    yield _checked("disk", lambda: _disk(folder), "free some space, or choose another disk with --results")


def _checked(name: str, check: Callable[[], str], mend: str) -> Check:
    """A check that raises has failed, whatever it raises: that is what the user is to read."""
    try:
        return Check(name, True, check())
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}", mend)


def _python() -> str:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {cpus} CPUs"


def _packages() -> str:
    absent = [name for name in PACKAGES if version(name) is None]
    if absent:
        raise ImportError(f"not installed: {', '.join(absent)}")
    own = version("equistudy") or "from a checkout that is not installed"
    return ", ".join([f"equistudy {own}", *(f"{name} {version(name)}" for name in PACKAGES)])


def _torch() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"works on the CPU, {torch.get_num_threads()} threads; no GPU"
    ones = torch.ones(8, 8, device="cuda")  # a driver that is too old fails here, not before
    assert float((ones @ ones).sum()) == 512
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9
    return f"works on {torch.cuda.device_count()} GPUs, the first {torch.cuda.get_device_name()} with {memory:.0f} GB"


def _timm() -> str:
    from equistudy.models.torchvision_operators import import_timm

    return f"{len(import_timm().list_models())} architectures"


def _ray() -> str:
    from equistudy.execution.cluster import connected

    began = time.perf_counter()
    with connected(None, num_cpus=1):
        return f"starts on this machine in {time.perf_counter() - began:.1f} s"


def _report() -> str:
    import_module("equistudy.report.page")
    from equistudy.report.theme import png

    png('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><circle r="4"/></svg>')
    return "draws figures without a browser or a network"


def _results(folder: str) -> str:
    from equistudy.results.store import Store

    try:
        store = Store.open(folder, create=False)
    except FileNotFoundError:
        return f"nothing in {folder} yet"
    probe = f"doctor-{os.getpid()}"
    store.write_bytes(probe, bytes(4096))
    store.delete(probe)
    return f"{len(store.list('trials'))} files of trials in {store.url}, which can be written"


def _disk(folder: str) -> str:
    if "://" in folder:
        return "results are not on a disk of this machine"
    place = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    if free < FREE_GIGABYTES:
        raise OSError(f"weights and checkpoints need at least {FREE_GIGABYTES:g} GB, got {free:.2f} GB free at {place}")
    return f"{free:.0f} GB free at {place}"
