"""A made-up zoo: families of networks with an equivariance and an accuracy that are known."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.correlations import RankCorrelation
from equistudy.analysis.exploration import build_exploratory_tests
from equistudy.analysis.findings import build_claim_findings
from equistudy.analysis.table import StudyTable
from equistudy.analysis.trends import rank_correlation
from equistudy.analysis.trial_numbers import ReportedValue, Score
from equistudy.analysis.verdicts import VerdictStatus, judge_claims
from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.models.model import Model
from equistudy.recipe import Recipe
from equistudy.report.tables import tabulate_claims, tabulate_exploration
from equistudy.study.design import Factor, factorial
from equistudy.study.study import Claim, Study
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from tests.analysis.synthetic import CORRELATION, Results, Toy

FAMILIES = ("conv", "vit", "mixer")
NETWORKS = tuple(f"{family}{number}" for family in FAMILIES for number in range(8))
FAMILY, NETWORK = Factor("family", FAMILIES), Factor("network", NETWORKS)
PROTOCOL = Factor("protocol", ("common", "native"))
ACCURACY = ReportedValue(
    "top-1", NETWORK, {name: 70.0 + number for number, name in enumerate(NETWORKS)}, "without accuracy"
)


@dataclass(frozen=True)
class Found(Model):
    name: str
    protocol: str

    def obstacle(self):
        return "no weights" if self.name == "lost" else None


def trial(family: str, network: str, protocol: str, seed: int) -> Trial:
    return Trial(Found(network, protocol), Toy(), Classification(), NoAugmentation(), Recipe(epochs=0), seed)


def zoo(networks=NETWORKS, **changes) -> Study:
    parts = [
        factorial(
            trial,
            Factor("family", (family,)),
            Factor("network", tuple(name for name in networks if name.startswith(family))),
            PROTOCOL,
            seeds=(0,),
        )
        for family in FAMILIES
        if any(name.startswith(family) for name in networks)
    ]
    design = parts[0]
    for part in parts[1:]:
        design = design + part
    claim = RankCorrelation(CORRELATION, ACCURACY, over=NETWORK, expected="increasing", within=((PROTOCOL, "common"),))
    plain = Study("Why?", design, (CORRELATION,), (Claim("they rise together", claim),))
    return replace(plain, **changes)


def table(study: Study, value, absent=()) -> StudyTable:
    """Results in which each done trial has `value(network, protocol)` at two stages."""
    trials, rows = [], []
    for cell in study.design.cells():
        if cell.levels["network"] in absent:
            continue
        trials.append({"trial": cell.trial.id, "attempt": 0, "status": "done", "reason": None, "seed": 0})
        for stage, offset in (("stage1", 0.1), ("stage2", -0.1)):
            number = value(cell.levels["network"], cell.levels["protocol"]) + offset
            place = {"trial": cell.trial.id, "attempt": 0, "measure_id": CORRELATION.id, "stage": stage, "stride": 1}
            rows.append({**place, "element": "dx=1", "value": number, "images": 32})
    schema = {"trial": pl.String, "attempt": pl.Int64, "status": pl.String, "reason": pl.String, "seed": pl.Int64}
    empty = pl.LazyFrame(schema={"trial": pl.String, "attempt": pl.Int64})
    columns = {"trial": pl.String, "attempt": pl.Int64, "measure_id": pl.String, "stage": pl.String}
    columns |= {"stride": pl.Int64, "element": pl.String, "value": pl.Float64, "images": pl.Int64}
    return StudyTable.from_results(study, Results(pl.LazyFrame(trials, schema), empty, pl.LazyFrame(rows, columns)))


def rising(network, protocol):
    """Equivariance follows the accuracy, with noise; the other protocol shows the contrary."""
    place = NETWORKS.index(network) if network in NETWORKS else 0
    return (0.01 if protocol == "common" else -0.01) * place + 0.02 * np.sin(7.0 * place)


def test_the_claim_is_spearmans_rho_over_the_networks_of_one_protocol():
    study = zoo()
    data = table(study, rising)
    (_, verdict) = judge_claims(study, data)[0]
    expected = stats.spearmanr(range(24), [rising(name, "common") for name in NETWORKS])
    assert verdict.effect == pytest.approx(expected.statistic)
    assert verdict.p == pytest.approx(expected.pvalue)
    half = 1.959964 * np.sqrt((1 + verdict.effect**2 / 2) / (24 - 3))
    bounds = np.tanh(np.arctanh(verdict.effect) + np.array([-half, half]))
    assert (verdict.low, verdict.high) == pytest.approx(tuple(bounds))
    assert (verdict.status, verdict.n) == (VerdictStatus.SUPPORTED, 24)
    assert verdict.sentence.startswith(
        "Translation correlation correlates in rank with top-1 over network, at protocol common: Spearman's rho 0."
    )
    contrary = replace(study.claims[0].test, within=((PROTOCOL, "native"),))
    assert contrary.test(data).status == VerdictStatus.CONTRADICTED
    assert replace(contrary, within=()).test(data).status == VerdictStatus.UNDECIDED  # averaged over both


def test_centring_by_family_takes_out_what_differs_between_families():
    def simpson(network, protocol):
        number, family = int(network[-1]), FAMILIES.index(network[:-1])
        return 0.01 * number - 0.2 * family + 0.015 * (number % 3)

    study = zoo()
    data = table(study, simpson)
    pooled = study.claims[0].test
    assert pooled.test(data).effect < -0.7
    inside = replace(pooled, centred=FAMILY)
    found = inside.test(data)
    assert found.effect > 0.9
    assert "over network within each family, at protocol common: Spearman's rho 0.9" in found.sentence
    assert found.n == 24
    perfect = inside.test(table(study, lambda network, protocol: float(network[-1])))
    assert (perfect.status, perfect.n) == (VerdictStatus.UNDECIDED, 24)
    assert "at 24 levels of network, at protocol common: Spearman's rho 1.00, which has no interval" in perfect.sentence
    pairs = inside.pairs(data)
    assert pairs.columns == ["network", "family", "x", "y"]
    alone = zoo((*NETWORKS[:8], "vit0"))  # a family of one tells nothing
    assert inside.correlation(table(alone, simpson)).n == 8


def test_networks_without_a_number_decide_nothing():
    names = ("conv", "vit", "mixer", "conv_small")
    study = zoo(names)
    (_, verdict) = judge_claims(study, table(study, rising))[0]
    assert (verdict.status, verdict.effect, verdict.n) == (VerdictStatus.UNDECIDED, None, 0)
    assert verdict.sentence == (
        "Translation correlation and top-1 can be compared at 0 levels of network, at protocol common: no "
        "correlation. 4 of 4 trials have no result (e.g. family=conv, network=conv, protocol=common, seed=0, done: "
        "without accuracy)."
    )


def test_trials_that_cannot_run_here_are_named_with_the_reason(monkeypatch):
    monkeypatch.setattr(Found, "obstacle", lambda model: "no weights")
    study = zoo()
    (_, verdict) = judge_claims(study, table(study, rising, absent=NETWORKS))[0]
    assert verdict.status == VerdictStatus.UNDECIDED
    why = "(e.g. family=conv, network=conv0, protocol=common, seed=0, missing: no weights)."
    assert verdict.sentence.endswith(f"24 of 24 trials have no result {why}")
    (_, verdict) = judge_claims(study, table(study, rising, absent=NETWORKS[:4]))[0]
    assert (verdict.status, verdict.n) == (VerdictStatus.SUPPORTED, 20)
    assert "4 of 24 trials have no result" in verdict.sentence


def test_replicates_are_no_effects_to_explore():
    study = zoo(claims=(Claim("within", replace(zoo().claims[0].test, centred=FAMILY)), *zoo().claims))
    tests = build_exploratory_tests(study)
    assert {factor for test in tests for factor in test.factors} == {"network", "family", "protocol"}
    assert [type(test).__name__ for test in tests] == ["RankCorrelation"] * 3 + ["Contrast"]
    assert [test.within_text for test in tests[:3]] == [f", at protocol common, family {family}" for family in FAMILIES]
    data = table(study, rising)
    assert len(tabulate_exploration(study, data).rows) == 4
    assert tabulate_claims(judge_claims(study, data), data).rows[1][4] == "24"


def test_a_record_has_the_coefficient_and_no_effect_per_seed():
    turned = replace(zoo().claims[0].test, first=ACCURACY, second=CORRELATION)
    study = zoo(claims=(*zoo().claims, Claim("the other way round", turned)))
    data = table(study, rising)
    for record, (claim, verdict) in zip(
        build_claim_findings(judge_claims(study, data), data), judge_claims(study, data), strict=True
    ):
        assert (record.unit, record.effects, record.n) == ("Spearman's rho", [], 24)
        assert record.effect == verdict.effect  # a coefficient, not in points even where the outcome is a share
        assert (record.comparison, claim.test.units) == (f"{claim.test.comparison}, at protocol common", ("network",))


def test_what_is_no_rank_correlation_is_refused():
    claim = zoo().claims[0].test
    with pytest.raises(ValueError, match=r"'increasing' or 'decreasing' and no margin, got expected='unchanged'"):
        replace(claim, expected="unchanged", margin=0.1)
    with pytest.raises(ValueError, match=r"no margin, got expected='increasing', margin=0.1"):
        replace(claim, margin=0.1)
    with pytest.raises(ValueError, match="centred must differ from over, got network for both"):
        replace(claim, centred=NETWORK)
    assert claim.measures == (CORRELATION,)
    assert replace(claim, second=Score("parameters")).outcomes[1].title == "parameters"


@pytest.mark.slow
@pytest.mark.parametrize(("families", "members"), [(1, 24), (6, 4), (12, 5)])
def test_the_interval_covers_the_truth_pooled_and_within_families(families, members):
    """Normal pairs with r = 0.6 inside each family; families differ in both numbers by far more.

    Centring by the means of families leaves rho what it is, and costs a pair for each mean but one.
    """
    rng = np.random.default_rng(3)
    r, covered, repeats = 0.6, 0, 600
    truth = 6 / np.pi * np.arcsin(r / 2)
    names = np.repeat(np.arange(families), members)
    for _ in range(repeats):
        pairs = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], families * members)
        pairs += 10 * rng.normal(size=(families, 2))[names] * (families > 1)
        frame = pl.DataFrame({"family": names, "x": pairs[:, 0], "y": pairs[:, 1]})
        rho = rank_correlation(frame, "x", "y", ["family"] if families > 1 else [])
        covered += rho.low < truth < rho.high
    assert 0.93 < covered / repeats < 0.98
