import json
from pathlib import Path

import pytest
import yaml

from equistudy.execution.cluster import Capacity
from equistudy.execution.cluster_file import ClusterFile

GPUS = {
    "cluster_name": "c",
    "max_workers": 3,
    "provider": {"type": "aws", "region": "eu-west-1"},
    "auth": {"ssh_user": "ubuntu"},
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 2}, "node_config": {}},
        "small": {"resources": {"CPU": 8, "GPU": 1}, "node_config": {}, "max_workers": 2},
        "large": {"resources": {"CPU": 32, "GPU": 4}, "node_config": {}, "max_workers": 2},
    },
}


def written(tmp_path: Path, content: object) -> ClusterFile:
    path = tmp_path / "cluster.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return ClusterFile(path)


def test_the_local_cluster_scales_from_nothing_to_two_nodes(root: Path) -> None:
    file = ClusterFile(root / "cluster" / "local.yaml")
    assert file.is_local
    assert file.capacity == Capacity(cpus=2, gpus=0, node_cpus=1, node_gpus=0, nodes=1)
    workers = file.ray_config["available_node_types"]["worker"]
    assert (workers["min_workers"], workers["max_workers"]) == (0, 2)


def test_the_capacity_is_that_of_all_nodes_that_may_start(tmp_path: Path) -> None:
    file = written(tmp_path, GPUS)
    assert not file.is_local
    # three workers at most: for each resource, as many large ones as are allowed
    assert file.capacity == Capacity(cpus=2 + 32 + 32 + 8, gpus=4 + 4 + 1, node_cpus=32, node_gpus=4, nodes=4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", r"A cluster file must be valid YAML, got .*cluster.yaml: while parsing"),
        ("- a", r"has Ray's available_node_types, or .* got .*cluster.yaml, which is neither. Start from one"),
        (
            {**GPUS, "max_worker": 3},
            r"Ray rejects the cluster file .*cluster.yaml at the top: .*'max_worker' was unexpected",
        ),
        (
            {**GPUS, "max_workers": "3"},
            r"Ray rejects the cluster file .*cluster.yaml at max_workers: '3' is not of type 'integer'",
        ),
        ({**GPUS, "head_node_type": "heads"}, r"Ray rejects the cluster file .*cluster.yaml: .*head_node_type"),
    ],
)
def test_what_ray_would_refuse_is_refused_at_once(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = written(tmp_path, content).capacity


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Cannot read the cluster file .*none.yaml: No such file .* Check the path"):
        _ = ClusterFile(tmp_path / "none.yaml").capacity


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        ValueError, match=r"must be valid YAML, got .*cluster\.yaml: 'utf-8' codec can't decode byte 0xff"
    ):
        _ = ClusterFile(tmp_path / "cluster.yaml").capacity


@pytest.mark.parametrize("name", ["../../evil", "/etc/x", "..", "", 3, "a\nb"])
def test_the_name_of_a_cluster_stays_in_its_folder(name: object, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(json.dumps({"cluster_name": name, "available_node_types": {}}))
    with pytest.raises(ValueError, match=r"cluster_name becomes the name of a file: .* Rename it"):
        _ = ClusterFile(path).content
