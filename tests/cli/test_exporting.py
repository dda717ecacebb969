"""Findings are written from results, kept beside the code, and written again from what was kept."""

import json
from pathlib import Path

import pytest

from equistudy.cli.exporting import export_appendix, export_bibtex, export_findings, export_runs, extract_description
from equistudy.results import results
from equistudy.study.file import load_study

HEADER = '''"""Does it run?

Source: Somebody (2023) finds that it does.
Here it is smaller.

Finding: on digits it does.

Cost: 1 minute on two cores.

    python -m equistudy run studies/question.py
"""
'''
CLAIM = """
WIDTH = eq.Factor("width", levels=(2, 4))
study = replace(study, claims=(eq.Claim(
    "wider is better", eq.Contrast(eq.Score("test_accuracy"), WIDTH, 4, 2, expected="increasing")),),
    figures=(eq.LearningCurve("loss"),))
"""


@pytest.fixture
def ran(write, finish):
    """A study with a claim whose trials are done: width 4 is better by 10, 11 and 12 points."""

    def ran(name="question.py"):
        path = write(
            ("\nimport equistudy as eq\n", f"{HEADER}\nfrom dataclasses import replace\nimport equistudy as eq\n"),
            name=name,
        )
        path.write_text(path.read_text().replace("seeds=range(2)", "seeds=range(3)") + CLAIM)
        for cell in load_study(path).study.design.cells():
            accuracy = 0.5 + 0.05 * (cell.levels["width"] - 2) + 0.005 * cell.seed * (cell.levels["width"] - 2)
            finish(cell.trial, cell.levels, scores=json.dumps({"test_accuracy": accuracy}), commit="abcdef0123")
        return path

    return ran


def test_findings_keep_numbers_and_rows(ran, folder, tmp_path):
    (line,) = export_findings([ran()], None, folder, tmp_path / "out")
    page = (tmp_path / "out" / "FINDINGS.md").read_text()
    assert line.endswith("FINDINGS.md: 1 studies, 1 of them judged now")
    assert "wider is better | supported | 11.0 [8.5, 13.5], difference (points) |" in page
    assert "Somebody (2023) finds that it does. Here it is smaller." in page
    assert results(tmp_path / "out" / "kept").trials.collect().height == 6
    assert (tmp_path / "out" / "kept" / "question.svg").read_text().startswith("<svg")


def test_the_same_page_comes_from_what_was_kept(ran, folder, tmp_path):
    out, path = tmp_path / "out", ran()
    export_findings([path], None, folder, out)
    files = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    export_findings([], None, "nowhere", out)
    export_findings([path], None, str(out / "kept"), out)
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == files


def test_other_studies_stay_and_shared_trials_are_kept_once(ran, folder, tmp_path):
    out = tmp_path / "out"
    export_findings([ran()], None, folder, out)
    export_findings([ran("second.py")], None, folder, out)
    page = (out / "FINDINGS.md").read_text()
    assert page.index("## question: Does") < page.index("## second: Does")
    assert results(out / "kept").trials.collect().height == 6


def test_nothing_named_and_nothing_kept(tmp_path):
    with pytest.raises(ValueError, match=r"no study was named and .*findings.jsonl does not exist\. Name study files"):
        export_findings([], None, "nowhere", tmp_path)


def test_the_header_without_question_commands_and_finding():
    assert extract_description(HEADER.strip('\n"')) == "Somebody (2023) finds that it does. Here it is smaller."
    assert extract_description("Only a question?") == ""


def test_the_command(ran, folder, tmp_path, invoke):
    path = ran()
    done = invoke("export", "findings", path, "--results", folder, "--into", tmp_path)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path / 'FINDINGS.md'}: 1 studies, 1 of them judged now\n"
    wrong = invoke("export", "findings", path, "--results", folder, "--into", tmp_path, "--scale", "none")
    assert wrong.exit_code == 2
    assert Path(tmp_path / "FINDINGS.md").is_file()


def test_bibtex_names_the_study_and_its_papers(ran, folder, tmp_path):
    path = ran()
    path.write_text(path.read_text().replace("Somebody (2023) finds", "Benton et al. (2020, arXiv:2010.11882) find"))
    export_bibtex([path], None, folder, tmp_path)
    text = (tmp_path / "studies.bib").read_text()
    assert "@misc{equistudy:question," in text
    assert "Learning Invariances in Neural Networks" in text


def test_the_appendix_sums_what_was_spent(ran, folder, tmp_path):
    (told,) = export_appendix([ran()], None, folder, tmp_path / "out")
    text = Path(told).read_text()
    assert told.endswith("question-appendix.md")
    assert f"| all | 6 | {6 * 8 / 3600:.3f} | {6 * 2 / 3600:.3f} | 0.000 |" in text
    assert "- data, Digits: CC BY 4.0" in text


def test_runs_of_all_results_or_of_some_studies(ran, folder, tmp_path, invoke):
    path = ran()
    assert export_runs("tensorboard", [], None, folder, tmp_path / "all") == [
        f"{tmp_path / 'all'}: 6 runs for tensorboard"
    ]
    done = invoke("export", "tensorboard", path, "--results", folder, "--into", tmp_path / "some")
    assert done.stdout == f"{tmp_path / 'some'}: 6 runs for tensorboard\n"
    assert len(list((tmp_path / "some" / "question").iterdir())) == 6


def test_an_export_of_nothing_is_refused(write, folder, tmp_path, finish):
    path = write()
    with pytest.raises(
        ValueError, match=r"This export needs at least one study, got none\. Name study files: .* export FORM STUDY"
    ):
        export_bibtex([], None, folder, tmp_path)
    cell = next(iter(load_study(path).study.design.cells()))
    finish(cell.trial, cell.levels)
    other = write(("width: int", "width: int"), ("ResNet(8", "ResNet(14"), name="other.py")
    with pytest.raises(ValueError, match=r"There are no finished trials to export in .*\. Run a study first\."):
        export_runs("tensorboard", [other], None, folder, tmp_path)


def test_two_studies_on_one_page(ran, folder, invoke):
    first, second = ran(), ran("second.py")
    done = invoke("compare", first, second, "--results", folder)
    assert done.exit_code == 0, done.output
    page = Path(done.stdout.removeprefix("Comparison: ").strip())
    assert page.parent.name == "comparison-question-second"
    assert "6 of 6 networks belong to more than one study and count once." in page.read_text()
    alone = invoke("compare", first, "--results", folder)
    assert alone.exit_code == 2
    assert "compare needs at least two studies, got 1. Name another study file." in alone.stderr
