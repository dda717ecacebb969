from typing import Any

import pytest

from equistudy.execution.cluster_monitor import ClusterMonitor, monitor_cluster


def node(name: str, cpus: float = 2.0, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "NodeManagerAddress": f"10.0.0.{name}", "Resources": {"CPU": cpus}}


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nodes_that_come_and_go_are_told_once() -> None:
    told: list[str] = []
    lookout = ClusterMonitor(told.append)
    lookout.check([node("1")], {}, {})
    assert told == []
    for _ in range(2):
        lookout.check([node("1"), {**node("2"), "Resources": {"CPU": 8.0, "GPU": 1.0}}], {}, {})
    assert told == ["A node has joined: 10.0.0.2 with 8 CPUs and 1 GPUs"]
    lookout.check([node("1", alive=False), node("2")], {}, {})
    assert told[1:] == ["A node is gone: 10.0.0.1 with 2 CPUs. Its trials start again from their checkpoints"]


def test_the_autoscaler_is_heard() -> None:
    told: list[str] = []
    report = {
        "pending_launches": {"spot": 2},
        "pending_nodes": [["10.0.0.3", "spot", "setting-up"], ["10.0.0.4", "on_demand", "waiting-for-ssh"]],
        "node_availability_summary": {
            "node_availabilities": {
                "spot": {
                    "is_available": False,
                    "unavailable_node_information": {"description": "VcpuLimitExceeded: 0 of G instances"},
                }
            }
        },
    }
    lookout = ClusterMonitor(told.append)
    for _ in range(2):
        lookout.check([node("1")], {"autoscaler_report": report}, {})
    assert told == [
        "Nodes are starting: 3 spot, 1 on_demand",
        "Nodes could not be started: spot: VcpuLimitExceeded: 0 of G instances. Raise the quota, or edit the cluster's "
        "file",
    ]


def test_what_waits_in_silence_is_told_with_the_numbers() -> None:
    told: list[str] = []
    clock = Time()
    lookout = ClusterMonitor(told.append, clock)
    group = {"bundles": [[{"CPU": 4.0, "GPU": 1.0}, 2]]}
    load = {"load_metrics_report": {"resource_demand": [[{"CPU": 1.0}, 3]], "pg_demand": [[group, 1]]}}
    lookout.check([node("1")], load, {"CPU": 2.0})
    clock.now = 21
    for _ in range(2):
        lookout.check([node("1")], load, {"CPU": 2.0})
    where = "free on 1 nodes: 2 CPU, 0 GPU"
    assert told == [f"No trial has made progress for 20 s: one is waiting for 4 CPU, 1 GPU; {where}"]
    lookout.note_progress()
    lookout.check([node("1")], load, {"CPU": 2.0})
    assert len(told) == 1


def test_processes_that_never_begin_end_the_run() -> None:
    clock = Time()
    lookout = ClusterMonitor(lambda text: None, clock)
    for now, unborn in ((0, 2), (500, 2), (501, 0), (502, 2), (1000, 2)):
        clock.now = now
        lookout.check([node("1")], {}, {}, unborn)
    assert lookout.stuck is None
    clock.now = 1103
    lookout.check([node("1")], {}, {}, 2)
    assert lookout.stuck is not None
    assert lookout.stuck.startswith("No trial could begin: none of 2 processes has started within 600 s, although")


@pytest.mark.usefixtures("ray_capacity")
def test_a_cluster_that_runs_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equistudy.execution.cluster_monitor.CHECK_SECONDS", 0.05)
    told: list[str] = []
    with monitor_cluster(told.append) as lookout:
        while lookout._nodes is None:
            lookout._said.get("lost")
        assert len(lookout._nodes) == 1
    assert told == []
