"""What must be there before a cluster costs money: programs, credentials, an edited file, real machines."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from equistudy.launch.machines import PriceTable, check_machine_sizes, check_machine_types
from equistudy.launch.targets import SlurmTarget, Target

__all__ = ["PreflightCheck", "find_price_table", "run_preflight", "validate_target"]

PRICES_FILE = "prices.yaml"  # beside a cluster's file
PLACEHOLDER = re.compile(r"\b(YOUR-[A-Z]+|203\.0\.113\.\d+)")  # what the files of this project leave to be filled in
INSTALL_HINTS = {
    "kubectl": "install it (kubernetes.io/docs/tasks/tools), and choose a cluster: kubectl config use-context NAME",
    "ray": "pip install 'equistudy[cluster]' in this environment",
    "ssh": "install an OpenSSH client",
    "rsync": "install rsync",
    "sbatch": "launch on a login node of the Slurm cluster",
}
SDK_MODULES = {"aws": ("boto3",), "gcp": ("googleapiclient", "google.auth")}


class PreflightCheck(NamedTuple):
    """One thing that launching needs: whether it is there, what was found, and how to get it."""

    name: str
    ok: bool
    found: str
    mend: str | None = None

    def __str__(self) -> str:
        line = f"{'ok     ' if self.ok else 'MISSING'} {self.name}: {self.found}"
        return line if self.mend is None else f"{line}\n        To fix it: {self.mend}"


def validate_target(target: Target) -> str:
    """What a cluster's file describes, once everything has been checked that can be without the provider.

    Raises ValueError for what Ray, Kubernetes or bash would refuse, and for types of machines that do not exist.
    """
    if isinstance(target, SlurmTarget):
        try:
            subprocess.run(["bash", "-n", str(target.script)], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise ValueError(f"{target.script} is not valid bash: {error.stderr.strip()}") from error
        return f"{target.script}: a script for Slurm, valid bash"
    file = target.file
    if file.provider != "kubernetes":
        _ = file.ray_config  # Ray's own schema
        check_machine_types(file)
    head, *workers = file.node_groups
    listed = ", ".join(
        f"0 to {kind.most} {kind.name}{' (spot)' if kind.spot else ''}: {kind.machine or 'each'} with "
        f"{kind.cpus:g} CPUs and {kind.gpus:g} GPUs"
        for kind in workers
    )
    return (
        f"{file.path}: valid for {file.provider}; a head ({head.machine or f'{head.cpus:g} CPUs'}), {listed}; at most "
        f"{file.max_workers} workers at once, idle ones end after {60 * file.idle_hours:g} min"
    )


def run_preflight(target: Target) -> Iterator[PreflightCheck]:
    """Each thing that must be there, as it is found."""
    for tool in target.tools:
        # the programs of this environment are found where it is not activated, too
        place = shutil.which(tool) or shutil.which(tool, path=str(Path(sys.executable).parent))
        yield PreflightCheck(
            tool, place is not None, place or "not installed", None if place else INSTALL_HINTS.get(tool)
        )
    if isinstance(target, SlurmTarget):
        return
    path, provider = target.file.path, target.file.provider
    left = sorted(set(PLACEHOLDER.findall(path.read_text())))
    told = f"{path} still says {', '.join(left)}" if left else f"{path} is filled in"
    yield PreflightCheck("file", not left, told, "edit what its first lines name" if left else None)
    if provider in SDK_MODULES:
        yield _check_sdk(provider)
        yield CREDENTIAL_CHECKS[provider]()
    prices = find_price_table(path)
    if prices.is_file():
        wrong = check_machine_sizes(target.file, PriceTable.load(prices))
        told = "; ".join(wrong) or "as the price table knows the machines"
        yield PreflightCheck("sizes", not wrong, told, f"edit resources in {path}" if wrong else None)


def _check_sdk(provider: str) -> PreflightCheck:
    absent = [name for name in SDK_MODULES[provider] if not _is_installed(name)]
    if absent:
        return PreflightCheck("sdk", False, f"{', '.join(absent)} not installed", "pip install 'equistudy[cluster]'")
    return PreflightCheck("sdk", True, ", ".join(SDK_MODULES[provider]))


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a parent package
        return False


def _check_amazon_credentials() -> PreflightCheck:
    mend = "log in: aws sso login, or set AWS_PROFILE"
    if not _is_installed("boto3"):
        return PreflightCheck("credentials", False, "boto3 would look for them", mend)
    import boto3

    found = boto3.Session().get_credentials()
    if found is None:
        return PreflightCheck("credentials", False, "none for AWS", mend)
    return PreflightCheck("credentials", True, f"for AWS, by {found.method}")


def _check_google_credentials() -> PreflightCheck:
    mend = "log in: gcloud auth application-default login"
    if not _is_installed("google.auth"):
        return PreflightCheck("credentials", False, "google-auth would look for them", mend)
    import google.auth

    try:
        google.auth.default()
    except google.auth.exceptions.DefaultCredentialsError as error:
        return PreflightCheck("credentials", False, f"none for Google: {str(error).partition('.')[0]}", mend)
    return PreflightCheck("credentials", True, "for Google")


CREDENTIAL_CHECKS: dict[str, Callable[[], PreflightCheck]] = {
    "aws": _check_amazon_credentials,
    "gcp": _check_google_credentials,
}


def find_price_table(path: Path) -> Path:
    """The price table of a cluster's file: `prices.yaml` in its folder."""
    return path.with_name(PRICES_FILE)
