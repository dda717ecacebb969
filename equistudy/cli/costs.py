"""What the rest of a study costs on a cluster: hours of GPUs and nodes, wall time, money."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from equistudy.cli.display import format_duration
from equistudy.cli.options import ResourceOptions
from equistudy.execution.cluster import Resources
from equistudy.execution.cluster_file import ClusterFile
from equistudy.launch.machines import CostEstimate, PriceTable, estimate_costs
from equistudy.launch.preflight import find_price_table
from equistudy.running.plan import PlannedTrial, PlanState, StudyPlan

__all__ = ["Costs", "parse_costs"]

REMAINING_STATES = (PlanState.MISSING, PlanState.UNMEASURED)


class Costs(NamedTuple):
    """A cluster's file, perhaps a price table of its own, and what each trial gets."""

    cluster: Path
    prices: Path | None
    resources: Resources

    def format_lines(self, made: StudyPlan) -> list[str]:
        """For people: one line for each kind of node."""
        seconds = _list_remaining_seconds(made)
        if not seconds:
            return []
        table = self._load_price_table()
        lines = [f"On {self.cluster}, at the pace of the machine that the trials were timed on:"]
        lines += [
            _format_estimate(row, table)
            for row in estimate_costs(seconds, self.resources, ClusterFile(self.cluster), table)
        ]
        if table is not None:
            lines.append(f"Prices of {table.path}, with the head, the start and the idle time of every node.")
        return lines

    def build_record(self, made: StudyPlan) -> dict[str, Any]:
        """The same as plain data; without kinds where no trial is left or no cost is known."""
        seconds, table = _list_remaining_seconds(made), self._load_price_table()
        rows = estimate_costs(seconds, self.resources, ClusterFile(self.cluster), table) if seconds else []
        return {"currency": table.currency if table else None, "kinds": [asdict(row) for row in rows]}

    def _load_price_table(self) -> PriceTable | None:
        """The table that was named, or the one beside the cluster's file, if there is one."""
        path = self.prices or find_price_table(self.cluster)
        return PriceTable.load(path) if self.prices or path.is_file() else None


def _list_remaining_seconds(made: StudyPlan) -> list[float]:
    """What each trial takes that is left; none where nothing tells."""
    left: Sequence[PlannedTrial] = [trial for trial in made.trials if trial.state in REMAINING_STATES]
    each = [made.estimate_seconds([trial]) for trial in left]
    return [seconds for seconds in each if seconds is not None]


def _format_estimate(row: CostEstimate, table: PriceTable | None) -> str:
    money = "" if row.price is None or table is None else f", about {row.price:.2f} {table.currency}"
    return (
        f"    {row.kind}: {row.nodes} x {row.machine or 'node'}, {row.concurrent} trials at once, "
        f"{format_duration(3600 * row.wall_hours)}, {row.gpu_hours:.2f} GPU-hours, {row.node_hours:.2f} "
        f"node-hours{money}"
    )


def parse_costs(cluster: Path | None, prices: Path | None, options: ResourceOptions) -> Costs | None:
    """The costs that the options of `plan` ask for. Raises ValueError for prices without a cluster."""
    if cluster is None:
        if prices is not None:
            raise ValueError("--prices needs --cluster, got --prices alone. Add --cluster FILE.")
        return None
    _ = ClusterFile(cluster).content  # refused now, not only once there are trials whose cost can be converted
    return Costs(cluster, prices, options.build_resources())
