"""An autoscaling cluster as a file: which nodes may start, in Ray's format for machines or KubeRay's for Kubernetes."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from equistudy.execution.cluster import Capacity
from equistudy.study.study import is_file_name

__all__ = ["ClusterFile", "NodeGroup"]

LOCAL_PROVIDER = "FakeMultiNodeProvider"
DEFAULT_MAX_WORKERS = 2  # Ray's max_workers where a file has none
KUBERNETES_KINDS = ("RayCluster", "RayJob")
# Ray has defaults for each cloud, and none for nodes that are processes
UNUSED_DEFAULTS: dict[str, Any] = {
    **{key: {} for key in ("auth", "docker", "file_mounts")},
    **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    **{key: [] for key in ("initialization_commands", "setup_commands")},
    **{key: [] for key in ("head_setup_commands", "worker_setup_commands")},
    **{key: [] for key in ("head_start_ray_commands", "worker_start_ray_commands")},
}


class NodeGroup(NamedTuple):
    """Nodes of one kind: what each has, how many of them may run at once, and which machine of a cloud each is."""

    name: str
    cpus: float
    gpus: float
    most: int
    machine: str | None = None
    spot: bool = False


@dataclass(frozen=True)
class ClusterFile:
    """The file of a Ray cluster that starts and stops nodes as trials come and go.

    Source: docs.ray.io, "Cluster YAML Configuration Options"; KubeRay's RayCluster and RayJob.
    """

    path: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        """What the file says. Raises ValueError if it does not describe a cluster."""
        import yaml

        try:
            content = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"Cannot read the cluster file {self.path}: {error.strerror}. Check the path.") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(
                f"A cluster file must be valid YAML, got {self.path}: {' '.join(str(error).split())}."
            ) from error
        if not isinstance(content, dict) or not (
            "available_node_types" in content or content.get("kind") in KUBERNETES_KINDS
        ):
            raise ValueError(
                f"A cluster file has Ray's available_node_types, or is a RayCluster or RayJob of KubeRay, got "
                f"{self.path}, which is neither. Start from one in cluster/."
            )
        name = content.get("cluster_name", "default")
        if not is_file_name(name):
            raise ValueError(
                f"cluster_name becomes the name of a file: letters, digits, spaces and _.+-, got {name!r} "
                f"in {self.path}. Rename it."
            )
        return content

    @cached_property
    def ray_config(self) -> dict[str, Any]:
        """The content of Ray's format with defaults filled in. Raises ValueError for what the installed Ray refuses."""
        import jsonschema
        from ray.autoscaler._private.util import prepare_config, validate_config

        # it warns of empty fields in its own defaults
        logging.getLogger("ray.autoscaler._private.util").setLevel(logging.ERROR)
        try:
            prepared: dict[str, Any] = prepare_config(
                {**UNUSED_DEFAULTS, **self.content} if self.is_local else self.content
            )
            validate_config(prepared)
        except jsonschema.ValidationError as error:
            where = ".".join(map(str, error.absolute_path)) or "the top"
            raise ValueError(
                f"Ray rejects the cluster file {self.path} at {where}: {error.message}. Correct that line; see the "
                "examples in cluster/."
            ) from error
        except (ValueError, KeyError, RuntimeError) as error:
            raise ValueError(
                f"Ray rejects the cluster file {self.path}: {str(error).rstrip('.')}. Correct it; see the examples in "
                "cluster/."
            ) from error
        return prepared

    @property
    def provider(self) -> str:
        """Who has the nodes: aws, gcp, ..., kubernetes, or local."""
        if "kind" in self.content:
            return "kubernetes"
        return "local" if self.is_local else str(self.content.get("provider", {}).get("type"))

    @property
    def node_groups(self) -> tuple[NodeGroup, ...]:
        """The head, then the kinds of workers, as the file says and without asking Ray."""
        return tuple(self._read_kubernetes_groups() if "kind" in self.content else self._read_ray_groups(self.content))

    @property
    def max_workers(self) -> int:
        """How many workers may run at once, of all kinds together."""
        workers = sum(kind.most for kind in self.node_groups[1:])
        return (
            workers
            if "kind" in self.content
            else min(workers, int(self.content.get("max_workers", DEFAULT_MAX_WORKERS)))
        )

    @property
    def idle_hours(self) -> float:
        """How long a node without work is kept."""
        if "kind" in self.content:
            options = self._find_kuberay_cluster().get("autoscalerOptions") or {}
            return float(options.get("idleTimeoutSeconds", 60)) / 3600
        return float(self.content.get("idle_timeout_minutes", 5)) / 60

    @property
    def is_local(self) -> bool:
        """Whether its nodes are processes on this machine."""
        return str(self.content.get("provider", {}).get("module", "")).endswith(LOCAL_PROVIDER)

    @property
    def capacity(self) -> Capacity:
        """What the cluster has when every node is up that it may start: the head, and the largest workers."""
        head, *workers = (
            self._read_kubernetes_groups() if "kind" in self.content else self._read_ray_groups(self.ray_config)
        )
        total = sum(kind.most for kind in workers)
        most = total if "kind" in self.content else min(total, int(self.ray_config["max_workers"]))
        return Capacity(
            cpus=head.cpus + _sum_largest([(kind.cpus, kind.most) for kind in workers], most),
            gpus=head.gpus + _sum_largest([(kind.gpus, kind.most) for kind in workers], most),
            node_cpus=max(kind.cpus for kind in (head, *workers) if kind.most),
            node_gpus=max(kind.gpus for kind in (head, *workers) if kind.most),
            nodes=1 if self.is_local else 1 + most,  # of one machine, all reach its disk
        )

    def _read_ray_groups(self, content: dict[str, Any]) -> list[NodeGroup]:
        """The head, then the kinds of workers, of a content in Ray's format."""
        types, head = dict(content["available_node_types"]), content.get("head_node_type")
        if head not in types:
            raise ValueError(
                f"A cluster has a head_node_type among its available_node_types ({', '.join(types)}), got {head!r} in "
                f"{self.path}."
            )
        nodes = []
        for name, kind in {head: types.pop(head), **types}.items():
            most = 1 if name == head else int(kind.get("max_workers", content.get("max_workers", DEFAULT_MAX_WORKERS)))
            resources, config = kind.get("resources") or {}, kind.get("node_config") or {}
            cpus, gpus = float(resources.get("CPU", 0)), float(resources.get("GPU", 0))
            nodes.append(
                NodeGroup(
                    name, cpus, gpus, most, config.get("InstanceType", config.get("machineType")), _is_spot(config)
                )
            )
        return nodes

    def _find_kuberay_cluster(self) -> dict[str, Any]:
        """KubeRay's description of the cluster, also within a job's."""
        spec: dict[str, Any] = self.content["spec"]
        return spec["rayClusterSpec"] if self.content["kind"] == "RayJob" else spec

    def _read_kubernetes_groups(self) -> list[NodeGroup]:
        """The head, then the groups of workers."""
        cluster, nodes = self._find_kuberay_cluster(), []
        for group in (cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", ())):
            limits = group["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
            cpus = group.get("rayStartParams", {}).get("num-cpus", limits.get("cpu", 0))
            most = int(group.get("maxReplicas", 1)) * int(group.get("numOfHosts", 1))
            nodes.append(
                NodeGroup(
                    group.get("groupName", "head"), _parse_cpus(cpus), float(limits.get("nvidia.com/gpu", 0)), most
                )
            )
        return nodes


def _is_spot(config: dict[str, Any]) -> bool:
    """Whether a cloud may take the machine back: in the words of AWS or of Google."""
    scheduling = config.get("scheduling") or ()
    return config.get("InstanceMarketOptions", {}).get("MarketType") == "spot" or any(
        item.get("provisioningModel") == "SPOT" or item.get("preemptible") for item in scheduling
    )


def _parse_cpus(text: str | float) -> float:
    """Kubernetes counts in CPUs, or in thousandths: 500m."""
    return float(str(text).removesuffix("m")) / (1000 if str(text).endswith("m") else 1)


def _sum_largest(sizes: list[tuple[float, int]], nodes: int) -> float:
    """The most of a resource that this many nodes have together: the largest first."""
    total = 0.0
    for size, count in sorted(sizes, reverse=True):
        total += size * min(nodes, count)
        nodes -= min(nodes, count)
    return total
