"""The files in cluster/ are what Ray, Kubernetes, bash and Docker would take, as far as that can be told from here."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from equistudy.execution.cluster import Capacity
from equistudy.execution.cluster_file import ClusterFile

CLUSTER = Path(__file__).parents[1] / "cluster"
SCHEMA = CLUSTER.parents[1] / "shared" / "data" / "kuberay" / "ray.io_rayjobs.yaml"


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_clouds_scale_from_a_head_alone_to_eight_nodes_with_a_gpu(name: str) -> None:
    file = ClusterFile(CLUSTER / f"{name}.yaml")
    assert file.capacity == Capacity(cpus=64, gpus=8, node_cpus=8, node_gpus=1, nodes=9)
    types = file.ray_config["available_node_types"]
    assert {kind["min_workers"] for node, kind in types.items() if node != "head"} == {0}
    assert file.content["idle_timeout_minutes"] >= 5


def test_kubernetes_scales_as_far() -> None:
    assert ClusterFile(CLUSTER / "kuberay.yaml").capacity == Capacity(64, 8, 8, 1, nodes=9)


def strict(schema: Any) -> Any:
    """The schema with unknown fields refused, which Kubernetes drops in silence."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    free = found.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in found
    return found if "properties" not in found or free else {**found, "additionalProperties": False}


@pytest.fixture(scope="module")
def ray_job() -> Draft202012Validator:
    if not SCHEMA.exists():
        pytest.skip(f"KubeRay's definition of a RayJob is not at {SCHEMA}")
    versions = yaml.safe_load(SCHEMA.read_text())["spec"]["versions"]
    schema = next(version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1")
    for field in ("apiVersion", "kind", "metadata"):  # checked by Kubernetes itself
        schema["properties"][field] = {}
    return Draft202012Validator(strict(schema))


@pytest.mark.slow
def test_kuberay_takes_the_job(ray_job: Draft202012Validator) -> None:
    manifest = yaml.safe_load((CLUSTER / "kuberay.yaml").read_text())
    assert [error.message for error in ray_job.iter_errors(manifest)] == []
    manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 8
    assert any("'maxReplica' was unexpected" in error.message for error in ray_job.iter_errors(manifest))


def test_the_script_for_slurm_is_bash_and_asks_for_what_it_needs() -> None:
    script = CLUSTER / "slurm.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    without = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False)
    assert without.returncode != 0
    assert "the study, such as studies/capacity.py" in without.stderr


def test_the_image_copies_what_is_there_and_does_not_run_as_root() -> None:
    lines = (CLUSTER / "Dockerfile").read_text().splitlines()
    copied = [line.split()[2:-1] for line in lines if line.startswith("COPY")]
    assert copied
    for sources in copied:
        assert all((CLUSTER.parent / source).exists() for source in sources), sources
    assert [line.split()[1] for line in lines if line.startswith("USER")] == ["ray"]


def test_no_file_holds_a_secret_or_opens_a_port_to_the_world() -> None:
    secret = re.compile(
        r"AKIA[0-9A-Z]{16}|-----BEGIN|(password|secret_access_key|token)\s*[:=]\s*['\"]?\w", re.IGNORECASE
    )
    for path in CLUSTER.iterdir():
        text = path.read_text()
        assert "0.0.0.0" not in text, path
        assert not [line for line in text.splitlines() if secret.search(line) and "$(" not in line], path
