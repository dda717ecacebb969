from pathlib import Path

import pytest

from equistudy.launch.steps import CommandStep, LaunchError, Secret
from equistudy.launch.targets import CloudTarget, KubernetesTarget, LocalTarget, SlurmTarget, load_target

CLUSTER = Path(__file__).parents[2] / "cluster"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aws.yaml", CloudTarget),
        ("gcp.yaml", CloudTarget),
        ("kuberay.yaml", KubernetesTarget),
        ("local.yaml", LocalTarget),
        ("slurm.sh", SlurmTarget),
    ],
)
def test_every_file_of_a_cluster_is_known(name: str, kind: type) -> None:
    assert isinstance(load_target(CLUSTER / name), kind)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prices.yaml", r"has Ray's available_node_types, or is a RayCluster or RayJob .* got .*prices.yaml, which is"),
        ("nothing.yaml", r"Cannot read the cluster file .*nothing.yaml: No such file"),
        ("nothing.sh", r"The cluster file .*nothing.sh does not exist"),
    ],
)
def test_what_is_no_cluster_is_told(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_target(CLUSTER / name)


def test_the_token_of_a_kubernetes_cluster_is_read_from_its_secret() -> None:
    target = load_target(CLUSTER / "kuberay.yaml")
    assert isinstance(target, KubernetesTarget)
    asked: list[CommandStep] = []

    def run(step: CommandStep) -> str:
        asked.append(step)
        return "c2VjcmV0\n"

    assert target.build_environment(run) == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": Secret("secret")}
    assert str(asked[0]) == "kubectl get secret capacity -o 'jsonpath={.data.auth_token}'"


def test_a_local_cluster_that_is_down_has_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    target = load_target(CLUSTER / "local.yaml")
    assert isinstance(target, LocalTarget)
    with pytest.raises(LaunchError, match=r"local.yaml is not running. Start it with: python -m equistudy launch"):
        target.build_environment(lambda step: "")
