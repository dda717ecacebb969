import re
import xml.etree.ElementTree as ET

import altair as alt
import polars as pl
import pytest

from equistudy.report.theme import (
    CATEGORY_COLORS,
    GRID,
    INK,
    MUTED,
    ORDERED_COLORS,
    choose_colors,
    inline_svg,
    render_png,
    render_svg,
)

CHART = alt.Chart(pl.DataFrame({"x": [1.0, 2.0], "y": [2.0, 3.0], "<z>": ["a", "b"]})).mark_circle()


@pytest.fixture(scope="module")
def drawn():
    return render_svg(CHART.encode(x="x:Q", y="y:Q", color="<z>:N"))


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_ordered_colours_rise_in_lightness_and_begin_and_end_with_the_scale():
    colors = choose_colors(7, ordered=True)
    assert (colors[0], colors[-1]) == (ORDERED_COLORS[0], ORDERED_COLORS[-1])
    assert sorted(colors, key=luminance) == colors
    assert choose_colors(1, ordered=True) == [ORDERED_COLORS[0]]


def test_categories_are_different_and_repeat_after_the_last():
    assert len(set(choose_colors(8, ordered=False))) == 8
    assert choose_colors(9, ordered=False)[8] == CATEGORY_COLORS[0]


@pytest.mark.parametrize("color", [*CATEGORY_COLORS, *ORDERED_COLORS])
def test_every_colour_shows_on_light_and_on_dark_paper(color):
    for paper in ("#ffffff", "#1b1f24"):
        high, low = sorted((luminance(color), luminance(paper)), reverse=True)
        assert (high + 0.05) / (low + 0.05) > 2


def test_drawing_leaves_the_users_altair_as_it_is():
    with alt.theme.enable("dark"):
        dark = render_svg(CHART.encode(x="x:Q"))
        assert alt.theme.active == "dark"
    assert dark == render_svg(CHART.encode(x="x:Q"))
    assert alt.data_transformers.options == {}


def test_more_rows_than_altair_allows_are_drawn():
    many = pl.DataFrame({"x": [float(i) for i in range(6000)]})
    assert render_svg(alt.Chart(many).mark_circle().encode(x="x:Q")).count("<path aria-label") == 6000


def test_svg_and_png_are_what_they_say(drawn):
    assert ET.fromstring(drawn).tag.endswith("svg")
    assert render_png(drawn).startswith(b"\x89PNG")


def test_inline_drawings_follow_the_page_have_tooltips_and_a_text(drawn):
    shown = inline_svg(drawn, "f1", 'a "title" & more')
    root = ET.fromstring(shown)
    assert root.get("aria-label") == 'a "title" & more'
    titles = [node.text for node in root.iter() if node.tag.endswith("title")]
    assert any("x: 1" in text and "y: 2" in text for text in titles)
    assert "var(--ink)" in shown
    assert not any(color in shown for color in (INK, MUTED, GRID, 'fill="white"'))


def test_ids_of_two_drawings_differ():
    clipped = render_svg(CHART.mark_line(clip=True).encode(x="x:Q", y="y:Q"))
    ids, used = (
        [set(re.findall(pattern, inline_svg(clipped, name, ""))) for name in ("f1", "f2")]
        for pattern in (r'id="([^"]+)"', r"url\(#([^)]+)\)")
    )
    assert ids == used
    assert ids[0]
    assert not ids[0] & ids[1]
