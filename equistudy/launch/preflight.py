"""What must be there before a cluster costs money: programs, credentials, an edited file, real machines."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from equistudy.launch.machines import PriceTable, check_sizes, check_types
from equistudy.launch.targets import Slurm, Target

__all__ = ["Check", "preflight", "prices_beside", "validated"]

PRICES = "prices.yaml"  # beside a cluster's file
LEFT = re.compile(r"\b(YOUR-[A-Z]+|203\.0\.113\.\d+)")  # what the files of this project leave to be filled in
INSTALL = {
    "kubectl": "install it (kubernetes.io/docs/tasks/tools), and choose a cluster: kubectl config use-context NAME",
    "ray": "pip install 'equistudy[cluster]' in this environment",
    "ssh": "install an OpenSSH client",
    "rsync": "install rsync",
    "sbatch": "launch on a login node of the Slurm cluster",
}
SDK = {"aws": ("boto3",), "gcp": ("googleapiclient", "google.auth")}


class Check(NamedTuple):
    """One thing that launching needs: whether it is there, what was found, and how to get it."""

    name: str
    ok: bool
    found: str
    mend: str | None = None

    def __str__(self) -> str:
        line = f"{'ok     ' if self.ok else 'MISSING'} {self.name}: {self.found}"
        return line if self.mend is None else f"{line}\n        Mend it: {self.mend}"


def validated(target: Target) -> str:
    """What a cluster's file describes, once everything has been checked that can be without the provider.

    Raises ValueError for what Ray, Kubernetes or bash would refuse, and for types of machines that do not exist.
    """
    if isinstance(target, Slurm):
        try:
            subprocess.run(["bash", "-n", str(target.script)], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise ValueError(f"A script must be valid bash, got {target.script}: {error.stderr.strip()}") from error
        return f"{target.script}: a script for Slurm, valid bash"
    file = target.file
    if file.provider != "kubernetes":
        _ = file.prepared  # Ray's own schema
        check_types(file)
    head, *workers = file.kinds
    listed = ", ".join(
        f"0 to {kind.most} {kind.name}{' (spot)' if kind.spot else ''}: {kind.machine or 'each'} with "
        f"{kind.cpus:g} CPUs and {kind.gpus:g} GPUs"
        for kind in workers
    )
    return (
        f"{file.path}: valid for {file.provider}; a head ({head.machine or f'{head.cpus:g} CPUs'}), {listed}; at most "
        f"{file.most_workers} workers at once, idle ones end after {60 * file.idle_hours:g} min"
    )


def preflight(target: Target) -> Iterator[Check]:
    """Each thing that must be there, as it is found."""
    for tool in target.tools:
        place = shutil.which(tool)
        yield Check(tool, place is not None, place or "not installed", None if place else INSTALL.get(tool))
    if isinstance(target, Slurm):
        return
    path, provider = target.file.path, target.file.provider
    left = sorted(set(LEFT.findall(path.read_text())))
    told = f"{path} still says {', '.join(left)}" if left else f"{path} is filled in"
    yield Check("file", not left, told, "edit what its first lines name" if left else None)
    if provider in SDK:
        yield _sdk(provider)
        yield CREDENTIALS[provider]()
    prices = prices_beside(path)
    if prices.is_file():
        wrong = check_sizes(target.file, PriceTable.read(prices))
        told = "; ".join(wrong) or "as the price table knows the machines"
        yield Check("sizes", not wrong, told, f"edit resources in {path}" if wrong else None)


def _sdk(provider: str) -> Check:
    absent = [name for name in SDK[provider] if not _installed(name)]
    if absent:
        return Check("sdk", False, f"{', '.join(absent)} not installed", "pip install 'equistudy[cluster]'")
    return Check("sdk", True, ", ".join(SDK[provider]))


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a parent package
        return False


def _amazon() -> Check:
    mend = "log in: aws sso login, or set AWS_PROFILE"
    if not _installed("boto3"):
        return Check("credentials", False, "boto3 would look for them", mend)
    import boto3

    found = boto3.Session().get_credentials()
    if found is None:
        return Check("credentials", False, "none for AWS", mend)
    return Check("credentials", True, f"for AWS, by {found.method}")


def _google() -> Check:
    mend = "log in: gcloud auth application-default login"
    if not _installed("google.auth"):
        return Check("credentials", False, "google-auth would look for them", mend)
    import google.auth

    try:
        google.auth.default()
    except google.auth.exceptions.DefaultCredentialsError as error:
        return Check("credentials", False, f"none for Google: {str(error).partition('.')[0]}", mend)
    return Check("credentials", True, "for Google")


CREDENTIALS: dict[str, Callable[[], Check]] = {"aws": _amazon, "gcp": _google}


def prices_beside(path: Path) -> Path:
    """The price table of a cluster's file: `prices.yaml` in its folder."""
    return path.with_name(PRICES)
