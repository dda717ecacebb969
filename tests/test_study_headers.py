"""The header of every study: its five parts, and that its numbers are those of the kept results."""

import ast
import re
from pathlib import Path

import pytest

from equistudy.analysis.findings import StudyFinding, parse_findings
from equistudy.cli.exporting import extract_description

STUDIES = Path(__file__).parents[1] / "studies"
PATHS = sorted(STUDIES.glob("*.py"))
FINDINGS = parse_findings((STUDIES / "kept" / "findings.jsonl").read_text())
NOT_KEPT = "not among the kept results"
NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
INTERVAL = re.compile(rf"([-+]?{NUMBER})(?: %)? \[({NUMBER}), ({NUMBER})\]")
MINUTES = re.compile(r"(\d+) minutes?")


def read_header(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def get_part(path: Path, name: str) -> str:
    """The text after `name`, up to the next part or the end of the paragraph."""
    found = re.search(rf"^{name}: (.+?)(?:\n\n|\n(?:Finding|Cost): |\Z)", read_header(path), re.DOTALL | re.MULTILINE)
    return "" if found is None else " ".join(found[1].split())


def select_records(path: Path) -> list[StudyFinding]:
    return [finding for finding in FINDINGS if finding.study == path.stem]


def is_rounding(text: str, value: float | None) -> bool:
    """Whether a printed number is a value rounded to its own digits."""
    number = text.replace(",", "").removeprefix("+")
    decimals = len(number.partition(".")[2])
    return value is not None and abs(float(number) - value) <= 0.5 * 10**-decimals + 1e-9


def matches_claim(texts: tuple[str, ...], record: StudyFinding) -> bool:
    """Whether an effect with its interval is that of a claim, or of its negative: "lower by" has no sign."""
    for claim in record.claims:
        numbers = (claim.effect, claim.low, claim.high)
        if None in numbers:
            continue
        negative = tuple(-number for number in (numbers[0], numbers[2], numbers[1]) if number is not None)
        if any(all(map(is_rounding, texts, each)) for each in (numbers, negative)):
            return True
    return False


def collect_known_numbers(path: Path) -> set[float]:
    """Counts, p values, effects and bounds of the records, and the literals in the study's code."""
    known = {
        abs(float(node.value))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float))
    }
    for record in select_records(path):
        known |= {float(record.done), float(record.planned), float(len(record.seeds)), float(len(record.claims))}
        for claim in record.claims:
            numbers = (claim.effect, claim.p, claim.low_claimed, claim.high_claimed)
            known |= {abs(number) for number in numbers if number is not None}
    return known


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_header_has_question_source_finding_cost_and_command(path: Path) -> None:
    header = read_header(path)
    assert header.splitlines()[0].endswith("?")
    parts = [header.index(f"\n{name}: ") for name in ("Source", "Finding", "Cost")]
    assert [*parts, header.index(f"\n    python -m equistudy run studies/{path.name}")] == sorted(
        [*parts, header.index(f"\n    python -m equistudy run studies/{path.name}")]
    )
    assert re.search(r"\(.*?\d{4}, arXiv:\d{4}\.\d{5}\)", get_part(path, "Source")) or path.stem == "smoke"
    assert "two cores" in get_part(path, "Cost") or NOT_KEPT in get_part(path, "Cost")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_number_of_a_finding_is_that_of_a_kept_result(path: Path) -> None:
    text, records = get_part(path, "Finding"), select_records(path)
    if not records:
        assert text.startswith((NOT_KEPT, "none"))
        assert not re.search(r"\d", text)
        return
    intervals = INTERVAL.findall(text)
    assert intervals or path.stem == "smoke"
    for texts in intervals:
        assert any(matches_claim(texts, record) for record in records), texts
    known = collect_known_numbers(path)
    for word in re.findall(rf"(?<![\w-]){NUMBER}(?![\w-])", INTERVAL.sub("", text)):
        assert any(is_rounding(word.removeprefix("-"), number) for number in known), word


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_cost_is_that_of_the_kept_runs(path: Path) -> None:
    # Networks train on one core each, so two cores take half of the recorded hours.
    on_cpu = [60 * record.hours / 2 for record in select_records(path) if record.device == "cpu"]
    stated = [int(minutes) for minutes in MINUTES.findall(get_part(path, "Cost"))]
    if not on_cpu:
        assert not [minutes for minutes in stated if minutes > 1]
    for minutes in stated:
        assert any(abs(minutes - kept) <= max(1, 0.1 * kept) for kept in on_cpu) or minutes == 1


@pytest.mark.parametrize("record", FINDINGS, ids=[record.name for record in FINDINGS])
def test_the_background_in_findings_is_that_of_the_header(record: StudyFinding) -> None:
    assert record.about == extract_description(read_header(STUDIES / f"{record.study}.py"))


def test_a_wrong_number_is_noticed() -> None:
    path = STUDIES / "capacity.py"
    (record,) = (each for each in select_records(path) if each.scale == "all")
    assert matches_claim(("0.103", "0.074", "0.132"), record)
    assert matches_claim(("-0.103", "-0.132", "-0.074"), record)
    assert not matches_claim(("0.104", "0.074", "0.132"), record)
    assert not matches_claim(("0.103", "0.074", "0.133"), record)
    assert is_rounding("3,000", 3000)
    assert not is_rounding("3,001", 3000)
