"""Commands as data: printed by a dry run, run otherwise, and explained where they fail."""

import base64
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "MAX_KEPT_LINES",
    "CommandStep",
    "Environment",
    "LaunchError",
    "Secret",
    "explain_failure",
    "mask_manifest",
    "reveal_secrets",
]

SECRET_NAMES = re.compile(r"token|secret|passw|credential|api_?key|access_?key|private_?key", re.IGNORECASE)

MAX_KEPT_LINES = 30  # of what a command has said, for the message

# what clouds, ssh and Kubernetes say, and what to do about it
REMEDIES = {
    r"InvalidInstanceType|instance type .*(not supported|does not exist)|invalid.*instance.?type|resource\.machineType":
    "The provider does not offer this machine type there: choose another InstanceType (AWS) or machineType "
    "(Google) in the cluster's file, or another zone.",
    r"NoCredentials|locate credentials|ExpiredToken|InvalidClientTokenId|DefaultCredentialsError|"
    r"credentials were not found": "Log in to the provider first: aws sso login, or gcloud auth application-default "
    "login.",
    r"UnauthorizedOperation|AccessDenied|PERMISSION_DENIED|forbidden": "Your account lacks permissions: it needs "
    "those that the first lines of the cluster's file name.",
    r"VcpuLimitExceeded|InstanceLimitExceeded|QUOTA_EXCEEDED|Quota .* exceeded|InsufficientInstanceCapacity|"
    r"RESOURCE_POOL_EXHAUSTED": "The provider has no more machines of this type for you: raise the "
    "quota, or choose another type or zone.",
    r"ssh: connect|port 22|Connection timed out|No route to host|Operation timed out": "Port 22 of the head is closed "
    "to this machine: let its public address in (IpPermissions on AWS, the network's firewall on Google).",
    r"no matches for kind": "The Kubernetes cluster does not know Ray: install the KubeRay operator, 1.5.1 or newer.",
    r"Unable to connect to the server|connection to the server .* refused|no configuration has been provided|"
    r"current-context": "kubectl cannot reach a cluster: choose one with kubectl config use-context, and log in to it.",
    r"ErrImagePull|ImagePullBackOff|manifest unknown|pull access denied": "The image cannot be pulled: build it from "
    "cluster/Dockerfile, push it, and name it in the cluster's file.",
    r"[Aa]ddress already in use|unable to listen on port": "The local port is taken: end what listens there, such as "
    "another attach.",
    r"AuthenticationError|Unauthenticated|Unauthorized|invalid token": "The cluster was started with another token: "
    "bring it down and launch again, or set RAY_AUTH_TOKEN.",
}  # fmt: skip


class LaunchError(OSError):
    """A command that brings up, reaches or takes down a cluster has failed: which, what it said, and the way out."""


class Secret:
    """A value that commands get and nobody reads: as text it is `***`, and so it is in what a command says."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __format__(self, form: str) -> str:
        return format(str(self), form)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def reveal(self) -> str:
        """The value itself, for the environment of a command."""
        return self._value

    def mask(self, text: str) -> str:
        """A text with `***` for the value, as it is and in base64."""
        for shown in filter(None, (self._value, base64.b64encode(self._value.encode()).decode())):
            text = text.replace(shown, "***")
        return text


Environment = Mapping[str, str | Secret]


@dataclass(frozen=True)
class CommandStep:
    """One command and why it is run; `given` is its standard input. What it says is a secret if `says_secret`."""

    why: str
    words: tuple[str, ...]
    environment: Environment = field(default_factory=dict)
    given: str | None = None
    says_secret: bool = False

    def __str__(self) -> str:
        shown = (
            (name, str(value) if isinstance(value, Secret) else shlex.quote(value))
            for name, value in self.environment.items()
        )
        return "".join(f"{name}={value} " for name, value in shown) + shlex.join(self.words)

    def mask(self, text: str) -> str:
        """A text without the secrets of this command's environment."""
        for value in self.environment.values():
            text = value.mask(text) if isinstance(value, Secret) else text
        return text

    def start(self) -> "subprocess.Popen[str]":
        """Starts the command; what it says can be read line by line."""
        here = str(Path(sys.executable).parent)  # where ray is, also without an activated environment
        path = os.pathsep.join([here, os.environ.get("PATH", "")])
        try:
            return subprocess.Popen(
                self.words,
                stdin=subprocess.DEVNULL if self.given is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "PATH": path, **reveal_secrets(self.environment)},
            )
        except FileNotFoundError as error:
            raise LaunchError(
                f"Launching needs the program {self.words[0]}, which is not installed on this machine."
            ) from error

    def run(self, tell: Callable[[str], None]) -> str:
        """Runs the command and tells each line of what it says; gives the last ones. Raises LaunchError."""
        said: list[str] = []
        with self.start() as process:
            if process.stdin is not None:
                process.stdin.write(self.given or "")
                process.stdin.close()
            assert process.stdout is not None
            for line in process.stdout:
                if not self.says_secret:
                    tell(self.mask(line.rstrip()))
                said = [*said[1 - MAX_KEPT_LINES :], line]
        if process.returncode:
            raise LaunchError(explain_failure(str(self), process.returncode, self.mask("".join(said))))
        return "".join(said)


def reveal_secrets(environment: Environment) -> dict[str, str]:
    """The environment as a process gets it."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in environment.items()}


def mask_manifest(text: str) -> str:
    """A YAML document with `***` for whatever is named like a secret, which a dry run prints."""
    import yaml

    return str(yaml.safe_dump_all([_mask_entry(each) for each in yaml.safe_load_all(text)], sort_keys=False))


def _mask_entry(entry: Any) -> Any:
    if isinstance(entry, list):
        return [_mask_entry(each) for each in entry]
    if not isinstance(entry, dict):
        return entry
    secret = entry.get("kind") == "Secret"
    named = isinstance(entry.get("name"), str) and SECRET_NAMES.search(entry["name"])
    hidden = {"value"} if named else {"data", "stringData"} if secret else set()
    return {
        key: "***" if key in hidden or (isinstance(each, str) and SECRET_NAMES.search(str(key))) else _mask_entry(each)
        for key, each in entry.items()
    }


def explain_failure(command: str, code: int, said: str) -> str:
    """The message about a command that has failed: its last line, and the way out where it is known."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for pattern, way_out in REMEDIES.items():
        for line in reversed(lines):
            if re.search(pattern, line):
                return f"`{command}` ended with {code}: {line}\n{way_out}"
    return f"`{command}` ended with {code}: {lines[-1] if lines else 'it said nothing'}"
