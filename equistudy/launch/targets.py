"""Where a study can be launched: by which commands a cluster comes up, is reached, and goes down."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from equistudy.execution.cluster_file import ClusterFile
from equistudy.launch.local_head import LocalHead
from equistudy.launch.steps import CommandStep, LaunchError, Secret

__all__ = ["CloudTarget", "KubernetesTarget", "LocalTarget", "SlurmTarget", "Target", "load_target"]

DASHBOARD_PORT = 8265  # the port of jobs on a head
LOCAL_HEAD_MODULE = "equistudy.launch.local_head"


@dataclass(frozen=True)
class CloudTarget:
    """Machines of a cloud, which `ray up` starts. Their dashboard is reached through ssh alone."""

    file: ClusterFile

    tools = ("ray", "ssh", "rsync")
    shared_disk = False
    code_folder = None  # the code is uploaded

    def build_start_steps(self) -> tuple[CommandStep, ...]:
        """A token and the head; workers come when trials wait."""
        path = str(self.file.path)
        return (
            CommandStep("a token of yours", ("ray", "get-auth-token", "--generate"), {"RAY_AUTH_MODE": "token"}),
            CommandStep("the head", ("ray", "up", "--yes", "--no-config-cache", path)),
        )

    def build_tunnel(self, port: int) -> CommandStep | None:
        """The head's jobs on a port of this machine."""
        words = ("ray", "dashboard", str(self.file.path), "--port", str(port), "--remote-port", str(DASHBOARD_PORT))
        return CommandStep("a tunnel to its jobs", words)

    def build_environment(self, run: Callable[[CommandStep], str]) -> dict[str, str | Secret]:
        """Ray's own token of this user, which the cluster's file mounts on every node."""
        return {"RAY_AUTH_MODE": "token"}

    def is_up(self) -> bool | None:
        """Not known: the cloud would have to be asked."""
        return None

    def build_stop_steps(self) -> tuple[CommandStep, ...]:
        """Everything."""
        return (CommandStep("the end of all nodes", ("ray", "down", "--yes", str(self.file.path))),)


@dataclass(frozen=True)
class KubernetesTarget:
    """Pods that KubeRay's operator starts. Of a RayJob its cluster is used, and the study travels as a job."""

    file: ClusterFile

    tools = ("kubectl",)
    shared_disk = False
    code_folder = None

    @cached_property
    def name(self) -> str:
        """The cluster's name in Kubernetes."""
        return str(self.file.content["metadata"]["name"])

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The RayCluster that is applied."""
        content = self.file.content
        if content["kind"] == "RayCluster":
            return content
        head = {"apiVersion": content["apiVersion"], "kind": "RayCluster", "metadata": content["metadata"]}
        return {**head, "spec": content["spec"]["rayClusterSpec"]}

    def build_start_steps(self) -> tuple[CommandStep, ...]:
        """The cluster, and the wait for its head."""
        import yaml

        ready = ("kubectl", "wait", "--for=condition=HeadPodReady", f"raycluster/{self.name}", "--timeout=900s")
        return (
            CommandStep(
                "the cluster", ("kubectl", "apply", "-f", "-"), given=yaml.safe_dump(self.manifest, sort_keys=False)
            ),
            CommandStep("the head", ready),
        )

    def build_tunnel(self, port: int) -> CommandStep | None:
        """The head's jobs on a port of this machine."""
        words = ("kubectl", "port-forward", f"service/{self.name}-head-svc", f"{port}:{DASHBOARD_PORT}")
        return CommandStep("a tunnel to its jobs", words)

    def build_environment(self, run: Callable[[CommandStep], str]) -> dict[str, str | Secret]:
        """The token that the operator has made for this cluster."""
        import base64

        words = ("kubectl", "get", "secret", self.name, "-o", "jsonpath={.data.auth_token}")
        encoded = run(CommandStep("the cluster's token", words, says_secret=True)).strip()
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": Secret(base64.b64decode(encoded).decode())}

    def is_up(self) -> bool | None:
        """Whether Kubernetes has a cluster of this name."""
        try:
            CommandStep("whether it is up", ("kubectl", "get", "raycluster", self.name)).run(lambda line: None)
        except LaunchError:
            return False
        return True

    def build_stop_steps(self) -> tuple[CommandStep, ...]:
        """Everything."""
        return (
            CommandStep("the end of all pods", ("kubectl", "delete", "raycluster", self.name, "--ignore-not-found")),
        )


@dataclass(frozen=True)
class LocalTarget:
    """Processes of this machine as nodes."""

    file: ClusterFile

    tools = ("ray",)
    shared_disk = True

    @property
    def code_folder(self) -> Path | None:
        """Where the code of jobs lies until the cluster goes down."""
        running = LocalHead.load(self.file)
        return None if running is None else Path(running.folder) / "code"

    def build_start_steps(self) -> tuple[CommandStep, ...]:
        """The head, which stays when this process ends."""
        return (self._build_step("the head", "up"),)

    def build_tunnel(self, port: int) -> CommandStep | None:
        """None: its port is one of this machine."""
        return None

    def build_environment(self, run: Callable[[CommandStep], str]) -> dict[str, str | Secret]:
        """The address and the token, which only this user can read."""
        running = LocalHead.load(self.file)
        if running is None:
            raise LaunchError(
                f"The cluster {self.file.path} is not running. Start it with: "
                f"python -m equistudy launch {self.file.path} STUDY"
            )
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": Secret(running.token),
            "RAY_API_SERVER_ADDRESS": running.jobs,
        }

    def is_up(self) -> bool | None:
        """Whether its head runs."""
        return LocalHead.load(self.file) is not None

    def build_stop_steps(self) -> tuple[CommandStep, ...]:
        """Everything."""
        return (self._build_step("the end of all nodes", "down"),)

    def _build_step(self, why: str, verb: str) -> CommandStep:
        return CommandStep(why, (sys.executable, "-m", LOCAL_HEAD_MODULE, verb, str(self.file.path)))


@dataclass(frozen=True)
class SlurmTarget:
    """Nodes of one allocation, on which a script starts Ray. Code and results lie on a disk that all nodes share."""

    script: Path

    tools = ("sbatch", "squeue", "scancel")
    shared_disk = True

    def build_submission(self, study: Path, results: str) -> CommandStep:
        """The study as a job of Slurm."""
        words = ("sbatch", "--parsable", str(self.script), str(study.resolve()), results)
        return CommandStep("the study", words)

    def build_queue_listing(self) -> CommandStep:
        """What waits and runs."""
        return CommandStep("its jobs", ("squeue", "--me", "--name=equistudy"))

    def build_stop_steps(self) -> tuple[CommandStep, ...]:
        """All of this user's jobs of that name."""
        return (CommandStep("the end of its jobs", ("scancel", "--me", "--name=equistudy")),)


Target = CloudTarget | KubernetesTarget | LocalTarget | SlurmTarget


def load_target(path: Path) -> Target:
    """The target that a file describes. Raises ValueError for a file that is no cluster."""
    if path.suffix == ".sh":
        if not path.is_file():
            raise ValueError(f"The cluster file {path} does not exist. Check the path.")
        return SlurmTarget(path)
    file = ClusterFile(path)
    kinds: dict[str, type[KubernetesTarget] | type[LocalTarget]] = {
        "kubernetes": KubernetesTarget,
        "local": LocalTarget,
    }
    return kinds.get(file.provider, CloudTarget)(file)
