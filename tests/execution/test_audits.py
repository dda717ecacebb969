"""Audits of many networks: each its own record, whatever happens to the others."""

import os
from dataclasses import dataclass

import pytest

from equistudy.execution.audits import audit_all
from equistudy.execution.cluster import Capacity
from equistudy.models.model import Model, Module
from equistudy.models.resnet import ResNet


@dataclass(frozen=True)
class Dies(Model):
    """A network whose making ends the process."""

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        os._exit(7)


@dataclass(frozen=True)
class Raises(Model):
    """A network whose making fails in an unexpected way."""

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        raise KeyError("weights")


@pytest.mark.slow
def test_one_crash_takes_nothing_else_down(ray_capacity: Capacity) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["Dies"]))
    models = [("small", ResNet(8, 2)), ("dies", Dies()), ("raises", Raises()), ("tiny", ResNet(8, 2))]
    found = dict(audit_all(models, 8, None))
    assert sorted(found) == [0, 1, 2, 3]
    assert [found[i]["model"] for i in range(4)] == ["small", "dies", "raises", "tiny"]
    assert found[0]["exact"] == found[3]["exact"]
    assert found[0]["nearest"] == {"below": 5, "above": 9} or found[0]["nearest"]["above"] == 9
    assert "error" in found[1]
    assert found[2]["error"] == "KeyError: 'weights'"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # timm's own
def test_a_pattern_is_audited_with_an_entry_for_each_name(ray_capacity: Capacity) -> None:
    from equistudy.cli.audit import run_audit
    from equistudy.networks.timm_network import match_architectures

    told: list[str] = []
    records = run_audit("resnet1[048]t", 64, None, None, told.append)
    assert [record["model"] for record in records] == match_architectures("resnet1[048]t") == ["resnet10t", "resnet14t"]
    assert len(told) == 2
    assert all(record["nearest"] == {"below": None, "above": None} for record in records)
