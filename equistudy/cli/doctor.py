"""Checks an installation and says how to fix it."""

import importlib.metadata
import os
import platform
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

__all__ = ["InstallationCheck", "get_version", "run_checks"]

REQUIRED_PACKAGES = ("torch", "torchvision", "timm", "ray", "pyarrow", "polars", "altair", "vl-convert-python", "scipy")
MIN_FREE_GIGABYTES = 1.0
MAX_CLOCK_SECONDS = 30.0
DASHBOARD_PORT = 8265
TORCHVISION_OFFSET = 15  # torch 2.13 and torchvision 0.28


class InstallationCheck(NamedTuple):
    """One requirement: whether it is met, what was found, and how to fix it if it is not."""

    name: str
    ok: bool
    found: str
    mend: str | None = None

    def __str__(self) -> str:
        line = f"{'ok ' if self.ok else 'BAD'} {self.name}: {self.found}"
        return line if self.mend is None else f"{line}\n    To fix it: {self.mend}"


def get_version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run_checks(folder: str) -> Iterator[InstallationCheck]:
    """All checks, each apart from the others, as they are done; `folder` is where results shall lie."""
    reinstall = "install equistudy again in a fresh virtual environment: pip install ."
    yield _run_check("python", _check_python, "use Python 3.11 or newer")
    yield _run_check("packages", _check_packages, reinstall)
    yield _run_check(
        "torch", _check_torch, "install the torch for this machine's driver, or hide the GPU: CUDA_VISIBLE_DEVICES="
    )
    yield _run_check(
        "pair", _check_version_pair, "install both from one index: pip install 'torch==2.13.*' 'torchvision==0.28.*'"
    )
    yield _run_check("timm", _check_timm, "install the torchvision that belongs to this torch")
    yield _run_check(
        "ports", _check_ports, "let programs of this machine connect to 127.0.0.1, in its firewall or sandbox"
    )
    yield _run_check("ray", _check_ray, f"see the logs in /tmp/ray/session_latest/logs, or {reinstall}")
    yield _run_check("report", _check_report, "pip install --force-reinstall vl-convert-python jinja2")
    yield _run_check(
        "results", lambda: _check_results(folder), "choose another place with --results, or change its permissions"
    )
    yield _run_check("clock", lambda: _check_clock(folder), "set the clock of this machine: timedatectl set-ntp true")
    yield _run_check("disk", lambda: _check_disk(folder), "free some space, or choose another disk with --results")


def _run_check(name: str, check: Callable[[], str], mend: str) -> InstallationCheck:
    """A check that raises has failed, whatever it raises: that is what the user is to read."""
    try:
        return InstallationCheck(name, True, check())
    except Exception as error:
        return InstallationCheck(name, False, f"{type(error).__name__}: {error}", mend)


def _check_python() -> str:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {cpus} CPUs"


def _check_packages() -> str:
    absent = [name for name in REQUIRED_PACKAGES if get_version(name) is None]
    if absent:
        raise ImportError(f"not installed: {', '.join(absent)}")
    own = get_version("equistudy") or "from a checkout that is not installed"
    return ", ".join([f"equistudy {own}", *(f"{name} {get_version(name)}" for name in REQUIRED_PACKAGES)])


def _check_torch() -> str:
    import torch

    if not torch.cuda.is_available():
        if shutil.which("nvidia-smi") and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
            raise RuntimeError(f"this machine has a driver for GPUs, which torch {torch.__version__} cannot use")
        return f"works on the CPU, {torch.get_num_threads()} threads; no GPU"
    ones = torch.ones(8, 8, device="cuda")  # a driver that is too old fails here, not before
    assert float((ones @ ones).sum()) == 512
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9
    return f"works on {torch.cuda.device_count()} GPUs, the first {torch.cuda.get_device_name()} with {memory:.0f} GB"


def _check_version_pair() -> str:
    """The minor version of torchvision is that of torch plus 15."""
    torch, vision = get_version("torch") or "", get_version("torchvision") or ""
    minor, other = int(torch.split(".")[1]), int(vision.split(".")[1])
    if other != minor + TORCHVISION_OFFSET:
        raise RuntimeError(f"torch {torch} belongs with torchvision 0.{minor + TORCHVISION_OFFSET}, got {vision}")
    return f"torch {torch} and torchvision {vision}"


def _check_ports() -> str:
    """Ray's processes talk over sockets of this machine; its dashboard has a port of its own by default."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5):
        pass
    with socket.socket() as other:
        taken = other.connect_ex(("127.0.0.1", DASHBOARD_PORT)) == 0
    return f"open on loopback; {DASHBOARD_PORT} {'is taken, perhaps by another Ray' if taken else 'is free'}"


def _check_timm() -> str:
    from equistudy.networks.import_timm import import_timm

    return f"{len(import_timm().list_models())} architectures"


def _check_ray() -> str:
    from equistudy.execution.cluster import connect_to_ray

    began = time.perf_counter()
    with connect_to_ray(None, num_cpus=1):
        return f"starts on this machine in {time.perf_counter() - began:.1f} s"


def _check_report() -> str:
    import_module("equistudy.report.page")
    from equistudy.report.theme import render_png

    render_png('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><circle r="4"/></svg>')
    return "draws figures without a browser or a network"


def _check_results(folder: str) -> str:
    from equistudy.results.store import Store

    try:
        store = Store.open(folder, create=False)
    except FileNotFoundError:
        return f"nothing in {folder} yet"
    probe = f"doctor-{os.getpid()}"
    store.write_bytes(probe, bytes(4096))
    store.delete(probe)
    return f"{len(store.list_names('trials'))} files of trials in {store.url}, which can be written"


def _check_clock(folder: str) -> str:
    """The time that the storage gives to a file, beside this machine's: signs of life are judged by it."""
    from equistudy.results.store import Store

    try:
        store = Store.open(folder, create=False)
    except FileNotFoundError:
        return "nothing to compare with before there are results"
    probe, began = f"doctor-clock-{os.getpid()}", time.time()
    store.write_bytes(probe, b"now")
    ended, there = time.time(), store.files.modified_at(probe)
    store.delete(probe)
    apart = max(there - ended, began - there, 0.0)
    if apart > MAX_CLOCK_SECONDS:
        raise OSError(f"this machine and {store.url} differ by {apart:.0f} s: running trials would be considered dead")
    return f"within {max(1.0, apart):.0f} s of the storage's"


def _check_disk(folder: str) -> str:
    if "://" in folder:
        return "results are not on a disk of this machine"
    place = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    if free < MIN_FREE_GIGABYTES:
        raise OSError(
            f"weights and checkpoints need at least {MIN_FREE_GIGABYTES:g} GB, got {free:.2f} GB free at {place}"
        )
    return f"{free:.0f} GB free at {place}"
