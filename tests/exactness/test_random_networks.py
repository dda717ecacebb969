"""500 random networks: the verdicts against moved filters alone, and the rules against both.

EQUISTUDY_RANDOM_NETWORKS=N audits N networks instead.
"""

import os
import warnings

import pytest
import torch

from equistudy.exactness.copies import randomise_weights
from equistudy.exactness.elements import element_names
from equistudy.exactness.judging import judge_network
from equistudy.exactness.trace import SymmetryTracer
from equistudy.groups.finite import DihedralGroup
from tests.exactness.random_networks import RandomNetwork, find_symmetries

COUNT, SHARDS = int(os.environ.get("EQUISTUDY_RANDOM_NETWORKS", "500")), 10
GROUP = DihedralGroup(4)
CLOSE, FAR = 1e-10, 1e-7


def find_kept_by_rules(network: RandomNetwork) -> tuple[set[str], bool]:
    """The elements that survive by the rules alone, and whether these cover the network."""
    tracer = SymmetryTracer(randomise_weights(network, 0), GROUP, 3)
    findings = tracer.find_breaking_layers(torch.randn(1, 3, network.size, network.size, dtype=torch.float64))
    kept = {row for row in GROUP.element_parameters if all(row in finding.survives for finding in findings)}
    return set(element_names(kept)), not tracer.uncovered


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_verdicts_are_those_of_moved_filters(shard: int) -> None:
    """No verdict differs; no rule claims too much, and hardly any too little, as lopsided windows may cancel."""
    wrong, too_bold, too_strict, covered = [], [], [], 0
    seeds = range(shard, COUNT, SHARDS)
    for seed in seeds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of padding='same', and of lazily chosen modes
            network = RandomNetwork(seed).eval()
            errors = find_symmetries(network)
            found, _ = judge_network(network, network.size)
            kept, is_covered = find_kept_by_rules(network)
        assert all(not CLOSE < error < FAR for error in errors.values()), (seed, errors)
        expected = {name for name, error in errors.items() if error < CLOSE}
        wrong += [seed] * (set(found.preserved_elements) != expected)
        covered += is_covered
        too_bold += [seed] * (is_covered and not kept <= expected)
        too_strict += [seed] * (is_covered and not kept >= expected)
    assert (wrong, too_bold) == ([], [])
    assert len(too_strict) <= 0.02 * len(seeds)
    assert covered > 0.95 * len(seeds)


@pytest.mark.slow
def test_a_few_random_networks_have_every_kind_of_verdict() -> None:
    """Networks that are exact, broken altogether, and in between, so that none of the verdicts is for free."""
    counts = set()
    for seed in range(24):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = RandomNetwork(seed).eval()
            expected = {name for name, error in find_symmetries(network).items() if error < CLOSE}
        counts.add(len(expected))
        if seed < 6:
            assert set(judge_network(network, network.size)[0].preserved_elements) == expected
    assert counts >= {1, 2, 4, 8}
