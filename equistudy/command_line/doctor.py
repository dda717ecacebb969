"""Checks an installation, and says how to mend it."""

import importlib.metadata
import os
import shutil
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Check", "checks"]


class Check(NamedTuple):
    """One thing that must work, whether it does, and what was found."""

    name: str
    ok: bool
    found: str


def checks(folder: str) -> list[Check]:
    """All checks, each apart from the others."""
    return [
        _checked("packages", _packages),
        _checked("torch", _torch),
        _checked("timm with torchvision", _timm),
        _checked("ray", _ray),
        _checked("report", _report),
        _checked("results", lambda: _results(folder)),
        _checked("disk", lambda: _disk(folder)),
    ]


def _checked(name: str, check: Callable[[], str]) -> Check:
    """A check that raises has failed, whatever it raises: that is what the user is to read."""
    try:
        return Check(name, True, check())
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}")


def _packages() -> str:
    names = ("equistudy", "torch", "torchvision", "ray", "timm", "pyarrow", "polars", "altair", "scipy")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _torch() -> str:
    import torch

    graphics = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{graphics}, {os.cpu_count()} CPUs, {torch.get_num_threads()} threads"


def _timm() -> str:
    from equistudy.models.torchvision_operators import import_timm

    return f"{len(import_timm().list_models())} architectures"


def _ray() -> str:
    from equistudy.execution.cluster import connected

    with connected(None, num_cpus=1) as capacity:
        return f"starts on this machine, {capacity.nodes} node"


def _report() -> str:
    import altair as alt
    from vl_convert import vegalite_to_svg

    vegalite_to_svg(alt.Chart(alt.Data(values=[])).mark_point().to_dict())
    return f"altair {alt.__version__}, Vega-Lite by vl-convert {importlib.metadata.version('vl-convert-python')}"


def _results(folder: str) -> str:
    from equistudy.results.store import Store

    try:
        store = Store.open(folder, create=False)
    except FileNotFoundError:
        return f"nothing in {folder} yet"
    return f"{len(store.list('trials'))} files of trials in {store.url}"


def _disk(folder: str) -> str:
    if "://" in folder:
        return "remote results"
    free = shutil.disk_usage(".").free / 1e9
    if free < 1:
        raise OSError(f"At least 1 GB should be free for weights and checkpoints, got {free:.2f} GB. Free some space.")
    return f"{free:.0f} GB free"
