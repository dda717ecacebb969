import math
from pathlib import Path

import pytest
import yaml

from equistudy.execution.cluster import Resources
from equistudy.execution.cluster_file import ClusterFile
from equistudy.launch.machines import (
    NODE_START_HOURS,
    PriceTable,
    check_machine_sizes,
    check_machine_types,
    estimate_costs,
)

CLUSTER = Path(__file__).parents[2] / "cluster"


def edited(tmp_path: Path, name: str, *replacements: tuple[str, str]) -> ClusterFile:
    text = (CLUSTER / f"{name}.yaml").read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / f"{name}.yaml").write_text(text)
    return ClusterFile(tmp_path / f"{name}.yaml")


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_every_machine_of_a_cloud_file_exists_has_a_price_and_the_size_it_promises(name: str) -> None:
    file, prices = ClusterFile(CLUSTER / f"{name}.yaml"), PriceTable.load(CLUSTER / "prices.yaml")
    check_machine_types(file)
    assert check_machine_sizes(file, prices) == []
    assert all(prices.get_machine(kind.machine).on_demand > 0 for kind in file.node_groups if kind.machine)
    assert [kind.spot for kind in file.node_groups] == [False, True, False]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("aws", "g6.2xlarge", "g6.2xlargee", r"that aws has, got 'g6.2xlargee' for spot in .*aws.yaml. .*g6.2xlarge"),
        ("gcp", "g2-standard-8", "g2_standard_8", r"that gcp has, got 'g2_standard_8' for spot .*like g2-standard-8"),
    ],
)
def test_a_machine_that_does_not_exist_is_refused(name: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        check_machine_types(edited(tmp_path, name, (old, new)))


def test_a_node_that_promises_more_than_its_machine_has_is_told(tmp_path: Path) -> None:
    file = edited(tmp_path, "aws", ("resources: {CPU: 8, GPU: 1}", "resources: {CPU: 8, GPU: 4}"))
    told = check_machine_sizes(file, PriceTable.load(CLUSTER / "prices.yaml"))
    assert told[0].startswith("spot promises 8 CPUs and 4 GPUs, and g6.2xlarge has 8 and 1: trials would wait")


def test_the_costs_are_those_of_a_hand_count() -> None:
    file, prices = ClusterFile(CLUSTER / "aws.yaml"), PriceTable.load(CLUSTER / "prices.yaml")
    spot, on_demand = estimate_costs([3600.0] * 12, Resources(), file, prices)
    # one GPU a node, so twelve hours on eight nodes are two rounds; on two nodes six
    assert (spot.nodes, spot.concurrent, on_demand.nodes, on_demand.concurrent) == (8, 8, 2, 2)
    assert spot.wall_hours == pytest.approx(2 + NODE_START_HOURS)
    assert on_demand.wall_hours == pytest.approx(6 + NODE_START_HOURS)
    assert spot.gpu_hours == on_demand.gpu_hours == pytest.approx(12)
    idle = 10 / 60
    head = prices.get_machine("m7i.large").on_demand
    machine = prices.get_machine("g6.2xlarge")
    assert machine.spot is not None
    hours = 2 + NODE_START_HOURS + idle
    assert spot.price == pytest.approx(8 * hours * machine.spot + hours * head)
    hours = 6 + NODE_START_HOURS + idle
    assert on_demand.price == pytest.approx(2 * hours * machine.on_demand + hours * head)


def test_fractions_of_a_gpu_and_several_workers_count() -> None:
    file = ClusterFile(CLUSTER / "aws.yaml")
    shared, _ = estimate_costs([60.0] * 100, Resources(gpus=0.25), file, None)
    assert (shared.concurrent, shared.nodes, shared.price) == (32, 8, None)
    assert shared.wall_hours == pytest.approx(NODE_START_HOURS + 4 * 60 / 3600)
    assert estimate_costs([60.0] * 100, Resources(pack=4), file, None)[0] == shared
    spread, _ = estimate_costs([60.0], Resources(workers=2), file, None)
    assert (spread.nodes, spread.concurrent) == (2, 1)
    assert spread.gpu_hours == pytest.approx(120 / 3600)


def test_the_longest_trials_go_first() -> None:
    spot, *_ = estimate_costs([10.0, 10.0, 20.0], Resources(max_concurrent=2), ClusterFile(CLUSTER / "aws.yaml"), None)
    assert math.isclose(spot.wall_hours - NODE_START_HOURS, 20 / 3600)


def test_what_fits_on_no_node_is_told() -> None:
    message = r"must fit on a node of .*aws.yaml, got a request for 16 CPUs and 0 GPUs .*8 spot with 8 CPUs and 1 GPUs"
    with pytest.raises(ValueError, match=message):
        estimate_costs([1.0], Resources(cpus=16, gpus=0), ClusterFile(CLUSTER / "aws.yaml"), None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"Cannot read the price table .*prices.yaml: No such file .*--prices FILE"),
        ("machines: {}", r"has a currency and machines with .* got .*prices.yaml: KeyError: 'currency'"),
        ("{currency: USD, machines: {a: {cpus: x, gpus: 0, on_demand: 1}}}", r"prices.yaml: ValueError: could not"),
        ("a: [", r"prices.yaml: ParserError"),
    ],
)
def test_a_table_that_is_none_is_told(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        PriceTable.load(path)


def test_a_machine_without_a_price_is_told(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(
        yaml.safe_dump({"currency": "EUR", "machines": {"g6.xlarge": {"cpus": 4, "gpus": 1, "on_demand": 1}}})
    )
    with pytest.raises(
        ValueError, match=r"prices.yaml has no price for the machine type g6.2xlarge.*g6.xlarge.* Add a line"
    ):
        PriceTable.load(path).get_machine("g6.2xlarge")
    assert PriceTable.load(path).get_machine("g6.xlarge").hourly_price(spot=True) == 1
