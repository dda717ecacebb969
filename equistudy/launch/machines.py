"""What cloud machines are: whether a provider has a type, what it has inside, and what an hour costs."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equistudy.execution.cluster import Resources
from equistudy.execution.cluster_file import ClusterFile, NodeGroup
from equistudy.study.design import suggest_names

__all__ = ["CostEstimate", "Machine", "PriceTable", "estimate_costs"]

NODE_START_HOURS = 5 / 60  # of a node, before it trains
GOOGLE_MACHINE_TYPE = re.compile(
    r"(a2|a3|a4|c2|c2d|c3|c3d|c4|c4a|e2|g2|m1|m3|n1|n2|n2d|n4|t2d)-[a-z]+(-\d+g)?(-\d+)?(-\d+-\d+)?"
)


@dataclass(frozen=True)
class Machine:
    """A type of machine as the price table has it; prices in the table's currency for one hour."""

    name: str
    cpus: float
    gpus: float
    on_demand: float
    spot: float | None

    def hourly_price(self, spot: bool) -> float:
        """One hour; without a spot price that of an ordinary machine."""
        return self.spot if spot and self.spot is not None else self.on_demand


@dataclass(frozen=True)
class PriceTable:
    """The types of machines by name, from a YAML file that the user keeps up to date."""

    path: Path
    currency: str
    machines: Mapping[str, Machine]

    @classmethod
    def load(cls, path: Path) -> "PriceTable":
        """Raises ValueError for a file that is absent or is no such table."""
        import yaml

        try:
            content = yaml.safe_load(path.read_text())
            machines = {name: _parse_machine(name, row) for name, row in content["machines"].items()}
            return cls(path, str(content["currency"]), machines)
        except OSError as error:
            raise ValueError(
                f"Cannot read the price table {path}: {error.strerror}. Copy cluster/prices.yaml there, "
                "or name one: --prices FILE"
            ) from error
        except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"A price table has a currency and machines with cpus, gpus, on_demand and perhaps spot, got {path}: "
                f"{type(error).__name__}: {' '.join(str(error).split())}."
            ) from error

    def get_machine(self, name: str) -> Machine:
        """A type of machine. Raises ValueError for one that the table lacks."""
        if name not in self.machines:
            raise ValueError(
                f"{self.path} has no price for the machine type {name}. "
                f"{suggest_names(name, self.machines)} Add a line for it."
            )
        return self.machines[name]


def _parse_machine(name: str, row: Mapping[str, Any]) -> Machine:
    spot = row.get("spot")
    return Machine(
        name, float(row["cpus"]), float(row["gpus"]), float(row["on_demand"]), None if spot is None else float(spot)
    )


def check_machine_types(file: ClusterFile) -> None:
    """Raises ValueError for a type of machine that the provider does not have, as far as it can be told offline."""
    kind = file.provider
    for nodes in file.node_groups:
        if nodes.machine is None:
            continue
        known = _list_amazon_types() if kind == "aws" else None
        wrong = (
            nodes.machine not in known if known else kind == "gcp" and not GOOGLE_MACHINE_TYPE.fullmatch(nodes.machine)
        )
        if wrong:
            near = suggest_names(nodes.machine, known) if known else "Types look like g2-standard-8 or a2-highgpu-1g."
            raise ValueError(
                f"Every node needs a type of machine that {kind} has, got {nodes.machine!r} for {nodes.name} in "
                f"{file.path}. {near}"
            )


def _list_amazon_types() -> tuple[str, ...]:
    """All types that the installed SDK knows; none without the SDK."""
    try:
        import botocore.session
    except ImportError:
        return ()
    service = botocore.session.get_session().get_service_model("ec2")
    return tuple(service.shape_for("InstanceType").enum)


def check_machine_sizes(file: ClusterFile, prices: PriceTable) -> list[str]:
    """Where the file promises other resources than its machines have, as far as the table knows them."""
    told = []
    for nodes in file.node_groups[1:]:
        machine = prices.machines.get(nodes.machine or "")
        if machine and (nodes.cpus > machine.cpus or nodes.gpus != machine.gpus):
            told.append(
                f"{nodes.name} promises {nodes.cpus:g} CPUs and {nodes.gpus:g} GPUs, and {machine.name} has "
                f"{machine.cpus:g} and {machine.gpus:g}: trials would wait forever, or GPUs stand idle"
            )
    return told


@dataclass(frozen=True)
class CostEstimate:
    """What the rest of a study takes on one kind of node. Hours of GPUs, of wall time, and of all nodes together."""

    kind: str
    machine: str | None
    nodes: int
    concurrent: int
    gpu_hours: float
    wall_hours: float
    node_hours: float
    price: float | None


def estimate_costs(
    seconds: Sequence[float], resources: Resources, file: ClusterFile, prices: PriceTable | None
) -> list[CostEstimate]:
    """For each kind of worker: trials of these seconds, distributed over as many nodes as may start.

    The longest trial is handed out first; a node costs from its start to the end of its idle time, the head all along.
    """
    head, *workers = file.node_groups
    found = []
    for kind in workers:
        gpus = min(1.0, kind.gpus) if resources.gpus is None else resources.gpus
        per_node = kind.cpus // resources.cpus
        per_node = min(per_node, int(kind.gpus / gpus + 1e-9)) if gpus else per_node
        most = min(kind.most, file.max_workers)
        slots = int(per_node * most // resources.workers)
        if slots < 1:
            continue
        concurrent = min(slots, len(seconds), resources.max_concurrent or slots)
        nodes = min(most, math.ceil(concurrent * resources.workers / per_node))
        wall = NODE_START_HOURS + _compute_makespan(seconds, concurrent) / 3600
        node_hours = nodes * (wall + file.idle_hours)
        price = None
        if prices is not None and kind.machine is not None and head.machine is not None:
            price = node_hours * prices.get_machine(kind.machine).hourly_price(kind.spot)
            price += (wall + file.idle_hours) * prices.get_machine(head.machine).hourly_price(head.spot)
        gpu_hours = sum(seconds) / 3600 * gpus * resources.workers
        found.append(CostEstimate(kind.name, kind.machine, nodes, concurrent, gpu_hours, wall, node_hours, price))
    if not found:
        raise ValueError(
            f"A trial must fit on a node of {file.path}, got a request for {resources.cpus:g} CPUs and "
            f"{resources.gpus or 0:g} GPUs for each of {resources.workers} workers, and "
            f"{_describe_resources(workers)}. Lower "
            "--cpus-per-trial, --gpus-per-trial or --workers-per-trial."
        )
    return found


def _describe_resources(workers: Sequence[NodeGroup]) -> str:
    return ", ".join(f"{kind.most} {kind.name} with {kind.cpus:g} CPUs and {kind.gpus:g} GPUs" for kind in workers)


def _compute_makespan(seconds: Sequence[float], slots: int) -> float:
    """When the last slot is free, with the longest trials first."""
    import heapq

    ends = [0.0] * slots
    for length in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)
