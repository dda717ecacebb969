"""How `audit` and `measure` read their words, print and end; what they find is the matter of their own modules."""

import json

import polars as pl
import pytest

from equistudy.cli import audit as auditing
from equistudy.cli import measuring
from equistudy.cli.errors import ExitCode
from equistudy.groups.finite import CyclicGroup

EXACT = {"model": "a", "size": [32, 33], "group": "p4", "exact": True, "residue": None, "layers": []}
RECORD = {**EXACT, "nearest": {"below": None, "above": None}, "survives": [], "deviations": {}, "features": None}


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([RECORD], ExitCode.DONE),
        ([RECORD, {"model": "b", "size": [32, 33], "error": "it died"}], ExitCode.FAILED_TRIALS),
    ],
)
def test_an_audit_of_several_ends_by_whether_all_were_judged(
    found: list[dict], code: ExitCode, invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(auditing, "run_audit", lambda *words: asked.append(words[:3]) or words[4]("1/2") or found)
    done = invoke("audit", "a*", "--size", "32x33", "--group", "p4", "--json")
    assert asked == [("a*", (32, 33), CyclicGroup(4))]
    assert (done.exit_code, done.stderr) == (code, "1/2\n")
    assert json.loads(done.stdout) == {"audits": found}
    assert f"{len(found)} networks: 1 exact" in invoke("audit", "a*", "--size", "32").stdout


def test_an_audit_needs_a_size_and_a_group_that_it_knows(invoke) -> None:
    assert "Missing option '--size'" in invoke("audit", "resnet18").stderr
    done = invoke("audit", "resnet18", "--size", "32", "--group", "p6")
    assert done.exit_code == ExitCode.USAGE
    assert "'p6' is not one of" in done.stderr


class Found:
    """What was measured, or nothing where it was interrupted."""

    rows = pl.DataFrame({"stage": ["stem"], "value": [0.5]})

    def __init__(self, code: ExitCode) -> None:
        self.code = code

    def format_lines(self) -> list[str]:
        return [] if self.code else ["stem  0.5"]

    def build_record(self) -> dict:
        return {"rows": self.rows.to_dicts()}


@pytest.mark.parametrize(
    ("words", "code", "printed"),
    [
        ((), ExitCode.DONE, "stem  0.5\n"),
        (("--json",), ExitCode.DONE, '{"rows": [{"stage": "stem", "value": 0.5}]}\n'),
        (("--csv",), ExitCode.DONE, "stage,value\nstem,0.5\n"),
        ((), ExitCode.INTERRUPTED, ""),
    ],
)
def test_measure_prints_its_rows_in_one_form_and_ends_as_it_went(
    words: tuple[str, ...], code: ExitCode, printed: str, invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(measuring, "measure_target", lambda wanted, where: asked.append((wanted, where)) or Found(code))
    done = invoke("measure", "resnet18", "--group", "rotation:90", "--workers", "3", "--results", "here", *words)
    ((wanted, where),) = asked
    assert (wanted.target, wanted.groups, wanted.results, where) == (
        *("resnet18", ("rotation:90",), "here"),
        {"workers": 3, "address": None},
    )
    assert (done.exit_code, done.stdout) == (code, printed)
