"""The page is one file that needs nothing else, says the verdict first, and hides nothing that is missing."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from equistudy.analysis.claims import Contrast
from equistudy.analysis.trial_numbers import Score
from equistudy.report import page as page_module
from equistudy.report.figures import Curve, LayerProfile, LearningCurve, Scatter
from equistudy.report.page import find_leading_figure, format_verdict_lines, write_report
from equistudy.study.study import Claim
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table

FIGURES = (Curve(CORRELATION, x=WIDTH, color=CROP), LayerProfile(CORRELATION, color=WIDTH), LearningCurve("accuracy"))
SCATTER = Scatter(Score("test_accuracy"), CORRELATION)
COMMAND = "python -m equistudy report studies/capacity.py"


class Reader(HTMLParser):
    """The tags that a page opens and closes, what it refers to, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.references, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_data(self, data):
        self.text += data


def written(folder, of, **changes) -> tuple[str, Reader]:
    page = write_report(of, table(of, **changes), "capacity", COMMAND, folder).read_text(encoding="utf-8")
    return page, Reader(page)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, *written(folder, study(figures=FIGURES))


def test_the_page_refers_to_its_own_files_alone_and_runs_nothing(report):
    folder, page, reader = report
    assert all((folder / reference).is_file() for reference in reader.references if not reference.startswith("#"))
    assert "<script" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert set(re.findall(r"https?://[^\"' ]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert reader.open == []
    assert len(page) < 5_000_000


def test_the_verdict_comes_before_everything_else(report):
    _, _, reader = report
    order = (
        study().question,
        "Supported.",
        "by width and augmentation",
        "Claims",
        "Figures",
        "Numbers",
        "Method",
        COMMAND,
    )
    body = reader.text.partition("Skip to the numbers")[2]
    places = [body.index(text) for text in order]
    assert places == sorted(places)


def test_every_figure_and_table_is_a_file_too(report):
    folder, page, _ = report
    names = sorted(path.name for path in (folder / "figures").iterdir())
    assert len(names) == 9
    assert {name.rsplit(".", 1)[1] for name in names} == {"svg", "png", "csv"}
    tables = {path.name for path in (folder / "tables").iterdir()}
    assert tables == {f"{name}.{kind}" for name in ("claims", "cells", "exploratory") for kind in ("md", "tex", "csv")}
    first = pl.read_csv(folder / "figures" / names[0])
    assert first["value"].to_list() == pytest.approx(FIGURES[0].frame(table())["value"].to_list())
    assert page.count('role="img" aria-label="translation correlation') == 2


def test_an_incomplete_study_says_so(tmp_path):
    of = study(num_seeds=4)
    page, reader = written(tmp_path, of, absent={3: "failed", 30: "missing"})
    assert (
        "2 of 32 trials have no result (e.g. width=8, augmentation=Crop, seed=0, failed: out of memory)" in reader.text
    )
    assert "CUDA <out> of memory" in reader.text
    assert "<out>" not in page


def test_nothing_has_run_yet(tmp_path):
    page, reader = written(tmp_path, study(figures=(*FIGURES, SCATTER)), absent=dict.fromkeys(range(24), "missing"))
    assert page.count("No finished trial has data for this figure yet.") == 4
    assert "24 of 24 trials have no result" in reader.text
    assert "Nothing has run yet." in reader.text


def test_a_study_without_claims_is_exploratory_and_names_what_is_absent(tmp_path):
    _, reader = written(tmp_path, study(claims=()), absent={0: "failed"})
    assert "declares no claims, so everything below is exploratory" in reader.text
    assert "The study is not complete. 1 of 24 trials has no result" in reader.text.replace("\n", " ")


def test_several_claims_are_counted(tmp_path):
    wrong = Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected="decreasing")
    of = study(claims=(*study().claims, Claim("crops lower it", wrong, source="nobody")))
    page, reader = written(tmp_path, of)
    assert "Of 2 claims: 1 supported, 1 contradicted." in reader.text
    assert page.index('id="claims"') < page.index("<h2>Claims</h2>")
    assert pl.read_csv(tmp_path / "figures" / "claims.csv")["status"].to_list() == ["supported", "contradicted"]
    assert "crops lower it (nobody)" in reader.text


def test_a_figure_of_the_users_own_needs_no_more_than_a_frame_and_a_chart(tmp_path):
    @dataclass(frozen=True)
    class Own:
        factors = ()
        measures = ()

        def frame(self, table):
            return pl.DataFrame({"x": [1.0]})

        def draw(self, frame):
            import altair as alt

            return alt.Chart(frame).mark_circle().encode(x="x:Q")

    _, reader = written(tmp_path, study(figures=(Own(),)))
    assert "Figure 1" in reader.text


def test_the_figure_that_carries_the_verdict_shows_its_outcome_over_its_factors():
    assert find_leading_figure(study(figures=FIGURES)) == [0]
    assert find_leading_figure(study(figures=(FIGURES[2], SCATTER, FIGURES[1], FIGURES[0]))) == [2]
    assert find_leading_figure(study(figures=(FIGURES[2], SCATTER))) == [1]
    assert find_leading_figure(study(figures=FIGURES[2:], claims=())) == [0]
    assert find_leading_figure(study()) == []


def luminance(color: str) -> float:
    """The relative luminance of the Web Content Accessibility Guidelines 2.2."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_text_has_contrast_enough_in_light_in_dark_and_on_paper():
    style = (Path(page_module.__file__).parent / "style.css").read_text()
    blocks = [dict(re.findall(r"--(\w+): (#\w+);", block)) for block in style.split(":root")[1:]]
    assert len(blocks) == 3
    for block in blocks:
        colors = {name: c if len(c) == 7 else "#" + "".join(2 * x for x in c[1:]) for name, c in block.items()}
        for ground in ("paper", "card"):
            for text in ("ink", "muted", "supported", "contradicted", "undecided"):
                assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)


def test_the_keyboard_reaches_every_table_and_can_skip_the_figures(report):
    _, page, _ = report
    assert page.count('class="wide" tabindex="0" role="region" aria-label="') == page.count('class="wide"')
    assert '<a class="skip" href="#numbers">' in page
    assert 'id="numbers"' in page


def test_lines_for_a_terminal():
    (line,) = format_verdict_lines(study(), table())
    assert line.startswith("SUPPORTED: capacity down, equivariance up. Translation correlation falls with width: -0.0")
    absent = {index: "missing" for index in range(24) if index}
    (line,) = format_verdict_lines(study(), table(absent=absent))
    assert line.startswith("UNDECIDED")
    assert "23 of 24 trials have no result" in line
    assert format_verdict_lines(study(claims=()), table(absent={0: "failed"}))[0].startswith(
        "1 of 24 trials has no result"
    )
