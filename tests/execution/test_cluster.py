import socket
from pathlib import Path

import pytest

from equistudy.execution import cluster
from equistudy.execution.cluster import (
    Capacity,
    Resources,
    _check_reachable,
    connect_to_ray,
    find_blind_nodes,
    fit_resources,
)

LAPTOP = Capacity(cpus=2, gpus=0, node_cpus=2, node_gpus=0, nodes=1)
POD = Capacity(cpus=64, gpus=8, node_cpus=32, node_gpus=4, nodes=2)


@pytest.mark.parametrize(
    ("resources", "capacity", "gpus", "concurrent"),
    [
        (Resources(), LAPTOP, 0, 2),
        (Resources(cpus=2), LAPTOP, 0, 1),
        (Resources(cpus=0.5), LAPTOP, 0, 4),
        (Resources(workers=2), LAPTOP, 0, 1),
        (Resources(max_concurrent=1), LAPTOP, 0, 1),
        (Resources(), POD, 1, 8),
        (Resources(gpus=0.25), POD, 0.25, 32),
        (Resources(gpus=0.3), POD, 0.3, 26),
        (Resources(workers=4), POD, 1, 2),
        (Resources(cpus=16), POD, 1, 4),
        (Resources(gpus=0.0), POD, 0, 64),
        (Resources(pack=4), POD, 0.25, 32),
        (Resources(pack=3), POD, 0.3333, 24),
        (Resources(cpus=4, pack=4), POD, 0.25, 16),
        (Resources(max_concurrent=5, pack=4), POD, 0.25, 5),
    ],
)
def test_open_values_are_chosen_so_that_nothing_waits(
    resources: Resources, capacity: Capacity, gpus: float, concurrent: int
) -> None:
    chosen = fit_resources(resources, capacity)
    assert chosen.gpus == gpus
    assert chosen.max_concurrent == concurrent


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(cpus=3), r"must fit on one node, got a request for 3 CPUs.*with 2. Lower --cpus-per-trial"),
        (Resources(gpus=1.0), r"got a request for 1 GPUs and a largest node with 0. Lower --gpus-per-trial"),
        (Resources(pack=4), r"needs a node with a GPU, got pack=4 and no GPU\. Leave out --pack; .*--cpus-per"),
        (Resources(workers=3), r"got 3 workers of 1 CPUs and 0 GPUs each, and room for 2. Lower --workers-per-trial"),
    ],
)
def test_a_request_that_can_never_be_met_is_refused_with_the_numbers(resources: Resources, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_resources(resources, LAPTOP)


def test_so_many_as_are_packed_fit_on_a_gpu_and_no_more() -> None:
    for pack in range(1, cluster.MAX_PACKED + 1):
        share = Resources(pack=pack).gpus
        assert share is not None
        assert int(1e4 * share + 0.5) * pack <= 1e4 < int(1e4 * share + 0.5) * (pack + 1)  # as Ray counts
        assert fit_resources(Resources(pack=pack), Capacity(256, 1, 256, 1, 1)).max_concurrent == pack


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cpus": 0.0}, "A trial needs cpus > 0 and gpus >= 0, got cpus=0, gpus=None"),
        ({"gpus": -1.0}, r"got cpus=1, gpus=-1"),
        ({"workers": 0}, "at least one worker, got workers=0"),
        ({"pack": 0}, r"pack must be between 1 and 100 trials per GPU, got pack=0\. Try 4"),
        ({"pack": 101}, r"pack must be between 1 and 100 trials per GPU, got pack=101"),
        ({"pack": 4, "gpus": 0.5}, r"got pack=4 and gpus=0\.5\. Leave out --pack or --gpus-per-trial"),
        (
            {"pack": 4, "workers": 2},
            r"several workers per trial, got pack=4 and workers=2\. Leave out --pack or --workers",
        ),
        ({"max_concurrent": 0}, "max_concurrent must be at least 1, got max_concurrent=0"),
    ],
)
def test_impossible_resources_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resources(**values)  # type: ignore[arg-type]


def test_threads_are_whole_cpus() -> None:
    assert [Resources(cpus=cpus).threads for cpus in (0.5, 1.0, 2.0, 2.5)] == [1, 1, 2, 2]


def test_ray_starts_here_with_what_was_asked_for(ray_capacity: Capacity) -> None:
    assert ray_capacity == Capacity(cpus=2, gpus=0, node_cpus=2, node_gpus=0, nodes=1)
    with connect_to_ray(None) as again:  # joins the one that runs, and leaves it running
        assert again == ray_capacity


def test_an_address_where_nothing_answers_is_refused_at_once() -> None:
    with socket.socket() as bound:  # a port that is taken, and on which nobody listens
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ValueError, match=rf"No Ray cluster answers at '{address}'. Start one \(ray start --head\)"):
            _check_reachable(address)
    _check_reachable(None)
    _check_reachable("auto")


@pytest.mark.usefixtures("ray_capacity")
def test_every_node_looks_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0)
    path = tmp_path / "reach"
    path.write_bytes(b"here")
    assert find_blind_nodes(path, b"here") == (1, [])
    seeing, blind = find_blind_nodes(path, b"elsewhere")
    assert (seeing, len(blind)) == (0, 1)


@pytest.mark.parametrize(("failures", "starts"), [(2, 3), (9, 3)])
def test_a_ray_that_starts_too_late_is_started_again(
    failures: int, starts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    tries: list[dict[str, object]] = []

    def init(**options: object) -> None:
        tries.append(options)
        if len(tries) <= failures:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    if failures >= starts:
        with pytest.raises(Exception, match="timed out during startup"):
            cluster._initialise_ray({})
    else:
        cluster._initialise_ray({})
    assert len(tries) == starts
