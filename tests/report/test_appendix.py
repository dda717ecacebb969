"""The appendix's numbers are those of the rows."""

import pytest

from equistudy.report.appendix import format_appendix
from equistudy.study.trial import RandomStream, derive_seed
from tests.analysis.synthetic import table


@pytest.fixture(scope="module")
def text():
    return format_appendix("capacity", table(absent={0: "failed", 3: "missing"}), {"resnet18.a1_in1k": "apache-2.0"})


def test_hours_are_the_sums_of_the_rows_and_failures_cost_too(text):
    assert f"| done | 22 | {22 * 10 / 3600:.3f} | {22 * 2 / 3600:.3f} | {22 / 3600:.3f} |" in text
    assert f"| failed | 1 | {10 / 3600:.3f} | {2 / 3600:.3f} | {1 / 3600:.3f} |" in text
    assert f"| all | 23 | {230 / 3600:.3f} | {46 / 3600:.3f} | {23 / 3600:.3f} |" in text


def test_every_stream_of_every_replicate_has_its_seed(text):
    for seed in range(3):
        line = f"| {seed} | {' | '.join(str(derive_seed(seed, stream)) for stream in RandomStream)} |"
        assert line in text


def test_design_versions_and_licences_are_there(text):
    assert "- width (channels): 4, 8, 16, 32" in text
    assert "- parameters of a network: 400 to 3200" in text
    assert "- torch: 2.13.0" in text
    assert "- data, Toy: unknown to equistudy; please state it" in text
    assert "- weights, resnet18.a1_in1k: apache-2.0" in text


def test_nothing_has_run_yet():
    text = format_appendix("capacity", table(absent=dict.fromkeys(range(24), "missing")), {})
    assert "Nothing has run yet." in text
    assert "| all | 0 | 0.000 | 0.000 | 0.000 |" in text
